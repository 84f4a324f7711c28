package replaytest

import (
	"encoding/csv"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"escrowd/cmd/escrowd/replay"
)

// Books are the movements that the orders of a directory cause: an accountant
// who reads the rules of the replay and knows nothing of how escrowd works.
type Books struct {
	moves []move // by time
	spans []span
}

// move is an amount in cents from one account of the chart to another.
type move struct {
	at            time.Time
	debit, credit int
	cents         int64
}

// span is how long an order's money was held.
type span struct{ from, to time.Time }

// Sum is what was posted to an account of the chart, in cents.
type Sum struct{ Debits, Credits int64 }

// The chart's accounts.
const (
	card, buyer, escrow, pending, available, fees = 1100, 2000, 2100, 2200, 2210, 4100
)

// Read works the books out from a directory's files.
func Read(t testing.TB, dir string) *Books {
	t.Helper()
	type group struct {
		order string
		cents int64
		limit time.Time
	}
	groups := map[string]*group{}
	for _, r := range rows(t, filepath.Join(dir, replay.ItemsFile)) {
		g := groups[r["order_id"]+"/"+r["seller_id"]]
		if g == nil {
			g = &group{order: r["order_id"]}
			groups[r["order_id"]+"/"+r["seller_id"]] = g
		}
		g.cents += centsOf(t, r["price"]) + centsOf(t, r["freight_value"])
		g.limit = latest(g.limit, when(t, r["shipping_limit_date"]))
	}
	orders := map[string]map[string]string{}
	for _, r := range rows(t, filepath.Join(dir, replay.OrdersFile)) {
		orders[r["order_id"]] = r
	}

	const oneDay = 24 * time.Hour
	b := &Books{}
	for _, g := range groups {
		r := orders[g.order]
		created := when(t, r["order_purchase_timestamp"])
		approved, carrier := when(t, r["order_approved_at"]), when(t, r["order_delivered_carrier_date"])
		arrived := when(t, r["order_delivered_customer_date"])
		left := !carrier.IsZero() || !arrived.IsZero()
		if approved.IsZero() && !left {
			continue // never paid: no money moves
		}
		paid := created
		if !approved.IsZero() {
			paid = latest(created, approved)
		}
		b.post(paid, card, buyer, g.cents)
		b.post(paid, buyer, escrow, g.cents)
		refund := func(at time.Time) {
			b.post(at, escrow, buyer, g.cents)
			b.spans = append(b.spans, span{paid, at})
		}
		if !left {
			refund(latest(g.limit, paid.Add(oneDay)))
			continue
		}
		shipped := carrier
		if shipped.IsZero() {
			shipped = arrived
		}
		shipped = latest(shipped, paid)
		switch {
		case arrived.IsZero():
			expected := when(t, r["order_estimated_delivery_date"])
			refund(latest(expected.Add(oneDay), shipped.Add(oneDay)).Add(14 * oneDay))
		case r["order_status"] == "canceled":
			refund(latest(arrived, shipped).Add(15 * oneDay))
		default:
			confirmBy := latest(arrived, shipped).Add(7 * oneDay)
			fee := feeOf(g.cents)
			b.post(confirmBy, escrow, pending, g.cents-fee)
			b.post(confirmBy, escrow, fees, fee)
			b.post(confirmBy.Add(2*oneDay), pending, available, g.cents-fee)
			b.spans = append(b.spans, span{paid, confirmBy})
		}
	}
	slices.SortFunc(b.moves, func(a, b move) int { return a.at.Compare(b.at) })
	return b
}

func (b *Books) post(at time.Time, debit, credit int, cents int64) {
	if cents != 0 {
		b.moves = append(b.moves, move{at, debit, credit, cents})
	}
}

// feeOf is a tenth, half a cent to the even one, and 0.50; at most 100.00 and
// at most all of it.
func feeOf(cents int64) int64 {
	tenth, rest := cents/10, cents%10
	if rest > 5 || rest == 5 && tenth%2 == 1 {
		tenth++
	}
	return min(tenth+50, 100_00, cents)
}

// At is what was posted to each account of the chart up to and including a
// moment. Accounts that nothing was posted to are left out.
func (b *Books) At(t time.Time) map[int]Sum {
	sums := map[int]Sum{}
	for _, m := range b.moves {
		if m.at.After(t) {
			break
		}
		d, c := sums[m.debit], sums[m.credit]
		d.Debits += m.cents
		c.Credits += m.cents
		sums[m.debit], sums[m.credit] = d, c
	}
	return sums
}

// Held is how many orders' money is held right after a moment.
func (b *Books) Held(t time.Time) int {
	n := 0
	for _, s := range b.spans {
		if !s.from.After(t) && s.to.After(t) {
			n++
		}
	}
	return n
}

// Moments are all the moments at which money moves, in order.
func (b *Books) Moments() []time.Time {
	set := map[time.Time]bool{}
	for _, m := range b.moves {
		set[m.at] = true
	}
	return slices.SortedFunc(maps.Keys(set), time.Time.Compare)
}

func rows(t testing.TB, path string) []map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]string
	for _, fields := range all[1:] {
		r := map[string]string{}
		for i, name := range all[0] {
			r[name] = fields[i]
		}
		list = append(list, r)
	}
	return list
}

func when(t testing.TB, s string) time.Time {
	t.Helper()
	if s == "" {
		return time.Time{}
	}
	v, err := time.Parse("2006-01-02 15:04:05", s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// centsOf adds digits up one by one: slow, and nothing like a parser.
func centsOf(t testing.TB, s string) int64 {
	t.Helper()
	units, decimals, _ := strings.Cut(s, ".")
	var v int64
	for _, c := range units + (decimals + "00")[:2] {
		if c < '0' || c > '9' {
			t.Fatalf("%q is not an amount", s)
		}
		v = v*10 + int64(c-'0')
	}
	return v
}
