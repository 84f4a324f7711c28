package posting_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
)

// hold locks a table, as another process does that is in the middle of
// something: whoever wants to write to it waits (to read it too, if the mode is
// ACCESS EXCLUSIVE), until the transaction ends.
func (w *world) hold(table, mode string) *sqlx.Tx {
	w.t.Helper()
	tx, err := w.db.Beginx()
	w.must(err)
	w.t.Cleanup(func() { _ = tx.Rollback() })
	_, err = tx.Exec(`LOCK TABLE ` + table + ` IN ` + mode + ` MODE`)
	w.must(err)
	return tx
}

// queued waits until n others wait for a table that is held.
func (w *world) queued(table string, n int) {
	w.t.Helper()
	w.eventually(func() bool {
		var waiting int
		w.must(w.db.Get(&waiting, `SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1::regclass`, table))
		return waiting == n
	})
}

// keyed gives a request a key and what stands for its body.
func keyed(r posting.Request, key string, body byte) posting.Request {
	r.Key, r.Hash = key, [32]byte{body}
	return r
}

// late does a request at the second process and takes back that its key is
// used. What it answers makes it used, as if only now: so the first process can
// be made to look for the key before, and for all else after.
func (w *world) late(second *posting.Poster, r posting.Request) (posting.Result, func(tx *sqlx.Tx)) {
	w.t.Helper()
	res, err := second.Do(w.ctx, r)
	w.must(err)
	done, err := w.db.Exec(`DELETE FROM idempotency_keys WHERE marketplace = $1 AND key = $2`, r.Marketplace, r.Key)
	w.must(err)
	if n, _ := done.RowsAffected(); n != 1 {
		w.t.Fatalf("key %s was used %d times", r.Key, n)
	}
	return res, func(tx *sqlx.Tx) {
		_, err := tx.Exec(`INSERT INTO idempotency_keys (marketplace, key, hash, intent) VALUES ($1, $2, $3, $4)`,
			r.Marketplace, r.Key, r.Hash[:], res.Intent.UUID())
		w.must(err)
	}
}

// Another process uses an idempotency key, or takes a place in an order, after
// this one has looked for it and before it writes. The whole batch is decided
// again: the late request gets the other's answer or hears of the conflict, the
// requests beside it take place once.
func TestTakenInBetween(t *testing.T) {
	for _, c := range []struct {
		name  string
		body  byte // the second process's is 1
		other bool // the request is about another order than the second's
	}{
		{"same key, same body", 1, false},
		{"same key, other body", 2, false},
		{"same key, other body, other order", 2, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, nil)
			second := w.another()
			o, beside := w.agree("T-1"), w.agree("T-2") // both in the first process's memory
			first, use := w.late(second, keyed(w.event(o.ID, paid), "k", 1))
			about := o.ID
			if c.other {
				about = w.agree("T-3").ID
			}
			batch := []posting.Request{
				keyed(w.agreement("T-4"), "k4", 1),
				keyed(w.event(about, paid), "k", c.body),
				keyed(w.event(beside.ID, paid), "k2", 1),
				w.agreement("T-5"),
			}
			between := w.hold("idempotency_keys", "SHARE")
			done := make(chan []posting.Answer, 1)
			go func() { done <- w.poster.DoAll(w.soon(), batch) }()
			w.queued("idempotency_keys", 1)
			use(between)
			w.must(between.Commit())

			answers := <-done
			for _, i := range []int{0, 2, 3} {
				if a := answers[i]; a.Err != nil || a.Result.Replayed {
					t.Errorf("beside it, %d: %+v", i, a)
				}
			}
			late := answers[1]
			if c.body == 1 {
				if late.Err != nil || !late.Result.Replayed || late.Result.Intent != first.Intent ||
					late.Result.LedgerTimestamp != first.LedgerTimestamp || late.Result.Orders[0].Progress != first.Orders[0].Progress {
					t.Errorf("the same request: %+v, the first was %+v", late, first)
				}
			} else if !errors.Is(late.Err, posting.ErrKeyReused) {
				t.Errorf("another request under the key: %+v", late)
			}
			if paid := w.books()[chart.PayinClearing][0]; paid != 2*10_000 {
				t.Errorf("paid in %d", paid)
			}
			w.balanced()

			// And the keys of those beside it are used.
			for _, i := range []int{0, 2} {
				again, err := w.poster.Do(w.ctx, batch[i])
				if err != nil || !again.Replayed || again.Intent != answers[i].Result.Intent {
					t.Errorf("%d again: %+v, %v", i, again, err)
				}
			}
		})
	}
}

// A key is used while the batch is decided again for another reason: then it
// is decided a third time.
func TestTakenInBetweenAgain(t *testing.T) {
	w := newWorld(t, nil)
	second := w.another()
	overtaken, o := w.agree("T-1"), w.agree("T-2")
	_, err := second.Do(w.ctx, w.event(overtaken.ID, paid))
	w.must(err)
	_, use := w.late(second, keyed(w.event(w.agree("T-3").ID, paid), "k", 1))
	batch := []posting.Request{
		w.event(overtaken.ID, canceled),
		keyed(w.event(o.ID, paid), "k", 2),
		w.agreement("T-4"),
	}
	between := w.hold("idempotency_keys", "SHARE")
	done := make(chan []posting.Answer, 1)
	go func() { done <- w.poster.DoAll(w.soon(), batch) }()
	w.queued("idempotency_keys", 1)
	// Whoever waits for the table next has it between the first turn, which
	// finds a place taken, and the second.
	then, err := w.db.Beginx()
	w.must(err)
	defer then.Rollback()
	next := make(chan error, 1)
	go func() { _, err := then.Exec(`LOCK TABLE idempotency_keys IN SHARE MODE`); next <- err }()
	w.queued("idempotency_keys", 2)
	w.must(between.Rollback())
	w.must(<-next)
	w.queued("idempotency_keys", 1)
	use(then)
	w.must(then.Commit())

	answers := <-done
	if answers[0].Err != nil || answers[0].Result.Orders[0].State != order.Canceled || answers[2].Err != nil {
		t.Errorf("beside it: %+v", answers)
	}
	if !errors.Is(answers[1].Err, posting.ErrKeyReused) {
		t.Errorf("another request under the key: %+v", answers[1])
	}
	if got := w.order(o.ID); got.State != order.Agreed {
		t.Errorf("it is %s", got.State)
	}
	w.balanced()
}

// The same request comes to two processes at the same moment. One does it, and
// the other answers the same, whatever it is that the second finds taken.
func TestSameRequestAtTwoProcesses(t *testing.T) {
	for _, c := range []struct {
		name, table string
		req         func(w *world) posting.Request
	}{
		{"agree", "order_references", func(w *world) posting.Request { return w.agreement("S-1") }},
		{"pay", "intents", func(w *world) posting.Request { return w.event(w.agree("S-1").ID, paid) }},
		{"ship", "intents", func(w *world) posting.Request {
			o := w.agree("S-1")
			w.do(o.ID, paid)
			return w.event(o.ID, shipped)
		}},
	} {
		for _, body := range []byte{1, 2} {
			t.Run(fmt.Sprintf("%s, body %d", c.name, body), func(t *testing.T) {
				w := newWorld(t, nil)
				req := c.req(w)
				between := w.hold(c.table, "SHARE")
				done := make(chan posting.Answer, 2)
				for p, r := range map[*posting.Poster]posting.Request{w.poster: keyed(req, "k", 1), w.another(): keyed(req, "k", body)} {
					go func() { done <- p.DoAll(w.soon(), []posting.Request{r})[0] }()
				}
				w.queued(c.table, 2)
				w.must(between.Rollback())
				a, b := <-done, <-done
				if a.Err != nil || a.Result.Replayed {
					a, b = b, a
				}
				if a.Err != nil || a.Result.Replayed {
					t.Fatalf("nobody did it: %+v and %+v", a, b)
				}
				if body == 1 && (b.Err != nil || !b.Result.Replayed || b.Result.Intent != a.Result.Intent) {
					t.Errorf("the other of the same body: %+v, want what the first did: %+v", b, a)
				}
				if body == 2 && !errors.Is(b.Err, posting.ErrKeyReused) {
					t.Errorf("the other of another body: %+v", b)
				}
				w.balanced()
			})
		}
	}
}

// A process looks for a key before another uses it, and at the order after:
// what refuses the request then is the very request, so it gets its answer.
func TestRefusedByItself(t *testing.T) {
	w := newWorld(t, nil)
	o := w.agree("I-1")
	first, use := w.late(w.poster, keyed(w.event(o.ID, paid), "k", 1))
	second := w.another() // who has to read the order
	_, err := second.Do(w.ctx, w.agreement("I-2"))
	w.must(err)
	between := w.hold("orders", "ACCESS EXCLUSIVE")
	done := make(chan posting.Answer, 1)
	go func() {
		done <- second.DoAll(w.soon(), []posting.Request{keyed(w.event(o.ID, paid), "k", 1)})[0]
	}()
	w.queued("orders", 1)
	use(between)
	w.must(between.Commit())
	if a := <-done; a.Err != nil || !a.Result.Replayed || a.Result.Intent != first.Intent {
		t.Errorf("%+v", a)
	}
	w.balanced()
}

// Places in orders are taken in between, of one request in a batch or of
// several: the others take place once, these are decided by what is there.
func TestPlaceTakenInBetween(t *testing.T) {
	w := newWorld(t, nil)
	second := w.another()
	const n = 8
	var ids []ledger.ID
	for i := range n {
		ids = append(ids, w.agree(fmt.Sprint("B-", i)).ID)
	}
	var batch []posting.Request
	for _, id := range ids {
		batch = append(batch, w.event(id, paid))
	}
	// Even ones are canceled, paid or left to the first process.
	between := w.hold("intents", "SHARE")
	done := make(chan []posting.Answer, 2)
	others := []posting.Request{w.event(ids[0], canceled), w.event(ids[2], paid), w.event(ids[4], canceled)}
	go func() { done <- second.DoAll(w.soon(), others) }()
	w.queued("intents", 1)
	go func() { done <- w.poster.DoAll(w.soon(), batch) }()
	w.queued("intents", 2)
	w.must(between.Rollback())
	a, b := <-done, <-done
	if len(a) != n {
		a, b = b, a
	}
	// Whoever was first of the two: each order had one of them.
	for i := range n {
		var other error = errNotAsked
		if i%2 == 0 && i < 6 {
			other = b[i/2].Err
		}
		o := w.order(ids[i])
		switch events := w.events(ids[i]); {
		case len(events) != 2 && !(len(events) == 3 && events[1] == order.Pay && events[2] == order.Cancel):
			t.Errorf("order %d: %v", i, events)
		case a[i].Err == nil && !slices.Contains(events, order.Pay), a[i].Err != nil && !errors.As(a[i].Err, new(*order.Refusal)):
			t.Errorf("order %d: %v after %v", i, a[i].Err, events)
		case other == nil && i != 2 && o.State != order.Canceled:
			t.Errorf("order %d was canceled and is %s", i, o.State)
		case i == 2 && (a[i].Err == nil) == (other == nil):
			t.Errorf("paid by both or none: %v, %v", a[i].Err, other)
		case other == errNotAsked && o.State != order.Held:
			t.Errorf("order %d is %s: %v", i, o.State, a[i].Err)
		}
	}
	w.balanced()
}

var errNotAsked = errors.New("nobody asked")

// While a process waits for the ledger another drives some of the same events
// and records them. The first records the rest, each once, and tells its
// callers what stands.
func TestOutcomeRecordedInBetween(t *testing.T) {
	g := &gate{reached: make(chan struct{}, 9), open: make(chan struct{}, 9)}
	w := newWorld(t, func(e ledger.Engine) ledger.Engine { g.Engine = e; return g })
	second := w.another()
	var batch []posting.Request
	for i := range 4 {
		batch = append(batch, w.event(w.agree(fmt.Sprint("R-", i)).ID, paid))
	}
	done := make(chan []posting.Answer, 1)
	go func() { done <- w.poster.DoAll(w.soon(), batch) }()
	<-g.reached
	n, err := second.Redrive(w.ctx, 0, 2)
	w.must(err)
	if n != 2 {
		t.Fatalf("redrove %d", n)
	}
	g.open <- struct{}{}
	for i, a := range <-done {
		if a.Err != nil || a.Result.Orders[0].State != order.Held || a.Result.LedgerTimestamp == 0 {
			t.Errorf("order %d: %+v", i, a)
		}
	}
	w.balanced()
	// Nobody's memory is ahead of the orders or behind them.
	for _, r := range batch {
		if o := w.do(r.Orders[0], shipped); o.Seq != 3 {
			t.Errorf("%+v", o.Progress)
		}
	}
	w.balanced()
}

// A caller who leaves while his request is decided again is told so, and the
// request does not take place behind his back.
func TestLeftWhileDecidedAgain(t *testing.T) {
	w := newWorld(t, nil)
	second := w.another()
	o := w.agree("L-1")
	_, err := second.Do(w.ctx, w.event(o.ID, paid))
	w.must(err)
	between := w.hold("orders", "ACCESS EXCLUSIVE") // where it is looked at again
	ctx, leave := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { _, err := w.poster.Do(ctx, w.event(o.ID, shipped)); done <- err }()
	w.queued("orders", 1)
	leave()
	if err := <-done; !errors.Is(err, posting.ErrUnknown) {
		t.Errorf("the caller heard %v", err)
	}
	w.must(between.Rollback())
	w.eventually(func() bool { return w.order(o.ID).State == order.Shipped })
	w.balanced()
}
