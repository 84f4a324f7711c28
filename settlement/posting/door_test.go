package posting_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"escrowd/ledger"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
)

// gated is a ledger that books nothing until the gate opens.
type gated struct {
	ledger.Engine
	entered chan struct{}
	gate    chan struct{}
}

func (g *gated) CreateTransfers(ctx context.Context, ts []ledger.Transfer) ([]ledger.TransferResult, error) {
	select {
	case g.entered <- struct{}{}:
	default:
	}
	<-g.gate
	return g.Engine.CreateTransfers(ctx, ts)
}

// While nothing moves, whoever has waited for long enough is turned away with
// nothing decided, and whoever comes then is not let in; jobs are. What was
// decided before is booked when things move again, and so is what comes then.
func TestNobodyWaitsForLong(t *testing.T) {
	w := newWorld(t, nil)
	g := &gated{Engine: w.engine, entered: make(chan struct{}, 1), gate: make(chan struct{})}
	reg := prometheus.NewRegistry()
	p := posting.New(w.db, g, posting.Options{MaxWait: 20 * time.Millisecond, Registerer: reg})
	defer p.Close(context.Background())
	names := []string{"first", "second", "late", "refused", "job"}
	pay := map[string]posting.Request{}
	for _, name := range names {
		o := w.agree(name)
		pay[name] = w.event(o.ID, order.Command{Event: order.Pay, Method: "card", At: start})
	}
	done := map[string]chan error{}
	begin := func(name string) {
		c := make(chan error, 1)
		done[name] = c
		go func() {
			_, err := p.Do(w.ctx, pay[name])
			c <- err
		}()
	}
	begin("first")
	<-g.entered // it is with the ledger, and stays there
	begin("second")
	w.until("the second is decided", func() bool { return gauge(t, reg, "escrowd_intents_in_flight") == 2 })

	begin("late")
	if err := <-done["late"]; !errors.Is(err, posting.ErrBusy) || !errors.Is(err, posting.ErrUnavailable) {
		t.Errorf("who waited: %v, want %v", err, posting.ErrBusy)
	}
	if _, err := p.Do(w.ctx, pay["refused"]); !errors.Is(err, posting.ErrBusy) {
		t.Errorf("who came then: %v, want %v", err, posting.ErrBusy)
	}
	if !p.Busy() {
		t.Error("nobody is let in, and it is not busy")
	}
	if n := gauge(t, reg, "escrowd_posting_waiting"); n != 1 {
		t.Errorf("%v in line, want only the one that was let in and left", n)
	}
	job := pay["job"]
	job.Patient = true
	pay["job"] = job
	begin("job")
	w.until("the job is in line", func() bool { return gauge(t, reg, "escrowd_posting_waiting") == 2 })
	if n := gauge(t, reg, "escrowd_posting_busy_total"); n != 3 {
		t.Errorf("%v counted as turned away, want 3", n)
	}

	close(g.gate)
	for _, name := range []string{"first", "second", "job"} {
		if err := <-done[name]; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"late", "refused"} {
		if o, err := w.store.Order(w.ctx, w.market.ID, pay[name].Orders[0]); err != nil || o.State != order.Agreed {
			t.Errorf("%s is %s, %v; want that nothing happened", name, o.State, err)
		}
		w.until(name+" is let in", func() bool {
			_, err := p.Do(w.ctx, pay[name])
			if err != nil && !errors.Is(err, posting.ErrBusy) {
				t.Fatal(err)
			}
			return err == nil
		})
	}
	w.until("it is busy no more", func() bool { return !p.Busy() })
	w.balanced()
}

func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for began := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			w.t.Fatalf("waiting in vain: %s", what)
		}
	}
}

// gauge is the value of a gauge or counter without labels.
func gauge(t *testing.T, reg prometheus.Gatherer, name string) float64 {
	t.Helper()
	list, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
