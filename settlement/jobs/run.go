package jobs

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/jobs/books"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
)

// Run asks for one run of a job.
type Run struct {
	// Due is the schedule's moment that the run is for; zero for now.
	Due time.Time
	// DryRun counts what the run would do and moves nothing.
	DryRun bool
	// Marketplace limits a deadline's job to one marketplace; 0 for all.
	Marketplace uint32
	// Progress, if not nil, hears after each batch how far the run is.
	Progress func(Result)

	// failed are passed by: they failed in an earlier pass of the same Fire.
	failed map[orderdb.Due]bool
}

// Result is what a run did, or would do if it was dry.
type Result struct {
	Items  int64 // things moved; what was compared, of check-books; transfers copied or added up, of mirror and close-pages
	Failed int64 // things that could not be moved; differences, of check-books; 1, of mirror, if the copy is wrong
	Detail Detail
}

// Detail is what else is worth knowing of a run; it is kept as JSON.
type Detail struct {
	Marketplace uint32 `json:"marketplace,omitempty"` // the one it was limited to
	// MovedOn counts orders that somebody else moved on meanwhile.
	MovedOn int64 `json:"moved_on,omitempty"`
	// Waiting counts orders that failed before and are left alone for a while.
	Waiting  int64         `json:"waiting,omitempty"`
	First    []Item        `json:"first,omitempty"`    // a dry run's first orders
	Failures []Failure     `json:"failures,omitempty"` // the first that failed
	Books    *books.Report `json:"books,omitempty"`    // of check-books
	// Compared counts the accounts that mirror found to be as in the ledger,
	// those that moved several times as often as they were compared.
	Compared int64 `json:"compared,omitempty"`
}

// Item is an order that a dry run would move. Held is in minor units.
type Item struct {
	Order       string      `json:"order"`
	Reference   string      `json:"reference"`
	Marketplace uint32      `json:"marketplace"`
	State       order.State `json:"state"`
	Held        int64       `json:"held"`
	Currency    string      `json:"currency"`
	Event       order.Event `json:"event"`
	Due         time.Time   `json:"due"`
}

// Failure is an order, or something else, that could not be moved, and why.
type Failure struct {
	Order  string `json:"order,omitempty"` // or an entry's id
	Reason string `json:"reason"`
}

// listed bounds the examples in a Detail.
const listed = 20

// source is who started a run; it decides which runs leave a row.
type source int

const (
	byHand     source = iota // always a row
	bySchedule               // a row if something happened, or the first in an hour
	byClock                  // Fire: a row if something happened
)

// running is a run on its way.
type running struct {
	Run
	job     *Job
	j       *Jobs
	source  source
	started time.Time
	res     Result
	row     int64 // of job_runs; 0 before there is one
}

// rowTimeout bounds the writing of a run's row after the run's own context may
// have ended.
const rowTimeout = 5 * time.Second

// run is what surrounds every job: its row, its metrics, its panics.
func (j *Jobs) run(ctx context.Context, job *Job, want Run, src source) (res Result, err error) {
	r := &running{Run: want, job: job, j: j, source: src, started: j.now()}
	if r.Due.IsZero() {
		r.Due = r.started
	}
	r.res.Detail.Marketplace = r.Marketplace
	begun := time.Now()
	if src == byHand || job.everyRow {
		if err := r.save(ctx, nil, false); err != nil {
			return r.res, err
		}
	}
	err = r.guard(func() error { return job.body(ctx, r) })
	took := time.Since(begun)

	rowCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rowTimeout)
	defer cancel()
	if rowErr := r.finish(rowCtx, err); rowErr != nil {
		j.log.Error("the run's row could not be written", "job", job.Name, "error", rowErr)
		err = errors.Join(err, rowErr)
	}
	j.m.ran(r, err, took)
	log := j.log.With("job", job.Name, "items", r.res.Items, "failed", r.res.Failed, "moved_on", r.res.Detail.MovedOn,
		"dry_run", r.DryRun, "seconds", took.Seconds())
	switch {
	case errors.Is(err, ErrStopped):
		log.Info("run stopped")
	case err != nil && src != byHand:
		log.Error("run failed", "error", err)
	case (r.res.Items > 0 || r.res.Failed > 0) && !r.quiet():
		log.Info("run done")
	case r.res.Items > 0:
		log.Debug("run done")
	default:
		log.Debug("run done, nothing to do")
	}
	if j.hook != nil {
		j.hook("ran", job.Name)
	}
	return r.res, err
}

// guard makes an error of a panic: one job's mistake must
// not end the process that the others run in.
func (r *running) guard(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			r.j.log.Error("run panicked", "job", r.job.Name, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	return do()
}

// goOn is asked between batches: nil, or why the run has to end here.
func (r *running) goOn(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case <-r.j.stopping:
		return ErrStopped
	default:
		return nil
	}
}

// progress tells of a finished batch. A run that did something has a row from
// its first batch on.
func (r *running) progress(ctx context.Context) error {
	if r.Progress != nil {
		r.Progress(r.res)
	}
	if r.row == 0 && (r.quiet() || r.res.Items == 0 && r.res.Failed == 0) {
		return nil
	}
	return r.save(ctx, nil, false)
}

// uuidOf is "" for none: what failed was no order's.
func uuidOf(id ledger.ID) string {
	if id.IsZero() {
		return ""
	}
	return id.UUID()
}

// fail counts an order, or something else, that could not be moved.
func (r *running) fail(id ledger.ID, err error) {
	r.res.Failed++
	if len(r.res.Detail.Failures) < listed {
		r.res.Detail.Failures = append(r.res.Detail.Failures, Failure{Order: uuidOf(id), Reason: err.Error()})
	}
}
