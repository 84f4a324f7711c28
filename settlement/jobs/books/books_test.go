package books

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/rules"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

type world struct {
	t      testing.TB
	ctx    context.Context
	db     *sqlx.DB
	engine ledger.Engine
	poster *posting.Poster
	market orderdb.Marketplace
	orders []order.Order // one of each state with money, two canceled
	opts   Options
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// now is when everything happens.
var now = start.AddDate(0, 0, 1)

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	w := &world{t: t, ctx: t.Context(), db: pgtest.Open(t), opts: Options{Batch: 2, Rounds: 3, Pause: time.Millisecond}}
	w.engine = rules.NewEngine(func() uint64 { return uint64(time.Now().UnixNano()) })
	w.poster = posting.New(w.db, w.engine, posting.Options{})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := w.poster.Close(ctx); err != nil {
			t.Errorf("closing the poster: %v", err)
		}
	})
	store := orderdb.New(w.db)
	var err error
	w.market, err = store.CreateMarketplace(w.ctx, "shop", orderdb.TestClock, now)
	w.must(err)
	for i, events := range [][]order.Event{
		{}, {order.Pay}, {order.Pay, order.Ship}, {order.Pay, order.Ship, order.Dispute},
		{order.Pay, order.Ship, order.Confirm}, {order.Pay, order.Cancel}, {order.Cancel}, {order.Authorise},
	} {
		r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID,
			Agreement: &posting.Agreement{Reference: fmt.Sprint("order-", i), Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 1000},
			Command:   order.Command{Event: order.Agree, At: now}})
		w.must(err)
		o := r.Orders[0]
		for _, e := range events {
			o = w.do(o.ID, e)
		}
		w.orders = append(w.orders, o)
	}
	w.balanced()
	return w
}

func (w *world) do(id ledger.ID, e order.Event) order.Order {
	w.t.Helper()
	r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID, Orders: []ledger.ID{id},
		Command: order.Command{Event: e, At: now, Method: "card", Reason: "because"}})
	w.must(err)
	return r.Orders[0]
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) check() (Report, error) { return Check(w.ctx, w.db, w.engine, w.opts) }

func (w *world) balanced() Report {
	w.t.Helper()
	r, err := w.check()
	if err != nil || !r.Balanced || r.Differences != 0 || len(r.Ledgers) != 1 || !r.Ledgers[0].Compared {
		w.t.Fatalf("%+v, %v; want balanced books", r, err)
	}
	return r
}

func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	_, err := w.db.Exec(query, args...)
	w.must(err)
}

// change changes orders past the write path, and notes their deadlines as it
// would have.
func (w *world) change(query string, args ...any) {
	w.t.Helper()
	w.exec(query, args...)
	w.exec(`INSERT INTO order_deadlines SELECT marketplace, deadline, deadline_at, id FROM orders WHERE open`)
}

// transfer puts one into the ledger past the write path.
func (w *world) transfer(debit, credit ledger.ID, amount uint64, flags ledger.TransferFlags) ledger.ID {
	w.t.Helper()
	u := uuid.Must(uuid.NewV7())
	id := ledger.FromBytes(u)
	res, err := w.engine.CreateTransfers(w.ctx, []ledger.Transfer{{ID: id, DebitAccountID: debit, CreditAccountID: credit,
		Amount: ledger.U64(amount), Ledger: w.orders[0].Ledger, Code: uint16(chart.Adjustment), Flags: flags}})
	w.must(err)
	if res[0].Status != ledger.TransferCreated {
		w.t.Fatalf("the ledger refused: %v", res[0].Status)
	}
	return id
}

func TestSums(t *testing.T) {
	w := newWorld(t)
	r := w.balanced()
	got := r.Ledgers[0]
	// Three orders hold 1000; five payments came in and were held, one order
	// was released (in two or three legs), one refunded. One is authorised.
	if got.Held != ledger.U64(3000) || got.Escrow != got.Held || got.DebitsPosted != ledger.U64(5*2000+1000+1000) ||
		got.DebitsPending != ledger.U64(2000) || got.Authorised != ledger.U64(1000) || got.Promised != got.Authorised || r.Orders != 3 || r.Accounts != got.Accounts {
		t.Errorf("%+v", r)
	}
}

func TestDifferences(t *testing.T) {
	const paid, disputed, released, canceled = 1, 3, 4, 5
	for _, c := range []struct {
		name string
		// plant makes a difference and answers how to mend it.
		plant func(w *world) (mend func())
		order int // the one it is about, -1 for none
		what  string
		count int64 // the order itself, and the sum of all
	}{
		{"an order's row says less", func(w *world) func() {
			w.change(`UPDATE orders SET held = held - 1, refunded = refunded + 1 WHERE id = $1`, w.orders[paid].ID.UUID())
			return func() {
				w.change(`UPDATE orders SET held = held + 1, refunded = refunded - 1 WHERE id = $1`, w.orders[paid].ID.UUID())
			}
		}, paid, "the order holds 999, its escrow account 1000", 2},
		{"an order's row says it is closed", func(w *world) func() {
			w.change(`UPDATE orders SET state = 'refunded', held = 0, refunded = 1000, deadline = NULL, deadline_at = NULL WHERE id = $1`, w.orders[paid].ID.UUID())
			return func() {
				w.change(`UPDATE orders SET state = 'held', held = 1000, refunded = 0, deadline = 'ship_by', deadline_at = now() WHERE id = $1`, w.orders[paid].ID.UUID())
			}
		}, paid, "the order holds 0, its escrow account 1000", 2},
		{"an order says paid, the ledger knows nothing", func(w *world) func() {
			w.change(`UPDATE orders SET state = 'held', held = 1000, paid_at = now(), deadline = 'ship_by' WHERE id = $1`, w.orders[0].ID.UUID())
			return func() {
				w.change(`UPDATE orders SET state = 'agreed', held = 0, paid_at = NULL, deadline = 'pay_by' WHERE id = $1`, w.orders[0].ID.UUID())
			}
		}, 0, "the order holds 1000, and has no escrow account", 2},
		{"the order's row is gone", func(w *world) func() {
			w.exec(`CREATE TABLE kept AS SELECT * FROM orders WHERE id = $1`, w.orders[paid].ID.UUID())
			w.exec(`ALTER TABLE kept DROP COLUMN open`) // Postgres works it out
			w.exec(`DELETE FROM orders WHERE id = $1`, w.orders[paid].ID.UUID())
			var columns string
			w.must(w.db.Get(&columns, `SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
				WHERE attrelid = 'kept'::regclass AND attnum > 0 AND NOT attisdropped`))
			return func() { w.exec(`INSERT INTO orders (` + columns + `) SELECT ` + columns + ` FROM kept`) }
		}, paid, "no such order", 2},
		{"a deadline is not noted", func(w *world) func() {
			w.exec(`CREATE TABLE notes AS SELECT * FROM order_deadlines WHERE order_id = $1`, w.orders[paid].ID.UUID())
			w.exec(`DELETE FROM order_deadlines WHERE order_id = $1`, w.orders[paid].ID.UUID())
			return func() { w.exec(`INSERT INTO order_deadlines SELECT * FROM notes`) }
		}, paid, "no job will see it pass", 1},
		{"money left escrow past the write path", func(w *world) func() {
			o := w.orders[paid]
			w.transfer(o.ID, o.BuyerAccount, 1, 0)
			return func() { w.transfer(o.BuyerAccount, o.ID, 1, 0) }
		}, paid, "the order holds 1000, its escrow account 999", 2},
		{"money came into the account of a closed order", func(w *world) func() {
			o := w.orders[canceled]
			w.transfer(o.BuyerAccount, o.ID, 1, 0)
			return func() { w.transfer(o.ID, o.BuyerAccount, 1, 0) }
		}, canceled, "the order holds 0, its escrow account 1", 2},
		{"the money of a dispute is not frozen", func(w *world) func() {
			o := w.orders[disputed]
			w.exec(`CREATE TABLE claims AS SELECT id, claim FROM orders WHERE id = $1`, o.ID.UUID())
			w.change(`UPDATE orders SET state = 'shipped', freeze_id = NULL, claim = NULL, deadline = 'confirm_by' WHERE id = $1`, o.ID.UUID())
			return func() {
				w.change(`UPDATE orders SET state = 'disputed', freeze_id = $2, deadline = 'rule_by',
					claim = (SELECT c.claim FROM claims c WHERE c.id = orders.id) WHERE id = $1`, o.ID.UUID(), o.Freeze.UUID())
			}
		}, disputed, "the order is shipped with 0 frozen, its escrow account has 1000 pending out", 1},
		{"money is frozen that should not be", func(w *world) func() {
			o := w.orders[paid]
			pending := w.transfer(o.ID, o.SellerAccount, 5, ledger.TransferPending)
			return func() {
				res, err := w.engine.CreateTransfers(w.ctx, []ledger.Transfer{{ID: ledger.FromBytes(uuid.Must(uuid.NewV7())),
					PendingID: pending, Flags: ledger.TransferVoidPending}})
				w.must(err)
				if res[0].Status != ledger.TransferCreated {
					w.t.Fatalf("the ledger refused: %v", res[0].Status)
				}
			}
		}, paid, "the order is held with 0 frozen, its escrow account has 5 pending out", 1},
		{"a released order's row says more is held", func(w *world) func() {
			o := w.orders[released]
			w.change(`UPDATE orders SET state = 'held', held = 1000, released = 0, fee_charged = 0, deadline = 'ship_by' WHERE id = $1`, o.ID.UUID())
			return func() {
				w.change(`UPDATE orders SET state = 'released', held = 0, released = 1000, fee_charged = fee, deadline = 'mature_at' WHERE id = $1`, o.ID.UUID())
			}
		}, released, "the order holds 1000, its escrow account 0", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			mend := c.plant(w)
			r, err := w.check()
			var unbalanced *Unbalanced
			if !errors.As(err, &unbalanced) || r.Balanced || r.Differences != c.count || len(r.Listed) != int(c.count) {
				t.Fatalf("%+v, %v; want %d differences", r, err, c.count)
			}
			d := r.Listed[len(r.Listed)-1]
			if d.Order != w.orders[c.order].ID.UUID() || !strings.Contains(d.What, c.what) || !strings.Contains(err.Error(), r.Listed[0].String()) {
				t.Errorf("%s (%v); want %q", d, err, c.what)
			}
			mend()
			w.balanced()
		})
	}
}

// An authorisation that was voided behind the order's back is seen in the sums.
func TestAuthorisationIsGone(t *testing.T) {
	w := newWorld(t)
	o := w.orders[7]
	pending, err := w.engine.LookupTransfers(w.ctx, []ledger.ID{o.Freeze})
	w.must(err)
	res, err := w.engine.CreateTransfers(w.ctx, []ledger.Transfer{{ID: ledger.FromBytes(uuid.Must(uuid.NewV7())),
		PendingID: o.Freeze, Flags: ledger.TransferVoidPending}})
	w.must(err)
	if res[0].Status != ledger.TransferCreated {
		t.Fatalf("the ledger refused: %v", res[0].Status)
	}
	r, err := w.check()
	var unbalanced *Unbalanced
	if !errors.As(err, &unbalanced) || r.Differences != 1 || !strings.Contains(r.Listed[0].What, "orders have 1000 authorised, buyers' accounts 0 pending") {
		t.Fatalf("%+v, %v; want one difference of the authorised", r, err)
	}
	w.transfer(pending[0].DebitAccountID, o.BuyerAccount, 1000, ledger.TransferPending)
	w.balanced()
}

// What is authorised is compared with all that the buyer is to pay, a share of
// the fee included.
func TestAuthorisedWithShare(t *testing.T) {
	w := newWorld(t)
	p := order.Standard()
	p.FeeRules = []order.FeeRule{
		{Method: "card", Fee: order.Fee{Bps: 300}, BorneBy: order.BuyerBears},
		{Currency: "USD", Fee: order.Fee{Bps: 700}, BorneBy: order.BuyerBears},
	}
	store := orderdb.New(w.db)
	_, err := store.AddPolicy(w.ctx, w.market.ID, p)
	w.must(err)
	for _, method := range []string{"card", "wallet"} {
		r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID,
			Agreement: &posting.Agreement{Reference: method, Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 1000},
			Command:   order.Command{Event: order.Agree, At: now}})
		w.must(err)
		_, err = w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID, Orders: []ledger.ID{r.Orders[0].ID},
			Command: order.Command{Event: order.Authorise, At: now, Method: method}})
		w.must(err)
	}
	if got := w.balanced().Ledgers[0]; got.Authorised != ledger.U64(1000+1030+1070) || got.Promised != got.Authorised {
		t.Errorf("%+v", got)
	}
}

// lopsided is a ledger that shows one account with more than it has.
type lopsided struct {
	ledger.Engine
	code chart.AccountCode
}

func (l lopsided) QueryAccounts(ctx context.Context, f ledger.QueryFilter) ([]ledger.Account, error) {
	list, err := l.Engine.QueryAccounts(ctx, f)
	for i := range list {
		if list[i].Code == uint16(l.code) {
			list[i].CreditsPosted.Lo += 7
		}
	}
	return list, err
}

func TestDebitsAreNotCredits(t *testing.T) {
	w := newWorld(t)
	r, err := Check(w.ctx, w.db, lopsided{w.engine, chart.FeeRevenue}, w.opts)
	var unbalanced *Unbalanced
	if !errors.As(err, &unbalanced) || r.Differences != 1 || !strings.Contains(r.Listed[0].What, "credits posted 12007") {
		t.Errorf("%+v, %v; want one difference of 7", r, err)
	}
}

// An order whose event has no outcome yet is no difference, whatever the
// ledger holds; once it has one it is looked at again.
func TestMovingOrders(t *testing.T) {
	w := newWorld(t)
	o := w.orders[1]
	w.transfer(o.ID, o.BuyerAccount, 1000, 0) // as a refund would, not yet recorded
	w.exec(`WITH made AS (INSERT INTO intents (id, chain, position, order_id, seq, attempt, marketplace, event, actor, state, held, released,
			refunded, fee_charged, tax_charged, maturing, at, buyer_extended, seller_extended)
		SELECT gen_random_uuid(), gen_random_uuid(), 0, id, seq + 1, 0, marketplace, 'cancel', 'buyer', 'canceled', 0, 0, 1000, 0, 0, 0, at, 0, 0
		FROM orders WHERE id = $1 RETURNING id) INSERT INTO open_batches (first, last) SELECT id, id FROM made`, o.ID.UUID())
	r, err := w.check()
	var unsettled *Unsettled
	if !errors.As(err, &unsettled) || unsettled.Orders != 1 || r.Balanced || r.Differences != 0 || r.Ledgers[0].Compared {
		t.Fatalf("%+v, %v; want one order unsettled, and no difference", r, err)
	}
	// The outcome comes while the check is under way.
	recorded := false
	w.opts.Rounds = 1000
	w.opts.Progress = func(r Report) error {
		if len(r.Ledgers) == 1 && !recorded {
			recorded = true
			w.exec(`WITH i AS (SELECT id AS intent, order_id, seq, marketplace FROM open_intents),
				applied AS (INSERT INTO outcomes (intent, marketplace, outcome) SELECT intent, marketplace, 'applied' FROM i)
				UPDATE orders SET state = 'canceled', held = 0, refunded = 1000, deadline = NULL, deadline_at = NULL, seq = i.seq
				FROM i WHERE id = i.order_id`)
		}
		return nil
	}
	if r, err := w.check(); err != nil || !r.Balanced || !recorded {
		t.Errorf("%+v, %v; want balanced books", r, err)
	}
}

func TestProgressEndsTheCheck(t *testing.T) {
	w := newWorld(t)
	enough := errors.New("enough")
	w.opts.Progress = func(Report) error { return enough }
	if r, err := w.check(); !errors.Is(err, enough) || r.Balanced {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestNoMoreThanTwentyAreListed(t *testing.T) {
	c := &checker{}
	for i := range 30 {
		c.diffs = append(c.diffs, Difference{Ledger: 1840, Order: fmt.Sprintf("%02d", 29-i)})
	}
	c.settle()
	if c.report.Differences != 30 || len(c.report.Listed) != 20 || c.report.Listed[0].Order != "00" {
		t.Errorf("%+v", c.report)
	}
}
