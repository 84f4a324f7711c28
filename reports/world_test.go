package reports_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/pgengine"
	"escrowd/reports"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

// world is a database with marketplaces whose history a test tells through
// the write path, and the reports on it.
type world struct {
	t      *testing.T
	db     *sqlx.DB
	store  *orderdb.Store
	engine ledger.Engine
	poster *posting.Poster
	books  *reports.Books
}

// jan is a moment of January 2024.
func jan(day, hour int) time.Time { return time.Date(2024, 1, day, hour, 0, 0, 0, time.UTC) }

// machine is what the tests take the machine's clock for.
var machine = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func newWorld(t *testing.T) *world {
	t.Helper()
	db := pgtest.Open(t)
	engine, err := pgengine.New(db)
	must(t, err)
	t.Cleanup(func() { must(t, engine.Close()) })
	return newWorldOn(t, db, engine)
}

func newWorldOn(t *testing.T, db *sqlx.DB, engine ledger.Engine) *world {
	t.Helper()
	poster := posting.New(db, engine, posting.Options{})
	t.Cleanup(func() { must(t, poster.Close(context.Background())) })
	return &world{t: t, db: db, store: orderdb.New(db), engine: engine, poster: poster, books: reports.New(db)}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// marketplace makes one with a test clock that stands at now, so that
// anything until then can be told.
func (w *world) marketplace(name string, now time.Time) uint32 {
	w.t.Helper()
	m, err := w.store.CreateMarketplace(context.Background(), name, orderdb.TestClock, now)
	must(w.t, err)
	return m.ID
}

// agree makes an order of buyer "ann" and seller "bob", agreed at a moment.
func (w *world) agree(m uint32, reference, currency string, amount int64, at time.Time) ledger.ID {
	w.t.Helper()
	r, err := w.poster.Do(context.Background(), posting.Request{
		Marketplace: m, Command: order.Command{Event: order.Agree, At: at},
		Agreement: &posting.Agreement{Reference: reference, Buyer: "ann", Seller: "bob", Currency: currency, Amount: amount},
		Data:      json.RawMessage(fmt.Sprintf(`{"goods":{"description":%q}}`, "thing of "+reference)),
	})
	must(w.t, err)
	return r.Orders[0].ID
}

// tell makes an event take effect at a moment.
func (w *world) tell(m uint32, event order.Event, at time.Time, id ledger.ID, more ...func(*order.Command)) {
	w.t.Helper()
	c := order.Command{Event: event, At: at}
	if order.DueAt(event) != order.NoDeadline {
		c.By = order.System
	}
	for _, f := range more {
		f(&c)
	}
	_, err := w.poster.Do(context.Background(), posting.Request{Marketplace: m, Orders: []ledger.ID{id}, Command: c})
	must(w.t, err)
}

// pay pays orders with one payment.
func (w *world) pay(m uint32, at time.Time, ids ...ledger.ID) {
	w.t.Helper()
	_, err := w.poster.Do(context.Background(), posting.Request{Marketplace: m, Orders: ids,
		Command: order.Command{Event: order.Pay, At: at, Method: "card"}})
	must(w.t, err)
}

func reason(c *order.Command) { c.Reason = "not as described" }

// line is a row of the trial balance as a test writes it.
func trialLines(r *reports.Of[reports.TrialBalanceRow]) []string {
	lines := []string{}
	for _, row := range r.Rows {
		lines = append(lines, fmt.Sprintf("%s %d %s: %s %s = %s", row.Currency, row.Code, row.Account, row.Debits, row.Credits, row.Balance))
	}
	return lines
}

func heldLines(r *reports.Of[reports.HeldFundsRow]) []string {
	lines := []string{}
	for _, row := range r.Rows {
		lines = append(lines, fmt.Sprintf("%s %s %s: %d orders %s", row.Currency, row.Bucket, row.State, row.Orders, row.Amount))
	}
	return lines
}

func sameLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	if fmt.Sprintf("%q", got) == fmt.Sprintf("%q", want) {
		return
	}
	t.Errorf("%s:", what)
	for i := range max(len(got), len(want)) {
		g, w := "-", "-"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		mark := "  "
		if g != w {
			mark = "! "
		}
		t.Errorf("%sgot %-60s want %s", mark, g, w)
	}
}

func (w *world) trial(o reports.Options) *reports.Of[reports.TrialBalanceRow] {
	w.t.Helper()
	o.Now = machine
	r, err := w.books.TrialBalance(context.Background(), o)
	must(w.t, err)
	sound(w.t, r.Problems)
	return r
}

func (w *world) held(o reports.Options) *reports.Of[reports.HeldFundsRow] {
	w.t.Helper()
	o.Now = machine
	r, err := w.books.HeldFunds(context.Background(), o)
	must(w.t, err)
	sound(w.t, r.Problems)
	if len(r.Notes) > 0 {
		w.t.Errorf("notes: %q", r.Notes)
	}
	return r
}

func sound(t *testing.T, problems []string) {
	t.Helper()
	for _, p := range problems {
		t.Errorf("does not add up: %s", p)
	}
}
