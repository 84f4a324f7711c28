package orderdb_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/rules"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
	"escrowd/settlement/treasury"
)

// countingDriver counts the queries of the connections it makes.
type countingDriver struct {
	driver.Connector
	queries atomic.Int64
}

func (d *countingDriver) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := d.Connector.Connect(ctx)
	return countingConn{c, &d.queries}, err
}

// countingConn has no more than what reading takes.
type countingConn struct {
	driver.Conn
	queries *atomic.Int64
}

func (c countingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.queries.Add(1)
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c countingConn) CheckNamedValue(v *driver.NamedValue) error {
	return c.Conn.(driver.NamedValueChecker).CheckNamedValue(v)
}

// Bank details come in the order of the payouts that go to them, by one query
// however many those are.
func TestPaidTo(t *testing.T) {
	db, ctx := pgtest.Open(t), t.Context()
	s := orderdb.New(db)
	m, err := s.CreateMarketplace(ctx, "shop", orderdb.TestClock, start)
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.CreateMarketplace(ctx, "other", orderdb.TestClock, start)
	if err != nil {
		t.Fatal(err)
	}
	p := posting.New(db, rules.NewEngine(func() uint64 { return uint64(time.Now().UnixNano()) }), posting.Options{})
	defer p.Close(ctx)
	iban := func(i int) string { return fmt.Sprintf(`{"iban":"DE%02d"}`, i) }
	var payouts []treasury.Entry
	for i := range 6 {
		made, err := p.Do(ctx, posting.Request{Marketplace: m.ID, Entry: &posting.EntryRequest{New: &treasury.Terms{
			Kind: treasury.BankDetails, Party: fmt.Sprint("seller-", i), Maker: "eve", Details: []byte(iban(i))}}})
		if err != nil {
			t.Fatal(err)
		}
		// The later the details, the earlier their payout.
		payouts = append([]treasury.Entry{{Terms: treasury.Terms{Marketplace: m.ID,
			Details: fmt.Appendf(nil, `{"bank_details":%q}`, made.Entry.ID.UUID())}}}, payouts...)
	}
	payouts = append(payouts, payouts[0]) // another of the same seller

	connector, err := pq.NewConnector(pgtest.DSN(t))
	if err != nil {
		t.Fatal(err)
	}
	counted := &countingDriver{Connector: connector}
	countedDB := sqlx.NewDb(sql.OpenDB(counted), "postgres")
	defer countedDB.Close()
	s = orderdb.New(countedDB)
	details, err := s.PaidTo(ctx, m.ID, payouts)
	if err != nil || len(details) != 7 {
		t.Fatalf("%s, %v", details, err)
	}
	for i, seller := range []int{5, 4, 3, 2, 1, 0, 5} {
		if string(details[i]) != iban(seller) {
			t.Errorf("payout %d goes to %s, want %s", i, details[i], iban(seller))
		}
	}
	if n := counted.queries.Load(); n != 1 {
		t.Errorf("%d queries for a page of %d", n, len(payouts))
	}

	if none, err := s.PaidTo(ctx, m.ID, nil); err != nil || len(none) != 0 {
		t.Errorf("of no payouts: %s, %v", none, err)
	}
	if _, err := s.PaidTo(ctx, other.ID, payouts); !errors.Is(err, orderdb.ErrNotFound) {
		t.Errorf("another tenant's details: %v", err)
	}
	payouts[3].Details = fmt.Appendf(nil, `{"bank_details":%q}`, ledger.ID{}.UUID())
	if _, err := s.PaidTo(ctx, m.ID, payouts); !errors.Is(err, orderdb.ErrNotFound) {
		t.Errorf("details that are not there: %v", err)
	}
	payouts[3].Details = []byte(`{}`)
	if _, err := s.PaidTo(ctx, m.ID, payouts); err == nil {
		t.Error("a payout that names no details")
	}
}
