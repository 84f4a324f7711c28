package reports_test

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/reports"
)

var benchOrders = flag.Int("bench-orders", 20_000, "orders in the generated history, five transfers each")

// generate writes a history of n orders straight into the tables, 2 minutes
// apart from 2024 on: paid after an hour, shipped after a day, released after
// ten and matured after twelve; every fiftieth is still waiting for shipment.
// A thousandth of the statements that the write path would need, and the
// reports' own checks say whether it is a sound history.
func generate(b *testing.B, db *sqlx.DB, n int) {
	b.Helper()
	const setup = `
	CREATE TEMPORARY TABLE h AS
	SELECT g, ('018cc251-0000-7000-8000-' || lpad(to_hex(g), 12, '0'))::uuid AS id,
	       ('018cc252-0000-7000-8000-' || lpad(to_hex(g % ($1 / 2 + 1)), 12, '0'))::uuid AS buyer,
	       ('018cc253-0000-7000-8000-' || lpad(to_hex(g % ($1 / 100 + 1)), 12, '0'))::uuid AS pending,
	       ('018cc254-0000-7000-8000-' || lpad(to_hex(g % ($1 / 100 + 1)), 12, '0'))::uuid AS available,
	       '018cc255-0000-7000-8000-000000000001'::uuid AS clearing, '018cc255-0000-7000-8000-000000000002'::uuid AS fee,
	       timestamptz '2024-01-01Z' + g * interval '2 minutes' AS agreed, g % 50 = 0 AS waiting
	FROM generate_series(1, $1) g`
	statements := []string{
		`INSERT INTO marketplaces (name, clock, clock_now, clock_deadlines) VALUES ('bench', 'test', '2050-01-01Z', '2050-01-01Z')`,
		`INSERT INTO ledger_transfers
		 SELECT ('018cc256-0000-7000-8000-' || lpad(to_hex(g * 8 + leg), 12, '0'))::uuid, debit, credit, '00000000-0000-0000-0000-000000000000', id,
		        (extract(epoch FROM agreed + after) * 1000000)::bigint, (extract(epoch FROM agreed + after) * 1000000000)::bigint + g % 1000 * 10 + leg,
		        0, 0, 1840, code, CASE WHEN leg IN (1, 3) THEN 1 ELSE 0 END, amount
		 FROM h CROSS JOIN LATERAL (VALUES
		     (1, clearing, buyer, 101, 10000, interval '1 hour', true), (2, buyer, id, 201, 10000, '1 hour', true),
		     (3, id, pending, 202, 9500, '10 days', NOT waiting), (4, id, fee, 203, 500, '10 days', NOT waiting),
		     (5, pending, available, 205, 9500, '12 days', NOT waiting)) l (leg, debit, credit, code, amount, after, done)
		 WHERE done ORDER BY agreed + after`,
		`INSERT INTO ledger_accounts
		 SELECT id, '00000000-0000-0000-0000-000000000000', 0, row_number() OVER (), 0, 1840, min(code), 0, 0, sum(debit), 0, sum(credit)
		 FROM (SELECT debit_account_id AS id, amount AS debit, 0 AS credit,
		              CASE code WHEN 101 THEN 1100 WHEN 201 THEN 2000 WHEN 205 THEN 2200 ELSE 2100 END AS code FROM ledger_transfers
		       UNION ALL
		       SELECT credit_account_id, 0, amount,
		              CASE code WHEN 101 THEN 2000 WHEN 201 THEN 2100 WHEN 202 THEN 2200 WHEN 203 THEN 4100 ELSE 2210 END FROM ledger_transfers) t
		 GROUP BY id`,
		`INSERT INTO accounts (id, ledger, code, owner) SELECT id, ledger, code, id::text FROM ledger_accounts WHERE code <> 2100`,
		`INSERT INTO orders (id, marketplace, reference, ledger, buyer, seller, buyer_account, seller_account, policy, amount, fee, tax,
		        agreed_at, seq, state, held, released, fee_charged, deadline, deadline_at, at, paid_at)
		 SELECT id, 1, g::text, 1840, 'ann', 'bob', buyer, pending, 1, 10000, 500, 0, agreed,
		        CASE WHEN waiting THEN 2 ELSE 5 END, CASE WHEN waiting THEN 'held' ELSE 'closed' END,
		        CASE WHEN waiting THEN 10000 ELSE 0 END, CASE WHEN waiting THEN 0 ELSE 10000 END, CASE WHEN waiting THEN 0 ELSE 500 END,
		        CASE WHEN waiting THEN 'ship_by' END, CASE WHEN waiting THEN agreed + interval '20 years' END,
		        agreed + CASE WHEN waiting THEN interval '1 hour' ELSE '12 days' END, agreed + interval '1 hour'
		 FROM h`,
		`CREATE TEMPORARY TABLE events AS
		 SELECT x.i, h.id, l.*, agreed, agreed + after AS at,
		        CASE WHEN legs > 0 THEN (extract(epoch FROM agreed + after) * 1000000000)::bigint + g % 1000 * 10 + first END AS booked
		 FROM h CROSS JOIN LATERAL (VALUES
		     (1, 'agree', 'agreed', 0, 0, interval '0', true, 0, 0), (2, 'pay', 'held', 10000, 0, '1 hour', true, 2, 1),
		     (3, 'ship', 'shipped', 10000, 0, '1 day', NOT waiting, 0, 0), (4, 'release_unconfirmed', 'released', 0, 10000, '10 days', NOT waiting, 2, 3),
		     (5, 'mature', 'closed', 0, 10000, '12 days', NOT waiting, 1, 5)) l (seq, event, state, held, released, after, done, legs, first),
		     LATERAL (SELECT ('018cc257-0000-7000-8000-' || lpad(to_hex(g * 8 + seq), 12, '0'))::uuid AS i) x
		 WHERE done ORDER BY agreed + after`,
		`INSERT INTO intents (id, chain, position, order_id, seq, attempt, marketplace, event, actor, state, held, released, refunded,
		        fee_charged, tax_charged, maturing, deadline, deadline_at, at, paid_at, buyer_extended, seller_extended, created_at)
		 SELECT i, i, 0, id, seq, 0, 1, event, 'system', state, held, released, 0, 0, 0, 0,
		        'confirm_by', agreed + interval '10 days', at, agreed + interval '1 hour', 0, 0, at FROM events`,
		`INSERT INTO outcomes (intent, marketplace, outcome, ledger_timestamp) SELECT i, 1, 'applied', booked FROM events`,
		`INSERT INTO order_deadlines SELECT marketplace, deadline, deadline_at, id FROM orders WHERE open`,
		`ANALYZE`,
	}
	ctx := context.Background()
	conn, err := db.Connx(ctx)
	must(b, err)
	defer conn.Close()
	_, err = conn.ExecContext(ctx, setup, n)
	must(b, err)
	for _, s := range statements {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			b.Fatalf("%v: %.100s", err, s)
		}
	}
}

// BenchmarkReports times the reports on a generated history, now and in its
// middle. With -bench-orders 200000 there are a million transfers.
func BenchmarkReports(b *testing.B) {
	db := pgtest.Open(b)
	generate(b, db, *benchOrders)
	books := reports.New(db)
	middle := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(*benchOrders/2) * 2 * time.Minute)
	late := middle.Add(time.Duration(*benchOrders/2)*2*time.Minute - 24*time.Hour)
	for _, kind := range reports.Kinds {
		for _, c := range []struct {
			name string
			o    reports.Options
		}{
			{"now", reports.Options{Now: machine}},
			{"effective in the middle", reports.Options{AsOf: middle, Basis: reports.Effective}},
			{"effective a day before the last order", reports.Options{AsOf: late, Basis: reports.Effective}},
			{"booked in the middle", reports.Options{AsOf: middle, Basis: reports.Booked}},
		} {
			for _, detail := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s/%s/detail=%v", kind.Name, c.name, detail), func(b *testing.B) {
					for b.Loop() {
						r, err := kind.Run(context.Background(), books, c.o, detail)
						must(b, err)
						problems, _ := r.Findings()
						if len(problems) > 0 {
							b.Fatal(problems)
						}
					}
				})
			}
		}
	}
}
