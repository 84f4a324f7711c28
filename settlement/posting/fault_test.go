package posting_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

// flaky is a ledger whose answers get lost: before or after it has done what
// was asked, as told.
type flaky struct {
	ledger.Engine
	mu   sync.Mutex
	lose func() (before, after bool)
}

var errLost = fmt.Errorf("%w: the line went dead", ledger.ErrUnknown)

func (f *flaky) CreateTransfers(ctx context.Context, ts []ledger.Transfer) ([]ledger.TransferResult, error) {
	f.mu.Lock()
	before, after := f.lose()
	f.mu.Unlock()
	if before {
		return nil, errLost
	}
	res, err := f.Engine.CreateTransfers(ctx, ts)
	if after {
		return nil, errLost
	}
	return res, err
}

// An answer that gets lost, before or after the ledger did its work, is asked
// for again with the same ids: every event is booked once.
func TestLostAnswers(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	f := &flaky{lose: func() (bool, bool) { return rnd.IntN(3) == 0, rnd.IntN(3) == 0 }}
	w := newWorld(t, func(e ledger.Engine) ledger.Engine { f.Engine = e; return f })
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for i := range 10 {
				r, err := w.poster.Do(w.ctx, w.agreement(fmt.Sprintf("L-%d-%d", c, i)))
				if err != nil {
					t.Error(err)
					return
				}
				id := r.Orders[0].ID
				for _, cmd := range []order.Command{
					{Event: order.Pay, Method: "card", At: start}, {Event: order.Ship, At: start}, {Event: order.Confirm, At: start},
				} {
					if _, err := w.poster.Do(w.ctx, w.event(id, cmd)); err != nil {
						t.Errorf("%s: %v", cmd.Event, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if b := w.books(); b[chart.PayinClearing][0] != 80*10_000 || b[chart.FeeRevenue][1] != 80*500 {
		t.Errorf("books: %v", b)
	}
	w.balanced()
}

// A process dies between any two steps. What it leaves is finished by the
// redrive of another: applied if the ledger has it or can have it.
func TestRedrive(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after bool
	}{
		{"the ledger never heard of it", true, false},
		{"the ledger did it", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &flaky{lose: func() (bool, bool) { return c.before, c.after }}
			w := newWorld(t, nil)
			f.Engine = w.engine
			var ids []ledger.ID
			for i := range 3 {
				ids = append(ids, w.agree(fmt.Sprint("D-", i)).ID)
			}
			dying := posting.New(w.db, f, posting.Options{})
			req := posting.Request{Marketplace: w.market.ID, Orders: ids[:2], Key: "pay", Command: order.Command{Event: order.Pay, Method: "card", At: start}}
			ctx, cancel := context.WithCancel(w.ctx)
			left := make(chan error, 1)
			go func() { _, err := dying.Do(ctx, req); left <- err }()
			w.eventually(func() bool { // it is decided and the ledger does not answer
				n, _, err := w.store.OpenBatches(w.ctx)
				return err == nil && n == 1
			})
			cancel()
			if err := <-left; !errors.Is(err, posting.ErrUnknown) {
				t.Errorf("the caller who left heard %v", err)
			}
			gone, stop := context.WithCancel(w.ctx)
			stop()
			if err := dying.Close(gone); err == nil {
				t.Error("closed with an intent in flight and said nothing")
			}
			// The order is busy until somebody finds out.
			short, cancel2 := context.WithTimeout(w.ctx, 50*time.Millisecond)
			if _, err := w.poster.Do(short, w.event(ids[0], order.Command{Event: order.Cancel, At: start})); !errors.Is(err, posting.ErrUnavailable) && !errors.Is(err, posting.ErrUnknown) {
				t.Errorf("an order in flight: %v", err)
			}
			cancel2()
			n, err := w.poster.Redrive(w.ctx, 0, 100)
			w.must(err)
			if n != 2 {
				t.Errorf("redrove %d", n)
			}
			r, err := w.poster.Do(w.ctx, req)
			w.must(err)
			if !r.Replayed || r.Orders[1].State != order.Held || r.LedgerTimestamp == 0 {
				t.Errorf("%+v", r)
			}
			if n, err := w.poster.Redrive(w.ctx, 0, 100); n != 0 || err != nil {
				t.Errorf("a second redrive found %d, %v", n, err)
			}
			line, err := w.store.Timeline(w.ctx, ids[1])
			w.must(err)
			if moved, _ := w.engine.LookupTransfers(w.ctx, []ledger.ID{order.LegID(line[1].Intent, 0, 1)}); len(moved) != 1 || moved[0].Timestamp != line[1].LedgerTimestamp {
				t.Errorf("the second order's hold: %+v, timeline says %d", moved, line[1].LedgerTimestamp)
			}
			w.balanced()
		})
	}
}

func (w *world) eventually(ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("it never came to pass")
		}
	}
}

// The ledger holds something else under an event's ids. That stops the order,
// says so to whoever asks, and leaves all others alone.
func TestFrozen(t *testing.T) {
	var w *world
	spoil := true
	f := &flaky{}
	f.lose = func() (bool, bool) { return false, false }
	w = newWorld(t, func(e ledger.Engine) ledger.Engine { f.Engine = &spoiler{Engine: e, spoil: &spoil}; return f })
	o := w.agree("F-1")
	var rejected *posting.Rejected
	if _, err := w.poster.Do(w.ctx, w.event(o.ID, order.Command{Event: order.Pay, Method: "card", At: start})); !errors.As(err, &rejected) || !rejected.Frozen {
		t.Fatalf("%v", err)
	}
	spoil = false
	if _, err := w.poster.Do(w.ctx, w.event(o.ID, order.Command{Event: order.Pay, Method: "card", At: start})); !errors.As(err, &rejected) || !rejected.Frozen {
		t.Fatalf("after it: %v", err)
	}
	if o := w.do(w.agree("F-2").ID, order.Command{Event: order.Pay, Method: "card", At: start}); o.State != order.Held {
		t.Errorf("the others: %+v", o.Progress)
	}
}

// An order's row is damaged while its money is with the ledger, so that the
// outcome cannot be recorded. The other orders of the batch are not held up,
// the caller hears that nothing is known yet, and once the row is mended the
// redrive finishes the event: its batch was kept open.
func TestOutcomeThatCannotBeRecorded(t *testing.T) {
	g := &gate{reached: make(chan struct{}, 9), open: make(chan struct{}, 9)}
	w := newWorld(t, func(e ledger.Engine) ledger.Engine { g.Engine = e; return g })
	var reqs []posting.Request
	for i := range 3 {
		reqs = append(reqs, w.event(w.agree(fmt.Sprint("B-", i)).ID, order.Command{Event: order.Pay, Method: "card", At: start}))
	}
	bad := reqs[1].Orders[0]
	done := make(chan []posting.Answer, 1)
	go func() { done <- w.poster.DoAll(w.ctx, reqs) }()
	<-g.reached
	_, err := w.db.Exec(`UPDATE orders SET seq = seq + 5 WHERE id = $1`, bad.UUID())
	w.must(err)
	g.open <- struct{}{}
	for i, a := range <-done {
		if want := i == 1; errors.Is(a.Err, posting.ErrUnknown) != want || (a.Err != nil) != want {
			t.Errorf("order %d: %v", i, a.Err)
		}
	}
	if n, _, err := w.store.OpenBatches(w.ctx); n != 1 || err != nil {
		t.Errorf("%d open batches, %v: the redrive would not find the event", n, err)
	}
	_, err = w.db.Exec(`UPDATE orders SET seq = seq - 5 WHERE id = $1`, bad.UUID())
	w.must(err)
	g.open <- struct{}{}
	if n, err := w.poster.Redrive(w.ctx, 0, 100); n != 1 || err != nil {
		t.Errorf("redrove %d, %v", n, err)
	}
	if o := w.order(bad); o.State != order.Held {
		t.Errorf("%+v", o.Progress)
	}
	w.balanced()
}

// gate is a ledger whose create_transfers waits to be let through.
type gate struct {
	ledger.Engine
	reached, open chan struct{}
}

func (g *gate) CreateTransfers(ctx context.Context, ts []ledger.Transfer) ([]ledger.TransferResult, error) {
	g.reached <- struct{}{}
	<-g.open
	return g.Engine.CreateTransfers(ctx, ts)
}

// spoiler books something else under the first id before the chain comes.
type spoiler struct {
	ledger.Engine
	spoil *bool
}

func (s *spoiler) CreateTransfers(ctx context.Context, ts []ledger.Transfer) ([]ledger.TransferResult, error) {
	if *s.spoil {
		other := ts[0]
		other.Flags, other.Amount = 0, ledger.U64(1)
		if _, err := s.Engine.CreateTransfers(ctx, []ledger.Transfer{other}); err != nil {
			return nil, err
		}
	}
	return s.Engine.CreateTransfers(ctx, ts)
}

// Postgres goes away under load and comes back: nobody who was told "applied"
// loses anything, and everybody else is told the truth.
func TestDatabaseGone(t *testing.T) {
	w := newWorld(t, nil)
	tickets := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() {
		for range tickets {
			// Whatever works on the orders at this moment loses its connection.
			_, _ = w.db.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE pid <> pg_backend_pid() AND pid IN (SELECT pid FROM pg_locks WHERE relation = 'intents'::regclass)`)
		}
	})
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	var wg sync.WaitGroup
	for c := range 6 {
		wg.Go(func() {
			for i := range 15 {
				ref := fmt.Sprintf("G-%d-%d", c, i)
				req := w.agreement(ref)
				req.Key = ref
				r, err := w.insist(req)
				if err != nil {
					t.Errorf("agree: %v", err)
					return
				}
				pay := w.event(r.Orders[0].ID, order.Command{Event: order.Pay, Method: "card", At: start})
				pay.Key = ref + "/pay"
				if _, err := w.insist(pay); err != nil {
					t.Errorf("pay: %v", err)
					return
				}
				mu.Lock()
				acknowledged[ref] = true
				mu.Unlock()
				select {
				case tickets <- struct{}{}:
				default:
				}
			}
		})
	}
	wg.Wait()
	close(tickets)
	killer.Wait()
	w.eventually(func() bool { n, _, err := w.store.OpenBatches(w.ctx); return err == nil && n == 0 })
	for ref := range acknowledged {
		if o, err := w.store.OrderByReference(w.ctx, w.market.ID, ref); err != nil || o.State != order.Held {
			t.Errorf("%s: %v %s", ref, err, o.State)
		}
	}
	if paid := w.books()[chart.PayinClearing][0]; paid != int64(len(acknowledged))*10_000 {
		t.Errorf("paid in %d for %d orders", paid, len(acknowledged))
	}
	w.balanced()
}

// insist sends a request until its outcome is known, as a client should.
func (w *world) insist(req posting.Request) (posting.Result, error) {
	for try := 0; ; try++ {
		ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
		r, err := w.poster.Do(ctx, req)
		cancel()
		if err == nil || try == 500 || !errors.Is(err, posting.ErrUnavailable) && !errors.Is(err, posting.ErrUnknown) {
			return r, err
		}
		time.Sleep(time.Millisecond)
	}
}

// The queue is bounded: beyond it requests are turned away at once, with
// nothing decided.
func TestTooManyWait(t *testing.T) {
	w := newWorld(t, nil)
	p := posting.New(w.db, w.engine, posting.Options{QueueMax: 4})
	defer p.Close(context.Background())
	var reqs []posting.Request
	for i := range 5 {
		reqs = append(reqs, w.agreement(fmt.Sprint("Q-", i)))
	}
	for _, a := range p.DoAll(w.ctx, reqs) {
		if !errors.Is(a.Err, posting.ErrUnavailable) {
			t.Errorf("%v", a.Err)
		}
	}
	if a := p.DoAll(w.ctx, reqs[:4]); a[3].Err != nil {
		t.Error(a[3].Err)
	}
}

func TestCloseAnswersEverybody(t *testing.T) {
	w := newWorld(t, nil)
	p := posting.New(w.db, w.engine, posting.Options{})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			_, err := p.Do(context.Background(), w.agreement(fmt.Sprint("C-", i)))
			if err != nil && !errors.Is(err, posting.ErrUnavailable) {
				t.Error(err)
			}
		})
	}
	w.must(p.Close(w.ctx))
	wg.Wait()
	if _, err := p.Do(w.ctx, w.agreement("C-after")); !errors.Is(err, posting.ErrUnavailable) {
		t.Errorf("after Close: %v", err)
	}
	w.balanced()
}

func TestMain(m *testing.M) {
	flag.Parse()
	// Each run has a schema of its own; a soak raises the number by the flag.
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("12")
	}
	os.Exit(m.Run())
}

// Random events, legal and not, on a few orders at once, through a ledger
// that loses answers: the promises hold.
func TestRandomEvents(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sub := &subtest{TB: t}
		defer sub.cleanup()
		seed := rapid.Uint64().Draw(rt, "seed")
		rnd := rand.New(rand.NewPCG(seed, 1))
		f := &flaky{lose: func() (bool, bool) { return rnd.IntN(10) == 0, rnd.IntN(10) == 0 }}
		w := newWorld(sub, func(e ledger.Engine) ledger.Engine { f.Engine = e; return f })
		var ids []ledger.ID
		for i := range 5 {
			ids = append(ids, w.agree(fmt.Sprint("X-", i)).ID, w.boat(fmt.Sprint("B-", i)).ID)
		}
		roles := []order.Role{order.Buyer, order.Seller, order.Carrier, order.Operator, order.System, ""}
		for range rapid.IntRange(1, 8).Draw(rt, "rounds") {
			var reqs []posting.Request
			for range 20 {
				o := w.order(rapid.SampledFrom(ids).Draw(rt, "order"))
				e := rapid.SampledFrom(order.Events[1:]).Draw(rt, "event")
				at := o.At.Add(time.Duration(rapid.IntRange(-1, 48).Draw(rt, "hours")) * time.Hour)
				if order.DueAt(e) != order.NoDeadline {
					at = o.DeadlineAt
				}
				amount := rapid.Int64Range(0, 6_000).Draw(rt, "amount")
				if e == order.Pay || e == order.Authorise {
					amount = 0
				}
				var parts []string
				if o.Parts != nil && rapid.Bool().Draw(rt, "a part") {
					parts = []string{rapid.SampledFrom(o.Parts.List).Draw(rt, "part").Name}
				}
				reqs = append(reqs, w.event(o.ID, order.Command{Event: e, Parts: parts, By: rapid.SampledFrom(roles).Draw(rt, "by"), At: at,
					Method: "card", Amount: amount, ToSeller: amount, ToBuyer: o.Held - min(amount, o.Held), Reason: "so"}))
			}
			for i, a := range w.poster.DoAll(w.ctx, reqs) {
				if a.Err != nil && !errors.As(a.Err, new(*order.Refusal)) && !errors.As(a.Err, new(*posting.Invalid)) {
					t.Fatalf("%s: %v", reqs[i].Command.Event, a.Err)
				}
			}
			w.balanced()
		}
		var list []order.Order
		list, err := w.store.Orders(w.ctx, w.market.ID, orderdb.OrderFilter{})
		w.must(err)
		for _, o := range list {
			if o.State.Open() != (o.Deadline != order.NoDeadline) {
				t.Errorf("%s without a deadline", o.State)
			}
		}
		if t.Failed() {
			rt.Fatal("see above")
		}
	})
}

// subtest gives each of rapid's runs its own cleanup.
type subtest struct {
	testing.TB
	undo []func()
}

func (s *subtest) Cleanup(f func()) { s.undo = append(s.undo, f) }
func (s *subtest) cleanup() {
	for i := len(s.undo) - 1; i >= 0; i-- {
		s.undo[i]()
	}
}
