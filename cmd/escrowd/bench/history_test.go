package bench

import (
	"reflect"
	"strconv"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
)

// TestHistoryIsTrue: orders that were written as history do not differ from
// orders that lived the same life over HTTP and by the deadline's job, in
// anything but ids, names and times.
func TestHistoryIsTrue(t *testing.T) {
	for _, engine := range []string{"memory", postgres} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s := newSystem(t, engine)
			m := openSession(t, s)
			const n = 20
			run := m.run
			m.run += "h" // the same numbers, and so amounts and parties, under other names
			if err := m.generate(t.Context(), n, closedLife); err != nil {
				t.Fatal(err)
			}
			m.run, m.next = run, 0
			if _, err := m.drive(t.Context(), Work{Connections: 2, Bulk: 3}, n, stage{wholeLife, false}); err != nil {
				t.Fatal(err)
			}
			m.pass(t, 3*24*time.Hour, n)
			for i := range n {
				written, lived := m.tale(t, m.run+"h-"+strconv.Itoa(i)), m.tale(t, m.run+"-"+strconv.Itoa(i))
				if written.events[4].Event != order.Mature || len(written.legs) != 3 {
					t.Fatalf("not the whole of a life: %+v", written)
				}
				if !reflect.DeepEqual(written, lived) {
					t.Errorf("order %d\nwritten %+v\nlived   %+v", i, written, lived)
				}
			}
			if _, err := m.check(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// pass lets time pass, and n orders mature.
func (s *session) pass(t *testing.T, d time.Duration, n int) {
	t.Helper()
	until := s.market.Now.Add(d)
	var err error
	if s.market, err = s.Orders.AdvanceClock(t.Context(), s.market.ID, until, until); err != nil {
		t.Fatal(err)
	}
	if fired, err := s.Jobs.Fire(t.Context(), s.market.ID); err != nil || fired != n {
		t.Fatalf("%d matured, %v", fired, err)
	}
	for i := range n {
		s.expect.event(order.Mature, amountOf(i), s.policies[feePolicy])
	}
}

// tale is an order without what two orders never share.
type tale struct {
	terms  order.Terms
	events []orderdb.Event
	legs   []ledger.Transfer // of the escrow account
}

func (s *session) tale(t *testing.T, reference string) tale {
	t.Helper()
	o, err := s.Orders.OrderByReference(t.Context(), s.market.ID, reference)
	if err != nil {
		t.Fatalf("%s: %v", reference, err)
	}
	events, err := s.Orders.Timeline(t.Context(), o.ID)
	if err != nil || len(events) == 0 || !reflect.DeepEqual(events[len(events)-1].After, o.Progress) {
		t.Fatalf("%s: its timeline %+v does not end where it stands, %+v (%v)", reference, events, o.Progress, err)
	}
	legs, err := s.Ledger.GetAccountTransfers(t.Context(), ledger.AccountFilter{AccountID: o.ID, Limit: 100, Flags: ledger.FilterDebits | ledger.FilterCredits})
	if err != nil {
		t.Fatal(err)
	}
	stamps := map[uint64]bool{}
	for i := range legs {
		l := &legs[i]
		intent := order.IntentOf(l.ID)
		found := false
		for _, e := range events {
			found = found || e.Intent == intent && uint64(e.After.At.UnixMicro()) == l.UserData64
		}
		if !found || l.UserData128 != o.ID {
			t.Errorf("%s: leg %+v is no event's", reference, l)
		}
		stamps[l.Timestamp] = true
		if l.DebitAccountID == o.ID {
			l.DebitAccountID = ledger.ID{}
		} else {
			l.CreditAccountID = ledger.ID{}
		}
		l.ID, l.UserData128, l.UserData64, l.Timestamp = ledger.ID{}, ledger.ID{}, 0, 0
	}
	for i := range events {
		e := &events[i]
		if e.Event == order.Confirm && !stamps[e.LedgerTimestamp] {
			t.Errorf("%s: the release was booked at %d, says the timeline; the ledger has another time", reference, e.LedgerTimestamp)
		}
		e.Order, e.Intent, e.LedgerTimestamp, e.RecordedAt, e.Data = ledger.ID{}, ledger.ID{}, 0, time.Time{}, nil
		if e.After.Deadline != order.NoDeadline { // as long after the event
			e.After.DeadlineAt = time.Time{}.Add(e.After.DeadlineAt.Sub(e.After.At))
		}
		e.After.At, e.After.PaidAt = time.Time{}, time.Time{}
	}
	o.ID, o.Reference, o.AgreedAt = ledger.ID{}, "", time.Time{}
	return tale{o.Terms, events, legs}
}

// TestShippedLifeIsDue: what settlement starts from holds money and is due.
func TestShippedLifeIsDue(t *testing.T) {
	m := openSession(t, newSystem(t, postgres))
	if err := m.generate(t.Context(), 30, shippedLife); err != nil {
		t.Fatal(err)
	}
	confirmBy := m.market.Now.Add(m.policies[taxPolicy].ConfirmAfterShipment.Duration())
	due, err := m.Orders.Due(t.Context(), m.market.ID, order.ConfirmBy, confirmBy, orderdb.Due{}, 100)
	if err != nil || len(due.Orders) != 30 {
		t.Errorf("%d are due at %s, %v", len(due.Orders), confirmBy, err)
	}
	b, err := m.check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	held := int64(0)
	for i := range 30 {
		held += amountOf(i)
	}
	for _, r := range b.Trial {
		if r.Code == int(chart.Escrow) && (r.Credits != ledger.U64(uint64(held)) || !r.Debits.IsZero()) {
			t.Errorf("held %s less %s, want %d", r.Credits, r.Debits, held)
		}
	}
}

// BenchmarkHistory is how fast closed orders of the past are written.
func BenchmarkHistory(b *testing.B) {
	for _, engine := range []string{"memory", postgres} {
		b.Run(engine, func(b *testing.B) {
			m := openSession(b, newSystem(b, engine))
			b.ResetTimer()
			if err := m.generate(b.Context(), b.N, closedLife); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
		})
	}
}
