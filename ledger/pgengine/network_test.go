package pgengine_test

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
)

// network is the way to the database, which a test can cut.
type network struct {
	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

var errDown = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ENETUNREACH}

func (n *network) DialContext(ctx context.Context, name, address string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down {
		return nil, errDown
	}
	c, err := new(net.Dialer).DialContext(ctx, name, address)
	if err == nil {
		n.conns = append(n.conns, c)
	}
	return c, err
}

func (n *network) Dial(name, address string) (net.Conn, error) {
	return n.DialContext(context.Background(), name, address)
}

func (n *network) DialTimeout(name, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return n.DialContext(ctx, name, address)
}

func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = true
	for _, c := range n.conns {
		_ = c.Close()
	}
	n.conns = nil
}

func (n *network) restore() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = false
}

// The network goes during COMMIT: the answer is lost, not the request. The
// server finishes what it was told, and sending again says "exists".
func TestNetworkLostDuringCommit(t *testing.T) {
	db := pgtest.Open(t)
	connector, err := pq.NewConnector(pgtest.DSN(t))
	if err != nil {
		t.Fatal(err)
	}
	way := new(network)
	connector.Dialer(way)
	far := sqlx.NewDb(sql.OpenDB(connector), "postgres")
	t.Cleanup(func() { _ = far.Close() })
	e := newEngine(t, far)
	accounts := makeAccounts(t, e, 2, 0)
	x := plain(newID(t), accounts[0], accounts[1], 5)

	pid, release := holdCommit(t, db)
	c := send(t.Context(), e, x)
	blocked(t, db, pid)
	way.cut()
	if a := <-c; !errors.Is(a.err, ledger.ErrUnknown) || errors.Is(a.err, ledger.ErrNotSent) {
		t.Fatalf("cut during COMMIT: %v, %v", a.results, a.err)
	}
	if _, err := e.CreateTransfers(t.Context(), []ledger.Transfer{x}); !errors.Is(err, ledger.ErrNotSent) || !errors.Is(err, syscall.ENETUNREACH) {
		t.Fatalf("while the network is down: %v", err)
	}
	way.restore()
	release()
	createTransfers(t, e, ledger.TransferExists, x)
	checkBooks(t, db)
}
