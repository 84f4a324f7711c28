package pgengine_test

import (
	"os"
	"path/filepath"
	"testing"

	"escrowd/ledger/ledgertest"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/pgengine"
)

// TestRecordedTraces replays the answers of a real TigerBeetle 0.17.9, each
// file in a schema of its own.
func TestRecordedTraces(t *testing.T) {
	dir := filepath.Join(sharedDir(t), "tigerbeetle-traces")
	files, _ := filepath.Glob(filepath.Join(dir, "*.jsonl.gz"))
	if len(files) == 0 {
		t.Skipf("%s: no recorded traces in the shared folder (tigerbeetle-traces/*.jsonl.gz)", t.Name())
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			replayFile(t, file)
		})
	}
}

// TestCommittedTrace replays the one recording that every checkout has.
func TestCommittedTrace(t *testing.T) {
	replayFile(t, filepath.Join("..", "ledgertest", "testdata", "timeouts.jsonl.gz"))
}

func replayFile(t *testing.T, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	report, err := ledgertest.Replay(t.Context(), open(t), f, 5)
	if err != nil {
		t.Fatal(err)
	}
	if report.Requests == 0 {
		t.Fatal("nothing was compared")
	}
	t.Logf("%d requests, %d events and rows, %d mismatches", report.Requests, report.Events, report.Mismatches)
	for _, m := range report.First {
		t.Error(m)
	}
	if report.Mismatches != 0 {
		t.Errorf("%d mismatches", report.Mismatches)
	}
}

// open makes an engine in the test's own schema.
func open(t testing.TB, opts ...pgengine.Option) *pgengine.Engine {
	t.Helper()
	e, err := pgengine.New(pgtest.Open(t), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// sharedDir finds the shared test data: $ESCROWD_SHARED, or the folder
// "shared" beside the module's.
func sharedDir(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("ESCROWD_SHARED"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = parent
	}
	shared := filepath.Join(dir, "..", "shared")
	if _, err := os.Stat(shared); err != nil {
		t.Skipf("%s: no shared test data: %v (set ESCROWD_SHARED)", t.Name(), err)
	}
	return shared
}
