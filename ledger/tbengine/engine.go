//go:build cgo

package tbengine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"escrowd/ledger"

	tb "github.com/tigerbeetle/tigerbeetle-go"
)

// Engine is a ledger.Engine on one TigerBeetle cluster. It may be used by any
// number of goroutines.
type Engine struct {
	client    tb.Client
	cluster   ledger.Uint128
	addresses string // as the operator wrote them, for errors
	closeWait time.Duration
	slots     chan struct{} // one for each call that is with the client
	closing   chan struct{} // closed when Close begins
	closeOnce func() error

	mu     sync.Mutex
	closed bool
	broken error          // why the client can send nothing more: evicted
	calls  sync.WaitGroup // the calls that are with the client
	count  int            // how many they are
}

var _ ledger.Engine = (*Engine)(nil)

// live keeps every client that has not been closed yet. The client's own
// thread writes into the Go memory behind it when the cluster evicts it; that
// memory must not be collected because a caller forgot Close.
var live sync.Map

// Open connects to the cluster and asks it one question, so that a cluster
// that is down, or has another id, or is configured for small requests, is an
// error here and not a surprise later. It waits until
// ctx is done, or 30 seconds if ctx has no deadline. Addresses are the
// replicas', in the cluster's order: host:port, where the host may be a name.
func Open(ctx context.Context, clusterID ledger.Uint128, addresses []string, opts ...Option) (*Engine, error) {
	asWritten := strings.Join(addresses, ",")
	fail := func(err error) (*Engine, error) {
		return nil, fmt.Errorf("tigerbeetle cluster %s at %s: %w", clusterID, asWritten, err)
	}
	if err := ctx.Err(); err != nil {
		return fail(notSent(err))
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, openWait)
		defer cancel()
	}
	resolved, err := resolve(ctx, addresses)
	if err != nil {
		return fail(notSent(err))
	}
	client, err := tb.NewClient(toTB128(clusterID), resolved)
	if err != nil {
		return fail(notSent(fmt.Errorf("starting the client: %w", err)))
	}
	e := newEngine(client, clusterID, asWritten, withDefaults(opts))
	doors := knock(ctx, resolved)
	// No account has id 0, so the answer is empty; but the question is of 128
	// KiB, which a cluster in development mode (32 KiB) refuses now rather than
	// when the first large batch comes.
	if _, err := e.LookupAccounts(ctx, make([]ledger.ID, ledger.BatchMax)); err != nil {
		// Nothing is worth waiting for: the only call is the unanswered one.
		e.closeWait = 0
		_ = e.Close()
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			return fail(notSent(fmt.Errorf("no answer (%s); is the cluster running, and is its id %s? %w", doors(), clusterID, ctx.Err())))
		}
		return nil, err
	}
	return e, nil
}

func newEngine(client tb.Client, cluster ledger.Uint128, addresses string, o options) *Engine {
	e := &Engine{
		client:    client,
		cluster:   cluster,
		addresses: addresses,
		closeWait: o.closeWait,
		slots:     make(chan struct{}, o.inFlight),
		closing:   make(chan struct{}),
	}
	e.closeOnce = sync.OnceValue(e.close)
	live.Store(e, client)
	return e
}

// Addresses are the replicas' addresses as they were given to Open.
func (e *Engine) Addresses() string { return e.addresses }

// Ping asks the cluster for nothing, and answers nil once it has answered.
func (e *Engine) Ping(ctx context.Context) error {
	_, err := e.LookupAccounts(ctx, make([]ledger.ID, 1)) // no account has id 0
	return err
}

// The kinds of calls. What a lost answer means depends on it.
type kind bool

const (
	reads   kind = false
	creates kind = true
)

// call runs f, one call of the client, for as long as ctx allows.
func call[T any](ctx context.Context, e *Engine, op string, k kind, f func(tb.Client) (T, error)) (T, error) {
	var none T
	if err := e.begin(ctx); err != nil {
		return none, e.errorf(op, notSent(err))
	}
	type answer struct {
		v   T
		err error
	}
	answered := make(chan answer, 1) // buffered: nobody may be waiting any more
	go func() {
		defer e.end()
		v, err := f(e.client)
		answered <- answer{v, err}
	}()
	select {
	case a := <-answered:
		if a.err != nil {
			return none, e.errorf(op, e.classify(a.err, k))
		}
		return a.v, nil
	case <-ctx.Done():
	}
	select { // both may be true, and an answer is worth more
	case a := <-answered:
		if a.err == nil {
			return a.v, nil
		}
		return none, e.errorf(op, e.classify(a.err, k))
	default:
	}
	err := fmt.Errorf("no answer yet: %w", ctx.Err())
	if k == creates {
		err = unknown(err)
	}
	return none, e.errorf(op, err)
}

// begin takes a place among the calls in flight. After an error nothing has
// been given to the client.
func (e *Engine) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case e.slots <- struct{}{}:
	case <-e.closing:
		return errClosed
	case <-ctx.Done():
		return fmt.Errorf("waited behind %d calls in flight: %w", cap(e.slots), ctx.Err())
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	err := e.broken
	if e.closed {
		err = errClosed
	}
	if err != nil {
		<-e.slots
		return err
	}
	e.calls.Add(1)
	e.count++
	return nil
}

func (e *Engine) end() {
	e.mu.Lock()
	e.count--
	e.mu.Unlock()
	<-e.slots
	e.calls.Done()
}

var errClosed = errors.New("the engine is closed")

// Close waits for the calls in flight, though not for ever (see CloseWait);
// those that are then unanswered end with ledger.ErrUnknown (a create) and
// Close says how many. Closing again answers the same.
func (e *Engine) Close() error { return e.closeOnce() }

func (e *Engine) close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	close(e.closing)

	done := make(chan struct{})
	go func() {
		e.calls.Wait() // no Add can follow: begin looks at closed under the lock
		close(done)
	}()
	waitFor(done, e.closeWait)
	e.mu.Lock()
	unanswered := e.count
	e.mu.Unlock()

	// The client's own Close is safe beside calls in flight: it completes them
	// with ErrClientClosed, and takes no further ones. It joins the client's
	// thread, which has the network to shut down first; in a goroutine, because
	// that thread is not ours to vouch for.
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		e.client.Close()
		live.Delete(e)
	}()
	if !waitFor(stopped, stopWait) || !waitFor(done, stopWait) {
		return e.errorf("close", errors.New("the client did not stop; it is left behind"))
	}
	if unanswered > 0 {
		return e.errorf("close", fmt.Errorf("%d calls were still unanswered and have been given up", unanswered))
	}
	return nil
}

// stopWait bounds the stop of the client's thread, which takes milliseconds.
const stopWait = 10 * time.Second

func waitFor(done <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}

// classify says what the client's error means, and for a create whether the
// events may have been applied. Where the client does not tell, they may.
func (e *Engine) classify(err error, k kind) error {
	switch {
	case errors.Is(err, tb.ErrTooMuchData):
		// The client compares with the limit that the cluster told it, before
		// it sends anything.
		return notSent(fmt.Errorf("the cluster takes smaller requests than %d events: its replicas run with --development or a small --limit-request; "+
			"restart them with the default of 1MiB: %w", ledger.BatchMax, err))
	case errors.Is(err, tb.ErrInvalidOperation):
		return notSent(err)
	case errors.Is(err, tb.ErrClientEvicted):
		err = e.breaks(fmt.Errorf("the cluster ended this session, because it has too many clients; restart to begin a new one: %w", err))
	case errors.Is(err, tb.ErrClientReleaseTooLow):
		err = e.breaks(fmt.Errorf("the cluster is too new for this client, 0.17.9; upgrade escrowd: %w", err))
	case errors.Is(err, tb.ErrClientReleaseTooHigh):
		err = e.breaks(fmt.Errorf("the cluster is too old for this client, 0.17.9; upgrade the cluster: %w", err))
	}
	if k == creates {
		return unknown(err)
	}
	return err
}

// breaks remembers the first reason why the client can send nothing any more.
func (e *Engine) breaks(err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.broken == nil {
		e.broken = err
	}
	return err
}

func (e *Engine) errorf(op string, err error) error {
	return fmt.Errorf("tigerbeetle cluster %s at %s: %s: %w", e.cluster, e.addresses, op, err)
}

func notSent(err error) error { return fmt.Errorf("%w: %w", ledger.ErrNotSent, err) }
func unknown(err error) error { return fmt.Errorf("%w: %w", ledger.ErrUnknown, err) }

// knock dials the addresses while the client tries its own luck, so that a
// failure can be told apart: nobody listens, or somebody does and is no
// replica of this cluster. The answer is what is known when it is asked for.
func knock(ctx context.Context, addresses []string) (report func() string) {
	var mu sync.Mutex
	found := make([]string, len(addresses))
	for i, a := range addresses {
		found[i] = a + ": no connection yet"
		go func() {
			says := a + ": accepts connections"
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", a)
			if err != nil {
				says = a + ": " + lastCause(err)
			} else {
				_ = conn.Close()
			}
			mu.Lock()
			defer mu.Unlock()
			found[i] = says
		}()
	}
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(found, "; ")
	}
}

// lastCause is the innermost error's text: "connection refused" without the
// address, which stands beside it already.
func lastCause(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
