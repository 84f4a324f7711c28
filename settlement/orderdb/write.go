package orderdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
)

// The methods of Writer are the set-based statements of the write path: each
// is one round trip for a whole batch, in the transaction that Begin began.

// Writer is the write path's own connection with its prepared statements
// (lib/pq without preparing is three times slower). It is used by one
// goroutine; after an error of the connection, close it and make another.
type Writer struct {
	store *Store
	conn  *sqlx.Conn

	findKeys, loadOrders, loadClocks, insertReferences, insertOrders, decide, insertIntents, insertKeys,
	addOutcomes, setOutcomes, move, refuse, openBatch, chains, findAccounts, insertAccounts *sqlx.Stmt
}

// sessionSQL fixes how the statements are planned. Each looks a batch of rows
// up by key, so an index is right whatever the tables' sizes; but a plan that
// is made and kept while a table is small would read all of it for ever.
// The price that Postgres sets on a plan it was told to avoid would make it
// compile or spread the statement over workers, which takes longer than it.
const sessionSQL = `SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
	SET plan_cache_mode = force_generic_plan; SET jit = off; SET max_parallel_workers_per_gather = 0`

// NewWriter takes a connection and prepares the statements.
func NewWriter(ctx context.Context, s *Store) (w *Writer, err error) {
	w = &Writer{store: s}
	if w.conn, err = s.db.Connx(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = w.Close()
		}
	}()
	if _, err = w.conn.ExecContext(ctx, sessionSQL); err != nil {
		return nil, err
	}
	for _, p := range []struct {
		stmt **sqlx.Stmt
		sql  string
	}{
		{&w.findKeys, findKeysSQL}, {&w.loadOrders, loadOrdersSQL}, {&w.loadClocks, loadClocksSQL},
		{&w.insertReferences, insertReferencesSQL}, {&w.insertOrders, insertOrdersSQL},
		{&w.decide, decideSQL}, {&w.insertIntents, insertIntentsSQL}, {&w.insertKeys, insertKeysSQL}, {&w.openBatch, openBatchSQL},
		{&w.addOutcomes, addOutcomesSQL}, {&w.setOutcomes, setOutcomesSQL}, {&w.move, moveSQL}, {&w.refuse, refuseSQL},
		{&w.chains, chainsSQL}, {&w.findAccounts, findAccountsSQL}, {&w.insertAccounts, insertAccountsSQL},
	} {
		if *p.stmt, err = w.conn.PreparexContext(ctx, p.sql); err != nil {
			return nil, fmt.Errorf("orderdb: prepare: %w", err)
		}
	}
	return w, nil
}

// Tx is a transaction of a Writer's. It is not database/sql's, which would hold
// a lock that a statement wants when it finds the connection gone: each would
// wait for the other until the context ends.
type Tx struct {
	w  *Writer
	tx driver.Tx // nil when it has ended
}

// Begin begins a transaction; the caller ends it before the next one.
func (w *Writer) Begin(ctx context.Context) (*Tx, error) {
	t := &Tx{w: w}
	return t, w.conn.Raw(func(conn any) (err error) {
		t.tx, err = conn.(driver.ConnBeginTx).BeginTx(ctx, driver.TxOptions{})
		return err
	})
}

// Commit ends the transaction. After an error it is not known how.
func (t *Tx) Commit() error { return t.end(driver.Tx.Commit) }

// Rollback gives the transaction up, unless it has ended.
func (t *Tx) Rollback() error { return t.end(driver.Tx.Rollback) }

func (t *Tx) end(how func(driver.Tx) error) error {
	if t.tx == nil {
		return nil
	}
	tx := t.tx
	t.tx = nil
	return t.w.conn.Raw(func(any) error { return how(tx) })
}

// PrepareContext prepares a statement of the transaction.
func (t *Tx) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return t.w.conn.PrepareContext(ctx, query)
}

// Close ends the connection: it is not fit for other uses.
func (w *Writer) Close() error {
	err := w.conn.Raw(func(any) error { return driver.ErrBadConn }) // takes it out of the pool
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return errors.Join(err, w.conn.Close())
}

// KeyUse is what an idempotency key was used for.
type KeyUse struct {
	Marketplace uint32
	Key         string
	Hash        []byte // SHA-256 of route and body
	Intent      ledger.ID
}

// KeyName is a key within its marketplace.
type KeyName struct {
	Marketplace uint32
	Key         string
}

const findKeysSQL = `SELECT k.marketplace, k.key, k.hash, k.intent
	FROM unnest($1::int[], $2::text[]) AS q (marketplace, key)
	JOIN idempotency_keys k ON k.marketplace = q.marketplace AND k.key = q.key`

// FindKeys looks idempotency keys up.
func (w *Writer) FindKeys(ctx context.Context, names []KeyName) (map[KeyName]KeyUse, error) {
	var markets pq.Int64Array
	var keys pq.StringArray
	for _, n := range names {
		markets, keys = append(markets, int64(n.Marketplace)), append(keys, n.Key)
	}
	rows, err := w.findKeys.QueryContext(ctx, markets, keys)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[KeyName]KeyUse{}
	for rows.Next() {
		var u KeyUse
		if err := rows.Scan(&u.Marketplace, &u.Key, &u.Hash, (*uid)(&u.Intent)); err != nil {
			return nil, err
		}
		found[KeyName{u.Marketplace, u.Key}] = u
	}
	return found, rows.Err()
}

const insertKeysSQL = `INSERT INTO idempotency_keys (marketplace, key, hash, intent)
	SELECT * FROM unnest($1::int[], $2::text[], $3::bytea[], $4::uuid[])
	ON CONFLICT DO NOTHING`

// InsertKeys notes what keys were used for. False means that another process
// used one of them first: the transaction has to be rolled back and decided anew.
func (w *Writer) InsertKeys(ctx context.Context, uses []KeyUse) (bool, error) {
	res, err := w.insertKeys.ExecContext(ctx, keyArgs(uses)...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return int(n) == len(uses), err
}

func keyArgs(uses []KeyUse) []any {
	var (
		markets pq.Int64Array
		keys    pq.StringArray
		hashes  pq.ByteaArray
		intents []ledger.ID
	)
	for _, u := range uses {
		markets, keys = append(markets, int64(u.Marketplace)), append(keys, u.Key)
		hashes, intents = append(hashes, u.Hash), append(intents, u.Intent)
	}
	return []any{markets, keys, hashes, uids(intents)}
}

const loadOrdersSQL = `SELECT ` + orderColumns + ` FROM unnest($1::uuid[]) AS q (id) JOIN orders o ON o.id = q.id`

// LoadOrders reads orders by id, with their policies.
func (w *Writer) LoadOrders(ctx context.Context, ids []ledger.ID) (map[ledger.ID]order.Order, error) {
	rows, err := w.loadOrders.QueryContext(ctx, uids(ids))
	if err != nil {
		return nil, err
	}
	list, policies, err := readOrders(rows)
	if err != nil {
		return nil, err
	}
	found := make(map[ledger.ID]order.Order, len(list))
	for i, o := range list {
		if o.Policy, err = w.store.policy(ctx, w.conn, policies[i]); err != nil {
			return nil, err
		}
		found[o.ID] = o
	}
	return found, nil
}

const loadClocksSQL = `SELECT ` + marketplaceColumns + ` FROM marketplaces WHERE id = ANY($1::int[])`

// LoadMarketplaces reads tenants by id, with their clocks as they stand.
func (w *Writer) LoadMarketplaces(ctx context.Context, ids []uint32) (map[uint32]Marketplace, error) {
	var list pq.Int64Array
	for _, id := range ids {
		list = append(list, int64(id))
	}
	rows, err := w.loadClocks.QueryContext(ctx, list)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[uint32]Marketplace{}
	for rows.Next() {
		m, err := scanMarketplace(rows)
		if err != nil {
			return nil, err
		}
		found[m.ID] = m
	}
	return found, rows.Err()
}

// NewestPolicy is the newest version of the marketplace's policy, or
// ErrNotFound.
func (w *Writer) NewestPolicy(ctx context.Context, marketplace uint32, name string) (*order.Policy, error) {
	return w.store.newestPolicy(ctx, w.conn, marketplace, name)
}

// AccountName is whose account of what kind.
type AccountName struct {
	Ledger uint32
	Code   chart.AccountCode
	Owner  string // the buyer, the seller, the payment method, or "" for the whole ledger's
}

const (
	findAccountsSQL = `SELECT a.ledger, a.code, a.owner, a.id
	FROM unnest($1::bigint[], $2::int[], $3::text[]) AS q (ledger, code, owner)
	JOIN accounts a ON a.ledger = q.ledger AND a.code = q.code AND a.owner = q.owner`

	insertAccountsSQL = `INSERT INTO accounts (ledger, code, owner, id)
	SELECT * FROM unnest($1::bigint[], $2::int[], $3::text[], $4::uuid[])
	ON CONFLICT (ledger, code, owner) DO NOTHING`
)

// Accounts finds accounts by name and makes the rows of those that have none
// yet. A seller's 2210 row is made with its 2200 row. The ids may be
// remembered only after the transaction is committed.
func (w *Writer) Accounts(ctx context.Context, names []AccountName) (map[AccountName]ledger.ID, error) {
	found := map[AccountName]ledger.ID{}
	if err := w.accountsByName(ctx, names, found); err != nil {
		return nil, err
	}
	var (
		missing []AccountName
		ledgers pq.Int64Array
		codes   pq.Int64Array
		owners  pq.StringArray
		ids     []ledger.ID
	)
	add := func(n AccountName, id ledger.ID) {
		ledgers, codes = append(ledgers, int64(n.Ledger)), append(codes, int64(n.Code))
		owners, ids = append(owners, n.Owner), append(ids, id)
	}
	for _, n := range names {
		if _, ok := found[n]; ok {
			continue
		}
		missing = append(missing, n)
		party, err := NewID()
		if err != nil {
			return nil, err
		}
		add(n, order.AccountID(party, n.Code))
		if n.Code == chart.SellerPending {
			add(AccountName{n.Ledger, chart.SellerAvailable, n.Owner}, order.AccountID(party, chart.SellerAvailable))
		}
	}
	if len(missing) == 0 {
		return found, nil
	}
	if _, err := w.insertAccounts.ExecContext(ctx, ledgers, codes, owners, uids(ids)); err != nil {
		return nil, err
	}
	// Read again rather than trust the ids above: another process may have
	// been first.
	if err := w.accountsByName(ctx, missing, found); err != nil {
		return nil, err
	}
	for _, n := range missing {
		if _, ok := found[n]; !ok {
			return nil, fmt.Errorf("orderdb: account %d of ledger %d is not there after it was made", n.Code, n.Ledger)
		}
	}
	return found, nil
}

func (w *Writer) accountsByName(ctx context.Context, names []AccountName, found map[AccountName]ledger.ID) error {
	var ledgers, codes pq.Int64Array
	var owners pq.StringArray
	for _, n := range names {
		ledgers, codes, owners = append(ledgers, int64(n.Ledger)), append(codes, int64(n.Code)), append(owners, n.Owner)
	}
	rows, err := w.findAccounts.QueryContext(ctx, ledgers, codes, owners)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var n AccountName
		var id ledger.ID
		if err := rows.Scan(&n.Ledger, &n.Code, &n.Owner, (*uid)(&id)); err != nil {
			return err
		}
		found[n] = id
	}
	return rows.Err()
}

// NewID is a UUIDv7: it rises with time.
func NewID() (ledger.ID, error) {
	u, err := uuid.NewV7()
	return ledger.FromBytes(u), err
}

const insertReferencesSQL = `INSERT INTO order_references (marketplace, reference, order_id)
	SELECT * FROM unnest($1::int[], $2::text[], $3::uuid[])
	ON CONFLICT DO NOTHING RETURNING order_id`

const insertOrdersSQL = `INSERT INTO orders (id, marketplace, reference, ledger, buyer, seller, buyer_account, seller_account,
		policy, amount, fee, tax, ship_by_date, agreed_at, seq, state, deadline, deadline_at, at)
	SELECT id, marketplace, reference, ledger, buyer, seller, buyer_account, seller_account,
		policy, amount, fee, tax, CASE ship_by WHEN 0 THEN NULL ELSE 'epoch'::timestamptz + ship_by * interval '1 microsecond' END,
		'epoch'::timestamptz + at * interval '1 microsecond', 1, 'agreed', 'pay_by',
		'epoch'::timestamptz + deadline * interval '1 microsecond', 'epoch'::timestamptz + at * interval '1 microsecond'
	FROM unnest($1::uuid[], $2::int[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::uuid[], $8::uuid[],
		$9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[])
	  AS n (id, marketplace, reference, ledger, buyer, seller, buyer_account, seller_account,
		policy, amount, fee, tax, ship_by, at, deadline)`

// InsertOrders writes orders just agreed and answers the ids of those whose
// reference was not taken; the others are not written.
func (w *Writer) InsertOrders(ctx context.Context, orders []order.Order) (map[ledger.ID]bool, error) {
	var (
		markets, ledgers, policies, amounts, fees, taxes, shipBy, at, deadline pq.Int64Array
		references, buyers, sellers                                            pq.StringArray
		ids, buyerAccounts, sellerAccounts                                     []ledger.ID
	)
	for i := range orders {
		o := &orders[i]
		ids, markets, references = append(ids, o.ID), append(markets, int64(o.Marketplace)), append(references, o.Reference)
	}
	named, err := returnedIDs(ctx, w.insertReferences, markets, references, uids(ids))
	if err != nil {
		return nil, err
	}
	ids, markets, references = nil, nil, nil
	for i := range orders {
		o := &orders[i]
		if !named[o.ID] {
			continue
		}
		ids, markets, references = append(ids, o.ID), append(markets, int64(o.Marketplace)), append(references, o.Reference)
		ledgers, buyers, sellers = append(ledgers, int64(o.Ledger)), append(buyers, o.Buyer), append(sellers, o.Seller)
		buyerAccounts, sellerAccounts = append(buyerAccounts, o.BuyerAccount), append(sellerAccounts, o.SellerAccount)
		policies, amounts = append(policies, o.Policy.ID), append(amounts, o.Amount)
		fees, taxes = append(fees, o.Fee), append(taxes, o.Tax)
		shipBy, at, deadline = append(shipBy, micros(o.ShipByDate)), append(at, micros(o.At)), append(deadline, micros(o.DeadlineAt))
	}
	if len(ids) == 0 {
		return named, nil
	}
	_, err = w.insertOrders.ExecContext(ctx, uids(ids), markets, references, ledgers, buyers, sellers,
		uids(buyerAccounts), uids(sellerAccounts), policies, amounts, fees, taxes, shipBy, at, deadline)
	return named, err
}

func returnedIDs(ctx context.Context, stmt *sqlx.Stmt, args ...any) (map[ledger.ID]bool, error) {
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	ids, err := readIDs(rows)
	if err != nil {
		return nil, err
	}
	return setOf(ids), nil
}

func setOf(ids []ledger.ID) map[ledger.ID]bool {
	set := make(map[ledger.ID]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set
}

func readIDs(rows *sql.Rows) ([]ledger.ID, error) {
	defer rows.Close()
	var ids []ledger.ID
	for rows.Next() {
		var id ledger.ID
		if err := rows.Scan((*uid)(&id)); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// Intent is one decided event, as it is stored.
type Intent struct {
	ID       ledger.ID
	Chain    ledger.ID // the first intent of the chain
	Position int16     // in the chain
	Order    order.Order
	Attempt  int16
	Event    order.Event
	Actor    order.Role
	Data     []byte // JSON, nil for none
	Accounts []ledger.Account
	Legs     []ledger.Transfer
}

const intentsSQL = `INSERT INTO intents (id, chain, position, order_id, seq, attempt, marketplace, event, actor, data, accounts, legs,
		state, held, released, refunded, fee_charged, tax_charged, maturing, deadline, deadline_at, at, paid_at, freeze_id,
		buyer_extended, seller_extended)
	SELECT id, chain, position, order_id, seq, attempt, marketplace, event, actor,
		nullif(data, '')::jsonb, nullif(accounts, ''), nullif(legs, ''),
		state, held, released, refunded, fee_charged, tax_charged, maturing, nullif(deadline, ''),
		CASE deadline_at WHEN 0 THEN NULL ELSE 'epoch'::timestamptz + deadline_at * interval '1 microsecond' END,
		'epoch'::timestamptz + at * interval '1 microsecond',
		CASE paid_at WHEN 0 THEN NULL ELSE 'epoch'::timestamptz + paid_at * interval '1 microsecond' END,
		nullif(freeze_id, '00000000-0000-0000-0000-000000000000'),
		buyer_extended, seller_extended
	FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::uuid[], $5::int[], $6::smallint[], $7::int[], $8::text[], $9::text[],
		$10::text[], $11::bytea[], $12::bytea[], $13::text[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[],
		$18::bigint[], $19::bigint[], $20::text[], $21::bigint[], $22::bigint[], $23::bigint[], $24::uuid[],
		$25::smallint[], $26::smallint[])
	  AS n (id, chain, position, order_id, seq, attempt, marketplace, event, actor, data, accounts, legs,
		state, held, released, refunded, fee_charged, tax_charged, maturing, deadline, deadline_at, at, paid_at, freeze_id,
		buyer_extended, seller_extended)`

// Insertion that is ready for a conflict costs half as much again as one that
// is not, and conflicts are rare: so there is a statement for the one and,
// when it fails, some for the other.
const (
	decideSQL = `WITH opened AS (INSERT INTO open_batches (first, last) SELECT $27::uuid, $28::uuid WHERE $27::uuid IS NOT NULL),
	used AS (INSERT INTO idempotency_keys (marketplace, key, hash, intent) SELECT * FROM unnest($29::int[], $30::text[], $31::bytea[], $32::uuid[])) ` + intentsSQL

	insertIntentsSQL = intentsSQL + ` ON CONFLICT (order_id, seq, attempt) DO NOTHING RETURNING id`

	openBatchSQL = `INSERT INTO open_batches (first, last) VALUES ($1, $2)`
)

// ErrTaken: a place in an order or an idempotency key is taken. The
// transaction has to be rolled back; InsertIntents and InsertKeys tell which.
var ErrTaken = errors.New("taken by another process, or before")

// Batch is the smallest and the largest id of intents that go to the ledger
// together; others may lie between.
type Batch struct{ First, Last ledger.ID }

// Decide stores intents, the use of keys, and the batch that goes to the
// ledger (none if its ids are zero), where nothing of it was there before.
// Otherwise it answers ErrTaken.
func (w *Writer) Decide(ctx context.Context, intents []Intent, keys []KeyUse, open Batch) error {
	args := append(intentArgs(intents), uid(open.First), uid(open.Last))
	return w.exec(ctx, w.decide, append(args, keyArgs(keys)...)...)
}

// InsertIntents stores what was decided and answers the ids of those whose
// place in their order was free. The others are busy: something else is
// happening to the order.
func (w *Writer) InsertIntents(ctx context.Context, intents []Intent) (map[ledger.ID]bool, error) {
	return returnedIDs(ctx, w.insertIntents, intentArgs(intents)...)
}

// OpenBatch notes the batch that goes to the ledger.
func (w *Writer) OpenBatch(ctx context.Context, b Batch) error {
	_, err := w.openBatch.ExecContext(ctx, uid(b.First), uid(b.Last))
	return err
}

func intentArgs(intents []Intent) []any {
	var (
		ids, chains, orders, freezes                                 []ledger.ID
		positions, seqs, attempts, markets, held, released, refunded pq.Int64Array
		fees, taxes, maturing, deadlines, at, paid, extB, extS       pq.Int64Array
		events, actors, data, states, names                          pq.StringArray
		accounts, legs                                               pq.ByteaArray
	)
	for i := range intents {
		n := &intents[i]
		p := &n.Order.Progress
		ids, chains, orders = append(ids, n.ID), append(chains, n.Chain), append(orders, n.Order.ID)
		positions, seqs = append(positions, int64(n.Position)), append(seqs, int64(n.Order.Seq))
		attempts, markets = append(attempts, int64(n.Attempt)), append(markets, int64(n.Order.Marketplace))
		events, actors, data = append(events, string(n.Event)), append(actors, string(n.Actor)), append(data, string(n.Data))
		a := make([]byte, 0, len(n.Accounts)*ledger.EventSize)
		for _, v := range n.Accounts {
			a = ledger.AppendAccount(a, v)
		}
		l := make([]byte, 0, len(n.Legs)*ledger.EventSize)
		for _, v := range n.Legs {
			l = ledger.AppendTransfer(l, v)
		}
		accounts, legs = append(accounts, a), append(legs, l)
		states, held, released = append(states, string(p.State)), append(held, p.Held), append(released, p.Released)
		refunded, fees, taxes = append(refunded, p.Refunded), append(fees, p.FeeCharged), append(taxes, p.TaxCharged)
		maturing, names = append(maturing, p.Maturing), append(names, string(p.Deadline))
		deadlines, at, paid = append(deadlines, micros(p.DeadlineAt)), append(at, micros(p.At)), append(paid, micros(p.PaidAt))
		freezes = append(freezes, p.Freeze)
		extB, extS = append(extB, int64(p.BuyerExtended)), append(extS, int64(p.SellerExtended))
	}
	return []any{uids(ids), uids(chains), positions, uids(orders), seqs, attempts,
		markets, events, actors, data, accounts, legs, states, held, released, refunded, fees, taxes, maturing, names,
		deadlines, at, paid, uids(freezes), extB, extS}
}

// Outcome is what came of an intent.
type Outcome struct {
	Intent          ledger.ID
	Marketplace     uint32
	Outcome         OutcomeKind
	Reason          string // the ledger's status; "" when applied
	LedgerTimestamp uint64 // of the intent's first leg; 0 unless applied
}

// OutcomeKind is how an intent ended; "" is not yet.
type OutcomeKind string

// The ends of an intent.
const (
	Applied  OutcomeKind = "applied"
	Rejected OutcomeKind = "rejected"
	Frozen   OutcomeKind = "frozen"
)

// The lock makes positions visible in their order, see the schema: it is held
// before the first of them is drawn.
const addOutcomesSQL = `WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock(1702060914, 'outcomes'::regclass::oid::int)), -- "escr"
	closed AS (DELETE FROM open_batches WHERE first = ANY($6::uuid[]))
	INSERT INTO outcomes (intent, marketplace, outcome, reason, ledger_timestamp)
	SELECT intent, marketplace, outcome, nullif(reason, ''), nullif(ts, 0)
	FROM locked, unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::bigint[])
	  WITH ORDINALITY AS r (intent, marketplace, outcome, reason, ts, n)
	ORDER BY n`

const setOutcomesSQL = addOutcomesSQL + ` ON CONFLICT (intent) DO NOTHING RETURNING intent`

const moveSQL = `UPDATE orders o SET seq = i.seq, attempt = 0, state = i.state, held = i.held, released = i.released,
		refunded = i.refunded, fee_charged = i.fee_charged, tax_charged = i.tax_charged, maturing = i.maturing,
		deadline = i.deadline, deadline_at = i.deadline_at, at = i.at, paid_at = i.paid_at, freeze_id = i.freeze_id,
		buyer_extended = i.buyer_extended, seller_extended = i.seller_extended
	FROM intents i
	WHERE i.id = ANY($1::uuid[]) AND o.id = i.order_id AND o.seq = i.seq - 1`

const refuseSQL = `UPDATE orders o SET attempt = i.attempt + 1
	FROM intents i
	WHERE i.id = ANY($1::uuid[]) AND o.id = i.order_id AND o.seq = i.seq - 1 AND o.attempt = i.attempt`

// Recording is what Record writes.
type Recording struct {
	Outcomes []Outcome
	Made     map[ledger.ID]bool // of them, those whose orders are new and stand where they should already
	Closed   []ledger.ID        // batches (by First) whose intents all have outcomes with these
	Careful  bool               // some may have an outcome already
}

// Record writes outcomes and moves on the orders of those that were applied.
// It answers whose outcome it wrote; the others had one. ErrTaken: one had and
// r was not Careful; the transaction has to be rolled back.
func (w *Writer) Record(ctx context.Context, r Recording) (set map[ledger.ID]bool, err error) {
	if len(r.Outcomes) == 0 {
		return nil, nil
	}
	var (
		ids             []ledger.ID
		markets, stamps pq.Int64Array
		kinds, reasons  pq.StringArray
	)
	for _, o := range r.Outcomes {
		ids, markets = append(ids, o.Intent), append(markets, int64(o.Marketplace))
		kinds, reasons = append(kinds, string(o.Outcome)), append(reasons, o.Reason)
		stamps = append(stamps, int64(o.LedgerTimestamp))
	}
	args := []any{uids(ids), markets, kinds, reasons, stamps, uids(r.Closed)}
	if r.Careful {
		set, err = returnedIDs(ctx, w.setOutcomes, args...)
	} else {
		set, err = setOf(ids), w.exec(ctx, w.addOutcomes, args...)
	}
	if err != nil {
		return nil, err
	}
	var applied, refused []ledger.ID
	for _, o := range r.Outcomes {
		switch {
		case !set[o.Intent], r.Made[o.Intent]:
		case o.Outcome == Applied:
			applied = append(applied, o.Intent)
		case o.Outcome == Rejected:
			refused = append(refused, o.Intent)
		}
	}
	if err := w.update(ctx, w.move, applied); err != nil {
		return nil, err
	}
	return set, w.update(ctx, w.refuse, refused)
}

// exec runs a statement that finds nothing taken, or fails with ErrTaken.
func (w *Writer) exec(ctx context.Context, stmt *sqlx.Stmt, args ...any) error {
	_, err := stmt.ExecContext(ctx, args...)
	if sqlState(err) == uniqueViolation {
		return fmt.Errorf("%w: %w", ErrTaken, err)
	}
	return err
}

// update runs a statement that changes the order of each intent, and insists
// that it does: the intent had no outcome a moment ago, so its order must
// still stand just before it.
func (w *Writer) update(ctx context.Context, stmt *sqlx.Stmt, intents []ledger.ID) error {
	if len(intents) == 0 {
		return nil
	}
	res, err := stmt.ExecContext(ctx, uids(intents))
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || int(n) != len(intents) {
		return errors.Join(err, fmt.Errorf("orderdb: %d intents moved %d orders: %w", len(intents), n, ErrContradiction))
	}
	return nil
}
