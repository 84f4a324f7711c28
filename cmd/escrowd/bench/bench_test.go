package bench

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"escrowd/ledger"
	"escrowd/ledger/chart"
)

// TestWorks runs each kind of work, small, on one system after the other, and
// checks that the report tells of it.
func TestWorks(t *testing.T) {
	for _, engine := range []string{"memory", postgres} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s := newSystem(t, engine)
			single := Work{Orders: 120, Life: LifePayConfirm, Connections: 8}.named()
			after := single
			after.History = 300
			works := []Work{
				single,
				Work{Orders: 90, Life: LifePayConfirm, Connections: 2, Bulk: 25}.named(),
				Work{Orders: 60, Life: LifeFull, Connections: 4}.named(),
				Work{Orders: 60, Life: LifeMixed, Connections: 4}.named(),
				Work{Orders: 60, Life: LifeMixed, Connections: 2, Bulk: 7}.named(),
				Work{Orders: 250, Settle: true}.named(),
				after.named(),
			}
			requests := []int{240, 8, 240, 240, 36, 0, 240} // 90 in 25s are 4 requests, 60 in 7s are 9
			phases := []int{2, 2, 4, 4, 4, 0, 2}
			r, err := s.Run(t.Context(), works)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Points) != len(works) {
				t.Fatalf("%d points", len(r.Points))
			}
			for i, p := range r.Points {
				if p.Work != works[i] || p.Requests != requests[i] || len(p.Phases) != phases[i] || p.TurnedAway != 0 {
					t.Errorf("%s: %+v", works[i].Name, p)
				}
				if p.Seconds <= 0 || p.OrdersPerSecond*p.Seconds < float64(p.Orders)-0.001 || p.OrdersPerSecond*p.Seconds > float64(p.Orders)+0.001 {
					t.Errorf("%s: %d orders in %v s are not %v a second", p.Name, p.Orders, p.Seconds, p.OrdersPerSecond)
				}
				if l := p.Latency; p.Requests > 0 && (l.P50 <= 0 || l.P50 > l.P95 || l.P95 > l.P99 || l.P99 > l.Max) {
					t.Errorf("%s: latency %+v", p.Name, l)
				}
				c := p.Cost
				if c.CPU.Server == nil || c.CPU.Load == nil || c.PeakMemory < 1<<20 || c.WALBytes <= 0 || c.Commits <= 0 {
					t.Errorf("%s: cost %+v", p.Name, c)
				}
				// Every order's transfers were in a batch, and every event was
				// decided in a transaction.
				legs, events := 4.0, float64(p.Requests)
				if p.Settle {
					legs, events = 3, float64(p.Orders)
				}
				if p.Bulk > 0 {
					events = float64(p.Orders * len(p.Phases))
				}
				if got := c.Batches.Mean * float64(c.Batches.Count); got < legs*float64(p.Orders)-0.5 || got > legs*float64(p.Orders)+0.5 {
					t.Errorf("%s: %v transfers in batches, want %v", p.Name, got, legs*float64(p.Orders))
				}
				if got := c.Transactions.Mean * float64(c.Transactions.Count); got < events-0.5 || got > events+0.5 {
					t.Errorf("%s: %v requests decided, want %v", p.Name, got, events)
				}
				if p.Raw.OrdersPerSecond <= 0 || p.Raw.Batch < 2 || p.RawShare <= 0 {
					t.Errorf("%s: raw %+v, share %v", p.Name, p.Raw, p.RawShare)
				}
				if (p.HistoryRatio > 0) != (i == len(works)-1) {
					t.Errorf("%s: history ratio %v", p.Name, p.HistoryRatio)
				}
			}
			if !r.Books.Balanced || len(r.Books.Problems) > 0 || r.Books.Orders < 940 {
				t.Errorf("books %+v", r.Books)
			}
			codes := map[int]bool{}
			for _, row := range r.Books.Trial {
				codes[row.Code] = true
			}
			for _, code := range []chart.AccountCode{chart.PayinClearing, chart.Buyer, chart.Escrow, chart.SellerPending, chart.SellerAvailable, chart.FeeRevenue, chart.TaxPayable} {
				if !codes[int(code)] {
					t.Errorf("nothing was posted to %s", code)
				}
			}
			if r.Durable && engine == "memory" {
				t.Error("a ledger in memory is durable, says the report")
			}
			var text bytes.Buffer
			if err := r.Print(&text); err != nil || !strings.Contains(text.String(), "the books balance") {
				t.Errorf("%v\n%s", err, text.String())
			}

			// A second session on the same data goes on with what is there.
			again, err := s.Run(t.Context(), []Work{single})
			if err != nil {
				t.Fatal(err)
			}
			if p := again.Points[0]; p.History != 300 || !strings.Contains(p.Name, "after 300") {
				t.Errorf("%+v, on the data of 300 closed orders", p.Work)
			}
		})
	}
}

// TestPlantedErrors: books that were spoiled fail the benchmark, whatever it
// measured.
func TestPlantedErrors(t *testing.T) {
	for _, c := range []struct{ name, spoil, want string }{
		{"a transfer is gone", `ALTER TABLE ledger_transfers DISABLE TRIGGER USER;
			DELETE FROM ledger_transfers WHERE id = (SELECT id FROM ledger_transfers WHERE code = 203 ORDER BY timestamp DESC LIMIT 1)`, "the journal: account 4100"},
		{"a balance was raised", `UPDATE ledger_accounts SET credits_posted = credits_posted + 1 WHERE code = 4100`, "the ledger: account 4100"},
		{"an order was set back", `UPDATE orders SET state = 'shipped', held = released, released = 0, fee_charged = 0, maturing = 0, deadline = 'confirm_by'
			WHERE id = (SELECT id FROM orders WHERE state = 'released' LIMIT 1)`, "check-books"},
		{"an order is gone", `DELETE FROM orders WHERE id = (SELECT id FROM orders LIMIT 1)`, "orders by state"},
		{"an event was booked twice", `INSERT INTO ledger_transfers SELECT gen_random_uuid(), debit_account_id, credit_account_id, pending_id, user_data_128, user_data_64,
			timestamp + 1000000000, user_data_32, timeout, ledger, code, flags, amount FROM ledger_transfers ORDER BY timestamp DESC LIMIT 1`, "the journal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSystem(t, postgres)
			s.beforeCheck = func(ctx context.Context) error {
				_, err := s.DB.ExecContext(ctx, c.spoil)
				return err
			}
			r, err := s.Run(t.Context(), []Work{Work{Orders: 20, Life: LifePayConfirm, Connections: 2}.named()})
			u, ok := errors.AsType[*Unbalanced](err)
			if !ok || r.Books.Balanced || !strings.Contains(strings.Join(u.Problems, "\n"), c.want) {
				t.Fatalf("%v\n%+v", err, r.Books)
			}
			var text bytes.Buffer
			if err := r.Print(&text); err != nil || !strings.Contains(text.String(), "THE BOOKS DO NOT BALANCE") || !strings.Contains(text.String(), c.want) {
				t.Errorf("%v\n%s", err, text.String())
			}
		})
	}
}

// TestLedgerInUse: a new order store does not begin in a ledger that has
// accounts of another.
func TestLedgerInUse(t *testing.T) {
	s := newSystem(t, "memory")
	var next int64
	if err := s.DB.Get(&next, `SELECT nextval(pg_get_serial_sequence('marketplaces', 'id')) + 1`); err != nil {
		t.Fatal(err)
	}
	taken := ledger.Account{ID: ledger.U64(1), Ledger: uint32(next)*1000 + 840, Code: 1100}
	if err := createAccounts(t.Context(), s.Ledger, []ledger.Account{taken}); err != nil {
		t.Fatal(err)
	}
	_, err := s.Run(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("%v", err)
	}
}

// TestRefused: a load that the server refuses ends the benchmark and says why.
func TestRefused(t *testing.T) {
	s := newSystem(t, "memory")
	m := openSession(t, s)
	st := stage{wholeLife[1:2], true} // paid and never agreed
	if _, err := m.drive(t.Context(), Work{Connections: 1}, 1, st); err == nil || !strings.Contains(err.Error(), "pay of order 0: answered 4") {
		t.Errorf("%v", err)
	}
	s.Load = []string{"/no/such/program"}
	if _, err := s.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "load generator") {
		t.Errorf("%v", err)
	}
}
