package pgengine

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/lib/pq"

	"escrowd/ledger"
	"escrowd/ledger/rules"
)

func TestPassing(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
		why  string
	}{
		{&pq.Error{Code: "40P01"}, true, "deadlock"},
		{&pq.Error{Code: "40001"}, true, "serialization failure"},
		{&pq.Error{Code: "08006"}, true, "connection failure"},
		{&pq.Error{Code: "57P01"}, true, "the connection was terminated"},
		{&pq.Error{Code: "57P03"}, true, "the server is starting"},
		{&pq.Error{Code: "25P03"}, true, "suspended too long"},
		{fmt.Errorf("locking: %w", &pq.Error{Code: "57P02"}), true, "however it is wrapped"},
		{driver.ErrBadConn, true, "the pool's connection was stale"},
		{io.ErrUnexpectedEOF, true, "the connection broke"},
		{&net.OpError{Op: "read", Err: errors.New("reset")}, true, "the network failed"},
		{&pq.Error{Code: "23514"}, false, "a CHECK refused it, and would again"},
		{&pq.Error{Code: "42P01"}, false, "there is no such table"},
		{&pq.Error{Code: "57014"}, false, "canceled on purpose"},
		{&pq.Error{Code: "53100"}, false, "the disk is full"},
		{errClosed, false, "the engine is closed"},
		{context.Canceled, false, "the caller gave up"},
	} {
		if got := passing(c.err); got != c.want {
			t.Errorf("%v (%s): %v", c.err, c.why, got)
		}
	}
}

// What was not loaded is not the same as what does not exist.
func TestWorkKnowsWhatItDoesNotKnow(t *testing.T) {
	known := ledger.U64(1)
	for name, ask := range map[string]func(w *work){
		"account":   func(w *work) { w.Account(ledger.U64(2)) },
		"transfer":  func(w *work) { w.Transfer(ledger.U64(2)) },
		"pending":   func(w *work) { w.Pending(ledger.U64(2)) },
		"burned":    func(w *work) { w.Burned(ledger.U64(2)) },
		"timestamp": func(w *work) { w.TimestampTaken(7) },
		"a put":     func(w *work) { w.PutAccount(ledger.Account{ID: ledger.U64(2)}) },
	} {
		w := &work{
			accounts:  map[ledger.ID]*accountEntry{known: {}},
			transfers: map[ledger.ID]*transferEntry{known: {}},
		}
		w.Account(known)
		w.Transfer(known)
		if w.fault != nil {
			t.Fatalf("what was loaded: %v", w.fault)
		}
		if ask(w); w.fault == nil {
			t.Errorf("%s: answered without having been loaded", name)
		}
	}
}

// An expiry that no clock reaches is none, and none overflows.
func TestExpiresAt(t *testing.T) {
	for _, c := range []struct {
		timestamp uint64
		timeout   uint32
		want      uint64
	}{
		{5, 0, 0},
		{5, 1, 1_000_000_005},
		{ledger.TimestampMax - 1_000_000_000, 1, ledger.TimestampMax},
		{ledger.TimestampMax - 999_999_999, 1, 0},
		{ledger.TimestampMax, ^uint32(0), 0},
	} {
		if got := expiresAt(&ledger.Transfer{Timestamp: c.timestamp, Timeout: c.timeout}); got != c.want {
			t.Errorf("%d + %d s: %d, want %d", c.timestamp, c.timeout, got, c.want)
		}
	}
}

// Changes that a chain took back are not written.
func TestChangesLeaveOutWhatWasTakenBack(t *testing.T) {
	id := ledger.U64(1)
	was := ledger.Account{ID: id, DebitsPosted: ledger.U64(3)}
	w := &work{
		accounts:  map[ledger.ID]*accountEntry{id: {now: was, was: was, exists: true, stored: true}},
		transfers: map[ledger.ID]*transferEntry{ledger.U64(9): {}},
	}
	x := ledger.Transfer{ID: ledger.U64(9), Timestamp: 5}
	changed := was
	changed.DebitsPosted = ledger.U64(4)
	w.PutAccount(changed)
	w.PutTransfer(x)
	w.SetPending(x, rules.PendingOpen)
	if c := w.changes(); len(c.changedAccounts) != 1 || len(c.transfers) != 1 || len(c.pending) != 1 {
		t.Fatalf("changes: %+v", c)
	}
	w.SetPending(x, rules.PendingNone)
	w.DeleteTransfer(x.ID)
	w.PutAccount(was)
	w.Burn(x.ID)
	c := w.changes()
	if len(c.changedAccounts)+len(c.transfers)+len(c.pending)+len(c.newAccounts) != 0 || len(c.burned) != 1 {
		t.Errorf("changes: %+v", c)
	}
}
