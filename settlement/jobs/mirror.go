package jobs

import (
	"context"
	"errors"
	"fmt"

	"escrowd/ledger/mirror"
)

// mirror copies what is new in the ledger into the journal that reports read,
// and compares. By hand it compares all accounts, not only those that moved.
func (j *Jobs) mirror(ctx context.Context, r *running) error {
	m := mirror.New(j.db, j.reader, mirror.Options{Clock: j.opts.Clock})
	if r.DryRun {
		return errors.New("the mirror has no dry run: what there is to copy is known when it is copied")
	}
	run := m.CatchUp
	if r.source == byHand {
		run = m.Verify
	}
	err := run(ctx, func(p mirror.Progress) error {
		r.res.Items += int64(p.Copied)
		r.res.Detail.Compared += int64(p.Compared)
		j.m.mirrored.Add(float64(p.Copied))
		if err := r.goOn(ctx); err != nil {
			return err
		}
		return r.progress(ctx)
	})
	if CopyIsWrong(err) {
		r.res.Failed = 1
		j.log.Error("the journal and the ledger do not agree", "error", err)
	}
	if err != nil {
		return fmt.Errorf("copying the ledger: %w", err)
	}
	return nil
}

// CopyIsWrong tells a mirror whose copy is not the ledger from one that could
// not be made, by the error of its run.
func CopyIsWrong(err error) bool {
	_, difference := errors.AsType[*mirror.DifferenceError](err)
	_, sum := errors.AsType[*mirror.SumError](err)
	return difference || sum || errors.Is(err, mirror.ErrOtherLedger)
}
