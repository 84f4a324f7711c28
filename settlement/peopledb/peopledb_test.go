package peopledb_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/rules"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/people"
	"escrowd/settlement/peopledb"
	"escrowd/settlement/posting"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

// world is a marketplace under a test clock with what people say in it.
type world struct {
	t      *testing.T
	ctx    context.Context
	db     *sqlx.DB
	orders *orderdb.Store
	people *peopledb.Store
	poster *posting.Poster
	market orderdb.Marketplace
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db := pgtest.Open(t)
	w := &world{t: t, ctx: t.Context(), db: db, orders: orderdb.New(db)}
	w.people = peopledb.New(w.orders)
	w.poster = posting.New(db, rules.NewEngine(func() uint64 { return uint64(time.Now().UnixNano()) }), posting.Options{})
	t.Cleanup(func() {
		if err := w.poster.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	m, err := w.orders.CreateMarketplace(w.ctx, "shop", orderdb.TestClock, start)
	w.must(err)
	w.market = m
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// ended is an order that was paid and then canceled, at the start.
func (w *world) ended(reference string) ledger.ID {
	w.t.Helper()
	r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID, Command: order.Command{Event: order.Agree},
		Agreement: &posting.Agreement{Reference: reference, Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 100}})
	w.must(err)
	id := r.Orders[0].ID
	for _, c := range []order.Command{{Event: order.Pay, Method: "card"}, {Event: order.Cancel}} {
		_, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID, Orders: []ledger.ID{id}, Command: c})
		w.must(err)
	}
	return id
}

func key(name string, of byte) peopledb.Key { return peopledb.Key{Name: name, Hash: [32]byte{of}} }

func rule(err error) string {
	var r *order.Refusal
	if errors.As(err, &r) {
		return r.Rule
	}
	return ""
}

func (w *world) count(table string) (n int) {
	w.t.Helper()
	w.must(w.db.Get(&n, `SELECT count(*) FROM `+table))
	return n
}

func TestFeedback(t *testing.T) {
	w := newWorld(t)
	id := w.ended("a")
	shop := w.market.ID
	good := people.Command{Part: people.Given, By: order.Buyer, Rating: 2, Text: "late; it's \"so\" 店"}
	e, replayed, err := w.people.Say(w.ctx, shop, id, good, start.Add(time.Hour), key("k", 1))
	w.must(err)
	if replayed || e.Rated != "bob" || e.Text != good.Text || !e.At.Equal(start.Add(time.Hour)) {
		t.Errorf("%+v, replayed %v", e, replayed)
	}
	// The same request at any time, even when it could no longer be said.
	again, replayed, err := w.people.Say(w.ctx, shop, id, good, start.AddDate(1, 0, 0), key("k", 1))
	if err != nil || !replayed || again != e {
		t.Errorf("again: %+v, %v, %v; want %+v", again, replayed, err, e)
	}
	if _, _, err := w.people.Say(w.ctx, shop, id, good, start, key("k", 2)); !errors.Is(err, peopledb.ErrKeyReused) {
		t.Errorf("the key with another body: %v", err)
	}
	// What is refused uses nothing up and changes nothing.
	keys := w.count("idempotency_keys")
	reply := people.Command{Part: people.Reply, By: order.Seller, Text: "sorry"}
	bad := reply
	bad.Text = "a\x00b"
	for want, c := range map[string]people.Command{people.RuleText: bad, people.RuleOnce: good, people.RuleNoReply: {Part: people.Revision, By: order.Buyer, Rating: 1}} {
		if _, _, err := w.people.Say(w.ctx, shop, id, c, start.Add(2*time.Hour), key("reply", 3)); rule(err) != want {
			t.Errorf("%+v: %v, want rule %s", c, err, want)
		}
	}
	if w.count("feedback") != 1 || w.count("idempotency_keys") != keys {
		t.Error("a refusal left something")
	}
	r, _, err := w.people.Say(w.ctx, shop, id, reply, start.Add(2*time.Hour), key("reply", 3))
	w.must(err)
	v, _, err := w.people.Say(w.ctx, shop, id, people.Command{Part: people.Revision, By: order.Buyer, Rating: 5}, start.Add(3*time.Hour), peopledb.Key{})
	w.must(err)
	back, _, err := w.people.Say(w.ctx, shop, id, people.Command{Part: people.Given, By: order.Seller, Rating: 4}, start.Add(3*time.Hour), peopledb.Key{})
	w.must(err)
	list, err := w.people.Feedback(w.ctx, id)
	if err != nil || fmt.Sprint(list) != fmt.Sprint([]people.Feedback{
		{Order: id, Author: order.Buyer, Rated: "bob", Entries: []people.Entry{e, r, v}},
		{Order: id, Author: order.Seller, Rated: "ann", Entries: []people.Entry{back}}}) {
		t.Errorf("%+v, %v", list, err)
	}
	// Another marketplace has no such order, and an event finds the key taken.
	other, err := w.orders.CreateMarketplace(w.ctx, "other", orderdb.LiveClock, start)
	w.must(err)
	if _, _, err := w.people.Say(w.ctx, other.ID, id, good, start, peopledb.Key{}); !errors.Is(err, orderdb.ErrNotFound) {
		t.Errorf("another's order: %v", err)
	}
	_, err = w.poster.Do(w.ctx, posting.Request{Marketplace: shop, Key: "k", Hash: [32]byte{9}, Command: order.Command{Event: order.Agree},
		Agreement: &posting.Agreement{Reference: "b", Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 100}})
	if !errors.Is(err, posting.ErrKeyReused) {
		t.Errorf("an event with a feedback's key: %v", err)
	}
}

// Many at once, with one key and with none: it is said once, and everybody with
// the key that said it hears the same.
func TestSaidOnce(t *testing.T) {
	w := newWorld(t)
	id := w.ended("a")
	const callers = 16
	said := make([]people.Entry, callers)
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			k := key("k", 1)
			if i%2 == 1 {
				k = peopledb.Key{}
			}
			said[i], _, errs[i] = w.people.Say(w.ctx, w.market.ID, id, people.Command{Part: people.Given, By: order.Seller, Rating: 5}, start, k)
		})
	}
	wg.Wait()
	entries := map[ledger.ID]bool{}
	for i := range callers {
		if errs[i] == nil {
			entries[said[i].ID] = true
		} else if rule(errs[i]) != people.RuleOnce {
			t.Errorf("caller %d: %v", i, errs[i])
		}
	}
	if len(entries) != 1 || w.count("feedback") != 1 {
		t.Errorf("said %d times, %d rows", len(entries), w.count("feedback"))
	}
}

// The feedback about somebody, by pages, misses and repeats nothing.
func TestAbout(t *testing.T) {
	w := newWorld(t)
	var want []ledger.ID
	for i := range 7 {
		id := w.ended(fmt.Sprint(i))
		want = append(want, id)
		for _, c := range []people.Command{{Part: people.Given, By: order.Buyer, Rating: 1}, {Part: people.Given, By: order.Seller, Rating: 3},
			{Part: people.Reply, By: order.Seller, Text: "no"}, {Part: people.Revision, By: order.Buyer, Rating: 5}} {
			_, _, err := w.people.Say(w.ctx, w.market.ID, id, c, start, peopledb.Key{})
			w.must(err)
		}
	}
	var got []ledger.ID
	for after := (ledger.ID{}); ; {
		page, last, err := w.people.About(w.ctx, w.market.ID, "bob", after, 3)
		w.must(err)
		for _, f := range page {
			if got = append(got, f.Order); len(f.Entries) != 3 || f.Author != order.Buyer || f.Current().Rating != 5 {
				t.Errorf("%+v", f)
			}
		}
		if after = last; len(page) < 3 {
			break
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if page, _, err := w.people.About(w.ctx, w.market.ID+1, "bob", ledger.ID{}, 3); err != nil || len(page) != 0 {
		t.Errorf("in another marketplace: %v, %v", page, err)
	}
}

// Notes are numbered without a gap, whoever writes at once, and a note that was
// sent twice stands once.
func TestNotes(t *testing.T) {
	w := newWorld(t)
	id := w.ended("a")
	const writers, each = 8, 5
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for j := range each {
				for range 2 {
					n, _, err := w.people.AddNote(w.ctx, w.market.ID, id, fmt.Sprint("op-", i), fmt.Sprint(j), start, key(fmt.Sprint(i, "-", j), 1))
					if err != nil || n.Text != fmt.Sprint(j) || n.Number == 0 {
						t.Errorf("%+v, %v", n, err)
					}
				}
			}
		})
	}
	wg.Wait()
	var all []people.Note
	for after := int64(0); ; {
		page, err := w.people.Notes(w.ctx, id, after, 7)
		w.must(err)
		if len(page) == 0 {
			break
		}
		all = append(all, page...)
		after = int64(page[len(page)-1].Number)
	}
	if n, err := w.people.CountNotes(w.ctx, id); err != nil || n != writers*each || len(all) != n {
		t.Errorf("%d notes are counted, %d listed: %v", n, len(all), err)
	}
	next := map[string]int{}
	for i, n := range all {
		if int(n.Number) != i+1 || n.Text != fmt.Sprint(next[n.Author]) || !n.At.Equal(start) {
			t.Errorf("note %d: %+v", i, n)
		}
		next[n.Author]++
	}
	if _, _, err := w.people.AddNote(w.ctx, w.market.ID, id, "", "x", start, peopledb.Key{}); rule(err) != people.RuleAuthor {
		t.Errorf("no author: %v", err)
	}
	if _, _, err := w.people.AddNote(w.ctx, w.market.ID+1, id, "eve", "x", start, peopledb.Key{}); !errors.Is(err, orderdb.ErrNotFound) {
		t.Errorf("another's order: %v", err)
	}
}

// Of marks the newest counts, by since; all of them stay.
func TestMarks(t *testing.T) {
	w := newWorld(t)
	day := func(n int) time.Time { return start.AddDate(0, 0, n) }
	for _, m := range []people.Mark{
		{Seller: "bob", Reason: "papers", Since: day(2)},
		{Seller: "bob", Eligible: true, Reason: "papers are in order", Since: day(4)},
		{Seller: "bob", Category: "toys", Reason: "unsafe", Since: day(5)},
		{Seller: "bob", Reason: "said late, counts early", Since: day(1)},
		{Seller: "bob", Category: "toys", Eligible: true, Reason: "same moment, said later", Since: day(5)},
		{Seller: "eve", Reason: "fraud", Since: day(0)},
	} {
		_, _, err := w.people.Mark(w.ctx, w.market.ID, m, peopledb.Key{})
		w.must(err)
	}
	for _, c := range []struct {
		seller, category string
		at               time.Time
		open, listed     bool
	}{
		{"bob", "", day(0), true, false},
		{"bob", "", day(1), false, false},
		{"bob", "", day(4).Add(-time.Microsecond), false, false},
		{"bob", "", day(4), true, true},
		{"bob", "toys", day(4), true, true},
		{"bob", "toys", day(5), true, true},
		{"bob", "books", day(9), true, true},
		{"eve", "books", day(9), false, false},
		{"ann", "", day(9), true, false},
	} {
		for only, want := range map[bool]bool{false: c.open, true: c.listed} {
			_, err := w.orders.SetOnlyListed(w.ctx, w.market.ID, only)
			w.must(err)
			s, err := w.orders.Standing(w.ctx, orderdb.SellerAsk{Marketplace: w.market.ID, Seller: c.seller, Category: c.category, At: c.at})
			if err != nil || s.Eligible() != want {
				t.Errorf("%s for %q at %s, only listed %v: eligible %v (%s), %v", c.seller, c.category, c.at, only, s.Eligible(), s.Why(), err)
			}
		}
	}
	first, err := w.people.Marks(w.ctx, w.market.ID, "bob", 0, 3)
	w.must(err)
	rest, err := w.people.Marks(w.ctx, w.market.ID, "bob", first[2].Position, 3)
	if err != nil || len(rest) != 2 || rest[1].Reason != "same moment, said later" || first[0].Reason != "papers" {
		t.Errorf("%+v, then %+v, %v", first, rest, err)
	}
	m, _, err := w.people.Mark(w.ctx, w.market.ID, people.Mark{Seller: "x", Reason: "y", Since: day(1)}, key("m", 1))
	w.must(err)
	again, replayed, err := w.people.Mark(w.ctx, w.market.ID, people.Mark{Seller: "x", Reason: "y", Since: day(3)}, key("m", 1))
	if err != nil || !replayed || again != m {
		t.Errorf("again: %+v, %v, %v; want %+v", again, replayed, err, m)
	}
	if _, _, err := w.people.Mark(w.ctx, 999, m, peopledb.Key{}); !errors.Is(err, orderdb.ErrNotFound) {
		t.Errorf("no marketplace: %v", err)
	}
	if _, err := w.orders.SetOnlyListed(w.ctx, 999, true); !errors.Is(err, orderdb.ErrNotFound) {
		t.Errorf("no marketplace: %v", err)
	}
	if _, err := w.orders.Standing(w.ctx, orderdb.SellerAsk{Marketplace: 999, Seller: "x", At: start}); !errors.Is(err, orderdb.ErrNotFound) {
		t.Errorf("no marketplace: %v", err)
	}
}

// Of terms the newest count, by since, and all of them stay.
func TestTerms(t *testing.T) {
	w := newWorld(t)
	bob := people.Terms{Seller: "bob", Tier: "gold", Jurisdiction: "US-CA", Reason: "papers", Since: start}
	first, _, err := w.people.SetTerms(w.ctx, w.market.ID, bob, key("t", 1))
	w.must(err)
	again, replayed, err := w.people.SetTerms(w.ctx, w.market.ID, people.Terms{Seller: "bob", Reason: "x", Since: start}, key("t", 1))
	if err != nil || !replayed || again != first {
		t.Errorf("again: %+v, %v, %v; want %+v", again, replayed, err, first)
	}
	if _, _, err := w.people.SetTerms(w.ctx, w.market.ID, bob, key("t", 2)); !errors.Is(err, peopledb.ErrKeyReused) {
		t.Errorf("the key with another body: %v", err)
	}
	last, _, err := w.people.SetTerms(w.ctx, w.market.ID, people.Terms{Seller: "bob", Tier: "new", Reason: "moved", Since: start.Add(time.Hour)}, peopledb.Key{})
	w.must(err)
	_, _, err = w.people.SetTerms(w.ctx, w.market.ID, people.Terms{Seller: "eve", Reason: "none of both", Since: start}, peopledb.Key{})
	w.must(err)
	list, err := w.people.Terms(w.ctx, w.market.ID, "bob", 0, 10)
	if err != nil || len(list) != 2 || list[0] != first || list[1] != last {
		t.Errorf("%+v, %v; want %+v and %+v", list, err, first, last)
	}
	if rest, err := w.people.Terms(w.ctx, w.market.ID, "", last.Position, 10); err != nil || len(rest) != 1 || rest[0].Seller != "eve" {
		t.Errorf("%+v, %v", rest, err)
	}
	for at, want := range map[time.Time]people.Terms{start.Add(-time.Microsecond): {}, start: first, start.Add(time.Hour): last} {
		s, err := w.orders.Standing(w.ctx, orderdb.SellerAsk{Marketplace: w.market.ID, Seller: "bob", At: at})
		if err != nil || s.Tier != want.Tier || s.Jurisdiction != want.Jurisdiction || !s.Eligible() {
			t.Errorf("at %s: %+v, %v; want %+v", at, s, err, want)
		}
	}
	for want, bad := range map[string]people.Terms{
		people.RuleSeller: {Reason: "x"}, people.RuleTier: {Seller: "bob", Tier: "Gold", Reason: "x"},
		people.RuleCountry: {Seller: "bob", Jurisdiction: "Germany", Reason: "x"}, order.RuleReason: {Seller: "bob"},
	} {
		if _, _, err := w.people.SetTerms(w.ctx, w.market.ID, bad, peopledb.Key{}); rule(err) != want {
			t.Errorf("%+v: %v, want rule %s", bad, err, want)
		}
	}
	if _, _, err := w.people.SetTerms(w.ctx, 999, bob, peopledb.Key{}); !errors.Is(err, orderdb.ErrNotFound) {
		t.Errorf("no marketplace: %v", err)
	}
}

// What happens to an order after it has ended gives nobody more time.
func TestRefundAfterTheEnd(t *testing.T) {
	w := newWorld(t)
	do := func(id ledger.ID, c order.Command) order.Order {
		t.Helper()
		r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID, Orders: []ledger.ID{id}, Command: c})
		w.must(err)
		return r.Orders[0]
	}
	r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID, Command: order.Command{Event: order.Agree},
		Agreement: &posting.Agreement{Reference: "a", Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 100}})
	w.must(err)
	id := r.Orders[0].ID
	for _, c := range []order.Command{{Event: order.Pay, Method: "card"}, {Event: order.Ship}, {Event: order.Confirm}} {
		do(id, c)
	}
	matures := r.Orders[0].At.AddDate(0, 0, 2)
	_, err = w.orders.AdvanceClock(w.ctx, w.market.ID, matures.AddDate(0, 0, 50), matures.AddDate(0, 0, 50))
	w.must(err)
	do(id, order.Command{Event: order.Mature, By: order.System, At: matures})
	do(id, order.Command{Event: order.RefundReleased, By: order.Seller, Amount: 10, Reason: "late", At: matures.AddDate(0, 0, 50)})
	say := people.Command{Part: people.Given, By: order.Buyer, Rating: 2}
	if _, _, err := w.people.Say(w.ctx, w.market.ID, id, say, matures.AddDate(0, 0, 60).Add(time.Microsecond), peopledb.Key{}); rule(err) != order.RuleTooLate {
		t.Errorf("after 60 days: %v", err)
	}
	if _, _, err := w.people.Say(w.ctx, w.market.ID, id, say, matures.AddDate(0, 0, 60), peopledb.Key{}); err != nil {
		t.Error(err)
	}
}
