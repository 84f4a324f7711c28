package posting_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"escrowd/settlement/order"
	"escrowd/settlement/posting"
)

// A large caller's orders and keys are read before it stands in line. What
// another process does to them between that and the decision is found out: each
// request gets the answer that it would have got by itself, and nothing
// happens twice.
func TestLargeCallerOvertakenInLine(t *testing.T) {
	w := newWorld(t, nil)
	second := w.another()
	reg := prometheus.NewRegistry()
	p := posting.New(w.db, w.engine, posting.Options{MaxWait: time.Minute, Registerer: reg}) // remembers no order
	defer p.Close(context.Background())

	const n = 100 // beyond what is large
	batch := make([]posting.Request, n)
	for i := range batch {
		batch[i] = keyed(w.event(w.agree(fmt.Sprint("L-", i)).ID, paid), fmt.Sprint("key-", i), 1)
	}
	replayed, reused, moved, gone := 3, 5, 7, 11
	_, useSame := w.late(second, batch[replayed])
	other := keyed(w.event(w.agree("elsewhere").ID, paid), batch[reused].Key, 2)
	_, useOther := w.late(second, other)

	// The deciding stage stands still with another request, whose key somebody
	// else is about to use, and the caller comes to stand behind that one: it
	// has read by then.
	ahead := keyed(w.event(w.agree("before").ID, paid), "before", 1)
	between, err := w.db.Beginx()
	w.must(err)
	defer func() { _ = between.Rollback() }()
	_, err = between.Exec(`INSERT INTO idempotency_keys (marketplace, key, hash, intent) VALUES ($1, $2, $3, $4)`,
		ahead.Marketplace, ahead.Key, ahead.Hash[:], ahead.Orders[0].UUID())
	w.must(err)
	var holder int
	w.must(between.Get(&holder, `SELECT pg_backend_pid()`))
	before := make(chan error, 1)
	go func() {
		_, err := p.Do(w.ctx, ahead)
		before <- err
	}()
	w.until("the one before is held up", func() bool {
		var n int
		w.must(w.db.Get(&n, `SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))`, holder))
		return n == 1
	})
	done := make(chan []posting.Answer, 1)
	go func() { done <- p.DoAll(w.ctx, batch) }()
	w.until("the caller is in line", func() bool { return gauge(t, reg, "escrowd_posting_waiting") == n })
	uses, err := w.db.Beginx()
	w.must(err)
	useSame(uses)
	useOther(uses)
	w.must(uses.Commit())
	for i, c := range map[int]order.Command{moved: paid, gone: canceled} {
		_, err := second.Do(w.ctx, w.event(batch[i].Orders[0], c))
		w.must(err)
	}
	w.must(between.Rollback())

	w.must(<-before)
	for i, a := range <-done {
		var refusal *order.Refusal
		errors.As(a.Err, &refusal)
		state, events := order.Held, []order.Event{order.Agree, order.Pay}
		switch {
		case i == replayed:
			if a.Err != nil || !a.Result.Replayed {
				t.Errorf("done before under the same key: %+v", a)
			}
		case i == reused:
			state, events = order.Agreed, events[:1]
			if !errors.Is(a.Err, posting.ErrKeyReused) {
				t.Errorf("the key was used for something else: %+v", a)
			}
		case i == moved:
			if refusal == nil || refusal.Rule != order.RuleState || refusal.State != order.Held {
				t.Errorf("paid by somebody else: %+v", a)
			}
		case i == gone:
			state, events = order.Canceled, []order.Event{order.Agree, order.Cancel}
			if refusal == nil || refusal.Rule != order.RuleState || refusal.State != order.Canceled {
				t.Errorf("canceled by somebody else: %+v", a)
			}
		case a.Err != nil || a.Result.Replayed:
			t.Errorf("%d: %+v", i, a)
		}
		id := batch[i].Orders[0]
		if got := w.order(id); got.State != state {
			t.Errorf("%d stands at %s, want %s", i, got.State, state)
		}
		if got := w.events(id); !slices.Equal(got, events) {
			t.Errorf("%d: the timeline is %v, want %v", i, got, events)
		}
	}
	w.balanced()
}

// The same large request twice answers the same twice.
func TestLargeCallerRepeats(t *testing.T) {
	w := newWorld(t, nil)
	var batch []posting.Request
	for i := range 80 {
		batch = append(batch, keyed(w.agreement(fmt.Sprint("R-", i)), fmt.Sprint("key-", i), 1))
	}
	first := w.poster.DoAll(w.ctx, batch)
	for i, a := range w.another().DoAll(w.ctx, batch) {
		if a.Err != nil || first[i].Err != nil || !a.Result.Replayed || a.Result.Intent != first[i].Result.Intent {
			t.Errorf("%d: %+v, then %+v", i, first[i], a)
		}
	}
	w.balanced()
	if err := w.poster.Close(w.ctx); err != nil {
		t.Error(err)
	}
	if err := w.poster.Close(w.ctx); err != nil {
		t.Errorf("closed once more: %v", err)
	}
}
