package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"escrowd/intake/api"
	"escrowd/settlement/order"
)

// serverOf answers the n-th request by answers[n], the rest by the last one,
// and notes keys and bodies.
type serverOf struct {
	answers []func(w http.ResponseWriter)
	mu      sync.Mutex
	seen    []string
}

func (s *serverOf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	n := min(len(s.seen), len(s.answers)-1)
	s.seen = append(s.seen, r.Method+" "+r.URL.Path+" "+r.Header.Get("Idempotency-Key")+" "+r.Header.Get("Authorization")+" "+string(body))
	s.mu.Unlock()
	s.answers[n](w)
}

func answer(status int, body string, header ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// run lets a generator do one step against the answers.
func (s *serverOf) run(t *testing.T, st step) (done, []string) {
	t.Helper()
	h := httptest.NewServer(s)
	defer h.Close()
	in, out := io.Pipe()
	var answers strings.Builder
	ended := make(chan error)
	go func() { ended <- ServeLoad(t.Context(), in, &answers) }()
	e := json.NewEncoder(out)
	for _, v := range []any{hello{Base: h.URL, Key: "esk_x", Run: "r"}, st} {
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	var d done
	if err := json.Unmarshal([]byte(answers.String()), &d); err != nil {
		t.Fatal(err)
	}
	return d, s.seen
}

const unavailable = `{"type":"/problems/unavailable","title":"no","status":503}`

// TestTurnedAway: what is turned away is sent again, the very same, and
// counted; a refusal is not.
func TestTurnedAway(t *testing.T) {
	good := answer(http.StatusCreated, `{"id":"o","state":"agreed"}`)
	item := `{"status":201,"order":{"id":"o","state":"agreed"}}`
	bulk := func(items ...string) func(http.ResponseWriter) {
		return answer(http.StatusOK, `{"answers":[`+strings.Join(items, ",")+`]}`)
	}
	for _, c := range []struct {
		name     string
		bulk     int
		answers  []func(http.ResponseWriter)
		away     int
		requests int
		err      string
	}{
		{"twice 503", 0, []func(http.ResponseWriter){
			answer(503, unavailable, "Retry-After", "0"), answer(503, unavailable), good}, 2, 3, ""},
		{"one item of a bulk", 2, []func(http.ResponseWriter){
			bulk(item, `{"status":503,"problem":`+unavailable+`}`), bulk(item, item)}, 1, 2, ""},
		{"a refusal", 0, []func(http.ResponseWriter){answer(409, `{"detail":"taken"}`)}, 0, 1, "answered 409: {\"detail\":\"taken\"}"},
		{"a refused item", 2, []func(http.ResponseWriter){
			bulk(item, `{"status":409,"problem":{"type":"x","title":"taken","status":409}}`)}, 0, 1, "item 1: "},
		{"an order that is not where it should be", 0, []func(http.ResponseWriter){
			answer(http.StatusCreated, `{"id":"o","state":"held"}`)}, 0, 1, "answered 201"},
		{"a missing item", 2, []func(http.ResponseWriter){bulk(item)}, 0, 1, "answered 200"},
		{"no Retry-After that we know", 0, []func(http.ResponseWriter){answer(503, unavailable, "Retry-After", "soon")}, 0, 1, "Retry-After"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &serverOf{answers: c.answers}
			d, seen := s.run(t, step{Events: []order.Event{order.Agree}, First: 7, Orders: max(1, c.bulk), Connections: 3, Bulk: c.bulk})
			if d.TurnedAway != c.away || len(seen) != c.requests || (c.err == "") != (d.Error == "") || !strings.Contains(d.Error, c.err) {
				t.Errorf("%+v after %d requests", d, len(seen))
			}
			for _, r := range seen {
				if r != seen[0] || !strings.Contains(r, " r-agree-7 Bearer esk_x {") {
					t.Errorf("sent %s, first %s", r, seen[0])
				}
			}
		})
	}
}

// TestWholeLife: a connection takes an order through all its events, each
// about the id that the first one got, with its own key.
func TestWholeLife(t *testing.T) {
	s := &serverOf{answers: []func(http.ResponseWriter){
		answer(201, `{"id":"7b","state":"agreed"}`), answer(200, `{"orders":[{"state":"held"}]}`),
		answer(200, `{"state":"shipped"}`), answer(200, `{"state":"released"}`)}}
	d, seen := s.run(t, step{Events: wholeLife, First: 3, Orders: 1, Connections: 1})
	if d.Error != "" || len(d.Latencies) != 4 || d.Seconds <= 0 {
		t.Fatalf("%+v", d)
	}
	for i, want := range []string{"POST /v1/orders r-agree-3 ", `POST /v1/payments r-pay-3 Bearer esk_x {"orders":["7b"],"method":"card","amount":24757}`,
		"POST /v1/orders/7b/ship r-ship-3 ", "POST /v1/orders/7b/confirm r-confirm-3 Bearer esk_x {}"} {
		if len(d.Latencies[i]) != 1 || !strings.HasPrefix(seen[i], want) {
			t.Errorf("%s, want %s", seen[i], want)
		}
	}
}

// TestEachOrderOnce: however the orders are dealt out, each is taken once.
func TestEachOrderOnce(t *testing.T) {
	for _, c := range []struct{ orders, connections, bulk, requests int }{
		{10, 3, 0, 10}, {10, 64, 0, 10}, {10, 1, 4, 3}, {10, 2, 10, 1}, {10, 2, 1000, 1}, {10, 4, 1, 10},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			var mu sync.Mutex
			times := map[string]int{}
			requests := 0
			h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				requests++
				var list api.Bulk[api.NewOrderItem]
				if c.bulk == 0 {
					list.Items = make([]api.NewOrderItem, 1)
					_ = json.NewDecoder(r.Body).Decode(&list.Items[0].NewOrder)
					w.WriteHeader(http.StatusCreated)
					_, _ = io.WriteString(w, `{"id":"x","state":"agreed"}`)
				} else {
					_ = json.NewDecoder(r.Body).Decode(&list)
					one := `{"status":201,"order":{"id":"x","state":"agreed"}}`
					_, _ = io.WriteString(w, `{"answers":[`+strings.TrimSuffix(strings.Repeat(one+",", len(list.Items)), ",")+`]}`)
				}
				for _, i := range list.Items {
					times[i.Reference]++
				}
			}))
			defer h.Close()
			g := &generator{hello: hello{Base: h.URL, Run: "r"}, ids: map[int]string{}}
			d, err := g.step(t.Context(), step{Events: []order.Event{order.Agree}, First: 5, Orders: c.orders, Connections: c.connections, Bulk: c.bulk})
			if err != nil || requests != c.requests || len(d.Latencies[0]) != c.requests || len(times) != c.orders || len(g.ids) != c.orders {
				t.Errorf("%v: %d requests, %v", err, requests, times)
			}
			for i := range c.orders {
				if times[fmt.Sprintf("r-%d", 5+i)] != 1 {
					t.Errorf("order %d was taken %d times", 5+i, times[fmt.Sprintf("r-%d", 5+i)])
				}
			}
		})
	}
}

func TestLatencies(t *testing.T) {
	var l latencies
	for i := range 1000 {
		l = append(l, int64(1000-i)*1e6)
	}
	if got, want := l.summary(), (Latency{500, 950, 990, 1000}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if l[0] != 1000*1e6 {
		t.Error("the summary changed what it summed up")
	}
	if got := (latencies{3e6}).summary(); got != (Latency{3, 3, 3, 3}) {
		t.Errorf("%+v", got)
	}
	if got := (latencies{}).summary(); got != (Latency{}) {
		t.Errorf("%+v", got)
	}
}
