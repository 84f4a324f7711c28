package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

// deadlinesOf are the deadlines that a job stands for, in the order in which it
// passes them: where one can lead to another, that one comes later, so that a
// clock that is moved over both finds both passed.
var deadlinesOf = map[string][]order.Deadline{
	ExpireUnpaid:    {order.PayBy, order.CaptureBy},
	CancelUnshipped: {order.ShipBy},
	AutoRelease:     {order.ConfirmBy, order.ConfirmPartBy},
	MoveDisputes: {order.RespondBy, order.NegotiateBy, order.EvidenceBy, order.AppealBy, order.ReturnBy, order.InspectBy, order.ReplaceBy,
		order.RepresentBy},
	Mature: {order.MaturePartAt, order.MatureAt, order.ReserveUntil},
}

// Of is the name of the job that books an event of orders when its deadline has
// passed, "" for one that no deadline causes.
func Of(e order.Event) string {
	at := order.DueAt(e)
	for name, list := range deadlinesOf {
		if at != order.NoDeadline && slices.Contains(list, at) {
			return name
		}
	}
	return ""
}

func (j *Jobs) deadlineJob(name, what string) *Job {
	return &Job{Name: name, Schedule: "* * * * *", What: what, body: func(ctx context.Context, r *running) error {
		for _, d := range deadlinesOf[name] {
			if err := j.passDeadlines(ctx, r, d); err != nil {
				return err
			}
		}
		return nil
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

// ahead is how many batches a run has with the write path at once: one is
// decided and one with the ledger while one is recorded.
const ahead = 3

func (j *Jobs) passDeadlinesOf(ctx context.Context, r *running, m orderdb.Marketplace, d order.Deadline) (err error) {
	var passing []*batch
	defer func() { // what was handed over is counted, whatever ended the run
		for _, b := range passing {
			err = errors.Join(err, j.collect(ctx, r, m, d, b), r.progress(ctx))
		}
	}()
	_, until := m.At(j.now())
	var cursor orderdb.Due
	for {
		if err := r.goOn(ctx); err != nil {
			return err
		}
		// The cursor passes by what failed: it stays due, but the run goes on.
		page, err := j.store.Due(ctx, m.ID, d, until, cursor, j.opts.Batch)
		if err != nil {
			return fmt.Errorf("reading what is due: %w", err)
		}
		due := page.Orders
		if page.Past > 0 && !r.DryRun {
			// What the run before this one booked, and whatever else has moved on
			// in time.
			if err := j.store.ForgetPast(ctx, m.ID, d, cursor, page.Last); err != nil {
				return fmt.Errorf("forgetting deadlines of the past: %w", err)
			}
		}
		cursor = page.Last
		if len(due) == 0 {
			if page.More {
				continue
			}
			return nil
		}
		if r.DryRun {
			j.wouldPass(r, m, d, due)
			err = r.progress(ctx)
		} else {
			if b := j.handOver(ctx, r, m, d, due); b != nil {
				passing = append(passing, b)
			}
			if len(passing) == ahead {
				b := passing[0]
				passing = passing[1:]
				err = errors.Join(j.collect(ctx, r, m, d, b), r.progress(ctx))
			}
		}
		if err != nil {
			return err
		}
		if !page.More {
			return nil
		}
	}
}

// wouldPass counts a batch and shows the first few of its orders.
func (j *Jobs) wouldPass(r *running, m orderdb.Marketplace, d order.Deadline, batch []order.Order) {
	r.res.Items += int64(len(batch))
	for i := range batch {
		if len(r.res.Detail.First) == listed {
			break
		}
		o := &batch[i]
		r.res.Detail.First = append(r.res.Detail.First, Item{Order: o.ID.UUID(), Reference: o.Reference, Marketplace: m.ID,
			State: o.State, Held: o.Held, Currency: currencyOf(o.Ledger), Event: order.Due[d], Due: o.DeadlineAt})
	}
}

// batch is orders on their way through the write path.
type batch struct {
	tried   []orderdb.Due
	at      time.Time
	done    chan struct{} // closed when what follows is there
	answers []posting.Answer
	err     error
}

// handOver gives a batch to the write path; nil if none of it is to be tried.
func (j *Jobs) handOver(ctx context.Context, r *running, m orderdb.Marketplace, d order.Deadline, due []order.Order) *batch {
	b := &batch{at: j.now(), done: make(chan struct{})}
	requests := make([]posting.Request, 0, len(due))
	for i := range due {
		o := &due[i]
		place := orderdb.DueOf(o)
		if r.failed[place] {
			continue
		}
		if r.source == bySchedule && j.poison.waits(place, b.at) {
			r.res.Detail.Waiting++
			continue
		}
		b.tried = append(b.tried, place)
		requests = append(requests, posting.Request{Marketplace: m.ID, Orders: []ledger.ID{o.ID}, Seen: o, Patient: true,
			Command: order.Command{Event: order.Due[d], By: order.System, At: o.DeadlineAt}})
	}
	if len(requests) == 0 {
		return nil
	}
	go func() {
		defer close(b.done)
		b.err = r.guard(func() error {
			b.answers = j.poster.DoAll(ctx, requests)
			return nil
		})
	}()
	return b
}

// collect waits for a batch. An error means that the run cannot go on; an
// order's own failure is counted and passed by.
func (j *Jobs) collect(ctx context.Context, r *running, m orderdb.Marketplace, d order.Deadline, b *batch) error {
	<-b.done
	if b.err != nil {
		return b.err
	}
	var unavailable error
	for i, a := range b.answers {
		due := b.tried[i]
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
			wait := j.poison.failed(due, b.at)
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
