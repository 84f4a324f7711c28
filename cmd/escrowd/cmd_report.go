package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"escrowd/reports"
	"escrowd/reports/render"
)

type reportCmd struct {
	List         reportListCmd   `cmd:"" help:"List the reports."`
	TrialBalance trialBalanceCmd `cmd:"" help:"Debits, credits and balance of each account of the chart, by currency."`
	HeldFunds    heldFundsCmd    `cmd:"" help:"Money held in escrow by age: why, until when, and who must act."`
	Dormant      dormantCmd      `cmd:"" help:"Balances of buyers and sellers that have not moved for long."`
	FXPosition   fxPositionCmd   `cmd:"" name:"fx-position" help:"What was exchanged in each currency, and the spread that was kept, by marketplace."`
}

// reportFlags are what every report takes.
type reportFlags struct {
	StoreFlags  `embed:""`
	AsOf        asOf   `placeholder:"TIME" help:"Moment of the report, RFC 3339 with a zone, inclusive: 2024-07-01T00:00:00Z. Default: all that stands in the books."`
	Effective   bool   `xor:"basis" help:"Count what had taken effect by then in the marketplace's own time, however late it was booked. The default."`
	Booked      bool   `xor:"basis" help:"Count what stood in the books by then, by the ledger's timestamps."`
	Marketplace string `placeholder:"NAME|ID" help:"Only this marketplace."`
	Currency    string `placeholder:"CODE" help:"Only this currency: an ISO 4217 code."`
	Detail      bool   `help:"A row for each single account, order or movement."`
	Format      string `enum:"table,csv,json" default:"table" help:"${enum}. Amounts are decimals in a table and integers of minor units in the others."`

	idle time.Duration // of dormant
}

// asOf is a moment on the command line; zero if none was given.
type asOf time.Time

// UnmarshalText refuses a moment without a zone: one's own would be a guess.
func (a *asOf) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return fmt.Errorf("%q is not a moment like 2024-07-01T00:00:00Z (RFC 3339, with a zone)", text)
	}
	if t.Year() < 1970 {
		return fmt.Errorf("%q is before 1970, and so before any books", text)
	}
	*a = asOf(t.UTC())
	return nil
}

const reportHelp = `All numbers are of one moment, read in one transaction that cannot write; a report may run beside a server. Exits 1 if the numbers contradict each other: they are printed all the same, and stderr says what is wrong.

JSON is {"report","as_of","basis","ledger_timestamp","rows":[...]}: as_of in RFC 3339, ledger_timestamp the newest transfer in the journal when it was read (nanoseconds since 1970 UTC), amounts as integers of minor units, exact also beyond 2^53. With --engine tigerbeetle the journal is a copy: "mirrored_to" says up to when it is complete, and "mirror_lag_seconds" how long before the report that was. CSV is RFC 4180 with a header line.`

type trialBalanceCmd struct {
	reportFlags `embed:""`
}

func (trialBalanceCmd) Help() string {
	return `Only posted money counts: a pending transfer (an authorisation, the freeze of a dispute) does not, its post counts with the post's amount, its void not at all. The balance is positive on the account's normal side (debit for 1xxx and 5xxx, credit for 2xxx and 4xxx), and debits less credits for 1400 FX position, which may stand on either. Debits must equal credits in every currency of every marketplace.

` + reportHelp + `

    escrowd report trial-balance --as-of 2024-07-01T00:00:00Z --effective --format json
    escrowd report trial-balance --marketplace shop --detail`
}

// Run prints the trial balance.
func (c *trialBalanceCmd) Run(ctx context.Context, g *Globals) error {
	return c.print(ctx, g, "trial-balance")
}

type heldFundsCmd struct {
	reportFlags `embed:""`
}

func (heldFundsCmd) Help() string {
	return `Each order stands in the state that its last event before the moment left it in. Days run from the payment; without --as-of by the clock of the order's marketplace, live or test. What the orders hold must equal the ledger's escrow accounts (2100) at the same moment.

` + reportHelp + `

    escrowd report held-funds --currency USD
    escrowd report held-funds --detail --format csv >held.csv`
}

// Run prints the held funds.
func (c *heldFundsCmd) Run(ctx context.Context, g *Globals) error {
	return c.print(ctx, g, "held-funds")
}

type dormantCmd struct {
	reportFlags `embed:""`
	IdleDays    int `default:"180" placeholder:"N" help:"How long a balance has lain still. Default: ${default}"`
}

func (dormantCmd) Help() string {
	return `What buyers have (2000) and what is released, available or in reserve of sellers (2200, 2210, 2220), where nothing was posted for so many days. Days run up to the moment of the report; without --as-of by the clock of the marketplace, live or test.

` + reportHelp + `

    escrowd report dormant --detail --idle-days 365 --format csv >unclaimed.csv`
}

// Run prints the dormant balances.
func (c *dormantCmd) Run(ctx context.Context, g *Globals) error {
	if c.IdleDays < 1 || c.IdleDays > 36_500 {
		return usageError("--idle-days must be from 1 to 36500")
	}
	c.idle = time.Duration(c.IdleDays) * 24 * time.Hour
	return c.print(ctx, g, "dormant")
}

type fxPositionCmd struct {
	reportFlags `embed:""`
}

func (fxPositionCmd) Help() string {
	return `Of orders that were paid in another currency, of their chargebacks, and of conversions. A position is debits less credits of 1400 FX position: below zero, the marketplace has that much of the currency which it got for another one; above zero, it has given that much more than it got. Positions of two currencies are never added: at which rate would be a guess. The spread is what stands on 4110.

` + reportHelp + `

    escrowd report fx-position --marketplace shop
    escrowd report fx-position --detail --currency JPY --as-of 2026-03-01T00:00:00Z --booked --format csv`
}

// Run prints the FX position.
func (c *fxPositionCmd) Run(ctx context.Context, g *Globals) error {
	return c.print(ctx, g, "fx-position")
}

func (f *reportFlags) print(ctx context.Context, g *Globals, name string) (err error) {
	var kind reports.Kind
	for _, k := range reports.Kinds {
		if k.Name == name {
			kind = k
		}
	}
	o := reports.Options{AsOf: time.Time(f.AsOf), Basis: reports.Effective, Marketplace: f.Marketplace, Currency: f.Currency, Idle: f.idle, Now: time.Now()}
	if f.Booked {
		o.Basis = reports.Booked
	}
	s, err := f.Open(ctx, g, ReadStore)
	if err != nil {
		return err
	}
	defer closeInto(s, &err)
	r, err := kind.Run(ctx, reports.New(s.DB), o, f.Detail)
	if err != nil {
		return asUsage(err)
	}
	return printSheet(g, render.Format(f.Format), r)
}

// printSheet prints a report; what does not add up is the command's error.
func printSheet(g *Globals, f render.Format, r reports.Sheet) error {
	out := bufio.NewWriter(g.Stdout)
	if err := errors.Join(render.Write(out, f, r), out.Flush()); err != nil {
		return err
	}
	problems, notes := r.Findings()
	if f != render.Table { // a table says its notes itself
		for _, n := range notes {
			fmt.Fprintln(g.Stderr, "escrowd: note:", n)
		}
	}
	if len(problems) > 0 {
		return checkFailed("%s does not add up: %s", r.Heading().Report, strings.Join(problems, "; "))
	}
	return nil
}

// asUsage marks the errors that are the caller's mistake.
func asUsage(err error) error {
	if bad, ok := errors.AsType[*reports.BadOption](err); ok {
		return usageError("--%s: %s", bad.Option, bad.Detail)
	}
	if errors.Is(err, reports.ErrNoOrder) {
		return usageError("%w", err)
	}
	return err
}

type reportListCmd struct{}

// Run prints the reports.
func (*reportListCmd) Run(g *Globals) error {
	rows := [][]string{{"report", "what it says", "--detail: a row per"}}
	for _, k := range reports.Kinds {
		rows = append(rows, []string{k.Name, k.About, k.Detail})
	}
	return printTable(g.Stdout, rows)
}
