package intake

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"escrowd/intake/api"
	"escrowd/settlement/posting"
)

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inflight prometheus.Gauge
	items    *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "escrowd_http_requests_total", Help: "Requests to the API by route, method and status."}, []string{"route", "method", "code"}),
		duration: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "escrowd_http_request_duration_seconds", Help: "From a request's headers to the end of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 18)}, []string{"route", "method"}), // 0.5 ms to 65 s
		inflight: f.NewGauge(prometheus.GaugeOpts{
			Name: "escrowd_http_requests_in_flight", Help: "Requests to the API that are being served."}),
		items: f.NewCounterVec(prometheus.CounterOpts{
			Name: "escrowd_http_bulk_items_total", Help: "Items of bulk requests by route and the status of their answers."}, []string{"route", "code"}),
	}
}

// trace is what the log says of a request, filled in on its way.
type trace struct {
	id          string
	marketplace uint32
}

type traceKey struct{}

func traceOf(ctx context.Context) *trace {
	if t, ok := ctx.Value(traceKey{}).(*trace); ok {
		return t
	}
	return &trace{}
}

// recorder notes what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += n
	return n, err
}

// Unwrap lets http.ResponseController reach the connection's deadlines.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// ServeHTTP serves one request; see the package comment for its way.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	busy := false
	if r.Method == http.MethodPost {
		busy = s.moving.Add(1) > int64(s.opts.MaxInFlight) || s.opts.Poster != nil && s.opts.Poster.Busy()
		defer s.moving.Add(-1)
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails, says crypto/rand
	t := &trace{id: hex.EncodeToString(random[:])}
	r = r.WithContext(context.WithValue(r.Context(), traceKey{}, t))
	rec := &recorder{ResponseWriter: w}
	rec.Header().Set("X-Request-Id", t.id)
	rec.Header().Set("X-Content-Type-Options", "nosniff")
	if busy {
		// Before anything is read or logged: what this costs, the requests
		// that were let in have to wait for.
		s.metrics.requests.WithLabelValues("*", r.Method, "503").Inc()
		s.fail(rec, r, posting.ErrBusy)
		return
	}
	s.metrics.inflight.Inc()
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic", "request_id", t.id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			if rec.status == 0 {
				s.fail(rec, r, fmt.Errorf("panic"))
			}
		}
		s.observe(rec, r, t, time.Since(start))
	}()
	s.dispatch(rec, r)
}

// observe counts and logs a request that was answered. Bodies, headers and
// query strings stay out of the log: they hold secrets and people's data.
func (s *Server) observe(rec *recorder, r *http.Request, t *trace, took time.Duration) {
	s.metrics.inflight.Dec()
	route := routeOf(r)
	method := r.Method
	if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, method) {
		method = "other" // whatever a stranger sends must not make new series
	}
	s.metrics.requests.WithLabelValues(route, method, strconv.Itoa(rec.status)).Inc()
	s.metrics.duration.WithLabelValues(route, method).Observe(took.Seconds())
	level := slog.LevelInfo
	if route == "/healthz" || route == "/readyz" {
		level = slog.LevelDebug // probes come every few seconds
	}
	s.log.LogAttrs(r.Context(), level, "request", slog.String("method", method), slog.String("route", route),
		slog.Int("status", rec.status), slog.Duration("took", took), slog.Int("bytes", rec.bytes),
		slog.Uint64("marketplace", uint64(t.marketplace)), slog.String("request_id", t.id))
}

// routeOf is the pattern that served the request, without its method.
func routeOf(r *http.Request) string {
	if _, path, ok := strings.Cut(r.Pattern, " "); ok {
		return path
	}
	return "unmatched"
}

// dispatch gives the request to its route. What the mux would answer by itself
// in plain text, that there is no such path or method, becomes a problem.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	h, pattern := s.mux.Handler(r)
	if pattern != "" {
		s.mux.ServeHTTP(w, r)
		return
	}
	probe := &discard{header: http.Header{}}
	h.ServeHTTP(probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", probe.header.Get("Allow"))
		s.fail(w, r, newProblem(api.ProblemMethod, ""))
		return
	}
	s.fail(w, r, newProblem(api.ProblemNotFound, ""))
}

// discard is a ResponseWriter of which only status and headers are wanted.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

// problem is problemOf with the request's id, and logs what it hides.
func (s *Server) problem(ctx context.Context, err error) *api.Problem {
	p := *problemOf(err)
	p.Errors = slices.Clone(p.Errors)
	t := traceOf(ctx)
	p.RequestID = t.id
	switch p.Type {
	case api.ProblemInternal, api.ProblemFrozen:
		s.log.Error("request failed", "request_id", t.id, "marketplace", t.marketplace, "error", err)
	case api.ProblemUnavailable, api.ProblemUnknown:
		if errors.Is(err, posting.ErrBusy) { // thousands a second, and there is a metric
			s.log.Debug("request turned away", "request_id", t.id, "marketplace", t.marketplace)
			break
		}
		s.log.Warn("request not answered", "request_id", t.id, "marketplace", t.marketplace, "error", err)
	}
	return &p
}

// fail answers a problem.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := s.problem(r.Context(), err)
	if after := retryAfter(p); after != "" {
		w.Header().Set("Retry-After", after)
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="escrowd"`)
	}
	s.write(w, r, p.Status, "application/problem+json", p)
}

// write answers JSON. It is encoded before the status is sent, so that a
// status never promises a body that fails.
func (s *Server) write(w http.ResponseWriter, r *http.Request, status int, contentType string, body any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		s.log.Error("answer does not encode", "request_id", traceOf(r.Context()).id, "error", err)
		b.Reset()
		status, contentType = http.StatusInternalServerError, "application/problem+json"
		p := newProblem(api.ProblemInternal, "")
		p.RequestID = traceOf(r.Context()).id
		_ = json.NewEncoder(&b).Encode(p) // a Problem always encodes
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the caller is gone, or hears a short body
}
