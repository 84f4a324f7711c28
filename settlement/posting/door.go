package posting

import (
	"time"

	"escrowd/ledger"
)

// The door of the write path. What is let in is decided in the order in which
// it came, so how long the first in line has waited says how long the next one
// will. With twice the load that can be borne the line grows until its first
// has waited for half of MaxWait; then nobody is let in, and those in line are
// through within about MaxWait. Should that not do (three times the load, a
// database that stands still), whoever has waited for MaxWait leaves: nothing
// was decided for him, so nothing is lost.
//
// Jobs are let in always: they bring a few batches and wait for their end. But
// while others are in line they get a quarter of each batch.

// enter puts tasks in line.
func (p *Poster) enter(tasks []*task, now time.Time) error {
	if len(tasks) == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errClosing
	}
	if !tasks[0].patient() {
		if p.shut(now) || len(p.queue)+len(tasks) > p.opts.QueueMax {
			return ErrBusy
		}
		if p.since.IsZero() {
			p.since = now
		}
	}
	p.queue = append(p.queue, tasks...)
	p.poke()
	return nil
}

// shut reports whether the first in line has waited for too long to let in
// more. It is called with mu held.
func (p *Poster) shut(now time.Time) bool {
	first := p.first
	if first.IsZero() {
		first = p.since
	}
	return !first.IsZero() && now.Sub(first) >= p.opts.MaxWait/2
}

// Busy reports whether a request would be turned away now, and counts it as
// turned away if so: for a caller who then need not even read it.
func (p *Poster) Busy() bool {
	p.mu.Lock()
	busy := p.shut(time.Now())
	p.mu.Unlock()
	if busy {
		p.m.busy.Inc()
	}
	return busy
}

// patient tasks may wait as long as it takes.
func (t *task) patient() bool { return t.req.Patient || t.open != nil }

// patience is closed when tasks have waited for long enough; the caller calls
// enough when it does not matter any more.
func (p *Poster) patience(tasks []*task) (late <-chan struct{}, enough func()) {
	if len(tasks) == 0 || tasks[0].patient() {
		return nil, func() {}
	}
	c := make(chan struct{})
	timer := time.AfterFunc(p.opts.MaxWait, func() { close(c) })
	return c, func() { timer.Stop() }
}

// closing reports whether nobody is let in any more and the queue is empty.
func (p *Poster) closing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed && len(p.queue) == 0
}

// take moves the queue to the deciding stage's own list.
func (p *Poster) take() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = append(p.pending, p.queue...)
	p.queue, p.since = nil, time.Time{}
	p.left = len(p.pending)
}

// inLine is how many wait to be decided.
func (p *Poster) inLine() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return float64(len(p.queue) + p.left)
}

// pick takes the tasks that can be decided together: no two about one order,
// or entry, one key or one reference, and none about an order in flight. Tasks left
// behind keep their order. Chains to be driven again need no decision.
func (p *Poster) pick(now time.Time) (batch []*task, again []*chain) {
	type name struct {
		marketplace uint32
		name        string
	}
	orders := map[ledger.ID]bool{}
	keys := map[name]bool{}
	references := map[name]bool{}
	callers, jobs := p.room()
	var first time.Time
	left := p.pending[:0]
	for _, t := range p.pending {
		if t.open != nil {
			again = append(again, p.again(t)...)
			continue
		}
		if t.ctx.Err() != nil && t.state.CompareAndSwap(waiting, abandoned) {
			continue
		}
		if t.state.Load() == abandoned {
			continue
		}
		free := !t.after.After(now)
		about := t.req.about()
		for _, id := range about {
			free = free && !orders[id] && p.inflight[id] == 0
		}
		key := name{t.req.Marketplace, t.req.Key}
		free = free && (t.req.Key == "" || !keys[key])
		var ref name
		if a := t.req.Agreement; a != nil {
			ref = name{t.req.Marketplace, a.Reference}
			free = free && !references[ref]
		}
		// Taken or not: what comes after it about the same order waits.
		for _, id := range about {
			orders[id] = true
		}
		keys[key] = true
		references[ref] = true
		room := &callers
		if t.patient() {
			room = &jobs
		}
		if free && *room == 0 {
			if !t.patient() && first.IsZero() {
				first = t.began
			}
			free = false
		}
		if !free || !t.state.CompareAndSwap(waiting, decided) {
			left = append(left, t)
			continue
		}
		*room--
		p.m.wait.Observe(now.Sub(t.began).Seconds())
		batch = append(batch, t)
	}
	clear(p.pending[len(left):])
	p.pending = left
	p.mu.Lock()
	defer p.mu.Unlock()
	p.first, p.left = first, len(left)
	return batch, again
}

// room is how many callers' and how many jobs' tasks a batch takes. A small
// batch is a quick one, so callers do not wait long for that of a job.
func (p *Poster) room() (callers, jobs int) {
	for _, t := range p.pending {
		switch {
		case t.open != nil:
		case t.patient():
			jobs++
		default:
			callers++
		}
	}
	if callers > 0 && jobs > 0 {
		quarter := max(1, p.opts.BatchMax/4)
		return max(1, p.opts.BatchMax-quarter), quarter
	}
	return p.opts.BatchMax, p.opts.BatchMax
}
