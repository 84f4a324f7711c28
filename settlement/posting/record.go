package posting

import (
	"context"
	"errors"
	"fmt"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/orderdb"
)

// recordStage is the stage that records. Each turn is one transaction over the
// outcomes that the ledger has given since the last.
func (p *Poster) recordStage() {
	var outcomes []*chain // answered by the ledger, not recorded yet
	for {
		var retry <-chan time.Time
		if len(outcomes) > 0 { // the database failed
			retry = time.After(retryAfter)
		}
		select {
		case done := <-p.results:
			outcomes = append(outcomes, done...)
		case <-retry:
		case <-p.ctx.Done():
			p.leaveToRedrive(outcomes)
			return
		}
		select {
		case done := <-p.results:
			outcomes = append(outcomes, done...)
		default:
		}
		var through []*chain
		began := time.Now()
		through, outcomes = p.record(outcomes)
		p.m.worked(recordStage, began)
		if len(through) == 0 {
			continue
		}
		select {
		case p.recorded <- through:
		case <-p.ctx.Done():
		}
	}
}

// record runs one transaction and tells everybody what came of it. It returns
// the chains that are through, and those that are still to be recorded.
func (p *Poster) record(outcomes []*chain) (through, left []*chain) {
	others, err := p.recordAll(outcomes, false)
	if errors.Is(err, orderdb.ErrTaken) { // a redrive was faster, somewhere
		others, err = p.recordAll(outcomes, true)
	}
	switch {
	case err == nil:
		for _, c := range outcomes {
			if c.batch != nil {
				c.batch.left--
			}
			p.tell(c, others[c.id])
		}
		return outcomes, nil

	case blamesData(err) && len(outcomes) > 1:
		// One of them cannot be stored, and must not take the others along.
		p.log.Error("outcomes were refused by the database; trying them one by one", "error", err, "outcomes", len(outcomes))
		for _, c := range outcomes {
			t, l := p.record([]*chain{c})
			through, left = append(through, t...), append(left, l...)
		}
		return through, left

	case blamesData(err):
		// The order store contradicts the ledger, and a person has to look. Its
		// batch stays open, so every redrive tries it again and the alert for
		// old batches fires.
		c := outcomes[0]
		p.log.Error("an outcome cannot be recorded and is left for a redrive", "error", err, "chain", c.id.UUID(), "order", c.intents[0].order.UUID())
		c.reply(Answer{Err: fmt.Errorf("%w: %w", ErrUnknown, err)})
		return outcomes, nil
	}
	p.log.Error("the database failed; the outcomes are kept", "error", err, "outcomes", len(outcomes))
	return nil, outcomes
}

// recordAll writes the outcomes. It answers the chains of which somebody else
// had recorded the outcome, with what that says; only a careful one can.
func (p *Poster) recordAll(outcomes []*chain, careful bool) (others map[ledger.ID][]orderdb.Recorded, err error) {
	r := orderdb.Recording{Closed: completed(outcomes), Careful: careful, Last: true}
	for _, c := range outcomes {
		r.Outcomes = append(r.Outcomes, c.outcomes()...)
		for _, n := range c.intents {
			if n.entry {
				if r.Entries == nil {
					r.Entries = map[ledger.ID]bool{}
				}
				r.Entries[n.id] = true
			}
		}
	}
	err = p.recording.do(p, func(ctx context.Context, w *orderdb.Writer) error {
		set, err := w.Record(ctx, r)
		if err != nil {
			return err
		}
		var late []ledger.ID
		for _, c := range outcomes {
			if careful && !set[c.intents[0].id] {
				late = append(late, c.id)
			}
		}
		others, err = chainsByID(ctx, w, late, len(r.Entries) > 0)
		return err
	})
	return others, err
}

// completed are the batches that outcomes complete.
func completed(outcomes []*chain) (first []ledger.ID) {
	done := map[*batch]int{}
	for _, c := range outcomes {
		if c.batch != nil {
			done[c.batch]++
		}
	}
	for b, n := range done {
		if n == b.left {
			first = append(first, b.First)
		}
	}
	return first
}

// tell answers the caller of a chain that is recorded, as others may have it.
func (p *Poster) tell(c *chain, others []orderdb.Recorded) {
	a := c.answer()
	if len(others) > 0 {
		a = answerOf(others) // somebody else recorded it, that is what counts
	} else {
		p.m.outcome(c.kind, len(c.intents))
		c.moved = c.kind == orderdb.Applied
	}
	if c.kind == orderdb.Frozen {
		p.log.Error("FROZEN: the ledger holds something else under the ids of this event; a person has to look",
			"chain", c.id.UUID(), "order", c.intents[0].order.UUID(), "reason", c.reason)
	}
	c.reply(a)
}

// leaveToRedrive answers the callers of chains that are given up on.
func (p *Poster) leaveToRedrive(chains []*chain) {
	for _, c := range chains {
		c.reply(Answer{Err: fmt.Errorf("%w: shutting down", ErrUnknown)})
	}
}
