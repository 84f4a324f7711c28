package bench

import (
	"fmt"
	"strconv"
	"strings"

	"escrowd/intake/api"
	"escrowd/ledger"
)

// named is w with a name that says in words what is measured.
func (w Work) named() Work {
	parts := []string{}
	switch {
	case w.Settle:
		parts = append(parts, "settlement by the job")
	case w.Batch > 0:
		parts = append(parts, "the ledger alone, "+plural(w.Batch, "transfer")+" a request")
	case w.Overload:
		parts = append(parts, fmt.Sprintf("payments at %d times the load that %s are", overloadTimes, plural(w.Connections, "connection")))
	case w.Bulk > 0:
		parts = append(parts, fmt.Sprintf("bulk of %s, %s", count(w.Bulk), plural(w.Connections, "connection")))
	default:
		parts = append(parts, "single requests, "+plural(w.Connections, "connection"))
	}
	if w.Life != "" && w.Life != LifePayConfirm {
		parts = append(parts, string(w.Life)+" lives")
	}
	if w.History > 0 {
		parts = append(parts, "after "+count(w.History))
	}
	w.Name = strings.Join(parts, ", ")
	return w
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return count(n) + " " + word + "s"
}

// One is w alone; where it has a history it is measured without one first, so
// that the two can be compared.
func One(w Work) []Work {
	if w.History == 0 {
		return []Work{w.named()}
	}
	without := w
	without.History = 0
	return []Work{without.named(), w.named()}
}

// OverConnections is w with 1 to 256 connections. Few connections do fewer
// orders, so that each point takes about as long.
func OverConnections(w Work) (works []Work) {
	for _, c := range []int{1, 4, 16, 64, 256} {
		v := w
		v.Connections, v.Orders = c, min(w.Orders, max(100, w.Orders*c/64))
		works = append(works, v.named())
	}
	return works
}

// OverBulk is w with 1 to api.BulkMax items in a request; small ones do fewer
// orders.
func OverBulk(w Work) (works []Work) {
	for _, b := range []int{1, 10, 100, api.BulkMax} {
		v := w
		v.Bulk, v.Orders = b, min(w.Orders, max(100, w.Orders/10, w.Orders*b/100))
		works = append(works, v.named())
	}
	return works
}

// OverBatch is the ledger alone, from the fewest transfers in a request to the
// most that fit.
func OverBatch(w Work) (works []Work) {
	for _, b := range []int{2, 20, 200, 2000, ledger.BatchMax &^ 1} {
		works = append(works, Work{Batch: b, Orders: w.Orders}.named())
	}
	return works
}

// OverHistory is w after no history, after 10,000 closed orders, and so on by
// powers of ten up to w.History.
func OverHistory(w Work) []Work {
	v := w
	v.History = 0
	works := []Work{v.named()}
	for v.History = 10_000; v.History < w.History; v.History *= 10 {
		works = append(works, v.named())
	}
	v.History = w.History
	return append(works, v.named())
}

// Table is the works that a marketplace has, small: many connections, one
// connection, bulk, settlement, and then the same after w.History orders.
func Table(w Work, settle int) []Work {
	single := Work{Orders: w.Orders, Life: w.Life, Connections: 64}
	one := Work{Orders: max(100, w.Orders/20), Life: w.Life, Connections: 1}
	bulk := Work{Orders: 2 * w.Orders, Life: w.Life, Connections: 4, Bulk: api.BulkMax}
	due := Work{Orders: settle, Settle: true}
	works := []Work{}
	for _, v := range []Work{single, one, bulk, due} {
		works = append(works, v.named())
	}
	if w.History > 0 {
		for _, v := range []Work{single, one, bulk, due} {
			v.History = w.History
			works = append(works, v.named())
		}
	}
	return works
}

// count writes a number with a comma at every third digit.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
