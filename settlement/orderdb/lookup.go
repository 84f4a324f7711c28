package orderdb

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/ledger/pgrows"
	"escrowd/settlement/order"
)

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

var keyNames = pgrows.Table{Columns: keysTable.Columns[:2]}

const findKeysSQL = `SELECT k.marketplace, k.key, k.hash, k.intent
	FROM unnest($1::int[], $2::text[]) AS q (marketplace, key)
	JOIN idempotency_keys k ON k.marketplace = q.marketplace AND k.key = q.key`

// FindKeys looks idempotency keys up.
func (w *Writer) FindKeys(ctx context.Context, names []KeyName) (map[KeyName]KeyUse, error) {
	rows, err := w.findKeys.QueryContext(ctx, keyNames.Arrays(len(names), func(f *pgrows.Fields, i int) {
		f.Number(uint64(names[i].Marketplace))
		f.Text(names[i].Key)
	})...)
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

// Versions is Store.Versions, in the transaction.
func (w *Writer) Versions(ctx context.Context, marketplace uint32, name string, at time.Time) ([]*order.Policy, error) {
	return policies(ctx, w.conn, versionsSQL, marketplace, at, name)
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
// yet. A seller's 2210 row is made with its 2200 row; all accounts of a seller
// in a ledger have ids that follow from each other, see order.AccountID, so the
// 2200 row is made with whichever is asked for. The ids may be
// remembered only after the transaction is committed.
func (w *Writer) Accounts(ctx context.Context, names []AccountName) (map[AccountName]ledger.ID, error) {
	found := map[AccountName]ledger.ID{}
	if err := w.accountsByName(ctx, names, found); err != nil {
		return nil, err
	}
	parties, err := w.sellersOf(ctx, names, found)
	if err != nil {
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
		if party, ok := parties[AccountName{n.Ledger, chart.SellerPending, n.Owner}]; ok && n.Code != chart.SellerPending {
			add(n, order.AccountID(party, n.Code))
			continue
		}
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
	if err := w.write(ctx); err != nil {
		return nil, err
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

// sellersOf finds or makes the 2200 accounts of the sellers of whom another
// account is asked for that has no row yet.
func (w *Writer) sellersOf(ctx context.Context, names []AccountName, found map[AccountName]ledger.ID) (map[AccountName]ledger.ID, error) {
	var of []AccountName
	for _, n := range names {
		if _, ok := found[n]; !ok && n.Code != chart.SellerPending && n.Code.Scope() == chart.PerSeller {
			of = append(of, AccountName{n.Ledger, chart.SellerPending, n.Owner})
		}
	}
	if len(of) == 0 {
		return nil, nil
	}
	return w.Accounts(ctx, of)
}

// FindAccounts finds accounts by name. Those that have no row are left out, and
// none is made.
func (w *Writer) FindAccounts(ctx context.Context, names []AccountName) (map[AccountName]ledger.ID, error) {
	found := map[AccountName]ledger.ID{}
	return found, w.accountsByName(ctx, names, found)
}

// FindAccounts is Writer.FindAccounts, as it stands now.
func (s *Store) FindAccounts(ctx context.Context, names []AccountName) (map[AccountName]ledger.ID, error) {
	found := map[AccountName]ledger.ID{}
	rows, err := s.db.QueryContext(ctx, findAccountsSQL, accountNames(names)...)
	if err != nil {
		return nil, err
	}
	return found, readAccounts(rows, found)
}

func (w *Writer) accountsByName(ctx context.Context, names []AccountName, found map[AccountName]ledger.ID) error {
	rows, err := w.findAccounts.QueryContext(ctx, accountNames(names)...)
	if err != nil {
		return err
	}
	return readAccounts(rows, found)
}

// accountNames are the parameters of findAccountsSQL.
func accountNames(names []AccountName) []any {
	var ledgers, codes pq.Int64Array
	var owners pq.StringArray
	for _, n := range names {
		ledgers, codes, owners = append(ledgers, int64(n.Ledger)), append(codes, int64(n.Code)), append(owners, n.Owner)
	}
	return []any{ledgers, codes, owners}
}

func readAccounts(rows *sql.Rows, found map[AccountName]ledger.ID) error {
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
