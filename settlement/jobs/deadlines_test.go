package jobs

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
)

var ended = map[order.State]int{order.Expired: 4, order.Canceled: 4, order.Closed: 8, order.Disputed: 4}

// What the jobs book does not depend on when, or how often, they run.
func TestLateOrTwiceIsTheSame(t *testing.T) {
	onTime := newWorld(t)
	onTime.orders(4)
	j := onTime.jobs(onTime.poster, nil)
	for now := start; now.Before(start.Add(20 * day)); now = now.Add(day) {
		onTime.clock(now)
		onTime.runAll(j)
	}
	onTime.wantStates(ended)
	want := onTime.facts()

	t.Run("late", func(t *testing.T) {
		w := newWorld(t)
		ids := w.orders(4)
		w.clock(late)
		j := w.jobs(w.poster, nil)
		first := w.runAll(j)
		if first.Items != 4+4+8+8 || first.Failed != 0 {
			t.Errorf("the first run: %+v, want 24 events and no failure", first)
		}
		w.wantStates(ended)
		if got := w.facts(); !slices.Equal(got, want) {
			t.Errorf("the books differ from those of jobs on time:\n got %v\nwant %v", got, want)
		}
		// Shipped at the start, so released 15 days later and matured 2 after.
		events, err := w.store.Timeline(w.ctx, ids[2])
		w.must(err)
		last := events[len(events)-1]
		if last.Event != order.Mature || !last.After.At.Equal(start.Add(17*day)) || last.Actor != order.System {
			t.Errorf("the last event is %s by %s at %s, want mature by system at %s", last.Event, last.Actor, last.After.At, start.Add(17*day))
		}

		if second := w.runAll(j); second.Items != 0 || second.Failed != 0 {
			t.Errorf("the second run: %+v, want nothing", second)
		}
		if got := w.facts(); !slices.Equal(got, want) {
			t.Error("the second run changed the books")
		}
	})
}

func TestFireReachesTheEnd(t *testing.T) {
	w := newWorld(t)
	w.orders(4)
	w.clock(start.Add(17 * day)) // shipped orders are released and mature in the same stretch
	j := w.jobs(w.poster, nil)
	n, err := j.Fire(w.ctx, w.market.ID)
	w.must(err)
	if n != 24 {
		t.Errorf("Fire booked %d events, want 24", n)
	}
	w.wantStates(ended)
	if n, err = j.Fire(w.ctx, w.market.ID); n != 0 || err != nil {
		t.Errorf("the second Fire: %d, %v; want nothing", n, err)
	}
	if n := w.rows(`true`); n != 4 {
		t.Errorf("%d rows, want one for each job that did something", n)
	}
	if _, err := j.Fire(w.ctx, 4711); err == nil {
		t.Error("Fire of a marketplace that does not exist: no error")
	}
}

// growing is a write path during whose first batch another order comes due.
type growing struct {
	*posting.Poster
	w    *world
	once sync.Once
}

func (p *growing) DoAll(ctx context.Context, requests []posting.Request) []posting.Answer {
	p.once.Do(func() { p.w.agree("b") })
	return p.Poster.DoAll(ctx, requests)
}

func TestFireGoesOnUntilNothingIsDue(t *testing.T) {
	w := newWorld(t)
	w.agree("a")
	w.clock(late)
	if n, err := w.jobs(&growing{Poster: w.poster, w: w}, nil).Fire(w.ctx, w.market.ID); n != 2 || err != nil {
		t.Errorf("Fire: %d, %v; want both orders expired", n, err)
	}
}

// The clock that counts is the marketplace's, not the machine's.
func TestDeadlinesFollowTheMarketplacesClock(t *testing.T) {
	w := newWorld(t)
	id := w.agree("a") // to be paid within 5 days
	j := w.jobs(w.poster, nil)
	for _, step := range []struct {
		now, deadlines time.Time
		want           order.State
		why            string
	}{
		{start.Add(5*day - 1000), start.Add(5*day - 1000), order.Agreed, "a microsecond before the deadline"},
		{start.Add(9 * day), start.Add(4 * day), order.Agreed, "the clock has passed it, but deadlines do not fire yet"},
		{start.Add(9 * day), start.Add(5 * day), order.Expired, "deadlines fire up to the very moment"},
	} {
		_, err := w.store.AdvanceClock(w.ctx, w.market.ID, step.now, step.deadlines)
		w.must(err)
		_, err = w.run(j, ExpireUnpaid, Run{})
		w.must(err)
		if got := w.order(id).State; got != step.want {
			t.Errorf("%s: the order is %s, want %s", step.why, got, step.want)
		}
	}
}

func TestTwoAtOnceBookEachEventOnce(t *testing.T) {
	w := newWorld(t)
	w.orders(8)
	w.clock(late)
	var total Result
	var mu sync.Mutex
	var both sync.WaitGroup
	for range 2 {
		// Each with a write path of its own, as two processes have.
		j := w.jobs(w.newPoster(w.engine), nil)
		both.Go(func() {
			for _, job := range j.List() {
				res, err := job.RunOnce(w.ctx, Run{})
				if err != nil {
					t.Errorf("%s: %v", job.Name, err)
				}
				mu.Lock()
				if job.Name != CheckBooks {
					total.Items += res.Items
				}
				total.Failed += res.Failed
				mu.Unlock()
			}
		})
	}
	both.Wait()
	// One of the two may pass the mature job before the other has released.
	n, err := w.jobs(w.poster, nil).Fire(w.ctx, w.market.ID)
	w.must(err)
	if total.Items+int64(n) != 48 || total.Failed != 0 {
		t.Errorf("%d events and %d failures, want 48 and 0", total.Items+int64(n), total.Failed)
	}
	w.wantStates(map[order.State]int{order.Expired: 8, order.Canceled: 8, order.Closed: 16, order.Disputed: 8})
	if _, err := w.run(w.jobs(w.poster, nil), CheckBooks, Run{}); err != nil {
		t.Error(err)
	}
}

func TestDryRunMovesNothing(t *testing.T) {
	w := newWorld(t)
	w.orders(4)
	w.clock(late)
	j := w.jobs(w.poster, nil)
	states, books := w.states(), w.facts()
	for name, want := range map[string]int64{ExpireUnpaid: 4, CancelUnshipped: 4, AutoRelease: 8, Mature: 0, Redrive: 0} {
		res, err := w.run(j, name, Run{DryRun: true})
		w.must(err)
		if res.Items != want || int64(len(res.Detail.First)) != want {
			t.Errorf("%s would move %d and shows %d, want %d", name, res.Items, len(res.Detail.First), want)
		}
		for _, item := range res.Detail.First {
			if item.Reference == "" || item.Event != order.Due[deadlinesOf[name][0]] || item.Due.IsZero() {
				t.Errorf("%s shows %+v", name, item)
			}
		}
	}
	w.wantStates(states)
	if !slices.Equal(w.facts(), books) {
		t.Error("a dry run changed the books")
	}
	if n := w.rows(`dry_run AND finished_at IS NOT NULL`); n != 5 {
		t.Errorf("%d rows of dry runs, want 5", n)
	}
	latest, err := j.Latest(w.ctx)
	w.must(err)
	if len(latest) != 0 {
		t.Errorf("dry runs count as the latest: %v", latest)
	}
}

// poisoned is a write path whose ledger refuses some orders.
type poisoned struct {
	*posting.Poster
	bad   map[ledger.ID]bool
	mu    sync.Mutex // a run has several batches under way
	tried map[ledger.ID]int
}

func (p *poisoned) DoAll(ctx context.Context, requests []posting.Request) []posting.Answer {
	var good []posting.Request
	answers := make([]posting.Answer, len(requests))
	var index []int
	for i, r := range requests {
		id := r.Orders[0]
		p.mu.Lock()
		p.tried[id]++
		p.mu.Unlock()
		if p.bad[id] {
			answers[i].Err = &posting.Rejected{Reason: "exceeds_credits"}
			continue
		}
		good, index = append(good, r), append(index, i)
	}
	for i, a := range p.Poster.DoAll(ctx, good) {
		answers[index[i]] = a
	}
	return answers
}

func TestPoisonIsPassedBy(t *testing.T) {
	w := newWorld(t)
	var ids []ledger.ID
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		ids = append(ids, w.agree(name))
	}
	w.clock(late)
	now := late
	p := &poisoned{Poster: w.poster, bad: map[ledger.ID]bool{ids[0]: true, ids[1]: true}, tried: map[ledger.ID]int{}}
	// As many poisoned orders as fit a batch: they must not stop the next.
	j := w.jobs(p, func(o *Options) { o.Batch, o.Clock = 2, func() time.Time { return now } })
	job, err := j.Job(ExpireUnpaid)
	w.must(err)

	res, err := j.run(w.ctx, job, Run{}, bySchedule)
	w.must(err)
	if res.Items != 5 || res.Failed != 2 || len(res.Detail.Failures) != 2 {
		t.Errorf("%+v, want 5 expired and 2 failed", res)
	}
	if p.tried[ids[0]] != 1 {
		t.Errorf("the poisoned order was tried %d times in one run", p.tried[ids[0]])
	}
	if n := w.rows(`items = 5 AND failed = 2 AND error IS NULL AND detail->'failures'->0->>'reason' LIKE '%exceeds_credits%'`); n != 1 {
		t.Errorf("%d rows tell of it", n)
	}
	for _, step := range []struct {
		after   time.Duration
		failed  int64
		waiting int64
		why     string
	}{
		{59 * time.Second, 0, 2, "left alone for a minute"},
		{time.Minute, 2, 0, "then tried again"},
		{2 * time.Minute, 0, 2, "then left alone for two"},
		{3 * time.Minute, 2, 0, "then tried again"},
	} {
		now = late.Add(step.after)
		res, err := j.run(w.ctx, job, Run{}, bySchedule)
		w.must(err)
		if res.Failed != step.failed || res.Detail.Waiting != step.waiting {
			t.Errorf("after %s: %d failed, %d left alone; want %d, %d: %s", step.after, res.Failed, res.Detail.Waiting, step.failed, step.waiting, step.why)
		}
	}
	if res, err := job.RunOnce(w.ctx, Run{}); err != nil || res.Failed != 2 {
		t.Errorf("by hand: %+v, %v; want both tried at once", res, err)
	}
	before := p.tried[ids[0]]
	if n, err := j.Fire(w.ctx, w.market.ID); n != 0 || err != nil || p.tried[ids[0]] != before+1 {
		t.Errorf("Fire: %d, %v, tried %d times; want 0 and once", n, err, p.tried[ids[0]]-before)
	}
	// Something else to do makes Fire look a second time, but not at these.
	w.agree("h")
	before = p.tried[ids[0]]
	if n, err := j.Fire(w.ctx, w.market.ID); n != 1 || err != nil || p.tried[ids[0]] != before+1 {
		t.Errorf("Fire with another order: %d, %v, tried %d times; want 1 and once", n, err, p.tried[ids[0]]-before)
	}
	p.bad = nil
	if res, err := job.RunOnce(w.ctx, Run{}); err != nil || res.Items != 2 {
		t.Errorf("once cured: %+v, %v; want both expired", res, err)
	}
}

// overtaken is a write path where somebody is always faster.
type overtaken struct {
	*posting.Poster
	w *world
}

func (p *overtaken) DoAll(ctx context.Context, requests []posting.Request) []posting.Answer {
	for _, r := range requests {
		p.w.do(r.Orders[0], order.Command{Event: order.Cancel, By: order.Buyer, At: start})
	}
	return p.Poster.DoAll(ctx, requests)
}

func TestMovedOnIsNoFailure(t *testing.T) {
	w := newWorld(t)
	w.agree("a")
	w.clock(late)
	res, err := w.run(w.jobs(&overtaken{w.poster, w}, nil), ExpireUnpaid, Run{})
	if err != nil || res.Items != 0 || res.Failed != 0 || res.Detail.MovedOn != 1 {
		t.Errorf("%+v, %v; want one moved on, and no failure", res, err)
	}
	w.wantStates(map[order.State]int{order.Canceled: 1})
}

// away is a write path that answers nothing.
type away struct{ *posting.Poster }

func (away) DoAll(_ context.Context, requests []posting.Request) []posting.Answer {
	answers := make([]posting.Answer, len(requests))
	for i := range answers {
		answers[i].Err = posting.ErrUnavailable
	}
	return answers
}

func TestUnavailableEndsTheRun(t *testing.T) {
	w := newWorld(t)
	w.agree("a")
	w.clock(late)
	res, err := w.run(w.jobs(away{w.poster}, nil), ExpireUnpaid, Run{})
	if !errors.Is(err, posting.ErrUnavailable) || res.Failed != 0 {
		t.Errorf("%+v, %v; want ErrUnavailable, and no order blamed", res, err)
	}
	if n := w.rows(`job = $1 AND error LIKE '%nothing was decided%' AND finished_at IS NOT NULL`, ExpireUnpaid); n != 1 {
		t.Errorf("%d rows tell of it", n)
	}
}

// notes are the deadlines that are noted, and how many of them are their
// orders' present ones.
func (w *world) notes() (all, present int) {
	w.t.Helper()
	w.must(w.db.QueryRow(`SELECT count(*), count(o.id) FROM order_deadlines d
		LEFT JOIN orders o ON (o.id, o.marketplace, o.deadline, o.deadline_at) = (d.order_id, d.marketplace, d.deadline, d.at)`).Scan(&all, &present))
	return all, present
}

// Deadlines of the past are forgotten when their moment has passed, present
// ones never: not by a run beside another, not by a dry one, and not while the
// order is on its way.
func TestDeadlinesOfThePast(t *testing.T) {
	w := newWorld(t)
	w.orders(4) // each of five states
	w.clock(start.Add(1))
	all, present := w.notes()
	// Of each five: pay_by of all, ship_by of four, confirm_by of three (two of
	// them at the same moment as shipped and delivered), rule_by of one.
	if present != 20 || all != 4*(5+4+4+1) {
		t.Fatalf("%d deadlines noted, %d present", all, present)
	}
	j := w.jobs(w.poster, nil)

	// An order in dispute has its confirm_by in the past for as long as it takes.
	w.clock(start.Add(60 * 24 * time.Hour))
	if res, err := w.run(j, AutoRelease, Run{DryRun: true}); err != nil || res.Items != 8 {
		t.Errorf("dry: %+v, %v", res, err)
	}
	if n, _ := w.notes(); n != all {
		t.Errorf("a dry run forgot %d deadlines", all-n)
	}
	for i := range 3 { // the first books, the second forgets what it booked, the third has nothing to do
		w.runAll(j)
		if _, present := w.notes(); i == 2 && present != 4 { // the disputed ones wait for a ruling
			t.Errorf("round %d: %d present", i, present)
		}
	}
	if all, present := w.notes(); all != present {
		t.Errorf("%d noted, %d present: some of the past are left", all, present)
	}

	// An extension moves the deadline; what was noted before does not fire.
	r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID, Command: order.Command{Event: order.Agree}, // now
		Agreement: &posting.Agreement{Reference: "extended", Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 10_001}})
	w.must(err)
	id := r.Orders[0].ID
	w.do(id, order.Command{Event: order.Pay, Method: "card"})
	w.do(id, order.Command{Event: order.Extend, By: order.Seller})
	w.clock(w.order(id).DeadlineAt.Add(-time.Second))
	if res, err := w.run(j, CancelUnshipped, Run{}); err != nil || res.Items != 0 {
		t.Errorf("before the new deadline: %+v, %v", res, err)
	}
	w.clock(w.order(id).DeadlineAt)
	if res, err := w.run(j, CancelUnshipped, Run{}); err != nil || res.Items != 1 || w.order(id).State != order.Canceled {
		t.Errorf("at the new deadline: %+v, %v, %s", res, err, w.order(id).State)
	}
}
