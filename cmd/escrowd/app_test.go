package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"escrowd/intake/api"
	"escrowd/intake/client"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/rules"
	"escrowd/settlement/orderdb"
)

// testApp is an App on a schema of its own, closed when the test ends.
func testApp(t *testing.T, dsn string) *App {
	t.Helper()
	g := &Globals{Log: slog.New(slog.DiscardHandler), Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard}
	a, err := OpenApp(t.Context(), g, AppOptions{Store: StoreFlags{DatabaseURL: dsn}, Addr: "127.0.0.1:0", MetricsAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// marketClient makes a marketplace with a test clock and a client for it.
func marketClient(t *testing.T, a *App) *client.Client {
	t.Helper()
	m, err := a.Orders.CreateMarketplace(t.Context(), "acme", orderdb.TestClock, time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := a.Orders.CreateKey(t.Context(), m.ID, "test")
	if err != nil {
		t.Fatal(err)
	}
	return client.New(a.URL, key, client.Options{Retries: -1})
}

// held books one paid order.
func held(t *testing.T, c *client.Client, reference string) api.Order {
	t.Helper()
	o, err := c.CreateOrder(t.Context(), api.NewOrder{Reference: reference, Buyer: "b", Seller: "s", Currency: "EUR", Amount: 500})
	if err != nil {
		t.Fatal(err)
	}
	paid, err := c.Pay(t.Context(), api.Payment{Orders: []string{o.ID}, Method: "card"})
	if err != nil {
		t.Fatal(err)
	}
	return paid.Orders[0]
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("GET %s: %d %s %v", url, res.StatusCode, b, err)
	}
	return string(b)
}

// TestTwoApps: two in one process, apart from each other, with the jobs'
// deadlines behind the API's clock and all parts in the metrics.
func TestTwoApps(t *testing.T) {
	dsn := pgtest.DSN(t)
	a := testApp(t, dsn)
	c := marketClient(t, a)
	o := held(t, c, "one")
	moved, err := c.SetClock(t.Context(), time.Date(2018, 1, 1, 0, 0, 0, 0, time.UTC), false)
	if err != nil || moved.Fired != 1 {
		t.Errorf("the ship_by deadline fired %d events (%v), want 1", moved.Fired, err)
	}
	if d, err := c.Order(t.Context(), o.ID); err != nil || d.State != "canceled" || d.Refunded != 500 {
		t.Errorf("%+v %v", d, err)
	}
	t.Run("other", func(t *testing.T) {
		b := testApp(t, pgtest.DSN(t))
		other := marketClient(t, b)
		if list, err := other.Orders(t.Context(), client.OrderFilter{}); err != nil || len(list.Orders) != 0 {
			t.Errorf("another app shows %+v (%v)", list, err)
		}
		if err := other.Ready(t.Context()); err != nil {
			t.Error(err)
		}
	})
	text := fetch(t, a.MetricsURL+"/metrics")
	for _, name := range []string{"escrowd_http_requests_total", "escrowd_posting_requests_total", "go_goroutines", "go_sql_open_connections"} {
		if !strings.Contains(text, name) {
			t.Errorf("the metrics lack %s", name)
		}
	}
}

// TestSameBooks: orders whose money is in another ledger are not served.
func TestSameBooks(t *testing.T) {
	dsn := pgtest.DSN(t)
	a := testApp(t, dsn)
	if err := sameBooks(t.Context(), a.Store, rules.NewEngine(func() uint64 { return 1 })); err != nil {
		t.Errorf("without orders every ledger will do: %v", err)
	}
	c := marketClient(t, a)
	held(t, c, "one")
	if err := sameBooks(t.Context(), a.Store, a.Engine); err != nil {
		t.Error(err)
	}
	// The second order of a payment has no receipt of its own among its transfers.
	var ids []string
	for _, reference := range []string{"two", "three"} {
		o, err := c.CreateOrder(t.Context(), api.NewOrder{Reference: reference, Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 1000})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, o.ID)
	}
	if _, err := c.Pay(t.Context(), api.Payment{Orders: ids, Method: "card"}); err != nil {
		t.Fatal(err)
	}
	if err := sameBooks(t.Context(), a.Store, a.Engine); err != nil {
		t.Errorf("after a payment of two orders: %v", err)
	}
	err := sameBooks(t.Context(), a.Store, rules.NewEngine(func() uint64 { return 1 }))
	if err == nil || !strings.Contains(err.Error(), "another ledger") {
		t.Errorf("empty books were taken: %v", err)
	}
}

// TestServe runs the command until it is told to stop, over a start that
// finds its port taken.
func TestServe(t *testing.T) {
	dsn := pgtest.DSN(t)
	t.Setenv("ESCROWD_DATABASE_URL", dsn)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	escrowdIn(t, t.Context(), "serve", "--addr", taken.Addr().String()).check(t, exitEnvironment, "", "address already in use")
	escrowdIn(t, t.Context(), "serve", "--addr", "").check(t, exitUsage, "", "--addr")
	escrowdIn(t, t.Context(), "serve", "--addr", "127.0.0.1:0", "--metrics-addr", "", "--engine", "tigerbeetle").
		check(t, exitUsage, "", "--tigerbeetle-addresses")

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	log, logged := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"serve", "--addr", "127.0.0.1:0", "--metrics-addr", "127.0.0.1:0"}, strings.NewReader(""), io.Discard, logged)
		logged.Close()
	}()
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		b := make([]byte, 64<<10)
		for {
			n, err := log.Read(b)
			if err != nil {
				return
			}
			lines <- string(b[:n])
		}
	}()
	for line := range lines {
		if _, rest, ok := strings.Cut(line, "msg=serving api="); ok {
			url, _, _ := strings.Cut(rest, " ")
			if text := fetch(t, url+"/readyz"); !strings.Contains(text, "ok") {
				t.Errorf("not ready: %s", text)
			}
			stop()
		}
	}
	if c := <-code; c != exitOK {
		t.Errorf("exit %d after an orderly stop", c)
	}
}

// TestMarketplaceCommands: what is made on the command line is what the API
// knows.
func TestMarketplaceCommands(t *testing.T) {
	t.Setenv("ESCROWD_DATABASE_URL", pgtest.DSN(t))
	run := func(code int, inStdout, inStderr string, args ...string) string {
		t.Helper()
		r := escrowdIn(t, t.Context(), args...)
		r.check(t, code, inStdout, inStderr)
		return r.stdout
	}
	run(exitOK, "marketplace 1: acme\n", "", "marketplace", "create", "acme", "--test-clock", "2017-01-01T00:00:00Z")
	run(exitOK, "marketplace 2: live\n", "", "marketplace", "create", "live")
	run(exitUsage, "", "exists", "marketplace", "create", "acme")
	run(exitOK, "acme  test   2017-01-01T00:00:00Z", "", "marketplace", "list")

	key := strings.TrimSpace(run(exitOK, "esk_", "only time", "key", "create", "acme", "web"))
	a := testApp(t, os.Getenv("ESCROWD_DATABASE_URL"))
	c := client.New(a.URL, key, client.Options{Retries: -1})
	if who, err := c.Whoami(t.Context()); err != nil || who.Name != "acme" {
		t.Errorf("the new key: %+v %v", who, err)
	}
	list := run(exitOK, "web", "", "key", "list", "1")
	if strings.Contains(list, key) {
		t.Error("a secret was listed")
	}
	run(exitOK, "revoked", "", "key", "revoke", "acme", "1")
	run(exitUsage, "", "no key 77", "key", "revoke", "acme", "77")
	run(exitUsage, "", `no marketplace "nobody"`, "key", "list", "nobody")
	fresh := client.New(testApp(t, os.Getenv("ESCROWD_DATABASE_URL")).URL, key, client.Options{Retries: -1})
	if _, err := fresh.Whoami(t.Context()); err == nil || !strings.Contains(err.Error(), api.ProblemUnauthorized) {
		t.Errorf("a revoked key: %v", err)
	}

	run(exitOK, "now        2017-02-01T00:00:00Z\ndeadlines  2017-01-01T00:00:00Z", "", "clock", "set", "acme", "2017-02-01T00:00:00Z", "--hold-deadlines")
	run(exitOK, "now        2017-02-02T12:00:00Z\ndeadlines  2017-02-02T12:00:00Z", "", "clock", "advance", "acme", "36h")
	run(exitOK, "now        2017-02-02T12:00:00Z", "", "clock", "show", "acme")
	run(exitUsage, "", "live clock", "clock", "advance", "live", "1h")
	run(exitUsage, "", "", "clock", "set", "acme", "yesterday")

	file := filepath.Join(t.TempDir(), "policy.json")
	text := run(exitOK, `"version": 1`, "", "policy", "list", "acme", "standard")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(text)
	run(exitOK, "policy standard version 1", "", "policy", "add", "acme", file)
	write(strings.Replace(text, `"bps": 500`, `"bps": 250`, 1))
	run(exitOK, "policy standard version 2", "", "policy", "add", "acme", file)
	write(strings.Replace(text, `"bps": 500`, `"Bps": 250`, 1))
	run(exitUsage, "", "fees[*].Bps: unknown field: did you mean bps?", "policy", "add", "acme", file)
	write(strings.Replace(text, `"*"`, `"XYZ"`, 1))
	run(exitUsage, "", "not an ISO 4217 currency", "policy", "add", "acme", file)
	run(exitUsage, "", "nowhere.json", "policy", "add", "acme", "nowhere.json")
	run(exitUsage, "", "no policy", "policy", "list", "acme", "other")

	var out bytes.Buffer
	if code := runWithStdin(t, text, &out, "policy", "add", "live", "-"); code != exitOK || !strings.Contains(out.String(), "version 1 of marketplace live") {
		t.Errorf("from stdin: exit %d, %s", code, &out)
	}
}

func runWithStdin(t *testing.T, stdin string, out io.Writer, args ...string) int {
	t.Helper()
	return run(t.Context(), args, strings.NewReader(stdin), out, io.Discard)
}

// TestCloseUnderLoad closes an app with requests in flight: whatever was
// acknowledged is there afterwards, nothing is half done, and the callers who
// send again to the next app get what they asked for, once.
func TestCloseUnderLoad(t *testing.T) {
	dsn := pgtest.DSN(t)
	a := testApp(t, dsn)
	m, err := a.Orders.CreateMarketplace(t.Context(), "acme", orderdb.LiveClock, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := a.Orders.CreateKey(t.Context(), m.ID, "test")
	if err != nil {
		t.Fatal(err)
	}
	const callers, each = 8, 500
	var acknowledged sync.Map // reference -> id
	enough, count := make(chan struct{}), atomic.Int32{}
	var wg sync.WaitGroup
	send := func(c *client.Client, ref string) bool {
		o, err := c.CreateOrder(t.Context(), api.NewOrder{Reference: ref, Buyer: "b", Seller: "s", Currency: "EUR", Amount: 1}, client.Key(ref))
		if err == nil {
			if id, there := acknowledged.LoadOrStore(ref, o.ID); there && id != o.ID {
				t.Errorf("%s is %s and %s", ref, id, o.ID)
			}
			if count.Add(1) == 100 {
				close(enough)
			}
		}
		return err == nil
	}
	for i := range callers {
		c := client.New(a.URL, key, client.Options{Retries: -1})
		wg.Go(func() {
			for j := range each {
				if !send(c, fmt.Sprint(i, "-", j)) {
					return // the app is closing
				}
			}
		})
	}
	<-enough
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	b := testApp(t, dsn)
	var open int
	if err := b.Store.DB.Get(&open, `SELECT (SELECT count(*) FROM open_batches) + count(*) FROM intents i LEFT JOIN outcomes o ON o.intent = i.id WHERE o.intent IS NULL`); err != nil || open != 0 {
		t.Errorf("%d intents are open after an orderly stop (%v)", open, err)
	}
	c := client.New(b.URL, key, client.Options{Retries: -1})
	for i := range callers {
		for j := range 50 {
			if ref := fmt.Sprint(i, "-", j); !send(c, ref) {
				t.Errorf("%s was not taken again", ref)
			}
		}
	}
	acknowledged.Range(func(ref, id any) bool {
		if o, err := b.Orders.OrderByReference(t.Context(), m.ID, ref.(string)); err != nil || o.ID.UUID() != id {
			t.Errorf("%s: %v %v, want %s", ref, o.ID.UUID(), err, id)
		}
		return true
	})
}
