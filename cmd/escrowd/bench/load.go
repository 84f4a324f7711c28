package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"escrowd/intake/api"
	"escrowd/settlement/order"
)

// The load generator and its parent talk in JSON, one value after the other:
// the parent says hello and then steps; each step is answered.

// hello is what the generator needs to know once. The key is a secret, and
// comes this way because others can read a command line.
type hello struct {
	Base string `json:"base"` // the server, such as "http://127.0.0.1:8080"
	Key  string `json:"key"`
	Run  string `json:"run"` // begins every reference and idempotency key
}

// step takes orders First to First+Orders-1 through events. Each connection
// takes the next Bulk orders that nobody has (1 if Bulk is 0) through all the
// events before it takes others.
type step struct {
	Events      []order.Event `json:"events"`
	First       int           `json:"first"`
	Orders      int           `json:"orders"`
	Connections int           `json:"connections"`
	Bulk        int           `json:"bulk"`
	// Rate is how many requests are sent a second, each of one event of one
	// order, whether or not those before are answered. 0: each connection
	// sends its next one when the last is answered.
	Rate float64 `json:"rate,omitempty"`
}

// done is the answer to a step.
type done struct {
	Seconds    float64     `json:"seconds"` // from the first request to the last answer
	TurnedAway int         `json:"turned_away"`
	Latencies  []latencies `json:"latencies"`          // by event
	Sending    float64     `json:"sending,omitempty"`  // with Rate: seconds to the last request
	Accepted   bits        `json:"accepted,omitempty"` // with Rate: which, counted from First; Latencies are theirs
	Refused    latencies   `json:"refused,omitempty"`  // with Rate: of those turned away
	Error      string      `json:"error,omitempty"`
}

// latencies are of single requests, in nanoseconds.
type latencies []int64

// summary takes the nearest rank: the p-th is the smallest that at least p of
// a hundred do not exceed.
func (l latencies) summary() Latency {
	if len(l) == 0 {
		return Latency{}
	}
	l = slices.Clone(l)
	slices.Sort(l)
	at := func(q float64) float64 {
		return float64(l[max(0, int(math.Ceil(q*float64(len(l))))-1)]) / 1e6
	}
	return Latency{P50: at(0.50), P95: at(0.95), P99: at(0.99), Max: at(1)}
}

func merged(list []latencies) (all latencies) {
	for _, l := range list {
		all = append(all, l...)
	}
	return all
}

// ServeLoad is the load generator: it does the steps that it reads from in
// and answers on out, until in ends.
func ServeLoad(ctx context.Context, in io.Reader, out io.Writer) error {
	read, write := json.NewDecoder(in), json.NewEncoder(out)
	g := &generator{ids: map[int]string{}}
	if err := read.Decode(&g.hello); err != nil {
		return fmt.Errorf("load generator: %w", err)
	}
	for {
		var s step
		if err := read.Decode(&s); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("load generator: %w", err)
		}
		run := g.step
		if s.Rate > 0 {
			run = g.open
		}
		d, err := run(ctx, s)
		if err != nil {
			d.Error = err.Error()
		}
		if err := write.Encode(d); err != nil {
			return fmt.Errorf("load generator: %w", err)
		}
	}
}

type generator struct {
	hello hello
	mu    sync.Mutex
	ids   map[int]string // of agreed orders, by number, until they are confirmed
}

// step runs the connections of a step. They are open before the time begins
// and close after it ended.
func (g *generator) step(ctx context.Context, s step) (d done, err error) {
	size := max(1, s.Bulk)
	workers := make([]*worker, min(s.Connections, (s.Orders+size-1)/size))
	defer func() {
		for _, w := range workers {
			if w != nil {
				err = errors.Join(err, w.wire.Close())
			}
		}
	}()
	for i := range workers {
		c, err := dial(ctx, g.hello)
		if err != nil {
			return d, fmt.Errorf("connecting: %w", err)
		}
		workers[i] = &worker{g: g, wire: c, latencies: make([]latencies, len(s.Events))}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	begun := time.Now()
	for _, w := range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				from := int(next.Add(int64(size))) - size
				if from >= s.Orders {
					return
				}
				if err := w.take(ctx, s, s.First+from, min(size, s.Orders-from)); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	d.Seconds = time.Since(begun).Seconds()
	d.Latencies = make([]latencies, len(s.Events))
	for _, w := range workers {
		d.TurnedAway += w.turnedAway
		for i, l := range w.latencies {
			d.Latencies[i] = append(d.Latencies[i], l...)
		}
	}
	if s.Events[len(s.Events)-1] == order.Confirm {
		for n := range s.Orders {
			delete(g.ids, s.First+n)
		}
	}
	return d, context.Cause(ctx)
}

// worker is one connection.
type worker struct {
	g          *generator
	wire       *wire
	turnedAway int
	latencies  []latencies // by event of the step
}

// take takes n orders from first on through the events of the step.
func (w *worker) take(ctx context.Context, s step, first, n int) error {
	for i, e := range s.Events {
		r, err := w.g.request(e, first, n, s.Bulk > 0)
		if err != nil {
			return err
		}
		took, answer, err := w.send(ctx, r, n)
		if err != nil {
			return fmt.Errorf("%s of order %d: %w", e, first, err)
		}
		w.latencies[i] = append(w.latencies[i], took.Nanoseconds())
		if e == order.Agree {
			if err := w.g.remember(answer, first, n, s.Bulk > 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// request is one to send, and what a good answer looks like.
type request struct {
	path, key string
	body      []byte
	status    int
	mark      []byte // stands in the answer once for each order
}

// The states that the events lead to, as an answer says them.
var marks = map[order.Event][]byte{
	order.Agree:   []byte(`"state":"agreed"`),
	order.Pay:     []byte(`"state":"held"`),
	order.Ship:    []byte(`"state":"shipped"`),
	order.Confirm: []byte(`"state":"released"`),
}

func (g *generator) request(e order.Event, first, n int, bulk bool) (request, error) {
	r := request{status: http.StatusOK, mark: marks[e], key: g.hello.Run + "-" + string(e) + "-" + strconv.Itoa(first)}
	id := func(i int) string {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.ids[first+i]
	}
	agreed := func(i int) api.NewOrder {
		return api.NewOrder{Reference: g.hello.Run + "-" + strconv.Itoa(first+i), Buyer: buyerOf(first + i), Seller: sellerOf(first + i),
			Currency: currency, Amount: amountOf(first + i), Policy: feePolicy}
	}
	payment := func(i int) api.Payment {
		return api.Payment{Orders: []string{id(i)}, Method: method, Amount: amountOf(first + i)}
	}
	ship := api.Ship{Carrier: "DHL", Tracking: "00340434292135100186"}
	var in any
	switch {
	case e == order.Agree && bulk:
		r.path, in = "/v1/bulk/orders", items(n, func(i int) api.NewOrderItem { return api.NewOrderItem{NewOrder: agreed(i)} })
	case e == order.Agree:
		r.path, r.status, in = "/v1/orders", http.StatusCreated, agreed(0)
	case e == order.Pay && bulk:
		r.path, in = "/v1/bulk/payments", items(n, func(i int) api.PaymentItem { return api.PaymentItem{Payment: payment(i)} })
	case e == order.Pay:
		r.path, in = "/v1/payments", payment(0)
	case e == order.Ship && bulk:
		r.path, in = "/v1/bulk/ship", items(n, func(i int) api.ShipItem { return api.ShipItem{Target: api.Target{Order: id(i)}, Ship: ship} })
	case e == order.Ship:
		r.path, in = "/v1/orders/"+id(0)+"/ship", ship
	case e == order.Confirm && bulk:
		r.path, in = "/v1/bulk/confirm", items(n, func(i int) api.ConfirmItem { return api.ConfirmItem{Target: api.Target{Order: id(i)}} })
	case e == order.Confirm:
		r.path, in = "/v1/orders/"+id(0)+"/confirm", api.Confirm{}
	default:
		return r, fmt.Errorf("the load generator knows no %s", e)
	}
	var err error
	r.body, err = json.Marshal(in)
	return r, err
}

func items[I any](n int, item func(i int) I) api.Bulk[I] {
	list := make([]I, n)
	for i := range list {
		list[i] = item(i)
	}
	return api.Bulk[I]{Items: list}
}

// tries is how often a request that is turned away is sent again: minutes, by
// the second that the server asks to wait.
const tries = 200

// send sends a request until it is not turned away. took is the time of the
// last attempt.
func (w *worker) send(ctx context.Context, r request, n int) (took time.Duration, answer []byte, err error) {
	for range tries {
		begun := time.Now()
		status, body, after, err := w.wire.post(r.path, r.key, r.body)
		took = time.Since(begun)
		if err != nil {
			return took, nil, err
		}
		// Counting what a good answer has once per order is ten times faster
		// than decoding it; one that is not good is decoded.
		if status == r.status && bytes.Count(body, r.mark) == n {
			return took, body, nil
		}
		if again, err := turnedAway(status, body); err != nil || !again {
			return took, nil, errors.Join(err, fmt.Errorf("answered %d: %s", status, start(body)))
		}
		w.turnedAway++
		pause := time.NewTimer(max(after, 10*time.Millisecond))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return took, nil, context.Cause(ctx)
		}
	}
	return took, nil, fmt.Errorf("turned away %d times", tries)
}

// turnedAway reports whether an answer, or any in a bulk answer, is 503: with
// the same key the whole request can be sent again.
func turnedAway(status int, body []byte) (bool, error) {
	if status != http.StatusOK {
		return status == http.StatusServiceUnavailable, nil
	}
	var a api.Answers
	if err := json.Unmarshal(body, &a); err != nil {
		return false, fmt.Errorf("decoding an answer: %w", err)
	}
	again := false
	for i, item := range a.Answers {
		switch {
		case item.Status == http.StatusServiceUnavailable:
			again = true
		case item.Problem != nil:
			return false, fmt.Errorf("item %d: %w", i, item.Problem)
		}
	}
	return again, nil
}

func start(body []byte) []byte { return body[:min(len(body), 500)] }

// remember notes the ids of orders that were agreed.
func (g *generator) remember(answer []byte, first, n int, bulk bool) error {
	var orders []api.Order
	if bulk {
		var a api.Answers
		if err := json.Unmarshal(answer, &a); err != nil {
			return fmt.Errorf("decoding an answer: %w", err)
		}
		for _, item := range a.Answers {
			if item.Order == nil {
				return errors.New("an answer has no order")
			}
			orders = append(orders, *item.Order)
		}
	} else {
		orders = make([]api.Order, 1)
		if err := json.Unmarshal(answer, &orders[0]); err != nil {
			return fmt.Errorf("decoding an answer: %w", err)
		}
	}
	if len(orders) != n {
		return fmt.Errorf("%d orders were agreed, %d answered", n, len(orders))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, o := range orders {
		g.ids[first+i] = o.ID
	}
	return nil
}
