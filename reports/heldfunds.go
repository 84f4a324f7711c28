package reports

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lib/pq"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
)

// HeldFundsRow sums the orders of one currency, age and state whose money is
// held in escrow. Amounts are minor units, times UTC.
type HeldFundsRow struct {
	Currency         string    `json:"currency"`
	Bucket           string    `json:"bucket"` // days since paid: "0-7" to "90+"
	State            string    `json:"state"`
	Reason           string    `json:"reason"` // why it is held
	NextActor        string    `json:"next_actor"`
	Orders           int64     `json:"orders"`
	Amount           Amount    `json:"amount"`
	Oldest           time.Time `json:"oldest"` // the first payment among them
	EarliestDeadline time.Time `json:"earliest_deadline"`
}

// HeldOrderRow is one order whose money is held. Days are whole days since it
// was paid; Overdue says that its deadline has passed.
type HeldOrderRow struct {
	Currency    string    `json:"currency"`
	Bucket      string    `json:"bucket"`
	State       string    `json:"state"`
	Reason      string    `json:"reason"`
	NextActor   string    `json:"next_actor"`
	Amount      Amount    `json:"amount"`
	Marketplace uint32    `json:"marketplace"`
	Reference   string    `json:"reference"`
	OrderID     string    `json:"order_id"`
	Buyer       string    `json:"buyer"`
	Seller      string    `json:"seller"`
	PaidAt      time.Time `json:"paid_at"`
	Days        int64     `json:"days"`
	Deadline    string    `json:"deadline"`
	DeadlineAt  time.Time `json:"deadline_at"`
	Overdue     bool      `json:"overdue"`
	Otherwise   string    `json:"otherwise"` // what happens if nobody acts
}

const (
	heldFunds      = "held-funds"
	heldFundsTitle = "Held funds by age"
)

// buckets are the ages of held-funds: from so many whole days on.
var buckets = []struct {
	from int64
	name string
}{{0, "0-7"}, {8, "8-14"}, {15, "15-30"}, {31, "31-60"}, {61, "61-90"}, {91, "90+"}}

// bucketOf is the index of the bucket for an age in whole days.
func bucketOf(days int64) int {
	i := len(buckets) - 1
	for i > 0 && days < buckets[i].from {
		i--
	}
	return i
}

// HeldFunds sums what is held by currency, age and state. The state is what
// the order store says, by each order's last event before the cut; the total
// is checked against what the ledger's journal leaves in its escrow accounts
// (2100) at the same cut, and a difference is a Problem.
func (b *Books) HeldFunds(ctx context.Context, o Options) (*Of[HeldFundsRow], error) {
	r := &Of[HeldFundsRow]{}
	err := b.read(ctx, heldFunds, heldFundsTitle, o, func(s *snapshot) error {
		held, err := s.heldGroups(ctx, o.Now.UTC())
		if err != nil {
			return err
		}
		r.Head = s.head
		// By currency; within it by age, youngest first, then by state.
		var currencies []string
		rows := map[heldGroup]*HeldFundsRow{}
		totals := map[string]*HeldFundsRow{}
		for _, h := range held {
			if totals[h.currency] == nil {
				currencies = append(currencies, h.currency)
				totals[h.currency] = &HeldFundsRow{Currency: h.currency, Bucket: "total"}
			}
			in := h.heldGroup
			if rows[in] == nil {
				rows[in] = &HeldFundsRow{Currency: h.currency, Bucket: buckets[h.bucket].name, State: string(h.state),
					Reason: order.HeldBecause(h.state), NextActor: nextActor(h.state)}
			}
			rows[in].add(h)
			totals[h.currency].add(h)
		}
		slices.Sort(currencies)
		for _, currency := range currencies {
			for i := range buckets {
				for _, state := range order.States {
					if row := rows[heldGroup{currency, i, state}]; row != nil {
						r.Rows = append(r.Rows, *row)
					}
				}
			}
			r.Totals = append(r.Totals, *totals[currency])
		}
		r.Problems, r.Notes, err = s.checkHeld(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (row *HeldFundsRow) add(h heldSum) {
	row.Orders += h.orders
	row.Amount = row.Amount.Add(h.held)
	if row.Oldest.IsZero() || h.oldest.Before(row.Oldest) {
		row.Oldest = h.oldest
	}
	if row.EarliestDeadline.IsZero() || h.deadline.Before(row.EarliestDeadline) {
		row.EarliestDeadline = h.deadline
	}
}

// HeldFundsByOrder is HeldFunds with a row for each order, by currency, the
// longest held first.
func (b *Books) HeldFundsByOrder(ctx context.Context, o Options) (*Of[HeldOrderRow], error) {
	r := &Of[HeldOrderRow]{}
	err := b.read(ctx, heldFunds, "Held funds by order", o, func(s *snapshot) error {
		held, err := s.held(ctx, o.Now.UTC())
		if err != nil {
			return err
		}
		r.Head = s.head
		for _, h := range held {
			r.Rows = append(r.Rows, HeldOrderRow{
				Currency: h.currency, Bucket: buckets[h.bucket].name, State: string(h.State),
				Reason: order.HeldBecause(h.State), NextActor: nextActor(h.State), Amount: Units(h.Held),
				Marketplace: h.Marketplace, Reference: h.Reference, OrderID: h.ID.UUID(), Buyer: h.Buyer, Seller: h.Seller,
				PaidAt: h.PaidAt, Days: h.days, Deadline: string(h.Deadline), DeadlineAt: h.DeadlineAt, Overdue: h.overdue,
				Otherwise: order.Explain(&h.Order).Otherwise,
			})
			last := len(r.Totals) - 1
			if last < 0 || r.Totals[last].Currency != h.currency {
				r.Totals = append(r.Totals, HeldOrderRow{Currency: h.currency, Bucket: "total"})
				last++
			}
			r.Totals[last].Amount = r.Totals[last].Amount.Add(Units(h.Held))
		}
		r.Problems, r.Notes, err = s.checkHeld(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func nextActor(s order.State) string {
	var words []string
	for _, r := range order.NextActors(s) {
		words = append(words, string(r))
	}
	return strings.Join(words, " or ")
}

// heldOrder is an order with money in escrow at the cut. Of its Terms and
// Progress only what the reports show is filled in.
type heldOrder struct {
	order.Order
	currency string
	days     int64
	bucket   int
	overdue  bool
}

// heldGroup is a row of held-funds.
type heldGroup struct {
	currency string
	bucket   int
	state    order.State
}

// heldSum is some orders of one ledger in one group.
type heldSum struct {
	heldGroup
	orders           int64
	held             Amount
	oldest, deadline time.Time
}

// heldGroups sums in Postgres what held lists: a million orders take longer to
// be sent than to be summed. Like held it also sums them per ledger.
func (s *snapshot) heldGroups(ctx context.Context, machine time.Time) ([]heldSum, error) {
	query, args := s.heldQuery()
	n := len(args)
	if s.cut.open {
		// Open orders by their index, whatever share of all that ever were they
		// are taken to be.
		if _, err := s.ExecContext(ctx, `SET LOCAL enable_seqscan = off`); err != nil {
			return nil, err
		}
	}
	// Each marketplace's age has edges of its own now; in all other cases there
	// are none in these arrays, and those of the moment count.
	var ids pq.Int64Array
	edges := make([]pq.StringArray, len(buckets)-1)
	if s.cut.open {
		for id := range s.marketplaces {
			ids = append(ids, int64(id))
			for i, edge := range bucketEdges(s.ageAt(id, machine)) {
				edges[i] = append(edges[i], edge)
			}
		}
	}
	args = append(args, ids)
	// The bucket is grouped by as truths: Postgres knows how many values these
	// can have, and lets its workers sum when it expects few groups.
	var arrays, columns, truths, names []string
	for i, edge := range bucketEdges(s.head.AsOf) {
		args = append(args, edges[i], edge)
		arrays = append(arrays, fmt.Sprintf("$%d::timestamptz[]", len(args)-1))
		columns = append(columns, fmt.Sprintf("edge%d", i))
		truths = append(truths, fmt.Sprintf("h.paid_at >= coalesce(a.edge%d, $%d::timestamptz) AS since%d", i, len(args), i))
		names = append(names, fmt.Sprintf("since%d", i))
	}
	rows, err := s.QueryContext(ctx, fmt.Sprintf(
		`SELECT ledger, state, %s::int, count(*), sum(held), min(paid_at), min(deadline_at)
		 FROM (SELECT h.ledger, h.state, h.held, h.paid_at, h.deadline_at, %s
		       FROM (%s) h LEFT JOIN unnest($%d::int[], %s) AS a (id, %s) ON a.id = h.marketplace) b
		 GROUP BY ledger, state, %s`, strings.Join(names, "::int + "), strings.Join(truths, ", "), query,
		n+1, strings.Join(arrays, ", "), strings.Join(columns, ", "), strings.Join(names, ", ")), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	s.heldSums = map[uint32]Amount{}
	var list []heldSum
	for rows.Next() {
		var (
			h     heldSum
			in    uint32
			since int // so many edges lie before
		)
		if err := rows.Scan(&in, &h.state, &since, &h.orders, &h.held, &h.oldest, &h.deadline); err != nil {
			return nil, err
		}
		h.currency, h.bucket = currencyOf(in), len(buckets)-1-since
		h.oldest, h.deadline = h.oldest.UTC(), h.deadline.UTC()
		s.heldSums[in] = s.heldSums[in].Add(h.held)
		list = append(list, h)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	_, err = s.ExecContext(ctx, `SET LOCAL enable_seqscan = on`)
	return list, err
}

// bucketEdges is the moments at which the buckets' ages begin and end, for an
// age that is taken at now, the oldest first. What was paid at the i-th of them
// or later, from 0 on, is in none of the last i+1 buckets. A day is whole when it
// is over to the microsecond, which is as fine as times are kept.
func bucketEdges(now time.Time) (edges []string) {
	for _, b := range slices.Backward(buckets[1:]) {
		whole := now.Add(-time.Duration(b.from) * 24 * time.Hour).Truncate(time.Microsecond)
		edges = append(edges, string(pq.FormatTimestamp(whole.Add(time.Microsecond))))
	}
	return edges
}

// held lists the orders whose money was held at the cut, by currency, since
// when, and id. It also sums them per ledger, for checkHeld.
func (s *snapshot) held(ctx context.Context, machine time.Time) ([]heldOrder, error) {
	query, args := s.heldQuery()
	rows, err := s.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	s.heldSums = map[uint32]Amount{}
	var list []heldOrder
	for rows.Next() {
		var (
			h                       heldOrder
			id                      string
			claim, aftermath, parts []byte // what the explanation needs
		)
		if err := rows.Scan(&id, &h.Marketplace, &h.Reference, &h.Ledger, &h.Buyer, &h.Seller,
			&h.State, &h.Held, &h.Deadline, &h.DeadlineAt, &h.PaidAt, &claim, &aftermath, &parts); err != nil {
			return nil, err
		}
		if err := errors.Join(document(claim, &h.Claim), document(aftermath, &h.Aftermath), document(parts, &h.Parts)); err != nil {
			return nil, fmt.Errorf("order %s: %w", id, err)
		}
		if h.ID, err = ledger.ParseUUID(id); err != nil {
			return nil, err
		}
		h.PaidAt, h.DeadlineAt = h.PaidAt.UTC(), h.DeadlineAt.UTC()
		now := s.ageAt(h.Marketplace, machine)
		h.currency = currencyOf(h.Ledger)
		h.days = max(0, int64(now.Sub(h.PaidAt)/(24*time.Hour)))
		h.bucket = bucketOf(h.days)
		h.overdue = now.After(h.DeadlineAt) // at the deadline is in time
		s.heldSums[h.Ledger] = s.heldSums[h.Ledger].Add(Units(h.Held))
		list = append(list, h)
	}
	slices.SortFunc(list, func(a, b heldOrder) int {
		return cmp.Or(cmp.Compare(a.currency, b.currency), a.PaidAt.Compare(b.PaidAt), a.ID.Cmp(b.ID))
	})
	return list, rows.Err()
}

// document reads what an order keeps as JSON; of NULL it leaves nothing.
func document(data []byte, into any) error {
	if data == nil {
		return nil
	}
	return json.Unmarshal(data, into)
}

// heldQuery selects the orders with money in escrow, as they stood at the cut.
func (s *snapshot) heldQuery() (query string, args []any) {
	all, ledgers := s.inScope()
	if s.cut.open {
		return `SELECT o.id, o.marketplace, o.reference, o.ledger, o.buyer, o.seller,
		               o.state, o.held, o.deadline, o.deadline_at, o.paid_at, o.claim, o.aftermath, o.parts
		        FROM orders o WHERE o.open AND o.held > 0 AND ($1 OR o.ledger = ANY ($2))`, []any{all, ledgers}
	}
	if s.cut.basis == Booked {
		// An event that moved money is booked when the ledger booked it, any
		// other when it was decided. The two clocks may differ a little, but
		// what follows a later event in its order is later too: how an order
		// stood that has moved since is what the event before the first later
		// one says. No index leads to the later events, so all are read.
		//
		// LIMIT 1 makes the planner look up those few orders and events.
		return `WITH later AS MATERIALIZED (
		            SELECT e.order_id, min(e.seq) AS seq FROM order_events e
		            WHERE e.ledger_timestamp > $3 OR e.ledger_timestamp IS NULL AND e.created_at > $4
		            GROUP BY e.order_id)
		        SELECT o.id, o.marketplace, o.reference, o.ledger, o.buyer, o.seller,
		               e.state, e.held, e.deadline, e.deadline_at, e.paid_at, e.claim, e.aftermath, e.parts
		        FROM later
		        CROSS JOIN LATERAL (SELECT * FROM order_events e WHERE e.order_id = later.order_id AND e.seq = later.seq - 1 LIMIT 1) e
		        CROSS JOIN LATERAL (SELECT * FROM orders o WHERE o.id = later.order_id LIMIT 1) o
		        WHERE later.seq > 1 AND e.held > 0 AND ($1 OR o.ledger = ANY ($2))
		        UNION ALL
		        SELECT o.id, o.marketplace, o.reference, o.ledger, o.buyer, o.seller,
		               o.state, o.held, o.deadline, o.deadline_at, o.paid_at, o.claim, o.aftermath, o.parts
		        FROM orders o
		        WHERE o.open AND o.held > 0 AND ($1 OR o.ledger = ANY ($2)) AND NOT EXISTS (SELECT FROM later WHERE later.order_id = o.id)`,
			[]any{all, ledgers, s.cut.booked, s.cut.recorded}
	}
	// Times never go back within an order. So the orders to look into are
	// those that were paid by then and have moved since: the ones that were
	// alive at the moment, few of all that ever were.
	return `SELECT o.id, o.marketplace, o.reference, o.ledger, o.buyer, o.seller,
	               CASE WHEN moved THEN e.state ELSE o.state END AS state, CASE WHEN moved THEN e.held ELSE o.held END AS held,
	               CASE WHEN moved THEN e.deadline ELSE o.deadline END AS deadline,
	               CASE WHEN moved THEN e.deadline_at ELSE o.deadline_at END AS deadline_at,
	               CASE WHEN moved THEN e.paid_at ELSE o.paid_at END AS paid_at,
	               CASE WHEN moved THEN e.claim ELSE o.claim END AS claim,
	               CASE WHEN moved THEN e.aftermath ELSE o.aftermath END AS aftermath,
	               CASE WHEN moved THEN e.parts ELSE o.parts END AS parts
	        FROM (SELECT *, at > $3 AS moved FROM orders
	              WHERE ($1 OR ledger = ANY ($2)) AND (at > $3 AND paid_at <= $3 OR at <= $3 AND open AND held > 0)) o
	        LEFT JOIN LATERAL (SELECT * FROM order_events e WHERE moved AND e.order_id = o.id AND e.at <= $3 ORDER BY e.seq DESC LIMIT 1) e ON true
	        WHERE CASE WHEN moved THEN e.held ELSE o.held END > 0`,
		[]any{all, ledgers, s.cut.recorded}
}

// checkHeld compares what the orders hold with the ledger's escrow accounts,
// per ledger. Between the ledger and the order store a movement is under way
// for a moment: what stands in the journal while its event is still to be
// recorded is left out of the comparison, and noted.
func (s *snapshot) checkHeld(ctx context.Context) (problems, notes []string, err error) {
	// By the journal, now as at any moment, and not by the accounts' balances:
	// of these there are as many as there ever were orders. That the two agree
	// is for check-books to say, and for the trial balance, which takes the
	// balances.
	sums, err := s.journal(ctx)
	if err != nil {
		return nil, nil, err
	}
	notes = append(notes, s.notes...)
	moving, count, err := s.underWay(ctx)
	if err != nil {
		return nil, nil, err
	}
	if count > 0 {
		notes = append(notes, fmt.Sprintf("%d movements stand in the ledger and are about to be recorded on their orders; they are not counted here", count))
	}
	ahead, count, err := s.ahead(ctx)
	if err != nil {
		return nil, nil, err
	}
	if count > 0 {
		notes = append(notes, fmt.Sprintf("%d movements are recorded on their orders and are still to be copied from the ledger; they are counted here", count))
	}
	ledgers := map[uint32]bool{}
	for in := range sums {
		ledgers[in.ledger] = true
	}
	for l := range ahead {
		ledgers[l] = true
	}
	for l := range s.heldSums {
		ledgers[l] = true
	}
	for l := range ledgers {
		escrow := sums[ledgerAccount{l, int(chart.Escrow)}]
		balance := escrow.credits.Sub(escrow.debits).Sub(moving[l]).Add(ahead[l])
		if held := s.heldSums[l]; held.Cmp(balance) != 0 {
			problems = append(problems, fmt.Sprintf("%s: the orders hold %s and the ledger's escrow accounts (2100) %s: a difference of %s",
				s.ledgerName(l), money(l, held), money(l, balance), money(l, held.Sub(balance).Abs())))
		}
	}
	slices.Sort(problems)
	return problems, notes, nil
}

// ahead sums, per ledger, what orders hold more (or less) than before by events
// whose transfers have not been copied to the journal of a mirror yet. A mirror
// copies a chain in whole, so an event's first transfer tells of all. There is
// no index for this: it reads the outcomes once, about a second per ten million.
func (s *snapshot) ahead(ctx context.Context) (moved map[uint32]Amount, count int64, err error) {
	moved = map[uint32]Amount{}
	if !s.head.Mirrored || !s.cut.open && s.cut.basis == Booked {
		return moved, 0, nil // up to a booked cut, the events are cut where the journal is
	}
	all, ledgers := s.inScope()
	var rows []struct {
		Ledger uint32 `db:"ledger"`
		Count  int64  `db:"count"`
		Amount Amount `db:"amount"`
	}
	err = s.SelectContext(ctx, &rows,
		`SELECT o.ledger, count(*) AS count, sum(e.held - coalesce(before.held, 0)) AS amount
		 FROM order_events e
		 JOIN orders o ON o.id = e.order_id
		 LEFT JOIN order_events before ON before.order_id = e.order_id AND before.seq = e.seq - 1
		 WHERE e.ledger_timestamp > $1 AND ($2 OR e.at <= $3) AND ($4 OR o.ledger = ANY ($5))
		 GROUP BY o.ledger`, int64(s.head.LedgerTimestamp), s.cut.open, s.cut.recorded, all, ledgers)
	for _, r := range rows {
		moved[r.Ledger] = r.Amount
		count += r.Count
	}
	return moved, count, err
}

// underWay sums, per ledger, what intents without an outcome have already
// moved into (less: out of) their orders' escrow accounts. A transfer's id is
// its intent's with other last 16 bits (order.LegID).
func (s *snapshot) underWay(ctx context.Context) (moved map[uint32]Amount, count int64, err error) {
	before, bound := s.cut.transfers()
	all, ledgers := s.inScope()
	var rows []struct {
		Ledger uint32 `db:"ledger"`
		Count  int64  `db:"count"`
		Amount Amount `db:"amount"`
	}
	err = s.SelectContext(ctx, &rows,
		`SELECT t.ledger, count(*) AS count, sum(t.sign * `+posted+`) AS amount
		 FROM open_intents i CROSS JOIN LATERAL (
		     SELECT *, 1 AS sign FROM ledger_transfers WHERE credit_account_id = i.order_id
		     UNION ALL
		     SELECT *, -1 FROM ledger_transfers WHERE debit_account_id = i.order_id) t
		 WHERE left(t.id::text, 32) = left(i.id::text, 32)
		   AND `+before+` AND ($2 OR t.ledger = ANY ($3))
		 GROUP BY t.ledger`, bound, all, ledgers)
	moved = map[uint32]Amount{}
	for _, r := range rows {
		moved[r.Ledger] = r.Amount
		count += r.Count
	}
	return moved, count, err
}
