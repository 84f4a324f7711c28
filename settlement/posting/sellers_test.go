package posting_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/people"
	"escrowd/settlement/peopledb"
	"escrowd/settlement/posting"
)

// mark makes a mark and is done with it.
func (w *world) mark(marketplace uint32, m people.Mark) {
	w.t.Helper()
	m.Reason = "because"
	_, _, err := peopledb.New(w.store).Mark(w.ctx, marketplace, m, peopledb.Key{})
	w.must(err)
}

func notEligible(err error) bool {
	var r *order.Refusal
	return errors.As(err, &r) && r.Rule == "seller-not-eligible" && r.Event == order.Agree && r.State == order.None
}

// Agreements with sellers who are kept out are refused, each by itself; orders
// that are agreed go on.
func TestSellersKeptOut(t *testing.T) {
	w := newWorld(t, nil)
	with := func(reference, seller, category string) posting.Request {
		r := w.agreement(reference)
		r.Agreement.Seller, r.Agreement.Category = seller, category
		return r
	}
	before := w.agree("before")
	w.mark(w.market.ID, people.Mark{Seller: "bob", Since: start.Add(time.Hour)})
	w.mark(w.market.ID, people.Mark{Seller: "dan", Category: "toys", Since: start})
	w.mark(w.market.ID, people.Mark{Seller: `q"\'`, Since: start})
	later := with("bob, from then on", "bob", "")
	later.Command.At = start.Add(time.Hour)
	later.Key, later.Hash = "k", [32]byte{1}
	reqs := []posting.Request{
		with("bob, while he was in", "bob", ""), later,
		with("dan", "dan", ""), with("dan's toys", "dan", "toys"), with("dan's books", "dan", "books"),
		with("quoted", `q"\'`, "toys"), with("eve", "eve", "null"),
		with("bad category", "eve", "Toys"),
	}
	refused := []bool{false, true, false, true, false, true, false, false}
	for i, a := range w.poster.DoAll(w.ctx, reqs) {
		switch {
		case i == 7:
			if bad := new(posting.Invalid); !errors.As(a.Err, &bad) || bad.Field != "category" {
				t.Errorf("a bad category: %v", a.Err)
			}
		case refused[i] != notEligible(a.Err) || !refused[i] && a.Err != nil:
			t.Errorf("%s: %v", reqs[i].Agreement.Reference, a.Err)
		case a.Err == nil:
			if got := w.order(a.Result.Orders[0].ID).Category; got != reqs[i].Agreement.Category {
				t.Errorf("%s: category %q", reqs[i].Agreement.Reference, got)
			}
		}
	}
	// Nothing is left of a refused one, not even an account's row.
	var left int
	w.must(w.db.Get(&left, `SELECT (SELECT count(*) FROM orders WHERE seller = $1) + (SELECT count(*) FROM accounts WHERE owner = $1)`, `q"\'`))
	if left != 0 {
		t.Errorf("%d rows of a seller who is kept out", left)
	}
	w.do(before.ID, order.Command{Event: order.Pay, By: order.Buyer, At: start.Add(2 * time.Hour), Method: "card"})
	if got := w.books()[chart.Escrow][1]; got != 10_000 {
		t.Errorf("held %d", got)
	}
	// Once he is in again the refused request goes through, with its key.
	w.mark(w.market.ID, people.Mark{Seller: "bob", Eligible: true, Since: start.Add(time.Hour)})
	if _, err := w.poster.Do(w.ctx, later); err != nil {
		t.Errorf("in again: %v", err)
	}
	// Only listed sellers: bob was listed an hour later than this is agreed.
	_, err := w.store.SetOnlyListed(w.ctx, w.market.ID, true)
	w.must(err)
	for _, seller := range []string{"bob", "eve"} {
		if _, err := w.poster.Do(w.ctx, with("listed "+seller, seller, "")); !notEligible(err) {
			t.Errorf("%s, where only listed sellers are eligible: %v", seller, err)
		}
	}
	w.mark(w.market.ID, people.Mark{Seller: "eve", Category: "books", Eligible: true, Since: start})
	if _, err := w.poster.Do(w.ctx, with("eve's books", "eve", "books")); err != nil {
		t.Errorf("a listed seller: %v", err)
	}
	if _, err := w.poster.Do(w.ctx, with("eve's toys", "eve", "toys")); !notEligible(err) {
		t.Errorf("listed for something else: %v", err)
	}
	w.balanced()
}

// A marketplace that has said nothing of its sellers is not asked for them.
// With a live clock its first mark counts within five seconds, whoever makes
// it, and from then on every mark at once.
func TestSellersOfALiveMarketplace(t *testing.T) {
	w := newWorld(t, nil)
	machine := start
	p := posting.New(w.db, w.engine, posting.Options{Clock: func() time.Time { return machine }})
	defer p.Close(context.Background())
	live, err := w.store.CreateMarketplace(w.ctx, "live", orderdb.LiveClock, time.Time{})
	w.must(err)
	n := 0
	agree := func(seller string) error {
		n++
		req := w.agreement(fmt.Sprint("L-", n))
		req.Command.At, req.Marketplace, req.Agreement.Seller = time.Time{}, live.ID, seller
		_, err := p.Do(w.ctx, req)
		return err
	}
	w.must(agree("bob"))
	// Whoever asks for sellers now finds no table.
	_, err = w.db.Exec(`ALTER TABLE seller_marks RENAME TO seller_marks_away`)
	w.must(err)
	machine = machine.Add(5 * time.Second)
	w.must(agree("bob"))
	_, err = w.db.Exec(`ALTER TABLE seller_marks_away RENAME TO seller_marks`)
	w.must(err)
	w.mark(live.ID, people.Mark{Seller: "bob", Since: start})
	machine = machine.Add(5*time.Second - 1)
	w.must(agree("bob"))
	machine = machine.Add(1)
	if err := agree("bob"); !notEligible(err) {
		t.Errorf("after five seconds: %v", err)
	}
	w.mark(live.ID, people.Mark{Seller: "eve", Since: start})
	if err := agree("eve"); !notEligible(err) {
		t.Errorf("the second mark: %v", err)
	}
	w.must(agree("dan"))
}

// Agreements, and quotes, take from the seller's record what they do not name:
// what was kept when they take effect, each of the two by itself. Orders that are
// agreed keep what they have.
func TestSellersTerms(t *testing.T) {
	w := newWorld(t, nil)
	p := order.Standard()
	p.Name = "tiers"
	p.FeeRules = []order.FeeRule{{Tier: "gold", Fee: order.Fee{Bps: 100}}, {Tier: "new", Fee: order.Fee{Bps: 1000}}}
	p.Taxes = map[string]int64{"DE": 2000, "US": 0}
	_, err := w.store.AddPolicy(w.ctx, w.market.ID, p)
	w.must(err)
	keep := func(seller, tier, jurisdiction string, since time.Time) {
		t.Helper()
		_, _, err := peopledb.New(w.store).SetTerms(w.ctx, w.market.ID,
			people.Terms{Seller: seller, Tier: tier, Jurisdiction: jurisdiction, Reason: "because", Since: since}, peopledb.Key{})
		w.must(err)
	}
	with := func(seller, tier, jurisdiction string, at time.Time) posting.Request {
		r := w.agreement(fmt.Sprint(seller, tier, jurisdiction, at))
		r.Command.At = at
		r.Agreement.Policy, r.Agreement.Seller, r.Agreement.SellerTier, r.Agreement.Jurisdiction = "tiers", seller, tier, jurisdiction
		return r
	}
	first := with("bob", "", "", start)
	first.Agreement.Reference = "before"
	before, err := w.poster.Do(w.ctx, first)
	w.must(err)
	hour := func(n int) time.Time { return start.Add(time.Duration(n) * time.Hour) }
	_, err = w.store.AdvanceClock(w.ctx, w.market.ID, hour(9), start)
	w.must(err)
	keep("bob", "new", "DE", hour(1))
	keep("bob", "gold", "", hour(3))
	keep("bob", "gold", "DE", hour(3)) // the same moment, said later
	keep("dan", "", "US", start)
	keep("eve", "gold", "FR", start)
	w.mark(w.market.ID, people.Mark{Seller: "dan", Since: hour(8)})
	for _, c := range []struct {
		req      posting.Request
		tier, in string
		fee, tax int64
		refused  string // a field, or a rule
	}{
		{with("bob", "", "", hour(0)), "", "", 500, 0, ""},
		{with("bob", "", "", hour(1)), "new", "DE", 1000, 200, ""},
		{with("bob", "", "", hour(3)), "gold", "DE", 100, 20, ""},
		{with("bob", "new", "", hour(4)), "new", "DE", 1000, 200, ""},
		{with("bob", "", "US", hour(4)), "gold", "US", 100, 0, ""},
		{with("dan", "", "", hour(4)), "", "US", 500, 0, ""},
		{with("dan", "", "", hour(8)), "", "", 0, 0, "seller-not-eligible"},
		{with("ann's", "", "", hour(4)), "", "", 500, 0, ""},
		{with("eve", "", "", hour(4)), "", "", 0, 0, "jurisdiction"},
		{with("eve", "", "DE", hour(4)), "gold", "DE", 100, 20, ""},
	} {
		name := c.req.Agreement.Reference
		a := w.poster.DoAll(w.ctx, []posting.Request{c.req})[0]
		quote, quoted := posting.Quote(w.ctx, w.store, w.market, *c.req.Agreement, c.req.Command.At, time.Now())
		for _, err := range []error{a.Err, quoted} {
			got := ""
			if bad, refusal := new(posting.Invalid), new(order.Refusal); errors.As(err, &bad) {
				got = bad.Field
			} else if errors.As(err, &refusal) {
				got = refusal.Rule
			}
			if got != c.refused || (err == nil) != (c.refused == "") {
				t.Errorf("%s: %v, want it refused by %q", name, err, c.refused)
			}
		}
		if a.Err != nil || quoted != nil {
			continue
		}
		for _, o := range []order.Order{w.order(a.Result.Orders[0].ID), quote} {
			if o.SellerTier != c.tier || o.Jurisdiction != c.in || o.Fee != c.fee || o.Tax != c.tax {
				t.Errorf("%s: tier %q in %q, fee %d, tax %d; want %q, %q, %d, %d", name, o.SellerTier, o.Jurisdiction, o.Fee, o.Tax, c.tier, c.in, c.fee, c.tax)
			}
		}
	}
	if o := w.order(before.Orders[0].ID); o.SellerTier != "" || o.Fee != 500 || o.Tax != 0 {
		t.Errorf("what was agreed before: %+v", o.Terms)
	}
	// Many agreements at once: one look, each with its own seller's.
	var many []posting.Request
	for i := range 30 {
		many = append(many, with([]string{"bob", "dan", "ann's"}[i%3], "", "", hour(5).Add(time.Duration(i))))
		many[i].Agreement.Reference = fmt.Sprint("many-", i)
	}
	for i, a := range w.poster.DoAll(w.ctx, many) {
		w.must(a.Err)
		if o := a.Result.Orders[0]; o.SellerTier != []string{"gold", "", ""}[i%3] || o.Jurisdiction != []string{"DE", "US", ""}[i%3] {
			t.Errorf("%s: tier %q in %q", o.Seller, o.SellerTier, o.Jurisdiction)
		}
	}
	w.balanced()
}
