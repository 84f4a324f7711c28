package reports_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"escrowd/reports"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
	"escrowd/settlement/treasury"
)

// A balance is dormant from the day on which it has lain still for long enough,
// and no more once it moves.
func TestDormant(t *testing.T) {
	w := newWorld(t)
	m := w.marketplace("shop", jan(31, 0))
	refunded := w.agree(m, "refunded", "USD", 1_000, jan(1, 0))
	w.pay(m, jan(2, 0), refunded)
	w.tell(m, order.Cancel, jan(3, 0), refunded) // ann has 1000 since the 3rd
	sold := w.agree(m, "sold", "USD", 2_000, jan(1, 0))
	w.pay(m, jan(4, 0), sold)
	w.tell(m, order.Ship, jan(5, 0), sold)
	w.tell(m, order.Confirm, jan(6, 0), sold)
	w.tell(m, order.Mature, jan(8, 0), sold) // bob has 1900 since the 8th
	open := w.agree(m, "open", "EUR", 500, jan(1, 0))
	w.pay(m, jan(2, 0), open) // what is held has its own report

	find := func(o reports.Options, days int) []string {
		t.Helper()
		o.Now, o.Idle = machine, time.Duration(days)*24*time.Hour
		r, err := w.books.DormantByAccount(context.Background(), o)
		must(t, err)
		lines := []string{}
		for _, row := range r.Rows {
			lines = append(lines, fmt.Sprintf("%s %d %s: %s since %s, %d days", row.Currency, row.Code, row.Owner, row.Balance, row.Since.Format(time.DateOnly), row.Days))
		}
		return lines
	}
	ann, bob := "USD 2000 ann: 1000 since 2024-01-04", "USD 2210 bob: 1900 since 2024-01-08"
	for _, c := range []struct {
		name string
		o    reports.Options
		days int
		want []string
	}{
		{"by the test clock", reports.Options{}, 23, []string{ann + ", 27 days", bob + ", 23 days"}},
		{"a day more", reports.Options{}, 24, []string{ann + ", 27 days"}},
		{"nothing for so long", reports.Options{}, 28, []string{}},
		{"as of the past", reports.Options{AsOf: jan(10, 0)}, 3, []string{ann + ", 6 days"}},
		{"as of a time at which it had just moved", reports.Options{AsOf: jan(5, 0).Add(-time.Microsecond)}, 1, []string{}},
		{"what moved later does not count yet", reports.Options{AsOf: jan(4, 0).Add(-time.Microsecond)}, 1, []string{}},
		{"all was booked today", reports.Options{AsOf: machine.AddDate(1, 0, 0), Basis: reports.Booked}, 10_000, []string{}},
		{"of another currency", reports.Options{Currency: "EUR"}, 1, []string{}},
	} {
		if got := find(c.o, c.days); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}

	r, err := w.books.Dormant(context.Background(), reports.Options{Now: machine, Idle: 24 * time.Hour})
	must(t, err)
	if len(r.Rows) != 2 || r.Rows[0].Accounts != 1 || r.Rows[0].Code != 2000 || !r.Rows[1].Since.Equal(jan(8, 0)) {
		t.Errorf("%+v", r.Rows)
	}
	// She is paid back: nothing is left of hers.
	if _, err := w.poster.Do(context.Background(), posting.Request{Marketplace: m, Entry: &posting.EntryRequest{
		New: &treasury.Terms{Kind: treasury.Repayment, Ledger: m*1000 + 840, Party: "ann", Method: "card", Amount: 1_000}}}); err != nil {
		t.Fatal(err)
	}
	if got := find(reports.Options{}, 1); !reflect.DeepEqual(got, []string{bob + ", 23 days"}) {
		t.Errorf("after the repayment: %q", got)
	}
	var bad *reports.BadOption
	if _, err := w.books.Dormant(context.Background(), reports.Options{Now: machine, Idle: -1}); !errors.As(err, &bad) {
		t.Errorf("%v", err)
	}
}
