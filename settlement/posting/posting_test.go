package posting_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/rules"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

// world is an order store, a ledger, a poster and a marketplace under a test
// clock.
type world struct {
	t      testing.TB
	ctx    context.Context
	db     *sqlx.DB
	store  *orderdb.Store
	engine ledger.Engine
	poster *posting.Poster
	market orderdb.Marketplace
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newWorld(t testing.TB, wrap func(ledger.Engine) ledger.Engine) *world {
	t.Helper()
	w := &world{t: t, ctx: t.Context(), db: pgtest.Open(t)}
	w.store = orderdb.New(w.db)
	w.engine = rules.NewEngine(func() uint64 { return uint64(time.Now().UnixNano()) })
	inner := w.engine
	if wrap != nil {
		inner = wrap(inner)
	}
	w.poster = posting.New(w.db, inner, posting.Options{})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := w.poster.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	var err error
	w.market, err = w.store.CreateMarketplace(w.ctx, "shop", orderdb.TestClock, start)
	w.must(err)
	w.clock(start.AddDate(0, 6, 0))
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) clock(now time.Time) {
	w.t.Helper()
	m, err := w.store.AdvanceClock(w.ctx, w.market.ID, now, now)
	w.must(err)
	w.market = m
}

func (w *world) agreement(reference string) posting.Request {
	return posting.Request{Marketplace: w.market.ID,
		Agreement: &posting.Agreement{Reference: reference, Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 10_000},
		Command:   order.Command{Event: order.Agree, At: start}}
}

func (w *world) agree(reference string) order.Order {
	w.t.Helper()
	r, err := w.poster.Do(w.ctx, w.agreement(reference))
	w.must(err)
	return r.Orders[0]
}

func (w *world) event(id ledger.ID, c order.Command) posting.Request {
	return posting.Request{Marketplace: w.market.ID, Orders: []ledger.ID{id}, Command: c}
}

func (w *world) do(id ledger.ID, c order.Command) order.Order {
	w.t.Helper()
	r, err := w.poster.Do(w.ctx, w.event(id, c))
	w.must(err)
	return r.Orders[0]
}

func (w *world) order(id ledger.ID) order.Order {
	w.t.Helper()
	o, err := w.store.Order(w.ctx, w.market.ID, id)
	w.must(err)
	return o
}

// books is what the ledger holds by chart code, debits and credits posted.
func (w *world) books() map[chart.AccountCode][2]int64 {
	w.t.Helper()
	all, err := w.engine.QueryAccounts(w.ctx, ledger.QueryFilter{Limit: ledger.BatchMax})
	w.must(err)
	sum := map[chart.AccountCode][2]int64{}
	for _, a := range all {
		v := sum[chart.AccountCode(a.Code)]
		v[0] += int64(a.DebitsPosted.Lo)
		v[1] += int64(a.CreditsPosted.Lo)
		sum[chart.AccountCode(a.Code)] = v
	}
	return sum
}

// balanced checks the promises that hold at any moment at which nothing is in
// flight: debits = credits, and the order store says what the ledger says.
func (w *world) balanced() {
	w.t.Helper()
	var debits, credits int64
	for _, v := range w.books() {
		debits, credits = debits+v[0], credits+v[1]
	}
	if debits != credits {
		w.t.Errorf("debits %d, credits %d", debits, credits)
	}
	if v := w.books()[chart.SellerCollection]; v[0] != v[1] {
		w.t.Errorf("%d was collected of sellers, %d paid in", v[0], v[1])
	}
	list, err := w.store.Orders(w.ctx, w.market.ID, orderdb.OrderFilter{Limit: 1 << 20})
	w.must(err)
	var authorised, promised int64
	for _, o := range list {
		if o.State == order.Authorised {
			authorised += o.Charge().Pays()
		}
		a, err := w.engine.LookupAccounts(w.ctx, []ledger.ID{o.ID})
		w.must(err)
		var held, pending int64
		if len(a) > 0 {
			held = int64(a[0].CreditsPosted.Lo - a[0].DebitsPosted.Lo)
			pending = int64(a[0].DebitsPending.Lo)
		}
		frozen := int64(0)
		if o.State.Frozen() {
			frozen = o.Held
		}
		if held != o.Held || pending != frozen {
			w.t.Errorf("%s is %s: order store holds %d, ledger %d, frozen %d", o.Reference, o.State, o.Held, held, pending)
		}
	}
	accounts, err := w.engine.QueryAccounts(w.ctx, ledger.QueryFilter{Code: uint16(chart.Buyer), Limit: ledger.BatchMax})
	w.must(err)
	for _, a := range accounts {
		promised += int64(a.CreditsPending.Lo)
	}
	if promised != authorised {
		w.t.Errorf("orders have %d authorised, the ledger %d pending to buyers", authorised, promised)
	}
	var open int
	w.must(w.db.Get(&open, `SELECT count(*) FROM intents WHERE id NOT IN (SELECT intent FROM outcomes)`))
	if open != 0 {
		w.t.Errorf("%d intents without an outcome", open)
	}
	var moved, applied int
	w.must(w.db.Get(&moved, `SELECT coalesce((SELECT sum(seq) FROM orders), 0) + coalesce((SELECT sum(seq) FROM entries), 0)`))
	w.must(w.db.Get(&applied, `SELECT count(*) FROM outcomes WHERE outcome = 'applied'`))
	if moved != applied {
		w.t.Errorf("%d events applied, the orders moved %d times", applied, moved)
	}
	var unwatched int
	w.must(w.db.Get(&unwatched, `SELECT count(*) FROM orders o WHERE open AND NOT EXISTS (
		SELECT FROM order_deadlines d WHERE (d.marketplace, d.deadline, d.at, d.order_id) = (o.marketplace, o.deadline, o.deadline_at, o.id))`))
	if unwatched != 0 {
		w.t.Errorf("%d open orders whose deadline nobody will see pass", unwatched)
	}
	if n, _, err := w.store.OpenBatches(w.ctx); n != 0 || err != nil {
		w.t.Errorf("%d batches left open, %v", n, err)
	}
}

func TestTheWholeLife(t *testing.T) {
	w := newWorld(t, nil)
	o := w.agree("A-1")
	if o.State != order.Agreed || o.Fee != 500 || !o.DeadlineAt.Equal(start.Add(5*24*time.Hour)) {
		t.Fatalf("agreed: %+v", o)
	}
	at := start
	step := func(c order.Command) {
		at = at.Add(time.Hour)
		c.At = at
		o = w.do(o.ID, c)
	}
	step(order.Command{Event: order.Pay, Method: "card"})
	if o.State != order.Held || o.Held != 10_000 {
		t.Fatalf("paid: %+v", o.Progress)
	}
	w.balanced()
	step(order.Command{Event: order.Ship, Carrier: "post", Tracking: "X1"})
	step(order.Command{Event: order.Deliver})
	step(order.Command{Event: order.Dispute, Reason: "broken"})
	w.balanced()
	step(order.Command{Event: order.Rule, ToSeller: 6_000, ToBuyer: 4_000, Reason: "half broken"})
	if o.State != order.Ruled || o.Released != 6_000 || o.Refunded != 4_000 || o.FeeCharged != 300 {
		t.Fatalf("ruled: %+v", o.Progress)
	}
	o = w.do(o.ID, order.Command{Event: order.Mature, By: order.System, At: o.DeadlineAt})
	if o.State != order.Closed {
		t.Fatalf("matured: %+v", o.Progress)
	}
	w.balanced()
	want := map[chart.AccountCode][2]int64{
		chart.PayinClearing: {10_000, 0}, chart.Buyer: {10_000, 14_000}, chart.Escrow: {10_000, 10_000},
		chart.SellerPending: {5_700, 5_700}, chart.SellerAvailable: {0, 5_700}, chart.FeeRevenue: {0, 300},
		chart.DisputeSuspense: {0, 0},
	}
	for code, v := range w.books() {
		if v != want[code] {
			t.Errorf("%d: %v, want %v", code, v, want[code])
		}
	}
	if got := w.order(o.ID); got.Progress != o.Progress || got.Seq != 7 {
		t.Errorf("stored %+v\nanswered %+v", got.Progress, o.Progress)
	}
	line, err := w.store.Timeline(w.ctx, o.ID)
	w.must(err)
	var events []order.Event
	for i, e := range line {
		events = append(events, e.Event)
		if moved := e.LedgerTimestamp != 0; moved != (e.Event != order.Agree && e.Event != order.Ship && e.Event != order.Deliver) {
			t.Errorf("%s: ledger timestamp %d", e.Event, e.LedgerTimestamp)
		}
		if e.After.Seq != int32(i+1) {
			t.Errorf("event %d has seq %d", i+1, e.After.Seq)
		}
	}
	if fmt.Sprint(events) != "[agree pay ship deliver dispute rule mature]" {
		t.Errorf("timeline %v", events)
	}
}

func TestOnePaymentForSeveralOrders(t *testing.T) {
	w := newWorld(t, nil)
	var ids []ledger.ID
	for i := range 5 {
		ids = append(ids, w.agree(fmt.Sprint("P-", i)).ID)
	}
	pay := posting.Request{Marketplace: w.market.ID, Orders: ids, Key: "k",
		Command: order.Command{Event: order.Pay, Method: "card", Amount: 50_000, At: start}}
	r, err := w.poster.Do(w.ctx, pay)
	w.must(err)
	if len(r.Orders) != 5 || r.LedgerTimestamp == 0 {
		t.Fatalf("%+v", r)
	}
	again, err := w.poster.Do(w.ctx, pay)
	w.must(err)
	if !again.Replayed || len(again.Orders) != 5 || again.Orders[4].ID != ids[4] || again.LedgerTimestamp != r.LedgerTimestamp {
		t.Errorf("replay: %+v", again)
	}
	moved, err := w.engine.QueryTransfers(w.ctx, ledger.QueryFilter{Limit: 100})
	w.must(err)
	if len(moved) != 6 || moved[0].Amount != ledger.U64(50_000) || moved[0].UserData128 != r.Intent {
		t.Errorf("transfers: %+v", moved)
	}
	for i, o := range r.Orders {
		if o.Held != 10_000 || moved[i+1].UserData128 != o.ID {
			t.Errorf("order %d: %+v", i, o.Progress)
		}
	}
	w.balanced()

	wrong := pay
	wrong.Key, wrong.Command.Amount = "", 49_999
	wrong.Orders = []ledger.ID{w.agree("P-7").ID, w.agree("P-8").ID}
	var refusal *order.Refusal
	if _, err := w.poster.Do(w.ctx, wrong); !errors.As(err, &refusal) || refusal.Rule != order.RuleAmount {
		t.Errorf("wrong total: %v", err)
	}
	// An order that cannot be paid takes the others' payment along.
	wrong.Command.Amount = 0
	wrong.Orders = append(wrong.Orders, ids[0])
	if _, err := w.poster.Do(w.ctx, wrong); !errors.As(err, &refusal) || refusal.Rule != order.RuleState {
		t.Errorf("paid twice: %v", err)
	}
	w.balanced()
}

func TestRefusals(t *testing.T) {
	w := newWorld(t, nil)
	o := w.agree("R-1")
	other, err := w.store.CreateMarketplace(w.ctx, "other", orderdb.LiveClock, time.Time{})
	w.must(err)
	for _, c := range []struct {
		name string
		req  posting.Request
		want string
	}{
		{"state", w.event(o.ID, order.Command{Event: order.Ship, By: order.Seller}), "state"},
		{"role", w.event(o.ID, order.Command{Event: order.Pay, By: order.Seller, Method: "card"}), "role"},
		{"method", w.event(o.ID, order.Command{Event: order.Pay, Method: "gold", At: start}), "method"},
		{"amount", w.event(o.ID, order.Command{Event: order.Pay, Method: "card", Amount: 9_999, At: start}), "amount"},
		{"future", w.event(o.ID, order.Command{Event: order.Cancel, At: w.market.Now.Add(time.Microsecond)}), "future"},
		{"past", w.event(o.ID, order.Command{Event: order.Cancel, At: start.Add(-time.Second)}), "order-of-time"},
		{"late", w.event(o.ID, order.Command{Event: order.Pay, Method: "card"}), "too-late"},
		{"not due", w.event(o.ID, order.Command{Event: order.Expire, By: order.System, At: start}), "not-due"},
		{"not the system", w.event(o.ID, order.Command{Event: order.Expire, By: order.Buyer, At: o.DeadlineAt}), "role"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var refusal *order.Refusal
			if _, err := w.poster.Do(w.ctx, c.req); !errors.As(err, &refusal) || refusal.Rule != c.want {
				t.Fatalf("%v, want rule %s", err, c.want)
			}
			if refusal.State != order.Agreed || len(refusal.Allowed) == 0 {
				t.Errorf("%+v", refusal)
			}
		})
	}
	foreign := w.event(o.ID, order.Command{Event: order.Cancel})
	foreign.Marketplace = other.ID
	if _, err := w.poster.Do(w.ctx, foreign); !errors.Is(err, posting.ErrNotFound) {
		t.Errorf("another tenant's order: %v", err)
	}
	if _, err := w.poster.Do(w.ctx, w.agreement("R-1")); !errors.As(err, new(*posting.ReferenceTaken)) {
		t.Errorf("reference taken: %v", err)
	}
	for name, change := range map[string]func(a *posting.Agreement){
		"currency":  func(a *posting.Agreement) { a.Currency = "XXX" },
		"amount":    func(a *posting.Agreement) { a.Amount = 0 },
		"big":       func(a *posting.Agreement) { a.Amount = order.MaxAmount + 1 },
		"nul":       func(a *posting.Agreement) { a.Buyer = "a\x00" },
		"utf8":      func(a *posting.Agreement) { a.Seller = "\xff" },
		"policy":    func(a *posting.Agreement) { a.Policy = "none" },
		"both":      func(a *posting.Agreement) { a.Seller = a.Buyer },
		"reference": func(a *posting.Agreement) { a.Reference = "" },
	} {
		req := w.agreement("R-" + name)
		change(req.Agreement)
		if _, err := w.poster.Do(w.ctx, req); !errors.As(err, new(*posting.Invalid)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := w.order(o.ID); got.Seq != 1 || got.State != order.Agreed {
		t.Errorf("refusals moved the order: %+v", got)
	}
	w.balanced()
}

func TestIdempotencyKeys(t *testing.T) {
	w := newWorld(t, nil)
	req := w.agreement("I-1")
	req.Key, req.Hash = "key-1", [32]byte{1}
	var answers []posting.Answer
	reqs := make([]posting.Request, 40)
	for i := range reqs {
		reqs[i] = req
	}
	answers = w.poster.DoAll(w.ctx, reqs)
	fresh := 0
	for _, a := range answers {
		w.must(a.Err)
		if a.Result.Orders[0].ID != answers[0].Result.Orders[0].ID {
			t.Fatal("one key, two orders")
		}
		if !a.Result.Replayed {
			fresh++
		}
	}
	if fresh != 1 {
		t.Errorf("%d requests did it", fresh)
	}
	req.Hash = [32]byte{2}
	if _, err := w.poster.Do(w.ctx, req); !errors.Is(err, posting.ErrKeyReused) {
		t.Errorf("another body: %v", err)
	}
	id := answers[0].Result.Orders[0].ID
	pay := w.event(id, order.Command{Event: order.Pay, Method: "card", At: start})
	pay.Key = "key-2"
	first, err := w.poster.Do(w.ctx, pay)
	w.must(err)
	w.do(id, order.Command{Event: order.Ship, At: start.Add(time.Hour)})
	second, err := w.poster.Do(w.ctx, pay)
	w.must(err)
	// The replay answers what the first one did, not what has come since.
	if !second.Replayed || second.Orders[0].State != order.Held || second.Intent != first.Intent || second.Orders[0].Seq != 2 {
		t.Errorf("replay: %+v", second.Orders[0])
	}
	w.balanced()
}

// Two processes on one order store and one ledger: no event is booked twice,
// whoever comes first.
func TestTwoPosters(t *testing.T) {
	w := newWorld(t, nil)
	second := posting.New(w.db, w.engine, posting.Options{})
	defer second.Close(context.Background())
	const n = 60
	var agrees []posting.Request
	for i := range n {
		agrees = append(agrees, w.agreement(fmt.Sprint("T-", i)))
	}
	var ids []ledger.ID
	for _, a := range w.poster.DoAll(w.ctx, agrees) {
		w.must(a.Err)
		ids = append(ids, a.Result.Orders[0].ID)
	}
	var pays []posting.Request
	for _, id := range ids {
		pays = append(pays, w.event(id, order.Command{Event: order.Pay, Method: "card", At: start}))
	}
	done := make(chan []posting.Answer, 2)
	for _, p := range []*posting.Poster{w.poster, second} {
		go func() { done <- p.DoAll(w.ctx, pays) }()
	}
	a, b := <-done, <-done
	for i := range n {
		var refusal *order.Refusal
		switch {
		case a[i].Err == nil && errors.As(b[i].Err, &refusal), b[i].Err == nil && errors.As(a[i].Err, &refusal):
			if refusal.Rule != order.RuleState {
				t.Errorf("order %d: %v", i, refusal)
			}
		default:
			t.Errorf("order %d: %v and %v", i, a[i].Err, b[i].Err)
		}
	}
	if paid := w.books()[chart.PayinClearing][0]; paid != n*10_000 {
		t.Errorf("paid in %d", paid)
	}
	w.balanced()
}

// The ledger's refusal is recorded, answered again to the same key, and does
// not stop the next attempt, which has ids of its own.
func TestRejection(t *testing.T) {
	w := newWorld(t, nil)
	o := w.agree("J-1")
	w.do(o.ID, order.Command{Event: order.Pay, Method: "card", At: start})
	// Behind escrowd's back the escrow account is emptied, as no event does.
	o = w.order(o.ID)
	thief, err := orderdb.NewID()
	w.must(err)
	steal := ledger.Transfer{ID: thief, DebitAccountID: o.ID, CreditAccountID: o.BuyerAccount, Amount: ledger.U64(10_000), Ledger: o.Ledger, Code: 901}
	res, err := w.engine.CreateTransfers(w.ctx, []ledger.Transfer{steal})
	w.must(err)
	if res[0].Status != ledger.TransferCreated {
		t.Fatal(res)
	}
	cancel := w.event(o.ID, order.Command{Event: order.Cancel, At: start})
	cancel.Key = "cancel"
	for range 2 {
		var rejected *posting.Rejected
		if _, err := w.poster.Do(w.ctx, cancel); !errors.As(err, &rejected) || rejected.Reason != "exceeds_credits" || rejected.Frozen {
			t.Fatalf("%v", err)
		}
	}
	if got := w.order(o.ID); got.State != order.Held || got.Seq != 2 || got.Attempt != 1 {
		t.Errorf("%+v", got)
	}
	// The money comes back, and the next attempt goes through.
	steal.ID, err = orderdb.NewID()
	w.must(err)
	steal.DebitAccountID, steal.CreditAccountID = steal.CreditAccountID, steal.DebitAccountID
	if res, err = w.engine.CreateTransfers(w.ctx, []ledger.Transfer{steal}); err != nil || res[0].Status != ledger.TransferCreated {
		t.Fatal(res, err)
	}
	if o := w.do(o.ID, order.Command{Event: order.Cancel, At: start}); o.State != order.Canceled {
		t.Errorf("%+v", o.Progress)
	}
	w.balanced()
}

func TestMetrics(t *testing.T) {
	w := newWorld(t, nil)
	reg := prometheus.NewPedanticRegistry()
	p := posting.New(w.db, w.engine, posting.Options{Registerer: reg})
	if _, err := p.Do(w.ctx, w.agreement("M-1")); err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(reg)
	w.must(err)
	for _, l := range problems {
		t.Errorf("%s: %s", l.Metric, l.Text)
	}
	n, err := testutil.GatherAndCount(reg, "escrowd_intents_total", "escrowd_intents_oldest_open_seconds", "escrowd_posting_duration_seconds")
	w.must(err)
	if n < 5 {
		t.Errorf("%d series", n)
	}
	w.must(p.Close(w.ctx))
	if n, _ := testutil.GatherAndCount(reg); n != 0 {
		t.Errorf("%d series left after Close", n)
	}
}
