package books

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"escrowd/ledger"
	"escrowd/ledger/chart"
)

// errBusy: the ledger's totals could not be read at one moment.
var errBusy = errors.New("the check is not complete: the ledger was too busy to be read at one moment")

// ledgers lists the ledgers that have accounts. A ledger's first account that
// is not an order's is written down before any of its accounts is made.
func (c *checker) ledgers(ctx context.Context) ([]uint32, error) {
	var list []int64
	if err := c.db.SelectContext(ctx, &list, `SELECT DISTINCT ledger FROM accounts ORDER BY ledger`); err != nil {
		return nil, fmt.Errorf("reading the ledgers: %w", err)
	}
	out := make([]uint32, len(list))
	for i, l := range list {
		out[i] = uint32(l)
	}
	return out, nil
}

// checkLedger compares a ledger's escrow accounts with their orders and its
// debits with its credits.
func (c *checker) checkLedger(ctx context.Context, l uint32) error {
	t, err := c.totals(ctx, l, true)
	if err != nil {
		return err
	}
	whats := t.differences()
	if len(whats) > 0 {
		// A pending transfer that expires moves balances without being a
		// transfer, which a pass that lasts a while cannot see. So the word of
		// one pass is not enough.
		if t, err = c.totals(ctx, l, false); err != nil {
			return err
		}
		whats = t.differences()
	}
	for _, what := range whats {
		c.diffs = append(c.diffs, Difference{Ledger: l, What: what})
	}
	c.report.Accounts += t.Accounts
	c.report.Ledgers = append(c.report.Ledgers, t)
	return c.progress()
}

func (t *Totals) differences() (whats []string) {
	if t.DebitsPosted != t.CreditsPosted {
		whats = append(whats, fmt.Sprintf("debits posted are %s, credits posted %s", t.DebitsPosted, t.CreditsPosted))
	}
	if t.DebitsPending != t.CreditsPending {
		whats = append(whats, fmt.Sprintf("debits pending are %s, credits pending %s", t.DebitsPending, t.CreditsPending))
	}
	if !t.Collection.IsZero() {
		whats = append(whats, fmt.Sprintf("sellers' accounts have paid %s less than was collected of them", t.Collection))
	}
	if t.Compared && t.Escrow != t.Held {
		whats = append(whats, fmt.Sprintf("orders hold %s, escrow accounts %s", t.Held, t.Escrow))
	}
	if t.Compared && t.Promised != t.Authorised {
		whats = append(whats, fmt.Sprintf("orders have %s authorised, buyers' accounts %s pending", t.Authorised, t.Promised))
	}
	if !t.overpaid.IsZero() {
		whats = append(whats, fmt.Sprintf("%s more came back for chargebacks than was advanced", t.overpaid))
	}
	if t.Compared && t.Advanced != t.ChargedBack {
		whats = append(whats, fmt.Sprintf("orders have %s charged back, %s is receivable for chargebacks", t.ChargedBack, t.Advanced))
	}
	if t.Compared {
		for i, name := range []string{"repayments due", "payouts that the bank took", "payouts on their way", "receipts of nobody known"} {
			if t.Waiting[i] != t.Entries[i] {
				whats = append(whats, fmt.Sprintf("entries have %s of %s, the ledger %s", t.Entries[i], name, t.Waiting[i]))
			}
		}
	}
	return whats
}

// totals sums a ledger's accounts at one moment of the ledger.
//
// The accounts come in pages, and the ledger moves on between two pages. So
// the sums are first taken page by page, and then brought up to date: the
// transfers since the beginning name the accounts that have moved, these are
// read again and the sums corrected; that takes less time than the pass did,
// so fewer have moved meanwhile; and so on, until the accounts that have moved
// fit one request (which the ledger answers as of one moment) and no others
// have moved when it has been answered. Then the sums are those of that moment.
// To correct a sum it has to be known what an account gave to it, which takes
// 24 bytes for each account of the ledger.
func (c *checker) totals(ctx context.Context, l uint32, orders bool) (Totals, error) {
	s := &sums{totals: Totals{Ledger: l}}
	since, err := c.newest(ctx, l)
	if err != nil {
		return s.result(), err
	}
	var after uint64
	for {
		page, err := c.reader.QueryAccounts(ctx, ledger.QueryFilter{Ledger: l, TimestampMin: after + 1, Limit: ledger.BatchMax})
		if err != nil {
			return s.result(), fmt.Errorf("reading accounts: %w", err)
		}
		var escrow []ledger.Account
		for i := range page {
			a := &page[i]
			s.add(a)
			if a.Code == uint16(chart.Escrow) && (a.CreditsPosted != a.DebitsPosted || !a.DebitsPending.IsZero() || !a.CreditsPending.IsZero()) {
				escrow = append(escrow, *a)
			}
		}
		if orders {
			if err := c.againstOrders(ctx, escrow); err != nil {
				return s.result(), err
			}
		}
		if err := c.progress(); err != nil {
			return s.result(), err
		}
		if len(page) < ledger.BatchMax {
			break
		}
		after = page[len(page)-1].Timestamp
	}
	return c.catchUp(ctx, s, l, since)
}

// compareTries bounds how often catchUp looks for a moment at which the order
// store and the ledger can be compared as a whole: each try sums all orders.
const compareTries = 5

// catchUp corrects sums whose every account has been read after the transfer
// with the timestamp since.
func (c *checker) catchUp(ctx context.Context, s *sums, l uint32, since uint64) (Totals, error) {
	var settled *Totals // the latest that are of one moment
	tries := 0
	for range c.opts.Rounds {
		var before stored
		var quiet bool
		var err error
		if settled != nil {
			if tries++; tries > compareTries {
				break
			}
			if before, quiet, err = c.stored(ctx, l); err != nil {
				return s.result(), err
			}
		}
		moved, upTo, err := c.moved(ctx, l, since)
		if err != nil {
			return s.result(), err
		}
		for chunk := range slices.Chunk(moved, ledger.BatchMax) {
			accounts, err := c.reader.LookupAccounts(ctx, chunk)
			if err != nil {
				return s.result(), fmt.Errorf("reading accounts: %w", err)
			}
			for i := range accounts {
				s.add(&accounts[i])
			}
		}
		if s.broken {
			return s.result(), errors.New("the sums pass 128 bits")
		}
		again, nowUpTo, err := c.moved(ctx, l, since)
		if err != nil {
			return s.result(), err
		}
		if len(moved) > ledger.BatchMax || !subset(again, moved) {
			since = upTo // all that moved until then has been read after it
			continue
		}
		t := s.result()
		if settled != nil {
			// Orders and ledger are of one moment if nothing moved in either,
			// and nothing was on its way from one to the other.
			now, stillQuiet, err := c.stored(ctx, l)
			if err != nil {
				return t, err
			}
			t.Held, t.Authorised, t.ChargedBack, t.Entries = now.held, now.authorised, now.chargedBack, now.entries
			t.Compared = quiet && stillQuiet && before == now && upTo == nowUpTo
			if t.Compared {
				return t, nil
			}
			if err := c.pause(ctx); err != nil {
				return t, err
			}
		}
		settled = &t
	}
	if settled == nil {
		return s.result(), errBusy
	}
	return *settled, nil
}

// newest is the timestamp of the ledger's newest transfer, 0 if it has none.
func (c *checker) newest(ctx context.Context, l uint32) (uint64, error) {
	list, err := c.reader.QueryTransfers(ctx, ledger.QueryFilter{Ledger: l, Limit: 1, Flags: ledger.FilterQueryReversed})
	if err != nil {
		return 0, fmt.Errorf("reading the newest transfer: %w", err)
	}
	if len(list) == 0 {
		return 0, nil
	}
	return list[0].Timestamp, nil
}

// moved lists the accounts that transfers after since have touched, by id, and
// the timestamp of the last of those transfers.
func (c *checker) moved(ctx context.Context, l uint32, since uint64) (ids []ledger.ID, upTo uint64, err error) {
	upTo = since
	seen := map[ledger.ID]bool{}
	for {
		page, err := c.reader.QueryTransfers(ctx, ledger.QueryFilter{Ledger: l, TimestampMin: upTo + 1, Limit: ledger.BatchMax})
		if err != nil {
			return nil, 0, fmt.Errorf("reading transfers: %w", err)
		}
		for i := range page {
			seen[page[i].DebitAccountID], seen[page[i].CreditAccountID] = true, true
			upTo = page[i].Timestamp
		}
		if len(page) < ledger.BatchMax {
			break
		}
	}
	for id := range seen {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, ledger.ID.Cmp)
	return ids, upTo, nil
}

func subset(a, of []ledger.ID) bool {
	for _, id := range a {
		if _, ok := slices.BinarySearchFunc(of, id, ledger.ID.Cmp); !ok {
			return false
		}
	}
	return true
}

// stored are a ledger's sums in the order store.
type stored struct {
	held, authorised, chargedBack ledger.Amount
	entries                       Waiting
}

// entriesSQL is what entries leave in the accounts that hold money until
// somebody else has done something: with what was corrected there by hand.
const entriesSQL = `WITH e AS (SELECT kind, state, amount,
		CASE WHEN kind = 'adjustment' AND state = 'done' THEN (terms->'credit'->>'code')::int END AS credit,
		CASE WHEN kind = 'adjustment' AND state = 'done' THEN (terms->'debit'->>'code')::int END AS debit
		FROM entries WHERE ledger = $1)
	SELECT (coalesce(sum(amount) FILTER (WHERE kind = 'repayment' AND state = 'due' OR credit = 2300), 0) - coalesce(sum(amount) FILTER (WHERE debit = 2300), 0))::text,
		(coalesce(sum(amount) FILTER (WHERE kind = 'payout' AND state = 'accepted' OR credit = 2400), 0) - coalesce(sum(amount) FILTER (WHERE debit = 2400), 0))::text,
		coalesce(sum(amount) FILTER (WHERE kind = 'payout' AND state = 'sent'), 0)::text,
		(coalesce(sum(amount) FILTER (WHERE kind = 'receipt' AND state = 'unidentified' OR credit = 2900), 0) - coalesce(sum(amount) FILTER (WHERE debit = 2900), 0))::text,
		NOT EXISTS (SELECT 1 FROM open_intents i JOIN entries n ON n.id = i.order_id WHERE n.ledger = $1)
	FROM e`

// stored sums a ledger's orders, and says whether no event of the ledger is
// without an outcome.
func (c *checker) stored(ctx context.Context, l uint32) (sums stored, quiet bool, err error) {
	tx, err := c.db.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return sums, false, fmt.Errorf("reading what orders hold: %w", err)
	}
	defer tx.Rollback() // nothing to commit
	// Where many are open Postgres would rather read the closed ones, too.
	var texts [3]string
	if _, err = tx.ExecContext(ctx, `SET LOCAL enable_seqscan = off`); err == nil {
		err = tx.QueryRowContext(ctx, `SELECT coalesce(sum(held), 0)::text,
				coalesce(sum(coalesce(captured + coalesce(captured_share, 0), amount + coalesce(buyer_share, 0)))
					FILTER (WHERE state = 'authorised'), 0)::text,
				coalesce(sum((aftermath->'chargeback'->>'amount')::bigint) FILTER (WHERE state IN ('charged_back', 'represented')), 0)::text,
				NOT EXISTS (SELECT 1 FROM open_intents i JOIN orders o ON o.id = i.order_id WHERE o.ledger = $1)
			FROM orders WHERE ledger = $1 AND open`, l).
			Scan(&texts[0], &texts[1], &texts[2], &quiet)
	}
	if err == nil {
		e, still := &sums.entries, false
		err = tx.QueryRowContext(ctx, entriesSQL, l).Scan(&e[0], &e[1], &e[2], &e[3], &still)
		quiet = quiet && still
	}
	for i, sum := range []*ledger.Amount{&sums.held, &sums.authorised, &sums.chargedBack} {
		if err == nil {
			*sum, err = ledger.ParseUint128(texts[i])
		}
	}
	if err != nil {
		return sums, false, fmt.Errorf("reading what orders hold: %w", err)
	}
	return sums, quiet, nil
}

// waitingCodes are the accounts that entries wait in.
var waitingCodes = [3]chart.AccountCode{chart.RefundPayable, chart.PayoutClearing, chart.Unidentified}

// sums are running totals that know what each account gave to them.
type sums struct {
	totals Totals
	// Debits and credits of the escrow accounts.
	escrowDebits, escrowCredits ledger.Amount
	// And of the account through which money is collected of sellers; the ledger
	// keeps its credits from exceeding its debits.
	collected, collectedOf ledger.Amount
	// And of the receivable from chargebacks.
	advanced, advancedBack ledger.Amount
	// What was posted to 2300, 2400 and 2900, and is pending to 2400.
	waiting  [3]struct{ debits, credits ledger.Amount }
	onTheWay ledger.Amount

	rows []row // of the pass, by timestamp
	// late are accounts that came after the pass; wide are those, of either
	// kind, whose amounts are pending or need more than 64 bits.
	late   map[uint64]row
	wide   map[uint64]ledger.Account
	broken bool // a sum passed 128 bits
}

// row is what an account gave, found by the account's timestamp.
type row struct{ timestamp, debits, credits uint64 }

// add puts an account into the sums, in place of what it gave before.
func (s *sums) add(a *ledger.Account) {
	if s.late == nil {
		s.late, s.wide = map[uint64]row{}, map[uint64]ledger.Account{}
	}
	var old ledger.Account
	r, known := s.find(a.Timestamp)
	if known {
		old.DebitsPosted, old.CreditsPosted = ledger.U64(r.debits), ledger.U64(r.credits)
		if w, ok := s.wide[a.Timestamp]; ok {
			old = w
			delete(s.wide, a.Timestamp)
		}
	} else {
		s.totals.Accounts++
	}
	debits, fits := a.DebitsPosted.Uint64()
	credits, fits2 := a.CreditsPosted.Uint64()
	if !fits || !fits2 || !a.DebitsPending.IsZero() || !a.CreditsPending.IsZero() {
		s.wide[a.Timestamp] = *a
	}
	s.put(row{a.Timestamp, debits, credits}, known)

	t := &s.totals
	s.replace(&t.DebitsPosted, old.DebitsPosted, a.DebitsPosted)
	s.replace(&t.CreditsPosted, old.CreditsPosted, a.CreditsPosted)
	s.replace(&t.DebitsPending, old.DebitsPending, a.DebitsPending)
	s.replace(&t.CreditsPending, old.CreditsPending, a.CreditsPending)
	if a.Code == uint16(chart.Escrow) {
		s.replace(&s.escrowDebits, old.DebitsPosted, a.DebitsPosted)
		s.replace(&s.escrowCredits, old.CreditsPosted, a.CreditsPosted)
	}
	if a.Code == uint16(chart.SellerCollection) {
		s.replace(&s.collected, old.DebitsPosted, a.DebitsPosted)
		s.replace(&s.collectedOf, old.CreditsPosted, a.CreditsPosted)
	}
	if a.Code == uint16(chart.ChargebackReceivable) {
		s.replace(&s.advanced, old.DebitsPosted, a.DebitsPosted)
		s.replace(&s.advancedBack, old.CreditsPosted, a.CreditsPosted)
	}
	if a.Code == uint16(chart.Buyer) {
		s.replace(&t.Promised, old.CreditsPending, a.CreditsPending)
	}
	for i, code := range waitingCodes {
		if a.Code == uint16(code) {
			s.replace(&s.waiting[i].debits, old.DebitsPosted, a.DebitsPosted)
			s.replace(&s.waiting[i].credits, old.CreditsPosted, a.CreditsPosted)
		}
	}
	if a.Code == uint16(chart.PayoutClearing) {
		s.replace(&s.onTheWay, old.CreditsPending, a.CreditsPending)
	}
}

// result is the totals as they stand. Escrow accounts that are overdrawn in
// sum show as empty here; each of them is a difference of its own.
func (s *sums) result() Totals {
	t := s.totals
	if escrow, overdrawn := s.escrowCredits.Sub(s.escrowDebits); !overdrawn {
		t.Escrow = escrow
	}
	if missing, over := s.collected.Sub(s.collectedOf); !over {
		t.Collection = missing
	}
	if advanced, over := s.advanced.Sub(s.advancedBack); !over {
		t.Advanced = advanced
	} else {
		t.overpaid, _ = s.advancedBack.Sub(s.advanced)
	}
	balance := func(i int) string {
		return new(big.Int).Sub(s.waiting[i].credits.Big(), s.waiting[i].debits.Big()).String()
	}
	t.Waiting = Waiting{balance(0), balance(1), s.onTheWay.String(), balance(2)}
	return t
}

func (s *sums) replace(sum *ledger.Amount, old, value ledger.Amount) {
	var over, under bool
	*sum, over = sum.Add(value)
	*sum, under = sum.Sub(old)
	s.broken = s.broken || over || under
}

func (s *sums) find(timestamp uint64) (row, bool) {
	if i, ok := s.index(timestamp); ok {
		return s.rows[i], true
	}
	r, ok := s.late[timestamp]
	return r, ok
}

func (s *sums) index(timestamp uint64) (int, bool) {
	return slices.BinarySearchFunc(s.rows, timestamp, func(r row, t uint64) int {
		switch {
		case r.timestamp < t:
			return -1
		case r.timestamp > t:
			return 1
		}
		return 0
	})
}

func (s *sums) put(r row, known bool) {
	if i, ok := s.index(r.timestamp); ok {
		s.rows[i] = r
	} else if !known && (len(s.rows) == 0 || s.rows[len(s.rows)-1].timestamp < r.timestamp) && len(s.late) == 0 {
		s.rows = append(s.rows, r)
	} else {
		s.late[r.timestamp] = r
	}
}
