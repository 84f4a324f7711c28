package orderdb

import (
	"context"

	"escrowd/ledger"
	"escrowd/ledger/pgrows"
	"escrowd/settlement/order"
)

// The tables that the write path adds rows to; the put functions fill their
// columns in this order.
var (
	keysTable = pgrows.Table{Name: "idempotency_keys", Columns: []pgrows.Column{
		{Name: "marketplace", Kind: "int"}, {Name: "key", Kind: "text"}, {Name: "hash", Kind: "bytea"}, {Name: "intent", Kind: "uuid"},
	}}
	referencesTable = pgrows.Table{Name: "order_references", Columns: []pgrows.Column{
		{Name: "marketplace", Kind: "int"}, {Name: "reference", Kind: "text"}, {Name: "order_id", Kind: "uuid"},
	}}
	ordersTable = pgrows.Table{Name: "orders", Columns: []pgrows.Column{
		{Name: "id", Kind: "uuid"}, {Name: "marketplace", Kind: "int"}, {Name: "reference", Kind: "text"}, {Name: "ledger", Kind: "bigint"},
		{Name: "buyer", Kind: "text"}, {Name: "seller", Kind: "text"}, {Name: "category", Kind: "text"}, {Name: "buyer_account", Kind: "uuid"}, {Name: "seller_account", Kind: "uuid"},
		{Name: "policy", Kind: "bigint"}, {Name: "amount", Kind: "bigint"}, {Name: "fee", Kind: "bigint"}, {Name: "tax", Kind: "bigint"},
		{Name: "buyer_share", Kind: "bigint"}, {Name: "seller_tier", Kind: "text"}, {Name: "jurisdiction", Kind: "text"},
		{Name: "ship_by_date", Kind: "timestamptz"}, {Name: "agreed_at", Kind: "timestamptz"}, {Name: "seq", Kind: "int"},
		{Name: "state", Kind: "text"}, {Name: "held", Kind: "bigint"}, {Name: "released", Kind: "bigint"}, {Name: "refunded", Kind: "bigint"},
		{Name: "fee_charged", Kind: "bigint"}, {Name: "tax_charged", Kind: "bigint"}, {Name: "maturing", Kind: "bigint"},
		{Name: "deadline", Kind: "text"}, {Name: "deadline_at", Kind: "timestamptz"}, {Name: "at", Kind: "timestamptz"}, {Name: "paid_at", Kind: "timestamptz"},
		{Name: "parts", Kind: "jsonb"}, {Name: "virtual", Kind: "boolean"}, {Name: "confirm_within", Kind: "int"},
	}}
	deadlinesTable = pgrows.Table{Name: "order_deadlines", Columns: []pgrows.Column{
		{Name: "marketplace", Kind: "int"}, {Name: "deadline", Kind: "text"}, {Name: "at", Kind: "timestamptz"}, {Name: "order_id", Kind: "uuid"},
	}}
	intentsTable = pgrows.Table{Name: "intents", Columns: []pgrows.Column{
		{Name: "id", Kind: "uuid"}, {Name: "chain", Kind: "uuid"}, {Name: "position", Kind: "smallint"}, {Name: "order_id", Kind: "uuid"},
		{Name: "seq", Kind: "int"}, {Name: "attempt", Kind: "smallint"}, {Name: "marketplace", Kind: "int"}, {Name: "event", Kind: "text"},
		{Name: "actor", Kind: "text"}, {Name: "data", Kind: "jsonb"}, {Name: "moves", Kind: "bytea"}, {Name: "state", Kind: "text"},
		{Name: "held", Kind: "bigint"}, {Name: "released", Kind: "bigint"}, {Name: "refunded", Kind: "bigint"}, {Name: "fee_charged", Kind: "bigint"},
		{Name: "tax_charged", Kind: "bigint"}, {Name: "maturing", Kind: "bigint"}, {Name: "deadline", Kind: "text"}, {Name: "deadline_at", Kind: "timestamptz"},
		{Name: "deadline_set", Kind: "boolean"}, {Name: "at", Kind: "timestamptz"}, {Name: "paid_at", Kind: "timestamptz"}, {Name: "freeze_id", Kind: "uuid"},
		{Name: "buyer_extended", Kind: "smallint"}, {Name: "seller_extended", Kind: "smallint"}, {Name: "claim", Kind: "jsonb"},
		{Name: "captured", Kind: "bigint"}, {Name: "captured_fee", Kind: "bigint"}, {Name: "captured_tax", Kind: "bigint"},
		{Name: "captured_share", Kind: "bigint"}, {Name: "method", Kind: "text"},
		{Name: "disputes", Kind: "smallint"}, {Name: "replaced", Kind: "smallint"},
		{Name: "parts", Kind: "jsonb"}, {Name: "holidays", Kind: "smallint"},
		{Name: "aftermath", Kind: "jsonb"},
	}}
)

var insertKeysSQL = keysTable.Insert(1) + ` ON CONFLICT DO NOTHING`

// InsertKeys notes what keys were used for. False means that another process
// used one of them first: the transaction has to be rolled back and decided anew.
func (w *Writer) InsertKeys(ctx context.Context, uses []KeyUse) (bool, error) {
	if err := w.write(ctx); err != nil {
		return false, err
	}
	res, err := w.insertKeys.ExecContext(ctx, keyArgs(uses)...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return int(n) == len(uses), err
}

func keyArgs(uses []KeyUse) []any {
	return keysTable.Arrays(len(uses), func(f *pgrows.Fields, i int) {
		u := &uses[i]
		f.Number(uint64(u.Marketplace))
		f.Text(u.Key)
		f.BytesOrNull(u.Hash)
		f.ID(u.Intent)
	})
}

var (
	insertReferencesSQL = referencesTable.Insert(1) + ` ON CONFLICT DO NOTHING RETURNING order_id`

	insertOrdersSQL = `WITH fresh AS (` + ordersTable.Insert(1) + ` RETURNING ` + deadlinesOfOrders + `)
	INSERT INTO order_deadlines (` + deadlinesTable.Names("") + `) SELECT * FROM fresh`
)

// deadlinesOfOrders are the columns of orders that make order_deadlines.
const deadlinesOfOrders = `marketplace, deadline, deadline_at, id`

// InsertOrders writes orders just agreed and answers the ids of those whose
// reference was not taken; the others are not written.
func (w *Writer) InsertOrders(ctx context.Context, orders []*order.Order) (map[ledger.ID]bool, error) {
	if err := w.write(ctx); err != nil {
		return nil, err
	}
	named, err := returnedIDs(ctx, w.insertReferences, referencesTable.Arrays(len(orders), func(f *pgrows.Fields, i int) { putReference(f, orders[i]) })...)
	if err != nil {
		return nil, err
	}
	fresh := make([]*order.Order, 0, len(orders))
	for _, o := range orders {
		if named[o.ID] {
			fresh = append(fresh, o)
		}
	}
	if len(fresh) == 0 {
		return named, nil
	}
	_, err = w.insertOrders.ExecContext(ctx, ordersTable.Arrays(len(fresh), func(f *pgrows.Fields, i int) { putOrder(f, fresh[i]) })...)
	return named, err
}

// CopyOrders adds orders as they are, for whoever brings books in: nothing is
// checked but by the schema.
func (w *Writer) CopyOrders(ctx context.Context, orders []order.Order) error {
	if err := w.write(ctx); err != nil {
		return err
	}
	var open []*order.Order
	for i := range orders {
		if orders[i].Deadline != order.NoDeadline {
			open = append(open, &orders[i])
		}
	}
	if err := ordersTable.Copy(ctx, w.conn, len(orders), func(f *pgrows.Fields, i int) { putOrder(f, &orders[i]) }); err != nil {
		return err
	}
	if err := referencesTable.Copy(ctx, w.conn, len(orders), func(f *pgrows.Fields, i int) { putReference(f, &orders[i]) }); err != nil {
		return err
	}
	return deadlinesTable.Copy(ctx, w.conn, len(open), func(f *pgrows.Fields, i int) {
		f.Number(uint64(open[i].Marketplace))
		f.Word(string(open[i].Deadline))
		f.Time(open[i].DeadlineAt)
		f.ID(open[i].ID)
	})
}

func putReference(f *pgrows.Fields, o *order.Order) {
	f.Number(uint64(o.Marketplace))
	f.Text(o.Reference)
	f.ID(o.ID)
}

func putOrder(f *pgrows.Fields, o *order.Order) {
	f.ID(o.ID)
	f.Number(uint64(o.Marketplace))
	f.Text(o.Reference)
	f.Number(uint64(o.Ledger))
	f.Text(o.Buyer)
	f.Text(o.Seller)
	f.TextOrNull(o.Category) // it may be the word null
	f.ID(o.BuyerAccount)
	f.ID(o.SellerAccount)
	f.Int(o.Policy.ID)
	f.Int(o.Amount)
	f.Int(o.Fee)
	f.Int(o.Tax)
	putAmount(f, o.BuyerShare)
	f.TextOrNull(o.SellerTier)
	f.WordOrNull(o.Jurisdiction)
	f.Time(o.ShipByDate)
	f.Time(o.AgreedAt)
	f.Int(int64(o.Seq))
	f.Word(string(o.State))
	putMoney(f, &o.Progress)
	f.WordOrNull(string(o.Deadline))
	f.Time(o.DeadlineAt)
	f.Time(o.At)
	f.Time(o.PaidAt)
	putDocument(f, o.Parts)
	if o.Virtual {
		f.Bool(true)
	} else {
		f.Null()
	}
	putAmount(f, int64(o.ConfirmWithin)) // in seconds, but of few orders too
}

func putMoney(f *pgrows.Fields, p *order.Progress) {
	f.Int(p.Held)
	f.Int(p.Released)
	f.Int(p.Refunded)
	f.Int(p.FeeCharged)
	f.Int(p.TaxCharged)
	f.Int(p.Maturing)
}

// putCaptured puts NULL for all orders but those that came to something else
// than was agreed.
func putCaptured(f *pgrows.Fields, p *order.Progress) {
	c := p.Captured
	if c.Amount == 0 {
		f.Null()
		f.Null()
		f.Null()
		f.Null()
	} else {
		f.Int(c.Amount)
		f.Int(c.Fee)
		f.Int(c.Tax)
		putAmount(f, c.BuyerShare)
	}
	f.TextOrNull(p.Method) // it may be the word null
}

// putAmount puts NULL for 0.
func putAmount(f *pgrows.Fields, v int64) {
	if v == 0 {
		f.Null()
		return
	}
	f.Int(v)
}

// putCount puts NULL for none: most orders have none.
func putCount(f *pgrows.Fields, n int16) {
	if n == 0 {
		f.Null()
		return
	}
	f.Int(int64(n))
}

// Intent is one decided event, as it is stored.
type Intent struct {
	ID       ledger.ID
	Chain    ledger.ID    // the first intent of the chain
	Position int16        // in the chain
	Order    *order.Order // right after it
	Attempt  int16
	Event    order.Event
	Actor    order.Role
	Data     []byte // JSON, nil for none
	Accounts []ledger.Account
	Legs     []ledger.Transfer
	// DeadlineSet: the event gives the order another deadline than it had, or
	// the same one at another moment.
	DeadlineSet bool
}

// Insertion that is ready for a conflict costs half as much again as one that
// is not, and conflicts are rare: so there is a statement for the one and,
// when it fails, some for the other.
var (
	decideSQL = `WITH opened AS (INSERT INTO open_batches (first, last) SELECT $1::uuid, $2::uuid WHERE $1::uuid IS NOT NULL),
	used AS (` + keysTable.Insert(3) + `) ` + intentsTable.Insert(3+len(keysTable.Columns))

	// noteSQL is decideSQL for intents that were copied.
	noteSQL = `WITH opened AS (INSERT INTO open_batches (first, last) SELECT $1::uuid, $2::uuid WHERE $1::uuid IS NOT NULL) ` + keysTable.Insert(3)

	insertIntentsSQL = intentsTable.Insert(1) + ` ON CONFLICT (order_id, seq, attempt) DO NOTHING RETURNING id`
)

const openBatchSQL = `INSERT INTO open_batches (first, last) VALUES ($1, $2)`

// Batch is the smallest and the largest id of intents that go to the ledger
// together; others may lie between.
type Batch struct{ First, Last ledger.ID }

// Decide stores intents, the use of keys, and the batch that goes to the
// ledger (none if its ids are zero), where nothing of it was there before.
// Otherwise it answers ErrTaken. last says that the transaction writes nothing
// after this; then it may be committed on return.
func (w *Writer) Decide(ctx context.Context, intents []Intent, keys []KeyUse, open Batch, last bool) error {
	put, err := putIntents(intents)
	if err != nil {
		return err
	}
	args := append([]any{uid(open.First), uid(open.Last)}, keyArgs(keys)...)
	small := len(intents) < pgrows.CopyFrom || !lineSafe(intents)
	if !last || !small {
		if err := w.write(ctx); err != nil {
			return err
		}
	}
	if small {
		return w.alone(ctx, w.decide, append(args, intentsTable.Arrays(len(intents), put)...))
	}
	if err := intentsTable.Copy(ctx, w.conn, len(intents), put); err != nil {
		return taken(err)
	}
	_, err = w.note.ExecContext(ctx, args...)
	return taken(err)
}

func lineSafe(intents []Intent) bool {
	for i := range intents {
		if !pgrows.LineSafe(intents[i].Data) {
			return false
		}
	}
	return true
}

// InsertIntents stores what was decided and answers the ids of those whose
// place in their order was free. The others are busy: something else is
// happening to the order.
func (w *Writer) InsertIntents(ctx context.Context, intents []Intent) (map[ledger.ID]bool, error) {
	if err := w.write(ctx); err != nil {
		return nil, err
	}
	put, err := putIntents(intents)
	if err != nil {
		return nil, err
	}
	return returnedIDs(ctx, w.insertIntents, intentsTable.Arrays(len(intents), put)...)
}

// OpenBatch notes the batch that goes to the ledger.
func (w *Writer) OpenBatch(ctx context.Context, b Batch) error {
	if err := w.write(ctx); err != nil {
		return err
	}
	_, err := w.openBatch.ExecContext(ctx, uid(b.First), uid(b.Last))
	return err
}

func putIntents(intents []Intent) (pgrows.Putter, error) {
	moves := make([][]byte, len(intents))
	for i := range intents {
		var err error
		if moves[i], err = packMoves(&intents[i]); err != nil {
			return nil, err
		}
	}
	return func(f *pgrows.Fields, i int) {
		n := &intents[i]
		p := &n.Order.Progress
		f.ID(n.ID)
		f.ID(n.Chain)
		f.Int(int64(n.Position))
		f.ID(n.Order.ID)
		f.Int(int64(n.Order.Seq))
		f.Int(int64(n.Attempt))
		f.Number(uint64(n.Order.Marketplace))
		f.Word(string(n.Event))
		f.Word(string(n.Actor))
		f.TextOrNull(string(n.Data))
		f.BytesOrNull(moves[i])
		f.Word(string(p.State))
		putMoney(f, p)
		f.WordOrNull(string(p.Deadline))
		f.Time(p.DeadlineAt)
		f.Bool(n.DeadlineSet)
		f.Time(p.At)
		f.Time(p.PaidAt)
		f.IDOrNull(p.Freeze)
		f.Int(int64(p.BuyerExtended))
		f.Int(int64(p.SellerExtended))
		putDocument(f, p.Claim)
		putCaptured(f, p)
		putCount(f, p.Disputes)
		putCount(f, p.Replaced)
		putDocument(f, p.Parts)
		if p.Holidays > 0 {
			f.Int(int64(p.Holidays))
		} else {
			f.Null()
		}
		putDocument(f, p.Aftermath)
	}, nil
}
