package ledgertest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"escrowd/ledger"
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

// TestCommittedTrace replays the beginning of one recorded trace (batches,
// chains, pending transfers that expire), so that something is checked where
// the shared folder is missing.
func TestCommittedTrace(t *testing.T) { replayFile(t, committed) }

const committed = "testdata/timeouts.jsonl.gz"

func readCommitted(t testing.TB) []byte {
	t.Helper()
	f, err := os.Open(committed)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(unzipped)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestAlteredTraceIsReported: a replay can fail. Each case alters one number
// of one answer, in a trace that passes.
func TestAlteredTraceIsReported(t *testing.T) {
	trace := `
{"op":"create_accounts","sent":100,"timestamp":102,"accounts":[{"id":"1","ledger":1,"code":1,"flags":8},{"id":"2","ledger":1,"code":1}],"results":[{"status":4294967295,"timestamp":101},{"status":4294967295,"timestamp":102}]}
{"op":"create_transfers","sent":200,"timestamp":200,"transfers":[{"id":"5","debit_account_id":"1","credit_account_id":"2","amount":"340282366920938463463374607431768211455","ledger":1,"code":1,"flags":2,"timeout":1}],"results":[{"status":4294967295,"timestamp":200}]}
{"op":"lookup_accounts","sent":201,"ids":["1","3"],"found_accounts":[{"id":"1","debits_pending":"340282366920938463463374607431768211455","ledger":1,"code":1,"flags":8,"timestamp":101}]}
{"op":"lookup_transfers","sent":202,"ids":["5"],"found_transfers":[{"id":"5","debit_account_id":"1","credit_account_id":"2","amount":"340282366920938463463374607431768211455","ledger":1,"code":1,"flags":2,"timeout":1,"timestamp":200}]}
{"op":"get_account_transfers","sent":203,"filter":{"account_id":"1","limit":9,"flags":1},"found_transfers":[{"id":"5","debit_account_id":"1","credit_account_id":"2","amount":"340282366920938463463374607431768211455","ledger":1,"code":1,"flags":2,"timeout":1,"timestamp":200}]}
{"op":"get_account_balances","sent":204,"filter":{"account_id":"1","limit":9,"flags":1},"found_balances":[{"debits_pending":"340282366920938463463374607431768211455","timestamp":200}]}
{"op":"query_accounts","sent":205,"filter":{"ledger":1,"limit":1},"found_accounts":[{"id":"1","debits_pending":"340282366920938463463374607431768211455","ledger":1,"code":1,"flags":8,"timestamp":101}]}
{"op":"query_transfers","sent":206,"filter":{"limit":9,"flags":1},"found_transfers":[{"id":"5","debit_account_id":"1","credit_account_id":"2","amount":"340282366920938463463374607431768211455","ledger":1,"code":1,"flags":2,"timeout":1,"timestamp":200}]}
{"op":"lookup_accounts","sent":1000000200,"ids":["2"],"found_accounts":[{"id":"2","ledger":1,"code":1,"timestamp":102}]}
`
	replay := func(t *testing.T, text string) ledgertest.Report {
		t.Helper()
		rep, err := ledgertest.Replay(t.Context(), rules.NewEngine(noClock), strings.NewReader(text), 10)
		if err != nil {
			t.Fatal(err)
		}
		return rep
	}
	if rep := replay(t, trace); rep.Requests != 9 || rep.Mismatches != 0 || len(rep.First) != 0 {
		t.Fatalf("unaltered: %+v", rep)
	}
	for _, c := range []struct {
		name, from, to string
		want           ledgertest.Mismatch
	}{
		{"a status", `"status":4294967295,"timestamp":200`, `"status":54,"timestamp":200`,
			ledgertest.Mismatch{Line: 3, Op: "create_transfers", Want: "exceeds_credits at 200", Got: "created at 200"}},
		{"a nanosecond", `{"status":4294967295,"timestamp":102}`, `{"status":4294967295,"timestamp":103}`,
			ledgertest.Mismatch{Line: 2, Op: "create_accounts", Index: 1, Want: "created at 103", Got: "created at 102"}},
		{"a row too many", `"ids":["2"],"found_accounts":[`, `"ids":["2"],"found_accounts":[{"id":"2","ledger":1,"code":1,"timestamp":102},`,
			ledgertest.Mismatch{Line: 10, Op: "lookup_accounts", Index: 1, Got: "nothing",
				Want: "account 2 (debits 0 + 0 pending, credits 0 + 0 pending, user_data 0 0 0, ledger 1, code 1, flags 0x0) at 102"}},
		{"a row too few", `"found_balances":[{"debits_pending":"340282366920938463463374607431768211455","timestamp":200}]`, `"found_balances":[]`,
			ledgertest.Mismatch{Line: 7, Op: "get_account_balances", Want: "nothing",
				Got: "balance (debits 0 + 340282366920938463463374607431768211455 pending, credits 0 + 0 pending) at 200"}},
		{"an expiry that did not happen", `"found_accounts":[{"id":"2","ledger"`, `"found_accounts":[{"id":"2","credits_pending":"1","ledger"`,
			ledgertest.Mismatch{Line: 10, Op: "lookup_accounts", Got: "account 2 (debits 0 + 0 pending, credits 0 + 0 pending, user_data 0 0 0, ledger 1, code 1, flags 0x0) at 102",
				Want: "account 2 (debits 0 + 0 pending, credits 0 + 1 pending, user_data 0 0 0, ledger 1, code 1, flags 0x0) at 102"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.Count(trace, c.from) != 1 {
				t.Fatalf("%q is not once in the trace", c.from)
			}
			rep := replay(t, strings.Replace(trace, c.from, c.to, 1))
			if rep.Mismatches != 1 || len(rep.First) != 1 || rep.First[0] != c.want {
				t.Errorf("got %+v\nwant %+v", rep, c.want)
			}
		})
	}
	// The same for each kind of answer that has a code.
	for n := 4; n <= 10; n++ {
		lines := strings.Split(trace, "\n")
		answer := strings.Index(lines[n-1], `"found_`)
		altered := strings.Replace(lines[n-1][answer:], `"timestamp":`, `"timestamp":1`, 1)
		lines[n-1] = lines[n-1][:answer] + altered
		rep := replay(t, strings.Join(lines, "\n"))
		if rep.Mismatches != 1 || rep.First[0].Line != n {
			t.Errorf("line %d altered: %+v", n, rep)
		}
	}
}

// TestReplayKeepsTheFirst: all are counted, only the first are kept.
func TestReplayKeepsTheFirst(t *testing.T) {
	altered := bytes.ReplaceAll(readCommitted(t), []byte(`"status":4294967295`), []byte(`"status":46`))
	rep, err := ledgertest.Replay(t.Context(), rules.NewEngine(noClock), bytes.NewReader(altered), 3)
	if err != nil || len(rep.First) != 3 || rep.Mismatches <= 3 || rep.First[0].Line != 1 {
		t.Errorf("%v: %+v", err, rep)
	}
}

// TestMalformedTrace: bad input names its line, and the report covers the
// lines before it.
func TestMalformedTrace(t *testing.T) {
	good := `{"op":"lookup_accounts","sent":1,"ids":["1"]}` + "\n"
	for _, c := range []struct {
		name, text string
		line       int
		says       string
	}{
		{"cut off", good + `{"op":"lookup_acc`, 2, "unexpected"},
		{"no JSON", good + good + "hello", 3, "invalid character"},
		{"two values", `{"op":"lookup_accounts","sent":1} {}`, 1, "more than one JSON value"},
		{"trailing bracket", `{"op":"lookup_accounts","sent":1}}`, 1, "more than one JSON value"},
		{"unknown op", `{"op":"delete_accounts","sent":1}`, 1, `unknown op "delete_accounts"`},
		{"no op", `{"sent":1}`, 1, `unknown op ""`},
		{"no clock", `{"op":"lookup_accounts","ids":[]}`, 1, `no "sent"`},
		{"unknown field", `{"op":"lookup_accounts","sent":1,"idz":[]}`, 1, `unknown field "idz"`},
		{"no filter", `{"op":"query_accounts","sent":1}`, 1, `no "filter"`},
		{"results missing", `{"op":"create_transfers","sent":1,"transfers":[{"id":"1"}]}`, 1, "1 events but 0 results"},
		{"id too large", `{"op":"lookup_accounts","sent":1,"ids":["340282366920938463463374607431768211456"]}`, 1, "not an unsigned 128-bit integer"},
		{"code too large", `{"op":"create_accounts","sent":1,"accounts":[{"code":65536}],"results":[{}]}`, 1, "uint16"},
		{"a blank line counts", "\n\nx", 3, "invalid character"},
		{"broken gzip", "\x1f\x8bxx", 1, "gzip"},
		{"more rows than fit", `{"op":"query_accounts","sent":1,"filter":{"limit":8190}}`, 1, "8190 events in one request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rep, err := ledgertest.Replay(t.Context(), rules.NewEngine(noClock), strings.NewReader(c.text), 1)
			var at *ledgertest.LineError
			if !errors.As(err, &at) || at.Line != c.line || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v, want line %d: ... %s", err, c.line, c.says)
			}
			if want := strings.Count(c.text[:strings.LastIndex(c.text, "\n")+1], "{"); rep.Requests != want {
				t.Errorf("%d requests compared, want %d", rep.Requests, want)
			}
		})
	}

	zipped, err := os.ReadFile(committed)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := ledgertest.Replay(t.Context(), rules.NewEngine(noClock), bytes.NewReader(zipped[:len(zipped)/2]), 1)
	var at *ledgertest.LineError
	if !errors.As(err, &at) || !errors.Is(err, io.ErrUnexpectedEOF) || at.Line != rep.Requests+1 || rep.Requests == 0 {
		t.Errorf("half a file: %v after %d requests", err, rep.Requests)
	}
}

// TestReplayStopsWithItsContext and without an answer.
func TestReplayStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rep, err := ledgertest.Replay(ctx, rules.NewEngine(noClock), bytes.NewReader(readCommitted(t)), 1)
	if !errors.Is(err, context.Canceled) || rep.Requests != 0 {
		t.Errorf("%v after %d requests", err, rep.Requests)
	}
	closed := rules.NewEngine(noClock)
	closed.Close()
	rep, err = ledgertest.Replay(t.Context(), closed, bytes.NewReader(readCommitted(t)), 1)
	if !errors.Is(err, ledger.ErrNotSent) || rep.Requests != 0 {
		t.Errorf("closed engine: %v after %d requests", err, rep.Requests)
	}
}

// FuzzReplay: no trace, however malformed, makes the replayer or the rules
// panic; an error names a line.
func FuzzReplay(f *testing.F) {
	for i, line := range bytes.SplitAfter(readCommitted(f), []byte("\n")) {
		if i%10 == 0 {
			f.Add(line)
		}
	}
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := ledgertest.Replay(t.Context(), rules.NewEngine(noClock), bytes.NewReader(text), 3)
		var at *ledgertest.LineError
		if err != nil && (!errors.As(err, &at) || at.Line < 1) {
			t.Errorf("no line in %v", err)
		}
	})
}
