package jobs

import (
	"context"
	"fmt"

	"escrowd/ledger/pages"
)

// closePages adds up each page of the journal that has become full, so that
// reports read its sums instead of its transfers.
func (j *Jobs) closePages(ctx context.Context, r *running) error {
	if r.DryRun {
		n, err := pages.Full(ctx, j.db, j.opts.Page)
		if err != nil {
			return fmt.Errorf("closing pages: %w", err)
		}
		r.res.Items = n
		return r.progress(ctx)
	}
	dropped, err := pages.Close(ctx, j.db, j.opts.Page, func(transfers int) error {
		r.res.Items += int64(transfers)
		if err := r.progress(ctx); err != nil {
			return err
		}
		return r.goOn(ctx)
	})
	if dropped > 0 {
		// As it should be where the journal, a mirror's, was made anew.
		j.log.Warn("pages that did not fit the journal were thrown away; their transfers are added up again", "pages", dropped)
	}
	if err != nil {
		return fmt.Errorf("closing pages: %w", err)
	}
	return nil
}
