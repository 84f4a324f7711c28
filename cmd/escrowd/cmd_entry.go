package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
	"escrowd/settlement/treasury"
)

type entryCmd struct {
	List entryListCmd `cmd:"" help:"List money that moves for no order: payouts, receipts, repayments, debts, corrections."`
	Show entryShowCmd `cmd:"" help:"Show an entry, all that happened to it, and its digest, which an approval names."`
	Make entryMakeCmd `cmd:"" help:"Make an entry: a payout, a receipt, a repayment; propose an adjustment, bank details, a ruling."`
	Do   entryDoCmd   `cmd:"" help:"Book an event of an entry: approve a proposal, book what the bank said."`

	Balances entryBalancesCmd `cmd:"" help:"Say what a buyer or a seller has, as the ledger has it now."`
}

type payoutCmd struct {
	File   payoutFileCmd   `cmd:"" help:"Write the payouts that are on their way as a file for the bank."`
	Seller payoutSellerCmd `cmd:"" help:"Say when a seller is paid out, or that he is not."`
	Show   payoutShowCmd   `cmd:"" help:"Show when a seller is paid out, or why not, and whether bank details are approved."`
}

type entryListCmd struct {
	marketFlags `embed:""`
	Kind        string `placeholder:"KIND" help:"Only these: ${entry_kinds}."`
	State       string `placeholder:"STATE" help:"Only in this state: ${entry_states}."`
	Party       string `placeholder:"ID" help:"Only this seller's or buyer's."`
	After       string `placeholder:"ID" help:"Only entries after this one: the last of the page before."`
	Limit       int    `default:"100" help:"At most so many."`
	Format      string `enum:"table,json" default:"table" help:"${enum}. Amounts are decimals in a table and integers of minor units in JSON."`
}

func (entryListCmd) Help() string {
	return `    escrowd entry list acme --state proposed
    escrowd entry list acme --kind receipt --state unidentified`
}

// shownEntry is an entry as --format json shows it.
type shownEntry struct {
	ID string `json:"id"`
	treasury.Terms
	State    treasury.State `json:"state"`
	Owner    string         `json:"owner,omitempty"`
	Currency string         `json:"currency,omitempty"`
	At       time.Time      `json:"at"`
	DueAt    time.Time      `json:"due_at,omitzero"`
	Digest   string         `json:"digest"`
}

func shown(e *treasury.Entry) shownEntry {
	s := shownEntry{ID: e.ID.UUID(), Terms: e.Terms, State: e.State, Owner: e.Owner, At: e.At, DueAt: e.DueAt, Digest: e.Digest()}
	if _, cur, ok := chart.SplitLedger(e.Ledger); ok {
		s.Currency = cur.Code
	}
	return s
}

func amountOf(e *treasury.Entry) string { return amountIn(e.Ledger, e.Amount) }

// amountIn is an amount of a ledger's currency, "" for one that has none.
func amountIn(books uint32, amount int64) string {
	_, cur, ok := chart.SplitLedger(books)
	if !ok {
		return ""
	}
	return cur.Minor(amount) + " " + cur.Code
}

// Run prints the entries.
func (c *entryListCmd) Run(ctx context.Context, g *Globals) error {
	f := orderdb.EntryFilter{Kind: treasury.Kind(c.Kind), State: treasury.State(c.State), Owner: c.Party, Limit: c.Limit}
	switch {
	case c.Kind != "" && !slices.Contains(treasury.Kinds, f.Kind):
		return usageError("--kind: there is no kind %q", c.Kind)
	case c.State != "" && !slices.Contains(treasury.States, f.State):
		return usageError("--state: there is no state %q", c.State)
	case c.Limit < 1:
		return usageError("--limit: %d is below 1", c.Limit)
	}
	if c.After != "" {
		var err error
		if f.After, err = ledger.ParseUUID(c.After); err != nil {
			return usageError("--after: not an entry's id")
		}
	}
	return c.withMarket(ctx, g, ReadStore, func(store *orderdb.Store, m orderdb.Marketplace) error {
		list, err := store.Entries(ctx, m.ID, f)
		if err != nil {
			return err
		}
		if c.Format == "json" {
			out := []shownEntry{}
			for i := range list {
				out = append(out, shown(&list[i]))
			}
			return printJSON(g, out)
		}
		rows := [][]string{{"entry", "kind", "state", "amount", "party", "reference", "at", "due"}}
		for i := range list {
			e := &list[i]
			rows = append(rows, []string{e.ID.UUID(), string(e.Kind), string(e.State), amountOf(e), e.Owner, e.Reference, e.At.Format(time.RFC3339), dueWord(e.DueAt)})
		}
		return printTable(g.Stdout, rows)
	})
}

func dueWord(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

type entryShowCmd struct {
	marketFlags `embed:""`
	Format      string `enum:"text,json" default:"text" help:"Form of the output: ${enum}."`
	Entry       string `arg:"" name:"id" help:"The entry's id."`
}

// Run prints the entry.
func (c *entryShowCmd) Run(ctx context.Context, g *Globals) error {
	return c.withMarket(ctx, g, ReadStore, func(store *orderdb.Store, m orderdb.Marketplace) error {
		e, err := findEntry(ctx, store, m, c.Entry)
		if err != nil {
			return err
		}
		events, err := store.EntryEvents(ctx, e.ID)
		if err != nil {
			return err
		}
		if c.Format == "json" {
			type event struct {
				Seq    int32          `json:"seq"`
				Event  treasury.Event `json:"event"`
				By     string         `json:"by"`
				State  treasury.State `json:"state"`
				At     time.Time      `json:"at"`
				Said   treasury.Said  `json:"said"`
				Intent string         `json:"intent"`
			}
			out := struct {
				shownEntry
				Timeline []event `json:"timeline"`
			}{shown(&e), []event{}}
			for _, ev := range events {
				out.Timeline = append(out.Timeline, event{ev.Seq, ev.Event, string(ev.Actor), ev.State, ev.At, ev.Said, ev.Intent.UUID()})
			}
			return printJSON(g, out)
		}
		return printEntry(g, &e, events)
	})
}

func printEntry(g *Globals, e *treasury.Entry, events []orderdb.EntryEvent) error {
	facts := [][]string{{"entry", e.ID.UUID()}, {"kind", string(e.Kind)}, {"state", string(e.State)}}
	for _, f := range [][2]string{{"amount", amountOf(e)}, {"party", e.Owner}, {"method", e.Method}, {"reference", e.Reference}, {"reason", e.Reason},
		{"details", string(e.Details)}, {"made by", e.Maker}, {"due", dueWord(e.DueAt)}} {
		if f[1] != "" {
			facts = append(facts, []string{f[0], f[1]})
		}
	}
	if e.Kind == treasury.Adjustment {
		facts = append(facts, []string{"debit", e.Debit.Code.String() + " " + e.Debit.Owner}, []string{"credit", e.Credit.Code.String() + " " + e.Credit.Owner})
	}
	if e.Kind == treasury.PSPSettlement && e.Fee > 0 {
		facts = append(facts, []string{"fee", amountIn(e.Ledger, e.Fee)})
	}
	if e.Kind == treasury.Conversion {
		facts = append(facts, []string{"comes to", amountIn(e.To.Ledger, e.To.Amount)}, []string{"rate", e.To.Rate}, []string{"spread", amountIn(e.Ledger, e.To.Spread)})
	}
	facts = append(facts, []string{"digest", e.Digest()})
	if err := printTable(g.Stdout, facts); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(g.Stdout); err != nil {
		return err
	}
	rows := [][]string{{"at", "event", "by", "person", "state", "note"}}
	for _, ev := range events {
		note := ev.Said.Note
		if ev.Said.Result != "" {
			note = strings.TrimPrefix(note+"; "+ev.Said.Result, "; ")
		}
		rows = append(rows, []string{ev.At.Format(time.RFC3339), string(ev.Event), string(ev.Actor), ev.Said.Person, string(ev.State), note})
	}
	if err := printTable(g.Stdout, rows); err != nil {
		return err
	}
	var next []string
	for _, a := range treasury.AllowedIn(e) {
		if slices.Contains(a.By, order.Operator) {
			next = append(next, string(a.Event))
		}
	}
	if len(next) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(g.Stdout, "\nnext: %s\n", strings.Join(next, ", "))
	return err
}

func findEntry(ctx context.Context, store *orderdb.Store, m orderdb.Marketplace, text string) (treasury.Entry, error) {
	id, err := ledger.ParseUUID(text)
	if err != nil {
		return treasury.Entry{}, usageError("%q is not an entry's id", text)
	}
	e, err := store.Entry(ctx, m.ID, id)
	if errors.Is(err, orderdb.ErrNotFound) {
		return e, usageError("marketplace %s has no entry %s", m.Name, text)
	}
	return e, err
}

type entryDoCmd struct {
	marketFlags `embed:""`
	EngineFlags `embed:""`
	Person      string `placeholder:"NAME" help:"Who does it; needed to approve and to reject."`
	Digest      string `placeholder:"HEX" help:"approve: the digest that 'escrowd entry show' printed."`
	Party       string `placeholder:"ID" help:"assign: the buyer whose money it is."`
	Note        string `placeholder:"TEXT" help:"What else is to be remembered, such as the bank's reason."`
	Entry       string `arg:"" name:"id" help:"The entry's id."`
	Event       string `arg:"" help:"approve, reject, accept, fail, settle, return, assign, send_back or send."`
}

func (entryDoCmd) Help() string {
	return `Who proposed an entry cannot approve it, and an approval names the digest of what was seen. It may run beside a server. A refusal exits 1 and names the rule; nothing moves then.

    escrowd entry do acme 01941f29-7c00-7000-8000-000000000000 approve --person max --digest 9b74c989...
    escrowd entry do acme 01941f29-7c00-7000-8000-000000000000 fail --note "account closed"`
}

// Run books the event.
func (c *entryDoCmd) Run(ctx context.Context, g *Globals) error {
	return withPoster(ctx, g, c.marketFlags, c.EngineFlags, func(store *orderdb.Store, m orderdb.Marketplace, poster *posting.Poster) error {
		e, err := findEntry(ctx, store, m, c.Entry)
		if err != nil {
			return err
		}
		event := treasury.Event(c.Event)
		res, err := poster.Do(ctx, posting.Request{Marketplace: m.ID, Orders: posting.OrdersOf(&e.Terms, event), Entry: &posting.EntryRequest{ID: e.ID,
			Command: treasury.Command{Event: event, Person: c.Person, Digest: c.Digest, Party: c.Party, Note: c.Note}}})
		if err != nil {
			return asFailedCheck(err)
		}
		_, err = fmt.Fprintf(g.Stdout, "%s %s: %s\n", res.Entry.Kind, res.Entry.ID.UUID(), res.Entry.State)
		return err
	})
}

// asFailedCheck marks what was decided and refused, and not what may pass.
func asFailedCheck(err error) error {
	if errors.Is(err, posting.ErrUnavailable) || errors.Is(err, posting.ErrUnknown) {
		return err
	}
	return checkFailed("%w", err)
}

// withPoster runs f with a write path of its own, beside whatever server runs.
func withPoster(ctx context.Context, g *Globals, market marketFlags, books EngineFlags,
	f func(*orderdb.Store, orderdb.Marketplace, *posting.Poster) error) (err error) {
	s, err := market.Open(ctx, g, JoinStore)
	if err != nil {
		return err
	}
	defer closeInto(s, &err)
	store := orderdb.New(s.DB)
	m, err := market.find(ctx, store)
	if err != nil {
		return err
	}
	return withWrites(ctx, g, s, books, func(_ ledger.Engine, poster *posting.Poster) error { return f(store, m, poster) })
}

// withWrites runs f with the ledger and a write path on an open store.
func withWrites(ctx context.Context, g *Globals, s *Store, books EngineFlags, f func(ledger.Engine, *posting.Poster) error) (err error) {
	engine, err := books.open(ctx, s)
	if err != nil {
		return fmt.Errorf("open the ledger: %w", err)
	}
	defer closeInto(engine, &err)
	if err := sameBooks(ctx, s, engine); err != nil {
		return err
	}
	poster := posting.New(s.DB, engine, posting.Options{Logger: g.Log})
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, poster.Close(end))
	}()
	return f(engine, poster)
}

type payoutFileCmd struct {
	marketFlags `embed:""`
}

func (payoutFileCmd) Help() string {
	return `CSV with a row for each payout in state sent, oldest first: its id, which the bank has to give back, the amount as a decimal, the currency, the seller, and a column for each field of the approved bank details. Writing it moves nothing, so it can be written again.

Over the API it is GET /v1/payouts. What the bank answers is booked with 'escrowd entry do' or POST /v1/entries/{id}/accept and so on.

    escrowd payout file acme >payouts.csv`
}

// Run writes the file.
func (c *payoutFileCmd) Run(ctx context.Context, g *Globals) error {
	return c.withMarket(ctx, g, ReadStore, func(store *orderdb.Store, m orderdb.Marketplace) error {
		type row struct {
			e       treasury.Entry
			details map[string]any
		}
		var rows []row
		fields := map[string]bool{}
		f := orderdb.EntryFilter{Kind: treasury.Payout, State: treasury.Sent, Limit: 1000}
		for {
			page, err := store.Entries(ctx, m.ID, f)
			if err != nil {
				return err
			}
			texts, err := store.PaidTo(ctx, m.ID, page)
			if err != nil {
				return err
			}
			for i, e := range page {
				f.After = e.ID
				var details map[string]any
				if err := json.Unmarshal(texts[i], &details); err != nil {
					return fmt.Errorf("bank details of payout %s: %w", e.ID.UUID(), err)
				}
				for name := range details {
					fields[name] = true
				}
				rows = append(rows, row{e, details})
			}
			if len(page) < f.Limit {
				break
			}
		}
		names := slices.Sorted(maps.Keys(fields))
		out := csv.NewWriter(g.Stdout)
		_ = out.Write(append([]string{"payout", "amount", "currency", "seller", "sent_at"}, names...)) // Flush has the error
		for _, r := range rows {
			_, cur, _ := chart.SplitLedger(r.e.Ledger)
			line := []string{r.e.ID.UUID(), cur.Format(ledger.U64(uint64(r.e.Amount))), cur.Code, r.e.Party, r.e.At.UTC().Format(time.RFC3339)}
			for _, n := range names {
				line = append(line, fieldWord(r.details[n]))
			}
			_ = out.Write(line)
		}
		out.Flush()
		return out.Error()
	})
}

func fieldWord(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // it came from JSON
	}
	return string(b)
}

type payoutSellerCmd struct {
	marketFlags `embed:""`
	Schedule    string `enum:"manual,daily,weekly,monthly" default:"daily" help:"When all that is available is paid out, UTC: ${enum}. Weekly is on Mondays, monthly on the first."`
	Minimum     int64  `placeholder:"N" help:"Less than this is not paid out by the schedule; minor units of whichever currency."`
	Blocked     string `placeholder:"WHY" help:"Do not pay the seller out at all, and why."`
	Seller      string `arg:"" help:"The seller's id."`
}

// Run says it.
func (c *payoutSellerCmd) Run(ctx context.Context, g *Globals) error {
	if c.Minimum < 0 {
		return usageError("--minimum: %d is below 0", c.Minimum)
	}
	return c.withMarket(ctx, g, JoinStore, func(store *orderdb.Store, m orderdb.Marketplace) error {
		p := orderdb.Payee{Seller: c.Seller, Schedule: orderdb.Schedule(c.Schedule), Minimum: c.Minimum, Blocked: c.Blocked}
		if err := store.SetPayee(ctx, m.ID, p); err != nil {
			return err
		}
		return printPayee(ctx, g, store, m, p)
	})
}

// printPayee says how a seller is paid out.
func printPayee(ctx context.Context, g *Globals, store *orderdb.Store, m orderdb.Marketplace, p orderdb.Payee) error {
	word := "paid out " + string(p.Schedule)
	switch {
	case p.Blocked != "":
		word = "not paid out: " + p.Blocked
	case p.Minimum > 0:
		word += ", from " + strconv.FormatInt(p.Minimum, 10) + " minor units on"
	}
	if _, err := fmt.Fprintf(g.Stdout, "%s: %s\n", p.Seller, word); err != nil {
		return err
	}
	if _, err := store.BankDetails(ctx, m.ID, p.Seller); errors.Is(err, orderdb.ErrNotFound) {
		_, err = fmt.Fprintln(g.Stderr, "no bank details are approved yet: nothing can be paid out before")
		return err
	} else if err != nil {
		return err
	}
	return nil
}
