// Command escrowd is an escrow ledger for marketplaces: a buyer's payment is
// held in an account of its order until the goods are confirmed, and every
// movement is a balanced transfer that the books can prove.
//
// This package is flags and wiring. Each group of commands is one file,
// cmd_NAME.go, with one struct per command; the list of them is in cli.
//
// Exit codes, the same for every command:
//
//	0    done
//	1    the command worked and what it checked is wrong: a mismatch, a
//	     break, books that do not add up
//	2    wrong usage: an unknown flag, a configuration or an input file that
//	     cannot be read
//	3    it could not be done: no Postgres, a data directory in use, a
//	     database of another version, a disk that is full
//	130  interrupted by SIGINT or SIGTERM
//
// So a script may take 1, and only 1, for "the books are off".
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"escrowd/settlement/order"
	"escrowd/settlement/treasury"
)

// cli is the whole command line. A new command is one field here and one file.
type cli struct {
	Config    kong.ConfigFlag `placeholder:"FILE" env:"ESCROWD_CONFIG" help:"YAML file with values for flags, by their names; see 'escrowd --help'. Flags and environment variables win over it."`
	LogLevel  string          `enum:"debug,info,warn,error" default:"info" env:"ESCROWD_LOG_LEVEL" help:"Least level to log: ${enum}."`
	LogFormat string          `enum:"text,json" default:"text" env:"ESCROWD_LOG_FORMAT" help:"Form of the log on stderr: ${enum}."`

	Demo        demoCmd        `cmd:"" help:"A running system with a made up marketplace in it."`
	Replay      replayCmd      `cmd:"" help:"Play real orders of the past into the books."`
	Serve       serveCmd       `cmd:"" help:"Serve the HTTP API, settle what is due, export metrics."`
	Marketplace marketplaceCmd `cmd:"" help:"Make and list marketplaces."`
	Key         keyCmd         `cmd:"" help:"Make, list and revoke a marketplace's API keys."`
	Policy      policyCmd      `cmd:"" help:"Check policies (deadlines, fees, payment methods), give them to a marketplace, list them."`
	Seller      sellerCmd      `cmd:"" help:"Whom a marketplace lets into escrow, and what it keeps of sellers."`
	Clock       clockCmd       `cmd:"" help:"Show a marketplace's clock; move a test clock."`
	Migrate     migrateCmd     `cmd:"" help:"Bring the database to this version's schema, or show where it stands."`
	Ledger      ledgerCmd      `cmd:"" help:"Look into the books and check the engines that keep them."`
	Report      reportCmd      `cmd:"" help:"What finance asks of the books, as of any moment."`
	Order       orderCmd       `cmd:"" help:"Orders: where the money is and why, what happens to them, and what people say of them."`
	Entry       entryCmd       `cmd:"" help:"Money that moves for no order: make it, look at it, approve it, book what the bank said."`
	Payout      payoutCmd      `cmd:"" help:"Payouts to sellers: the file for the bank, and who is paid when."`
	Job         jobCmd         `cmd:"" help:"List what time causes, and run it by hand."`
	Bench       benchCmd       `cmd:"" help:"Measure escrowd on this machine, and check the books afterwards."`
	BenchLoad   benchLoadCmd   `cmd:"" hidden:"" help:"Generate load for bench, as it asks on stdin."`
	Completion  completionCmd  `cmd:"" help:"Print a script that makes the shell complete escrowd's commands and flags."`
	Complete    completeCmd    `cmd:"" name:"__complete" hidden:"" passthrough:"" help:"Print the candidates for a half-typed command line."`
	Version     versionCmd     `cmd:"" help:"Print the version of escrowd and of what it is built with."`
}

const description = `Escrow ledger for marketplaces: holds each buyer's payment until the goods are confirmed, in books that prove themselves.

A flag's value comes from the command line, else from its environment variable, else from the file named by --config, else it is the default. In the file a key is a flag's name: at the top for every command that has the flag, below a command's name for that command alone:

    data: /var/lib/escrowd
    log-format: json
    migrate:
      data: /mnt/copy

Exit codes: 0 done, 1 a check found something wrong, 2 wrong usage, 3 it could not be done (no Postgres, data directory in use, ...), 130 interrupted.`

// Globals is what every command gets: its Run has the form
//
//	func (c *someCmd) Run(ctx context.Context, g *Globals) error
//
// where ctx is cancelled by SIGINT and SIGTERM. Only results go to Stdout; the
// log and progress go to Stderr.
type Globals struct {
	Log            *slog.Logger
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

func main() {
	if os.Getenv("GOGC") == "" {
		// Most of the collector's work saved for some tens of megabytes:
		// what is alive is small beside what a batch of requests throws away.
		debug.SetGCPercent(250)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; the second one just kills.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program, for main and for tests; it answers the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	// Kong ends the program after --help; here that only ends this function.
	type exited int
	defer func() {
		switch r := recover().(type) {
		case nil:
		case exited:
			code = int(r)
		default:
			panic(r)
		}
	}()
	var c cli
	g := &Globals{Stdin: stdin, Stdout: stdout, Stderr: stderr}
	parser, err := newParser(&c, kong.Writers(stdout, stderr), kong.Exit(func(code int) { panic(exited(code)) }),
		kong.Bind(g), kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		panic(err) // the grammar itself is wrong
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		err = &exitError{exitUsage, fmt.Errorf("%w (see escrowd --help)", err)}
	} else {
		g.Log = newLogger(stderr, c.LogLevel, c.LogFormat)
		err = kctx.Run()
	}
	code = exitCode(ctx, err)
	switch {
	case code == exitInterrupted:
		fmt.Fprintln(stderr, "escrowd: interrupted:", oneLine(err))
	case err != nil:
		fmt.Fprintln(stderr, "escrowd: error:", oneLine(err))
	}
	return code
}

func newParser(c *cli, options ...kong.Option) (*kong.Kong, error) {
	k, err := kong.New(c, append([]kong.Option{
		kong.Name("escrowd"),
		kong.Description(description),
		kong.Configuration(loadConfig),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Vars{"data_dir": defaultDataDir(), "policies": strings.Join(shippedNames(), ","), "order_states": inWords(order.States),
			"order_events": inWords(doable()), "entry_kinds": inWords(treasury.Kinds), "entry_states": inWords(treasury.States)},
	}, options...)...)
	if err != nil {
		return nil, err
	}
	return k, dropEmptyEnv(k.Model)
}

// inWords lists words for a flag's help.
func inWords[T ~string](list []T) string {
	var words []string
	for _, w := range list {
		words = append(words, string(w))
	}
	return strings.Join(words, ", ")
}

func newLogger(w io.Writer, level, format string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		panic(err) // kong lets only the levels of the enum pass
	}
	opts := &slog.HandlerOptions{Level: l}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// The exit codes, as documented above.
const (
	exitOK          = 0
	exitCheckFailed = 1
	exitUsage       = 2
	exitEnvironment = 3
	exitInterrupted = 130
)

// exitError is an error that chooses the exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// checkFailed says that a check found something wrong.
func checkFailed(format string, args ...any) error {
	return &exitError{exitCheckFailed, fmt.Errorf(format, args...)}
}

// usageError says that the input is at fault.
func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// exitCode: an error that chose none is "could not be done", never "the check
// failed".
func exitCode(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	if ctx.Err() != nil {
		// Not every layer says so itself: Postgres calls it "canceling
		// statement due to user request".
		return exitInterrupted
	}
	return exitEnvironment
}

// oneLine makes of joined and wrapped errors one line, for people and for logs.
func oneLine(err error) string {
	lines := strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.Join(lines, "; ")
}

// boundMemory has the collector work more rather than let the memory of a
// server under a great load grow: thousands of connections have a lot alive.
func boundMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(256 << 20)
	}
}
