//go:build cgo

package tbengine

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"escrowd/ledger"

	"github.com/google/uuid"
)

// server is the cluster that the environment names; without one the test is
// skipped. The cluster may be shared and may hold anything: tests use new ids.
func server(t *testing.T) (cluster ledger.Uint128, addresses []string) {
	t.Helper()
	a := os.Getenv("ESCROWD_TIGERBEETLE")
	if a == "" {
		t.Skip("no TigerBeetle server: set ESCROWD_TIGERBEETLE")
	}
	if c := os.Getenv("ESCROWD_TIGERBEETLE_CLUSTER"); c != "" {
		var err error
		if cluster, err = ledger.ParseUint128(c); err != nil {
			t.Fatalf("ESCROWD_TIGERBEETLE_CLUSTER=%q: %v", c, err)
		}
	}
	return cluster, strings.Split(a, ",")
}

// open is an engine that is closed, without complaint, when the test ends.
func open(t *testing.T, cluster ledger.Uint128, addresses []string, opts ...Option) *Engine {
	t.Helper()
	e, err := Open(t.Context(), cluster, addresses, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func newID() ledger.ID { return ledger.FromBytes(uuid.Must(uuid.NewV7())) }

// newAccounts makes n accounts that have never been there before.
func newAccounts(t *testing.T, e *Engine, n int) []ledger.ID {
	t.Helper()
	accounts := make([]ledger.Account, n)
	ids := make([]ledger.ID, n)
	for i := range accounts {
		ids[i] = newID()
		accounts[i] = ledger.Account{ID: ids[i], Ledger: 1840, Code: 2100}
	}
	results, err := e.CreateAccounts(t.Context(), accounts)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Status != ledger.AccountCreated {
			t.Fatalf("account: %s", r.Status)
		}
	}
	return ids
}

func TestFullBatches(t *testing.T) {
	cluster, addresses := server(t)
	e := open(t, cluster, addresses)
	a := newAccounts(t, e, 2)
	transfers := make([]ledger.Transfer, ledger.BatchMax)
	ids := make([]ledger.ID, ledger.BatchMax)
	for i := range transfers {
		ids[i] = newID()
		transfers[i] = ledger.Transfer{ID: ids[i], DebitAccountID: a[0], CreditAccountID: a[1],
			Amount: ledger.U64(uint64(i + 1)), Ledger: 1840, Code: 201, UserData128: a[0]}
	}
	results, err := e.CreateTransfers(t.Context(), transfers)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Status != ledger.TransferCreated || i > 0 && r.Timestamp <= results[i-1].Timestamp {
			t.Fatalf("event %d: %s at %d", i, r.Status, r.Timestamp)
		}
		transfers[i].Timestamp = r.Timestamp // as the ledger now has it
	}
	check := func(op string, got []ledger.Transfer, err error) {
		t.Helper()
		if err != nil || len(got) != len(transfers) {
			t.Fatalf("%s: %d transfers, %v", op, len(got), err)
		}
		for i := range got {
			if got[i] != transfers[i] {
				t.Fatalf("%s: %d is\n%+v, want\n%+v", op, i, got[i], transfers[i])
			}
		}
	}
	got, err := e.LookupTransfers(t.Context(), ids)
	check("lookup_transfers", got, err)
	got, err = e.GetAccountTransfers(t.Context(), ledger.AccountFilter{AccountID: a[0], Limit: ledger.BatchMax, Flags: ledger.FilterDebits})
	check("get_account_transfers", got, err)
	got, err = e.QueryTransfers(t.Context(), ledger.QueryFilter{UserData128: a[0], Limit: ledger.BatchMax})
	check("query_transfers", got, err)
}

func TestEmptyRequests(t *testing.T) {
	cluster, addresses := server(t)
	e := open(t, cluster, addresses)
	if got, err := e.CreateAccounts(t.Context(), nil); err != nil || got == nil || len(got) != 0 {
		t.Errorf("create_accounts: %v, %v", got, err)
	}
	if got, err := e.CreateTransfers(t.Context(), nil); err != nil || got == nil || len(got) != 0 {
		t.Errorf("create_transfers: %v, %v", got, err)
	}
	if got, err := e.LookupAccounts(t.Context(), nil); err != nil || got == nil || len(got) != 0 {
		t.Errorf("lookup_accounts: %v, %v", got, err)
	}
	if got, err := e.QueryAccounts(t.Context(), ledger.QueryFilter{}); err != nil || got == nil || len(got) != 0 {
		t.Errorf("query_accounts with an invalid filter: %v, %v", got, err)
	}
}

// Another cluster's id is the commonest mistake after a wrong address: the
// replica is there, and never answers.
func TestOpenWithAnotherClustersID(t *testing.T) {
	_, addresses := server(t)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := Open(ctx, ledger.U64(987654321), addresses)
	if !errors.Is(err, ledger.ErrNotSent) || !strings.Contains(err.Error(), "is its id 987654321?") {
		t.Errorf("%v", err)
	}
}

// gate stands between client and server and can be shut: what is then on its
// way stays there.
type gate struct {
	listener net.Listener
	to       string
	mu       sync.Mutex
	shut     bool
	conns    map[net.Conn]bool
}

func newGate(t *testing.T, to string) *gate {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{listener: l, to: to, conns: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close(); g.setShut(true) })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go g.join(in)
		}
	}()
	return g
}

func (g *gate) join(in net.Conn) {
	defer in.Close()
	g.mu.Lock()
	if g.shut {
		g.mu.Unlock()
		return
	}
	out, err := net.Dial("tcp", g.to)
	if err != nil {
		g.mu.Unlock()
		return
	}
	defer out.Close()
	g.conns[in], g.conns[out] = true, true
	g.mu.Unlock()
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			done <- struct{}{}
		}()
	}
	<-done // either end is gone: let the other one go, too
	in.Close()
	out.Close()
	<-done
	g.mu.Lock()
	delete(g.conns, in)
	delete(g.conns, out)
	g.mu.Unlock()
}

// setShut cuts every connection and lets no new one through, or opens again.
func (g *gate) setShut(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	if shut {
		for c := range g.conns {
			c.Close()
		}
	}
}

// The network goes away under a create: the outcome is unknown; it comes back:
// the same events, sent again, stand once.
func TestSentAgainAfterUnknownStandsOnce(t *testing.T) {
	cluster, addresses := server(t)
	resolved, err := resolve(t.Context(), addresses)
	if err != nil || len(resolved) != 1 {
		t.Skipf("needs a cluster of one replica, not %v (%v)", addresses, err)
	}
	g := newGate(t, resolved[0])
	e := open(t, cluster, []string{g.listener.Addr().String()})
	a := newAccounts(t, e, 2)
	const rounds, each = 5, 50
	for round := range rounds {
		transfers := make([]ledger.Transfer, each)
		for i := range transfers {
			transfers[i] = ledger.Transfer{ID: newID(), DebitAccountID: a[0], CreditAccountID: a[1], Amount: ledger.U64(1), Ledger: 1840, Code: 201}
		}
		g.setShut(true)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := e.CreateTransfers(ctx, transfers)
		cancel()
		if !errors.Is(err, ledger.ErrUnknown) || !strings.Contains(err.Error(), g.listener.Addr().String()) {
			t.Fatalf("round %d: %v", round, err)
		}
		g.setShut(false)
		results, err := e.CreateTransfers(t.Context(), transfers)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if r.Status != ledger.TransferCreated && r.Status != ledger.TransferExists {
				t.Fatalf("round %d, event %d: %s", round, i, r.Status)
			}
		}
	}
	got, err := e.LookupAccounts(t.Context(), a)
	if err != nil || len(got) != 2 || got[0].DebitsPosted != ledger.U64(rounds*each) || got[1].CreditsPosted != ledger.U64(rounds*each) {
		t.Errorf("%+v, %v; want %d posted", got, err, rounds*each)
	}
}

// Close with the network gone: the call ends as unknown, Close says so, and
// the process lives.
func TestCloseWhileTheNetworkIsGone(t *testing.T) {
	cluster, addresses := server(t)
	resolved, err := resolve(t.Context(), addresses)
	if err != nil || len(resolved) != 1 {
		t.Skipf("needs a cluster of one replica, not %v (%v)", addresses, err)
	}
	g := newGate(t, resolved[0])
	e, err := Open(t.Context(), cluster, []string{g.listener.Addr().String()}, CloseWait(0))
	if err != nil {
		t.Fatal(err)
	}
	g.setShut(true)
	const calls = 5
	answered := make(chan error, calls)
	for range calls {
		go func() {
			_, err := e.CreateTransfers(t.Context(), make([]ledger.Transfer, 1))
			answered <- err
		}()
	}
	for len(e.slots) < calls { // all are with the client
		runtime.Gosched()
	}
	if err := e.Close(); err == nil || !strings.Contains(err.Error(), "5 calls were still unanswered") {
		t.Errorf("Close: %v", err)
	}
	for range calls {
		if err := <-answered; !errors.Is(err, ledger.ErrUnknown) {
			t.Errorf("call in flight: %v", err)
		}
	}
}
