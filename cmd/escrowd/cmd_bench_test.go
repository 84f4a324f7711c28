package main

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"escrowd/cmd/escrowd/bench"
	"escrowd/cmd/escrowd/localpg"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/settlement/orderdb"
)

// envBenchLoad makes the test binary bench's load generator, in TestBenchLoad.
const envBenchLoad = "ESCROWD_TEST_BENCH_LOAD"

func TestBenchLoad(t *testing.T) {
	if os.Getenv(envBenchLoad) == "" {
		t.Skip("is the load generator of other tests")
	}
	os.Exit(run(context.Background(), []string{"bench-load"}, os.Stdin, os.Stdout, os.Stderr))
}

// benchmark runs escrowd bench with a few orders; the report is what it
// printed, if it printed one.
func benchmark(t *testing.T, args ...string) (result, bench.Report) {
	t.Helper()
	old := benchLoader
	t.Cleanup(func() { benchLoader = old })
	benchLoader = func() ([]string, error) {
		self, err := os.Executable()
		return []string{self, "-test.run=^TestBenchLoad$"}, err
	}
	t.Setenv(envBenchLoad, "1")
	got := escrowd(t, append([]string{"bench", "--json", "--orders=40"}, args...)...)
	var r bench.Report
	if got.stdout != "" {
		if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
			t.Fatalf("%v: %s", err, got.stdout)
		}
	}
	return got, r
}

// TestBench: a benchmark on a data directory that is kept, and one more on
// what it left: first as it was left, then spoiled.
func TestBench(t *testing.T) {
	dir := reachableDir(t)
	got, r := benchmark(t, "--data", dir, "--connections=4")
	if got.code == exitEnvironment && t.Context().Err() == nil && !postgresFound(t) {
		t.Skip("needs the Postgres server programs")
	}
	got.check(t, exitOK, `"balanced": true`, "checking the books")
	if len(r.Points) != 1 || r.Points[0].Requests != 80 || r.Points[0].Cost.CPU.Postgres == nil || !r.Books.Balanced {
		t.Errorf("%+v", r)
	}
	if *r.Points[0].Cost.CPU.Postgres < 0 || r.Points[0].Cost.Commits < 2.0/64 || r.Points[0].Raw.OrdersPerSecond <= 0 {
		t.Errorf("%+v", r.Points[0])
	}

	svg := filepath.Join(t.TempDir(), "plot.svg")
	got, r = benchmark(t, "--data", dir, "--connections=4", "--sweep=history", "--history=50", "--svg", svg)
	got.check(t, exitOK, `"balanced": true`, "writing 50 orders that are closed")
	if len(r.Points) != 2 || r.Points[1].History != 50 || r.Points[1].HistoryRatio <= 0 {
		t.Errorf("%+v", r.Points)
	}
	if f, err := os.Open(svg); err != nil {
		t.Error(err)
	} else {
		defer f.Close()
		for d := xml.NewDecoder(f); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("the plot: %v", err)
			}
		}
	}

	got, r = benchmark(t, "--data", dir, "--sweep=batch")
	got.check(t, exitOK, `"balanced": true`, "the ledger alone, 8,188 transfers a request")
	if len(r.Points) != 5 || r.Points[4].Raw.Batch != 8188 || r.Points[0].OrdersPerSecond <= 0 {
		t.Errorf("%+v", r.Points)
	}

	s, err := StoreFlags{Data: dir}.Open(t.Context(), testGlobals(), JoinStore)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.DB.Exec(`ALTER TABLE ledger_transfers DISABLE TRIGGER USER;
		DELETE FROM ledger_transfers WHERE id = (SELECT id FROM ledger_transfers ORDER BY timestamp DESC LIMIT 1)`)
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	got, r = benchmark(t, "--data", dir, "--connections=4")
	got.check(t, exitCheckFailed, `"balanced": false`, "the books do not balance")
	if r.Books.Balanced || len(r.Books.Problems) == 0 || len(r.Points) != 1 {
		t.Errorf("%+v", r.Books)
	}

	if s, err = (StoreFlags{Data: dir}).Open(t.Context(), testGlobals(), JoinStore); err != nil {
		t.Fatal(err)
	}
	_, err = orderdb.New(s.DB).CreateMarketplace(t.Context(), "acme", orderdb.LiveClock, time.Time{})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	got, _ = benchmark(t, "--data", dir)
	got.check(t, exitUsage, "", `has a marketplace "acme": a benchmark never runs on books that matter`)
}

func postgresFound(t *testing.T) bool {
	t.Helper()
	c, err := localpg.Open(t.Context(), reachableDir(t), localpg.Options{Throwaway: true})
	if errors.Is(err, localpg.ErrNoPostgres) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	return c.Close() == nil
}

// TestBenchInADatabase: in somebody's database it has a schema of its own, and
// leaves nothing.
func TestBenchInADatabase(t *testing.T) {
	dsn := pgtest.DSN(t)
	schemas := func() []string {
		var names []string
		if err := pgtest.Open(t).Select(&names, `SELECT nspname FROM pg_namespace WHERE nspname LIKE 'escrowd_bench%' OR nspname LIKE 'escrowd_trace%' ORDER BY 1`); err != nil {
			t.Fatal(err)
		}
		return names
	}
	before := schemas()
	for _, args := range [][]string{{"--settle=60"}, {"--engine=memory", "--bulk=7", "--life=full"}} {
		got, r := benchmark(t, append(args, "--database-url", dsn)...)
		got.check(t, exitOK, `"balanced": true`, "")
		if len(r.Points) != 1 || !r.Books.Balanced {
			t.Errorf("%+v", r)
		}
	}
	for _, name := range schemas() {
		// Others may use the cluster; ours have this process's number in them.
		if !slices.Contains(before, name) && strings.Contains(name, fmt.Sprintf("_%d_", os.Getpid())) {
			t.Errorf("schema %s is left", name)
		}
	}
}

// TestBenchStoreIsTyped: a configuration file's store is a server's.
func TestBenchStoreIsTyped(t *testing.T) {
	file := filepath.Join(t.TempDir(), "escrowd.yaml")
	if err := os.WriteFile(file, []byte("data: /nowhere/of/mine\ndatabase-url: postgres://nobody@localhost:1/x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var c cli
	parser, err := newParser(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"--config", file, "bench"}); err != nil {
		t.Fatal(err)
	}
	if c.Bench.Data != "" || c.Bench.DatabaseURL != "" {
		t.Errorf("it would run on %q %q", c.Bench.Data, c.Bench.DatabaseURL)
	}
	if _, err := parser.Parse([]string{"--config", file, "bench", "--data", "typed"}); err != nil || c.Bench.Data != "typed" {
		t.Errorf("%q, %v", c.Bench.Data, err)
	}
}

func TestBenchUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--orders=0"}, "--orders must be from 1"},
		{[]string{"--bulk=1001"}, "--bulk must be from 0 to 1000"},
		{[]string{"--connections=-1"}, "--connections must be from 0"},
		{[]string{"--data=x", "--database-url=y"}, "give one"},
		{[]string{"--engine=tigerbeetle"}, "--tigerbeetle-addresses"},
		{[]string{"--engine=memory", "--data=x"}, "--engine memory keeps no books"},
		{[]string{"--table", "--sweep=bulk"}, "give one"},
		{[]string{"--svg=x.svg"}, "--svg draws a --sweep"},
		{[]string{"--settle=5", "--bulk=5"}, "--settle has no requests"},
		{[]string{"--settle=5", "--sweep=batch"}, "--settle has no requests"},
		{[]string{"--sweep=batch", "--history=5"}, "--sweep batch measures the ledger alone"},
		{[]string{"--life=short"}, "--life must be one of"},
		{[]string{"--sweep=bulk", "--svg=/no/such/directory/x.svg"}, "--svg"},
		{[]string{"--database-url=mysql://secret"}, "neither a postgres:// URL nor"},
	} {
		got := escrowd(t, append([]string{"bench"}, c.args...)...)
		got.check(t, exitUsage, "", c.want)
	}
}
