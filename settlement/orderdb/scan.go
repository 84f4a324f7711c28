package orderdb

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/pgrows"
	"escrowd/settlement/order"
)

// uid is a 128-bit id as Postgres uuid; NULL reads as 0 and 0 writes as NULL.
type uid ledger.ID

func (u *uid) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*u = uid{}
		return nil
	case []byte:
		return u.parse(string(v))
	case string:
		return u.parse(v)
	}
	return fmt.Errorf("orderdb: a uuid cannot be read from %T", src)
}

func (u *uid) parse(s string) error {
	id, err := ledger.ParseUUID(s)
	*u = uid(id)
	return err
}

func (u uid) Value() (driver.Value, error) {
	if u == (uid{}) {
		return nil, nil
	}
	return ledger.ID(u).UUID(), nil
}

// uids is a uuid[] parameter.
func uids(ids []ledger.ID) any {
	return idTable.Arrays(len(ids), func(f *pgrows.Fields, i int) { f.ID(ids[i]) })[0]
}

var idTable = pgrows.Table{Columns: []pgrows.Column{{Name: "id", Kind: "uuid"}}}

// moment reads a timestamptz; NULL is the zero time.
type moment time.Time

func (m *moment) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*m = moment{}
		return nil
	case time.Time:
		*m = moment(v.UTC())
		return nil
	}
	return fmt.Errorf("orderdb: a time cannot be read from %T", src)
}

// amount reads a bigint; NULL is 0.
type amount int64

func (a *amount) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*a = 0
		return nil
	case int64:
		*a = amount(v)
		return nil
	}
	return fmt.Errorf("orderdb: an amount cannot be read from %T", src)
}

// count reads a smallint; NULL is 0.
type count int16

func (c *count) Scan(src any) error {
	var n amount
	err := n.Scan(src)
	*c = count(n)
	return err
}

// orderColumns are what scanOrder reads, of orders AS o.
const orderColumns = `o.id, o.marketplace, o.reference, o.ledger, o.buyer, o.seller, coalesce(o.category, ''), o.buyer_account,
	o.seller_account, o.policy, o.amount, o.fee, o.tax, o.buyer_share,
	coalesce(o.seller_tier, ''), coalesce(o.jurisdiction, ''), o.ship_by_date, o.agreed_at, o.seq, o.attempt,
	o.state, o.held, o.released, o.refunded, o.fee_charged, o.tax_charged, o.maturing,
	coalesce(o.deadline, ''), o.deadline_at, o.at, o.paid_at, o.freeze_id, o.buyer_extended, o.seller_extended, o.claim,
	o.captured, o.captured_fee, o.captured_tax, o.captured_share, coalesce(o.method, ''), o.disputes, o.replaced,
	o.parts, coalesce(o.holidays, 0), o.aftermath, coalesce(o.virtual, false), coalesce(o.confirm_within, 0)`

// orderAfterColumns are the same of an order right after intents AS i.
const orderAfterColumns = `o.id, o.marketplace, o.reference, o.ledger, o.buyer, o.seller, coalesce(o.category, ''), o.buyer_account,
	o.seller_account, o.policy, o.amount, o.fee, o.tax, o.buyer_share,
	coalesce(o.seller_tier, ''), coalesce(o.jurisdiction, ''), o.ship_by_date, o.agreed_at, i.seq, 0::smallint,
	i.state, i.held, i.released, i.refunded, i.fee_charged, i.tax_charged, i.maturing,
	coalesce(i.deadline, ''), i.deadline_at, i.at, i.paid_at, i.freeze_id, i.buyer_extended, i.seller_extended, i.claim,
	i.captured, i.captured_fee, i.captured_tax, i.captured_share, coalesce(i.method, ''), i.disputes, i.replaced,
	i.parts, coalesce(i.holidays, 0), i.aftermath, coalesce(o.virtual, false), coalesce(o.confirm_within, 0)`

// document reads what few orders have, such as their dispute or their parts, as
// JSON; NULL is none.
type document[T any] struct{ of **T }

func documentIn[T any](of **T) document[T] { return document[T]{of} }

func (d document[T]) Scan(src any) error {
	*d.of = nil
	switch v := src.(type) {
	case nil:
		return nil
	case []byte:
		return json.Unmarshal(v, d.of)
	}
	return fmt.Errorf("orderdb: a %T cannot be read from %T", *d.of, src)
}

func putDocument[T any](f *pgrows.Fields, d *T) {
	if d == nil {
		f.Null()
		return
	}
	b, err := json.Marshal(d)
	if err != nil {
		panic(err) // numbers, times and words always have a JSON form
	}
	f.Text(string(b))
}

type scanner interface{ Scan(dest ...any) error }

// scanOrder reads orderColumns and then more. The order's policy is only its
// id yet, see Store.policy.
func scanOrder(row scanner, o *order.Order, policy *int64, more ...any) error {
	return row.Scan(append([]any{
		(*uid)(&o.ID), &o.Marketplace, &o.Reference, &o.Ledger, &o.Buyer, &o.Seller, &o.Category, (*uid)(&o.BuyerAccount),
		(*uid)(&o.SellerAccount), policy, &o.Amount, &o.Fee, &o.Tax, (*amount)(&o.BuyerShare),
		&o.SellerTier, &o.Jurisdiction, (*moment)(&o.ShipByDate), (*moment)(&o.AgreedAt),
		&o.Seq, &o.Attempt, &o.State, &o.Held, &o.Released, &o.Refunded, &o.FeeCharged, &o.TaxCharged, &o.Maturing,
		&o.Deadline, (*moment)(&o.DeadlineAt), (*moment)(&o.At), (*moment)(&o.PaidAt), (*uid)(&o.Freeze),
		&o.BuyerExtended, &o.SellerExtended, documentIn(&o.Claim),
		(*amount)(&o.Captured.Amount), (*amount)(&o.Captured.Fee), (*amount)(&o.Captured.Tax),
		(*amount)(&o.Captured.BuyerShare), &o.Method, (*count)(&o.Disputes), (*count)(&o.Replaced),
		documentIn(&o.Parts), &o.Holidays, documentIn(&o.Aftermath), &o.Virtual, &o.ConfirmWithin,
	}, more...)...)
}
