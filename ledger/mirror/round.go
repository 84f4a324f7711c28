package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"escrowd/ledger"
)

// errMoved: the journal was written by somebody else while the round was on.
var errMoved = errors.New("the journal has moved on")

// skew is by how much the clocks of this machine and of the cluster may differ
// for an expiry to be noticed at once. A larger difference delays it.
const skew = time.Minute

// round copies at most a page, and compares at most a window of accounts.
func (m *Mirror) round(ctx context.Context) (p Progress, err error) {
	j := journal{m.db}
	s, err := j.state(ctx)
	if err != nil {
		return p, err
	}
	if !s.Mirrored {
		return p, ErrNotMirror
	}
	p.From, p.To, p.Checked = s.NewestTransfer, s.NewestTransfer, s.Checked
	if err := m.sameLedger(ctx, j, s); err != nil {
		return p, err
	}

	// Which accounts to compare: those of the next transfers in line, and those
	// that are about to be freed of a reservation.
	began := m.opts.Clock().UTC()
	horizon := uint64(max(began.Add(skew).UnixNano(), 0))
	compare, checked, err := j.toCompare(ctx, s.Checked, horizon, m.window)
	if err != nil {
		return p, err
	}

	// The order of these three requests is what the proof rests on.
	var truth []ledger.Account
	if len(compare) > 0 {
		if truth, err = m.reader.LookupAccounts(ctx, compare); err != nil {
			return p, fmt.Errorf("asking the ledger for %d accounts: %w", len(compare), err)
		}
		if len(truth) != len(compare) {
			return p, fmt.Errorf("%w: it does not know %d of the journal's accounts", ErrOtherLedger, len(compare)-len(truth))
		}
	}
	transfers, accounts, complete, err := m.page(ctx, s)
	if err != nil {
		return p, err
	}

	w, err := j.load(ctx, truth, transfers, accounts, horizon)
	if err == nil {
		err = w.run(transfers, horizon, complete)
	}
	if err != nil {
		// What contradicts itself may be of two moments.
		if now, stateErr := j.state(ctx); stateErr == nil && now.Sequence != s.Sequence {
			return p, errMoved
		}
		return p, err
	}
	p.Copied, p.Accounts, p.Expired, p.Complete = len(transfers), len(accounts), w.expired, complete
	switch {
	case w.agreed:
		p.Compared, p.Checked = len(compare), checked
	case complete:
		p.Differs = w.difference()
	}
	next := s
	next.Checked = p.Checked
	if n := len(transfers); n > 0 {
		next.NewestTransfer = transfers[n-1].Timestamp
		p.To = next.NewestTransfer
	}
	if n := len(accounts); n > 0 {
		next.NewestAccount = accounts[n-1].Timestamp
	}
	if complete {
		next.Complete = &began
	}
	return p, j.write(ctx, s, next, w)
}

// sameLedger looks whether the journal's newest transfer and account stand in
// the ledger as they stand here. One that was copied from another cluster, or
// one whose cluster was restored to an earlier moment, must not go on.
func (m *Mirror) sameLedger(ctx context.Context, j journal, s state) error {
	if at := s.NewestTransfer; at > 0 {
		have, err := j.transferAt(ctx, at)
		if err != nil {
			return err
		}
		found, err := m.reader.QueryTransfers(ctx, ledger.QueryFilter{TimestampMin: at, TimestampMax: at, Limit: 1})
		if err != nil {
			return fmt.Errorf("asking the ledger for the journal's newest transfer: %w", err)
		}
		if len(found) != 1 || found[0] != have {
			return fmt.Errorf("%w: its newest transfer, %s, does not stand there so; was the cluster replaced or restored?", ErrOtherLedger, have.ID.UUID())
		}
	}
	if at := s.NewestAccount; at > 0 {
		id, err := j.accountAt(ctx, at)
		if err != nil {
			return err
		}
		found, err := m.reader.QueryAccounts(ctx, ledger.QueryFilter{TimestampMin: at, TimestampMax: at, Limit: 1})
		if err != nil {
			return fmt.Errorf("asking the ledger for the journal's newest account: %w", err)
		}
		if len(found) != 1 || found[0].ID != id {
			return fmt.Errorf("%w: its newest account, %s, is not there; was the cluster replaced or restored?", ErrOtherLedger, id.UUID())
		}
	}
	return nil
}

// page asks for what comes after the cursor. complete: there was nothing else.
func (m *Mirror) page(ctx context.Context, s state) (transfers []ledger.Transfer, accounts []ledger.Account, complete bool, err error) {
	// No chain is longer than a full page, so the second one has its end.
	for _, limit := range []int{m.opts.Limit, ledger.BatchMax} {
		transfers, err = m.reader.QueryTransfers(ctx, ledger.QueryFilter{TimestampMin: s.NewestTransfer + 1, Limit: uint32(limit)})
		if err != nil {
			return nil, nil, false, fmt.Errorf("asking the ledger for transfers after %d: %w", s.NewestTransfer, err)
		}
		complete = len(transfers) < limit
		if complete {
			break
		}
		if transfers = wholeChains(transfers); len(transfers) > 0 {
			break
		}
	}
	// Asked second, so that no transfer's account is missing.
	limit := m.opts.Limit
	accounts, err = m.reader.QueryAccounts(ctx, ledger.QueryFilter{TimestampMin: s.NewestAccount + 1, Limit: uint32(limit)})
	if err != nil {
		return nil, nil, false, fmt.Errorf("asking the ledger for accounts after %d: %w", s.NewestAccount, err)
	}
	if len(accounts) < limit {
		return transfers, accounts, complete, nil
	}
	// There may be more accounts. A transfer is younger than its own, so those
	// transfers that are no younger than the last account have theirs.
	n, _ := slices.BinarySearchFunc(transfers, accounts[limit-1].Timestamp, func(t ledger.Transfer, last uint64) int {
		return cmp.Compare(t.Timestamp, last)
	})
	return wholeChains(transfers[:n]), accounts, false, nil
}

// wholeChains cuts off the beginning of a chain at the end.
func wholeChains(transfers []ledger.Transfer) []ledger.Transfer {
	n := len(transfers)
	for n > 0 && transfers[n-1].Flags.Has(ledger.TransferLinked) {
		n--
	}
	return transfers[:n]
}
