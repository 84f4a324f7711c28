package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

// deadlineOf is the deadline that a job stands for.
var deadlineOf = map[string]order.Deadline{
	ExpireUnpaid:    order.PayBy,
	CancelUnshipped: order.ShipBy,
	AutoRelease:     order.ConfirmBy,
	Mature:          order.MatureAt,
}

// dueEvent is what the job books when its deadline passes; "" for a job that
// is about no deadline.
func dueEvent(job string) order.Event { return order.Due[deadlineOf[job]] }

func (j *Jobs) deadlineJob(name string, d order.Deadline, what string) *Job {
	return &Job{Name: name, Schedule: "* * * * *", What: what, body: func(ctx context.Context, r *running) error {
		return j.passDeadlines(ctx, r, d)
	}}
}

// passDeadlines books the event of a passed deadline, for every order and
// marketplace, up to the moment that each marketplace's clock allows.
func (j *Jobs) passDeadlines(ctx context.Context, r *running, d order.Deadline) error {
	list, err := j.marketplaces(ctx, r.Marketplace)
	if err != nil {
		return err
	}
	if r.source == bySchedule {
		j.poison.forget(j.now())
	}
	for _, m := range list {
		if err := j.passDeadlinesOf(ctx, r, m, d); err != nil {
			return fmt.Errorf("marketplace %s: %w", m.Name, err)
		}
	}
	return nil
}

func (j *Jobs) marketplaces(ctx context.Context, only uint32) ([]orderdb.Marketplace, error) {
	if only == 0 {
		list, err := j.store.Marketplaces(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading the marketplaces: %w", err)
		}
		return list, nil
	}
	m, err := j.store.Marketplace(ctx, only)
	if err != nil {
		return nil, fmt.Errorf("marketplace %d: %w", only, err)
	}
	return []orderdb.Marketplace{m}, nil
}

func (j *Jobs) passDeadlinesOf(ctx context.Context, r *running, m orderdb.Marketplace, d order.Deadline) error {
	_, until := m.At(j.now())
	var cursor orderdb.Due
	for {
		if err := r.goOn(ctx); err != nil {
			return err
		}
		// The cursor passes by what failed: it stays due, but the run goes on.
		batch, err := j.store.Due(ctx, m.ID, d, until, cursor, j.opts.Batch)
		if err != nil {
			return fmt.Errorf("reading what is due: %w", err)
		}
		if len(batch) == 0 {
			return nil
		}
		cursor = batch[len(batch)-1]
		if r.DryRun {
			err = j.wouldPass(ctx, r, m, d, batch)
		} else {
			err = j.pass(ctx, r, m, d, batch)
		}
		if err = errors.Join(err, r.progress(ctx)); err != nil {
			return err
		}
		if len(batch) < j.opts.Batch {
			return nil
		}
	}
}

// wouldPass counts a batch and shows the first few of its orders.
func (j *Jobs) wouldPass(ctx context.Context, r *running, m orderdb.Marketplace, d order.Deadline, batch []orderdb.Due) error {
	r.res.Items += int64(len(batch))
	for _, due := range batch {
		if len(r.res.Detail.First) == listed {
			break
		}
		o, err := j.store.Order(ctx, m.ID, due.Order)
		if err != nil {
			return fmt.Errorf("reading order %s: %w", due.Order.UUID(), err)
		}
		r.res.Detail.First = append(r.res.Detail.First, Item{Order: due.Order.UUID(), Reference: o.Reference, Marketplace: m.ID,
			State: o.State, Held: o.Held, Currency: currencyOf(o.Ledger), Event: order.Due[d], Due: due.At})
	}
	return nil
}

// pass books a batch. An error means that the run cannot go on; an order's own
// failure is counted and passed by.
func (j *Jobs) pass(ctx context.Context, r *running, m orderdb.Marketplace, d order.Deadline, batch []orderdb.Due) error {
	now := j.now()
	tried := make([]orderdb.Due, 0, len(batch))
	requests := make([]posting.Request, 0, len(batch))
	for _, due := range batch {
		if r.failed[due] {
			continue
		}
		if r.source == bySchedule && j.poison.waits(due, now) {
			r.res.Detail.Waiting++
			continue
		}
		tried = append(tried, due)
		requests = append(requests, posting.Request{Marketplace: m.ID, Orders: []ledger.ID{due.Order},
			Command: order.Command{Event: order.Due[d], By: order.System, At: due.At}})
	}
	if len(requests) == 0 {
		return nil
	}
	var unavailable error
	for i, a := range j.poster.DoAll(ctx, requests) {
		due := tried[i]
		switch {
		case a.Err == nil:
			r.res.Items++
			j.poison.cured(due)
		case movedOn(a.Err):
			r.res.Detail.MovedOn++
			j.poison.cured(due)
		case errors.Is(a.Err, posting.ErrUnavailable), errors.Is(a.Err, posting.ErrUnknown) && ctx.Err() != nil:
			// Not the order's fault, and it says something about the rest of
			// the batch too: end the run, the next one finds what is left.
			unavailable = a.Err
		default:
			r.fail(due.Order, a.Err)
			if r.failed != nil {
				r.failed[due] = true
			}
			wait := j.poison.failed(due, now)
			j.log.Error("a deadline's event could not be booked", "job", r.job.Name, "order", due.Order.UUID(),
				"marketplace", m.ID, "event", order.Due[d], "deadline_at", due.At, "retry_after", wait, "error", a.Err)
		}
	}
	if unavailable != nil {
		return fmt.Errorf("booking %s: %w", order.Due[d], unavailable)
	}
	return nil
}

// movedOn: the order no longer waits for this deadline. Somebody was faster,
// another leader or the buyer; that is how it should be.
func movedOn(err error) bool {
	var refusal *order.Refusal
	return errors.As(err, &refusal) && (refusal.Rule == order.RuleNotDue || refusal.Rule == order.RuleState)
}

// poison remembers orders whose event failed, so that the schedule does not
// try (and log, and count) them every minute for ever. It is kept in memory
// only: a new leader tries each once more, which does no harm.
type poison struct {
	mu     sync.Mutex
	orders map[orderdb.Due]waiting
}

type waiting struct {
	until time.Time
	wait  time.Duration
}

const (
	poisonFirst = time.Minute
	poisonMax   = 24 * time.Hour
)

// failed notes a failure and answers how long the order is left alone.
func (p *poison) failed(due orderdb.Due, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.orders == nil {
		p.orders = map[orderdb.Due]waiting{}
	}
	w := min(max(2*p.orders[due].wait, poisonFirst), poisonMax)
	p.orders[due] = waiting{until: now.Add(w), wait: w}
	return w
}

func (p *poison) cured(due orderdb.Due) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.orders, due)
}

func (p *poison) waits(due orderdb.Due, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now.Before(p.orders[due].until)
}

// forget drops orders that nobody has tried since long after they could have
// been: somebody moved them on.
func (p *poison) forget(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for due, w := range p.orders {
		if now.Sub(w.until) > poisonMax {
			delete(p.orders, due)
		}
	}
}
