package jobs

import (
	"context"
	"fmt"

	"escrowd/ledger/pages"
	"escrowd/settlement/jobs/books"
)

// checkBooks compares the order store with the ledger, and debits with
// credits. A dry run does the same: a check moves nothing anyway.
func (j *Jobs) checkBooks(ctx context.Context, r *running) error {
	opts := j.books
	opts.Logger, opts.Batch = j.log, j.opts.Batch
	if r.source != byHand {
		// In a day every page has its hour.
		opts.Pages = pages.Part{Which: r.Due.UTC().Hour(), Of: 24}
	}
	opts.Progress = func(report books.Report) error {
		r.res.Items = report.Orders + report.Accounts
		if err := r.goOn(ctx); err != nil {
			return err
		}
		return r.progress(ctx)
	}
	report, err := books.Check(ctx, j.db, j.reader, opts)
	r.res.Items, r.res.Failed = report.Orders+report.Accounts, report.Differences
	r.res.Detail.Books = &report
	for _, d := range report.Listed {
		j.log.Error("the books do not balance", "ledger", d.Ledger, "order", d.Order, "reference", d.Reference, "what", d.What)
	}
	if err != nil {
		return fmt.Errorf("check-books: %w", err)
	}
	return nil
}
