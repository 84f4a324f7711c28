package ledgertest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"escrowd/ledger"
)

// Replayable is an engine whose clock a replay can set.
type Replayable interface {
	ledger.Engine

	// SetClock makes the clock stand still at ns (nanoseconds since 1970
	// UTC) until it is set again. The next batch of n events is stamped with
	// exactly ns if its first event, at ns-n+1, is later than everything
	// before it; and every request, readers included, is answered as if the
	// pending transfers whose time was up at ns had expired.
	SetClock(ns uint64)
}

// Report is the outcome of a replay.
type Report struct {
	Requests   int        // compared
	Events     int        // events and rows compared in them
	Mismatches int        // events and rows that differ
	First      []Mismatch // the first of them
}

// Mismatch is one event or row that an engine answered differently.
type Mismatch struct {
	Line  int    // of the trace, from 1
	Op    string // the request, such as create_transfers
	Index int    // of the event or row in it, from 0
	Want  string // as recorded
	Got   string // as answered
}

func (m Mismatch) String() string {
	return fmt.Sprintf("line %d: %s [%d]: want %s, got %s", m.Line, m.Op, m.Index, m.Want, m.Got)
}

// LineError says which line of a trace could not be read or replayed.
type LineError struct {
	Line int // from 1
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

func (e *LineError) Unwrap() error { return e.Err }

// lineMax bounds a line: the longest request and answer that fit a message,
// as JSON, are about 7 MB.
const lineMax = 64 << 20

// Replay sends the requests of a trace to eng and compares the answers. r is
// JSON lines, plain or gzipped. It keeps the first keep mismatches in full. An
// error, other than ctx's always a *LineError, means that the replay ended
// early: the trace is malformed, or the engine gave no answer. The report then
// covers the lines before.
func Replay(ctx context.Context, eng Replayable, r io.Reader, keep int) (Report, error) {
	var rep Report
	in := bufio.NewReaderSize(r, 1<<16)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unzipped, err := gzip.NewReader(in)
		if err != nil {
			return rep, &LineError{Line: 1, Err: fmt.Errorf("gzip: %w", err)}
		}
		in = bufio.NewReaderSize(unzipped, 1<<16)
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 1<<20), lineMax)
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return rep, err
		}
		if !lines.Scan() {
			if err := lines.Err(); err != nil {
				return rep, &LineError{Line: n, Err: err}
			}
			return rep, nil
		}
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		l, err := parseLine(lines.Bytes())
		if err != nil {
			return rep, &LineError{Line: n, Err: err}
		}
		c := comparison{line: n, op: l.Op, keep: keep, report: &rep}
		if err := l.replay(ctx, eng, &c); err != nil {
			return rep, &LineError{Line: n, Err: fmt.Errorf("%s: %w", l.Op, err)}
		}
		rep.Requests++
	}
}

// comparison puts what differs into the report.
type comparison struct {
	line   int
	op     string
	keep   int
	report *Report
}

// compare compares two lists row by row; a row that only one of them has
// differs.
func compare[T comparable](c *comparison, want, got []T, show func(T) string) {
	for i := range max(len(want), len(got)) {
		c.report.Events++
		if i < len(want) && i < len(got) && want[i] == got[i] {
			continue
		}
		c.report.Mismatches++
		if len(c.report.First) >= c.keep {
			continue
		}
		m := Mismatch{Line: c.line, Op: c.op, Index: i, Want: "nothing", Got: "nothing"}
		if i < len(want) {
			m.Want = show(want[i])
		}
		if i < len(got) {
			m.Got = show(got[i])
		}
		c.report.First = append(c.report.First, m)
	}
}

// replay sends one request, at its recorded time.
func (l *line) replay(ctx context.Context, eng Replayable, c *comparison) error {
	clock := l.Timestamp
	if clock == 0 {
		clock = l.Sent
	}
	eng.SetClock(clock)
	switch l.Op {
	case "create_accounts":
		got, err := eng.CreateAccounts(ctx, each(l.Accounts, account.ledger))
		if err != nil {
			return err
		}
		compare(c, each(l.Results, result.account), got, func(r ledger.AccountResult) string {
			return fmt.Sprintf("%v at %d", r.Status, r.Timestamp)
		})
	case "create_transfers":
		got, err := eng.CreateTransfers(ctx, each(l.Transfers, transfer.ledger))
		if err != nil {
			return err
		}
		compare(c, each(l.Results, result.transfer), got, func(r ledger.TransferResult) string {
			return fmt.Sprintf("%v at %d", r.Status, r.Timestamp)
		})
	case "lookup_accounts":
		got, err := eng.LookupAccounts(ctx, l.IDs)
		if err != nil {
			return err
		}
		compare(c, each(l.FoundAccounts, account.ledger), got, showAccount)
	case "lookup_transfers":
		got, err := eng.LookupTransfers(ctx, l.IDs)
		if err != nil {
			return err
		}
		compare(c, each(l.FoundTransfers, transfer.ledger), got, showTransfer)
	case "get_account_transfers":
		got, err := eng.GetAccountTransfers(ctx, l.Filter.account())
		if err != nil {
			return err
		}
		compare(c, each(l.FoundTransfers, transfer.ledger), got, showTransfer)
	case "get_account_balances":
		got, err := eng.GetAccountBalances(ctx, l.Filter.account())
		if err != nil {
			return err
		}
		compare(c, each(l.FoundBalances, balance.ledger), got, showBalance)
	case "query_accounts":
		got, err := eng.QueryAccounts(ctx, l.Filter.query())
		if err != nil {
			return err
		}
		compare(c, each(l.FoundAccounts, account.ledger), got, showAccount)
	case "query_transfers":
		got, err := eng.QueryTransfers(ctx, l.Filter.query())
		if err != nil {
			return err
		}
		compare(c, each(l.FoundTransfers, transfer.ledger), got, showTransfer)
	}
	return nil
}

// parseLine reads one request with its answer. Every field must be known and
// every number in range: a field that was skipped is a rule that goes
// unchecked.
func parseLine(text []byte) (*line, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	l := new(line)
	if err := d.Decode(l); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more than one JSON value")
	}
	if l.Sent == 0 {
		return nil, errors.New(`no "sent"`)
	}
	events, results := -1, len(l.Results)
	switch l.Op {
	case "create_accounts":
		events = len(l.Accounts)
	case "create_transfers":
		events = len(l.Transfers)
	case "lookup_accounts", "lookup_transfers":
	case "get_account_transfers", "get_account_balances", "query_accounts", "query_transfers":
		if l.Filter == nil {
			return nil, errors.New(`no "filter"`)
		}
	default:
		return nil, fmt.Errorf("unknown op %q", l.Op)
	}
	if events >= 0 && events != results {
		return nil, fmt.Errorf("%d events but %d results", events, results)
	}
	return l, nil
}
