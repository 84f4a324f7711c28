package ledgertest_test

import (
	"os"
	"path/filepath"
	"testing"

	"escrowd/ledger/ledgertest"
	"escrowd/ledger/rules"
)

func noClock() uint64 { return 1 } // a replay sets the clock before each request

// TestRecordedTraces replays the answers of a real TigerBeetle 0.17.9.
func TestRecordedTraces(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(sharedDir(t), "tigerbeetle-traces", "*.jsonl.gz"))
	if len(files) == 0 {
		t.Skip("no recorded traces in the shared folder (tigerbeetle-traces/*.jsonl.gz)")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { replayFile(t, file) })
	}
}

func replayFile(t *testing.T, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rep, err := ledgertest.Replay(t.Context(), rules.NewEngine(noClock), f, 5)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Requests == 0 {
		t.Fatal("nothing was compared")
	}
	t.Logf("%d requests, %d events and rows, %d mismatches", rep.Requests, rep.Events, rep.Mismatches)
	for _, m := range rep.First {
		t.Error(m)
	}
	if rep.Mismatches != 0 {
		t.Errorf("%d mismatches", rep.Mismatches)
	}
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
			shared := filepath.Join(dir, "..", "shared")
			if _, err := os.Stat(shared); err != nil {
				t.Skip("no folder ../shared beside the module and no ESCROWD_SHARED: the recorded traces are missing")
			}
			return shared
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test's directory")
		}
		dir = parent
	}
}
