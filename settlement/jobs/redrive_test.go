package jobs

import (
	"context"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
)

// mute is a ledger that takes transfers and never answers.
type mute struct {
	ledger.Engine
	heard chan struct{}
}

func (m *mute) CreateTransfers(ctx context.Context, transfers []ledger.Transfer) ([]ledger.TransferResult, error) {
	if _, err := m.Engine.CreateTransfers(ctx, transfers); err != nil {
		return nil, err
	}
	select {
	case m.heard <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return nil, ledger.ErrUnknown
}

// What a process left unfinished when it died is finished by the next.
func TestRedrive(t *testing.T) {
	w := newWorld(t)
	id := w.agree("a")
	m := &mute{w.engine, make(chan struct{}, 1)}
	dying := posting.New(w.db, m, posting.Options{})
	answered := make(chan error)
	go func() {
		_, err := dying.Do(w.ctx, posting.Request{Marketplace: w.market.ID, Orders: []ledger.ID{id},
			Command: order.Command{Event: order.Pay, At: start, Method: "card"}})
		answered <- err
	}()
	<-m.heard
	gone, cancel := context.WithCancel(w.ctx)
	cancel()
	if err := dying.Close(gone); err == nil {
		t.Fatal("the poster closed in good order: nothing is left to redrive")
	}
	if err := <-answered; err == nil {
		t.Fatal("the payment was answered")
	}
	if got := w.order(id).State; got != order.Agreed {
		t.Fatalf("the order is %s", got)
	}

	young := w.jobs(w.poster, func(o *Options) { o.Lease = time.Hour })
	if res, err := w.run(young, Redrive, Run{}); err != nil || res.Items != 0 {
		t.Errorf("younger than the lease: %+v, %v", res, err)
	}
	j := w.jobs(w.poster, func(o *Options) { o.Lease = time.Microsecond })
	if res, err := w.run(j, Redrive, Run{DryRun: true}); err != nil || res.Items != 1 {
		t.Errorf("dry run: %+v, %v; want 1 to redrive", res, err)
	}
	// In the ledger, and not yet in the order store: nothing is certain.
	if _, err := w.run(j, CheckBooks, Run{}); err == nil {
		t.Error("check-books of an order that is moving: no error")
	}
	if n := w.rows(`job = $1 AND failed > 0`, CheckBooks); n != 0 {
		t.Error("an order that is moving counts as a difference")
	}
	batches := func() (n int) {
		w.must(w.db.Get(&n, `SELECT count(*) FROM open_batches`))
		return n
	}
	if n := batches(); n != 1 {
		t.Errorf("%d batches wait for outcomes, want 1", n)
	}
	for _, want := range []int64{1, 0} {
		if res, err := w.run(j, Redrive, Run{}); err != nil || res.Items != want {
			t.Errorf("redrive: %+v, %v; want %d", res, err, want)
		}
	}
	if n := batches(); n != 0 {
		t.Errorf("%d batches wait for outcomes after redrive", n)
	}
	// One whose last outcome was recorded, and whose process died right then.
	_, err := w.db.Exec(`INSERT INTO open_batches (first, last, created_at) SELECT id, id, now() - interval '1 hour' FROM intents LIMIT 1`)
	w.must(err)
	if res, err := w.run(j, Redrive, Run{}); err != nil || res.Items != 0 || batches() != 0 {
		t.Errorf("a finished batch: %+v, %v, and %d batches; want it forgotten", res, err, batches())
	}
	if o := w.order(id); o.State != order.Held || o.Held != 10_001 {
		t.Errorf("the order is %s and holds %d", o.State, o.Held)
	}
	if _, err := w.run(j, CheckBooks, Run{}); err != nil {
		t.Error(err)
	}
}
