package reports_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/mirror"
	"escrowd/ledger/pages"
	"escrowd/ledger/rules"
	"escrowd/reports"
	"escrowd/reports/render"
	"escrowd/settlement/order"
)

// TestMirroredJournal: where the journal is a copy that is still to follow,
// reports say so and find no contradiction that is none.
func TestMirroredJournal(t *testing.T) {
	db, ctx := pgtest.Open(t), context.Background()
	must(t, mirror.Claim(ctx, db))
	engine := rules.NewEngine(func() uint64 { return uint64(time.Now().UnixNano()) })
	w := newWorldOn(t, db, engine)
	follow := func() {
		t.Helper()
		copied := machine.Add(-1500 * time.Millisecond)
		must(t, mirror.New(db, engine, mirror.Options{Clock: func() time.Time { return copied }}).CatchUp(ctx, nil))
		_, err := pages.Close(ctx, db, 2, nil)
		must(t, err)
	}
	m := w.marketplace("shop", jan(31, 0))
	held := func(o reports.Options) *reports.Of[reports.HeldFundsRow] {
		t.Helper()
		o.Now = machine
		r, err := w.books.HeldFunds(ctx, o)
		must(t, err)
		return r
	}
	fine := func(when string, r *reports.Of[reports.HeldFundsRow], note string, lines ...string) {
		t.Helper()
		if len(r.Problems) > 0 {
			t.Errorf("%s: %v", when, r.Problems)
		}
		if notes := strings.Join(r.Notes, "; "); (note == "") != (notes == "") || !strings.Contains(notes, note) {
			t.Errorf("%s: notes %q, want %q", when, notes, note)
		}
		if got := heldLines(r); !slices.Equal(got, lines) {
			t.Errorf("%s: %q, want %q", when, got, lines)
		}
	}

	a, b := w.agree(m, "a", "USD", 1000, jan(1, 0)), w.agree(m, "b", "USD", 500, jan(1, 0))
	w.pay(m, jan(2, 0), a, b) // one payment: one chain
	r := held(reports.Options{})
	fine("nothing copied", r, "2 movements are recorded", "USD 15-30 held: 2 orders 1500")
	if r.Head.LedgerTimestamp != 0 || !r.Head.Mirrored || !r.Head.MirroredTo.IsZero() {
		t.Errorf("nothing copied: %+v", r.Head)
	}
	fine("booked, nothing copied", held(reports.Options{AsOf: machine.AddDate(10, 0, 0), Basis: reports.Booked}), "")

	follow()
	r = held(reports.Options{})
	fine("copied", r, "", "USD 15-30 held: 2 orders 1500")
	if want := machine.Add(-1500 * time.Millisecond); !r.Head.MirroredTo.Equal(want) || r.Head.MirrorLag != 1500*time.Millisecond || r.Head.LedgerTimestamp == 0 {
		t.Errorf("copied: %+v", r.Head)
	}

	// Events of every kind: in, out, and none of the two.
	c := w.agree(m, "c", "USD", 30, jan(3, 0))
	w.pay(m, jan(3, 0), c)
	w.tell(m, order.Ship, jan(4, 0), a)
	w.tell(m, order.Confirm, jan(5, 0), a)
	w.tell(m, order.Cancel, jan(6, 0), b, func(c *order.Command) { c.By = order.Seller })
	fine("behind", held(reports.Options{}), "3 movements are recorded", "USD 15-30 held: 1 orders 30")
	fine("behind, as of then", held(reports.Options{AsOf: jan(5, 1)}), "2 movements are recorded", "USD 0-7 held: 2 orders 530")
	fine("behind, booked", held(reports.Options{AsOf: machine.AddDate(10, 0, 0), Basis: reports.Booked}), "", "USD 90+ held: 1 orders 500", "USD 90+ shipped: 1 orders 1000")
	for _, id := range []ledger.ID{a, b, c} {
		sheet, err := w.books.Order(ctx, "", id.UUID())
		must(t, err)
		if len(sheet.Problems) > 0 {
			t.Errorf("order sheet while behind: %v", sheet.Problems)
		}
	}

	follow()
	fine("copied again", held(reports.Options{}), "", "USD 15-30 held: 1 orders 30")
	sheet, err := w.books.Order(ctx, "", c.UUID())
	must(t, err)
	if len(sheet.Problems) > 0 || len(sheet.Escrow) != 1 {
		t.Errorf("order sheet: %+v", sheet)
	}

	// What really differs still shows, behind or not.
	_, err = db.Exec(`UPDATE orders SET held = held - 1, refunded = refunded + 1 WHERE held > 0`)
	must(t, err)
	if r := held(reports.Options{}); len(r.Problems) != 1 || !strings.Contains(r.Problems[0], "0.01") {
		t.Errorf("a cent less: %v", r.Problems)
	}
	d := w.agree(m, "d", "USD", 70, jan(7, 0))
	w.pay(m, jan(7, 0), d)
	if r := held(reports.Options{}); len(r.Problems) != 1 || !strings.Contains(r.Problems[0], "0.01") {
		t.Errorf("a cent less, and behind: %v", r.Problems)
	}
	if sheet, err := w.books.Order(ctx, "", c.UUID()); err != nil || len(sheet.Problems) != 1 {
		t.Errorf("order sheet of a cent less: %v, %v", sheet.Problems, err)
	}

	// In words and in JSON.
	for f, want := range map[render.Format]string{
		render.Table: "The journal is a copy of the ledger, complete up to 2026-05-01T11:59:58.5Z, 1.5s before.",
		render.JSON:  `,"mirrored_to":"2026-05-01T11:59:58.5Z","mirror_lag_seconds":1.5,"rows":[`,
	} {
		var out bytes.Buffer
		r, err := w.books.TrialBalance(ctx, reports.Options{Now: machine})
		must(t, err)
		must(t, render.Write(&out, f, r))
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: %s", f, out.String())
		}
	}
}
