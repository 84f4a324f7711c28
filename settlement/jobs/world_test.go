package jobs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger"
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

// start is when all orders of a world are agreed.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// late is after every deadline of the standard policy.
var late = start.Add(90 * day)

func newWorld(t testing.TB) *world {
	t.Helper()
	if t, ok := t.(*testing.T); ok {
		t.Parallel()
	}
	w := &world{t: t, ctx: t.Context(), db: pgtest.Open(t)}
	w.store = orderdb.New(w.db)
	w.engine = rules.NewEngine(func() uint64 { return uint64(time.Now().UnixNano()) })
	w.poster = w.newPoster(w.engine)
	var err error
	w.market, err = w.store.CreateMarketplace(w.ctx, "shop", orderdb.TestClock, start)
	w.must(err)
	return w
}

func (w *world) newPoster(e ledger.Engine) *posting.Poster {
	p := posting.New(w.db, e, posting.Options{})
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			w.t.Errorf("closing the poster: %v", err)
		}
	})
	return p
}

func (w *world) jobs(p Poster, change func(*Options)) *Jobs {
	w.t.Helper()
	opts := Options{Batch: 3}
	if change != nil {
		change(&opts)
	}
	j, err := New(w.db, w.engine, p, opts)
	w.must(err)
	j.books.Pause = time.Millisecond
	return j
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// clock sets the marketplace's now and fires nothing.
func (w *world) clock(now time.Time) {
	w.t.Helper()
	_, err := w.store.AdvanceClock(w.ctx, w.market.ID, now, now)
	w.must(err)
}

func (w *world) agree(reference string) ledger.ID {
	w.t.Helper()
	r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID,
		Agreement: &posting.Agreement{Reference: reference, Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 10_001},
		Command:   order.Command{Event: order.Agree, At: start}})
	w.must(err)
	return r.Orders[0].ID
}

func (w *world) do(id ledger.ID, c order.Command) {
	w.t.Helper()
	_, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID, Orders: []ledger.ID{id}, Command: c})
	w.must(err)
}

func (w *world) pay(id ledger.ID) {
	w.do(id, order.Command{Event: order.Pay, At: start, Method: "card"})
}

// orders makes n orders of each kind that a deadline waits for: not paid, not
// shipped, not confirmed, delivered and not confirmed; and a disputed one.
func (w *world) orders(n int) (ids []ledger.ID) {
	w.t.Helper()
	for i := range n {
		for _, kind := range []order.State{order.Agreed, order.Held, order.Shipped, order.Delivered, order.Disputed} {
			id := w.agree(fmt.Sprintf("%s-%d", kind, i))
			ids = append(ids, id)
			if kind == order.Agreed {
				continue
			}
			w.pay(id)
			if kind == order.Held {
				continue
			}
			w.do(id, order.Command{Event: order.Ship, At: start})
			switch kind {
			case order.Delivered:
				w.do(id, order.Command{Event: order.Deliver, At: start})
			case order.Disputed:
				w.do(id, order.Command{Event: order.Dispute, At: start, Reason: "broken"})
			}
		}
	}
	return ids
}

func (w *world) order(id ledger.ID) order.Order {
	w.t.Helper()
	o, err := w.store.Order(w.ctx, w.market.ID, id)
	w.must(err)
	return o
}

// states counts the orders by state.
func (w *world) states() map[order.State]int {
	w.t.Helper()
	list, err := w.store.Orders(w.ctx, w.market.ID, orderdb.OrderFilter{Limit: 1 << 20})
	w.must(err)
	n := map[order.State]int{}
	for _, o := range list {
		n[o.State]++
	}
	return n
}

// fact is what a transfer says, without what a clock or chance gave it.
type fact struct {
	reference string // of the order
	code      uint16
	amount    uint64
	effective time.Time
}

// facts are all transfers of the books, sorted.
func (w *world) facts() []fact {
	w.t.Helper()
	list, err := w.store.Orders(w.ctx, w.market.ID, orderdb.OrderFilter{Limit: 1 << 20})
	w.must(err)
	references := map[ledger.ID]string{}
	for _, o := range list {
		references[o.ID] = o.Reference
	}
	transfers, err := w.engine.QueryTransfers(w.ctx, ledger.QueryFilter{Limit: ledger.BatchMax})
	w.must(err)
	var all []fact
	for _, t := range transfers {
		all = append(all, fact{references[t.UserData128], t.Code, t.Amount.Lo, time.UnixMicro(int64(t.UserData64)).UTC()})
	}
	slices.SortFunc(all, func(a, b fact) int {
		return slices.Compare([]byte(fmt.Sprint(a)), []byte(fmt.Sprint(b)))
	})
	return all
}

func (w *world) runAll(j *Jobs) (total Result) {
	w.t.Helper()
	for _, job := range j.List() {
		res, err := job.RunOnce(w.ctx, Run{})
		if err != nil {
			w.t.Fatalf("%s: %v", job.Name, err)
		}
		if job.Name != CheckBooks {
			total.Items += res.Items
		}
		total.Failed += res.Failed
		total.Detail.MovedOn += res.Detail.MovedOn
	}
	return total
}

func (w *world) run(j *Jobs, name string, r Run) (Result, error) {
	w.t.Helper()
	job, err := j.Job(name)
	w.must(err)
	return job.RunOnce(w.ctx, r)
}

func (w *world) rows(where string, args ...any) (n int) {
	w.t.Helper()
	w.must(w.db.Get(&n, `SELECT count(*) FROM job_runs WHERE `+where, args...))
	return n
}

func (w *world) wantStates(want map[order.State]int) {
	w.t.Helper()
	if got := w.states(); !maps.Equal(got, want) {
		w.t.Errorf("orders by state: %v, want %v", got, want)
	}
}
