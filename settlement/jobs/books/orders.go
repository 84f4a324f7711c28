package books

import (
	"context"
	"fmt"
	"slices"

	"github.com/lib/pq"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
)

// orderRow is what the order store says of an order's money.
type orderRow struct {
	id          ledger.ID
	marketplace uint32
	reference   string
	ledger      uint32
	state       order.State
	held        int64
	seq         int32
	moving      bool // an intent has no outcome yet
}

const orderColumns = `o.id, o.marketplace, o.reference, o.ledger, o.state, o.held, o.seq`

func (c *checker) orders(ctx context.Context, query string, moving bool, args ...any) ([]orderRow, error) {
	rows, err := c.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading orders: %w", err)
	}
	defer rows.Close()
	var list []orderRow
	for rows.Next() {
		var o orderRow
		var id string
		into := []any{&id, &o.marketplace, &o.reference, &o.ledger, &o.state, &o.held, &o.seq}
		if moving {
			into = append(into, &o.moving)
		}
		if err := rows.Scan(into...); err != nil {
			return nil, fmt.Errorf("reading orders: %w", err)
		}
		if o.id, err = ledger.ParseUUID(id); err != nil {
			return nil, fmt.Errorf("reading orders: %w", err)
		}
		list = append(list, o)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading orders: %w", err)
	}
	return list, nil
}

// ordersAgainstLedger compares each order that holds money with its account.
// Orders that hold nothing come up from the ledger's side if they should not.
// It goes along the index of open orders, so closed ones cost nothing.
func (c *checker) ordersAgainstLedger(ctx context.Context) error {
	var after orderRow
	for {
		batch, err := c.orders(ctx, `SELECT `+orderColumns+` FROM orders o
			WHERE o.open AND (o.marketplace, o.id) > ($1, $2) AND o.held > 0
			ORDER BY o.marketplace, o.id LIMIT $3`, false, after.marketplace, after.id.UUID(), c.opts.Batch)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			return nil
		}
		after = batch[len(batch)-1]
		accounts, err := c.accounts(ctx, batch)
		if err != nil {
			return err
		}
		for _, o := range batch {
			if difference(o, accounts[o.id]) != "" {
				c.suspects[o.id] = o.ledger
			}
		}
		c.report.Orders += int64(len(batch))
		if err := c.progress(); err != nil {
			return err
		}
	}
}

// deadlines looks for open orders whose deadline is not noted where the jobs
// look for those that have passed: nobody would see it pass. A deadline and its
// note are written in one transaction, so none is moving here.
func (c *checker) deadlines(ctx context.Context) error {
	list, err := c.orders(ctx, `SELECT `+orderColumns+` FROM orders o WHERE o.open AND NOT EXISTS (
			SELECT FROM order_deadlines d
			WHERE d.marketplace = o.marketplace AND d.deadline = o.deadline AND d.at = o.deadline_at AND d.order_id = o.id)
		LIMIT $1`, false, c.opts.Batch)
	for _, o := range list {
		c.diffs = append(c.diffs, Difference{Ledger: o.ledger, Order: o.id.UUID(), Reference: o.reference,
			What: "the deadline is not noted in order_deadlines: no job will see it pass"})
	}
	return err
}

// parts looks for open orders whose parts come to something else than they do:
// what is held of a part stands nowhere in the ledger, which has one account for
// the order, and neither does what is maturing of it. An order and its parts are
// one row, so none is moving here. Orders of which something was released before
// parts matured by themselves say nowhere what each has maturing.
func (c *checker) parts(ctx context.Context) error {
	list, err := c.orders(ctx, `SELECT `+orderColumns+` FROM orders o
		CROSS JOIN LATERAL (SELECT sum((p ->> 'amount')::bigint) AS amount, sum(coalesce((p ->> 'held')::bigint, 0)) AS held,
				sum(coalesce((p ->> 'buyer_share')::bigint, 0)) AS share, sum(coalesce((p ->> 'maturing')::bigint, 0)) AS maturing,
				bool_or(p ->> 'state' IN ('released', 'ruled') AND p ->> 'released_at' IS NULL) AS early
			FROM jsonb_array_elements(o.parts -> 'list') p) t
		WHERE o.open AND o.parts IS NOT NULL AND ((t.amount, t.held, t.share) IS DISTINCT FROM (o.amount, o.held,
				CASE WHEN o.paid_at IS NULL THEN 0 WHEN o.captured IS NOT NULL THEN coalesce(o.captured_share, 0) ELSE coalesce(o.buyer_share, 0) END)
			OR t.maturing <> o.maturing AND NOT t.early)
		LIMIT $1`, false, c.opts.Batch)
	for _, o := range list {
		c.diffs = append(c.diffs, Difference{Ledger: o.ledger, Order: o.id.UUID(), Reference: o.reference,
			What: "its parts do not come to what was agreed, to what is held, or to what matures"})
	}
	return err
}

// accounts reads the escrow accounts of orders; nil where there is none.
func (c *checker) accounts(ctx context.Context, orders []orderRow) (map[ledger.ID]*ledger.Account, error) {
	ids := make([]ledger.ID, len(orders))
	for i, o := range orders {
		ids[i] = o.id
	}
	return c.lookup(ctx, ids)
}

func (c *checker) lookup(ctx context.Context, ids []ledger.ID) (map[ledger.ID]*ledger.Account, error) {
	found := make(map[ledger.ID]*ledger.Account, len(ids))
	list, err := c.reader.LookupAccounts(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("reading accounts: %w", err)
	}
	for i := range list {
		found[list[i].ID] = &list[i]
	}
	return found, nil
}

// difference says how an order and its escrow account disagree, "" if they do
// not.
func difference(o orderRow, a *ledger.Account) string {
	if a == nil {
		if o.held == 0 {
			return ""
		}
		return fmt.Sprintf("the order holds %d, and has no escrow account", o.held)
	}
	if a.Ledger != o.ledger || a.Code != uint16(chart.Escrow) {
		return fmt.Sprintf("the order's account is a %d of ledger %d", a.Code, a.Ledger)
	}
	held := ledger.U64(uint64(o.held))
	balance, overdrawn := a.CreditsPosted.Sub(a.DebitsPosted)
	if overdrawn {
		return fmt.Sprintf("the order holds %d, its escrow account is overdrawn: debits %s, credits %s", o.held, a.DebitsPosted, a.CreditsPosted)
	}
	if balance != held {
		return fmt.Sprintf("the order holds %d, its escrow account %s", o.held, balance)
	}
	frozen := ledger.Amount{}
	if o.state.Frozen() {
		frozen = held
	}
	if a.DebitsPending != frozen || !a.CreditsPending.IsZero() {
		return fmt.Sprintf("the order is %s with %s frozen, its escrow account has %s pending out and %s pending in",
			o.state, frozen, a.DebitsPending, a.CreditsPending)
	}
	return ""
}

// againstOrders compares escrow accounts with money, as they were just read,
// with their orders.
func (c *checker) againstOrders(ctx context.Context, accounts []ledger.Account) error {
	for chunk := range slices.Chunk(accounts, c.opts.Batch) {
		ids := make([]ledger.ID, len(chunk))
		for i := range chunk {
			ids[i] = chunk[i].ID
		}
		orders, err := c.orders(ctx, `SELECT `+orderColumns+` FROM orders o WHERE o.id = ANY($1::uuid[])`, false, uuids(ids))
		if err != nil {
			return err
		}
		byID := make(map[ledger.ID]orderRow, len(orders))
		for _, o := range orders {
			byID[o.id] = o
		}
		for i := range chunk {
			o, ok := byID[chunk[i].ID]
			if !ok || difference(o, &chunk[i]) != "" {
				c.suspects[chunk[i].ID] = chunk[i].Ledger
			}
		}
	}
	return nil
}

// resolve looks at the suspects until each is either in agreement or certain
// to differ: see the package comment for when it is certain.
func (c *checker) resolve(ctx context.Context) error {
	for round := 0; len(c.suspects) > 0; round++ {
		if round == c.opts.Rounds {
			c.report.Unsettled = int64(len(c.suspects))
			return nil
		}
		if round > 0 {
			if err := c.pause(ctx); err != nil {
				return err
			}
		}
		ids := make([]ledger.ID, 0, len(c.suspects))
		for id := range c.suspects {
			ids = append(ids, id)
		}
		slices.SortFunc(ids, ledger.ID.Cmp)
		for chunk := range slices.Chunk(ids, c.opts.Batch) {
			if err := c.lookAgain(ctx, chunk); err != nil {
				return err
			}
		}
	}
	return nil
}

// lookAgain reads orders, then their accounts, then the orders once more, and
// clears of suspicion, or condemns, those that stood still.
func (c *checker) lookAgain(ctx context.Context, ids []ledger.ID) error {
	before, err := c.still(ctx, ids)
	if err != nil {
		return err
	}
	accounts, err := c.lookup(ctx, ids)
	if err != nil {
		return err
	}
	after, err := c.still(ctx, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		was, known := before[id]
		is, still := after[id]
		if known != still || known && (was.moving || is.moving || was.seq != is.seq) {
			continue
		}
		l := c.suspects[id]
		delete(c.suspects, id)
		if !known {
			c.diffs = append(c.diffs, Difference{Ledger: l, Order: id.UUID(), What: "an escrow account with money, and there is no such order"})
		} else if what := difference(is, accounts[id]); what != "" {
			c.diffs = append(c.diffs, Difference{Ledger: l, Order: id.UUID(), Reference: is.reference, What: what})
		}
	}
	return nil
}

func (c *checker) still(ctx context.Context, ids []ledger.ID) (map[ledger.ID]orderRow, error) {
	list, err := c.orders(ctx, `SELECT `+orderColumns+`,
			o.id IN (SELECT order_id FROM open_intents)
		FROM orders o WHERE o.id = ANY($1::uuid[])`, true, uuids(ids))
	if err != nil {
		return nil, err
	}
	byID := make(map[ledger.ID]orderRow, len(list))
	for _, o := range list {
		byID[o.id] = o
	}
	return byID, nil
}

func uuids(ids []ledger.ID) pq.StringArray {
	list := make(pq.StringArray, len(ids))
	for i, id := range ids {
		list[i] = id.UUID()
	}
	return list
}
