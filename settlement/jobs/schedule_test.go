package jobs

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"escrowd/settlement/order"
	"escrowd/settlement/posting"
)

// signals are what a Jobs says to its hook, for tests to wait on.
type signals chan [2]string

func listen(j *Jobs) signals {
	s := make(signals, 1000)
	j.hook = func(event, job string) { s <- [2]string{event, job} }
	return s
}

// wait returns when the signal comes. The test's own timeout is its end.
func (s signals) wait(t testing.TB, event, job string) {
	t.Helper()
	for {
		select {
		case got := <-s:
			if got == [2]string{event, job} {
				return
			}
		case <-t.Context().Done():
			t.Fatalf("waiting for %s %s", event, job)
		}
	}
}

func fast(o *Options) { o.Election = 5 * time.Millisecond }

func (w *world) start(j *Jobs) {
	w.t.Helper()
	w.must(j.Start(context.Background()))
	w.t.Cleanup(func() { w.stop(j) })
}

func (w *world) stop(j *Jobs) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := j.Stop(ctx); err != nil {
		w.t.Errorf("stop: %v", err)
	}
}

// killLeader ends the session that has the lock.
func (w *world) killLeader() {
	w.t.Helper()
	var killed int
	w.must(w.db.Get(&killed, `SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted
		AND classid = $1::bigint::oid AND objid = 'job_runs'::regclass::oid) k`, lockClass))
	if killed != 1 {
		w.t.Fatalf("%d sessions had the lock, want 1", killed)
	}
}

func TestOneLeads(t *testing.T) {
	w := newWorld(t)
	w.orders(2)
	w.clock(late)
	a, b := w.jobs(w.poster, fast), w.jobs(w.newPoster(w.engine), fast)
	fromA, fromB := listen(a), listen(b)
	w.start(a)
	fromA.wait(t, "leads", "")
	// A new leader does at once what has become due without one.
	fromA.wait(t, "ran", CheckBooks)
	w.wantStates(map[order.State]int{order.Expired: 2, order.Canceled: 2, order.Closed: 4, order.Disputed: 2})

	w.start(b)
	got, err := b.campaign(w.ctx)
	w.must(err)
	if got != nil {
		t.Fatal("two have the lock")
	}
	if err := a.Start(w.ctx); err == nil {
		t.Error("started twice: no error")
	}
	w.stop(a)
	fromB.wait(t, "leads", "")
	fromA.wait(t, "ends", "")
	if _, err := w.run(a, ExpireUnpaid, Run{}); !errors.Is(err, ErrStopped) {
		t.Errorf("a run after Stop: %v, want %v", err, ErrStopped)
	}
}

// stuck is a write path that answers nothing until its caller gives up.
type stuck struct {
	*posting.Poster
	entered chan struct{}
}

func (p *stuck) DoAll(ctx context.Context, requests []posting.Request) []posting.Answer {
	p.entered <- struct{}{}
	<-ctx.Done()
	return away{}.DoAll(ctx, requests)
}

// A leader whose session is gone stops what it is doing; another takes over
// and does it.
func TestLostLeadership(t *testing.T) {
	w := newWorld(t)
	w.agree("a")
	w.clock(late)
	p := &stuck{w.poster, make(chan struct{}, 10)}
	a, b := w.jobs(p, fast), w.jobs(w.newPoster(w.engine), fast)
	fromB := listen(b)
	ended, again := make(chan struct{}), make(chan struct{})
	var first sync.Once
	a.hook = func(event, _ string) {
		if event == "ends" {
			// Not again before the other has led, or it may win once more.
			first.Do(func() { close(ended); <-again })
		}
	}
	w.start(a)
	<-p.entered
	w.start(b)
	w.killLeader()
	<-ended
	fromB.wait(t, "leads", "")
	fromB.wait(t, "ran", ExpireUnpaid)
	close(again)
	w.wantStates(map[order.State]int{order.Expired: 1})
	if n := w.rows(`job = $1 AND error LIKE '%not available%' AND items = 0 AND finished_at IS NOT NULL`, ExpireUnpaid); n != 1 {
		t.Errorf("%d rows tell of the run that was cut off", n)
	}
}

// A session that is alive and no longer has the lock is no leader's: a pooler
// may hand out another one.
func TestALockThatIsGone(t *testing.T) {
	w := newWorld(t)
	j := w.jobs(w.poster, fast)
	conn, err := j.campaign(w.ctx)
	w.must(err)
	defer discard(conn)
	var had bool
	w.must(conn.QueryRowContext(w.ctx, sqlUnlock, lockClass).Scan(&had))
	if err := j.watch(w.ctx, conn); !had || !errors.Is(err, errLost) {
		t.Errorf("had it: %t, watching it: %v; want %v", had, err, errLost)
	}
}

func TestLeaderOfADatabaseThatWentAwayLeadsAgain(t *testing.T) {
	w := newWorld(t)
	j := w.jobs(w.poster, fast)
	s := listen(j)
	w.start(j)
	for range 3 {
		s.wait(t, "leads", "")
		w.killLeader()
		s.wait(t, "ends", "")
	}
	s.wait(t, "leads", "")
}

// Stop lets the batches end that are under way, and leaves the rest for the
// next run.
func TestStopEndsAfterTheBatch(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		w.agree(name)
	}
	w.clock(late)
	p := &signalling{Poster: w.poster, entered: make(chan struct{}), goOn: make(chan struct{})}
	j := w.jobs(p, func(o *Options) {
		fast(o)
		o.Batch = 1
	})
	w.start(j)
	for range ahead {
		<-p.entered
	}
	stopped := make(chan error)
	go func() { stopped <- j.Stop(context.Background()) }()
	<-j.stopping
	close(p.goOn)
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
	w.wantStates(map[order.State]int{order.Expired: 3, order.Agreed: 2})
	if n := w.rows(`job = $1 AND items = 3 AND failed = 0 AND error LIKE '%stopped%' AND finished_at IS NOT NULL`, ExpireUnpaid); n != 1 {
		t.Errorf("%d rows tell of the run that was stopped", n)
	}
}

// signalling is a write path that says when it is asked and waits to be told.
type signalling struct {
	*posting.Poster
	entered, goOn chan struct{}
}

func (p *signalling) DoAll(ctx context.Context, requests []posting.Request) []posting.Answer {
	p.entered <- struct{}{}
	<-p.goOn
	return p.Poster.DoAll(ctx, requests)
}

// Stop does not wait for ever.
func TestStopGivesUp(t *testing.T) {
	w := newWorld(t)
	w.agree("a")
	w.clock(late)
	p := &stuck{w.poster, make(chan struct{}, 10)}
	j := w.jobs(p, fast)
	w.must(j.Start(context.Background()))
	<-p.entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := j.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("stop: %v, want that it was cut short", err)
	}
	if conn, err := w.jobs(w.poster, nil).campaign(w.ctx); err != nil || conn == nil {
		t.Errorf("the lock is not free after Stop: %v", err)
	} else {
		w.jobs(w.poster, nil).release(conn)
	}
}

// The schedule itself: a job runs at its moment, again and again, and its row
// carries the moment.
func TestSchedule(t *testing.T) {
	w := newWorld(t)
	j := w.jobs(w.poster, func(o *Options) {
		fast(o)
		o.Schedules = map[string]string{ExpireUnpaid: "* * * * * *", CheckBooks: "@every 1s"}
	})
	s := listen(j)
	w.start(j)
	for range 3 { // one may be the new leader's own
		s.wait(t, "ran", CheckBooks)
	}
	w.stop(j)
	if n := w.rows(`job = $1 AND due = date_trunc('second', due) AND started_at >= due AND finished_at >= started_at`, CheckBooks); n < 2 {
		t.Errorf("%d rows carry the schedule's moment", n)
	}
}

// panicking is a write path with a mistake in it.
type panicking struct{ *posting.Poster }

func (panicking) DoAll(context.Context, []posting.Request) []posting.Answer { panic("a mistake") }

func TestAPanicIsAnError(t *testing.T) {
	w := newWorld(t)
	w.agree("a")
	w.clock(late)
	j := w.jobs(panicking{w.poster}, func(o *Options) {
		fast(o)
		o.Schedules = map[string]string{ExpireUnpaid: "* * * * * *"}
	})
	s := listen(j)
	w.start(j)
	for range 3 { // the schedule goes on with it
		s.wait(t, "ran", ExpireUnpaid)
	}
	w.stop(j)
	if n := w.rows(`job = $1 AND error LIKE '%panic: a mistake' AND finished_at IS NOT NULL`, ExpireUnpaid); n < 2 {
		t.Errorf("%d rows tell of it", n)
	}
}

func TestBadSchedules(t *testing.T) {
	for _, c := range []struct{ name, schedule, want string }{
		{Mature, "every day", "schedule of mature"},
		{Mature, "61 * * * *", "schedule of mature"},
		{"tidy-up", "* * * * *", `"tidy-up": no such job`},
	} {
		_, err := New(nil, nil, nil, Options{Schedules: map[string]string{c.name: c.schedule}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s at %q: %v, want %q in it", c.name, c.schedule, err, c.want)
		}
	}
}

// An idle run of the schedule leaves a row only if it is the first in an hour.
func TestIdleRunsDoNotFloodTheTable(t *testing.T) {
	w := newWorld(t)
	now := time.Date(2026, 3, 1, 9, 59, 59, 0, time.UTC)
	j := w.jobs(w.poster, func(o *Options) { o.Clock = func() time.Time { return now } })
	for _, step := range []struct {
		job   string
		after time.Duration
		src   source
		want  int // rows in all
	}{
		{ExpireUnpaid, 0, bySchedule, 1},
		{ExpireUnpaid, 0, bySchedule, 1},
		{ExpireUnpaid, time.Second, bySchedule, 2}, // ten o'clock
		{ExpireUnpaid, time.Minute, bySchedule, 2},
		{Mature, time.Minute, bySchedule, 3}, // each job for itself
		{Mature, time.Minute, byClock, 3},
		{Mature, time.Minute, byHand, 4},
		{CheckBooks, time.Minute, bySchedule, 5},
		{CheckBooks, time.Minute, bySchedule, 6}, // always
	} {
		now = time.Date(2026, 3, 1, 9, 59, 59, 0, time.UTC).Add(step.after)
		job, err := j.Job(step.job)
		w.must(err)
		_, err = j.run(w.ctx, job, Run{}, step.src)
		w.must(err)
		if got := w.rows(`true`); got != step.want {
			t.Errorf("%s after %s: %d rows, want %d", step.job, step.after, got, step.want)
		}
	}
}
