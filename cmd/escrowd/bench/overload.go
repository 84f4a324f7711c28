package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"escrowd/intake/api"
	"escrowd/settlement/order"
)

// Overload is what became of an open load: payments that come at their times
// whether or not those before are answered, at a multiple of what the system
// did for connections that wait for each answer.
type Overload struct {
	Times     float64 `json:"times"`    // of the capacity
	Capacity  float64 `json:"capacity"` // requests a second of a closed load, measured just before
	Offered   float64 `json:"offered"`  // requests a second that were sent
	Accepted  float64 `json:"accepted"` // a second
	Refused   float64 `json:"refused"`  // a second: 503 with Retry-After, nothing decided
	AcceptedN int     `json:"accepted_requests"`
	RefusedN  int     `json:"refused_requests"`
	// RefusedLatency is of the refused; the Point's Latency is of the
	// accepted. Both count from the moment at which the request was due.
	RefusedLatency Latency `json:"refused_latency_ms"`
}

const (
	overloadTimes   = 2
	overloadSeconds = 10
	// In an open load a connection is taken by each request that is not
	// answered yet. With fewer the generator would wait for the server after
	// all, which is what it must not do.
	overloadConnections = 8192
)

// overload measures how much the system can bear, and then what happens at
// twice that. Each request is the payment of an order of its own, agreed
// before, so that what was acknowledged can be told from the books to the cent.
func (s *session) overload(ctx context.Context, p *Point) error {
	closed := p.Work
	closed.Overload = false
	var calm Point
	calm.Work = closed
	if err := s.requests(ctx, &calm); err != nil {
		return fmt.Errorf("measuring the capacity: %w", err)
	}
	pay := calm.Phases[0]
	o := &Overload{Times: overloadTimes, Capacity: float64(pay.Requests) / pay.Seconds}
	s.tell("%s: it bears %s payments/s; offering %v times as many", p.Name, figure(o.Capacity), overloadTimes)

	n := int(o.Capacity * overloadTimes * overloadSeconds)
	if _, err := s.drive(ctx, p.Work, n, stage{[]order.Event{order.Agree}, false}); err != nil {
		return err
	}
	if err := s.settleDown(ctx); err != nil {
		return err
	}
	s.meter.start()
	before, err := s.meter.read(ctx)
	if err != nil {
		return err
	}
	d, err := s.child.do(ctx, step{Events: []order.Event{order.Pay}, First: s.next, Orders: n,
		Connections: min(overloadConnections, n), Rate: o.Capacity * overloadTimes})
	if err != nil {
		return err
	}
	if err := s.meter.add(ctx, before); err != nil {
		return err
	}
	for i := range n {
		if d.Accepted.has(i) {
			o.AcceptedN++
			s.expect.event(order.Pay, amountOf(s.next+i), s.policies[feePolicy])
		}
	}
	s.next += n
	o.RefusedN = n - o.AcceptedN
	o.Offered, o.Accepted, o.Refused = float64(n)/d.Sending, float64(o.AcceptedN)/d.Seconds, float64(o.RefusedN)/d.Seconds
	o.RefusedLatency = d.Refused.summary()
	p.Overload, p.Orders, p.Requests, p.Seconds, p.Latency = o, o.AcceptedN, n, d.Seconds, d.Latencies[0].summary()
	if o.AcceptedN == 0 {
		return errors.New("nothing was accepted")
	}
	p.Cost = s.meter.cost(o.AcceptedN)
	return nil
}

// bits are a set of numbers from 0, as JSON a string.
type bits []byte

func newBits(n int) bits { return make(bits, (n+7)/8) }

func (b bits) has(i int) bool { return b[i/8]&(1<<(i%8)) != 0 }
func (b bits) add(i int)      { b[i/8] |= 1 << (i % 8) }

// open runs an open load. A request that is neither accepted nor refused as it
// should be ends it with an error.
func (g *generator) open(ctx context.Context, s step) (d done, err error) {
	wires := make([]*wire, 0, s.Connections)
	defer func() {
		for _, w := range wires {
			err = errors.Join(err, w.Close())
		}
	}()
	for range s.Connections {
		w, err := dial(ctx, g.hello)
		if err != nil {
			return d, fmt.Errorf("connecting: %w", err)
		}
		wires = append(wires, w)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		mu       sync.Mutex
		accepted latencies
		lastSent time.Duration
		next     atomic.Int64
		wg       sync.WaitGroup
	)
	d.Accepted = newBits(s.Orders)
	begun := time.Now()
	for _, w := range wires {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= s.Orders {
					return
				}
				due := time.Duration(float64(i) / s.Rate * 1e9)
				time.Sleep(due - time.Since(begun))
				sent := time.Since(begun)
				ok, err := g.offer(w, s.Events[0], s.First+i)
				took := (time.Since(begun) - due).Nanoseconds()
				if err != nil {
					cancel(fmt.Errorf("%s of order %d: %w", s.Events[0], s.First+i, err))
					return
				}
				mu.Lock()
				lastSent = max(lastSent, sent)
				if ok {
					accepted = append(accepted, took)
					d.Accepted.add(i)
				} else {
					d.Refused = append(d.Refused, took)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	d.Seconds, d.Sending = time.Since(begun).Seconds(), lastSent.Seconds()
	d.Latencies = []latencies{accepted}
	return d, context.Cause(ctx)
}

// offer sends one request once, and tells whether it was accepted or refused.
func (g *generator) offer(w *wire, e order.Event, n int) (accepted bool, err error) {
	r, err := g.request(e, n, 1, false)
	if err != nil {
		return false, err
	}
	status, body, after, err := w.post(r.path, r.key, r.body)
	if err != nil || status == r.status {
		return err == nil, err
	}
	var p api.Problem
	if err := json.Unmarshal(body, &p); err != nil {
		return false, fmt.Errorf("answered %d: %s", status, start(body))
	}
	switch {
	case status != http.StatusServiceUnavailable || p.Type != api.ProblemUnavailable:
		return false, fmt.Errorf("answered %d: %s", status, start(body))
	case after <= 0:
		return false, errors.New("turned away without a word of when to come back")
	}
	return false, nil
}
