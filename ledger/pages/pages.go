// Package pages adds up the journal (ledger_transfers) as of any moment, fast:
// from the sums of its closed pages, and from the transfers that no sum says
// enough of.
//
// A page is Size transfers, in the order in which the ledger booked them. Close
// adds up each page that is full, by ledger and by the codes of the two
// accounts that each leg really went to, once; the sums then stand in the table
// ledger_pages. What has not filled a page yet is read each time, and so is all
// of it where nothing was ever closed: a sum is never wrong for want of Close,
// only slow.
//
// # A page never changes
//
// A transfer with a timestamp at or below one that can be seen can be seen too,
// and there will never be another one:
//
//   - Whoever writes the journal, pgengine or the mirror, locks the row of
//     ledger_state first and holds it through COMMIT. The next one gets the lock
//     when the commit before it is visible, and reads newest_transfer after that.
//   - Each new transfer is later than that. rules.NextTimestamp puts a batch
//     after everything in the books; an imported transfer brings its own time,
//     and is refused if that is not later than the newest transfer
//     (imported_event_timestamp_must_not_regress). The mirror asks TigerBeetle,
//     which keeps to the same rules, for what comes after its cursor, and has an
//     account before the account's first transfer.
//   - Rows are never changed or deleted: the journal's triggers refuse it.
//
// So commits follow one another as timestamps do, and a snapshot that has a
// page's last transfer has the whole page. A journal that was made anew, which
// a mirror's may be, is recognised by the last transfer of each page: from the
// first one on that is not where the page says, no page counts.
//
// # As of
//
// A cut by booked time goes through one page at most. A cut by effective time
// goes through every page that has movements from before it and from after it,
// and any page may: what takes effect today may be booked years later, or under
// a test clock years before. So each sum of a page says when its first and its
// last movement took effect. Where the cut is not between the two, the sum is
// taken whole or not at all; where it is, the page is read. For a marketplace
// that goes forward in time that is a page or two, because its sums are its own:
// another one's clock does not matter to them. In the worst of cases it is all
// pages, and the journal is added up as if there were none.
package pages

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Size is how many transfers make a page. A report reads up to a page that a
// cut goes through, and up to one that is not full, in about a tenth of a second
// each; ten million transfers are five hundred pages.
const Size = 20_000

// Everything is a bound that nothing is beyond.
const Everything = math.MaxInt64

// Cut says which transfers count. All bounds are inclusive.
type Cut struct {
	Booked    int64   // by timestamp, ns
	Effective int64   // by user_data_64, µs
	All       bool    // of all ledgers
	Ledgers   []int64 // else of these
}

// Sum is what was posted in a ledger from accounts of one code to accounts of
// another. A code is 0 where the ledger has no such account, which says that the
// journal was damaged.
type Sum struct {
	Ledger        uint32
	Debit, Credit int
	Amount        *big.Int
}

// page is a row of ledger_pages.
type page struct {
	After     int64 `db:"after"`
	Upto      int64 `db:"upto"`
	Transfers int64 `db:"transfers"`
	Fits      bool  `db:"fits"`   // its last transfer stands where it says
	Partly    bool  `db:"partly"` // the effective cut goes through one of its sums
}

const (
	listSQL = `SELECT p.after, p.upto, p.transfers, coalesce(t.id = p.last, false) AS fits,
		$3 < 9223372036854775807 AND EXISTS (
			SELECT FROM unnest(p.ledgers, p.effective_first, p.effective_last) AS u (ledger, first, last)
			WHERE u.first <= $3 AND u.last > $3 AND ($1 OR u.ledger = ANY ($2))) AS partly
	FROM ledger_pages p LEFT JOIN ledger_transfers t ON t.timestamp = p.upto
	ORDER BY p.after`

	closedSQL = `SELECT u.ledger, u.debit, u.credit, sum(u.amount)::text AS amount
	FROM ledger_pages p
	CROSS JOIN LATERAL unnest(p.ledgers, p.debit_codes, p.credit_codes, p.amounts, p.effective_last)
		AS u (ledger, debit, credit, amount, last)
	WHERE ($1 OR u.ledger = ANY ($2)) AND u.last <= $3 AND p.after = ANY ($4)
	GROUP BY 1, 2, 3`

	// Pending (2) and void (8) rows reserve and set free, and move nothing. That
	// stands in the sum and not in the WHERE because Postgres has no statistics
	// on bits of flags: it would take 1 row in 200 to match, and walk an index
	// for millions of rows.
	openSQL = `SELECT t.ledger, coalesce(d.code, 0) AS debit, coalesce(c.code, 0) AS credit,
		sum(CASE WHEN t.flags & 10 = 0 THEN t.amount ELSE 0 END)::text AS amount
	FROM ledger_transfers t
	LEFT JOIN ledger_accounts d ON d.id = t.debit_account_id AND d.ledger = t.ledger
	LEFT JOIN ledger_accounts c ON c.id = t.credit_account_id AND c.ledger = t.ledger
	WHERE ($1 OR t.ledger = ANY ($2)) AND t.user_data_64 <= $3 AND t.timestamp > $4 AND t.timestamp <= $5
	GROUP BY 1, 2, 3`

	countSQL = `SELECT count(*) FROM (SELECT FROM ledger_transfers WHERE timestamp > $1 AND timestamp <= $2 LIMIT $3) t`
)

// few is up to how many transfers their accounts are looked up one by one; for
// more it is faster to read all accounts.
const few = 200_000

// byIndex makes Postgres go by the indexes until it is told otherwise, or the
// transaction ends. It takes an account that is looked up to be on the disk, and
// would rather read millions of them for some thousand transfers.
const (
	byIndex = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
		set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)`
	byChoice = `SELECT set_config('enable_seqscan', 'on', true), set_config('enable_hashjoin', 'on', true),
		set_config('enable_mergejoin', 'on', true)`
)

// stretch is transfers in a row: after one timestamp, up to another.
type stretch struct{ after, upto int64 }

// Sums adds up what counts, in the snapshot of tx, which has to be REPEATABLE
// READ. A pair of accounts may come several times. unfit says that some pages
// are of another journal, or that one is missing; they were not used.
func Sums(ctx context.Context, tx *sqlx.Tx, c Cut) (sums []Sum, unfit bool, err error) {
	closed, unfit, err := chain(ctx, tx, c)
	if err != nil {
		return nil, false, err
	}
	var whole pq.Int64Array
	var open []stretch
	read := func(after, upto int64) {
		if n := len(open); n > 0 && open[n-1].upto == after {
			open[n-1].upto = upto
			return
		}
		open = append(open, stretch{after, upto})
	}
	var end, taken, partly int64
	for _, p := range closed {
		if p.After >= c.Booked {
			break
		}
		end = p.Upto
		switch {
		case p.Upto > c.Booked:
			read(p.After, c.Booked)
			partly += p.Transfers
		case p.Partly:
			read(p.After, p.Upto)
			partly += p.Transfers
		default:
			whole = append(whole, p.After)
			taken += p.Transfers
		}
	}
	if end < c.Booked {
		var n int64
		if err := tx.GetContext(ctx, &n, countSQL, end, c.Booked, few+1); err != nil {
			return nil, false, fmt.Errorf("counting what is after the last page: %w", err)
		}
		if n > 0 {
			read(end, c.Booked)
			partly += n
		}
	}
	if partly > few && partly > taken/2 {
		// The cut goes through so many pages that the others save nothing.
		whole, open = nil, []stretch{{0, c.Booked}}
	}
	if len(whole) > 0 {
		if err := add(ctx, tx, &sums, closedSQL, c, whole); err != nil {
			return nil, false, fmt.Errorf("adding up the pages: %w", err)
		}
	}
	if len(open) > 0 && partly <= few {
		if _, err := tx.ExecContext(ctx, byIndex); err != nil {
			return nil, false, err
		}
	}
	for _, s := range open {
		if err := add(ctx, tx, &sums, openSQL, c, s.after, s.upto); err != nil {
			return nil, false, fmt.Errorf("adding up the journal: %w", err)
		}
	}
	if len(open) > 0 && partly <= few {
		if _, err := tx.ExecContext(ctx, byChoice); err != nil {
			return nil, false, err
		}
	}
	return sums, unfit, nil
}

func add(ctx context.Context, tx *sqlx.Tx, sums *[]Sum, query string, c Cut, more ...any) error {
	rows, err := tx.QueryContext(ctx, query, append([]any{c.All, pq.Int64Array(c.Ledgers), c.Effective}, more...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		s := Sum{Amount: new(big.Int)}
		var amount string
		if err := rows.Scan(&s.Ledger, &s.Debit, &s.Credit, &amount); err != nil {
			return err
		}
		if _, ok := s.Amount.SetString(amount, 10); !ok {
			return fmt.Errorf("%.50q is not a whole number", amount)
		}
		*sums = append(*sums, s)
	}
	return rows.Err()
}

// querier is a database or a transaction.
type querier interface {
	SelectContext(ctx context.Context, dest any, query string, args ...any) error
}

// chain lists the pages that count: from the journal's first transfer on, each
// where the one before ends.
func chain(ctx context.Context, q querier, c Cut) (list []page, unfit bool, err error) {
	if err := q.SelectContext(ctx, &list, listSQL, c.All, pq.Int64Array(c.Ledgers), c.Effective); err != nil {
		return nil, false, fmt.Errorf("reading the pages: %w", err)
	}
	var end int64
	for i, p := range list {
		if p.After != end || !p.Fits {
			return slices.Clip(list[:i]), true, nil
		}
		end = p.Upto
	}
	return list, false, nil
}

// cellsSQL adds up the page ($1, $2], to one row.
const cellsSQL = `SELECT coalesce(array_agg(ledger ORDER BY ledger, debit, credit), '{}') AS ledgers,
		coalesce(array_agg(debit ORDER BY ledger, debit, credit), '{}') AS debit_codes,
		coalesce(array_agg(credit ORDER BY ledger, debit, credit), '{}') AS credit_codes,
		coalesce(array_agg(amount ORDER BY ledger, debit, credit), '{}') AS amounts,
		coalesce(array_agg(n ORDER BY ledger, debit, credit), '{}') AS counts,
		coalesce(array_agg(first ORDER BY ledger, debit, credit), '{}') AS effective_first,
		coalesce(array_agg(last ORDER BY ledger, debit, credit), '{}') AS effective_last
	FROM (
		SELECT t.ledger, coalesce(d.code, 0) AS debit, coalesce(c.code, 0) AS credit, sum(t.amount) AS amount,
			count(*)::integer AS n, min(t.user_data_64) AS first, max(t.user_data_64) AS last
		FROM ledger_transfers t
		LEFT JOIN ledger_accounts d ON d.id = t.debit_account_id AND d.ledger = t.ledger
		LEFT JOIN ledger_accounts c ON c.id = t.credit_account_id AND c.ledger = t.ledger
		WHERE t.timestamp > $1 AND t.timestamp <= $2 AND t.flags & 10 = 0
		GROUP BY 1, 2, 3) cells`

const closeSQL = `INSERT INTO ledger_pages (after, upto, last, transfers,
		ledgers, debit_codes, credit_codes, amounts, counts, effective_first, effective_last)
	SELECT $1, $2, (SELECT id FROM ledger_transfers WHERE timestamp = $2), $3, cells.* FROM (` + cellsSQL + `) cells
	ON CONFLICT DO NOTHING`

// ErrNoAccount: a page has a transfer of an account that its ledger does not
// have. Nobody but a hand in the database can have written it.
var ErrNoAccount = errors.New("the journal has transfers of accounts that do not exist")

// Close adds up the pages that are full, each in a transaction of its own, until
// there is none, and calls each, if not nil, after every one with the number of
// its transfers; an error ends it. It may run twice, late, or at several places
// at once: a page is closed once. dropped counts pages that were thrown away
// first because they did not fit the journal.
func Close(ctx context.Context, db *sqlx.DB, size int, each func(transfers int) error) (dropped int64, err error) {
	if size <= 0 {
		size = Size
	}
	for {
		list, unfit, err := chain(ctx, db, Cut{All: true, Effective: Everything})
		if err != nil {
			return dropped, err
		}
		var end int64
		if n := len(list); n > 0 {
			end = list[n-1].Upto
		}
		if unfit {
			res, err := db.ExecContext(ctx, `DELETE FROM ledger_pages WHERE after >= $1 OR upto > $1`, end)
			if err != nil {
				return dropped, fmt.Errorf("throwing away pages that do not fit the journal: %w", err)
			}
			n, _ := res.RowsAffected()
			dropped += n
		}
		for {
			upto, err := full(ctx, db, end, size)
			if err != nil || upto == 0 {
				return dropped, err
			}
			closed, err := closePage(ctx, db, end, upto, size)
			if err != nil {
				return dropped, err
			}
			if !closed {
				break // somebody else has: go on from where they are
			}
			end = upto
			if each != nil {
				if err := each(size); err != nil {
					return dropped, err
				}
			}
		}
	}
}

// Full counts the transfers of the pages that are full and not closed.
func Full(ctx context.Context, db *sqlx.DB, size int) (n int64, err error) {
	if size <= 0 {
		size = Size
	}
	list, _, err := chain(ctx, db, Cut{All: true, Effective: Everything})
	if err != nil {
		return 0, err
	}
	var end int64
	if n := len(list); n > 0 {
		end = list[n-1].Upto
	}
	if err := db.GetContext(ctx, &n, `SELECT count(*) FROM ledger_transfers WHERE timestamp > $1`, end); err != nil {
		return 0, fmt.Errorf("counting what is after the last page: %w", err)
	}
	return n - n%int64(size), nil
}

// full is the timestamp of the last transfer of the page after end, 0 if it is
// not full.
func full(ctx context.Context, db *sqlx.DB, end int64, size int) (upto int64, err error) {
	err = db.GetContext(ctx, &upto, `SELECT timestamp FROM ledger_transfers WHERE timestamp > $1 ORDER BY timestamp OFFSET $2 LIMIT 1`, end, size-1)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("looking for a full page: %w", err)
	}
	return upto, nil
}

func closePage(ctx context.Context, db *sqlx.DB, after, upto int64, size int) (closed bool, err error) {
	err = transaction(ctx, db, nil, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, byIndex); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, closeSQL, after, upto, size)
		if pqErr, ok := errors.AsType[*pq.Error](err); ok && pqErr.Constraint == "ledger_pages_accounts_check" {
			return ErrNoAccount
		}
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		closed = n == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("closing the page from %d to %d: %w", after, upto, err)
	}
	return closed, nil
}

func transaction(ctx context.Context, db *sqlx.DB, opts *sql.TxOptions, f func(*sqlx.Tx) error) error {
	tx, err := db.BeginTxx(ctx, opts)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
