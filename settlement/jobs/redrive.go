package jobs

import (
	"context"
	"fmt"
)

// redriveBatch bounds one round of redrive.
const redriveBatch = 1000

// redrive sends what has no outcome for longer than the lease to the ledger
// again, under the same ids: what stands there already stands once.
func (j *Jobs) redrive(ctx context.Context, r *running) error {
	if r.DryRun {
		open, err := j.store.Open(ctx, j.opts.Lease, redriveBatch)
		if err != nil {
			return fmt.Errorf("reading unfinished intents: %w", err)
		}
		r.res.Items = int64(len(open))
		return r.progress(ctx)
	}
	for {
		if err := r.goOn(ctx); err != nil {
			return err
		}
		// Also when there is nothing to send: it tidies up what others have
		// finished. It answers when the outcomes are recorded, or with an
		// error, so none comes up twice and the loop ends.
		found, err := j.poster.Redrive(ctx, j.opts.Lease, redriveBatch)
		if err != nil {
			return fmt.Errorf("driving unfinished intents again: %w", err)
		}
		r.res.Items += int64(found)
		if err := r.progress(ctx); err != nil {
			return err
		}
		if found < redriveBatch {
			return nil
		}
	}
}
