// Package bench measures escrowd as a user meets it: over HTTP on loopback,
// through the write path, into a ledger and a Postgres that lose nothing. The
// load comes from a process of its own, so that the processors' time can be
// told apart; and when it is over the books are checked, because a benchmark
// whose books do not balance has measured nothing.
//
//	bench.go    what is measured, and the session that measures it
//	load.go     the load generator: the child process
//	wire.go     its HTTP connections
//	child.go    the parent's end of the child
//	meter.go    what a stretch of work cost: processors, WAL, batches
//	proc.go     reading /proc
//	history.go  writing orders of the past, fast
//	settle.go   the auto-release job over many due orders
//	overload.go more requests than can be borne
//	raw.go      the ledger alone, for comparison
//	books.go    the check afterwards
//	sweep.go    many points: over connections, bulk sizes, history
//	print.go    reports for people, plot.go as SVG
//
// # An order
//
// An order is a fund and a release with fee: two requests, pay and confirm.
// The API wants an order agreed before it is paid, and shipped before it is
// confirmed; with LifePayConfirm these happen outside of the measured time:
// all orders are agreed, then measured while all are paid, then shipped, then
// measured while all are confirmed, and orders per second is their number over
// the sum of the two times. LifeFull measures all four events, each over all
// orders. LifeMixed measures all four, each connection taking its orders one
// after the other through all of them. All orders are paid through one
// clearing account and their fees go to one account, the hardest case for a
// ledger.
package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/jobs"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
)

// Life says which of an order's events are measured, and in which order the
// orders go through them; see the package comment.
type Life string

// The lives.
const (
	LifePayConfirm Life = "pay-confirm"
	LifeFull       Life = "full"
	LifeMixed      Life = "mixed"
)

// System is a running escrowd in this process, and how to measure it.
type System struct {
	Engine  string // "postgres", "tigerbeetle" or "memory"
	URL     string // of the API
	DB      *sqlx.DB
	Orders  *orderdb.Store
	Ledger  ledger.Engine
	Jobs    *jobs.Jobs
	Metrics prometheus.Gatherer

	// Raw opens a ledger of the same kind that nobody else uses; its second
	// result closes and removes it.
	Raw func(ctx context.Context) (ledger.Engine, func() error, error)
	// Load is the command line of the load generator: a program that calls
	// ServeLoad on its standard input and output.
	Load []string
	// Tigerbeetle is the address of the cluster's first replica, whose
	// processor time is measured if it is on this machine; "" for none.
	Tigerbeetle string
	// Caveats are said in the report: what makes the figures worth less.
	Caveats []string
	// Tell hears what is being done, a line at a time. Nil: nobody does.
	Tell func(line string)

	beforeCheck func(ctx context.Context) error // a test's chance to spoil the books
}

// Work is one thing to measure.
type Work struct {
	Name string `json:"name"`
	// Orders are how many are measured; with Settle, how many are due.
	Orders int `json:"orders"`
	// Settle measures the auto-release job instead of requests.
	Settle bool `json:"settle"`
	Life   Life `json:"life,omitempty"` // "" with Settle
	// Overload measures what happens at twice the load that Orders by
	// Connections are found to be.
	Overload bool `json:"overload,omitempty"`
	// Batch measures the ledger alone, with so many transfers in a request to it
	// (an even number: an order's event has two), instead of escrowd.
	Batch int `json:"batch,omitempty"`
	// Connections is how many requests are under way at once.
	Connections int `json:"connections,omitempty"`
	// Bulk is the items of a request on the bulk endpoints, at most
	// api.BulkMax; 0 for single requests.
	Bulk int `json:"bulk,omitempty"`
	// History is how many closed orders the books have before it begins, at
	// least; those that are missing are written first.
	History int `json:"history"`
}

// Report is what was measured.
type Report struct {
	Engine   string   `json:"engine"`
	CPUs     int      `json:"cpus"`
	Go       string   `json:"go"`
	Postgres string   `json:"postgres"`
	Durable  bool     `json:"durable"` // Postgres acknowledges only what a power failure cannot take back
	Caveats  []string `json:"caveats,omitempty"`
	Points   []Point  `json:"points"`
	Books    Books    `json:"books"`
}

// Point is one Work measured. Times of requests are the load generator's.
type Point struct {
	Work
	OrdersPerSecond float64   `json:"orders_per_second"`
	Seconds         float64   `json:"seconds"`
	Requests        int       `json:"requests"`
	TurnedAway      int       `json:"turned_away"` // answered 503 and sent again
	Latency         Latency   `json:"latency_ms"`
	Overload        *Overload `json:"overload_result,omitempty"`
	Phases          []Phase   `json:"phases,omitempty"`
	Cost            Cost      `json:"cost"`
	Raw             Raw       `json:"raw_ledger"`
	RawShare        float64   `json:"share_of_raw_ledger"` // orders a second over the raw ledger's
	// HistoryRatio is the orders a second over those of the first point that
	// differs in its history alone; 0 where there is none.
	HistoryRatio float64 `json:"history_ratio,omitempty"`
	// HeldFundsSeconds is how long the held-funds report over all due orders
	// took, with Settle on an engine whose journal is in Postgres; else 0.
	HeldFundsSeconds float64 `json:"held_funds_seconds,omitempty"`
}

// Phase is one kind of event of a Point.
type Phase struct {
	Event    string  `json:"event"`
	Seconds  float64 `json:"seconds"` // 0 where the events are mixed
	Requests int     `json:"requests"`
	Latency  Latency `json:"latency_ms"`
}

// Latency is of requests, in milliseconds, from the first byte sent to the
// last one read.
type Latency struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// The marketplace that is measured, and its policies: with a fee, and with a
// fee and tax on it.
const (
	Marketplace = "bench"

	feePolicy = "bench"
	taxPolicy = "bench-tax"
	currency  = "USD"
	method    = "card"
	buyers    = 1000
	sellers   = 100
	day       = 24 * 60 * 60
)

func policy(name string, taxBps int64) order.Policy {
	p := order.Standard()
	p.Name = name
	p.Fees = map[string]order.Fee{currency: {Bps: 500, TaxBps: taxBps}}
	return p
}

// amountOf is what the n-th order costs, in minor units.
func amountOf(n int) int64 { return 1000 + int64(n)*7919%90_000 }

func buyerOf(n int) string  { return "buyer-" + strconv.Itoa(n%buyers) }
func sellerOf(n int) string { return "seller-" + strconv.Itoa(n%sellers) }

// session is a System being measured.
type session struct {
	*System
	market   orderdb.Marketplace
	ledger   uint32
	run      string // begins all references and keys of this session
	policies map[string]*order.Policy
	child    *child
	meter    *meter
	expect   expectation
	history  int // closed orders written by generate
	next     int // number of the next order
	fresh    bool
	raw      map[rawCase]Raw
}

func newSession(s *System) *session {
	return &session{System: s, raw: map[rawCase]Raw{}, policies: map[string]*order.Policy{}}
}

// Run measures works one after the other, in one marketplace, and checks the
// books at the end. The error is an *Unbalanced if they do not balance, and
// the report then says what does not; any other error says why something could
// not be measured.
func (s *System) Run(ctx context.Context, works []Work) (r Report, err error) {
	m := newSession(s)
	r = Report{Engine: s.Engine, CPUs: runtime.NumCPU(), Go: runtime.Version(), Caveats: s.Caveats}
	if err := m.describe(ctx, &r); err != nil {
		return r, err
	}
	if err := m.open(ctx); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	for _, w := range works {
		if m.history > w.History { // data of an earlier session: this is what can be measured on them
			w.History = m.history
			w = w.named()
		}
		if slices.ContainsFunc(r.Points, func(p Point) bool { return p.Work == w }) {
			continue
		}
		p, err := m.point(ctx, w)
		if err != nil {
			return r, fmt.Errorf("bench: %s: %w", w.Name, err)
		}
		for _, first := range r.Points {
			if first.sameButHistory(p.Work) && first.History < p.History {
				p.HistoryRatio = p.OrdersPerSecond / first.OrdersPerSecond
				break
			}
		}
		r.Points = append(r.Points, p)
		switch {
		case w.Settle, w.Batch > 0:
			s.tell("%s: %s orders/s", p.Name, figure(p.OrdersPerSecond))
		case w.Overload:
			s.tell("%s: %s payments/s accepted, %s refused, latency of the accepted in ms %s", p.Name,
				figure(p.Overload.Accepted), figure(p.Overload.Refused), p.Latency)
		default:
			s.tell("%s: %s orders/s, latency in ms %s", p.Name, figure(p.OrdersPerSecond), p.Latency)
		}
	}
	if s.beforeCheck != nil {
		if err := s.beforeCheck(ctx); err != nil {
			return r, err
		}
	}
	m.tell("checking the books")
	r.Books, err = m.check(ctx)
	return r, err
}

func (w Work) sameButHistory(v Work) bool {
	v.Name, v.History, w.Name, w.History = "", 0, "", 0
	return v == w
}

func (s *System) tell(format string, args ...any) {
	if s.Tell != nil {
		s.Tell(fmt.Sprintf(format, args...))
	}
}

// describe fills in what the report says of Postgres.
func (s *session) describe(ctx context.Context, r *Report) error {
	var fsync, commit string
	err := s.DB.QueryRowContext(ctx, `SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')`).
		Scan(&r.Postgres, &fsync, &commit)
	if err != nil {
		return fmt.Errorf("bench: asking Postgres: %w", err)
	}
	r.Durable = fsync == "on" && commit != "off" && s.Engine != "memory"
	if fsync != "on" || commit == "off" {
		r.Caveats = append(r.Caveats, "Postgres is not durable: fsync is "+fsync+", synchronous_commit "+commit)
	}
	if s.Engine == "memory" {
		r.Caveats = append(r.Caveats, "the ledger is in memory: nothing of it is durable")
	}
	return nil
}

// open makes the marketplace, or takes up that of an earlier session on the
// same data, and starts the load generator.
func (s *session) open(ctx context.Context) error {
	now := time.Now().UTC().Truncate(time.Second)
	s.run = strconv.FormatInt(time.Now().UnixNano(), 36)
	m, err := s.Orders.CreateMarketplace(ctx, Marketplace, orderdb.TestClock, now)
	s.fresh = err == nil
	if errors.Is(err, orderdb.ErrExists) {
		m, err = s.Orders.MarketplaceByName(ctx, Marketplace)
	}
	if err != nil {
		return fmt.Errorf("bench: marketplace: %w", err)
	}
	s.market = m
	cur, ok := chart.ByCode(currency)
	if !ok {
		return fmt.Errorf("bench: no currency %s", currency)
	}
	if s.ledger, err = chart.Ledger(m.ID, cur); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	for name, tax := range map[string]int64{feePolicy: 0, taxPolicy: 2000} {
		p, err := s.Orders.AddPolicy(ctx, m.ID, policy(name, tax))
		if err != nil {
			return fmt.Errorf("bench: policy: %w", err)
		}
		s.policies[name] = &p
	}
	if s.fresh {
		if err := s.emptyLedger(ctx); err != nil {
			return err
		}
	}
	if err := s.baseline(ctx); err != nil {
		return err
	}
	key, _, err := s.Orders.CreateKey(ctx, m.ID, "bench "+s.run)
	if err != nil {
		return fmt.Errorf("bench: key: %w", err)
	}
	if s.child, err = startLoad(ctx, s.Load, hello{Base: s.URL, Key: key, Run: s.run}); err != nil {
		return err
	}
	s.meter = newMeter(ctx, s)
	return nil
}

// emptyLedger makes sure that a new marketplace's ledger has nothing in it: a
// TigerBeetle cluster may have served another order store.
func (s *session) emptyLedger(ctx context.Context) error {
	list, err := s.Ledger.QueryAccounts(ctx, ledger.QueryFilter{Ledger: s.ledger, Limit: 1})
	if err != nil {
		return fmt.Errorf("bench: looking into the ledger: %w", err)
	}
	if len(list) > 0 {
		return fmt.Errorf("bench: ledger %d is in use: this cluster keeps the books of another order store", s.ledger)
	}
	return nil
}

func (s *session) close() error {
	if s.child == nil {
		return nil
	}
	return s.child.close()
}

// point measures one work.
func (s *session) point(ctx context.Context, w Work) (Point, error) {
	p := Point{Work: w}
	if missing := w.History - s.history; missing > 0 {
		if err := s.generate(ctx, missing, closedLife); err != nil {
			return p, fmt.Errorf("writing the history: %w", err)
		}
		s.history += missing
	}
	var err error
	switch {
	case w.Settle:
		err = s.settle(ctx, &p)
	case w.Batch > 0:
		return p, s.alone(ctx, &p)
	case w.Overload:
		err = s.overload(ctx, &p)
	default:
		err = s.requests(ctx, &p)
	}
	if err != nil {
		return p, err
	}
	p.OrdersPerSecond = float64(p.Orders) / p.Seconds
	if w.Overload {
		return p, nil // half an order each: no raw ledger does the like
	}
	return p, s.compare(ctx, &p)
}

// stage is a part of a point: some events, for all orders.
type stage struct {
	events   []order.Event
	measured bool
}

func stages(l Life) []stage {
	one := func(measured bool, e order.Event) stage { return stage{[]order.Event{e}, measured} }
	switch l {
	case LifeFull:
		return []stage{one(true, order.Agree), one(true, order.Pay), one(true, order.Ship), one(true, order.Confirm)}
	case LifeMixed:
		return []stage{{wholeLife, true}}
	}
	return []stage{one(false, order.Agree), one(true, order.Pay), one(false, order.Ship), one(true, order.Confirm)}
}

var wholeLife = []order.Event{order.Agree, order.Pay, order.Ship, order.Confirm}

// Outside of the measured time orders move as fast as they can.
const (
	fastConnections = 4
	fastBulk        = 500
)

// requests measures w over HTTP.
func (s *session) requests(ctx context.Context, p *Point) error {
	s.tell("%s: %d orders", p.Name, p.Orders)
	// The accounts of all buyers and sellers, prepared statements, connections
	// and pools of memory are there before anything is measured.
	warm := p.Work
	warm.Connections, warm.Bulk = fastConnections, fastBulk
	for _, up := range []struct {
		work   Work
		orders int
	}{{warm, min(p.Orders, buyers)}, {p.Work, min(p.Orders, p.Connections*max(1, p.Bulk))}} {
		if _, err := s.drive(ctx, up.work, up.orders, stage{wholeLife, false}); err != nil {
			return fmt.Errorf("warming up: %w", err)
		}
		s.next += up.orders
	}
	if err := s.settleDown(ctx); err != nil {
		return err
	}
	s.meter.start()
	var latencies []latencies
	for _, st := range stages(p.Life) {
		var before sample
		var err error
		if st.measured {
			if before, err = s.meter.read(ctx); err != nil {
				return err
			}
		}
		done, err := s.drive(ctx, p.Work, p.Orders, st)
		if err != nil {
			return err
		}
		if !st.measured {
			continue
		}
		if err := s.meter.add(ctx, before); err != nil {
			return err
		}
		p.Seconds += done.Seconds
		p.TurnedAway += done.TurnedAway
		for i, e := range st.events {
			l := done.Latencies[i]
			ph := Phase{Event: string(e), Requests: len(l), Latency: l.summary()}
			if len(st.events) == 1 {
				ph.Seconds = done.Seconds
			}
			p.Requests += len(l)
			p.Phases = append(p.Phases, ph)
			latencies = append(latencies, l)
		}
	}
	p.Latency = merged(latencies).summary()
	s.next += p.Orders
	p.Cost = s.meter.cost(p.Orders)
	return nil
}

// drive takes the next n orders through a stage and notes what the books have
// to show afterwards.
func (s *session) drive(ctx context.Context, w Work, n int, st stage) (done, error) {
	step := step{Events: st.events, First: s.next, Orders: n, Connections: w.Connections, Bulk: w.Bulk}
	if len(st.events) == 1 && !st.measured {
		step.Connections, step.Bulk = fastConnections, fastBulk
	}
	d, err := s.child.do(ctx, step)
	if err != nil {
		return d, err
	}
	for _, e := range st.events {
		for i := range n {
			s.expect.event(e, amountOf(s.next+i), s.policies[feePolicy])
		}
	}
	return d, nil
}

// settleDown does what a server that has run for a while has behind it, so
// that it does not fall into the measured time: the planner has statistics,
// and the checkpoint is not about to come.
func (s *session) settleDown(ctx context.Context) error {
	var tables []string
	err := s.DB.SelectContext(ctx, &tables, `SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1`)
	if err != nil {
		return fmt.Errorf("listing the tables: %w", err)
	}
	for _, t := range tables {
		if _, err := s.DB.ExecContext(ctx, `VACUUM (ANALYZE) `+t); err != nil {
			return fmt.Errorf("vacuum %s: %w", t, err)
		}
	}
	// A role that may not is no reason to fail: the checkpoint comes when it comes.
	if _, err := s.DB.ExecContext(ctx, `CHECKPOINT`); err != nil && !denied(err) {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return s.closePages(ctx)
}

// closePages does what the schedule, which is off, would have done meanwhile.
func (s *session) closePages(ctx context.Context) error {
	job, err := s.Jobs.Job(jobs.ClosePages)
	if err != nil {
		return err
	}
	_, err = job.RunOnce(ctx, jobs.Run{})
	return err
}
