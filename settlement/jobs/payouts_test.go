package jobs

import (
	"context"
	"fmt"
	"testing"
	"time"

	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
	"escrowd/settlement/treasury"
)

// entry makes an entry, or stops the test.
func (w *world) entry(t treasury.Terms) treasury.Entry {
	w.t.Helper()
	r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID, Entry: &posting.EntryRequest{New: &t}})
	w.must(err)
	return *r.Entry
}

func (w *world) approve(e treasury.Entry) {
	w.t.Helper()
	_, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID, Entry: &posting.EntryRequest{ID: e.ID,
		Command: treasury.Command{Event: treasury.Approve, Person: "max", Digest: e.Digest()}}})
	w.must(err)
}

// sell lets a seller earn 950 that is available: an order of 1000 less the fee.
func (w *world) sell(seller, reference string) order.Order {
	w.t.Helper()
	r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID, Command: order.Command{Event: order.Agree, At: start},
		Agreement: &posting.Agreement{Reference: reference, Buyer: "ann", Seller: seller, Currency: "USD", Amount: 1000}})
	w.must(err)
	id := r.Orders[0].ID
	w.pay(id)
	for _, c := range []order.Command{{Event: order.Ship, At: start}, {Event: order.Confirm, At: start}} {
		w.do(id, c)
	}
	o := w.order(id)
	w.clock(o.DeadlineAt)
	w.do(id, order.Command{Event: order.Mature, By: order.System, At: o.DeadlineAt})
	return w.order(id)
}

// Each seller is paid once in his day, week or month, what is available then,
// after what he owes; whose details nobody approved and who is blocked are
// passed by.
func TestPayOut(t *testing.T) {
	w := newWorld(t) // its clock stands at Sunday, 2026-03-01
	j := w.jobs(w.poster, func(o *Options) { o.Batch = 2 })
	sellers := map[string]orderdb.Payee{
		"daily":    {Schedule: orderdb.Daily},
		"weekly":   {Schedule: orderdb.Weekly},
		"monthly":  {Schedule: orderdb.Monthly},
		"manual":   {Schedule: orderdb.Manual},
		"picky":    {Schedule: orderdb.Daily, Minimum: 1000},
		"unproved": {Schedule: orderdb.Daily},
		"blocked":  {Schedule: orderdb.Daily, Blocked: "under investigation"},
		"debtor":   {Schedule: orderdb.Daily},
	}
	round := 0
	earn := func() {
		round++
		for s := range sellers {
			w.sell(s, fmt.Sprintf("%s-%d", s, round))
		}
	}
	earn()
	for s, p := range sellers {
		p.Seller = s
		w.must(w.store.SetPayee(w.ctx, w.market.ID, p))
		if s != "unproved" {
			w.approve(w.entry(treasury.Terms{Kind: treasury.BankDetails, Party: s, Details: []byte(`{"iban":"DE02"}`), Maker: "eve"}))
		}
	}
	// The debtor owes 100 of what is corrected by hand.
	w.approve(w.entry(treasury.Terms{Kind: treasury.Adjustment, Ledger: 1840, Amount: 100, Reason: "r", Maker: "eve",
		Debit: treasury.Account{Code: chart.SellerReceivable, Owner: "debtor"}, Credit: treasury.Account{Code: chart.BankSafeguarded}}))

	paid := func() map[string]int64 {
		sum := map[string]int64{}
		list, err := w.store.Entries(w.ctx, w.market.ID, orderdb.EntryFilter{Kind: treasury.Payout, Limit: 1000})
		w.must(err)
		for _, e := range list {
			sum[e.Party] += e.Amount
		}
		return sum
	}
	run := func(now time.Time, want map[string]int64, waiting int64) {
		t.Helper()
		w.clock(now)
		before := paid()
		dry, err := w.run(j, PayOut, Run{DryRun: true})
		w.must(err)
		res, err := w.run(j, PayOut, Run{})
		w.must(err)
		got := paid()
		for s := range sellers {
			if got[s]-before[s] != want[s] {
				t.Errorf("%s: %s is paid %d, want %d", now.Format(time.DateOnly), s, got[s]-before[s], want[s])
			}
		}
		if res.Detail.Waiting != waiting || res.Failed != 0 || dry.Items != res.Items+waiting {
			t.Errorf("%s: %+v; dry %+v", now.Format(time.DateOnly), res, dry)
		}
	}
	tuesday := time.Date(2026, 3, 3, 13, 0, 0, 0, time.UTC)
	run(tuesday, map[string]int64{"daily": 950, "weekly": 950, "monthly": 950, "debtor": 850}, 2)
	earn()
	run(tuesday.Add(time.Hour), nil, 0) // the day is through
	run(tuesday.Add(day), map[string]int64{"daily": 950, "debtor": 950, "picky": 1900}, 2)
	run(tuesday.Add(7*day), map[string]int64{"weekly": 950}, 2)
	run(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), map[string]int64{"monthly": 950}, 2)

	debts, err := w.store.Entries(w.ctx, w.market.ID, orderdb.EntryFilter{Kind: treasury.Recovery})
	w.must(err)
	if len(debts) != 1 || debts[0].Amount != 100 || debts[0].State != treasury.Done {
		t.Errorf("recovered: %+v", debts)
	}
	if res, err := w.run(j, CheckBooks, Run{}); err != nil {
		t.Errorf("%v: %+v", err, res)
	}
}

// A run that died half way is finished by the next one, and pays nobody twice.
func TestPayOutDies(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		s := fmt.Sprint("seller-", i)
		w.sell(s, s)
		w.must(w.store.SetPayee(w.ctx, w.market.ID, orderdb.Payee{Seller: s, Schedule: orderdb.Daily}))
		w.approve(w.entry(treasury.Terms{Kind: treasury.BankDetails, Party: s, Details: []byte(`{"iban":"DE02"}`), Maker: "eve"}))
	}
	dying := &diesAfter{w.poster, 1}
	j := w.jobs(dying, func(o *Options) { o.Batch = 2 })
	if _, err := w.run(j, PayOut, Run{}); err == nil {
		t.Fatal("the run did not die")
	}
	// What the first two earn meanwhile waits for their next day.
	w.sell("seller-0", "more")
	dying.left = 1000
	res, err := w.run(j, PayOut, Run{})
	w.must(err)
	list, err := w.store.Entries(w.ctx, w.market.ID, orderdb.EntryFilter{Kind: treasury.Payout})
	w.must(err)
	if len(list) != 5 || res.Items != 3 || res.Detail.MovedOn != 1 {
		t.Errorf("%d payouts, %+v", len(list), res)
	}
	for _, e := range list {
		if e.Amount != 950 || e.State != treasury.Sent {
			t.Errorf("%+v", e)
		}
	}
}

type diesAfter struct {
	Poster
	left int
}

func (d *diesAfter) DoAll(ctx context.Context, reqs []posting.Request) []posting.Answer {
	if d.left--; d.left < 0 {
		answers := make([]posting.Answer, len(reqs))
		for i := range answers {
			answers[i].Err = posting.ErrUnavailable
		}
		return answers
	}
	return d.Poster.DoAll(ctx, reqs)
}

func TestProposalsExpire(t *testing.T) {
	w := newWorld(t)
	j := w.jobs(w.poster, func(o *Options) { o.Batch = 2 })
	terms := treasury.Terms{Kind: treasury.BankDetails, Party: "bob", Details: []byte(`{"iban":"DE02"}`), Maker: "eve"}
	var all []treasury.Entry
	for range 5 {
		all = append(all, w.entry(terms))
	}
	w.approve(all[2])
	for _, step := range []struct {
		now  time.Time
		want int64
	}{{all[0].DueAt.Add(-time.Microsecond), 0}, {all[0].DueAt, 4}, {all[0].DueAt.Add(day), 0}} {
		w.clock(step.now)
		res, err := w.run(j, ExpireProposals, Run{})
		w.must(err)
		if res.Items != step.want {
			t.Errorf("at %s %d expired, want %d", step.now, res.Items, step.want)
		}
	}
	for i, e := range all {
		e, err := w.store.Entry(w.ctx, w.market.ID, e.ID)
		w.must(err)
		want := treasury.Expired
		if i == 2 {
			want = treasury.Done
		}
		if e.State != want || !e.DueAt.IsZero() {
			t.Errorf("proposal %d: %+v", i, e)
		}
	}
}
