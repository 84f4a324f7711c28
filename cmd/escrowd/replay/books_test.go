package replay_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"escrowd/cmd/escrowd/replay"
	"escrowd/cmd/escrowd/replay/replaytest"
	"escrowd/reports"
	"escrowd/settlement/jobs"
	"escrowd/settlement/order"
)

// TestBooksOfMadeUpOrders and TestBooksOfRealOrders: whatever the moment, the
// reports show to the cent what an accountant works out from the files.
func TestBooksOfMadeUpOrders(t *testing.T) {
	dir := t.TempDir()
	replaytest.Write(t, dir, 23, 12*replaytest.Kinds)
	s := play(t, dir)
	compareBooks(t, s, replaytest.Read(t, dir), 200)
}

func TestBooksOfRealOrders(t *testing.T) {
	dir := replaytest.Dir(t)
	s := play(t, dir)
	books := replaytest.Read(t, dir)
	// What everybody who replays these orders must find, so that the
	// accountant is checked too.
	for _, c := range []struct {
		at                                     time.Time
		held, orders, net, fees, refunds, paid int64
	}{
		{time.Date(2017, 7, 1, 0, 0, 0, 0, time.UTC), 5_199_048, 300, 31_041_680, 3_332_667, 1_151_793, 40_725_188},
		{time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC), 0, 0, 0, 0, 0, 122_599_702},
	} {
		b := books.At(c.at)
		if got := b[2100].Credits - b[2100].Debits; got != c.held || int64(books.Held(c.at)) != c.orders {
			t.Errorf("%s: %d held in %d orders, want %d in %d", c.at, got, books.Held(c.at), c.held, c.orders)
		}
		if got := b[1100].Debits; got != c.paid {
			t.Errorf("%s: %d paid in, want %d", c.at, got, c.paid)
		}
		if c.fees == 0 {
			continue
		}
		net := b[2200].Credits - b[2200].Debits + b[2210].Credits
		if refunds := b[2000].Credits - b[2000].Debits; net != c.net || b[4100].Credits != c.fees || refunds != c.refunds {
			t.Errorf("%s: net %d, fees %d, refunds %d, want %d, %d, %d", c.at, net, b[4100].Credits, refunds, c.net, c.fees, c.refunds)
		}
	}
	compareBooks(t, s, books, 200)
}

// play plays a directory twice: the second time changes nothing.
func play(t *testing.T, dir string) *replaytest.Server {
	t.Helper()
	s := replaytest.NewServer(t)
	stories, err := replay.OlistDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := replay.Span(stories)
	_, c := s.Session(t, "olist", first)
	if _, err := c.AddPolicy(t.Context(), replay.OlistPolicy()); err != nil {
		t.Fatal(err)
	}
	sum, err := replay.Drive(t.Context(), c, stories, replay.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if sum.Found != 0 || sum.States[order.Closed]+sum.States[order.Expired]+sum.States[order.Canceled]+sum.States[order.Refunded] != len(stories) {
		t.Errorf("%d stories ended as %+v", len(stories), sum)
	}
	balanced(t, s)

	before := fingerprint(t, s)
	again, err := replay.Drive(t.Context(), c, stories, replay.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if again.Found != sum.Sent || again.Sent != 0 || again.Fired != 0 {
		t.Errorf("the second replay did something: %+v", again)
	}
	if after := fingerprint(t, s); after != before {
		t.Errorf("the second replay changed the database:\n%s\n%s", before, after)
	}
	return s
}

// fingerprint sums up all that a replay writes.
func fingerprint(t *testing.T, s *replaytest.Server) string {
	t.Helper()
	var sums []string
	for _, table := range []string{"ledger_transfers", "ledger_accounts", "ledger_pending", "ledger_balances", "orders", "intents", "idempotency_keys", "accounts", "policies"} {
		var sum string
		if err := s.DB.Get(&sum, fmt.Sprintf(`SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM %s t`, table)); err != nil {
			t.Fatal(err)
		}
		sums = append(sums, table+" "+sum)
	}
	return strings.Join(sums, ", ")
}

// balanced runs the job that compares the order store with the ledger.
func balanced(t *testing.T, s *replaytest.Server) {
	t.Helper()
	job, err := s.Jobs.Job(jobs.CheckBooks)
	if err != nil {
		t.Fatal(err)
	}
	run, err := job.RunOnce(t.Context(), jobs.Run{})
	if err != nil {
		t.Errorf("the books are off: %v (%+v)", err, run)
	}
}

// compareBooks asks for the trial balance and the held funds at random
// moments, and exactly at, right before and right after some movements.
func compareBooks(t *testing.T, s *replaytest.Server, books *replaytest.Books, random int) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	events := books.Moments()
	first, last := events[0].Add(-time.Hour), events[len(events)-1].Add(time.Hour)
	moments := []time.Time{first, events[0], events[len(events)-1], last}
	for range random {
		moments = append(moments, first.Add(time.Duration(rng.Int64N(int64(last.Sub(first))))))
	}
	for range 10 {
		at := events[rng.IntN(len(events))]
		moments = append(moments, at.Add(-time.Microsecond), at, at.Add(time.Microsecond))
	}
	r := reports.New(s.DB)
	wrong := 0
	for i, at := range moments {
		o := reports.Options{AsOf: at, Basis: reports.Effective, Marketplace: "olist"}
		balance, err := r.TrialBalance(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		got, want := []string{}, []string{}
		for _, row := range balance.Rows {
			got = append(got, fmt.Sprintf("%d %s %s %s", row.Code, row.Currency, row.Debits, row.Credits))
		}
		for code, sum := range books.At(at) {
			want = append(want, fmt.Sprintf("%d BRL %d %d", code, sum.Debits, sum.Credits))
		}
		slices.Sort(want)
		if !slices.Equal(got, want) || len(balance.Problems) > 0 {
			t.Errorf("as of %s\n got %q\nwant %q\nproblems %q", at.Format(time.RFC3339Nano), got, want, balance.Problems)
			wrong++
		}
		// The held funds join more tables; every fourth moment is enough.
		if i%4 == 0 {
			held, err := r.HeldFunds(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			orders := 0
			for _, row := range held.Rows {
				orders += int(row.Orders)
			}
			if orders != books.Held(at) || len(held.Problems) > 0 {
				t.Errorf("as of %s %d orders are held, want %d; problems %q", at.Format(time.RFC3339Nano), orders, books.Held(at), held.Problems)
				wrong++
			}
		}
		if wrong > 5 {
			t.Fatal("and so on")
		}
	}
}
