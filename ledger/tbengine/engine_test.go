//go:build cgo

package tbengine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"escrowd/ledger"

	tb "github.com/tigerbeetle/tigerbeetle-go"
)

// fake is a client whose cluster does what the test wants. Close ends the
// calls that wait in it, as the real one does.
type fake struct {
	tb.Client // methods that a test does not expect: nil, and a crash
	answer    func(events int) ([]tb.CreateTransferResult, error)
	lookups   func() error
	entered   chan struct{} // one for each call that has begun
	closed    chan struct{}
	calls     atomic.Int64
	late      atomic.Int64 // calls begun after Close
}

func newFake() *fake {
	return &fake{entered: make(chan struct{}, 1000), closed: make(chan struct{})}
}

func (f *fake) begin() {
	f.calls.Add(1)
	select {
	case <-f.closed:
		f.late.Add(1)
	default:
	}
	f.entered <- struct{}{}
}

func (f *fake) CreateTransfers(x []tb.Transfer) ([]tb.CreateTransferResult, error) {
	f.begin()
	return f.answer(len(x))
}

func (f *fake) LookupAccounts([]tb.Uint128) ([]tb.Account, error) {
	f.begin()
	return nil, f.lookups()
}

func (f *fake) Close() { close(f.closed) }

// created answers every event with created.
func created(events int) ([]tb.CreateTransferResult, error) {
	out := make([]tb.CreateTransferResult, events)
	for i := range out {
		out[i] = tb.CreateTransferResult{Timestamp: uint64(i + 1), Status: tb.TransferCreated}
	}
	return out, nil
}

// stuck answers nothing until the client is closed or the test says so.
func (f *fake) stuck(until <-chan struct{}) func(int) ([]tb.CreateTransferResult, error) {
	return func(events int) ([]tb.CreateTransferResult, error) {
		select {
		case <-f.closed:
			return nil, tb.ErrClientClosed
		case <-until:
			return created(events)
		}
	}
}

const fakeAddresses = "10.1.2.3:3001,10.1.2.4:3001"

func engineOn(t *testing.T, f *fake, opts ...Option) *Engine {
	e := newEngine(f, ledger.U64(7), fakeAddresses, withDefaults(opts))
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// wantError checks what every error of this package owes its reader.
func wantError(t *testing.T, err error, is []error, isNot []error, says ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, target := range is {
		if !errors.Is(err, target) {
			t.Errorf("%v\nis not %v", err, target)
		}
	}
	for _, target := range isNot {
		if errors.Is(err, target) {
			t.Errorf("%v\nis %v", err, target)
		}
	}
	for _, s := range append(says, fakeAddresses) {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%v\ndoes not say %q", err, s)
		}
	}
}

func TestResultsComeBackInOrder(t *testing.T) {
	f := newFake()
	f.answer = func(int) ([]tb.CreateTransferResult, error) {
		return []tb.CreateTransferResult{{Timestamp: 5, Status: tb.TransferCreated}, {Timestamp: 6, Status: tb.TransferExceedsCredits}}, nil
	}
	got, err := engineOn(t, f).CreateTransfers(t.Context(), make([]ledger.Transfer, 2))
	want := []ledger.TransferResult{{Status: ledger.TransferCreated, Timestamp: 5}, {Status: ledger.TransferExceedsCredits, Timestamp: 6}}
	if err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func TestContextDoneBeforeTheCallIsNotSent(t *testing.T) {
	f := newFake()
	e := engineOn(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := e.CreateTransfers(ctx, make([]ledger.Transfer, 1))
	wantError(t, err, []error{ledger.ErrNotSent, context.Canceled}, []error{ledger.ErrUnknown}, "create_transfers")
	_, err = e.LookupAccounts(ctx, make([]ledger.ID, 1))
	wantError(t, err, []error{context.Canceled}, []error{ledger.ErrUnknown}, "lookup_accounts")
	if n := f.calls.Load(); n != 0 {
		t.Errorf("%d calls reached the client", n)
	}
}

// waitedFor is a context that is cancelled once somebody waits for its end.
type waitedFor struct {
	context.Context
	cancel context.CancelFunc
}

func (w waitedFor) Done() <-chan struct{} {
	defer w.cancel()
	return w.Context.Done()
}

func canceledWhenWaitedFor(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	return waitedFor{ctx, cancel}
}

func TestCreateThatOutlivesItsContextIsUnknown(t *testing.T) {
	f := newFake()
	until := make(chan struct{})
	f.answer = f.stuck(until)
	e := engineOn(t, f, MaxInFlight(1))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-f.entered; cancel() }()
	_, err := e.CreateTransfers(ctx, make([]ledger.Transfer, 1))
	wantError(t, err, []error{ledger.ErrUnknown, context.Canceled}, []error{ledger.ErrNotSent}, "create_transfers", "no answer")

	// The abandoned call is still with the client and keeps its place: the next
	// one is not sent, and says why.
	_, err = e.CreateTransfers(canceledWhenWaitedFor(t), make([]ledger.Transfer, 1))
	wantError(t, err, []error{ledger.ErrNotSent, context.Canceled}, []error{ledger.ErrUnknown}, "behind 1 calls")
	if n := f.calls.Load(); n != 1 {
		t.Errorf("%d calls reached the client, want 1", n)
	}

	close(until) // the cluster answers at last: there is room again
	if _, err = e.CreateTransfers(t.Context(), make([]ledger.Transfer, 1)); err != nil {
		t.Error(err)
	}
}

func TestReadThatOutlivesItsContextIsOnlyThat(t *testing.T) {
	f := newFake()
	f.lookups = func() error { <-f.closed; return tb.ErrClientClosed }
	e := engineOn(t, f, CloseWait(0))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-f.entered; cancel() }()
	_, err := e.LookupAccounts(ctx, make([]ledger.ID, 1))
	wantError(t, err, []error{context.Canceled}, []error{ledger.ErrUnknown, ledger.ErrNotSent}, "lookup_accounts")
}

func TestTooManyEventsNeverReachTheClient(t *testing.T) {
	f := newFake()
	e := engineOn(t, f)
	ctx := t.Context()
	one := func(_ any, err error) error { return err }
	for op, err := range map[string]error{
		"create_accounts":       one(e.CreateAccounts(ctx, make([]ledger.Account, ledger.BatchMax+1))),
		"create_transfers":      one(e.CreateTransfers(ctx, make([]ledger.Transfer, ledger.BatchMax+1))),
		"lookup_accounts":       one(e.LookupAccounts(ctx, make([]ledger.ID, ledger.BatchMax+1))),
		"lookup_transfers":      one(e.LookupTransfers(ctx, make([]ledger.ID, ledger.BatchMax+1))),
		"get_account_transfers": one(e.GetAccountTransfers(ctx, ledger.AccountFilter{Limit: ledger.BatchMax + 1})),
		"get_account_balances":  one(e.GetAccountBalances(ctx, ledger.AccountFilter{Limit: ledger.BatchMax + 1})),
		"query_accounts":        one(e.QueryAccounts(ctx, ledger.QueryFilter{Limit: ledger.BatchMax + 1})),
		"query_transfers":       one(e.QueryTransfers(ctx, ledger.QueryFilter{Limit: ^uint32(0)})),
	} {
		var tooMany *ledger.TooManyError
		if !errors.As(err, &tooMany) {
			t.Errorf("%s: %v is no TooManyError", op, err)
			continue
		}
		wantError(t, err, []error{ledger.ErrNotSent}, []error{ledger.ErrUnknown}, op, fmt.Sprint(tooMany.Events))
	}
	f.answer = created
	if got, err := e.CreateTransfers(ctx, make([]ledger.Transfer, ledger.BatchMax)); err != nil || len(got) != ledger.BatchMax {
		t.Errorf("a full batch: %d results, %v", len(got), err)
	}
}

func TestWhatTheClientsErrorsMean(t *testing.T) {
	for _, c := range []struct {
		err     error
		sent    bool // the events may have been applied
		says    string
		forever bool // and nothing can be sent after it
	}{
		{tb.ErrTooMuchData, false, "--limit-request", false},
		{tb.ErrInvalidOperation, false, "invalid", false},
		{tb.ErrClientClosed, true, "closed", false},
		{tb.ErrClientEvicted, true, "too many clients", true},
		{tb.ErrClientReleaseTooLow, true, "upgrade escrowd", true},
		{tb.ErrClientReleaseTooHigh, true, "upgrade the cluster", true},
		{tb.ErrUnexpected, true, "unexpected", false},
		{errors.New("something of a later version"), true, "later version", false},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			f := newFake()
			f.answer = func(int) ([]tb.CreateTransferResult, error) { return nil, c.err }
			f.lookups = func() error { return c.err }
			e := engineOn(t, f)
			_, err := e.CreateTransfers(t.Context(), make([]ledger.Transfer, 1))
			is, isNot := ledger.ErrNotSent, ledger.ErrUnknown
			if c.sent {
				is, isNot = isNot, is
			}
			wantError(t, err, []error{is, c.err}, []error{isNot}, c.says)

			if !c.forever {
				_, err = e.LookupAccounts(t.Context(), make([]ledger.ID, 1))
				wantError(t, err, []error{c.err}, []error{ledger.ErrUnknown}, c.says)
				return
			}
			calls := f.calls.Load()
			_, err = e.CreateTransfers(t.Context(), make([]ledger.Transfer, 1))
			wantError(t, err, []error{ledger.ErrNotSent, c.err}, []error{ledger.ErrUnknown}, c.says)
			_, err = e.LookupAccounts(t.Context(), make([]ledger.ID, 1))
			wantError(t, err, []error{c.err}, []error{ledger.ErrUnknown}, c.says)
			if f.calls.Load() != calls {
				t.Error("a client that can send nothing more was called again")
			}
		})
	}
}

func TestWrongNumberOfResultsIsUnknown(t *testing.T) {
	f := newFake()
	f.answer = func(n int) ([]tb.CreateTransferResult, error) { return created(n - 1) }
	_, err := engineOn(t, f).CreateTransfers(t.Context(), make([]ledger.Transfer, 3))
	wantError(t, err, []error{ledger.ErrUnknown}, []error{ledger.ErrNotSent}, "2 results for 3 events")
}

func TestUseAfterClose(t *testing.T) {
	f := newFake()
	e := engineOn(t, f)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil { // fake.Close would panic if it were called twice
		t.Error(err)
	}
	_, err := e.CreateTransfers(t.Context(), make([]ledger.Transfer, 1))
	wantError(t, err, []error{ledger.ErrNotSent}, []error{ledger.ErrUnknown}, "closed")
	_, err = e.LookupAccounts(t.Context(), make([]ledger.ID, 1))
	wantError(t, err, []error{ledger.ErrNotSent}, []error{ledger.ErrUnknown}, "closed")
	wantError(t, e.Ping(t.Context()), []error{ledger.ErrNotSent}, nil, "closed")
	if n := f.calls.Load(); n != 0 {
		t.Errorf("%d calls reached the closed client", n)
	}
}

func TestCloseWaitsForCallsInFlight(t *testing.T) {
	f := newFake()
	until := make(chan struct{})
	f.answer = f.stuck(until)
	e := engineOn(t, f, CloseWait(time.Hour))
	answered := make(chan error, 1)
	go func() {
		_, err := e.CreateTransfers(t.Context(), make([]ledger.Transfer, 1))
		answered <- err
	}()
	<-f.entered
	closed := make(chan error, 1)
	go func() { closed <- e.Close() }()
	<-e.closing // Close has begun, and must wait
	close(until)
	if err := <-answered; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestCloseGivesUpAStuckCall(t *testing.T) {
	f := newFake()
	f.answer = f.stuck(nil)
	e := engineOn(t, f, CloseWait(0), MaxInFlight(1))
	answered := make(chan error, 2)
	for range 2 { // one with the client, one waiting for its place
		go func() {
			_, err := e.CreateTransfers(t.Context(), make([]ledger.Transfer, 1))
			answered <- err
		}()
	}
	<-f.entered
	wantError(t, e.Close(), nil, nil, "1 calls were still unanswered")
	a, b := <-answered, <-answered
	if errors.Is(a, ledger.ErrNotSent) {
		a, b = b, a
	}
	wantError(t, a, []error{ledger.ErrUnknown}, []error{ledger.ErrNotSent})
	wantError(t, b, []error{ledger.ErrNotSent}, []error{ledger.ErrUnknown}, "closed")
}

// Callers, cancellations and Close in every order: each call is answered with
// one of the three outcomes, and none begins on a client that is closed.
func TestCloseBesideManyCallers(t *testing.T) {
	for round := range 20 {
		f := newFake()
		f.answer = created
		e := engineOn(t, f, MaxInFlight(3), CloseWait(time.Hour))
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				for range 10 {
					ctx, cancel := context.WithCancel(t.Context())
					if i%4 == 0 {
						go cancel()
					}
					_, err := e.CreateTransfers(ctx, make([]ledger.Transfer, 1))
					cancel()
					if err != nil && !errors.Is(err, ledger.ErrNotSent) && !errors.Is(err, ledger.ErrUnknown) {
						t.Errorf("neither not sent nor unknown: %v", err)
					}
				}
			})
		}
		for range round { // another moment in each round
			<-f.entered
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if n := f.late.Load(); n != 0 {
			t.Errorf("%d calls began after the client was closed", n)
		}
	}
}
