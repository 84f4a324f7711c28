package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lib/pq"
	"github.com/prometheus/client_golang/prometheus"

	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/treasury"
)

const (
	// collectTimeout ends a scrape's questions to the database.
	collectTimeout = 5 * time.Second
	// collectFresh is how long answers are good for: scrapes within it ask the
	// database nothing, however many they are.
	collectFresh = 10 * time.Second
	// dueSoon is how far ahead escrowd_orders_due looks.
	dueSoon = 24 * time.Hour
)

var (
	descHeld = prometheus.NewDesc("escrowd_held_funds",
		"What is held in escrow, in minor units of the currency (cents, yen, fils), by the order's state. Past 2^53 a sample is rounded.",
		[]string{"marketplace", "currency", "state"}, nil)
	descHeldOrders = prometheus.NewDesc("escrowd_held_orders",
		"Orders whose money is held in escrow, by state.", []string{"marketplace", "currency", "state"}, nil)
	descOldest = prometheus.NewDesc("escrowd_oldest_hold_timestamp_seconds",
		"When the payment that is held for longest was made, Unix seconds in the marketplace's own time.", []string{"marketplace", "currency"}, nil)
	descDue = prometheus.NewDesc("escrowd_orders_due",
		"Orders whose deadline comes within 24 hours of the marketplace's own time.", []string{"marketplace", "deadline"}, nil)
	descOverdue = prometheus.NewDesc("escrowd_orders_overdue",
		"Orders whose deadline has passed and that are still as they were. rule_by waits for a person; each other for a job.",
		[]string{"marketplace", "deadline"}, nil)
	descEntries = prometheus.NewDesc("escrowd_entries_open",
		"Money that moves for no order and waits for something: payouts for the bank, receipts for their buyer, proposals for an approval.",
		[]string{"marketplace", "kind", "state"}, nil)
	descEntriesOverdue = prometheus.NewDesc("escrowd_entries_overdue",
		"Of escrowd_entries_open, those that should have been heard of by now.", []string{"marketplace", "kind", "state"}, nil)
	descSuccess = prometheus.NewDesc("escrowd_job_last_success_timestamp_seconds",
		"When the job last ran to its end without an error, Unix seconds; of any process as far as the database knows. Absent until it did.",
		[]string{"job_name"}, nil)
	descBalanced = prometheus.NewDesc("escrowd_books_balanced",
		"1 if the latest complete check found the order store and the ledger in agreement and debits equal to credits, 0 if not. Absent until the first check.", nil, nil)
	descChecked = prometheus.NewDesc("escrowd_books_checked_timestamp_seconds",
		"When the latest complete check of the books ended, Unix seconds. Absent until the first check.", nil, nil)
	descMirrored = prometheus.NewDesc("escrowd_mirror_ledger_timestamp_seconds",
		"The ledger's time of the newest transfer in the journal that mirrors it, Unix seconds; 0 for none. Absent where the journal is no mirror.", nil, nil)
	descLag = prometheus.NewDesc("escrowd_mirror_lag_seconds",
		"How long ago all that the ledger held was last known to be in the journal that mirrors it, in seconds. Absent where the journal is no mirror, and before it was complete for the first time.", nil, nil)
	descUp = prometheus.NewDesc("escrowd_order_metrics_up",
		"1 if the database answered for the metrics of orders and jobs, 0 if it did not: then they are absent.", nil, nil)
)

// collector reads the order store and job_runs when it is scraped. Any process
// on the database, leader or not, tells the same.
type collector struct {
	j *Jobs

	mu      sync.Mutex // one scrape asks, the others wait for its answer
	samples []prometheus.Metric
	read    time.Time // when samples were read; by the real clock
	failing bool
}

func newCollector(j *Jobs) *collector { return &collector{j: j} }

// Describe is part of prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descHeld, descHeldOrders, descOldest, descDue, descOverdue, descEntries, descEntriesOverdue, descSuccess, descBalanced, descChecked, descMirrored, descLag, descUp} {
		ch <- d
	}
}

// Collect is part of prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.fresh() {
		ch <- s
	}
}

func (c *collector) fresh() []prometheus.Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.read.IsZero() && time.Since(c.read) < collectFresh {
		return c.samples
	}
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	samples, err := c.collect(ctx)
	up := 1.0
	if err != nil {
		// Old numbers would look like new ones, so there are none; and the
		// failure is kept as long as an answer would be, or a database in
		// trouble got all scrapes on top of it.
		samples, up = nil, 0
		if !c.failing {
			c.j.log.Error("the database did not answer for the metrics", "error", err)
		}
	}
	c.failing = err != nil
	c.samples = append(samples, prometheus.MustNewConstMetric(descUp, prometheus.GaugeValue, up))
	c.read = time.Now()
	return c.samples
}

func (c *collector) collect(ctx context.Context) ([]prometheus.Metric, error) {
	var all []prometheus.Metric
	for _, f := range []func(context.Context) ([]prometheus.Metric, error){c.orders, c.entries, c.successes, c.books, c.mirror} {
		samples, err := f(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, samples...)
	}
	return all, nil
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// orders tells what open orders hold and what is due or overdue, zeros too, so
// that an alert sees the number fall and not the series vanish. It reads each
// open order once, and no other: however many were closed, a scrape costs the
// same.
func (c *collector) orders(ctx context.Context) ([]prometheus.Metric, error) {
	list, err := c.j.store.Marketplaces(ctx)
	if err != nil {
		return nil, fmt.Errorf("open orders: %w", err)
	}
	var ids pq.Int64Array
	var nows, untils pq.StringArray
	names := map[uint32]string{}
	machine := c.j.now()
	for _, m := range list {
		now, until := m.At(machine)
		ids, names[m.ID] = append(ids, int64(m.ID)), m.Name
		nows, untils = append(nows, now.Add(dueSoon).Format(time.RFC3339Nano)), append(untils, until.Format(time.RFC3339Nano))
	}
	tx, err := c.j.db.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("open orders: %w", err)
	}
	defer tx.Rollback() // nothing to commit
	// Where many are open Postgres would rather read the closed ones, too.
	if _, err := tx.ExecContext(ctx, `SET LOCAL enable_seqscan = off`); err != nil {
		return nil, fmt.Errorf("open orders: %w", err)
	}
	rows, err := tx.QueryContext(ctx, `SELECT o.marketplace, o.ledger, o.state, o.deadline,
			sum(o.held)::float8, count(*) FILTER (WHERE o.held > 0), min(o.paid_at) FILTER (WHERE o.held > 0),
			count(*) FILTER (WHERE o.deadline_at > m.until AND o.deadline_at <= m.soon), count(*) FILTER (WHERE o.deadline_at <= m.until)
		FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[]) AS m (id, soon, until)
		JOIN orders o ON o.marketplace = m.id AND o.open
		GROUP BY o.marketplace, o.ledger, o.state, o.deadline`, ids, nows, untils)
	if err != nil {
		return nil, fmt.Errorf("open orders: %w", err)
	}
	defer rows.Close()
	type series struct {
		marketplace uint32
		name        string // of a currency or a deadline
	}
	type counts struct{ due, overdue float64 }
	type stand struct {
		marketplace     uint32
		currency, state string
	}
	type money struct{ held, orders float64 }
	oldest, waiting, held := map[series]time.Time{}, map[series]counts{}, map[stand]money{}
	var out []prometheus.Metric
	for rows.Next() {
		var in, l uint32
		var state, deadline string
		var amount, orders, due, overdue float64
		var since sql.NullTime
		if err := rows.Scan(&in, &l, &state, &deadline, &amount, &orders, &since, &due, &overdue); err != nil {
			return nil, fmt.Errorf("open orders: %w", err)
		}
		d := series{in, deadline}
		waiting[d] = counts{waiting[d].due + due, waiting[d].overdue + overdue}
		if orders == 0 {
			continue
		}
		// The orders of a state may wait for different deadlines: some are in
		// parts, some in disputes of other policies.
		currency := currencyOf(l)
		s := stand{in, currency, state}
		held[s] = money{held[s].held + amount, held[s].orders + orders}
		k := series{in, currency}
		if t, ok := oldest[k]; !ok || since.Time.Before(t) {
			oldest[k] = since.Time
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("open orders: %w", err)
	}
	for s, m := range held {
		out = append(out, gauge(descHeld, m.held, names[s.marketplace], s.currency, s.state), gauge(descHeldOrders, m.orders, names[s.marketplace], s.currency, s.state))
	}
	for k, t := range oldest {
		out = append(out, gauge(descOldest, unixSeconds(t), names[k.marketplace], k.name))
	}
	for _, m := range list {
		for _, d := range order.Deadlines {
			n := waiting[series{m.ID, string(d)}]
			out = append(out, gauge(descDue, n.due, m.Name, string(d)), gauge(descOverdue, n.overdue, m.Name, string(d)))
		}
	}
	return out, nil
}

// entries tells what waits, by what the table of entries lets wait: zeros too.
func (c *collector) entries(ctx context.Context) ([]prometheus.Metric, error) {
	list, err := c.j.store.Marketplaces(ctx)
	if err != nil {
		return nil, fmt.Errorf("open entries: %w", err)
	}
	type place struct {
		kind  treasury.Kind
		state treasury.State
	}
	var out []prometheus.Metric
	machine := c.j.now()
	for _, m := range list {
		now, _ := m.At(machine)
		waiting, err := c.j.store.OpenEntries(ctx, m.ID, now)
		if err != nil {
			return nil, fmt.Errorf("open entries of marketplace %s: %w", m.Name, err)
		}
		seen := map[place]bool{}
		for _, r := range treasury.Rules {
			e := treasury.Entry{Terms: treasury.Terms{Kind: r.Kind}, Progress: treasury.Progress{State: r.To}}
			if p := (place{r.Kind, r.To}); e.Open() && !seen[p] {
				seen[p] = true
				n := waiting[orderdb.EntryPlace{Kind: p.kind, State: p.state}]
				out = append(out, gauge(descEntries, float64(n.Open), m.Name, string(p.kind), string(p.state)),
					gauge(descEntriesOverdue, float64(n.Overdue), m.Name, string(p.kind), string(p.state)))
			}
		}
	}
	return out, nil
}

func currencyOf(l uint32) string {
	if _, c, ok := chart.SplitLedger(l); ok {
		return c.Code
	}
	return fmt.Sprint(l)
}

// successes tells of the latest success, by this process's memory (idle runs
// leave no row) or by the rows of all processes.
func (c *collector) successes(ctx context.Context) ([]prometheus.Metric, error) {
	rows, err := c.j.db.QueryContext(ctx, `SELECT n.job, r.finished_at
		FROM unnest($1::text[]) AS n(job) CROSS JOIN LATERAL
			(SELECT finished_at FROM job_runs WHERE job = n.job AND NOT dry_run AND error IS NULL AND finished_at IS NOT NULL
				AND detail->>'marketplace' IS NULL
			 ORDER BY id DESC LIMIT 1) r`, pq.StringArray(c.j.names()))
	if err != nil {
		return nil, fmt.Errorf("job runs: %w", err)
	}
	defer rows.Close()
	known := map[string]time.Time{}
	for rows.Next() {
		var job string
		var at time.Time
		if err := rows.Scan(&job, &at); err != nil {
			return nil, fmt.Errorf("job runs: %w", err)
		}
		known[job] = at
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("job runs: %w", err)
	}
	var out []prometheus.Metric
	for _, name := range c.j.names() {
		at := known[name]
		if own := c.j.m.lastSuccess(name); own.After(at) {
			at = own
		}
		if !at.IsZero() {
			out = append(out, gauge(descSuccess, unixSeconds(at), name))
		}
	}
	return out, nil
}

// books tells the latest verdict: of a check that found differences, or came
// to its end without one.
func (c *collector) books(ctx context.Context) ([]prometheus.Metric, error) {
	var at time.Time
	var balanced bool
	err := c.j.db.QueryRowContext(ctx, `SELECT finished_at, failed = 0 FROM job_runs
		WHERE job = $1 AND finished_at IS NOT NULL AND (error IS NULL OR failed > 0) ORDER BY id DESC LIMIT 1`, CheckBooks).
		Scan(&at, &balanced)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("books: %w", err)
	}
	verdict := 0.0
	if balanced {
		verdict = 1
	}
	return []prometheus.Metric{gauge(descBalanced, verdict), gauge(descChecked, unixSeconds(at))}, nil
}

// mirror tells how far the journal of a mirror goes.
func (c *collector) mirror(ctx context.Context) ([]prometheus.Metric, error) {
	var mirrored bool
	var newest int64
	var complete sql.NullTime
	if err := c.j.db.QueryRowContext(ctx, `SELECT mirrored, newest_transfer, mirror_complete FROM ledger_state`).
		Scan(&mirrored, &newest, &complete); err != nil {
		return nil, fmt.Errorf("mirror: %w", err)
	}
	if !mirrored {
		return nil, nil
	}
	out := []prometheus.Metric{gauge(descMirrored, float64(newest)/1e9)}
	if complete.Valid {
		out = append(out, gauge(descLag, max(0, c.j.now().Sub(complete.Time).Seconds())))
	}
	return out, nil
}

var _ prometheus.Collector = (*collector)(nil)
