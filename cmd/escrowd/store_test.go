package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"escrowd/cmd/escrowd/localpg"
	"escrowd/ledger/ledgertest/pgtest"
)

func testGlobals() *Globals {
	return &Globals{Log: slog.New(slog.DiscardHandler), Stdout: io.Discard, Stderr: io.Discard}
}

// reachableDir is a data directory to be, where root's Postgres can come.
func reachableDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for p := dir; p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "data")
}

// The whole life of a data directory: nobody's, an owner's, a reader's.
func TestStoreInDataDirectory(t *testing.T) {
	dir := reachableDir(t)
	flags := StoreFlags{Data: dir}
	ctx, g := t.Context(), testGlobals()

	if _, err := flags.Open(ctx, g, ReadStore); !errors.Is(err, localpg.ErrNotDataDir) {
		t.Fatalf("reading before there is anything: %v", err)
	}
	owner, err := flags.Open(ctx, g, OwnStore)
	if errors.Is(err, localpg.ErrNoPostgres) {
		t.Skip("needs the Postgres server programs")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	escrowd(t, "migrate", "--data", dir).check(t, exitEnvironment, "", "is in use by pid")
	escrowd(t, "migrate", "--status", "--data", dir).check(t, exitOK, "00001_ledger.sql ", "")

	reader, err := flags.Open(ctx, g, ReadStore)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := reader.DB.Exec(`INSERT INTO marketplaces (name, clock) VALUES ('x', 'live')`); err == nil {
		t.Error("a reader's session can write")
	}
	writer, err := flags.Open(ctx, g, JoinStore)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if _, err := writer.DB.Exec(`INSERT INTO marketplaces (name, clock) VALUES ('x', 'live')`); err != nil {
		t.Error(err)
	}
	var zone string
	if err := writer.DB.Get(&zone, `SHOW timezone`); err != nil || zone != "UTC" {
		t.Errorf("sessions are in time zone %s (%v)", zone, err)
	}
	for _, s := range []*Store{reader, writer, owner} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	escrowd(t, "migrate", "--data", dir).check(t, exitOK, "data directory "+dir+" is at version", "")
}

// testStore is a migrated schema of a cluster of one's own, by flags.
func testStore(t *testing.T) (StoreFlags, *Store) {
	t.Helper()
	flags := StoreFlags{DatabaseURL: pgtest.DSN(t)}
	s, err := flags.Open(t.Context(), testGlobals(), JoinStore)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return flags, s
}

func TestSchemaVersions(t *testing.T) {
	flags, s := testStore(t)
	status := func() result { return escrowd(t, "migrate", "--status", "--database-url", flags.DatabaseURL) }
	status().check(t, exitOK, "applied", "")

	t.Run("newer than the binary", func(t *testing.T) {
		s.DB.MustExec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`)
		for _, access := range []Access{ReadStore, JoinStore, OwnStore} {
			_, err := flags.Open(t.Context(), testGlobals(), access)
			if err == nil || !strings.Contains(err.Error(), "migrated to version 9999 by a newer escrowd") {
				t.Errorf("access %d: %v", access, err)
			}
		}
		status().check(t, exitEnvironment, "", "newer escrowd")
		escrowd(t, "migrate", "--database-url", flags.DatabaseURL).check(t, exitEnvironment, "", "newer escrowd")
		s.DB.MustExec(`DELETE FROM goose_db_version WHERE version_id = 9999`)
	})

	// A schema without anything in it.
	var schema string
	if err := s.DB.Get(&schema, `SELECT current_schema() || '_empty'`); err != nil {
		t.Fatal(err)
	}
	s.DB.MustExec(`CREATE SCHEMA ` + schema)
	t.Cleanup(func() { s.DB.MustExec(`DROP SCHEMA ` + schema + ` CASCADE`) })
	empty := StoreFlags{DatabaseURL: setParam(flags.DatabaseURL, "search_path", schema)}

	t.Run("older than the binary", func(t *testing.T) {
		for _, access := range []Access{ReadStore, JoinStore} {
			_, err := empty.Open(t.Context(), testGlobals(), access)
			if err == nil || !strings.Contains(err.Error(), "run 'escrowd migrate'") {
				t.Errorf("access %d: %v", access, err)
			}
		}
		escrowd(t, "migrate", "--status", "--database-url", empty.DatabaseURL).check(t, exitCheckFailed, "missing", "lacks")
		var tables int
		if err := s.DB.Get(&tables, `SELECT count(*) FROM pg_tables WHERE schemaname = $1`, schema); err != nil || tables != 0 {
			t.Errorf("looking left %d tables (%v)", tables, err)
		}
		escrowd(t, "migrate", "--database-url", empty.DatabaseURL).check(t, exitOK, "is at version", "migrated")
		escrowd(t, "migrate", "--status", "--database-url", empty.DatabaseURL).check(t, exitOK, "applied", "")
	})
}

// Two servers of a new version may start together.
func TestMigrateTwiceAtOnce(t *testing.T) {
	flags, s := testStore(t)
	var schema string
	if err := s.DB.Get(&schema, `SELECT current_schema() || '_twice'`); err != nil {
		t.Fatal(err)
	}
	s.DB.MustExec(`CREATE SCHEMA ` + schema)
	t.Cleanup(func() { s.DB.MustExec(`DROP SCHEMA ` + schema + ` CASCADE`) })
	twice := StoreFlags{DatabaseURL: setParam(flags.DatabaseURL, "search_path", schema)}
	done := make(chan error)
	for range 2 {
		go func() {
			s, err := twice.Open(context.WithoutCancel(t.Context()), testGlobals(), OwnStore)
			if err == nil {
				err = s.Close()
			}
			done <- err
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestPasswordIsNeverPrinted(t *testing.T) {
	const secret = "s3cret"
	for _, dsn := range []string{
		"postgres://u:" + secret + "@127.0.0.1:1/db?sslmode=disable",
		"postgres://u:" + secret + "/" + secret + "@127.0.0.1:1/db",      // its port does not parse
		"postgres://u:1/" + secret + "@127.0.0.1:1/db?connect_timeout=1", // its database is odd
		"host=127.0.0.1 port=1 sslmode=disable password=" + secret,
		"host=127.0.0.1 port=1 password='" + secret,
		"host=127.0.0.1 port=1 password " + secret,
		secret,
	} {
		t.Run("", func(t *testing.T) {
			r := escrowd(t, "--log-level=debug", "migrate", "--database-url", dsn)
			if r.code == exitOK || r.stderr == "" {
				t.Errorf("exit %d: %s", r.code, r.stderr)
			}
			if strings.Contains(r.stdout+r.stderr, secret) {
				t.Errorf("the password is out: %s%s", r.stdout, r.stderr)
			}
		})
	}
}

func TestDatabaseIsUnreachable(t *testing.T) {
	r := escrowd(t, "migrate", "--database-url", "postgres://u@127.0.0.1:1/db?sslmode=disable")
	r.check(t, exitEnvironment, "", `connect to database "db" on 127.0.0.1 port 1: `)
	if strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("more than one line: %s", r.stderr)
	}
}

func TestParams(t *testing.T) {
	ours := map[string]string{"timezone": "UTC"}
	for _, c := range []struct{ dsn, want string }{
		{"host=h user=u", "timezone='UTC' host=h user=u"},
		{"postgres://u:p%2Fw@h/d?sslmode=disable", "postgres://u:p%2Fw@h/d?sslmode=disable&timezone=UTC"},
		{"postgres://h/d?timezone=CET", "postgres://h/d?timezone=CET"}, // the user's stands
	} {
		if got := withParams(c.dsn, ours); got != c.want {
			t.Errorf("%s: %s, want %s", c.dsn, got, c.want)
		}
	}
	for _, c := range []struct{ dsn, want string }{
		{"host=h", "host=h search_path='s'"},
		{"postgresql://h/d?search_path=x", "postgresql://h/d?search_path=s"},
	} {
		if got := setParam(c.dsn, "search_path", "s"); got != c.want {
			t.Errorf("%s: %s, want %s", c.dsn, got, c.want)
		}
	}
}

// A trace made here: one account, looked up. In the wrong one the ledger is
// said to have answered otherwise.
const (
	traceLine  = `{"op":"create_accounts","sent":1000000000,"timestamp":1000000000,"accounts":[{"id":"1","ledger":1,"code":1}],"results":[{"status":4294967295,"name":"AccountCreated","timestamp":1000000000}]}`
	lookupLine = `{"op":"lookup_accounts","sent":1000000001,"ids":["1"],"found_accounts":[{"id":"1","debits_pending":"0","debits_posted":"0","credits_pending":"0","credits_posted":"0","user_data_128":"0","ledger":1,"code":1,"timestamp":1000000000}]}`
)

func TestCheckTrace(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, lines ...string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.jsonl", traceLine, lookupLine)
	wrong := file("wrong.jsonl", traceLine, strings.Replace(lookupLine, `"code":1`, `"code":2`, 1))
	broken := file("broken.jsonl", traceLine, `{"op":`)
	for _, engine := range []string{"memory", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			args := []string{"ledger", "check-trace", "--engine", engine}
			if engine == "postgres" {
				args = append(args, "--database-url", pgtest.DSN(t))
				defer noSchemaLeft(t)
			}
			check := func(files ...string) result { return escrowd(t, append(args, files...)...) }
			r := check(good)
			r.check(t, exitOK, "total", "")
			if fields := strings.Fields(r.stdout); strings.Join(fields[len(fields)-4:], " ") != "total 2 2 0" {
				t.Errorf("the sum is not right: %s", r.stdout)
			}
			r = check(good, wrong)
			r.check(t, exitCheckFailed, "line 2: lookup_accounts [0]: want ", "1 of 4 events and rows differ")
			check(good, broken).check(t, exitUsage, "good.jsonl", "broken.jsonl: line 2: ")
			// What is wrong weighs more than what is unreadable.
			check(broken, wrong).check(t, exitCheckFailed, "line 2", "broken.jsonl: line 2: ")
			r = check(good, filepath.Join(dir, "missing.jsonl"))
			r.check(t, exitUsage, "", "missing.jsonl: no such file")
			if r.stdout != "" {
				t.Errorf("began with a file missing: %s", r.stdout)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if r := escrowdIn(t, ctx, append(args, good)...); r.code != exitInterrupted {
				t.Errorf("interrupted: %+v", r)
			}
		})
	}
}

// noSchemaLeft: whatever the outcome, the books of a check are dropped.
func noSchemaLeft(t *testing.T) {
	t.Helper()
	var left int
	if err := pgtest.Open(t).Get(&left, `SELECT count(*) FROM pg_namespace WHERE nspname LIKE $1`, fmt.Sprintf(`escrowd\_trace\_%d\_%%`, os.Getpid())); err != nil || left != 0 {
		t.Errorf("%d schemas are left (%v)", left, err)
	}
}

// Without any store named the check makes a private Postgres and removes it.
func TestCheckTraceOnThrowawayPostgres(t *testing.T) {
	tmp := t.TempDir()
	reach := filepath.Dir(reachableDir(t))
	t.Setenv("TMPDIR", reach)
	file := filepath.Join(tmp, "good.jsonl")
	if err := os.WriteFile(file, []byte(traceLine+"\n"+lookupLine+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := escrowd(t, "ledger", "check-trace", "--engine=postgres", file)
	if strings.Contains(r.stderr, localpg.ErrNoPostgres.Error()) {
		t.Skip("needs the Postgres server programs")
	}
	r.check(t, exitOK, "total", "")
	if left, err := os.ReadDir(reach); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func TestCheckTraceOnRecordedTrace(t *testing.T) {
	file := filepath.Join(sharedDir(t, "tigerbeetle-traces"), "timeouts.jsonl.gz")
	escrowd(t, "ledger", "check-trace", file).check(t, exitOK, "total", "")
}

func TestPrintTable(t *testing.T) {
	var b bytes.Buffer
	if err := printTable(&b, [][]string{{"a", "b"}, {"längst", "x"}}); err != nil || b.String() != "a       b\nlängst  x\n" {
		t.Errorf("%q %v", b.String(), err)
	}
}
