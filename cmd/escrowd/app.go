package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"escrowd/intake"
	"escrowd/ledger"
	"escrowd/ledger/mirror"
	"escrowd/ledger/pgengine"
	"escrowd/ledger/tbengine"
	"escrowd/settlement/jobs"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

// EngineFlags say which ledger keeps the books.
type EngineFlags struct {
	Engine               string   `enum:"postgres,tigerbeetle" default:"postgres" env:"ESCROWD_ENGINE" help:"What keeps the books: ${enum}. Books stay in the engine they were begun in."`
	TigerbeetleAddresses []string `placeholder:"HOST:PORT,..." env:"ESCROWD_TIGERBEETLE_ADDRESSES" help:"The cluster's replicas, in the cluster's order."`
	TigerbeetleCluster   string   `default:"0" placeholder:"ID" env:"ESCROWD_TIGERBEETLE_CLUSTER" help:"The cluster's id, a decimal number. Default: ${default}"`
}

// mirrored reports whether the journal is a copy of books kept elsewhere.
func (f EngineFlags) mirrored() bool { return f.Engine == "tigerbeetle" }

// open connects to the ledger. The caller closes it before the store.
func (f EngineFlags) open(ctx context.Context, s *Store) (ledger.Engine, error) {
	if !f.mirrored() {
		return pgengine.New(s.Writes)
	}
	if len(f.TigerbeetleAddresses) == 0 {
		return nil, usageError("--engine tigerbeetle needs --tigerbeetle-addresses")
	}
	cluster, err := ledger.ParseUint128(f.TigerbeetleCluster)
	if err != nil {
		return nil, usageError("--tigerbeetle-cluster: %w", err)
	}
	e, err := tbengine.Open(ctx, cluster, f.TigerbeetleAddresses)
	if err != nil {
		return nil, err
	}
	// Not before the cluster has answered, for it is for good; and before it
	// gets a transfer, for books of the other engine must not.
	if err := mirror.Claim(ctx, s.DB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", s, err), e.Close())
	}
	return e, nil
}

// AppOptions say what an App is made of.
type AppOptions struct {
	Store  StoreFlags
	Engine EngineFlags
	// Addr and MetricsAddr are host:port; port 0 takes a free one. "" for no
	// such listener.
	Addr        string
	MetricsAddr string
	// NoJobs leaves deadlines and redrives to another process; a clock that is
	// set over the API fires its deadlines all the same.
	NoJobs  bool
	MaxWait time.Duration // of posting.Options
}

// App is a whole escrowd in one process: the parts in the order in which
// OpenApp starts them. Several can run in one process, on stores of their own.
type App struct {
	Store    *Store
	Orders   *orderdb.Store
	Registry *prometheus.Registry
	Engine   ledger.Engine
	Poster   *posting.Poster
	Jobs     *jobs.Jobs
	API      *intake.Server
	// URL and MetricsURL are the listeners', such as "http://127.0.0.1:8080";
	// "" for a listener that was not asked for.
	URL        string
	MetricsURL string

	log    *slog.Logger
	failed chan error // a listener died
	parts  []part
}

// part is something that was started, and how it stops.
type part struct {
	name string
	stop func(ctx context.Context) error
}

// stopTimeout bounds what Close waits for. Requests in flight have 45 seconds
// at most; what does not finish is finished by the next start's redrive.
const stopTimeout = 50 * time.Second

// OpenApp starts all parts, each after those it needs. On an error those that
// were started are stopped again. Close the App.
func OpenApp(ctx context.Context, g *Globals, o AppOptions) (app *App, err error) {
	a := &App{log: g.Log, failed: make(chan error, 2)}
	defer func() {
		if err != nil {
			app, err = nil, errors.Join(err, a.Close())
		}
	}()

	// Listen before anything is started and serve after everything is: a port
	// that is taken is found at once, and nobody is served half an escrowd.
	apiListener, err := a.listen(ctx, "API", o.Addr, &a.URL)
	if err != nil {
		return nil, err
	}
	metricsListener, err := a.listen(ctx, "metrics", o.MetricsAddr, &a.MetricsURL)
	if err != nil {
		return nil, err
	}

	if a.Store, err = o.Store.Open(ctx, g, OwnStore); err != nil {
		return nil, err
	}
	a.onClose("store", func(context.Context) error { return a.Store.Close() })
	a.Orders = orderdb.New(a.Store.DB)

	a.Registry = prometheus.NewRegistry()
	a.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(), collectors.NewDBStatsCollector(a.Store.DB.DB, "escrowd"))
	if metricsListener != nil {
		a.serve("metrics", metricsListener, &http.Server{Handler: metricsHandler(a.Registry), ReadHeaderTimeout: 5 * time.Second})
	}

	if a.Engine, err = o.Engine.open(ctx, a.Store); err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	a.onClose("ledger", func(context.Context) error { return a.Engine.Close() })
	if err := sameBooks(ctx, a.Store, a.Engine); err != nil {
		return nil, err
	}

	a.Poster = posting.New(a.Store.Writes, a.Engine, posting.Options{Logger: g.Log, Registerer: a.Registry, MaxWait: o.MaxWait})
	a.onClose("write path", a.Poster.Close)
	if err := redrive(ctx, g.Log, a.Poster); err != nil {
		return nil, err
	}

	a.Jobs, err = jobs.New(a.Store.DB, a.Engine, a.Poster, jobs.Options{Logger: g.Log, Registerer: a.Registry, Mirror: o.Engine.mirrored()})
	if err != nil {
		return nil, err
	}
	a.onClose("jobs", a.Jobs.Stop)
	if !o.NoJobs {
		// Not the caller's context: it ends at the first signal, and Stop lets
		// a batch finish.
		if err := a.Jobs.Start(context.WithoutCancel(ctx)); err != nil {
			return nil, err
		}
	}

	v, err := readVersion()
	if err != nil {
		return nil, err
	}
	a.API, err = intake.New(intake.Options{Store: a.Orders, Poster: a.Poster, Deadlines: a.Jobs, Ledger: a.Engine,
		Logger: g.Log, Registerer: a.Registry, Version: v.Version})
	if err != nil {
		return nil, err
	}
	if apiListener != nil {
		a.serve("API", apiListener, a.API.HTTPServer())
	}
	return a, nil
}

// Wait waits until ctx ends, which is no error, or a listener dies.
func (a *App) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-a.failed:
		return err
	}
}

// Close stops all parts, the last started first: first no new requests, then
// those in flight are answered, then what they began is recorded. It waits up
// to 50 seconds in all.
func (a *App) Close() error {
	if a.API != nil {
		a.API.Drain()
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var errs []error
	for _, p := range slices.Backward(a.parts) {
		if err := p.stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop the %s: %w", p.name, err))
		}
	}
	a.parts = nil
	return errors.Join(errs...)
}

func (a *App) onClose(name string, stop func(ctx context.Context) error) {
	a.parts = append(a.parts, part{name, stop})
}

// listen takes an address; "" is none.
func (a *App) listen(ctx context.Context, name, addr string, url *string) (net.Listener, error) {
	if addr == "" {
		return nil, nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", name, err)
	}
	a.onClose(name+" address", func(context.Context) error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) { // the server closes it first
			return err
		}
		return nil
	})
	*url = "http://" + l.Addr().String()
	if ip, ok := l.Addr().(*net.TCPAddr); ok && !ip.IP.IsLoopback() {
		a.log.Warn("listening beyond this machine without TLS: put a proxy that terminates TLS in front", "listener", name, "addr", l.Addr().String())
	}
	return l, nil
}

// serve serves HTTP until Close.
func (a *App) serve(name string, l net.Listener, h *http.Server) {
	go func() {
		if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.failed <- fmt.Errorf("serve %s: %w", name, err)
		}
	}()
	a.onClose(name, func(ctx context.Context) error {
		err := h.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, h.Close())
		}
		return err
	})
}

func metricsHandler(reg *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: reg, Timeout: 10 * time.Second}))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("escrowd: /metrics\n")) // nobody is left to tell
	})
	return mux
}

// redriveBatch is how many unfinished intents a start takes up at once.
const redriveBatch = 2000

// redrive finishes what a crash left, before anything new is let in.
func redrive(ctx context.Context, log *slog.Logger, p *posting.Poster) error {
	total := 0
	for {
		found, err := p.Redrive(ctx, 0, redriveBatch)
		if err != nil {
			return fmt.Errorf("finish what the last run left: %w", err)
		}
		if total += found; found < redriveBatch {
			break
		}
	}
	if total > 0 {
		log.Info("finished what the last run left", "intents", total)
	}
	return nil
}

// sameBooks looks whether the ledger is the one that the orders' money is in:
// the newest event that moved money has its transfers there. A server that is
// started with another engine or cluster would otherwise refuse, or worse
// accept, everything.
func sameBooks(ctx context.Context, s *Store, reader ledger.Reader) error {
	newest, err := orderdb.New(s.DB).NewestMove(ctx)
	if errors.Is(err, orderdb.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the newest event of %s: %w", s, err)
	}
	found, err := reader.LookupTransfers(ctx, []ledger.ID{newest})
	if err != nil {
		return fmt.Errorf("ask the ledger for the newest event's transfers: %w", err)
	}
	if len(found) == 0 {
		return fmt.Errorf("the orders of %s have their money in another ledger than this one: start with the --engine (and cluster) that the books were begun in", s)
	}
	return nil
}
