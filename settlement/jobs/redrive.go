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
	// What is there at the start is what this run is about. More may come up
	// while it runs, and some may stay without an outcome; the next run is for
	// those, so that this one ends.
	open, err := j.store.Open(ctx, j.opts.Lease, redriveBatch)
	if err != nil {
		return fmt.Errorf("reading unfinished intents: %w", err)
	}
	if r.DryRun {
		r.res.Items = int64(len(open))
		return r.progress(ctx)
	}
	if len(open) == 0 {
		return nil
	}
	for {
		if err := r.goOn(ctx); err != nil {
			return err
		}
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
