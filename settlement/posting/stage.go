package posting

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/lib/pq"

	"escrowd/ledger"
	"escrowd/settlement/orderdb"
)

const (
	// A task whose order is busy in another process is looked at again after
	// parkFor. That process records within milliseconds or it has died, and
	// then the redrive ends the wait.
	parkFor = 10 * time.Millisecond
	// After an error of the database the next try waits so long.
	retryAfter = 100 * time.Millisecond
	// A transaction that takes longer is given up.
	txTimeout = 30 * time.Second
)

// decideStage is the stage that talks to Postgres. Each turn is one
// transaction: it records what the ledger has answered and decides what has
// come in since.
func (p *Poster) decideStage() {
	defer p.done.Done()
	var ready []*chain    // decided; the ledger stage has not taken them yet
	var outcomes []*chain // answered by the ledger, not recorded yet
	var failed time.Time  // when the database last failed
	for {
		var submit chan<- []*chain
		if len(ready) > 0 {
			submit = p.submit
		}
		timer := p.nextLook(len(outcomes) > 0)
		select {
		case submit <- ready:
			ready = nil
		case done := <-p.results:
			outcomes = append(outcomes, done...)
		case <-p.wake:
		case <-timer.C:
		case <-p.ctx.Done():
			timer.Stop()
			p.giveUp(append(ready, outcomes...))
			return
		}
		timer.Stop()
		if len(ready) > 0 { // a free ledger stage comes before everything else
			select {
			case p.submit <- ready:
				ready = nil
			default:
			}
		}
		select {
		case done := <-p.results:
			outcomes = append(outcomes, done...)
		default:
		}
		closing := p.take()
		var batch []*task
		if len(ready) == 0 {
			var again []*chain
			batch, again = p.pick(time.Now())
			ready = append(ready, again...)
		}
		if time.Since(failed) < retryAfter && len(batch) == 0 {
			continue
		}
		if len(batch) > 0 || len(outcomes) > 0 {
			decided, left, err := p.turn(batch, outcomes)
			ready = append(ready, decided...)
			outcomes = left
			if failed = (time.Time{}); err != nil {
				failed = time.Now()
			}
			if len(p.pending) > 0 {
				p.poke() // what waited for this turn may be free now
			}
		}
		if p.redrive.CompareAndSwap(true, false) {
			p.done.Go(p.redriveAfterUnknownCommit)
		}
		if len(ready) > 0 {
			select {
			case p.submit <- ready:
				ready = nil
			default:
			}
		}
		if closing && p.drained(len(ready)+len(outcomes)) {
			return
		}
	}
}

// nextLook fires when a parked task or an outcome that could not be recorded
// wants another try.
func (p *Poster) nextLook(outcomes bool) *time.Timer {
	wait := time.Hour
	if outcomes {
		wait = retryAfter
	}
	now := time.Now()
	for _, t := range p.pending {
		if !t.after.IsZero() {
			wait = min(wait, max(time.Millisecond, t.after.Sub(now)))
		}
	}
	return time.NewTimer(wait)
}

// take moves the queue to the stage's own list and reports whether the Poster
// is closing.
func (p *Poster) take() (closing bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = append(p.pending, p.queue...)
	p.queue = nil
	p.m.waiting.Set(float64(len(p.pending)))
	return p.closed
}

// pick takes the tasks that can be decided together: no two about one order,
// one key or one reference, and none about an order in flight. Tasks left
// behind keep their order. Chains to be driven again need no decision.
func (p *Poster) pick(now time.Time) (batch []*task, again []*chain) {
	type name struct {
		marketplace uint32
		name        string
	}
	orders := map[ledger.ID]bool{}
	keys := map[name]bool{}
	references := map[name]bool{}
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
		free := len(batch) < p.opts.BatchMax && !t.after.After(now)
		for _, id := range t.req.Orders {
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
		for _, id := range t.req.Orders {
			orders[id] = true
		}
		keys[key] = true
		references[ref] = true
		if !free || !t.state.CompareAndSwap(waiting, decided) {
			left = append(left, t)
			continue
		}
		batch = append(batch, t)
	}
	clear(p.pending[len(left):])
	p.pending = left
	return batch, again
}

// again lists the chains of a redrive that are not in flight here already.
func (p *Poster) again(t *task) []*chain {
	var list []*chain
	for _, c := range t.open {
		if !p.chains[c.id] {
			c.redrive = t
			list = append(list, c)
		}
	}
	t.left.Store(int32(len(list)))
	if len(list) == 0 {
		t.reply(Answer{})
	}
	p.enter(list)
	return list
}

// enter and leave keep account of what is between decision and record.
func (p *Poster) enter(chains []*chain) {
	for _, c := range chains {
		p.chains[c.id] = true
		for _, n := range c.intents {
			p.inflight[n.order]++
		}
	}
	p.m.inflight.Set(float64(len(p.chains)))
}

func (p *Poster) leave(recorded []*chain) {
	for _, c := range recorded {
		if c.batch != nil {
			c.batch.left--
		}
		p.forget(c)
	}
}

func (p *Poster) forget(c *chain) {
	delete(p.chains, c.id)
	for _, n := range c.intents {
		if p.inflight[n.order]--; p.inflight[n.order] <= 0 {
			delete(p.inflight, n.order)
		}
	}
	p.m.inflight.Set(float64(len(p.chains)))
}

// turn runs one transaction and tells everybody what came of it. It returns
// the chains for the ledger, and those whose outcomes are still to be recorded.
func (p *Poster) turn(batch []*task, outcomes []*chain) (ready, left []*chain, err error) {
	d, set, err := p.transact(batch, outcomes)
	var again *decideAgain
	switch {
	case err == nil:
		p.rememberNames(d.accounts)
		p.leave(outcomes)
		p.enter(d.chains)
		p.tell(outcomes, set)
		for _, r := range d.replies {
			r.task.reply(r.answer)
		}
		p.m.applied(len(d.fresh))
		p.park(d.parked)
		return d.chains, nil, nil

	case errors.As(err, &again):
		for _, t := range batch {
			t.state.Store(waiting)
			if t == again.park {
				t.after = time.Now().Add(parkFor)
			}
		}
		p.pending = append(batch, p.pending...)
		p.poke()
		return nil, outcomes, nil

	case blamesData(err) && len(batch)+len(outcomes) > 1:
		// One of them cannot be stored, and must not take the others along.
		p.log.Error("a batch was refused by the database; trying its parts", "error", err, "requests", len(batch), "outcomes", len(outcomes))
		return p.turnByParts(batch, outcomes)
	}
	p.log.Error("the database failed", "error", err, "requests", len(batch), "outcomes", len(outcomes))
	if blamesData(err) { // what it refused stands alone here
		for _, t := range batch {
			t.reply(Answer{Err: fmt.Errorf("posting: the database refused the request: %w", err)})
		}
		for _, c := range outcomes {
			p.drop(c, err)
		}
		return nil, nil, nil
	}
	unknown := new(commitUnknown)
	why := ErrUnavailable
	if errors.As(err, &unknown) {
		why = ErrUnknown
		if len(batch) > 0 {
			p.redrive.Store(true)
		}
	}
	for _, t := range batch {
		t.reply(Answer{Err: fmt.Errorf("%w: %w", why, err)})
	}
	return nil, outcomes, err
}

// turnByParts finds out which part of a turn the database refuses: first the
// outcomes without the batch, then each outcome and each task alone.
func (p *Poster) turnByParts(batch []*task, outcomes []*chain) (ready, left []*chain, err error) {
	if len(batch) > 0 && len(outcomes) > 0 {
		_, left, err = p.turn(nil, outcomes)
	} else {
		for _, c := range outcomes {
			_, l, e := p.turn(nil, []*chain{c})
			left, err = append(left, l...), errors.Join(err, e)
		}
	}
	for _, t := range batch {
		chains, _, e := p.turn([]*task{t}, nil)
		ready, err = append(ready, chains...), errors.Join(err, e)
	}
	return ready, left, err
}

// drop lets go of a chain whose outcome the database will not have: the order
// store contradicts the ledger, and a person has to look. Its batch stays
// open, so every redrive tries it again and the alert for old batches fires.
func (p *Poster) drop(c *chain, err error) {
	p.log.Error("an outcome cannot be recorded and is left for a redrive", "chain", c.id.UUID(), "order", c.intents[0].order.UUID(), "error", err)
	p.forget(c)
	c.reply(Answer{Err: fmt.Errorf("%w: %w", ErrUnknown, err)})
}

// rememberNames keeps the ids of named accounts, and keeps their number from
// growing with that of buyers; forgetting one only costs looking it up again.
func (p *Poster) rememberNames(found map[orderdb.AccountName]ledger.ID) {
	const most = 1 << 17
	if len(p.accounts)+len(found) > most {
		clear(p.accounts)
	}
	for n, id := range found {
		p.accounts[n] = id
	}
}

func (p *Poster) park(tasks []*task) {
	after := time.Now().Add(parkFor)
	for _, t := range tasks {
		t.after = after
		t.state.Store(waiting)
	}
	p.pending = append(p.pending, tasks...)
}

// transact records outcomes and decides a batch in one transaction. set is
// which of the outcomes it recorded; the others stood already, with chains
// saying what.
func (p *Poster) transact(batch []*task, outcomes []*chain) (d *decision, set recordedChains, err error) {
	ctx, cancel := context.WithTimeout(p.ctx, txTimeout)
	defer cancel()
	began := time.Now()
	if p.writer == nil {
		w, err := orderdb.NewWriter(ctx, p.store)
		if err != nil {
			return nil, nil, err
		}
		p.writer = w
	}
	// A connection that failed is not used again. A transaction given up for
	// another reason is rolled back and leaves it fit.
	defer func() {
		if err != nil && !errors.As(err, new(*decideAgain)) && !blamesData(err) {
			_ = p.closeWriter()
		}
	}()
	tx, err := p.writer.Begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer tx.Rollback()
	d = &decision{}
	if len(batch) > 0 {
		if d, err = p.decide(ctx, batch); err != nil {
			return nil, nil, err
		}
	}
	if set, err = p.record(ctx, outcomes, d); err != nil {
		return nil, nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, nil, &commitUnknown{err}
	}
	p.m.transaction.Observe(time.Since(began).Seconds())
	p.m.batch.Observe(float64(len(batch)))
	return d, set, nil
}

// recordedChains are the chains whose outcome was there before, by id.
type recordedChains map[ledger.ID][]orderdb.Recorded

func (p *Poster) record(ctx context.Context, outcomes []*chain, d *decision) (recordedChains, error) {
	var list []orderdb.Outcome
	for _, c := range outcomes {
		list = append(list, c.outcomes()...)
	}
	set, err := p.writer.Record(ctx, append(list, d.fresh...), d.made)
	if err != nil {
		return nil, err
	}
	if err := p.closeBatches(ctx, outcomes); err != nil {
		return nil, err
	}
	var others []ledger.ID
	for _, c := range outcomes {
		if !set[c.intents[0].id] {
			others = append(others, c.id)
		}
	}
	return p.chainsByID(ctx, others)
}

// tell answers the callers of recorded chains.
func (p *Poster) tell(outcomes []*chain, others recordedChains) {
	for _, c := range outcomes {
		a := c.answer()
		if list := others[c.id]; len(list) > 0 {
			a = answerOf(list) // somebody else recorded it, that is what counts
		} else {
			p.m.outcome(c.kind, len(c.intents))
		}
		if c.kind == orderdb.Frozen {
			p.log.Error("FROZEN: the ledger holds something else under the ids of this event; a person has to look",
				"chain", c.id.UUID(), "order", c.intents[0].order.UUID(), "reason", c.reason)
		}
		c.reply(a)
	}
}

// redriveAfterUnknownCommit drives intents that a COMMIT without an answer
// may have left.
func (p *Poster) redriveAfterUnknownCommit() {
	for p.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(p.ctx, txTimeout)
		n, err := p.Redrive(ctx, 0, p.opts.BatchMax)
		cancel()
		if err == nil && n < p.opts.BatchMax {
			return
		}
		select {
		case <-time.After(retryAfter):
		case <-p.ctx.Done():
		}
	}
}

// drained reports whether a closing Poster has finished, and lets go of what
// it will not wait for.
func (p *Poster) drained(open int) bool {
	left := p.pending[:0]
	for _, t := range p.pending {
		if t.after.IsZero() && t.open == nil {
			left = append(left, t)
			continue
		}
		t.reply(Answer{Err: fmt.Errorf("%w: shutting down", ErrUnavailable)})
	}
	p.pending = left
	if open+len(left)+len(p.chains) > 0 {
		if len(left) > 0 {
			p.poke()
		}
		return false
	}
	close(p.idle)
	<-p.ctx.Done()
	return true
}

// giveUp answers everybody who still waits when Close has given up waiting.
func (p *Poster) giveUp(chains []*chain) {
	p.take()
	for _, t := range p.pending {
		t.reply(Answer{Err: fmt.Errorf("%w: shutting down", ErrUnavailable)})
	}
	for _, c := range chains {
		c.reply(Answer{Err: fmt.Errorf("%w: shutting down", ErrUnknown)})
	}
}

// commitUnknown: COMMIT was sent and its answer did not come.
type commitUnknown struct{ err error }

func (e *commitUnknown) Error() string { return "commit: " + e.err.Error() }
func (e *commitUnknown) Unwrap() error { return e.err }

// blamesData reports whether the database refused what it was given, rather
// than being unable to serve: by SQLSTATE class (Postgres manual, appendix A).
func blamesData(err error) bool {
	if errors.Is(err, orderdb.ErrContradiction) {
		return true
	}
	if err == nil || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || new(commitUnknown).in(err) {
		return false
	}
	var netErr net.Error
	if errors.As(err, &netErr) {
		return false
	}
	var e *pq.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code.Class() {
	case "08", "25", "40", "53", "55", "57", "58", "XX": // connection, transaction state, rollback, resources, locks, operator, system, internal
		return false
	}
	return true
}

func (e *commitUnknown) in(err error) bool { return errors.As(err, &e) }
