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
