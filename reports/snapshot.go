package reports

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"escrowd/ledger/chart"
)

// snapshot is one report's view of the database, with its options resolved.
type snapshot struct {
	*sqlx.Tx
	head         Head
	cut          cut
	marketplaces map[uint32]marketplace
	all          bool    // no marketplace or currency was asked for
	ledgers      []int64 // else: these, and only these

	heldSums map[uint32]Amount // what the orders hold per ledger, see held
	notes    []string          // what came up on the way that a reader should know
}

type marketplace struct {
	ID   uint32       `db:"id"`
	Name string       `db:"name"`
	Test sql.NullTime `db:"clock_now"`
}

// now is the marketplace's own time, for a reading of the machine's clock.
func (m marketplace) now(machine time.Time) time.Time {
	if m.Test.Valid {
		return m.Test.Time.UTC()
	}
	return machine
}

// cut is where the past ends. Both bounds are inclusive.
type cut struct {
	basis     Basis
	open      bool  // everything counts
	effective int64 // Unix microseconds
	booked    int64 // the ledger's nanoseconds, the end of a whole chain
	recorded  time.Time
}

// posted is the part of a transfer's amount that moved, in SQL: pending (2)
// and void (8) rows reserve and set free, and move nothing. It stands in the
// sum and not in a WHERE because Postgres has no statistics on bits of flags:
// it would take 1 row in 200 to match, and walk an index for millions of rows.
const posted = `CASE WHEN t.flags & 10 = 0 THEN t.amount ELSE 0 END`

// transfers is the condition that ledger_transfers AS t is before the cut,
// with its bound as $1.
func (c cut) transfers() (condition string, bound int64) {
	switch {
	case c.open:
		return `$1::bigint IS NOT NULL`, 0
	case c.basis == Booked:
		return `t.timestamp <= $1`, c.booked
	}
	return `t.user_data_64 <= $1`, c.effective
}

// read runs f on a snapshot for the named report.
func (b *Books) read(ctx context.Context, name, title string, o Options, f func(*snapshot) error) error {
	err := b.snapshot(ctx, name, title, o, f)
	if err != nil {
		return fmt.Errorf("report %s: %w", name, err)
	}
	return nil
}

func (b *Books) snapshot(ctx context.Context, name, title string, o Options, f func(*snapshot) error) error {
	tx, err := b.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing to commit
	// Sums over the whole journal hash its accounts: with the default 4 MB
	// they would go through temporary files. Compiling the query costs more
	// than it gains below some ten million rows.
	if _, err := tx.ExecContext(ctx, `SET LOCAL work_mem = '64MB'; SET LOCAL jit = off`); err != nil {
		return err
	}
	s := &snapshot{Tx: tx, head: Head{Report: name, Title: title, Basis: o.Basis}}
	switch s.head.Basis {
	case "":
		s.head.Basis = Effective
	case Effective, Booked:
	default:
		return &BadOption{"basis", fmt.Sprintf("%.40q is neither %s nor %s", o.Basis, Effective, Booked)}
	}
	if err := s.scope(ctx, o); err != nil {
		return err
	}
	if err := s.moment(ctx, o); err != nil {
		return err
	}
	return f(s)
}

// scope finds the ledgers that were asked for.
func (s *snapshot) scope(ctx context.Context, o Options) error {
	var list []marketplace
	if err := s.SelectContext(ctx, &list, `SELECT id, name, clock_now FROM marketplaces ORDER BY id`); err != nil {
		return err
	}
	scope := []string{"all marketplaces", "all currencies"}
	if o.Marketplace != "" {
		m, err := pick(list, o.Marketplace)
		if err != nil {
			return err
		}
		list = []marketplace{m}
		scope[0] = fmt.Sprintf("marketplace %d %s", m.ID, m.Name)
	}
	currencies := chart.Currencies()
	if o.Currency != "" {
		c, ok := chart.ByCode(strings.ToUpper(o.Currency))
		if !ok {
			return &BadOption{"currency", fmt.Sprintf("%.40q is not an ISO 4217 currency", o.Currency)}
		}
		currencies = []chart.Currency{c}
		scope[1] = c.Code
	}
	s.marketplaces = make(map[uint32]marketplace, len(list))
	for _, m := range list {
		s.marketplaces[m.ID] = m
	}
	s.all = o.Marketplace == "" && o.Currency == ""
	s.head.Scope = strings.Join(scope, ", ")
	if s.all {
		return nil
	}
	for _, m := range list {
		for _, c := range currencies {
			// The last marketplaces have no ledger in currencies of high numbers.
			if l, err := chart.Ledger(m.ID, c); err == nil {
				s.ledgers = append(s.ledgers, int64(l))
			}
		}
	}
	return nil
}

// pick finds a marketplace by name or number; the name goes first, because a
// name may look like a number and a number is never in doubt for long.
func pick(list []marketplace, wanted string) (marketplace, error) {
	if i := slices.IndexFunc(list, func(m marketplace) bool { return m.Name == wanted }); i >= 0 {
		return list[i], nil
	}
	if id, err := strconv.ParseUint(wanted, 10, 32); err == nil {
		if i := slices.IndexFunc(list, func(m marketplace) bool { return m.ID == uint32(id) }); i >= 0 {
			return list[i], nil
		}
	}
	return marketplace{}, &BadOption{"marketplace", fmt.Sprintf("there is none with the name or number %.100q", wanted)}
}

// moment finds where the past ends and what the journal's newest transfer is.
func (s *snapshot) moment(ctx context.Context, o Options) error {
	var journal struct {
		Newest   int64        `db:"newest_transfer"`
		Mirrored bool         `db:"mirrored"`
		Complete sql.NullTime `db:"mirror_complete"`
	}
	if err := s.GetContext(ctx, &journal, `SELECT
			(SELECT coalesce(max(timestamp), 0) FROM ledger_transfers) AS newest_transfer, mirrored, mirror_complete
		FROM ledger_state`); err != nil {
		return err
	}
	s.head.LedgerTimestamp, s.head.Mirrored = uint64(journal.Newest), journal.Mirrored
	if journal.Complete.Valid {
		s.head.MirroredTo = journal.Complete.Time.UTC()
		s.head.MirrorLag = max(0, o.Now.Sub(s.head.MirroredTo))
	}
	s.cut.basis = s.head.Basis
	if o.AsOf.IsZero() {
		s.cut.open, s.head.Open = true, true
		s.head.AsOf = s.latest(o.Now.UTC().Truncate(time.Microsecond)) // as fine as the marketplaces' clocks
		return nil
	}
	t := o.AsOf.UTC()
	s.head.AsOf = t
	s.cut.effective = t.UnixMicro()
	s.cut.recorded = t.Truncate(time.Microsecond) // Postgres would round up
	if s.cut.basis != Booked {
		return nil
	}
	bound := int64(math.MaxInt64) // after the year 2262 nothing can be booked
	if t.Year() < 2262 {
		bound = t.UnixNano()
	}
	if t.Year() < 1970 {
		bound = 0
	}
	// Every leg of a chain but the last has flag 1. If the newest leg up to T
	// has it, its chain was booked around T: none of it counts yet.
	err := s.GetContext(ctx, &s.cut.booked,
		`SELECT timestamp FROM ledger_transfers WHERE timestamp <= $1 AND flags & 1 = 0 ORDER BY timestamp DESC LIMIT 1`, bound)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// latest dates a report that takes all that stands in the books: the latest
// of its marketplaces' clocks, so that the same report as of that moment
// takes it all as well.
func (s *snapshot) latest(machine time.Time) time.Time {
	var t time.Time
	for _, m := range s.marketplaces {
		if now := m.now(machine); now.After(t) {
			t = now
		}
	}
	if t.IsZero() {
		return machine
	}
	return t
}

// ageAt is the moment at which an order's age is taken.
func (s *snapshot) ageAt(id uint32, machine time.Time) time.Time {
	if !s.cut.open {
		return s.head.AsOf
	}
	if m, ok := s.marketplaces[id]; ok {
		return m.now(machine)
	}
	return s.head.AsOf
}

// inScope is the parameters of "($2 OR t.ledger = ANY($3))".
func (s *snapshot) inScope() (all bool, ledgers pq.Int64Array) { return s.all, s.ledgers }
