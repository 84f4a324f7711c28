package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"escrowd/cmd/escrowd/demo"
	"escrowd/cmd/escrowd/replay/replaytest"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
)

// signalWriter tells when something was written that contains a word.
type signalWriter struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	word string
	seen chan struct{}
}

func (w *signalWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := strings.Contains(w.buf.String(), w.word)
	n, err := w.buf.Write(p)
	if !before && strings.Contains(w.buf.String(), w.word) {
		close(w.seen)
	}
	return n, err
}

func (w *signalWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

// runDemo runs the demo until it serves, does something, and presses ^C.
func runDemo(t *testing.T, dsn string, while func(stdout string)) result {
	t.Helper()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out, errs := &signalWriter{word: "Serving until ^C", seen: make(chan struct{})}, &signalWriter{word: "\x00", seen: make(chan struct{})}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"demo", "--database-url", dsn, "--addr", "127.0.0.1:0", "--metrics-addr", "127.0.0.1:0"},
			strings.NewReader(""), out, errs)
	}()
	select {
	case <-out.seen:
		while(out.String())
	case code := <-ended:
		return result{code, out.String(), errs.String()}
	}
	interrupt()
	return result{<-ended, out.String(), errs.String()}
}

var (
	curlLine    = regexp.MustCompile(`curl -s -H 'Authorization: (Bearer \S+)' (\S+)`)
	metricsLine = regexp.MustCompile(`metrics +(\S+)`)
)

// TestDemo: the demo is what it promises: every state has orders, the curl
// line and the metrics work while it serves, and a second run adds nothing.
func TestDemo(t *testing.T) {
	dsn := pgtest.DSN(t)
	db := pgtest.Open(t)
	var curl []string
	r := runDemo(t, dsn, func(stdout string) {
		if curl = curlLine.FindStringSubmatch(stdout); curl == nil {
			t.Errorf("no curl line in %s", stdout)
			return
		}
		if status, body := ask(t, curl[2], curl[1]); status != http.StatusOK || !strings.Contains(body, "frozen") {
			t.Errorf("%s: %d %s", curl[0], status, body)
		}
		if m := metricsLine.FindStringSubmatch(stdout); m == nil {
			t.Errorf("no metrics in %s", stdout)
		} else if status, body := ask(t, m[1], ""); status != http.StatusOK || !strings.Contains(body, "escrowd_held_funds") {
			t.Errorf("%s: %d without held funds", m[1], status)
		}
	})
	r.check(t, exitOK, "Trial balance: marketplace 1 demo", "playing the demo: up to 2026-04-01")
	r.check(t, exitOK, "Held funds by age: marketplace 1 demo", "")

	states := map[order.State]int{}
	rows, err := db.Query(`SELECT state, count(*) FROM orders GROUP BY state`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s order.State
		var n int
		if err := rows.Scan(&s, &n); err != nil {
			t.Fatal(err)
		}
		states[s] = n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for _, s := range order.States {
		if states[s] == 0 {
			t.Errorf("no order is %s: %v", s, states)
		}
	}

	// A price that changed and a time to inspect that was agreed are the order's,
	// and the deadlines keep to them.
	changed, inspected := 0, 0
	for _, s := range demo.Stories(3000) { // as many as escrowd demo makes
		if s.ConfirmWithin == 0 && s.Price() == s.Amount || s.Ends.After(demo.End) {
			continue
		}
		o, err := orderdb.New(db).OrderByReference(t.Context(), 1, s.Reference)
		if err != nil {
			t.Fatal(err)
		}
		if o.Amount != s.Amount || o.Price() != s.Price() || o.ConfirmWithin != order.Seconds(s.ConfirmWithin/time.Second) || o.State != s.Final || !o.At.Equal(s.Ends) {
			t.Errorf("%s: %d at first, now %d, %s to confirm, %s at %s; want %+v", s.Reference, o.Amount, o.Price(), o.ConfirmWithin, o.State, o.At, s)
		}
		switch {
		case s.ConfirmWithin > 0:
			inspected++
		case s.Final == order.Closed:
			changed++
			if o.Released != s.Price() {
				t.Errorf("%s: %d is released, want the price, %d", s.Reference, o.Released, s.Price())
			}
		}
	}
	if changed == 0 || inspected == 0 {
		t.Errorf("%d orders paid by a new price, %d with an agreed time to inspect", changed, inspected)
	}

	entries := map[string]int{}
	var places []struct {
		Place string
		N     int
	}
	if err := db.Select(&places, `SELECT kind || ' ' || state AS place, count(*) AS n FROM entries GROUP BY 1`); err != nil {
		t.Fatal(err)
	}
	for _, p := range places {
		entries[p.Place] = p.N
	}
	for _, place := range []string{"payout sent", "payout accepted", "payout paid", "payout failed", "payout returned", "receipt unidentified", "receipt done",
		"repayment due", "psp_settlement done", "fee_sweep done", "adjustment proposed", "bank_details proposed", "bank_details done"} {
		if entries[place] == 0 {
			t.Errorf("no %s: %v", place, entries)
		}
	}

	before := replaytest.Fingerprint(t, db)
	again := runDemo(t, dsn, func(stdout string) {
		if strings.Contains(stdout, curl[1]) {
			t.Error("the second run has the first one's key")
		}
	})
	again.check(t, exitOK, "Held funds by age", "has the demo's orders already; nothing is added")
	if after := replaytest.Fingerprint(t, db); after != before {
		t.Errorf("a second demo changed the database:\n%s\n%s", before, after)
	}
	escrowd(t, "job", "run", "check-books", "--database-url", dsn).check(t, exitOK, "", "")
	keys, err := orderdb.New(db).Keys(t.Context(), 1)
	if err != nil || len(keys) != 2 || keys[0].RevokedAt == nil || keys[1].RevokedAt == nil {
		t.Errorf("keys %+v, %v", keys, err)
	}
}

func ask(t *testing.T, url, authorization string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", authorization)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestDemoRefuses(t *testing.T) {
	escrowd(t, "demo", "--orders=0").check(t, exitUsage, "", "--orders must be from 1 to 1000000")
	escrowd(t, "demo", "--addr=").check(t, exitUsage, "", "--addr must not be empty")
}
