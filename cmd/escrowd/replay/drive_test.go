package replay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"escrowd/cmd/escrowd/demo"
	"escrowd/cmd/escrowd/replay"
	"escrowd/cmd/escrowd/replay/replaytest"
	"escrowd/intake/api"
	"escrowd/intake/client"
	"escrowd/settlement/order"
)

// server is an API that believes everything, notes what it is told, and
// complains about a client that does not do what Drive promises.
type server struct {
	t       *testing.T
	http    *httptest.Server
	stories map[string]*replay.Story

	mu       sync.Mutex
	now      time.Time
	sets     int  // how often the clock was set
	held     bool // deadlines are held
	fired    time.Time
	events   map[string][]string // by reference: "pay 2017-05-01T10:00:00Z"
	keys     map[string]string   // idempotency key: what it stands for
	busy     map[string]bool     // orders in a request that is under way
	refuse   func(reference string, kind string) *api.Problem
	payments [][]string
	final    func(s *replay.Story) order.State
	alter    func(o *api.Order)
}

func newServer(t *testing.T, stories []replay.Story) (*server, *client.Client) {
	s := &server{t: t, stories: map[string]*replay.Story{}, events: map[string][]string{}, keys: map[string]string{}, busy: map[string]bool{}}
	for i := range stories {
		s.stories[stories[i].Reference] = &stories[i]
	}
	s.refuse = func(string, string) *api.Problem { return nil }
	s.final = func(st *replay.Story) order.State { return st.Final }
	t.Cleanup(func() { s.http.Close() })
	return s, s.restart()
}

// restart waits until the requests that a dead client left are done, and lets
// a new one in.
func (s *server) restart() *client.Client {
	if s.http != nil {
		s.http.Close()
	}
	s.http = httptest.NewServer(s)
	return client.New(s.http.URL, "key", client.Options{Pause: time.Microsecond})
}

type item struct {
	Reference      string    `json:"reference"`
	Order          string    `json:"order"`
	Orders         []string  `json:"orders"`
	Amount         int64     `json:"amount"`
	At             time.Time `json:"at"`
	IdempotencyKey string    `json:"idempotency_key"`
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var out any
	kind, bulk := strings.CutPrefix(r.URL.Path, "/v1/bulk/")
	switch {
	case bulk:
		var in api.Bulk[item]
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return // the client died while it sent this
		}
		if len(in.Items) > api.BulkMax || r.Header.Get("Idempotency-Key") == "" {
			s.t.Errorf("%d items with key %q", len(in.Items), r.Header.Get("Idempotency-Key"))
		}
		out = api.Answers{Answers: s.bulk(kind, in.Items)}
	case r.URL.Path == "/v1/clock" && r.Method == http.MethodPost:
		var in api.SetClock
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			s.t.Error(err)
		}
		s.mu.Lock()
		s.sets++
		s.now, s.held = later(s.now, in.To), in.HoldDeadlines
		if !in.HoldDeadlines {
			s.fired = later(s.fired, in.To)
		}
		out = api.ClockMoved{Clock: api.Clock{Mode: "test", Now: s.now, Deadlines: s.fired}, Fired: 1}
		s.mu.Unlock()
	case r.URL.Path == "/v1/clock":
		out = api.Clock{Mode: "test", Now: s.now, Deadlines: s.fired}
	case r.URL.Path == "/v1/orders":
		out = s.list(r.URL.Query().Get("cursor"))
	default:
		s.t.Errorf("%s %s", r.Method, r.URL.Path)
	}
	_ = json.NewEncoder(w).Encode(out) // fails where the client is gone
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// list answers pages of 7.
func (s *server) list(cursor string) api.Orders {
	s.mu.Lock()
	defer s.mu.Unlock()
	references := slices.Sorted(maps.Keys(s.events))
	from, _ := slices.BinarySearch(references, cursor)
	var page api.Orders
	for _, ref := range references[from:] {
		if len(page.Orders) == 7 {
			page.Next = ref
			break
		}
		page.Orders = append(page.Orders, s.order(ref))
	}
	return page
}

// order is an order after what the server was told of it, and after the
// deadlines, if its story has ended.
func (s *server) order(ref string) api.Order {
	st := s.stories[ref]
	n := len(s.events[ref])
	o := api.Order{ID: ref, Reference: ref, Buyer: st.Buyer, Seller: st.Seller, Currency: st.Currency, Amount: st.Amount, Policy: st.Policy,
		AgreedAt: st.Events[0].At, ShipBy: st.ShipBy, ConfirmWithin: int64(st.ConfirmWithin / time.Second), At: st.Events[n-1].At, Events: int32(n), State: string(s.final(st))}
	if slices.ContainsFunc(st.Events[:n], func(e replay.Event) bool { return e.Kind == order.Reprice }) {
		o.AgreedAmount, o.Amount = st.Amount, st.Price()
	}
	if s.fired.After(st.Ends) {
		o.Events, o.At = o.Events+1, later(o.At, st.Ends) // what was released can be refunded after the end
	}
	if s.alter != nil {
		s.alter(&o)
	}
	return o
}

func (s *server) bulk(path string, items []item) []api.Answer {
	kind := map[string]string{"orders": "agree", "payments": "pay", "ruling": "rule"}[path]
	if kind == "" {
		kind = strings.ReplaceAll(path, "-", "_")
	}
	about := func(i item) []string {
		switch path {
		case "orders":
			return []string{i.Reference}
		case "payments":
			return i.Orders
		}
		return []string{i.Order}
	}
	var all []string
	for _, i := range items {
		all = append(all, about(i)...)
	}
	s.mu.Lock()
	for _, ref := range all {
		if s.busy[ref] {
			s.t.Errorf("order %s is in two requests at once", ref)
		}
		s.busy[ref] = true
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		for _, ref := range all {
			delete(s.busy, ref)
		}
		s.mu.Unlock()
	}()

	s.mu.Lock()
	defer s.mu.Unlock()
	answers := make([]api.Answer, len(items))
	for n, i := range items {
		a := &answers[n]
		if !s.held || i.At.After(s.now) || !i.At.After(s.fired) && !s.fired.IsZero() {
			s.t.Errorf("%s at %s while the clock is at %s, held %t, deadlines at %s", kind, i.At, s.now, s.held, s.fired)
		}
		refs := about(i)
		what := fmt.Sprint(kind, refs, i.At)
		if was, ok := s.keys[i.IdempotencyKey]; i.IdempotencyKey == "" || ok && was != what {
			s.t.Errorf("key %q for %s and for %s", i.IdempotencyKey, what, was)
		}
		s.keys[i.IdempotencyKey] = what
		if a.Problem = s.refuse(refs[0], kind); a.Problem != nil {
			a.Status = a.Problem.Status
			continue
		}
		a.Status = 200
		for _, ref := range refs {
			s.events[ref] = append(s.events[ref], kind+" "+i.At.Format(time.RFC3339))
			o := api.Order{ID: ref, Reference: ref}
			if path == "payments" {
				a.Orders = append(a.Orders, o)
			} else {
				a.Order = &o
			}
		}
		if path == "payments" {
			s.payments = append(s.payments, refs)
			var sum int64
			for _, ref := range refs {
				sum += s.stories[ref].Price()
			}
			if sum != i.Amount {
				s.t.Errorf("payment of %d for orders of %d", i.Amount, sum)
			}
		}
	}
	return answers
}

// compare says where what the server was told differs from the stories as far
// as until.
func (s *server) compare(until time.Time) {
	s.t.Helper()
	for ref, st := range s.stories {
		var want []string
		for _, e := range st.Events {
			if !e.At.After(until) {
				want = append(want, string(e.Kind)+" "+e.At.Format(time.RFC3339))
			}
		}
		if !slices.Equal(s.events[ref], want) {
			s.t.Errorf("order %s was told as %q, its story is %q", ref, s.events[ref], want)
		}
	}
}

func madeUp(t *testing.T, orders int) []replay.Story {
	t.Helper()
	dir := t.TempDir()
	replaytest.Write(t, dir, 11, orders)
	list, err := replay.OlistDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

var quick = replay.Options{Pause: time.Microsecond}

// TestDrive: every event is sent once, in order, within its window, also when
// the server cannot always decide.
func TestDrive(t *testing.T) {
	stories := append(madeUp(t, 10*replaytest.Kinds), demo.Stories(300)...)
	s, c := newServer(t, stories)
	tried := map[string]int{}
	s.refuse = func(ref, kind string) *api.Problem {
		if tried[ref+kind]++; tried[ref+kind]%3 != 0 && len(ref)%2 == 0 {
			return &api.Problem{Status: 503, Type: api.ProblemUnavailable}
		}
		return nil
	}
	opts := quick
	var seen []replay.Progress
	opts.Progress = func(p replay.Progress) { seen = append(seen, p) }
	sum, err := replay.Drive(t.Context(), c, stories, opts)
	if err != nil {
		t.Fatal(err)
	}
	first, last := replay.Span(stories)
	s.compare(last)
	events := 0
	for _, st := range stories {
		events += len(st.Events)
	}
	if sum.Sent != events || sum.Found != 0 || sum.Fired == 0 {
		t.Errorf("summary %+v, there are %d events", sum, events)
	}
	end := seen[len(seen)-1]
	if end.Done != events || end.Total != events || !end.WindowDone || !end.Through.Equal(last) {
		t.Errorf("the last progress is %+v", end)
	}
	wantEnd := time.Date(first.Year(), first.Month()+1, 1, 0, 0, 0, 0, time.UTC)
	if half := wantEnd.AddDate(0, -1, 15); first.Before(half) { // the demo's stories have refunds after a deadline
		wantEnd = half
	}
	if !seen[0].Through.Equal(wantEnd) {
		t.Errorf("the first window ends %s", seen[0].Through)
	}
	baskets := 0
	for _, p := range s.payments {
		if len(p) > 1 {
			baskets++
		}
	}
	if want := 300 / 22; baskets < want {
		t.Errorf("%d payments of several orders, want at least %d", baskets, want)
	}
}

// TestDriveGoesOn: a run that died is finished by the next one, which sends
// what is missing and nothing else; one more sends nothing at all.
func TestDriveGoesOn(t *testing.T) {
	stories := append(madeUp(t, 5*replaytest.Kinds), demo.Stories(100)...)
	s, c := newServer(t, stories)
	ctx, die := context.WithCancel(t.Context())
	told := 0
	s.refuse = func(string, string) *api.Problem {
		if told++; told == 250 {
			die()
		}
		return nil
	}
	if _, err := replay.Drive(ctx, c, stories, quick); !errors.Is(err, context.Canceled) {
		t.Fatalf("the first run ended with %v", err)
	}
	c = s.restart()
	found := 0
	for _, e := range s.events {
		found += len(e)
	}
	sum, err := replay.Drive(t.Context(), c, stories, quick)
	if err != nil {
		t.Fatal(err)
	}
	_, last := replay.Span(stories)
	s.compare(last)
	if sum.Found != found || sum.Sent == 0 {
		t.Errorf("%d events were there, the second run says %+v", found, sum)
	}
	s.refuse = func(ref, kind string) *api.Problem {
		t.Errorf("the third run sends %s of %s", kind, ref)
		return nil
	}
	sets := s.sets
	if sum, err = replay.Drive(t.Context(), c, stories, quick); err != nil || sum.Sent != 0 || s.sets != sets {
		t.Errorf("the third run did something: %+v, %v, %d times set the clock", sum, err, s.sets-sets)
	}
}

// TestDriveOnOtherOrders: what is there already has to be what the stories
// say.
func TestDriveOnOtherOrders(t *testing.T) {
	stories := madeUp(t, 5*replaytest.Kinds)
	s, c := newServer(t, stories)
	opts := quick
	opts.Until = time.Date(2017, 6, 15, 12, 0, 0, 0, time.UTC)
	if _, err := replay.Drive(t.Context(), c, stories, opts); err != nil {
		t.Fatal(err)
	}
	for _, other := range []struct {
		says  string
		alter func(*api.Order)
	}{
		{"with other terms", func(o *api.Order) { o.Seller += "x" }},
		{"with other terms", func(o *api.Order) { o.Amount, o.AgreedAmount = o.Amount+1, 0 }},
		{"with other terms", func(o *api.Order) { o.ConfirmWithin++ }},
		{"somebody moved it on otherwise", func(o *api.Order) { o.At = o.At.Add(time.Second) }},
	} {
		s.alter = func(o *api.Order) {
			if int(o.Events) <= len(s.stories[o.Reference].Events) {
				other.alter(o)
			}
		}
		if _, err := replay.Drive(t.Context(), c, stories, quick); err == nil || !strings.Contains(err.Error(), other.says) {
			t.Errorf("error %v, want %q", err, other.says)
		}
	}
}

func TestDriveUntil(t *testing.T) {
	stories := madeUp(t, 5*replaytest.Kinds)
	s, c := newServer(t, stories)
	s.final = func(st *replay.Story) order.State {
		if st.Ends.After(s.fired) {
			return order.Held
		}
		return st.Final
	}
	opts := quick
	first, _ := replay.Span(stories)
	opts.Until = first.Add(-time.Second)
	if sum, err := replay.Drive(t.Context(), c, stories, opts); err != nil || sum.Sent != 0 {
		t.Fatalf("before the first event: %+v, %v", sum, err)
	}
	opts.Until = time.Date(2017, 6, 15, 12, 0, 0, 0, time.UTC)
	sum, err := replay.Drive(t.Context(), c, stories, opts)
	if err != nil {
		t.Fatal(err)
	}
	s.compare(opts.Until)
	if !sum.Clock.Now.Equal(opts.Until) || sum.States[order.Held] == 0 {
		t.Errorf("summary %+v", sum)
	}
}

// TestDriveFails: a story that the server does not agree with ends the run.
func TestDriveFails(t *testing.T) {
	stories := madeUp(t, 2*replaytest.Kinds)
	var victim *replay.Story
	for i := range stories {
		if stories[i].Final == order.Closed {
			victim = &stories[i]
		}
	}
	unavailable := &api.Problem{Status: 503, Type: api.ProblemUnavailable}
	cases := []struct {
		name string
		make func(s *server)
		want string
	}{
		{"refused", func(s *server) {
			s.refuse = func(ref, kind string) *api.Problem {
				if ref == victim.Reference && kind == "ship" {
					return &api.Problem{Status: 409, Type: api.ProblemRefused, Detail: "no"}
				}
				return nil
			}
		}, "order " + victim.Reference + ": ship at "},
		{"never decided", func(s *server) {
			s.refuse = func(ref, kind string) *api.Problem {
				if ref == victim.Reference {
					return unavailable
				}
				return nil
			}
		}, "1 events could not be decided in 9 attempts"},
		{"another ending", func(s *server) {
			s.final = func(st *replay.Story) order.State {
				if st == victim {
					return order.Released
				}
				return st.Final
			}
		}, "order " + victim.Reference + " is released, its story ends closed"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, api := newServer(t, stories)
			c.make(s)
			_, err := replay.Drive(t.Context(), api, stories, quick)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		s, c := newServer(t, stories)
		ctx, cancel := context.WithCancel(t.Context())
		s.refuse = func(string, string) *api.Problem { cancel(); return unavailable }
		if _, err := replay.Drive(ctx, c, stories, quick); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want %v", err, context.Canceled)
		}
	})
}

// TestDriveRefusesUnsound: stories that cannot be played are refused before
// anything is sent.
func TestDriveRefusesUnsound(t *testing.T) {
	at := time.Date(2017, 5, 1, 0, 0, 0, 0, time.UTC)
	agree, pay := replay.Event{Kind: order.Agree, At: at}, replay.Event{Kind: order.Pay, At: at.Add(time.Hour), Method: "card"}
	story := func(ref, buyer string, basket int, events ...replay.Event) replay.Story {
		return replay.Story{Reference: ref, Buyer: buyer, Seller: "s", Currency: "BRL", Amount: 100, Basket: basket, Events: events, Ends: at.Add(24 * time.Hour)}
	}
	cases := map[string]struct {
		stories []replay.Story
		want    string
	}{
		"no agreement":   {[]replay.Story{story("a", "b", 0, pay)}, "does not begin with an agreement"},
		"no event":       {[]replay.Story{story("a", "b", 0)}, "does not begin with an agreement"},
		"time goes back": {[]replay.Story{story("a", "b", 0, agree, replay.Event{Kind: order.Pay, At: at.Add(-1)})}, "not in order of time"},
		"two buyers":     {[]replay.Story{story("a", "b", 1, agree, pay), story("c", "d", 1, agree, pay)}, "share a payment and not the buyer"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, api := newServer(t, c.stories)
			_, err := replay.Drive(t.Context(), api, c.stories, quick)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if len(s.events) != 0 || !s.now.IsZero() {
				t.Error("something was sent")
			}
		})
	}
	t.Run("a payment that never fits", func(t *testing.T) {
		stories := []replay.Story{story("a", "b", 1, agree, pay), story("c", "b", 1, agree)}
		_, api := newServer(t, stories)
		_, err := replay.Drive(t.Context(), api, stories, quick)
		if err == nil || !strings.Contains(err.Error(), "order a: its pay cannot be sent") {
			t.Errorf("error %v", err)
		}
	})
}
