// Package mirror copies the books of a TigerBeetle cluster into the journal
// tables (deploy/migrations, the ledger_ tables) that reports read, and proves
// that the copy is right.
//
// # A round
//
// Copy is one round, of bounded size:
//
//	read     from the journal: how far it goes, and which accounts to compare
//	ask      the cluster: those accounts; the transfers after the cursor; the accounts after the cursor
//	work out in memory: the balances after each of the transfers
//	compare  the accounts' balances with the cluster's answer
//	write    in one transaction: all of it, and the new cursor
//
// The cursor is the timestamp of the newest transfer (and account) in the
// journal. Timestamps rise with the order in which the cluster takes things,
// imported ones included, so nothing ever appears behind it. A page of
// transfers is cut at the end of a linked chain: the journal never shows half
// an event.
//
// Nothing is locked while the cluster is asked. The writing transaction locks
// the row of ledger_state and gives up if somebody else has written since the
// journal was read; so two mirrors on one journal only waste each other's
// time. A mirror that is killed has written a whole round or nothing of it.
//
// # The proof
//
// Balances are worked out from the copied transfers by the rules of package
// rules, never taken from the cluster; that is what makes it a check. Accounts
// are compared in the round after the one that copied their transfers: they
// are asked for first, in one request, which the cluster answers as of one
// moment; the transfers after the cursor are asked for next. So that moment
// lies somewhere among these transfers, and the balances worked out have to
// agree with the answer, for all of the accounts at once, before the first or
// after one of them. However busy the cluster is, an account need not stand
// still to be compared.
//
// Every account is compared after it has moved. Verify compares all of them
// anew, and adds up the journal's transfers.
//
// # Expiries
//
// A pending transfer whose time is up frees what it reserved without being a
// transfer, so it shows in the accounts only. The journal frees it when a
// transfer with a later timestamp has been copied, or when the cluster's
// accounts show that they are free of it. The cluster frees it some
// milliseconds after its time; a comparison that falls in between does not
// agree, and is repeated.
//
// # What is not here
//
// The journal of a mirror has no burned ids: only the ledger itself answers
// from those, and the cluster is asked. Nothing but the mirror may write the
// tables; the schema keeps an engine out.
package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger"
)

// Options of a Mirror; the zero value is usable.
type Options struct {
	// Limit is how many transfers, and how many accounts, a round copies at
	// most. 0 means ledger.BatchMax, which is also the most.
	Limit int
	// Clock is the machine's clock. nil: time.Now.
	Clock func() time.Time
	// Rounds is how often accounts that differ are looked at again before it is
	// an error. 0 means 20.
	Rounds int
	// Pause is the time between two such looks. 0 means 100 ms.
	Pause time.Duration
}

// Mirror copies one cluster into one journal. It keeps nothing in memory
// between rounds and is safe for concurrent use.
type Mirror struct {
	db     *sqlx.DB
	reader ledger.Reader
	opts   Options
	window int // how many transfers' accounts, and expiries' accounts, a round compares
}

// windowMax: each transfer and each expiry names two accounts, and all that
// are compared have to fit one request.
const windowMax = 2000

// New makes a mirror of reader in the journal of db, whose search_path names
// the schema. Claim it first.
func New(db *sqlx.DB, reader ledger.Reader, opts Options) *Mirror {
	if opts.Limit <= 0 || opts.Limit > ledger.BatchMax {
		opts.Limit = ledger.BatchMax
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if opts.Rounds <= 0 {
		opts.Rounds = 20
	}
	if opts.Pause <= 0 {
		opts.Pause = 100 * time.Millisecond
	}
	return &Mirror{db: db, reader: reader, opts: opts, window: windowMax}
}

// Progress is what one round did. Timestamps are the ledger's, ns since 1970
// UTC.
type Progress struct {
	Copied   int    // transfers
	Accounts int    // accounts copied
	Expired  int    // pending transfers found to have expired
	Compared int    // accounts that agree with the ledger's
	From, To uint64 // the newest transfer in the journal before and after
	// Complete: all that stood in the ledger when the round began is in the
	// journal.
	Complete bool
	// Checked: the accounts of all transfers up to here have been compared.
	Checked uint64
	// Differs is what does not agree, if something does not; nil where it is
	// not known yet, because the ledger's newest transfers are still to come.
	Differs *DifferenceError
}

var (
	// ErrNotMirror: the journal was written by the embedded engine.
	ErrNotMirror = errors.New("these books are kept in Postgres, not in TigerBeetle: start with the engine that they were begun in")
	// ErrOtherLedger: the journal was copied from another cluster, or from a
	// later state of this one.
	ErrOtherLedger = errors.New("the journal was not copied from this ledger")
)

// DifferenceError: an account's balances in the journal, worked out from the
// transfers copied, are not the ledger's.
type DifferenceError struct {
	Journal, Ledger ledger.Account
	More            int // so many other accounts differ, too
}

func (e *DifferenceError) Error() string {
	s := fmt.Sprintf("account %s (%d in ledger %d): the journal has %s, the ledger %s",
		e.Ledger.ID.UUID(), e.Ledger.Code, e.Ledger.Ledger, balances(e.Journal), balances(e.Ledger))
	if e.More > 0 {
		s += fmt.Sprintf("; and %d more accounts", e.More)
	}
	return s
}

func balances(a ledger.Account) string {
	return fmt.Sprintf("debits %s, credits %s, pending %s and %s, flags %d", a.DebitsPosted, a.CreditsPosted, a.DebitsPending, a.CreditsPending, a.Flags)
}

// Claim makes an empty journal a mirror's, for good. Claiming it again does
// nothing. ErrNotMirror: an engine has written to it.
func Claim(ctx context.Context, db *sqlx.DB) error {
	// The schema would refuse to make a mirror of what an engine has written;
	// the condition makes that an answer and not an error.
	_, err := db.ExecContext(ctx, `UPDATE ledger_state SET mirrored = true
		WHERE one AND NOT mirrored AND sequence = 0 AND newest = 0`)
	if err != nil {
		return fmt.Errorf("claiming the journal for a mirror: %w", err)
	}
	claimed, err := Claimed(ctx, db)
	if err == nil && !claimed {
		err = ErrNotMirror
	}
	return err
}

// Claimed reports whether the journal is a mirror's.
func Claimed(ctx context.Context, db *sqlx.DB) (bool, error) {
	var claimed bool
	if err := db.GetContext(ctx, &claimed, `SELECT mirrored FROM ledger_state`); err != nil {
		return false, fmt.Errorf("reading whose the journal is: %w", err)
	}
	return claimed, nil
}

// Copy does one round. Calling it until Progress says Complete brings the
// journal up to date, and once more compares the accounts that moved last;
// CatchUp does both.
func (m *Mirror) Copy(ctx context.Context) (Progress, error) {
	for {
		p, err := m.round(ctx)
		if errors.Is(err, errMoved) {
			continue // another mirror has written meanwhile: from there on
		}
		if err != nil {
			return p, fmt.Errorf("mirror: %w", err)
		}
		return p, nil
	}
}

// CatchUp does rounds until all that stands in the ledger when it begins is in
// the journal, and all accounts that it moved agree. each, if not nil, hears of
// every round and ends it early by an error. A *DifferenceError says that they
// do not agree, and go on not to.
func (m *Mirror) CatchUp(ctx context.Context, each func(Progress) error) error {
	var target uint64
	complete, differing := false, 0
	for {
		p, err := m.Copy(ctx)
		if err != nil {
			return err
		}
		if each != nil {
			if err := each(p); err != nil {
				return err
			}
		}
		if p.Complete && !complete {
			complete, target = true, p.To
		}
		if p.Differs == nil {
			differing = 0
			if complete && p.Checked >= target {
				return nil
			}
			continue
		}
		if differing++; differing > m.opts.Rounds {
			return fmt.Errorf("mirror: the journal and the ledger do not agree: %w", p.Differs)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("mirror: %w", context.Cause(ctx))
		case <-time.After(m.opts.Pause):
		}
	}
}

// Verify adds up the journal's transfers, then compares every account that has
// ever moved with the ledger's, which takes a while where they are many; each
// is as in CatchUp. A *SumError or a *DifferenceError says what is wrong.
func (m *Mirror) Verify(ctx context.Context, each func(Progress) error) error {
	if err := m.sums(ctx); err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	if err := m.rewind(ctx); err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	return m.CatchUp(ctx, each)
}
