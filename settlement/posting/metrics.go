package posting

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
)

type metrics struct {
	reg        prometheus.Registerer
	collectors []prometheus.Collector

	intents      *prometheus.CounterVec
	inflight     prometheus.Gauge
	waiting      prometheus.GaugeFunc
	wait         prometheus.Histogram
	requests     *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	transaction  prometheus.Histogram
	batch        prometheus.Histogram
	ledgerTime   *prometheus.HistogramVec
	ledgerBatch  *prometheus.HistogramVec
	ledgerErrors prometheus.Counter
	ledgerDown   prometheus.Gauge
	unavailable  prometheus.Counter
	busy         prometheus.Counter
	stage        *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, p *Poster) *metrics {
	seconds := prometheus.ExponentialBuckets(0.0005, 2, 16) // 0.5 ms to 16 s
	sizes := prometheus.ExponentialBuckets(1, 2, 14)        // 1 to 8192
	m := &metrics{
		reg: reg,
		intents: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "escrowd_intents_total", Help: "Events of orders by what came of them: applied, rejected by the ledger, or frozen."}, []string{"outcome"}),
		inflight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "escrowd_intents_in_flight", Help: "Chains of transfers of this process that are decided and whose outcome is not recorded yet."}),
		waiting: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "escrowd_posting_waiting", Help: "Requests that wait to be decided."}, p.inLine),
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "escrowd_posting_wait_seconds", Help: "From a request's arrival at the write path to its turn to be decided.", Buckets: seconds}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "escrowd_posting_requests_total", Help: "Requests to the write path by how they ended: applied, refused, rejected, busy, unavailable, unknown, failed."}, []string{"result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "escrowd_posting_duration_seconds", Help: "From a request's arrival at the write path to its answer.", Buckets: seconds}, []string{"result"}),
		transaction: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "escrowd_posting_transaction_seconds", Help: "One transaction of the write path, commit included.", Buckets: seconds}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "escrowd_posting_batch_requests", Help: "Requests decided in one transaction.", Buckets: sizes}),
		ledgerTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "escrowd_ledger_request_duration_seconds", Help: "One answered request to the ledger.", Buckets: seconds}, []string{"request"}),
		ledgerBatch: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "escrowd_ledger_batch_events", Help: "Events in one request to the ledger.", Buckets: sizes}, []string{"request"}),
		ledgerErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "escrowd_ledger_errors_total", Help: "Requests to the ledger without an answer; each was sent again."}),
		ledgerDown: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "escrowd_ledger_unreachable", Help: "1 while the ledger does not answer the write path."}),
		unavailable: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "escrowd_posting_unavailable_total", Help: "Requests turned away because the database did not answer."}),
		busy: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "escrowd_posting_busy_total", Help: "Requests turned away because more came than could be decided in time."}),
		stage: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "escrowd_posting_stage_busy_seconds_total", Help: "Time that a stage of the write path was at work: decide, ledger, record. The one whose rate is near 1 is the limit."}, []string{"stage"}),
	}
	for _, s := range []string{decideStage, ledgerStage, recordStage} {
		m.stage.WithLabelValues(s)
	}
	for _, o := range []orderdb.OutcomeKind{orderdb.Applied, orderdb.Rejected, orderdb.Frozen} {
		m.intents.WithLabelValues(string(o)) // a series that is 0 can be alerted on, a missing one cannot
	}
	m.collectors = []prometheus.Collector{m.intents, m.inflight, m.waiting, m.wait, m.requests, m.duration, m.transaction, m.batch,
		m.ledgerTime, m.ledgerBatch, m.ledgerErrors, m.ledgerDown, m.unavailable, m.busy, m.stage, &openIntents{p: p}}
	if reg != nil {
		reg.MustRegister(m.collectors...)
	}
	return m
}

func (m *metrics) unregister() {
	if m.reg == nil {
		return
	}
	for _, c := range m.collectors {
		m.reg.Unregister(c)
	}
}

// The stages of the write path, as its metrics name them.
const (
	decideStage = "decide"
	ledgerStage = "ledger"
	recordStage = "record"
)

// worked notes that a stage was at work since began.
func (m *metrics) worked(stage string, began time.Time) {
	m.stage.WithLabelValues(stage).Add(time.Since(began).Seconds())
}

func (m *metrics) applied(n int) { m.outcome(orderdb.Applied, n) }

func (m *metrics) outcome(kind orderdb.OutcomeKind, n int) {
	m.intents.WithLabelValues(string(kind)).Add(float64(n))
}

func (m *metrics) ledgerRequest(request string, events int, took time.Duration) {
	m.ledgerTime.WithLabelValues(request).Observe(took.Seconds())
	m.ledgerBatch.WithLabelValues(request).Observe(float64(events))
}

func (m *metrics) observe(err error, took time.Duration) {
	result := resultOf(err)
	switch result {
	case "unavailable":
		m.unavailable.Inc()
	case "busy":
		m.busy.Inc()
	}
	m.requests.WithLabelValues(result).Inc()
	m.duration.WithLabelValues(result).Observe(took.Seconds())
}

func resultOf(err error) string {
	var refusal *order.Refusal
	var rejected *Rejected
	switch {
	case err == nil:
		return "applied"
	case errors.As(err, &rejected):
		return "rejected"
	case errors.As(err, &refusal), errors.Is(err, ErrNotFound), errors.Is(err, ErrKeyReused), errors.As(err, new(*ReferenceTaken)), errors.As(err, new(*Invalid)):
		return "refused"
	case errors.Is(err, ErrBusy):
		return "busy"
	case errors.Is(err, ErrUnavailable):
		return "unavailable"
	case errors.Is(err, ErrUnknown):
		return "unknown"
	}
	return "failed"
}
