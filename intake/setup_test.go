package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"escrowd/intake/api"
	"escrowd/intake/client"
	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/rules"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

// start is the test clocks' beginning.
var start = time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC)

// setup is an API on a schema of its own, with one marketplace under a test
// clock.
type setup struct {
	t      *testing.T
	db     *sqlx.DB
	store  *orderdb.Store
	poster *posting.Poster
	reg    *prometheus.Registry
	log    *bytes.Buffer
	server *Server
	http   *httptest.Server
	market orderdb.Marketplace
	key    string
	client *client.Client
}

func newSetup(t *testing.T) *setup {
	t.Helper()
	return newSetupOn(t, pgtest.Open(t))
}

func newSetupOn(t *testing.T, db *sqlx.DB) *setup {
	t.Helper()
	return newSetupWith(t, db, rules.NewEngine(func() uint64 { return uint64(time.Now().UnixNano()) }))
}

func newSetupWith(t *testing.T, db *sqlx.DB, engine ledger.Engine) *setup {
	t.Helper()
	s := &setup{t: t, db: db, store: orderdb.New(db), reg: prometheus.NewRegistry(), log: &bytes.Buffer{}}
	s.poster = posting.New(db, engine, posting.Options{})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := s.poster.Close(ctx); err != nil {
			t.Errorf("closing the write path: %v", err)
		}
	})
	var err error
	s.server, err = New(Options{Store: s.store, Poster: s.poster, Deadlines: &firing{s.store, s.poster}, Ledger: engine,
		Logger: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Registerer: s.reg})
	if err != nil {
		t.Fatal(err)
	}
	s.http = httptest.NewServer(s.server)
	t.Cleanup(s.http.Close)
	s.market, s.key = s.marketplace("acme", orderdb.TestClock)
	s.client = client.New(s.http.URL, s.key, client.Options{Retries: -1})
	return s
}

func (s *setup) marketplace(name string, clock orderdb.ClockKind) (orderdb.Marketplace, string) {
	s.t.Helper()
	m, err := s.store.CreateMarketplace(s.t.Context(), name, clock, start)
	if err != nil {
		s.t.Fatal(err)
	}
	key, _, err := s.store.CreateKey(s.t.Context(), m.ID, "test")
	if err != nil {
		s.t.Fatal(err)
	}
	return m, key
}

// firing passes one round of deadlines, as the jobs do over and over.
type firing struct {
	store  *orderdb.Store
	poster *posting.Poster
}

func (f *firing) Fire(ctx context.Context, marketplace uint32) (fired int, err error) {
	for again := true; again; {
		again = false
		m, err := f.store.Marketplace(ctx, marketplace)
		if err != nil {
			return fired, err
		}
		for _, d := range order.Deadlines {
			if order.Due[d] == "" {
				continue
			}
			page, err := f.store.Due(ctx, marketplace, d, m.Deadlines, orderdb.Due{}, 1000)
			if err != nil {
				return fired, err
			}
			for _, due := range page.Orders {
				if _, err := f.poster.Do(ctx, posting.Request{Marketplace: marketplace, Orders: []orderID{due.ID},
					Command: order.Command{Event: order.Due[d], By: order.System, At: due.DeadlineAt}}); err != nil {
					return fired, err
				}
				fired, again = fired+1, true
			}
		}
	}
	return fired, nil
}

// send is a request as it is, for what the client would not send.
func (s *setup) send(method, path, body string, header ...string) (int, http.Header, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.http.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		if req.Header.Del(header[i]); header[i+1] != "" {
			req.Header.Set(header[i], header[i+1])
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(b)
}

// problem sends a request that has to end as a problem.
func (s *setup) problem(method, path, body string, header ...string) api.Problem {
	s.t.Helper()
	status, h, text := s.send(method, path, body, header...)
	var p api.Problem
	if err := json.Unmarshal([]byte(text), &p); err != nil || h.Get("Content-Type") != "application/problem+json" {
		s.t.Fatalf("%s %s: %d %s: not a problem: %s", method, path, status, h.Get("Content-Type"), text)
	}
	if p.Status != status || p.RequestID == "" || p.RequestID != h.Get("X-Request-Id") {
		s.t.Fatalf("%s %s: answered %d (request %s) with %s", method, path, status, h.Get("X-Request-Id"), text)
	}
	return p
}

// agreed is a new order.
func (s *setup) agreed(reference string, amount int64) api.Order {
	s.t.Helper()
	o, err := s.client.CreateOrder(s.t.Context(), api.NewOrder{Reference: reference, Buyer: "b", Seller: "s", Currency: "USD", Amount: amount})
	if err != nil {
		s.t.Fatal(err)
	}
	return o
}

// held is a new order that is paid.
func (s *setup) held(reference string, amount int64) api.Order {
	s.t.Helper()
	o := s.agreed(reference, amount)
	paid, err := s.client.Pay(s.t.Context(), api.Payment{Orders: []string{o.ID}, Method: "card"})
	if err != nil {
		s.t.Fatal(err)
	}
	return paid.Orders[0]
}
