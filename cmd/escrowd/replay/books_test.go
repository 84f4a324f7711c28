package replay_test

import (
	"testing"
	"time"

	"escrowd/cmd/escrowd/replay"
	"escrowd/cmd/escrowd/replay/replaytest"
	"escrowd/settlement/jobs"
	"escrowd/settlement/order"
)

// TestBooksOfMadeUpOrders and TestBooksOfRealOrders: whatever the moment, the
// reports show to the cent what an accountant works out from the files.
func TestBooksOfMadeUpOrders(t *testing.T) {
	dir := t.TempDir()
	replaytest.Write(t, dir, 23, 12*replaytest.Kinds)
	s := play(t, dir)
	replaytest.Read(t, dir).Compare(t, s.DB, 200)
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
	books.Compare(t, s.DB, 200)
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

	before := replaytest.Fingerprint(t, s.DB)
	again, err := replay.Drive(t.Context(), c, stories, replay.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if again.Found != sum.Sent || again.Sent != 0 || again.Fired != 0 {
		t.Errorf("the second replay did something: %+v", again)
	}
	if after := replaytest.Fingerprint(t, s.DB); after != before {
		t.Errorf("the second replay changed the database:\n%s\n%s", before, after)
	}
	return s
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
