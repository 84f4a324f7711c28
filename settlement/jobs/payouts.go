package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
	"escrowd/settlement/treasury"
)

// period is a stretch of a marketplace's time in which the sellers of a
// schedule are paid out once, by the first run in it.
type period struct {
	name     string
	schedule orderdb.Schedule
}

// periodsOf are the periods that a moment lies in.
func periodsOf(now time.Time) []period {
	now = now.UTC()
	year, week := now.ISOWeek()
	return []period{
		{now.Format(time.DateOnly), orderdb.Daily},
		{fmt.Sprintf("%d-W%02d", year, week), orderdb.Weekly},
		{now.Format("2006-01"), orderdb.Monthly},
	}
}

// payOut pays out, by the schedules, what sellers have available, after what
// they owe. A period is paid once, however often and late the job runs: each
// payout has a key of its seller, ledger and period, and a period that is
// through is not begun again. Whose bank details nobody approved and who is
// blocked is passed by.
func (j *Jobs) payOut(ctx context.Context, r *running) error {
	list, err := j.marketplaces(ctx, r.Marketplace)
	if err != nil {
		return err
	}
	for _, m := range list {
		now, _ := m.At(j.now())
		for _, p := range periodsOf(now) {
			through, err := j.store.PaidOut(ctx, m.ID, p.name)
			if err != nil {
				return fmt.Errorf("reading which payouts are through: %w", err)
			}
			if through {
				continue
			}
			if err := j.payOutPeriod(ctx, r, m, p); err != nil {
				return fmt.Errorf("marketplace %s, %s: %w", m.Name, p.name, err)
			}
		}
	}
	return nil
}

func (j *Jobs) payOutPeriod(ctx context.Context, r *running, m orderdb.Marketplace, p period) error {
	var cursor orderdb.SellerAccounts
	for {
		if err := r.goOn(ctx); err != nil {
			return err
		}
		sellers, err := j.store.SellersToPay(ctx, m.ID, []orderdb.Schedule{p.schedule}, cursor, j.opts.Batch)
		if err != nil {
			return fmt.Errorf("reading the sellers: %w", err)
		}
		if len(sellers) > 0 {
			cursor = sellers[len(sellers)-1]
			if err := j.payOutSellers(ctx, r, m, p, sellers); err != nil {
				return err
			}
		}
		if len(sellers) < j.opts.Batch {
			break
		}
	}
	if r.DryRun {
		return nil
	}
	return j.store.SetPaidOut(ctx, m.ID, p.name)
}

func (j *Jobs) payOutSellers(ctx context.Context, r *running, m orderdb.Marketplace, p period, sellers []orderdb.SellerAccounts) error {
	balances, err := j.balances(ctx, sellers)
	if err != nil {
		return err
	}
	var requests []posting.Request
	request := func(a orderdb.SellerAccounts, kind treasury.Kind, amount int64) {
		requests = append(requests, posting.Request{Marketplace: m.ID, Patient: true,
			// The spaces keep it apart from every key that a caller can send. The
			// hash is the same whatever the amount: the first one counts.
			Key: fmt.Sprintf("%s %s %d %s", kind, p.name, a.Ledger, a.Seller),
			Entry: &posting.EntryRequest{New: &treasury.Terms{Kind: kind, Ledger: a.Ledger, Party: a.Seller, Amount: amount},
				Command: treasury.Command{By: order.System}}})
	}
	for _, a := range sellers {
		available := balances[a.Available]
		if owed := min(available, balances[a.Debt]); owed > 0 {
			request(a, treasury.Recovery, owed)
			available -= owed
		}
		if available >= max(a.Minimum, 1) {
			request(a, treasury.Payout, available)
		}
	}
	if r.DryRun {
		r.res.Items += int64(len(requests))
		return r.progress(ctx)
	}
	var answers []posting.Answer
	if err := r.guard(func() error {
		answers = j.poster.DoAll(ctx, requests)
		return nil
	}); err != nil {
		return err
	}
	for i, a := range answers {
		t := requests[i].Entry.New
		var refusal *order.Refusal
		switch {
		case a.Err == nil && a.Result.Replayed:
			r.res.Detail.MovedOn++ // an earlier run did it
		case a.Err == nil:
			r.res.Items++
		case errors.As(a.Err, &refusal) && (refusal.Rule == treasury.RuleUnverified || refusal.Rule == treasury.RuleBlocked):
			r.res.Detail.Waiting++
		case errors.Is(a.Err, posting.ErrUnavailable), errors.Is(a.Err, posting.ErrUnknown):
			return fmt.Errorf("booking a %s: %w", t.Kind, a.Err)
		default:
			r.fail(ledger.ID{}, fmt.Errorf("%s to %s in ledger %d: %w", t.Kind, t.Party, t.Ledger, a.Err))
			j.log.Error("a seller could not be paid out", "kind", t.Kind, "seller", t.Party, "marketplace", m.ID, "ledger", t.Ledger, "error", a.Err)
		}
	}
	return r.progress(ctx)
}

// balances are what is free in accounts on their normal side: not what is
// pending out already.
func (j *Jobs) balances(ctx context.Context, sellers []orderdb.SellerAccounts) (map[ledger.ID]int64, error) {
	var ids []ledger.ID
	for _, a := range sellers {
		ids = append(ids, a.Available)
		if !a.Debt.IsZero() {
			ids = append(ids, a.Debt)
		}
	}
	free := map[ledger.ID]int64{}
	for len(ids) > 0 {
		n := min(len(ids), ledger.BatchMax)
		list, err := j.reader.LookupAccounts(ctx, ids[:n])
		if err != nil {
			return nil, fmt.Errorf("reading sellers' balances: %w", err)
		}
		for _, a := range list {
			free[a.ID] = freeOf(&a)
		}
		ids = ids[n:]
	}
	return free, nil
}

// freeOf is what can leave an account, as far as one entry can move it.
func freeOf(a *ledger.Account) int64 {
	in, out, pending := a.CreditsPosted, a.DebitsPosted, a.DebitsPending
	if a.Flags.Has(ledger.AccountCreditsMustNotExceedDebits) {
		in, out, pending = a.DebitsPosted, a.CreditsPosted, a.CreditsPending
	}
	out, overflow := out.Add(pending)
	left, under := in.Sub(out)
	if overflow || under {
		return 0
	}
	n, fits := left.Uint64()
	if !fits || n > order.MaxAmount {
		return order.MaxAmount
	}
	return int64(n)
}

// expireProposals ends proposals that nobody approved in time, at the moment at
// which they expired.
func (j *Jobs) expireProposals(ctx context.Context, r *running) error {
	list, err := j.marketplaces(ctx, r.Marketplace)
	if err != nil {
		return err
	}
	for _, m := range list {
		_, until := m.At(j.now())
		var cursor orderdb.Due
		for {
			if err := r.goOn(ctx); err != nil {
				return err
			}
			page, err := j.store.ExpiredProposals(ctx, m.ID, until, cursor, j.opts.Batch)
			if err != nil {
				return fmt.Errorf("reading proposals that expired: %w", err)
			}
			var requests []posting.Request
			for _, e := range page {
				cursor = orderdb.Due{Order: e.ID, At: e.DueAt}
				requests = append(requests, posting.Request{Marketplace: m.ID, Patient: true, Entry: &posting.EntryRequest{ID: e.ID,
					Command: treasury.Command{Event: treasury.Expire, By: order.System, At: e.DueAt}}})
			}
			if r.DryRun {
				r.res.Items += int64(len(requests))
				break
			}
			for i, a := range j.poster.DoAll(ctx, requests) {
				switch {
				case a.Err == nil:
					r.res.Items++
				case movedOn(a.Err):
					r.res.Detail.MovedOn++
				case errors.Is(a.Err, posting.ErrUnavailable), errors.Is(a.Err, posting.ErrUnknown):
					return fmt.Errorf("booking that a proposal expired: %w", a.Err)
				default:
					r.fail(requests[i].Entry.ID, a.Err)
				}
			}
			if len(page) < j.opts.Batch {
				break
			}
		}
	}
	return r.progress(ctx)
}
