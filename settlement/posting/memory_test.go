package posting_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

// another is a second write path on the world's order store and ledger, as in
// another process.
func (w *world) another() *posting.Poster {
	w.t.Helper()
	p := posting.New(w.db, w.engine, posting.Options{})
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			w.t.Errorf("close: %v", err)
		}
	})
	return p
}

// soon is a context that ends long before a test does, for requests that must
// not wait for ever.
func (w *world) soon() context.Context {
	ctx, cancel := context.WithTimeout(w.ctx, 20*time.Second)
	w.t.Cleanup(cancel)
	return ctx
}

// events is what happened to an order, in its order.
func (w *world) events(id ledger.ID) (list []order.Event) {
	w.t.Helper()
	line, err := w.store.Timeline(w.ctx, id)
	w.must(err)
	for _, e := range line {
		list = append(list, e.Event)
	}
	return list
}

var (
	paid      = order.Command{Event: order.Pay, Method: "card", At: start}
	shipped   = order.Command{Event: order.Ship, At: start}
	confirmed = order.Command{Event: order.Confirm, At: start}
	canceled  = order.Command{Event: order.Cancel, At: start}
)

// One process has seen an order last, and another has moved it on since. What
// the first then answers is what the database says of the order, whether its
// memory would have allowed the event or refused it; and nothing happens twice.
func TestOvertaken(t *testing.T) {
	for _, c := range []struct {
		name   string
		before []order.Command // by the first, after agreeing
		other  []order.Command // by the second
		ask    order.Command   // of the first
		want   order.State     // where the order then stands
		rule   string          // that refuses it; "" if it takes place
	}{
		{"refused by memory, allowed", nil, []order.Command{paid}, shipped, order.Shipped, ""},
		{"refused by memory, allowed after two", nil, []order.Command{paid, shipped}, confirmed, order.Released, ""},
		{"refused by memory and for another reason", nil, []order.Command{canceled}, shipped, order.Canceled, order.RuleState},
		{"allowed by memory, refused", nil, []order.Command{canceled}, paid, order.Canceled, order.RuleState},
		{"allowed by memory, done already", nil, []order.Command{paid}, paid, order.Held, order.RuleState},
		{"allowed by memory, no money moves", []order.Command{paid}, []order.Command{shipped}, shipped, order.Shipped, order.RuleState},
		{"allowed by memory, and still", nil, []order.Command{paid}, canceled, order.Canceled, ""},
	} {
		for _, by := range []string{"memory", "what the caller has seen"} {
			t.Run(c.name+", "+by, func(t *testing.T) {
				w := newWorld(t, nil)
				first, second := w.poster, w.another()
				o := w.agree("O-1")
				want := []order.Event{order.Agree}
				for _, e := range c.before {
					o = w.do(o.ID, e)
					want = append(want, e.Event)
				}
				req := w.event(o.ID, c.ask)
				if by != "memory" {
					seen := w.order(o.ID)
					req.Seen = &seen
					first = w.another() // who remembers nothing
				}
				for _, e := range c.other {
					_, err := second.Do(w.ctx, w.event(o.ID, e))
					w.must(err)
					want = append(want, e.Event)
				}
				r, err := first.Do(w.soon(), req)
				var refusal *order.Refusal
				switch {
				case c.rule == "":
					w.must(err)
					want = append(want, c.ask.Event)
					if r.Orders[0].State != c.want {
						t.Errorf("answered %+v", r.Orders[0].Progress)
					}
				case !errors.As(err, &refusal) || refusal.Rule != c.rule || refusal.State != c.want:
					t.Errorf("%v, want it refused by %s in state %s", err, c.rule, c.want)
				}
				if got := w.order(o.ID); got.State != c.want {
					t.Errorf("it stands at %s, want %s", got.State, c.want)
				}
				if got := w.events(o.ID); !slices.Equal(got, want) {
					t.Errorf("the timeline is %v, want %v", got, want)
				}
				w.balanced()
			})
		}
	}
}

// A payment for several orders, all of which the process has seen last, and of
// which another has moved some on: as a whole it is refused, and soon.
func TestPaymentOvertakenInPart(t *testing.T) {
	for _, overtaken := range [][]int{{1}, {0, 2}, {0, 1, 2}} {
		t.Run(fmt.Sprint(overtaken), func(t *testing.T) {
			w := newWorld(t, nil)
			second := w.another()
			var ids []ledger.ID
			for i := range 3 {
				ids = append(ids, w.agree(fmt.Sprint("P-", i)).ID)
			}
			for _, i := range overtaken {
				_, err := second.Do(w.ctx, w.event(ids[i], canceled))
				w.must(err)
			}
			_, err := w.poster.Do(w.soon(), posting.Request{Marketplace: w.market.ID, Orders: ids, Command: paid})
			var refusal *order.Refusal
			if !errors.As(err, &refusal) || refusal.Rule != order.RuleState || refusal.State != order.Canceled {
				t.Errorf("%v, want it refused for the canceled order", err)
			}
			if b := w.books(); b[chart.PayinClearing] != [2]int64{} {
				t.Errorf("the books: %v", b)
			}
			w.balanced()
		})
	}
}

// Requests about one order are decided in the order in which they came, also
// when the first of them is looked at twice.
func TestRequestsKeepTheirOrder(t *testing.T) {
	w := newWorld(t, nil)
	o := w.agree("K-1")
	w.do(o.ID, paid)
	// It is held: a confirmation before the shipment is refused, and must not
	// be decided after it.
	for name, p := range map[string]*posting.Poster{"from memory": w.poster, "from the database": w.another()} {
		o := w.agree("K-" + name)
		w.do(o.ID, paid)
		answers := p.DoAll(w.soon(), []posting.Request{w.event(o.ID, confirmed), w.event(o.ID, shipped)})
		var refusal *order.Refusal
		if !errors.As(answers[0].Err, &refusal) || refusal.State != order.Held || answers[1].Err != nil {
			t.Errorf("%s: the confirmation %v, the shipment %v", name, answers[0].Err, answers[1].Err)
		}
		if got := w.order(o.ID); got.State != order.Shipped {
			t.Errorf("%s: it stands at %s", name, got.State)
		}
	}
	w.balanced()
}

// An answer belongs to the caller, who may change it.
func TestAnswersAreTheCallers(t *testing.T) {
	w := newWorld(t, nil)
	r, err := w.poster.Do(w.ctx, w.agreement("C-1"))
	w.must(err)
	id := r.Orders[0].ID
	r.Orders[0].Amount, r.Orders[0].Seq = 1, 7
	r, err = w.poster.Do(w.ctx, w.event(id, paid))
	w.must(err)
	if o := r.Orders[0]; o.Held != 10_000 || o.Seq != 2 {
		t.Errorf("%+v", o)
	}
	r.Orders[0].Held = 1
	if o := w.do(id, canceled); o.Refunded != 10_000 {
		t.Errorf("%+v", o.Progress)
	}
	w.balanced()
}

// Two processes move the same orders on at random: whatever each remembers,
// every answer fits the order's one timeline.
func TestTwoPostersOvertakeEachOther(t *testing.T) {
	w := newWorld(t, nil)
	posters := []*posting.Poster{w.poster, w.another()}
	const n = 30
	var ids []ledger.ID
	for i := range n {
		r, err := posters[i%2].Do(w.ctx, w.agreement(fmt.Sprint("V-", i)))
		w.must(err)
		ids = append(ids, r.Orders[0].ID)
	}
	applied := make([]map[ledger.ID][]order.Event, 2)
	done := make(chan struct{}, 2)
	for i, p := range posters {
		applied[i] = map[ledger.ID][]order.Event{}
		go func() {
			defer func() { done <- struct{}{} }()
			for range 6 {
				for _, e := range []order.Command{paid, shipped, {Event: order.Deliver, At: start}, confirmed} {
					var reqs []posting.Request
					for _, id := range ids {
						reqs = append(reqs, w.event(id, e))
					}
					for k, a := range p.DoAll(w.ctx, reqs) {
						switch {
						case a.Err == nil:
							applied[i][ids[k]] = append(applied[i][ids[k]], e.Event)
						case !errors.As(a.Err, new(*order.Refusal)):
							t.Errorf("%s: %v", e.Event, a.Err)
						}
					}
				}
			}
		}()
	}
	<-done
	<-done
	for _, id := range ids {
		told := append(slices.Clone(applied[0][id]), applied[1][id]...)
		happened := w.events(id)[1:]
		slices.Sort(told)
		sorted := slices.Sorted(slices.Values(happened))
		if !slices.Equal(told, sorted) {
			t.Errorf("told %v, happened %v", told, happened)
		}
		if o := w.order(id); o.State != order.Released {
			t.Errorf("it stands at %s after %v", o.State, happened)
		}
	}
	w.balanced()
}

// The clock of a test marketplace is read at every decision, that of a live
// one is the machine's; what else of a marketplace may change is used at once.
func TestMarketplacesAsTheyStand(t *testing.T) {
	w := newWorld(t, nil)
	machine := start
	p := posting.New(w.db, w.engine, posting.Options{Clock: func() time.Time { return machine }})
	defer p.Close(context.Background())

	t.Run("a test clock", func(t *testing.T) {
		// What another process does to the clock counts for the next decision.
		for i := range 3 {
			w.clock(w.market.Now.Add(time.Hour))
			req := w.agreement(fmt.Sprint("T-", i))
			req.Command.At = time.Time{}
			r, err := p.Do(w.ctx, req)
			w.must(err)
			if at := r.Orders[0].AgreedAt; !at.Equal(w.market.Now) {
				t.Errorf("agreed at %s, the clock stands at %s", at, w.market.Now)
			}
		}
	})
	t.Run("a live clock", func(t *testing.T) {
		req := w.agreement("L-0")
		req.Command.At, req.Marketplace = time.Time{}, w.market.ID+1
		if _, err := p.Do(w.ctx, req); !errors.Is(err, posting.ErrNotFound) {
			t.Fatalf("a marketplace that is not there yet: %v", err)
		}
		live, err := w.store.CreateMarketplace(w.ctx, "live", orderdb.LiveClock, time.Time{})
		w.must(err)
		if live.ID != req.Marketplace {
			t.Fatalf("the marketplace is %d", live.ID)
		}
		policy := order.Standard()
		for i := range 3 {
			machine = machine.Add(time.Hour)
			req.Agreement.Reference = fmt.Sprint("L-", i)
			r, err := p.Do(w.ctx, req)
			w.must(err)
			o := r.Orders[0]
			if !o.AgreedAt.Equal(machine) || o.Policy.Version != int32(i+1) {
				t.Errorf("agreed at %s under version %d, want %s under version %d", o.AgreedAt, o.Policy.Version, machine, i+1)
			}
			policy.PayWithin += 3600
			_, err = w.store.AddPolicy(w.ctx, live.ID, policy)
			w.must(err)
		}
	})
}
