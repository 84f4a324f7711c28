package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"escrowd/settlement/jobs/books"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
)

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	// One order of each kind: two due within a day of the clock, one overdue.
	w.orders(1)
	_, err := w.store.AdvanceClock(w.ctx, w.market.ID, start.Add(6*day), start.Add(5*day))
	w.must(err)
	_, err = w.store.CreateMarketplace(w.ctx, "empty", orderdb.LiveClock, time.Time{})
	w.must(err)
	reg := prometheus.NewPedanticRegistry()
	now := late
	j := w.jobs(w.poster, func(o *Options) { o.Registerer, o.Clock = reg, func() time.Time { return now } })
	fresh := func() {
		t.Helper()
		// A scrape by another process, so to say: nothing is cached.
		reg = prometheus.NewPedanticRegistry()
		c := newCollector(j)
		reg.MustRegister(c)
	}

	if n, err := testutil.GatherAndCount(reg, "escrowd_books_balanced"); n != 0 || err != nil {
		t.Errorf("before the first check there are %d samples of escrowd_books_balanced (%v), want none", n, err)
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	want := `
# HELP escrowd_held_funds What is held in escrow, in minor units of the currency (cents, yen, fils), by the order's state. Past 2^53 a sample is rounded.
# TYPE escrowd_held_funds gauge
escrowd_held_funds{currency="USD",marketplace="shop",state="delivered"} 10001
escrowd_held_funds{currency="USD",marketplace="shop",state="disputed"} 10001
escrowd_held_funds{currency="USD",marketplace="shop",state="held"} 10001
escrowd_held_funds{currency="USD",marketplace="shop",state="shipped"} 10001
# HELP escrowd_held_orders Orders whose money is held in escrow, by state.
# TYPE escrowd_held_orders gauge
escrowd_held_orders{currency="USD",marketplace="shop",state="delivered"} 1
escrowd_held_orders{currency="USD",marketplace="shop",state="disputed"} 1
escrowd_held_orders{currency="USD",marketplace="shop",state="held"} 1
escrowd_held_orders{currency="USD",marketplace="shop",state="shipped"} 1
# HELP escrowd_oldest_hold_timestamp_seconds When the payment that is held for longest was made, Unix seconds in the marketplace's own time.
# TYPE escrowd_oldest_hold_timestamp_seconds gauge
escrowd_oldest_hold_timestamp_seconds{currency="USD",marketplace="shop"} ` + fmt.Sprint(start.Unix()) + `
# HELP escrowd_orders_due Orders whose deadline comes within 24 hours of the marketplace's own time.
# TYPE escrowd_orders_due gauge
` + deadlineSeries("escrowd_orders_due", map[order.Deadline]int{order.ConfirmBy: 1}) + `# HELP escrowd_orders_overdue Orders whose deadline has passed and that are still as they were. rule_by and decision_by wait for a person; each other for a job.
# TYPE escrowd_orders_overdue gauge
` + deadlineSeries("escrowd_orders_overdue", map[order.Deadline]int{order.PayBy: 1}) + `# HELP escrowd_order_metrics_up 1 if the database answered for the metrics of orders and jobs, 0 if it did not: then they are absent.
# TYPE escrowd_order_metrics_up gauge
escrowd_order_metrics_up 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "escrowd_held_funds", "escrowd_held_orders",
		"escrowd_oldest_hold_timestamp_seconds", "escrowd_orders_due", "escrowd_orders_overdue", "escrowd_order_metrics_up"); err != nil {
		t.Error(err)
	}

	_, err = w.run(j, CheckBooks, Run{})
	w.must(err)
	_, err = w.run(j, ExpireUnpaid, Run{})
	w.must(err)
	if err := testutil.CollectAndCompare(j.m.items.WithLabelValues(ExpireUnpaid, "done"), strings.NewReader(`
# HELP escrowd_job_items_total What the runs of a job moved (done) and could not move (failed): orders or intents; for check-books, what was compared and what differs; for mirror, transfers copied and copies that are wrong; for close-pages, transfers added up.
# TYPE escrowd_job_items_total counter
escrowd_job_items_total{job_name="expire-unpaid",outcome="done"} 1
`)); err != nil {
		t.Error(err)
	}
	// Scrapes within a few seconds ask the database nothing.
	if n, _ := testutil.GatherAndCount(reg, "escrowd_books_balanced"); n != 0 {
		t.Error("a second scrape asked the database again")
	}
	fresh()
	verdict := func(balanced int) string {
		return fmt.Sprintf(`
# HELP escrowd_books_balanced 1 if the latest complete check found the order store and the ledger in agreement and debits equal to credits, 0 if not. Absent until the first check.
# TYPE escrowd_books_balanced gauge
escrowd_books_balanced %d
# HELP escrowd_books_checked_timestamp_seconds When the latest complete check of the books ended, Unix seconds. Absent until the first check.
# TYPE escrowd_books_checked_timestamp_seconds gauge
escrowd_books_checked_timestamp_seconds %d
# HELP escrowd_job_last_success_timestamp_seconds When the job last ran to its end without an error, Unix seconds; of any process as far as the database knows. Absent until it did.
# TYPE escrowd_job_last_success_timestamp_seconds gauge
escrowd_job_last_success_timestamp_seconds{job_name="check-books"} %d
escrowd_job_last_success_timestamp_seconds{job_name="expire-unpaid"} %d
`, balanced, now.Unix(), late.Unix(), late.Unix())
	}
	names := []string{"escrowd_books_balanced", "escrowd_books_checked_timestamp_seconds", "escrowd_job_last_success_timestamp_seconds"}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(verdict(1)), names...); err != nil {
		t.Error(err)
	}

	// A difference, and it is gone from the metric only when a check says so.
	now = late.Add(time.Hour)
	w.must(plant(w, -1))
	var unbalanced *books.Unbalanced
	if _, err := w.run(j, CheckBooks, Run{}); !errors.As(err, &unbalanced) {
		t.Errorf("check-books: %v, want that the books do not balance", err)
	}
	fresh()
	if err := testutil.GatherAndCompare(reg, strings.NewReader(verdict(0)), names...); err != nil {
		t.Error(err)
	}
	if n := w.rows(`job = $1 AND failed = 2 AND error LIKE '%do not balance%' AND detail->'books'->>'balanced' = 'false'`, CheckBooks); n != 1 {
		t.Errorf("%d rows tell of the difference", n)
	}
}

// plant changes what an order's row says is held, behind everybody's back.
func plant(w *world, by int) error {
	_, err := w.db.ExecContext(w.ctx, `UPDATE orders SET held = held + $1, refunded = refunded - $1 WHERE state = 'held'`, by)
	return err
}

// Without a database there are no numbers, rather than old ones; and the
// scrape says so.
func TestMetricsWithoutADatabase(t *testing.T) {
	w := newWorld(t)
	w.orders(1)
	reg := prometheus.NewPedanticRegistry()
	j := w.jobs(w.poster, func(o *Options) { o.Registerer = reg })
	ctx, cancel := context.WithTimeout(w.ctx, 30*time.Second)
	defer cancel()
	if err := w.poster.Close(ctx); err != nil {
		t.Fatal(err)
	}
	w.must(w.db.Close())
	if n, err := testutil.GatherAndCount(reg, "escrowd_held_funds", "escrowd_orders_due"); n != 0 || err != nil {
		t.Errorf("%d samples, %v; want none", n, err)
	}
	if err := testutil.CollectAndCompare(newCollector(j), strings.NewReader(`
# HELP escrowd_order_metrics_up 1 if the database answered for the metrics of orders and jobs, 0 if it did not: then they are absent.
# TYPE escrowd_order_metrics_up gauge
escrowd_order_metrics_up 0
`)); err != nil {
		t.Error(err)
	}
}

// deadlineSeries is a metric by deadline of the marketplaces empty and shop,
// of which the latter has these.
func deadlineSeries(metric string, shop map[order.Deadline]int) string {
	var b strings.Builder
	for _, d := range slices.Sorted(slices.Values(order.Deadlines)) {
		fmt.Fprintf(&b, "%[1]s{deadline=\"%[2]s\",marketplace=\"empty\"} 0\n%[1]s{deadline=\"%[2]s\",marketplace=\"shop\"} %[3]d\n", metric, d, shop[d])
	}
	return b.String()
}
