package reports_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/ledger/pages"
	"escrowd/reports"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
)

// Random histories, and every kind of moment: the reports say what adding up
// the ledger's transfers and the timelines by hand says.
func TestRandomHistories(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t)
	ctx := context.Background()
	markets := []uint32{w.marketplace("one", jan(31, 0)), w.marketplace("two", jan(31, 0))}
	// Mostly effective at noon of some day, so that many things share a moment.
	currencies := []string{"USD", "JPY", "KWD"}
	var orders []order.Order
	var agree []posting.Request
	for i := range 150 {
		agree = append(agree, posting.Request{Marketplace: markets[i%2], Command: order.Command{Event: order.Agree, At: jan(1+random.IntN(5), 12)},
			Agreement: &posting.Agreement{Reference: fmt.Sprint(i), Buyer: fmt.Sprint("b", i%7), Seller: fmt.Sprint("s", i%3),
				Currency: currencies[random.IntN(3)], Amount: 1 + random.Int64N(100_000)}})
	}
	for i := range agree { // a third of them in parts
		if a := agree[i].Agreement; i%3 == 0 && a.Amount >= 3 {
			a.Parts = []order.PartTerms{{Name: "1", Amount: 1 + random.Int64N(a.Amount-2)}, {Name: "2"}}
		}
	}
	for i, a := range w.poster.DoAll(ctx, agree) {
		if a.Err != nil {
			t.Fatalf("agree %d: %v", i, a.Err)
		}
		orders = append(orders, a.Result.Orders[0])
	}
	// Several rounds, each its own time in the books; a round goes back and
	// forth in effective time.
	applied, refused := 0, 0
	booked := []time.Time{w.machineNow()}
	size := []int{1, 5, 30, 100}[random.IntN(4)]
	for range 8 {
		var reqs []posting.Request
		var at []int
		for i := range orders {
			if c, ok := randomCommand(random, &orders[i]); ok {
				reqs, at = append(reqs, posting.Request{Marketplace: orders[i].Marketplace, Orders: []ledger.ID{orders[i].ID}, Command: c}), append(at, i)
			}
		}
		for j, a := range w.poster.DoAll(ctx, reqs) {
			if a.Err != nil {
				refused++
				continue
			}
			applied++
			orders[at[j]] = a.Result.Orders[0]
		}
		booked = append(booked, w.machineNow())
		if random.IntN(3) == 0 { // pages of the journal are closed at any time, or never
			_, err := pages.Close(ctx, w.db, size, nil)
			must(t, err)
		}
	}
	if applied < 100 {
		t.Fatalf("only %d events took place, %d were refused: this tests nothing", applied, refused)
	}

	hand := w.byHand(orders)
	compare := func(o reports.Options, effective, journal uint64) {
		t.Helper()
		name := fmt.Sprintf("%s as of %s", o.Basis, o.AsOf)
		sameLines(t, "trial balance "+name, trialLines(w.trial(o)), hand.trial(effective, journal))
		sameLines(t, "held funds "+name, heldTotals(w.held(o)), hand.held(effective, journal))
		o.Now = machine
		byOrder, err := w.books.HeldFundsByOrder(ctx, o)
		must(t, err)
		sound(t, byOrder.Problems)
		sameLines(t, "held funds by group "+name, heldRows(w.held(o)), heldGroups(byOrder))
		byAccount, err := w.books.TrialBalanceByAccount(ctx, o)
		must(t, err)
		sound(t, byAccount.Problems)
		sameLines(t, "trial balance by account "+name, summed(byAccount), hand.trial(effective, journal))
	}
	always := uint64(1<<63 - 1)
	var upto []int64
	must(t, w.db.Select(&upto, `SELECT upto FROM ledger_pages ORDER BY random() LIMIT 4`))
	t.Logf("pages of %d, %d of them", size, len(upto))
	for _, end := range upto { // of a chain that goes on in the next page, too
		compareAt := time.Unix(0, end)
		compare(reports.Options{AsOf: compareAt, Basis: reports.Booked}, always, hand.wholeChains(uint64(end)))
	}
	compare(reports.Options{Now: machine, Basis: reports.Effective}, always, always)
	for day := range 31 {
		at := jan(day+1, 12)
		compare(reports.Options{AsOf: at, Basis: reports.Effective}, uint64(at.UnixMicro()), always)
		if day%10 == 0 {
			at = at.Add(-time.Nanosecond)
			compare(reports.Options{AsOf: at, Basis: reports.Effective}, uint64(at.UnixMicro()), always)
		}
	}
	for _, at := range booked {
		compare(reports.Options{AsOf: at, Basis: reports.Booked}, always, uint64(at.UnixNano()))
	}
}

// wholeChains is the end of the last chain that was booked up to the timestamp.
func (h *hand) wholeChains(upto uint64) (end uint64) {
	for _, t := range h.transfers {
		if t.Timestamp <= upto && !t.Flags.Has(ledger.TransferLinked) {
			end = t.Timestamp
		}
	}
	return end
}

// randomCommand is something that may happen to the order next.
func randomCommand(r *rand.Rand, o *order.Order) (order.Command, bool) {
	allowed := o.Allowed()
	if len(allowed) == 0 || r.IntN(8) == 0 {
		return order.Command{}, false
	}
	a := allowed[r.IntN(len(allowed))]
	c := order.Command{Event: a.Event, By: a.By[0], At: o.At.Add(time.Duration(r.IntN(3)) * 24 * time.Hour), Method: "card", Reason: "because"}
	switch {
	case order.DueAt(a.Event) != order.NoDeadline:
		c.At = o.DeadlineAt
	case a.Event == order.ShipPart, a.Event == order.DeliverPart, a.Event == order.ReleasePart:
		c.Parts = []string{fmt.Sprint(1 + r.IntN(2))} // refused where that part is elsewhere
	case a.Event == order.Refund && o.Parts != nil:
		c.Parts = []string{fmt.Sprint(1 + r.IntN(2))}
	case a.Event == order.Refund:
		c.Amount = 1 + r.Int64N(o.Held)
	case a.Event == order.Reprice:
		c.Amount = 1 + r.Int64N(2*o.Amount)
	case a.Event == order.Capture && r.IntN(2) == 0:
		c.By, c.Amount = order.Operator, 1+r.Int64N(o.Price())
	case a.Event == order.Rule:
		c.ToBuyer = r.Int64N(o.Held + 1)
		c.ToSeller = o.Held - c.ToBuyer
	}
	return c, true
}

// hand adds up in plain loops what the ledger itself and the timelines tell.
type hand struct {
	transfers []ledger.Transfer
	code      map[ledger.ID]chart.AccountCode
	timelines [][]handEvent
}

type handEvent struct {
	currency          string
	held              int64
	effective, booked uint64
}

func (w *world) byHand(orders []order.Order) *hand {
	ctx := context.Background()
	h := &hand{code: map[ledger.ID]chart.AccountCode{}}
	for from := uint64(0); ; {
		page, err := w.engine.QueryTransfers(ctx, ledger.QueryFilter{TimestampMin: from, Limit: 500})
		must(w.t, err)
		if len(page) == 0 {
			break
		}
		h.transfers = append(h.transfers, page...)
		from = page[len(page)-1].Timestamp + 1
	}
	for from := uint64(0); ; {
		page, err := w.engine.QueryAccounts(ctx, ledger.QueryFilter{TimestampMin: from, Limit: 500})
		must(w.t, err)
		if len(page) == 0 {
			break
		}
		for _, a := range page {
			h.code[a.ID] = chart.AccountCode(a.Code)
		}
		from = page[len(page)-1].Timestamp + 1
	}
	for _, o := range orders {
		events, err := w.store.Timeline(ctx, o.ID)
		must(w.t, err)
		_, c, _ := chart.SplitLedger(o.Ledger)
		var list []handEvent
		for _, e := range events {
			booked := e.LedgerTimestamp
			if booked == 0 {
				booked = uint64(e.RecordedAt.UnixNano())
			}
			list = append(list, handEvent{c.Code, e.After.Held, uint64(e.After.At.UnixMicro()), booked})
		}
		h.timelines = append(h.timelines, list)
	}
	return h
}

func (h *hand) trial(effective, booked uint64) []string {
	type side struct{ debits, credits int64 }
	sums := map[string]side{}
	key := func(l uint32, c chart.AccountCode) string {
		_, currency, _ := chart.SplitLedger(l)
		return fmt.Sprintf("%s %d %s:", currency.Code, c, c.Name())
	}
	for _, t := range h.transfers {
		if t.Flags.Has(ledger.TransferPending) || t.Flags.Has(ledger.TransferVoidPending) || t.UserData64 > effective || t.Timestamp > booked {
			continue
		}
		amount := int64(t.Amount.Lo)
		if amount == 0 {
			continue // of a seller's account that had nothing to pay with
		}
		d, c := key(t.Ledger, h.code[t.DebitAccountID]), key(t.Ledger, h.code[t.CreditAccountID])
		sums[d] = side{sums[d].debits + amount, sums[d].credits}
		sums[c] = side{sums[c].debits, sums[c].credits + amount}
	}
	var lines []string
	for k, s := range sums {
		balance := s.credits - s.debits
		if k[4] == '1' { // of the accounts that orders use, those have their balance in debit
			balance = -balance
		}
		lines = append(lines, fmt.Sprintf("%s %d %d = %d", k, s.debits, s.credits, balance))
	}
	slices.Sort(lines)
	return lines
}

func (h *hand) held(effective, booked uint64) []string {
	orders, amounts := map[string]int{}, map[string]int64{}
	for _, events := range h.timelines {
		var last handEvent
		for _, e := range events {
			if e.effective <= effective && e.booked <= booked {
				last = e
			}
		}
		if last.held > 0 {
			orders[last.currency]++
			amounts[last.currency] += last.held
		}
	}
	var lines []string
	for c, n := range orders {
		lines = append(lines, fmt.Sprintf("%s %d orders %d", c, n, amounts[c]))
	}
	slices.Sort(lines)
	return lines
}

func heldTotals(r *reports.Of[reports.HeldFundsRow]) (lines []string) {
	for _, row := range r.Totals {
		lines = append(lines, fmt.Sprintf("%s %d orders %s", row.Currency, row.Orders, row.Amount))
	}
	return lines
}

// heldRows and heldGroups are the rows of held funds, the second from each
// order's own.
func heldRows(r *reports.Of[reports.HeldFundsRow]) (lines []string) {
	for _, row := range r.Rows {
		lines = append(lines, fmt.Sprintf("%s %s %s %d %s %s %s", row.Currency, row.Bucket, row.State, row.Orders, row.Amount, row.Oldest, row.EarliestDeadline))
	}
	slices.Sort(lines)
	return lines
}

func heldGroups(r *reports.Of[reports.HeldOrderRow]) (lines []string) {
	rows := map[string]*reports.HeldFundsRow{}
	for _, o := range r.Rows {
		key := o.Currency + o.Bucket + o.State
		row := rows[key]
		if row == nil {
			row = &reports.HeldFundsRow{Currency: o.Currency, Bucket: o.Bucket, State: o.State, Oldest: o.PaidAt, EarliestDeadline: o.DeadlineAt}
			rows[key] = row
		}
		row.Orders++
		row.Amount = row.Amount.Add(o.Amount)
		if o.PaidAt.Before(row.Oldest) {
			row.Oldest = o.PaidAt
		}
		if o.DeadlineAt.Before(row.EarliestDeadline) {
			row.EarliestDeadline = o.DeadlineAt
		}
	}
	fold := &reports.Of[reports.HeldFundsRow]{}
	for _, row := range rows {
		fold.Rows = append(fold.Rows, *row)
	}
	return heldRows(fold)
}

// summed folds a trial balance by account into one by code.
func summed(r *reports.Of[reports.AccountBalanceRow]) []string {
	fold := &reports.Of[reports.TrialBalanceRow]{}
	for _, row := range r.Rows {
		n := len(fold.Rows) - 1
		if n < 0 || fold.Rows[n].Code != row.Code || fold.Rows[n].Currency != row.Currency {
			fold.Rows = append(fold.Rows, row.TrialBalanceRow)
			continue
		}
		sum := &fold.Rows[n]
		sum.Debits, sum.Credits, sum.Balance = sum.Debits.Add(row.Debits), sum.Credits.Add(row.Credits), sum.Balance.Add(row.Balance)
	}
	return trialLines(fold)
}
