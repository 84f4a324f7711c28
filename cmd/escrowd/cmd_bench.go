package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"

	"escrowd/cmd/escrowd/bench"
	"escrowd/intake"
	"escrowd/intake/api"
	"escrowd/ledger"
	"escrowd/ledger/rules"
	"escrowd/settlement/jobs"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

// benchCmd has its own flags for the store, which have to be typed: a database
// that the environment or a file names for a server must never be benchmarked
// by accident.
type benchCmd struct {
	Engine               string   `enum:"postgres,tigerbeetle,memory" default:"postgres" help:"What keeps the books: ${enum}. Orders are in Postgres in any case."`
	TigerbeetleAddresses []string `placeholder:"HOST:PORT,..." help:"With --engine tigerbeetle: the cluster's replicas. It is filled with the benchmark's accounts, for good."`
	TigerbeetleCluster   string   `default:"0" placeholder:"ID" help:"The cluster's id, a decimal number. Default: ${default}"`

	Data        string `placeholder:"DATADIR" help:"Keep the data in this directory, for the next benchmark to go on with. Default: a temporary one."`
	DatabaseURL string `placeholder:"URL" help:"Use this Postgres: in a schema of the benchmark's own, which is dropped afterwards."`

	Orders      int    `default:"10000" help:"How many orders to measure. Default: ${default}"`
	Connections int    `placeholder:"N" help:"How many requests are under way at once. Default: 64; 4 with --bulk, 1024 with --overload."`
	Bulk        int    `placeholder:"N" help:"Use the bulk endpoints with so many items a request, up to 1000."`
	Life        string `enum:"pay-confirm,full,mixed" default:"pay-confirm" help:"What of an order is measured: ${enum}."`
	Settle      int    `placeholder:"N" help:"Measure the auto-release job over so many due orders, instead of requests."`
	Overload    bool   `help:"Measure how many payments a second it bears, and then what becomes of twice as many."`
	History     int    `placeholder:"N" help:"Measure without and with so many closed orders in the books, and compare."`
	Sweep       string `enum:",connections,bulk,batch,history" default:"" placeholder:"AXIS" help:"Measure many points along connections, bulk, batch (the ledger alone, by transfers in a request) or history (up to --history, else a million)."`
	Table       bool   `help:"Measure single requests by many connections and by one, bulk, and settlement; with --history all of it once more after that."`
	SVG         string `name:"svg" placeholder:"FILE" help:"Draw a sweep's points."`
	JSON        bool   `name:"json" help:"Print one JSON object."`
}

func (benchCmd) Help() string {
	return `Starts a Postgres of its own with durable settings, a server on it, and a load generator in a process of its own; measures; then checks the books: the check-books job, the trial balance, and every total against what the load must have left. Exits 1 if they do not balance, whatever the figures.

An order is a fund and a release with fee, in two requests: pay and confirm. The API wants an order agreed before and shipped in between; with --life pay-confirm that happens outside of the measured time, so the time is that of paying all orders plus that of confirming all. With full all four requests are measured, each for all orders before the next; with mixed each connection takes its orders through all four. All orders share one clearing and one fee account. An answer 503 is waited out, counted, and sent again; with --overload it is not, and requests come at their times whether or not those before are answered.

CPU is per process, from /proc: escrowd with this command in it, the load generator, Postgres with all its backends. WAL and commits are of the whole Postgres. The raw ledger is the same engine alone, given the same transfers in batches of the same size by one caller, in the same run. The server logs each request as it would in service, to nowhere; the schedule of its jobs is off.

    escrowd bench
    escrowd bench --connections 1 --orders 500
    escrowd bench --bulk 1000 --orders 100000
    escrowd bench --settle 1000000
    escrowd bench --overload
    escrowd bench --history 1000000
    escrowd bench --sweep connections --svg connections.svg
    escrowd bench --engine tigerbeetle --tigerbeetle-addresses 127.0.0.1:3000`
}

// AfterApply drops a store that a configuration file names.
func (c *benchCmd) AfterApply(ctx *kong.Context) error {
	for _, p := range ctx.Path {
		switch {
		case p.Flag == nil || !p.Resolved:
		case p.Flag.Name == "data":
			c.Data = ""
		case p.Flag.Name == "database-url":
			c.DatabaseURL = ""
		}
	}
	return nil
}

// Bounds of the flags: beyond them it is a slip of the keyboard.
const (
	benchConnectionsMax = 4096
	benchOrdersMax      = 1_000_000_000
)

func (c *benchCmd) check() error {
	for _, f := range []struct {
		name            string
		value, min, max int
	}{
		{"orders", c.Orders, 1, benchOrdersMax}, {"connections", c.Connections, 0, benchConnectionsMax},
		{"bulk", c.Bulk, 0, api.BulkMax}, {"settle", c.Settle, 0, benchOrdersMax}, {"history", c.History, 0, benchOrdersMax},
	} {
		if f.value < f.min || f.value > f.max {
			return usageError("--%s must be from %d to %d", f.name, f.min, f.max)
		}
	}
	switch {
	case c.Data != "" && c.DatabaseURL != "":
		return usageError("--data and --database-url name two stores: give one")
	case c.Engine == "tigerbeetle" && len(c.TigerbeetleAddresses) == 0:
		return usageError("--engine tigerbeetle needs --tigerbeetle-addresses")
	case c.Engine == "memory" && c.Data != "":
		return usageError("--engine memory keeps no books that a data directory could go on with")
	case c.Table && c.Sweep != "":
		return usageError("--table and --sweep are two things: give one")
	case c.SVG != "" && c.Sweep == "":
		return usageError("--svg draws a --sweep")
	case c.Overload && (c.Table || c.Sweep != "" || c.Settle > 0 || c.Bulk > 0 || c.Life != string(bench.LifePayConfirm)):
		return usageError("--overload is single payments: no --table, --sweep, --settle, --bulk or --life")
	case c.Settle > 0 && (c.Bulk > 0 || c.Sweep != "" && c.Sweep != string(bench.AxisHistory)):
		return usageError("--settle has no requests, so no --bulk and no sweep but history")
	case c.Sweep == string(bench.AxisBatch) && (c.Bulk > 0 || c.History > 0 || c.Connections > 0 || c.Life != string(bench.LifePayConfirm)):
		return usageError("--sweep batch measures the ledger alone: no --bulk, --history, --connections or --life")
	}
	return nil
}

// works is what the flags ask for.
func (c *benchCmd) works() []bench.Work {
	w := bench.Work{Orders: c.Orders, Life: bench.Life(c.Life), Connections: c.Connections, Bulk: c.Bulk, History: c.History, Overload: c.Overload}
	if w.Connections == 0 {
		w.Connections = 64
		if c.Bulk > 0 || c.Sweep == "bulk" {
			w.Connections = 4
		}
		if c.Overload {
			w.Connections = 1024 // the more share a batch, the more it bears
		}
	}
	if c.Table {
		settle := c.Settle
		if settle == 0 {
			settle = 5 * c.Orders
		}
		return bench.Table(w, settle)
	}
	if c.Settle > 0 {
		w = bench.Work{Orders: c.Settle, Settle: true, History: c.History}
	}
	switch bench.Axis(c.Sweep) {
	case bench.AxisConnections:
		return bench.OverConnections(w)
	case bench.AxisBulk:
		return bench.OverBulk(w)
	case bench.AxisBatch:
		return bench.OverBatch(w)
	case bench.AxisHistory:
		if w.History == 0 {
			w.History = 1_000_000
		}
		return bench.OverHistory(w)
	}
	return bench.One(w)
}

// Run measures and prints.
func (c *benchCmd) Run(ctx context.Context, g *Globals) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	var svg *os.File
	if c.SVG != "" { // better known now than after an hour
		if svg, err = os.Create(c.SVG); err != nil {
			return usageError("--svg: %w", err)
		}
		defer closeInto(svg, &err)
	}
	boundMemory()
	h, err := c.open(ctx, g)
	if err != nil {
		return err
	}
	defer closeInto(h, &err)

	report, err := h.system.Run(ctx, c.works())
	if _, unbalanced := errors.AsType[*bench.Unbalanced](err); unbalanced {
		err = checkFailed("%w", err)
	} else if err != nil {
		return err
	}
	if c.JSON {
		err = errors.Join(err, printJSON(g, report))
	} else {
		err = errors.Join(err, report.Print(g.Stdout))
	}
	if svg != nil {
		err = errors.Join(err, report.Plot(svg, bench.Axis(c.Sweep)))
	}
	return err
}

// benchHost is the App that is measured, and what goes with it afterwards.
type benchHost struct {
	app    *App
	system *bench.System
	undo   []func() error
}

// Close stops the server and removes what nobody wants to keep.
func (h *benchHost) Close() error {
	var errs []error
	for i := len(h.undo) - 1; i >= 0; i-- {
		errs = append(errs, h.undo[i]())
	}
	return errors.Join(errs...)
}

func (c *benchCmd) open(ctx context.Context, g *Globals) (h *benchHost, err error) {
	h = &benchHost{}
	defer func() {
		if err != nil {
			h, err = nil, errors.Join(err, h.Close())
		}
	}()
	options := AppOptions{Addr: "127.0.0.1:0", NoJobs: true,
		Engine: EngineFlags{Engine: c.Engine, TigerbeetleAddresses: c.TigerbeetleAddresses, TigerbeetleCluster: c.TigerbeetleCluster}}
	var caveats []string
	switch {
	case c.DatabaseURL != "":
		if options.Store.DatabaseURL, err = c.ownSchema(ctx, h); err != nil {
			return h, err
		}
	case c.Data != "":
		options.Store.Data = c.Data
	default:
		dir, err := os.MkdirTemp("", "escrowd-bench-")
		if err != nil {
			return h, err
		}
		h.undo = append(h.undo, func() error { return os.RemoveAll(dir) })
		if err := os.Chmod(dir, 0o755); err != nil { // the server's user passes through
			return h, err
		}
		options.Store.Data = filepath.Join(dir, "data")
	}
	log, err := benchLog(g)
	if err != nil {
		return h, err
	}
	h.undo = append(h.undo, log.Close)
	quiet := *g
	quiet.Log = log.Logger
	open := OpenApp
	if c.Engine == "memory" {
		open = openMemoryApp
	}
	if h.app, err = open(ctx, &quiet, options); err != nil {
		return h, err
	}
	h.undo = append(h.undo, h.app.Close)
	if options.Store.Data != "" && inMemory(options.Store.Data) {
		caveats = append(caveats, "the data directory is on a file system in memory: nothing is durable")
	}
	if err := benchOnly(ctx, h.app, c.Engine); err != nil {
		return h, err
	}
	load, err := benchLoader()
	if err != nil {
		return h, err
	}
	h.system = &bench.System{Engine: c.Engine, URL: h.app.URL, DB: h.app.Store.DB, Orders: h.app.Orders, Ledger: h.app.Engine,
		Jobs: h.app.Jobs, Metrics: h.app.Registry, Load: load, Raw: c.rawLedger(h.app), Caveats: caveats,
		Tell: func(line string) { fmt.Fprintln(g.Stderr, "escrowd: bench:", line) }}
	if len(c.TigerbeetleAddresses) > 0 && c.Engine == "tigerbeetle" {
		h.system.Tigerbeetle = c.TigerbeetleAddresses[0]
	}
	return h, nil
}

// ownSchema makes a schema in the user's database and answers how to connect
// to it.
func (c *benchCmd) ownSchema(ctx context.Context, h *benchHost) (dsn string, err error) {
	outer, err := openURL(ctx, c.DatabaseURL, JoinStore)
	if err != nil {
		return "", err
	}
	h.undo = append(h.undo, outer.Close)
	// The process id tells whose it is, should one ever be left by a kill -9.
	schema := fmt.Sprintf("escrowd_bench_%d_%x", os.Getpid(), rand.Uint64())
	if _, err := outer.DB.ExecContext(ctx, "CREATE SCHEMA "+schema); err != nil {
		return "", fmt.Errorf("make a schema for the benchmark: %w", err)
	}
	h.undo = append(h.undo, func() error {
		// Also after an interruption, hence not bound to ctx.
		_, err := outer.DB.ExecContext(context.WithoutCancel(ctx), "DROP SCHEMA "+schema+" CASCADE")
		return err
	})
	return setParam(c.DatabaseURL, "search_path", schema), nil
}

// benchOnly refuses a store that serves anybody: a benchmark fills it with
// made-up orders. It also gives a new store that shares a TigerBeetle cluster
// with others a marketplace number that is nobody's yet, most likely.
func benchOnly(ctx context.Context, app *App, engine string) error {
	list, err := app.Orders.Marketplaces(ctx)
	if err != nil {
		return err
	}
	for _, m := range list {
		if m.Name != bench.Marketplace {
			return usageError("%s has a marketplace %q: a benchmark never runs on books that matter", app.Store, m.Name)
		}
	}
	if len(list) > 0 || engine != "tigerbeetle" {
		return nil
	}
	const below = 4_294_000
	if _, err := app.Store.DB.ExecContext(ctx, `SELECT setval(pg_get_serial_sequence('marketplaces', 'id'), $1)`, 1+rand.IntN(below)); err != nil {
		return fmt.Errorf("choose a marketplace number: %w", err)
	}
	return nil
}

// rawLedger makes the ledger that the server's is compared with.
func (c *benchCmd) rawLedger(app *App) func(ctx context.Context) (ledger.Engine, func() error, error) {
	return func(ctx context.Context) (ledger.Engine, func() error, error) {
		switch c.Engine {
		case "memory":
			e := newMemoryLedger()
			return e, e.Close, nil
		case "tigerbeetle":
			e, err := EngineFlags{Engine: c.Engine, TigerbeetleAddresses: c.TigerbeetleAddresses, TigerbeetleCluster: c.TigerbeetleCluster}.open(ctx, app.Store)
			if err != nil {
				return nil, nil, err
			}
			return e, e.Close, nil
		}
		// A schema of its own on the same server, like a trace's.
		return (&traceStore{Store: app.Store}).newEngine(ctx)
	}
}

// openMemoryApp is OpenApp with a ledger in memory: what remains when the
// ledger costs next to nothing. No server can be had with it, because its
// books end with it; so nothing is left by a last run, either, and no job has
// a schedule.
func openMemoryApp(ctx context.Context, g *Globals, o AppOptions) (app *App, err error) {
	a := &App{log: g.Log, failed: make(chan error, 2)}
	defer func() {
		if err != nil {
			app, err = nil, errors.Join(err, a.Close())
		}
	}()
	l, err := a.listen(ctx, "API", o.Addr, &a.URL)
	if err != nil {
		return nil, err
	}
	if a.Store, err = o.Store.Open(ctx, g, OwnStore); err != nil {
		return nil, err
	}
	a.onClose("store", func(context.Context) error { return a.Store.Close() })
	a.Orders, a.Registry = orderdb.New(a.Store.DB), prometheus.NewRegistry()
	a.Engine = newMemoryLedger()
	a.onClose("ledger", func(context.Context) error { return a.Engine.Close() })
	a.Poster = posting.New(a.Store.Writes, a.Engine, posting.Options{Logger: g.Log, Registerer: a.Registry})
	a.onClose("write path", a.Poster.Close)
	if a.Jobs, err = jobs.New(a.Store.DB, a.Engine, a.Poster, jobs.Options{Logger: g.Log, Registerer: a.Registry}); err != nil {
		return nil, err
	}
	a.onClose("jobs", a.Jobs.Stop)
	a.API, err = intake.New(intake.Options{Store: a.Orders, Poster: a.Poster, Deadlines: a.Jobs, Ledger: a.Engine,
		Logger: g.Log, Registerer: a.Registry})
	if err != nil {
		return nil, err
	}
	a.serve("API", l, a.API.HTTPServer())
	return a, nil
}

func newMemoryLedger() *rules.Engine {
	return rules.NewEngine(func() uint64 { return uint64(time.Now().UnixNano()) })
}

// nullLog is a log that leads nowhere.
type nullLog struct {
	*slog.Logger
	io.Closer
}

// benchLog formats and writes every line that a server in service would, so
// that it costs what it costs there, but to nowhere; what is wrong is also
// shown.
func benchLog(g *Globals) (nullLog, error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nullLog{}, err
	}
	return nullLog{slog.New(slog.NewMultiHandler(slog.NewTextHandler(null, nil),
		slog.NewTextHandler(g.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))), null}, nil
}

// inMemory reports whether a directory is on a tmpfs.
func inMemory(dir string) bool {
	const tmpfsMagic = 0x01021994 // statfs(2)
	var st syscall.Statfs_t
	return syscall.Statfs(dir, &st) == nil && int64(st.Type) == tmpfsMagic
}

// benchLoader is the command line of the load generator: this very program.
// Tests, which are another program, set it.
var benchLoader = func() ([]string, error) {
	self, err := os.Executable()
	return []string{self, "bench-load"}, err
}

// benchLoadCmd is the load generator, started by bench.
type benchLoadCmd struct{}

// Run does what is asked on stdin until it ends.
func (benchLoadCmd) Run(ctx context.Context, g *Globals) error {
	return bench.ServeLoad(ctx, g.Stdin, g.Stdout)
}
