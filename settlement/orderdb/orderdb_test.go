package orderdb_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/rules"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

func TestMarketplacesAndClocks(t *testing.T) {
	s, ctx := orderdb.New(pgtest.Open(t)), t.Context()
	live, err := s.CreateMarketplace(ctx, "live", orderdb.LiveClock, start)
	if err != nil {
		t.Fatal(err)
	}
	test, err := s.CreateMarketplace(ctx, "test", orderdb.TestClock, start)
	if err != nil {
		t.Fatal(err)
	}
	if now, due := live.At(start); !now.Equal(start) || !due.Equal(start) {
		t.Errorf("live: %s, %s", now, due)
	}
	if _, err := s.CreateMarketplace(ctx, "live", orderdb.TestClock, start); !errors.Is(err, orderdb.ErrExists) {
		t.Errorf("name taken: %v", err)
	}
	if _, err := s.AdvanceClock(ctx, live.ID, start, start); !errors.Is(err, orderdb.ErrLiveClock) {
		t.Errorf("a live clock was set: %v", err)
	}
	if _, err := s.AdvanceClock(ctx, 999, start, start); !errors.Is(err, orderdb.ErrNotFound) {
		t.Errorf("no marketplace: %v", err)
	}
	if _, err := s.AdvanceClock(ctx, test.ID, start, start.Add(time.Hour)); err == nil {
		t.Error("deadlines ahead of the clock")
	}
	m, err := s.AdvanceClock(ctx, test.ID, start.Add(time.Hour), start)
	if err != nil || !m.Now.Equal(start.Add(time.Hour)) || !m.Deadlines.Equal(start) {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err = s.AdvanceClock(ctx, test.ID, start.Add(-time.Hour), start.Add(-time.Hour)); err != nil || !m.Now.Equal(start.Add(time.Hour)) || !m.Deadlines.Equal(start) {
		t.Errorf("time went backwards: %+v, %v", m, err)
	}
	if got, err := s.MarketplaceByName(ctx, "test"); err != nil || got.ID != test.ID {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestKeys(t *testing.T) {
	db := pgtest.Open(t)
	s, ctx := orderdb.New(db), t.Context()
	m, err := s.CreateMarketplace(ctx, "shop", orderdb.LiveClock, start)
	if err != nil {
		t.Fatal(err)
	}
	plain, k, err := s.CreateKey(ctx, m.ID, "backend")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(plain, k.Prefix) || len(plain) < 46 {
		t.Errorf("key of %d bytes, prefix %s", len(plain), k.Prefix)
	}
	var stored string
	if err := db.Get(&stored, `SELECT row_to_json(k)::text FROM api_keys k`); err != nil || strings.Contains(stored, plain[len(k.Prefix):]) {
		t.Errorf("the secret is in the database: %v", err)
	}
	if got, err := s.Authenticate(ctx, plain); err != nil || got != m.ID {
		t.Errorf("%d, %v", got, err)
	}
	for _, bad := range []string{"", "esk_", plain + "x", plain[:len(plain)-1], strings.ToUpper(plain), strings.Repeat("esk_", 1000)} {
		if _, err := s.Authenticate(ctx, bad); !errors.Is(err, orderdb.ErrNotFound) {
			t.Errorf("%.10q: %v", bad, err)
		}
	}
	if err := s.RevokeKey(ctx, m.ID+1, k.ID); !errors.Is(err, orderdb.ErrNotFound) {
		t.Errorf("another tenant revoked it: %v", err)
	}
	for range 2 {
		if err := s.RevokeKey(ctx, m.ID, k.ID); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Authenticate(ctx, plain); !errors.Is(err, orderdb.ErrNotFound) {
		t.Errorf("revoked: %v", err)
	}
	if list, err := s.Keys(ctx, m.ID); err != nil || len(list) != 1 || list[0].RevokedAt == nil {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestPolicies(t *testing.T) {
	s, ctx := orderdb.New(pgtest.Open(t)), t.Context()
	m, err := s.CreateMarketplace(ctx, "shop", orderdb.LiveClock, start)
	if err != nil {
		t.Fatal(err)
	}
	p := order.Standard()
	same, err := s.AddPolicy(ctx, m.ID, p)
	if err != nil || same.Version != 1 {
		t.Errorf("the same document: version %d, %v", same.Version, err)
	}
	p.PayWithin++
	next, err := s.AddPolicy(ctx, m.ID, p)
	if err != nil || next.Version != 2 || next.ID == same.ID {
		t.Errorf("another document: version %d, %v", next.Version, err)
	}
	p.Methods = nil
	if _, err := s.AddPolicy(ctx, m.ID, p); err == nil {
		t.Error("a policy with a mistake was stored")
	}
	list, err := s.Policies(ctx, m.ID, start)
	if err != nil || len(list) != 1 || list[0].Version != 2 || list[0].PayWithin != next.PayWithin {
		t.Errorf("%+v, %v", list, err)
	}
}

// A version that waits for its time is stored and listed, beside the one that
// is in force until then; what was in force before is not, nor what never will be.
func TestPolicyVersionsWait(t *testing.T) {
	s, ctx := orderdb.New(pgtest.Open(t)), t.Context()
	m, err := s.CreateMarketplace(ctx, "shop", orderdb.TestClock, start)
	if err != nil {
		t.Fatal(err)
	}
	add := func(name string, from time.Duration, bps int64) {
		t.Helper()
		p := order.Standard()
		p.Name, p.Fees = name, map[string]order.Fee{"*": {Bps: bps}}
		if from != 0 {
			p.Effective = start.Add(from)
		}
		stored, err := s.AddPolicy(ctx, m.ID, p)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := s.AddPolicy(ctx, m.ID, p); err != nil || again.ID != stored.ID || !again.Effective.Equal(p.Effective) {
			t.Errorf("the same again: %+v, %v", again, err)
		}
	}
	const hour = time.Hour
	add("standard", 0, 2)       // version 2
	add("standard", 2*hour, 3)  // version 3
	add("standard", hour, 4)    // version 4 comes before 3, which is then never used
	add("later", 24*hour, 1)    // version 1, no version is in force before
	add("standard", 4*hour, 5)  // version 5
	add("standard", -1*hour, 6) // version 6 is in force already, and withdraws all before it
	add("standard", 8*hour, 7)  // version 7
	for _, c := range []struct {
		at   time.Duration
		want string
	}{
		{-2 * hour, "later 1, standard 2 6 7"}, // 3, 4 and 5 are never used
		{-1 * hour, "later 1, standard 6 7"},
		{8*hour - 1000, "later 1, standard 6 7"},
		{8 * hour, "later 1, standard 7"},
		{25 * hour, "later 1, standard 7"},
	} {
		list, err := s.Policies(ctx, m.ID, start.Add(c.at))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for i, p := range list {
			if i == 0 || list[i-1].Name != p.Name {
				got += ", " + p.Name
			}
			got += fmt.Sprint(" ", p.Version)
		}
		if got = strings.TrimPrefix(got, ", "); got != c.want {
			t.Errorf("%s from the start: %s, want %s", c.at, got, c.want)
		}
	}
	versions, err := s.Versions(ctx, m.ID, "standard", start)
	if err != nil || len(versions) != 2 || order.InForce(versions, start).Fees["*"].Bps != 6 {
		t.Errorf("%+v, %v", versions, err)
	}
	if versions, err := s.Versions(ctx, m.ID+1, "standard", start); err != nil || len(versions) != 0 {
		t.Errorf("another tenant's: %+v, %v", versions, err)
	}
}

// An order keeps the version under which it was agreed; the feed and the list
// of what is due page without missing or repeating anything.
func TestOrdersFeedAndDue(t *testing.T) {
	db := pgtest.Open(t)
	s, ctx := orderdb.New(db), t.Context()
	m, err := s.CreateMarketplace(ctx, "shop", orderdb.TestClock, start)
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.CreateMarketplace(ctx, "other", orderdb.TestClock, start)
	if err != nil {
		t.Fatal(err)
	}
	p := posting.New(db, rules.NewEngine(func() uint64 { return uint64(time.Now().UnixNano()) }), posting.Options{})
	defer p.Close(ctx)
	var reqs []posting.Request
	for i := range 25 {
		reqs = append(reqs, posting.Request{Marketplace: m.ID, Command: order.Command{Event: order.Agree},
			Data:      []byte(fmt.Sprintf(`{"n":%d}`, i)),
			Agreement: &posting.Agreement{Reference: fmt.Sprint("o-", i), Buyer: "ann", Seller: "bob", Currency: "JPY", Amount: int64(100 + i)}})
	}
	for _, a := range p.DoAll(ctx, reqs) {
		if a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	changed := order.Standard()
	changed.PayWithin = 1
	if _, err := s.AddPolicy(ctx, m.ID, changed); err != nil {
		t.Fatal(err)
	}
	o, err := s.OrderByReference(ctx, m.ID, "o-3")
	if err != nil || o.Policy.Version != 1 || o.Amount != 103 || !o.DeadlineAt.Equal(start.Add(5*24*time.Hour)) {
		t.Errorf("%+v, %v", o, err)
	}
	if _, err := s.Order(ctx, other.ID, o.ID); !errors.Is(err, orderdb.ErrNotFound) {
		t.Errorf("another tenant's order: %v", err)
	}
	var ids []ledger.ID
	for after := (ledger.ID{}); ; {
		page, err := s.Orders(ctx, m.ID, orderdb.OrderFilter{State: order.Agreed, After: after, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, o := range page {
			ids = append(ids, o.ID)
		}
		after = ids[len(ids)-1]
	}
	if len(ids) != 25 {
		t.Errorf("%d orders in pages", len(ids))
	}
	seen := map[ledger.ID]bool{}
	for after := int64(0); ; {
		page, err := s.Events(ctx, m.ID, after, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			if e.Position <= after || seen[e.Intent] || e.Event != order.Agree || e.Actor != order.Operator || len(e.Data) == 0 {
				t.Errorf("%+v", e)
			}
			seen[e.Intent], after = true, e.Position
		}
	}
	if len(seen) != 25 {
		t.Errorf("%d events in the feed", len(seen))
	}
	due := 0
	for after := (orderdb.Due{}); ; {
		page, err := s.Due(ctx, m.ID, order.PayBy, o.DeadlineAt, after, 10)
		if err != nil {
			t.Fatal(err)
		}
		if due += len(page.Orders); page.Past != 0 || page.Last != orderdb.DueOf(&page.Orders[len(page.Orders)-1]) {
			t.Errorf("%d of the past, last %+v", page.Past, page.Last)
		}
		if after = page.Last; !page.More {
			break
		}
	}
	if due != 25 {
		t.Errorf("%d orders due", due)
	}
	if page, err := s.Due(ctx, m.ID, order.PayBy, o.DeadlineAt.Add(-time.Microsecond), orderdb.Due{}, 10); err != nil || len(page.Orders) != 0 || page.More {
		t.Errorf("due before the deadline: %+v, %v", page, err)
	}
}

// A connection that fails while its statements are prepared is given up, and
// says so.
func TestWriterWithoutTables(t *testing.T) {
	db := pgtest.Open(t)
	if _, err := db.Exec(`DROP TABLE idempotency_keys`); err != nil {
		t.Fatal(err)
	}
	if w, err := orderdb.NewWriter(t.Context(), orderdb.New(db)); err == nil || w != nil {
		t.Errorf("%v, %v", w, err)
	}
	if n := db.Stats().InUse; n != 0 {
		t.Errorf("%d connections are still in use", n)
	}
}
