package client

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"escrowd/intake/api"
)

// flaky answers 503 until it was asked often enough, and notes what it saw.
type flaky struct {
	failures int
	mu       sync.Mutex
	requests []*http.Request
}

func (f *flaky) seen() []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r)
	fail := len(f.requests) <= f.failures
	f.mu.Unlock()
	if fail {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"type":"/problems/unavailable","title":"no","status":503}`))
		return
	}
	if strings.HasPrefix(r.URL.Path, "/v1/bulk/") {
		_, _ = w.Write([]byte(`{"answers":[]}`))
		return
	}
	_, _ = w.Write([]byte(`{"id":"o"}`))
}

func serve(t *testing.T, h http.Handler) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return New(s.URL+"/", "esk_x", Options{Retries: 3, Pause: time.Nanosecond})
}

// TestRepeats: what may be sent again is, and nothing else.
func TestRepeats(t *testing.T) {
	keyed := api.ItemKey{IdempotencyKey: "i"}
	for _, c := range []struct {
		name  string
		send  func(ctx context.Context, c *Client) error
		again bool
	}{
		{"a read", func(ctx context.Context, c *Client) error { _, err := c.Order(ctx, "o"); return err }, true},
		{"an event with a key", func(ctx context.Context, c *Client) error {
			_, err := c.Ship(ctx, "o", api.Ship{}, Key("k"))
			return err
		}, true},
		{"an event without", func(ctx context.Context, c *Client) error { _, err := c.Ship(ctx, "o", api.Ship{}); return err }, false},
		{"the clock", func(ctx context.Context, c *Client) error { _, err := c.SetClock(ctx, time.Now(), false); return err }, true},
		{"a quote", func(ctx context.Context, c *Client) error { _, err := c.Quote(ctx, api.NewQuote{}); return err }, true},
		{"a policy", func(ctx context.Context, c *Client) error { _, err := c.AddPolicy(ctx, api.PolicyTerms{}); return err }, true},
		{"bulk with a key", func(ctx context.Context, c *Client) error {
			_, err := Bulk(ctx, c, []api.ShipItem{{}}, Key("k"))
			return err
		}, true},
		{"bulk of keyed items", func(ctx context.Context, c *Client) error {
			_, err := Bulk(ctx, c, []api.ShipItem{{Target: api.Target{ItemKey: keyed}}})
			return err
		}, true},
		{"bulk of items of which one has no key", func(ctx context.Context, c *Client) error {
			_, err := Bulk(ctx, c, []api.ShipItem{{Target: api.Target{ItemKey: keyed}}, {}})
			return err
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &flaky{failures: 2}
			err := c.send(t.Context(), serve(t, h))
			if c.again && (err != nil || len(h.seen()) != 3) {
				t.Errorf("%d requests, %v", len(h.seen()), err)
			}
			if !c.again && (err == nil || len(h.seen()) != 1) {
				t.Errorf("%d requests, %v", len(h.seen()), err)
			}
		})
	}
	h := &flaky{failures: 100}
	var p *api.Problem
	if _, err := serve(t, h).Whoami(t.Context()); !errors.As(err, &p) || p.Type != api.ProblemUnavailable || len(h.seen()) != 4 {
		t.Errorf("%d requests, %v", len(h.seen()), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := serve(t, &flaky{}).Whoami(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestWhatIsSent: headers and paths, and an answer that is none of ours.
func TestWhatIsSent(t *testing.T) {
	h := &flaky{}
	c := serve(t, h)
	if _, err := c.Ship(t.Context(), "a/b", api.Ship{Carrier: "x"}, Key("k")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Orders(t.Context(), OrderFilter{State: "held", Reference: "a&b", Limit: 5}); err != nil {
		t.Fatal(err)
	}
	r := h.seen()[0]
	if r.URL.EscapedPath() != "/v1/orders/a%2Fb/ship" || r.Header.Get("Authorization") != "Bearer esk_x" ||
		r.Header.Get("Idempotency-Key") != "k" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %v", r.URL, r.Header)
	}
	if q := h.seen()[1].URL.Query(); q.Get("state") != "held" || q.Get("reference") != "a&b" || q.Get("limit") != "5" || q.Has("cursor") {
		t.Errorf("%v", q)
	}
	proxy := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) }))
	var p *api.Problem
	if _, err := proxy.Whoami(t.Context()); !errors.As(err, &p) || p.Status != http.StatusBadGateway || p.Title != "Bad Gateway" {
		t.Errorf("%v", err)
	}
}
