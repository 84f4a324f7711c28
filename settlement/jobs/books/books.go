// Package books checks that the books prove themselves: the order store says
// what the ledger says, and in the ledger debits equal credits.
//
// Both sides go on moving while they are compared, and neither knows the
// other's clock. What makes an honest comparison possible is the write path:
// an event is stored as an intent before the ledger hears of it, and the
// order's row moves on in the transaction that records the outcome. So if an
// order has no intent without an outcome before and after its account is read,
// and has moved on neither time, then nothing moved in between, and a
// difference is a difference. An order for which that does not hold is looked
// at again.
//
// Every order with money is compared with its escrow account, and every escrow
// account with money with its order. Together they are stronger than comparing
// sums, and they cover the closed orders too: one whose account is not empty
// comes up from the ledger's side, however long ago it was closed. (So there is
// no need to remember up to which event closed orders were looked at.)
//
// What was released and went back is collected from the seller's accounts, within
// one chain, through an account that is empty at all other times: if it is not,
// somebody was paid and nobody paid for it.
//
// A payment that is authorised has no account of its own, and a pending transfer
// that was resolved looks like one that was not. So authorised payments are
// compared by their sums, where those of both sides are of one moment; and so are
// open chargebacks, which are all advanced from one account.
//
// Entries, too, are compared by their sums: what waits for a bank, a provider or
// a person stands in accounts of its own.
//
// Beside the money it checks the time: every open order's deadline stands where
// the jobs look for those that have passed.
//
// What reports read instead of the ledger's transfers, the sums of the journal's
// pages, is compared with the balances of the accounts beside it, and page by
// page with the transfers: see ledger/pages.
package books

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger"
	"escrowd/ledger/pages"
)

// Options of Check; the zero value is usable.
type Options struct {
	Logger *slog.Logger // nil: nothing is logged
	// Batch is how many orders are compared at once. 0 means 1000; at most
	// ledger.BatchMax.
	Batch int
	// Rounds is how often Check looks again at what was moving, Pause how long
	// it waits before. 0 means 25 times and 200 milliseconds.
	Rounds int
	Pause  time.Duration
	// Progress, if not nil, hears of the report as it grows. An error ends
	// the check.
	Progress func(Report) error
	// Pages says which pages of the journal are added up again. The zero value
	// is all of them, about four seconds per million transfers.
	Pages pages.Part
}

// Report is what a check found. Amounts are minor units.
type Report struct {
	// Balanced is the verdict: nothing differs, and nothing was left out.
	Balanced bool `json:"balanced"`
	// Orders with money, and accounts of every kind, that were looked at.
	Orders   int64 `json:"orders"`
	Accounts int64 `json:"accounts"`
	// Pages of the journal that were added up again.
	Pages int64 `json:"pages,omitempty"`
	// Unsettled counts orders that were moving every time they were looked at:
	// nothing is known of them, and the next check is for them.
	Unsettled int64 `json:"unsettled,omitempty"`
	// Differences counts all of them; Listed are the first 20 by id.
	Differences int64        `json:"differences"`
	Listed      []Difference `json:"listed,omitempty"`
	Ledgers     []Totals     `json:"ledgers"`
}

// Totals are a ledger's sums over all accounts at one moment of the ledger.
type Totals struct {
	Ledger         uint32        `json:"ledger"`
	Accounts       int64         `json:"accounts"`
	DebitsPosted   ledger.Amount `json:"debits_posted"`
	CreditsPosted  ledger.Amount `json:"credits_posted"`
	DebitsPending  ledger.Amount `json:"debits_pending"`
	CreditsPending ledger.Amount `json:"credits_pending"`
	// Escrow is what the ledger holds in escrow accounts, Held what the order
	// store says is held. They are of one moment, and so comparable, if
	// Compared; under a steady load there may be no such moment.
	Escrow ledger.Amount `json:"escrow"`
	Held   ledger.Amount `json:"held"`
	// Promised is what the ledger has pending to buyers, Authorised what the
	// orders' authorised payments come to: the same in the same way.
	Promised   ledger.Amount `json:"promised"`
	Authorised ledger.Amount `json:"authorised"`
	Compared   bool          `json:"compared"`
	// Waiting is what the ledger has of entries that wait for a bank, a provider
	// or a person, Entries what the entries say: the same in the same way.
	Waiting Waiting `json:"waiting"`
	Entries Waiting `json:"entries"`
	// Advanced is what the ledger has as receivable from open chargebacks,
	// ChargedBack what the orders' come to: the same in the same way.
	Advanced    ledger.Amount `json:"advanced"`
	ChargedBack ledger.Amount `json:"charged_back"`
	overpaid    ledger.Amount // more came back for chargebacks than was advanced
	// Collection is what sellers' accounts have paid in too little for what was
	// collected of them: nothing, at any moment.
	Collection ledger.Amount `json:"collection"`
}

// Waiting are repayments due (2300), payouts that the bank took (2400), payouts
// on their way (pending to 2400) and receipts of nobody known (2900). Minor units
// with a sign: corrections by hand can overdraw 2400 and 2900.
type Waiting [4]string

// Difference is one place where the books do not add up.
type Difference struct {
	Ledger    uint32 `json:"ledger"`          // 0 for a difference of several
	Order     string `json:"order,omitempty"` // "" for a difference of a whole ledger
	Reference string `json:"reference,omitempty"`
	What      string `json:"what"`
}

func (d Difference) String() string {
	if d.Ledger == 0 {
		return d.What
	}
	if d.Order == "" {
		return fmt.Sprintf("ledger %d: %s", d.Ledger, d.What)
	}
	if d.Reference == "" {
		return fmt.Sprintf("ledger %d, order %s: %s", d.Ledger, d.Order, d.What)
	}
	return fmt.Sprintf("ledger %d, order %s (%s): %s", d.Ledger, d.Order, d.Reference, d.What)
}

// Unbalanced is the error of books that do not add up.
type Unbalanced struct{ Report Report }

func (e *Unbalanced) Error() string {
	first := ""
	if len(e.Report.Listed) > 0 {
		first = ": " + e.Report.Listed[0].String()
	}
	return fmt.Sprintf("the books do not balance: %d differences%s", e.Report.Differences, first)
}

// Unsettled is the error of a check that could not be completed, because
// something was moving each time it was looked at. It found no difference.
type Unsettled struct{ Orders int64 }

func (e *Unsettled) Error() string {
	return fmt.Sprintf("the check is not complete: %d orders were moving all the time", e.Orders)
}

// listed bounds the differences that are shown.
const listed = 20

type checker struct {
	db     *sqlx.DB
	reader ledger.Reader
	opts   Options
	report Report
	// suspects are orders (or escrow accounts) that differed when they were
	// first looked at, with the ledger they are in.
	suspects map[ledger.ID]uint32
	diffs    []Difference
}

// Check compares the order store with the ledger and the ledger with itself.
// The error is an *Unbalanced, an *Unsettled, or says what could not be read;
// the report says what is known in any case.
func Check(ctx context.Context, db *sqlx.DB, reader ledger.Reader, opts Options) (Report, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Batch <= 0 {
		opts.Batch = 1000
	}
	opts.Batch = min(opts.Batch, ledger.BatchMax)
	if opts.Rounds <= 0 {
		opts.Rounds = 25
	}
	if opts.Pause <= 0 {
		opts.Pause = 200 * time.Millisecond
	}
	c := &checker{db: db, reader: reader, opts: opts, suspects: map[ledger.ID]uint32{}}
	err := c.check(ctx)
	c.settle()
	switch {
	case c.report.Differences > 0 && err != nil:
		return c.report, fmt.Errorf("%w; and the check was not completed: %w", &Unbalanced{c.report}, err)
	case c.report.Differences > 0:
		return c.report, &Unbalanced{c.report}
	case err != nil:
		return c.report, err
	case c.report.Unsettled > 0:
		return c.report, &Unsettled{c.report.Unsettled}
	}
	c.report.Balanced = true
	return c.report, nil
}

func (c *checker) check(ctx context.Context) error {
	if err := c.ordersAgainstLedger(ctx); err != nil {
		return err
	}
	if err := c.deadlines(ctx); err != nil {
		return err
	}
	if err := c.parts(ctx); err != nil {
		return err
	}
	ledgers, err := c.ledgers(ctx)
	if err != nil {
		return err
	}
	for _, l := range ledgers {
		if err := c.checkLedger(ctx, l); err != nil {
			return fmt.Errorf("ledger %d: %w", l, err)
		}
	}
	if err := c.resolve(ctx); err != nil {
		return err
	}
	wrong, err := pages.Check(ctx, c.db, c.opts.Pages, func() error {
		c.report.Pages++
		return c.progress()
	})
	for _, w := range wrong {
		c.diffs = append(c.diffs, Difference{Ledger: w.Ledger, What: w.What})
	}
	return err
}

// settle puts the differences into the report.
func (c *checker) settle() {
	slices.SortFunc(c.diffs, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Ledger, b.Ledger), cmp.Compare(a.Order, b.Order), cmp.Compare(a.What, b.What))
	})
	c.report.Differences = int64(len(c.diffs))
	c.report.Listed = c.diffs[:min(len(c.diffs), listed)]
}

func (c *checker) progress() error {
	if c.opts.Progress == nil {
		return nil
	}
	return c.opts.Progress(c.report)
}

// pause waits before moving things are looked at again.
func (c *checker) pause(ctx context.Context) error {
	t := time.NewTimer(c.opts.Pause)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
