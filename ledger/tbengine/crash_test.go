//go:build cgo

package tbengine

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"escrowd/ledger"

	tb "github.com/tigerbeetle/tigerbeetle-go"
)

// replica is a TigerBeetle server of the test's own, to be killed.
type replica struct {
	t       *testing.T
	binary  string
	file    string
	address string
	flags   []string
	process *exec.Cmd
}

// newReplica starts the server whose program the environment names.
func newReplica(t *testing.T, flags ...string) *replica {
	t.Helper()
	binary := os.Getenv("ESCROWD_TIGERBEETLE_BINARY")
	if binary == "" {
		t.Skip("no TigerBeetle program to start and kill: set ESCROWD_TIGERBEETLE_BINARY")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	r := &replica{t: t, binary: binary, file: filepath.Join(t.TempDir(), "0_0.tigerbeetle"), address: l.Addr().String(), flags: flags}
	out, err := exec.Command(binary, "format", "--cluster=0", "--replica=0", "--replica-count=1", "--development", r.file).CombinedOutput()
	if err != nil {
		t.Fatalf("format: %v\n%s", err, out)
	}
	r.start()
	t.Cleanup(r.kill)
	return r
}

func (r *replica) start() {
	r.t.Helper()
	args := append([]string{"start", "--experimental", "--development", "--addresses=" + r.address}, r.flags...)
	r.process = exec.Command(r.binary, append(args, r.file)...)
	if err := r.process.Start(); err != nil {
		r.t.Fatalf("start: %v", err)
	}
}

// kill is kill -9, at whatever instruction the server is.
func (r *replica) kill() {
	_ = r.process.Process.Kill()
	_ = r.process.Wait()
}

const fullRequests = "--limit-request=1MiB"

// Servers die in the middle of calls: whoever sends the same events again
// until they are answered finds each of them applied once.
func TestServerKilledInTheMiddle(t *testing.T) {
	r := newReplica(t, fullRequests)
	e := open(t, ledger.U64(0), []string{r.address})
	const writers, batches, each = 4, 60, 200
	a := newAccounts(t, e, writers+1)

	var unknowns, applied atomic.Int64
	progress := make(chan struct{}, writers*batches)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range batches {
				transfers := make([]ledger.Transfer, each)
				for i := range transfers {
					transfers[i] = ledger.Transfer{ID: newID(), DebitAccountID: a[w], CreditAccountID: a[writers],
						Amount: ledger.U64(1), Ledger: 1840, Code: 201}
				}
				for {
					ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
					results, err := e.CreateTransfers(ctx, transfers)
					cancel()
					if errors.Is(err, ledger.ErrUnknown) {
						unknowns.Add(1)
						continue
					}
					if errors.Is(err, ledger.ErrNotSent) {
						continue
					}
					if err != nil {
						t.Errorf("neither answered, nor unknown, nor not sent: %v", err)
						return
					}
					for i, res := range results {
						if res.Status != ledger.TransferCreated && res.Status != ledger.TransferExists {
							t.Errorf("event %d: %s", i, res.Status)
						}
					}
					break
				}
				applied.Add(each)
				progress <- struct{}{}
			}
		})
	}
	for range 3 { // die after some progress, while other calls are on their way
		for range writers * batches / 5 {
			<-progress
		}
		r.kill()
		r.start()
	}
	wg.Wait()

	got, err := e.LookupAccounts(t.Context(), a)
	if err != nil || len(got) != len(a) {
		t.Fatalf("%d accounts, %v", len(got), err)
	}
	for w := range writers {
		if got[w].DebitsPosted != ledger.U64(batches*each) {
			t.Errorf("writer %d: %s posted, want %d", w, got[w].DebitsPosted, batches*each)
		}
	}
	if got[writers].CreditsPosted != ledger.U64(writers*batches*each) || applied.Load() != writers*batches*each {
		t.Errorf("%s credited, %d applied, want %d", got[writers].CreditsPosted, applied.Load(), writers*batches*each)
	}
	t.Logf("%d calls were unknown and sent again", unknowns.Load())
}

// A client that loses its connection while the cluster's sessions are all
// taken by others finds its own ended when it comes back. Its engine says so,
// and from then on sends nothing.
func TestEvictedByTheCluster(t *testing.T) {
	r := newReplica(t, fullRequests)
	g := newGate(t, r.address)
	oldest := open(t, ledger.U64(0), []string{g.listener.Addr().String()})
	g.setShut(true)
	// A cluster keeps 64 sessions, also of clients that are gone, and takes
	// fewer connections than that: so they come in turns.
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 8 {
				e, err := Open(t.Context(), ledger.U64(0), []string{r.address})
				if err == nil {
					err = e.Close()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	g.setShut(false)
	_, err := oldest.CreateTransfers(t.Context(), make([]ledger.Transfer, 1))
	if !errors.Is(err, ledger.ErrUnknown) || !errors.Is(err, tb.ErrClientEvicted) {
		t.Fatalf("the call that learns of it: %v", err)
	}
	_, err = oldest.CreateTransfers(t.Context(), make([]ledger.Transfer, 1))
	if !errors.Is(err, ledger.ErrNotSent) || !errors.Is(err, tb.ErrClientEvicted) || !strings.Contains(err.Error(), oldest.Addresses()) {
		t.Errorf("the call after: %v", err)
	}
}

// A cluster configured for small requests is refused when it is opened, not
// when the first large batch comes.
func TestOpenRefusesAClusterOfSmallRequests(t *testing.T) {
	r := newReplica(t) // 32 KiB in development
	_, err := Open(t.Context(), ledger.U64(0), []string{r.address})
	if !errors.Is(err, ledger.ErrNotSent) || !strings.Contains(err.Error(), "--limit-request") || !strings.Contains(err.Error(), r.address) {
		t.Errorf("%v", err)
	}
}
