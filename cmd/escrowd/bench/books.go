package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/reports"
	"escrowd/settlement/jobs"
	"escrowd/settlement/jobs/books"
	"escrowd/settlement/order"
)

// The engine whose journal is in Postgres, see System.Engine.
const postgres = "postgres"

// confirmed is what a release does to the books, whoever causes it.
const confirmed = order.Confirm

// Books is what the check afterwards found.
type Books struct {
	Balanced bool       `json:"balanced"`
	Problems []string   `json:"problems,omitempty"`
	Orders   int64      `json:"orders"`
	Accounts int64      `json:"accounts"`
	Trial    []TrialRow `json:"trial_balance"`
	Seconds  float64    `json:"seconds"` // for all checks
	// TrialBalanceSeconds is how long the trial balance as of now took; 0
	// where the journal is not in Postgres.
	TrialBalanceSeconds float64 `json:"trial_balance_seconds,omitempty"`
	// JournalSeconds is the same as of a moment, from the journal.
	JournalSeconds float64 `json:"trial_balance_as_of_seconds,omitempty"`
	Transfers      int64   `json:"transfers,omitempty"` // in the journal
}

// TrialRow is an account of the chart: what was posted to it, minor units.
type TrialRow struct {
	Code    int           `json:"code"`
	Account string        `json:"account"`
	Debits  ledger.Amount `json:"debits"`
	Credits ledger.Amount `json:"credits"`
}

// Unbalanced is the error of books that are not what the load must have left.
type Unbalanced struct{ Problems []string }

func (e *Unbalanced) Error() string {
	return fmt.Sprintf("the books do not balance: %d problems, the first: %s", len(e.Problems), e.Problems[0])
}

// expectation is what the books have to show, reckoned from the load alone.
// Amounts are minor units.
type expectation struct {
	orders                        int64
	paid, net, fee, tax, released int64
	matured                       int64
	states                        map[order.State]int64
}

// event notes an event of an order of this amount.
func (x *expectation) event(e order.Event, amount int64, p *order.Policy) {
	if x.states == nil {
		x.states = map[order.State]int64{}
	}
	move := func(from, to order.State) {
		x.states[to]++
		if x.states[from]--; x.states[from] == 0 {
			delete(x.states, from)
		}
	}
	f, _ := p.FeeFor(currency) // our own policies have one
	fee, tax := f.On(amount)
	switch e {
	case order.Agree:
		x.orders++
		x.states[order.Agreed]++
	case order.Pay:
		x.paid += amount
		move(order.Agreed, order.Held)
	case order.Ship:
		move(order.Held, order.Shipped)
	case order.Confirm:
		x.released += amount
		x.fee, x.tax, x.net = x.fee+fee, x.tax+tax, x.net+amount-fee-tax
		move(order.Shipped, order.Released)
	case order.Mature:
		x.matured += amount - fee - tax
		move(order.Released, order.Closed)
	}
}

// trial is the trial balance that follows.
func (x *expectation) trial() map[int]TrialRow {
	rows := map[int]TrialRow{}
	add := func(code chart.AccountCode, debits, credits int64) {
		if debits == 0 && credits == 0 {
			return
		}
		rows[int(code)] = TrialRow{int(code), code.Name(), ledger.U64(uint64(debits)), ledger.U64(uint64(credits))}
	}
	add(chart.PayinClearing, x.paid, 0)
	add(chart.Buyer, x.paid, x.paid)
	add(chart.Escrow, x.released, x.paid)
	add(chart.SellerPending, x.matured, x.net)
	add(chart.SellerAvailable, 0, x.matured)
	add(chart.FeeRevenue, 0, x.fee)
	add(chart.TaxPayable, 0, x.tax)
	return rows
}

// baseline takes what an earlier session on the same data left, as the order
// store says; whether the ledger agrees is checked with everything else.
func (s *session) baseline(ctx context.Context) error {
	x := &s.expect
	x.states = map[order.State]int64{}
	err := s.DB.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(amount) FILTER (WHERE paid_at IS NOT NULL), 0)::bigint,
			coalesce(sum(released), 0)::bigint, coalesce(sum(fee_charged), 0)::bigint, coalesce(sum(tax_charged), 0)::bigint,
			coalesce(sum(released - fee_charged - tax_charged - maturing), 0)::bigint,
			count(*) FILTER (WHERE state = 'closed')
		FROM orders WHERE marketplace = $1`, s.market.ID).
		Scan(&x.orders, &x.paid, &x.released, &x.fee, &x.tax, &x.matured, &s.history)
	if err != nil {
		return fmt.Errorf("bench: what is there already: %w", err)
	}
	x.net = x.released - x.fee - x.tax
	if x.states, err = s.states(ctx); err != nil {
		return err
	}
	if s.history > 0 {
		s.tell("the data has %d closed orders already", s.history)
	}
	return nil
}

func (s *session) states(ctx context.Context) (map[order.State]int64, error) {
	var rows []struct {
		State order.State
		N     int64
	}
	err := s.DB.SelectContext(ctx, &rows, `SELECT state, count(*) AS n FROM orders WHERE marketplace = $1 GROUP BY state`, s.market.ID)
	if err != nil {
		return nil, fmt.Errorf("counting orders: %w", err)
	}
	states := map[order.State]int64{}
	for _, r := range rows {
		states[r.State] = r.N
	}
	return states, nil
}

// check compares the books with themselves (the check-books job) and with
// what the load must have left: the orders by state, the ledger's accounts,
// and where the journal is in Postgres the journal too, leg by leg.
func (s *session) check(ctx context.Context) (b Books, err error) {
	begun := time.Now()
	problem := func(format string, args ...any) { b.Problems = append(b.Problems, fmt.Sprintf(format, args...)) }

	job, err := s.Jobs.Job(jobs.CheckBooks)
	if err != nil {
		return b, err
	}
	res, err := job.RunOnce(ctx, jobs.Run{})
	if r := res.Detail.Books; r != nil {
		b.Orders, b.Accounts = r.Orders, r.Accounts
		for _, d := range r.Listed {
			problem("check-books: %s", d)
		}
	}
	if _, wrong := errors.AsType[*books.Unbalanced](err); err != nil && !wrong {
		return b, err
	}

	states, err := s.states(ctx)
	if err != nil {
		return b, err
	}
	if !maps.Equal(states, s.expect.states) {
		problem("orders by state: there are %v, the load left %v", states, s.expect.states)
	}
	b.Orders = 0
	for _, n := range states {
		b.Orders += n
	}

	want := s.expect.trial()
	have, err := s.ledgerTrial(ctx)
	if err != nil {
		return b, err
	}
	compareTrials("the ledger", have, want, problem)
	for _, code := range slices.Sorted(maps.Keys(have)) {
		b.Trial = append(b.Trial, have[code])
	}
	if s.Engine == postgres {
		if err := s.checkJournal(ctx, &b, want, problem); err != nil {
			return b, err
		}
	}
	b.Seconds = time.Since(begun).Seconds()
	b.Balanced = len(b.Problems) == 0
	if !b.Balanced {
		return b, &Unbalanced{b.Problems}
	}
	return b, nil
}

// ledgerTrial sums the accounts of the marketplace's ledger by code.
func (s *session) ledgerTrial(ctx context.Context) (map[int]TrialRow, error) {
	rows := map[int]TrialRow{}
	var after uint64
	for {
		page, err := s.Ledger.QueryAccounts(ctx, ledger.QueryFilter{Ledger: s.ledger, TimestampMin: after + 1, Limit: ledger.BatchMax})
		if err != nil {
			return nil, fmt.Errorf("reading accounts: %w", err)
		}
		for _, a := range page {
			code := int(a.Code)
			r := rows[code]
			var over1, over2 bool
			r.Code, r.Account = code, chart.AccountCode(a.Code).Name()
			r.Debits, over1 = r.Debits.Add(a.DebitsPosted)
			r.Credits, over2 = r.Credits.Add(a.CreditsPosted)
			if over1 || over2 {
				return nil, errors.New("the sums pass 128 bits")
			}
			rows[code] = r
		}
		if len(page) < ledger.BatchMax {
			maps.DeleteFunc(rows, func(_ int, r TrialRow) bool { return r.Debits.IsZero() && r.Credits.IsZero() })
			return rows, nil
		}
		after = page[len(page)-1].Timestamp
	}
}

// checkJournal sums the journal's transfers, and times the trial balance that
// finance would ask for.
func (s *session) checkJournal(ctx context.Context, b *Books, want map[int]TrialRow, problem func(string, ...any)) error {
	if err := s.closePages(ctx); err != nil {
		return err
	}
	r := reports.New(s.DB)
	begun := time.Now()
	now, err := r.TrialBalance(ctx, reports.Options{Marketplace: s.market.Name, Now: begun})
	if err != nil {
		return err
	}
	b.TrialBalanceSeconds = time.Since(begun).Seconds()
	// As of a moment it is not the accounts' balances that count but every
	// transfer; nothing takes effect later than the marketplace's now.
	begun = time.Now()
	journal, err := r.TrialBalance(ctx, reports.Options{Marketplace: s.market.Name, AsOf: s.market.Now})
	if err != nil {
		return err
	}
	b.JournalSeconds = time.Since(begun).Seconds()
	if err := s.DB.GetContext(ctx, &b.Transfers, `SELECT count(*) FROM ledger_transfers`); err != nil {
		return fmt.Errorf("counting transfers: %w", err)
	}
	for _, t := range []struct {
		name   string
		report *reports.Of[reports.TrialBalanceRow]
	}{{"the trial balance", now}, {"the journal", journal}} {
		for _, p := range t.report.Problems {
			problem("%s: %s", t.name, p)
		}
		have := map[int]TrialRow{}
		for _, row := range t.report.Rows {
			debits, err1 := ledger.ParseUint128(row.Debits.String())
			credits, err2 := ledger.ParseUint128(row.Credits.String())
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			have[row.Code] = TrialRow{row.Code, row.Account, debits, credits}
		}
		compareTrials(t.name, have, want, problem)
	}
	return nil
}

func compareTrials(name string, have, want map[int]TrialRow, problem func(string, ...any)) {
	codes := maps.Clone(have)
	maps.Copy(codes, want)
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		h, w := have[code], want[code]
		if h.Debits != w.Debits || h.Credits != w.Credits {
			problem("%s: account %d has debits %s and credits %s; the load left %s and %s", name, code, h.Debits, h.Credits, w.Debits, w.Credits)
		}
	}
}
