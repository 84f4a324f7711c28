package intake

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"escrowd/intake/api"
	"escrowd/intake/client"
	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

// cable is a TCP connection to the test's Postgres that can be pulled.
type cable struct {
	listener net.Listener
	dial     func() (net.Conn, error)
	mu       sync.Mutex
	pulled   bool
	conns    []net.Conn
}

func newCable(t *testing.T, cfg pq.Config) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: l, dial: func() (net.Conn, error) {
		if strings.HasPrefix(cfg.Host, "/") {
			return net.Dial("unix", filepath.Join(cfg.Host, fmt.Sprintf(".s.PGSQL.%d", cfg.Port)))
		}
		return net.Dial("tcp", net.JoinHostPort(cfg.Host, fmt.Sprint(cfg.Port)))
	}}
	t.Cleanup(func() { l.Close(); c.pull() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			c.join(in)
		}
	}()
	return c
}

func (c *cable) join(in net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out, err := c.dial()
	if c.pulled || err != nil {
		in.Close()
		if err == nil {
			out.Close()
		}
		return
	}
	c.conns = append(c.conns, in, out)
	go func() { _, _ = io.Copy(out, in); out.Close() }()
	go func() { _, _ = io.Copy(in, out); in.Close() }()
}

func (c *cable) pull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pulled = true
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

func (c *cable) plug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pulled = false
}

// TestDatabaseGone: 503 while it is gone, for reads and events alike, and
// nothing lost or done twice once it is back.
func TestDatabaseGone(t *testing.T) {
	cfg, err := pq.NewConfig(pgtest.DSN(t))
	if err != nil {
		t.Fatal(err)
	}
	c := newCable(t, cfg)
	cfg.Host, cfg.Port = "127.0.0.1", uint16(c.listener.Addr().(*net.TCPAddr).Port)
	connector, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sqlx.NewDb(sql.OpenDB(connector), "postgres")
	t.Cleanup(func() { db.Close() })
	s := newSetupOn(t, db)
	o := s.held("one", 100)

	c.pull()
	for _, call := range []struct{ method, path, body string }{
		{"GET", "/v1/orders/" + o.ID, ""},
		{"GET", "/v1/orders", ""},
		{"GET", "/v1/clock", ""},
		{"GET", "/readyz", ""},
		{"POST", "/v1/policies", policyJSON("USD")},
		{"POST", "/v1/quotes", `{"currency":"USD","amount":1}`},
		{"POST", "/v1/orders/" + o.ID + "/ship", "{}"},
	} {
		p := s.problem(call.method, call.path, call.body, "Idempotency-Key", "k")
		if p.Status != 503 || p.Type != api.ProblemUnavailable {
			t.Errorf("%s %s: %+v", call.method, call.path, p)
		}
	}
	if _, h, _ := s.send("GET", "/v1/clock", ""); h.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	if _, _, text := s.send("POST", "/v1/bulk/ship", `{"items":[{"order":"`+o.ID+`"}]}`); !strings.Contains(text, `"status":503`) {
		t.Errorf("bulk: %s", text)
	}
	if status, _, _ := s.send("GET", "/healthz", ""); status != 200 {
		t.Error("the process is taken for dead with its database")
	}

	c.plug()
	// The client sends again by itself until the server has its database back.
	patient := client.New(s.http.URL, s.key, client.Options{Retries: 100, Pause: 10 * time.Millisecond})
	if err := patient.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	shipped, err := patient.Ship(t.Context(), o.ID, api.Ship{}, client.Key("k"))
	if err != nil || shipped.State != "shipped" {
		t.Fatalf("%+v %v", shipped, err)
	}
	if n := len(must[api.Timeline](t)(patient.Timeline(t.Context(), o.ID)).Events); n != 3 {
		t.Errorf("%d events took place, want 3", n)
	}
}

// scripted answers every request to the write path with an error.
type scripted struct {
	err  error
	busy bool
}

func (s scripted) Do(context.Context, posting.Request) (posting.Result, error) {
	return posting.Result{}, s.err
}

func (s scripted) DoAll(_ context.Context, reqs []posting.Request) []posting.Answer {
	answers := make([]posting.Answer, len(reqs))
	for i := range answers {
		answers[i].Err = s.err
	}
	return answers
}

func (s scripted) Busy() bool { return s.busy }

// stuck keeps a request until it may leave.
type stuck struct {
	scripted
	entered, leave chan struct{}
}

func (s stuck) Do(ctx context.Context, req posting.Request) (posting.Result, error) {
	s.entered <- struct{}{}
	<-s.leave
	return s.scripted.Do(ctx, req)
}

// TestMaxInFlight: while as many requests as may be are in flight, the next is
// turned away before it is read, and reading goes on; afterwards all is as ever.
func TestMaxInFlight(t *testing.T) {
	s := newSetup(t)
	p := stuck{scripted{err: posting.ErrNotFound}, make(chan struct{}), make(chan struct{})}
	s.server.opts.Poster, s.server.opts.MaxInFlight = p, 2
	const path = "/v1/orders/00000000-0000-7000-8000-000000000001/ship"
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if status, _, text := s.send("POST", path, "{}"); status != 404 {
				t.Errorf("let in: %d %s", status, text)
			}
		})
		<-p.entered
	}
	status, h, text := s.send("POST", path, `not JSON`)
	if status != 503 || h.Get("Retry-After") != "1" || !strings.Contains(text, api.ProblemUnavailable) {
		t.Errorf("one too many: %d, Retry-After %q, %s", status, h.Get("Retry-After"), text)
	}
	if status, _, text := s.send("GET", "/v1/whoami", ""); status != 200 {
		t.Errorf("reading meanwhile: %d %s", status, text)
	}
	close(p.leave)
	wg.Wait()
	go func() { <-p.entered }()
	if status, _, text := s.send("POST", path, "{}"); status != 404 {
		t.Errorf("afterwards: %d %s", status, text)
	}
}

// TestTranslation: every error that the write path and the store have is one
// kind of problem, by itself and in bulk, and what nobody foresaw says nothing
// of its insides.
func TestTranslation(t *testing.T) {
	s := newSetup(t)
	const inside = "pq: password=hunter2"
	refusal := &order.Refusal{Rule: "state", Event: order.Ship, State: order.Agreed, Detail: "no", Allowed: order.AllowedIn(order.Agreed)}
	for _, c := range []struct {
		err    error
		status int
		typ    string
	}{
		{posting.ErrNotFound, 404, api.ProblemNotFound},
		{posting.ErrKeyReused, 422, api.ProblemKeyReused},
		{fmt.Errorf("%w: %s", posting.ErrUnavailable, inside), 503, api.ProblemUnavailable},
		{fmt.Errorf("%w: %s: %w", posting.ErrUnknown, inside, context.DeadlineExceeded), 503, api.ProblemUnknown},
		{fmt.Errorf("%w: %w", posting.ErrUnavailable, context.Canceled), 503, api.ProblemUnavailable},
		{refusal, 409, api.ProblemRefused},
		{&posting.Rejected{Reason: "exceeds_credits"}, 409, api.ProblemLedger},
		{&posting.Rejected{Reason: "exists_with_different_amount", Frozen: true}, 409, api.ProblemFrozen},
		{&posting.Invalid{Field: "amount", Detail: "wrong"}, 400, api.ProblemInvalid},
		{&posting.ReferenceTaken{Reference: inside}, 409, api.ProblemReference},
		{orderdb.ErrLiveClock, 409, api.ProblemLiveClock},
		{&pq.Error{Code: "57P01", Message: inside}, 503, api.ProblemUnavailable},
		{&pq.Error{Code: "23505", Message: inside}, 500, api.ProblemInternal},
		{errors.New(inside), 500, api.ProblemInternal},
	} {
		s.server.opts.Poster = scripted{err: c.err}
		p := s.problem("POST", "/v1/orders/00000000-0000-7000-8000-000000000001/ship", "{}")
		if p.Status != c.status || p.Type != c.typ {
			t.Errorf("%v: %+v, want %d %s", c.err, p, c.status, c.typ)
		}
		_, h, text := s.send("POST", "/v1/bulk/ship", `{"items":[{"order":"00000000-0000-7000-8000-000000000001"}]}`)
		if !strings.Contains(text, fmt.Sprintf(`"status":%d,"problem":{"type":%q`, c.status, c.typ)) {
			t.Errorf("%v in bulk: %s", c.err, text)
		}
		if strings.Contains(text, inside) || strings.Contains(fmt.Sprint(p), inside) || h.Get("X-Request-Id") == "" {
			t.Errorf("%v: the insides got out: %s", c.err, text)
		}
	}
	// Too many at once: a bulk is turned away in whole, and nobody's log is filled.
	s.server.opts.Poster = scripted{err: posting.ErrBusy}
	before := s.log.Len()
	for _, path := range []string{"/v1/orders/00000000-0000-7000-8000-000000000001/ship", "/v1/bulk/ship"} {
		body := "{}"
		if strings.Contains(path, "bulk") {
			body = `{"items":[{"order":"00000000-0000-7000-8000-000000000001"}]}`
		}
		status, h, text := s.send("POST", path, body)
		if status != 503 || h.Get("Retry-After") != "1" || !strings.Contains(text, api.ProblemUnavailable) {
			t.Errorf("busy, %s: %d, Retry-After %q, %s", path, status, h.Get("Retry-After"), text)
		}
	}
	if log := s.log.String()[before:]; strings.Contains(log, "level=WARN") {
		t.Errorf("busy: %s", log)
	}
	// And before they are read, which costs most; reading goes on.
	s.server.opts.Poster = scripted{busy: true}
	status, h, text := s.send("POST", "/v1/bulk/ship", `not JSON`)
	if status != 503 || h.Get("Retry-After") != "1" || h.Get("X-Request-Id") == "" || !strings.Contains(text, api.ProblemUnavailable) {
		t.Errorf("busy: %d, Retry-After %q, %s", status, h.Get("Retry-After"), text)
	}
	if status, _, text := s.send("GET", "/v1/whoami", ""); status != 200 {
		t.Errorf("reading while busy: %d %s", status, text)
	}
	s.server.opts.Poster = nil // a panic
	if p := s.problem("POST", "/v1/orders/00000000-0000-7000-8000-000000000001/ship", "{}"); p.Type != api.ProblemInternal {
		t.Errorf("a panic: %+v", p)
	}
	s.http.Close()
	if !strings.Contains(s.log.String(), "stack=") || !strings.Contains(s.log.String(), inside) {
		t.Error("what was hidden is not in the log")
	}
}

// TestLedgerGone: /readyz notices, and says which part it is.
func TestLedgerGone(t *testing.T) {
	s := newSetup(t)
	s.server.opts.Ledger = deaf{}
	if p := s.problem("GET", "/readyz", ""); p.Status != 503 || p.Detail != "the ledger does not answer" {
		t.Errorf("%+v", p)
	}
}

// deaf is a ledger that does not answer.
type deaf struct{ ledger.Reader }

func (deaf) LookupAccounts(context.Context, []ledger.ID) ([]ledger.Account, error) {
	return nil, ledger.ErrNotSent
}
