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
	"escrowd/settlement/order"
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

// decideStage is the stage that decides. Each turn is one transaction over
// what has come in since the last.
func (p *Poster) decideStage() {
	var ready []*chain // decided; the ledger stage has not taken them yet
	for {
		var submit chan<- []*chain
		if len(ready) > 0 {
			submit = p.submit
		}
		timer := p.nextLook()
		select {
		case submit <- ready:
			ready = nil
		case done := <-p.recorded:
			p.leave(done)
		case <-p.wake:
		case <-timer.C:
		case <-p.ctx.Done():
			timer.Stop()
			p.giveUp(ready)
			return
		}
		timer.Stop()
		var batch []*task
		if len(ready) == 0 {
			p.take()
			batch, ready = p.pick(time.Now())
		}
		if len(batch) > 0 {
			began := time.Now()
			ready = append(ready, p.turn(batch)...)
			p.m.worked(decideStage, began)
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
		if p.closing() && p.drained(len(ready)) {
			return
		}
	}
}

// nextLook fires when a parked task wants another try.
func (p *Poster) nextLook() *time.Timer {
	wait := time.Hour
	now := time.Now()
	for _, t := range p.pending {
		if !t.after.IsZero() {
			wait = min(wait, max(time.Millisecond, t.after.Sub(now)))
		}
	}
	return time.NewTimer(wait)
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
	p.hold(list)
	return list
}

// hold and leave keep account of what is between decision and record.
func (p *Poster) hold(chains []*chain) {
	p.seen.Lock()
	defer p.seen.Unlock()
	for _, c := range chains {
		p.chains[c.id] = true
		for _, n := range c.intents {
			p.inflight[n.order]++
			delete(p.orders, n.order)
		}
	}
	p.m.inflight.Set(float64(len(p.chains)))
}

func (p *Poster) leave(chains []*chain) {
	for _, c := range chains {
		delete(p.chains, c.id)
		for _, n := range c.intents {
			if p.inflight[n.order]--; p.inflight[n.order] <= 0 {
				delete(p.inflight, n.order)
			}
		}
		if c.moved {
			p.rememberOrders(c.result.Orders)
		}
	}
	p.m.inflight.Set(float64(len(p.chains)))
}

// rememberOrders keeps orders as they stand, so that their next event need not
// read them. What is remembered may have been overtaken by another process,
// and does no harm then: whatever is decided on it finds its place taken, and
// whatever is refused because of it is looked at again (see refuse).
//
// An order with no deadline ahead is through and not kept.
func (p *Poster) rememberOrders(list []order.Order) {
	const most = 1 << 15
	p.seen.Lock()
	defer p.seen.Unlock()
	if len(p.orders)+len(list) > most {
		clear(p.orders)
	}
	for i := range list {
		if list[i].Deadline != order.NoDeadline {
			p.orders[list[i].ID] = &list[i]
		}
	}
}

// turn runs one transaction and tells everybody what came of it. It returns
// the chains for the ledger.
func (p *Poster) turn(batch []*task) (ready []*chain) {
	d, err := p.transact(batch)
	var again *decideAgain
	unknown := new(commitUnknown)
	switch {
	case err == nil:
		p.careful = false
		p.rememberNames(d.accounts)
		p.hold(d.chains)
		for _, r := range d.replies {
			r.task.reply(r.answer)
			p.rememberOrders(r.now)
		}
		p.m.applied(len(d.fresh))
		p.comeBack(d.again, time.Time{})
		p.comeBack(d.parked, time.Now().Add(parkFor))
		return d.chains

	case errors.As(err, &again):
		p.careful = p.careful || again.careful
		for _, t := range batch {
			t.state.Store(waiting)
			if t == again.park {
				t.after, t.careful = time.Now().Add(parkFor), true
			}
		}
		p.pending = append(batch, p.pending...)
		p.poke()
		return nil

	case blamesData(err) && len(batch) > 1:
		// One of them cannot be stored, and must not take the others along.
		p.log.Error("a batch was refused by the database; trying its parts", "error", err, "requests", len(batch))
		for _, t := range batch {
			ready = append(ready, p.turn([]*task{t})...)
		}
		return ready

	case blamesData(err):
		p.log.Error("the database refused a request", "error", err)
		err = fmt.Errorf("posting: the database refused the request: %w", err)

	case errors.As(err, &unknown):
		p.log.Error("the database failed in a commit", "error", err, "requests", len(batch))
		p.redrive.Store(true)
		err = fmt.Errorf("%w: %w", ErrUnknown, err)

	default:
		p.log.Error("the database failed", "error", err, "requests", len(batch))
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	for _, t := range batch {
		t.reply(Answer{Err: err})
	}
	return nil
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

// comeBack lets tasks be decided by a later turn, not before a moment (zero for
// at once), from the database and not from memory. They go before what came in
// after them: requests about one order keep their order.
func (p *Poster) comeBack(tasks []*task, after time.Time) {
	for _, t := range tasks {
		t.after, t.careful = after, true
		t.state.Store(waiting)
	}
	p.pending = append(tasks, p.pending...)
}

// transact decides a batch in one transaction.
func (p *Poster) transact(batch []*task) (d *decision, err error) {
	began := time.Now()
	err = p.deciding.do(p, func(ctx context.Context, w *orderdb.Writer) error {
		if d, err = p.decide(ctx, w, batch); err != nil {
			return err
		}
		_, err := w.Record(ctx, orderdb.Recording{Outcomes: d.fresh, Made: d.made, Entries: d.entries, Last: true})
		return err
	})
	if err != nil {
		return nil, err
	}
	p.m.transaction.Observe(time.Since(began).Seconds())
	p.m.batch.Observe(float64(len(batch)))
	return d, nil
}

// connection is a stage's own connection to the database, opened when it is
// needed and after a failure.
type connection struct{ writer *orderdb.Writer }

// do runs work in a transaction. An error after COMMIT was sent is a
// commitUnknown.
func (c *connection) do(p *Poster, work func(context.Context, *orderdb.Writer) error) (err error) {
	ctx, cancel := context.WithTimeout(p.ctx, txTimeout)
	defer cancel()
	if c.writer == nil {
		if c.writer, err = orderdb.NewWriter(ctx, p.store); err != nil {
			c.writer = nil
			return err
		}
	}
	// A connection that failed is not used again. A transaction given up for
	// another reason is rolled back and leaves it fit.
	defer func() {
		if err != nil && !errors.As(err, new(*decideAgain)) && !errors.Is(err, orderdb.ErrTaken) && !blamesData(err) {
			_ = c.close()
		}
	}()
	tx := c.writer.Begin()
	if err = work(ctx, c.writer); err == nil {
		err = tx.Commit()
	} else if rollback := tx.Rollback(); rollback != nil {
		// Whatever else went wrong, nothing may come into this transaction.
		_ = c.close()
	}
	if errors.Is(err, orderdb.ErrCommitUnknown) {
		return &commitUnknown{err}
	}
	return err
}

func (c *connection) close() error {
	if c.writer == nil {
		return nil
	}
	w := c.writer
	c.writer = nil
	return w.Close()
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
		t.reply(Answer{Err: errClosing})
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
		t.reply(Answer{Err: errClosing})
	}
	p.leaveToRedrive(chains)
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
