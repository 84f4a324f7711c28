package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/lib/pq"
)

// Cost is what the measured orders cost, per order unless it says otherwise.
type Cost struct {
	CPU CPU `json:"cpu_ms_per_order"`
	// PeakMemory is the most resident memory that the process with the server
	// in it had meanwhile, in bytes.
	PeakMemory int64 `json:"peak_memory_bytes"`
	// Transactions are those of the write path, by the requests they decided
	// (none, if they only recorded outcomes); Batches the requests to the
	// ledger, by their transfers.
	Transactions Sizes `json:"transactions"`
	Batches      Sizes `json:"ledger_batches"`
	// Busy is the share of the time in which each stage of the write path was
	// at work.
	Busy map[string]float64 `json:"stages_busy"`
	// WAL and commits are of the whole Postgres server. A commit is counted
	// if it wrote: one that only read waits for no disk.
	WALBytes float64 `json:"wal_bytes_per_order"`
	Commits  float64 `json:"commits_per_order"`
}

// CPU is processor time by process, milliseconds per order. A process that
// could not be watched is null: it runs on another machine.
type CPU struct {
	Server      *float64 `json:"escrowd"`
	Load        *float64 `json:"load_generator"`
	Postgres    *float64 `json:"postgres"` // with all its backends
	Tigerbeetle *float64 `json:"tigerbeetle,omitempty"`
}

// Sizes describes batches. Quantiles are upper bounds: the ends of the
// histogram's buckets, which double in width.
type Sizes struct {
	Count uint64  `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50_at_most"`
	P99   float64 `json:"p99_at_most"`
}

// The write path's metrics that a point reads.
const (
	decidedHistogram = "escrowd_posting_batch_requests"
	ledgerHistogram  = "escrowd_ledger_batch_events"
	busyCounter      = "escrowd_posting_stage_busy_seconds_total"
	transfersLabel   = "create_transfers"
)

// histogram is a Prometheus histogram's counts so far.
type histogram struct {
	count  uint64
	sum    float64
	bounds []float64
	counts []uint64 // cumulative, by bound
}

// sample is all counters at one moment.
type sample struct {
	server, load, postgres, tigerbeetle time.Duration
	wal                                 float64 // bytes since the cluster was made
	transactions                        int64   // that wrote, since then
	decided, booked                     histogram
	at                                  time.Time
	time                                time.Duration
	busy                                map[string]float64 // seconds of each stage
}

type meter struct {
	s                     *session
	postmaster, tiger     int // process ids, 0 if not known
	load                  int
	used                  sample // what the measured stretches used up
	sawServer, sawLoad    bool
	sawPostgres, sawTiger bool
}

func newMeter(ctx context.Context, s *session) *meter {
	m := &meter{s: s, load: s.child.pid(), postmaster: postmaster(ctx, s)}
	if s.Tigerbeetle != "" {
		m.tiger = listenerOf(s.Tigerbeetle)
	}
	return m
}

// postmaster finds the Postgres server's process by one of its backends, if
// they are on this machine; else 0.
func postmaster(ctx context.Context, s *session) int {
	var backend int
	var local bool
	err := s.DB.QueryRowContext(ctx, `SELECT pg_backend_pid(), coalesce(inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1', true)`).
		Scan(&backend, &local)
	if err != nil || !local {
		return 0
	}
	b, ok := readStat(backend)
	if !ok || !strings.HasPrefix(b.comm, "postgres") {
		return 0 // behind a forwarded port, in a container
	}
	if p, ok := readStat(b.parent); !ok || !strings.HasPrefix(p.comm, "postgres") && p.comm != "postmaster" {
		return 0
	}
	return b.parent
}

// start begins a point: nothing is used yet, and the memory that earlier work
// left behind is given back.
func (m *meter) start() {
	m.used = sample{}
	debug.FreeOSMemory()
	resetPeak()
}

func (m *meter) read(ctx context.Context) (sample, error) {
	var s sample
	s.server, m.sawServer = cpuOf(os.Getpid())
	s.load, m.sawLoad = cpuOf(m.load)
	if m.postmaster != 0 {
		s.postgres, m.sawPostgres = cpuOfTree(m.postmaster)
	}
	if m.tiger != 0 {
		s.tigerbeetle, m.sawTiger = cpuOf(m.tiger)
	}
	// The transaction ids given out tell how many transactions wrote, at once
	// and exactly; pg_stat_database is up to ten seconds behind.
	err := m.s.DB.QueryRowContext(ctx, `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8, pg_snapshot_xmax(pg_current_snapshot())::text::bigint`).
		Scan(&s.wal, &s.transactions)
	if err != nil {
		return s, fmt.Errorf("reading Postgres's counters: %w", err)
	}
	s.at = time.Now()
	s.busy = map[string]float64{}
	s.decided, s.booked, err = m.histograms(s.busy)
	return s, err
}

// add counts what was used since before.
func (m *meter) add(ctx context.Context, before sample) error {
	after, err := m.read(ctx)
	if err != nil {
		return err
	}
	u := &m.used
	u.server += after.server - before.server
	u.load += after.load - before.load
	u.postgres += after.postgres - before.postgres
	u.tigerbeetle += after.tigerbeetle - before.tigerbeetle
	u.wal += after.wal - before.wal
	u.transactions += after.transactions - before.transactions
	u.time += after.at.Sub(before.at)
	if u.busy == nil {
		u.busy = map[string]float64{}
	}
	for stage := range after.busy {
		u.busy[stage] += after.busy[stage] - before.busy[stage]
	}
	u.decided.add(after.decided, before.decided)
	u.booked.add(after.booked, before.booked)
	return nil
}

func (m *meter) cost(orders int) Cost {
	n := float64(orders)
	per := func(d time.Duration, saw bool) *float64 {
		if !saw {
			return nil
		}
		return new(d.Seconds() * 1000 / n)
	}
	return Cost{
		CPU: CPU{per(m.used.server, m.sawServer), per(m.used.load, m.sawLoad), per(m.used.postgres, m.sawPostgres),
			per(m.used.tigerbeetle, m.sawTiger)},
		Busy:         m.used.shares(),
		PeakMemory:   peakMemory(),
		Transactions: m.used.decided.sizes(),
		Batches:      m.used.booked.sizes(),
		WALBytes:     m.used.wal / n,
		Commits:      float64(m.used.transactions) / n,
	}
}

// shares tells which part of the time each stage was at work.
func (s *sample) shares() map[string]float64 {
	shares := make(map[string]float64, len(s.busy))
	for stage, seconds := range s.busy {
		shares[stage] = seconds / max(s.time.Seconds(), 1e-9)
	}
	return shares
}

// histograms reads the write path's own account of its batches, and into busy
// how long each stage was at work so far.
func (m *meter) histograms(busy map[string]float64) (decided, booked histogram, err error) {
	families, err := m.s.Metrics.Gather()
	if err != nil {
		return decided, booked, fmt.Errorf("gathering metrics: %w", err)
	}
	for _, f := range families {
		var into *histogram
		for _, metric := range f.GetMetric() {
			switch f.GetName() {
			case busyCounter:
				busy[metric.GetLabel()[0].GetValue()] = metric.GetCounter().GetValue()
				continue
			case decidedHistogram:
				into = &decided
			case ledgerHistogram:
				if l := metric.GetLabel(); len(l) != 1 || l[0].GetValue() != transfersLabel {
					continue
				}
				into = &booked
			default:
				continue
			}
			h := metric.GetHistogram()
			*into = histogram{count: h.GetSampleCount(), sum: h.GetSampleSum()}
			for _, b := range h.GetBucket() {
				into.bounds = append(into.bounds, b.GetUpperBound())
				into.counts = append(into.counts, b.GetCumulativeCount())
			}
		}
	}
	if decided.bounds == nil {
		return decided, booked, errors.New("the server has no metric " + decidedHistogram)
	}
	return decided, booked, nil
}

func (h *histogram) add(after, before histogram) {
	h.count += after.count - before.count
	h.sum += after.sum - before.sum
	if h.bounds == nil {
		h.bounds, h.counts = after.bounds, make([]uint64, len(after.bounds))
	}
	for i := range after.counts {
		h.counts[i] += after.counts[i]
		if before.counts != nil { // the first batch of a kind makes its series
			h.counts[i] -= before.counts[i]
		}
	}
}

func (h *histogram) sizes() Sizes {
	if h.count == 0 {
		return Sizes{}
	}
	quantile := func(q float64) float64 {
		rank := uint64(math.Ceil(q * float64(h.count)))
		i := slices.IndexFunc(h.counts, func(n uint64) bool { return n >= rank })
		if i < 0 {
			return h.bounds[len(h.bounds)-1]
		}
		return h.bounds[i]
	}
	return Sizes{Count: h.count, Mean: h.sum / float64(h.count), P50: quantile(0.5), P99: quantile(0.99)}
}

// denied: the database role may not do that.
func denied(err error) bool {
	e, ok := errors.AsType[*pq.Error](err)
	return ok && e.Code == "42501" // insufficient_privilege
}
