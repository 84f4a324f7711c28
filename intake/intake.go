// Package intake is the HTTP API: it lets marketplaces in, checks what they
// send, gives it to the write path and puts the outcome in words.
//
//	api      the JSON of requests and answers, shared with the client
//	strict   the decoder: what is doubtful is refused
//	client   a small typed client
//
// A request goes through, in this order:
//
//	observe    a request id, metrics, the access log, panics
//	route      the table in routes.go; also what the OpenAPI document says
//	auth       the bearer key names the marketplace (auth.go)
//	read       content type, size, strict JSON, Idempotency-Key (request.go)
//	handle     one posting.Request for each event (events.go, bulk.go), a read,
//	           or what is said around an order (people.go)
//	answer     JSON, or a problem from the one table in problems.go
//
// huma holds the routes, makes the schemas from the api structs and renders
// the OpenAPI document. Its own decoder is not used: it takes the last of two
// equal keys and repeats what was sent in its errors. The schemas and our
// decoder read the same struct tags, so they agree by construction.
package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"

	"escrowd/ledger"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/peopledb"
	"escrowd/settlement/posting"
)

// Poster is the write path; *posting.Poster is one.
type Poster interface {
	Do(ctx context.Context, req posting.Request) (posting.Result, error)
	DoAll(ctx context.Context, reqs []posting.Request) []posting.Answer
	// Busy reports, and counts, that a request would be turned away now.
	Busy() bool
}

// Deadlines fires what is due in a marketplace; *jobs.Jobs is one.
type Deadlines interface {
	// Fire books what the marketplace's deadlines cause, up to the moment that
	// its clock lets them fire, and answers how many events took place.
	Fire(ctx context.Context, marketplace uint32) (fired int, err error)
}

// Options of a Server. Store, Poster, Deadlines and Ledger are required; the
// rest has usable zero values.
type Options struct {
	Store     *orderdb.Store
	Poster    Poster
	Deadlines Deadlines
	Ledger    ledger.Reader // asked by /readyz

	Logger     *slog.Logger          // nil: nothing is logged
	Registerer prometheus.Registerer // nil: no metrics
	Clock      func() time.Time      // the machine's clock; nil: time.Now
	Version    string                // shown in the OpenAPI document; "" for "dev"

	// MaxInFlight is how many requests that move something are read and answered
	// at once; beyond it they are answered like those that the write path turns
	// away. It bounds memory, and how long requests wait for each other before
	// the write path hears of them. 0 means 2048.
	MaxInFlight int
}

// Server is the API as an http.Handler.
type Server struct {
	opts     Options
	people   *peopledb.Store
	log      *slog.Logger
	mux      *http.ServeMux
	auth     *auth
	metrics  *metrics
	document []byte // the OpenAPI document
	draining atomic.Bool
	moving   atomic.Int64 // POSTs in flight
}

// New makes the API.
func New(opts Options) (*Server, error) {
	if opts.Store == nil || opts.Poster == nil || opts.Deadlines == nil || opts.Ledger == nil {
		return nil, errors.New("intake: Store, Poster, Deadlines and Ledger are required")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.MaxInFlight <= 0 {
		opts.MaxInFlight = 2048
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if opts.Version == "" {
		opts.Version = "dev"
	}
	s := &Server{
		opts:    opts,
		people:  peopledb.New(opts.Store),
		log:     opts.Logger.With("component", "intake"),
		mux:     http.NewServeMux(),
		auth:    newAuth(opts.Store.Authenticate, opts.Clock),
		metrics: newMetrics(opts.Registerer),
	}
	api := humago.New(s.mux, huma.Config{OpenAPI: newDocument(opts.Version)})
	for _, r := range s.routes() {
		s.register(api, r)
	}
	openAnswers(api.OpenAPI())
	var err error
	if s.document, err = api.OpenAPI().MarshalJSON(); err != nil {
		return nil, fmt.Errorf("intake: rendering the OpenAPI document: %w", err)
	}
	s.plainPages()
	return s, nil
}

// Drain makes /readyz say that the server is going away, so that whoever
// balances load sends no more; requests are still served.
func (s *Server) Drain() { s.draining.Store(true) }

// Timeouts of the HTTP server. A request that is decided and outlives its
// time goes on; its caller hears that the outcome is not known yet.
const (
	requestTimeout = 45 * time.Second
	clockTimeout   = 15 * time.Minute // thousands of deadlines may fire in one call
	writeTimeout   = 60 * time.Second
)

// HTTPServer is an http.Server for the API, with timeouts that no slow client
// can stretch.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
}
