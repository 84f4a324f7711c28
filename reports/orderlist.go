package reports

import (
	"context"
	"fmt"
	"slices"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
)

// OrderRow is one order in a list. Amounts are minor units, times UTC; a time
// that the order does not have is null.
type OrderRow struct {
	OrderID     string     `json:"order_id"`
	Marketplace uint32     `json:"marketplace"`
	Reference   string     `json:"reference"`
	State       string     `json:"state"`
	Currency    string     `json:"currency"`
	Amount      Amount     `json:"amount"`
	Held        Amount     `json:"held"`
	Released    Amount     `json:"released"`
	Refunded    Amount     `json:"refunded"`
	NextActor   string     `json:"next_actor"`
	Deadline    string     `json:"deadline"`
	DeadlineAt  *time.Time `json:"deadline_at"`
}

// OrderFilter selects orders; zero fields select all.
type OrderFilter struct {
	Marketplace string // name or number
	Currency    string // ISO 4217 code
	State       string
	After       string // only orders with a larger id
	Limit       int    // at most so many
	Now         time.Time
}

// Orders lists orders by id, that is by age, as they stand now.
func (b *Books) Orders(ctx context.Context, f OrderFilter) (*Of[OrderRow], error) {
	if f.State != "" && !slices.Contains(order.States, order.State(f.State)) {
		return nil, &BadOption{"state", fmt.Sprintf("%.40q is none of %v", f.State, order.States)}
	}
	after := ledger.ID{}
	if f.After != "" {
		var err error
		if after, err = ledger.ParseUUID(f.After); err != nil {
			return nil, &BadOption{"after", fmt.Sprintf("%.40q is no order id", f.After)}
		}
	}
	r := &Of[OrderRow]{}
	o := Options{Marketplace: f.Marketplace, Currency: f.Currency, Now: f.Now}
	err := b.read(ctx, "orders", "Orders", o, func(s *snapshot) error {
		r.Head = s.head
		all, ledgers := s.inScope()
		var limit any // NULL is no limit
		if f.Limit > 0 {
			limit = f.Limit + 1
		}
		rows, err := s.QueryContext(ctx,
			`SELECT id, marketplace, reference, state, ledger, coalesce(captured, amount), held, released, refunded,
			        coalesce(deadline, ''), deadline_at
			 FROM orders
			 WHERE ($1 OR ledger = ANY ($2)) AND ($3 = '' OR state = $3) AND id > $4
			 ORDER BY id LIMIT $5`, all, ledgers, f.State, after.UUID(), limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var (
				row OrderRow
				in  uint32
			)
			if err := rows.Scan(&row.OrderID, &row.Marketplace, &row.Reference, &row.State, &in, &row.Amount, &row.Held,
				&row.Released, &row.Refunded, &row.Deadline, &row.DeadlineAt); err != nil {
				return err
			}
			row.Currency, row.NextActor = currencyOf(in), nextActor(order.State(row.State))
			if row.DeadlineAt != nil {
				*row.DeadlineAt = row.DeadlineAt.UTC()
			}
			r.Rows = append(r.Rows, row)
		}
		if f.Limit > 0 && len(r.Rows) > f.Limit {
			r.Rows = r.Rows[:f.Limit]
			r.Notes = append(r.Notes, fmt.Sprintf("there are more than these %d orders; the next ones come after %s", f.Limit, r.Rows[f.Limit-1].OrderID))
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}
