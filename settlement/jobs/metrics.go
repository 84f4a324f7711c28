package jobs

import (
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are what the jobs of this process did. What the database knows,
// whichever process did it, is the collector's. The label is job_name, because
// Prometheus itself puts "job" on all that it scrapes and would rename ours.
type metrics struct {
	runs     *prometheus.CounterVec
	items    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	leader   prometheus.Gauge
	mirrored prometheus.Counter // registered only where there is a mirror

	mu      sync.Mutex
	success map[string]time.Time // of runs that left no row, too
}

// Outcomes of a run, as label values.
const (
	runSuccess = "success"
	runFailure = "failure"
	runStopped = "stopped"
)

func newMetrics(reg prometheus.Registerer, j *Jobs) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		runs: f.NewCounterVec(prometheus.CounterOpts{Name: "escrowd_job_runs_total",
			Help: "Runs of a job in this process, dry ones left out, by outcome: success, failure (it ended early, or the books do not balance), stopped (the process was)."},
			[]string{"job_name", "outcome"}),
		items: f.NewCounterVec(prometheus.CounterOpts{Name: "escrowd_job_items_total",
			Help: "What the runs of a job moved (done) and could not move (failed): orders or intents; for check-books, what was compared and what differs; for mirror, transfers copied and copies that are wrong; for close-pages, transfers added up."},
			[]string{"job_name", "outcome"}),
		duration: f.NewHistogramVec(prometheus.HistogramOpts{Name: "escrowd_job_duration_seconds",
			Help:    "How long runs of a job took, in seconds, dry ones left out.",
			Buckets: []float64{0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300, 1800}}, []string{"job_name"}),
		leader: f.NewGauge(prometheus.GaugeOpts{Name: "escrowd_leader",
			Help: "1 while this process leads and runs the schedule, else 0."}),
		success: map[string]time.Time{},
	}
	mirrors := f
	if !j.opts.Mirror {
		mirrors = promauto.With(nil)
	}
	m.mirrored = mirrors.NewCounter(prometheus.CounterOpts{Name: "escrowd_mirror_transfers_total",
		Help: "Transfers that the mirror of this process copied from the ledger to the journal."})
	for _, job := range j.jobs {
		for _, outcome := range []string{runSuccess, runFailure, runStopped} {
			m.runs.WithLabelValues(job.Name, outcome)
		}
		m.items.WithLabelValues(job.Name, "done")
		m.items.WithLabelValues(job.Name, "failed")
	}
	if reg != nil {
		reg.MustRegister(newCollector(j))
	}
	return m
}

func (m *metrics) leads(yes bool) {
	m.leader.Set(0)
	if yes {
		m.leader.Set(1)
	}
}

// ran counts a finished run. A run of a single marketplace, by its test clock,
// counts as a run; that a job has done its duty everywhere it does not say.
func (m *metrics) ran(r *running, err error, took time.Duration) {
	if r.DryRun {
		return
	}
	outcome := runSuccess
	switch {
	case errors.Is(err, ErrStopped):
		outcome = runStopped
	case err != nil:
		outcome = runFailure
	}
	m.runs.WithLabelValues(r.job.Name, outcome).Inc()
	m.items.WithLabelValues(r.job.Name, "done").Add(float64(r.res.Items))
	m.items.WithLabelValues(r.job.Name, "failed").Add(float64(r.res.Failed))
	m.duration.WithLabelValues(r.job.Name).Observe(took.Seconds())
	if outcome == runSuccess && r.Marketplace == 0 {
		m.mu.Lock()
		m.success[r.job.Name] = r.j.now()
		m.mu.Unlock()
	}
}

// lastSuccess is when the job last succeeded in this process.
func (m *metrics) lastSuccess(job string) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.success[job]
}
