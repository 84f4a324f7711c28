package main

import (
	"context"
	"crypto/rand"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"time"

	"github.com/lib/pq"

	"escrowd/cmd/escrowd/localpg"
	"escrowd/ledger"
	"escrowd/ledger/ledgertest"
	"escrowd/ledger/pgengine"
	"escrowd/ledger/rules"
)

type ledgerCmd struct {
	CheckTrace checkTraceCmd `cmd:"" help:"Replay what a real TigerBeetle answered, and compare."`
}

type checkTraceCmd struct {
	StoreFlags `embed:""`
	Engine     string   `enum:"memory,postgres" default:"memory" help:"The engine to check: ${enum}."`
	Show       int      `default:"5" help:"How many mismatches of each file to print in full."`
	Files      []string `arg:"" name:"file" help:"Recorded requests and answers: JSON lines, plain or gzipped."`
}

func (checkTraceCmd) Help() string {
	return `Each file is replayed on empty books, at the recorded times. Every status, every field and every timestamp must be as recorded, to the nanosecond. Exits 1 if anything differs, 2 if a file cannot be read.

With --engine postgres the books are in a schema of their own, which is dropped afterwards: in the database that --data or --database-url names, else in a private Postgres that exists for this check only.

    escrowd ledger check-trace --engine postgres traces/*.jsonl.gz`
}

// Run replays the files, one line of the table for each as it ends.
func (c *checkTraceCmd) Run(ctx context.Context, g *Globals) (err error) {
	// A mistyped name is better found before minutes of work than after.
	width := len("file")
	for _, name := range c.Files {
		f, err := os.Open(name)
		if err != nil {
			return usageError("trace: %w", err)
		}
		_ = f.Close()
		width = max(width, len(name))
	}
	newEngine := engineMaker(func(context.Context) (ledgertest.Replayable, func() error, error) {
		e := rules.NewEngine(func() uint64 { return uint64(time.Now().UnixNano()) })
		return e, e.Close, nil
	})
	if c.Engine == "postgres" {
		s, err := c.traceStore(ctx, g)
		if err != nil {
			return err
		}
		defer closeInto(s, &err)
		newEngine = s.newEngine
	}
	row := func(cells ...any) {
		fmt.Fprintf(g.Stdout, "%-*s  %9v  %11v  %10v\n", slices.Concat([]any{width}, cells)...)
	}
	row("file", "requests", "events+rows", "mismatches")
	var requests, events, mismatches int
	var unread error
	for _, name := range c.Files {
		report, err := replayFile(ctx, newEngine, name, c.Show)
		requests, events, mismatches = requests+report.Requests, events+report.Events, mismatches+report.Mismatches
		row(name, report.Requests, report.Events, report.Mismatches)
		for _, m := range report.First {
			fmt.Fprintln(g.Stdout, "   ", m)
		}
		if more := report.Mismatches - len(report.First); more > 0 && len(report.First) > 0 {
			fmt.Fprintf(g.Stdout, "    ... and %d more\n", more)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
			if engineFault(err) || ctx.Err() != nil {
				return err
			}
			unread = errors.Join(unread, err)
		}
	}
	row("total", requests, events, mismatches)
	switch {
	case mismatches > 0:
		return errors.Join(checkFailed("%d of %d events and rows differ from the trace", mismatches, events), unread)
	case unread != nil:
		return usageError("%w", unread)
	}
	return nil
}

// replayFile replays one file on a new engine.
func replayFile(ctx context.Context, newEngine engineMaker, name string, keep int) (report ledgertest.Report, err error) {
	f, err := os.Open(name)
	if err != nil {
		return report, err
	}
	defer f.Close()
	eng, drop, err := newEngine(ctx)
	if err != nil {
		return report, fmt.Errorf("%w: %w", ledger.ErrNotSent, err)
	}
	defer func() { err = errors.Join(err, drop()) }()
	return ledgertest.Replay(ctx, eng, f, keep)
}

// engineMaker makes an engine with empty books; the function it answers drops
// them again.
type engineMaker func(context.Context) (ledgertest.Replayable, func() error, error)

// engineFault tells an engine that gave no answer from a trace that cannot be
// read.
func engineFault(err error) bool {
	if _, ok := errors.AsType[*ledger.TooManyError](err); ok {
		return false // no ledger would take such a request
	}
	if errors.Is(err, ledger.ErrNotSent) || errors.Is(err, ledger.ErrUnknown) || errors.Is(err, driver.ErrBadConn) {
		return true
	}
	_, isPostgres := errors.AsType[*pq.Error](err)
	_, isNetwork := errors.AsType[net.Error](err)
	return isPostgres || isNetwork
}

// traceStore is where check-trace makes its schemas.
type traceStore struct {
	*Store
	tmp string // the private data directory, if there is one
}

// traceStore opens the store the user named, or a throw-away one.
func (c *checkTraceCmd) traceStore(ctx context.Context, g *Globals) (*traceStore, error) {
	if c.Given() {
		s, err := c.connect(ctx, g, JoinStore)
		if err != nil {
			return nil, err
		}
		return &traceStore{Store: s}, nil
	}
	tmp, err := os.MkdirTemp("", "escrowd-trace-")
	if err != nil {
		return nil, err
	}
	cluster, err := localpg.Open(ctx, tmp, localpg.Options{Logger: g.Log, Throwaway: true})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(tmp))
	}
	s := &traceStore{Store: &Store{dsn: cluster.DSN(), name: "a private Postgres", cluster: cluster}, tmp: tmp}
	if err := s.dial(ctx, JoinStore); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close closes the store and removes it, if it is a throw-away one.
func (s *traceStore) Close() error {
	err := s.Store.Close()
	if s.tmp != "" {
		err = errors.Join(err, os.RemoveAll(s.tmp))
	}
	return err
}

// newEngine makes an engine in a schema of its own.
func (s *traceStore) newEngine(ctx context.Context) (ledgertest.Replayable, func() error, error) {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails, says crypto/rand
	// The process id tells whose it is, should one ever be left by a kill -9.
	schema := fmt.Sprintf("escrowd_trace_%d_%x", os.Getpid(), random)
	if _, err := s.DB.ExecContext(ctx, "CREATE SCHEMA "+schema); err != nil {
		return nil, nil, err
	}
	inner := &Store{dsn: setParam(s.dsn, "search_path", schema), name: "schema " + schema}
	drop := func() error {
		err := inner.Close()
		// Also after an interruption, hence not bound to ctx.
		_, dropErr := s.DB.ExecContext(context.WithoutCancel(ctx), "DROP SCHEMA "+schema+" CASCADE")
		return errors.Join(err, dropErr)
	}
	eng, err := s.fill(ctx, inner)
	if err != nil {
		return nil, nil, errors.Join(err, drop())
	}
	return eng, func() error { return errors.Join(eng.Close(), drop()) }, nil
}

func (s *traceStore) fill(ctx context.Context, inner *Store) (*pgengine.Engine, error) {
	if err := inner.dial(ctx, JoinStore); err != nil {
		return nil, err
	}
	if err := migrate(ctx, slog.New(slog.DiscardHandler), inner); err != nil {
		return nil, err
	}
	return pgengine.New(inner.DB)
}
