package orderdb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger"
	"escrowd/ledger/pgrows"
)

// Outcome is what came of an intent.
type Outcome struct {
	Intent          ledger.ID
	Marketplace     uint32
	Outcome         OutcomeKind
	Reason          string // the ledger's status; "" when applied
	LedgerTimestamp uint64 // of the intent's first leg; 0 unless applied
}

// OutcomeKind is how an intent ended; "" is not yet.
type OutcomeKind string

// The ends of an intent.
const (
	Applied  OutcomeKind = "applied"
	Rejected OutcomeKind = "rejected"
	Frozen   OutcomeKind = "frozen"
)

var outcomesTable = pgrows.Table{Name: "outcomes", Columns: []pgrows.Column{
	{Name: "intent", Kind: "uuid"}, {Name: "marketplace", Kind: "int"}, {Name: "outcome", Kind: "text"},
	{Name: "reason", Kind: "text"}, {Name: "ledger_timestamp", Kind: "bigint"},
}}

// The lock makes positions visible in their order, see the schema: it is held
// before the first of them is drawn. unnest gives its rows in their order, and
// the identity draws positions as they come.
var addOutcomesSQL = `INSERT INTO outcomes (` + outcomesTable.Names("") + `) SELECT ` + outcomesTable.Names("u.") + ` FROM locked, ` + outcomesTable.Unnest(pgrows.From(2))

const closeSQL = `WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock(1702060914, 'outcomes'::regclass::oid::int)), -- "escr"
	closed AS (DELETE FROM open_batches WHERE first = ANY($1::uuid[])),
	`

// movedSQL moves orders on to where their intents lead, and notes the deadlines
// that this sets; refusedSQL counts what the ledger refused. The intents had no
// outcome a moment ago, so their orders must still stand just before them: the
// statements insist that each intent finds its order there.
const (
	movedSQL = `moved AS (UPDATE orders o SET seq = i.seq, attempt = 0, state = i.state, held = i.held, released = i.released,
		refunded = i.refunded, fee_charged = i.fee_charged, tax_charged = i.tax_charged, maturing = i.maturing,
		deadline = i.deadline, deadline_at = i.deadline_at, at = i.at, paid_at = i.paid_at, freeze_id = i.freeze_id,
		buyer_extended = i.buyer_extended, seller_extended = i.seller_extended, claim = i.claim,
		captured = i.captured, captured_fee = i.captured_fee, captured_tax = i.captured_tax,
		captured_share = i.captured_share, method = i.method,
		disputes = i.disputes, replaced = i.replaced, parts = i.parts, holidays = i.holidays, aftermath = i.aftermath
	FROM %[2]sintents i
	WHERE i.id = ANY($%[1]d::uuid[]) AND o.id = i.order_id AND o.seq = i.seq - 1
	RETURNING o.marketplace, o.deadline, o.deadline_at, o.id, i.deadline_set),
	noted AS (INSERT INTO order_deadlines (marketplace, deadline, at, order_id)
		SELECT ` + deadlinesOfOrders + ` FROM moved WHERE deadline_set)`

	refusedSQL = `refused AS (UPDATE orders o SET attempt = i.attempt + 1
	FROM %[2]sintents i
	WHERE i.id = ANY($%[1]d::uuid[]) AND o.id = i.order_id AND o.seq = i.seq - 1 AND o.attempt = i.attempt
	RETURNING 1)`

	insistSQL = `SELECT CASE n WHEN cardinality($%[2]d::uuid[]) THEN n ELSE contradicts(n, cardinality($%[2]d::uuid[])) END
	FROM (SELECT count(*) AS n FROM %[1]s) c`
)

var (
	// recordSQL is all of a recording that finds nothing taken. All of it waits
	// for the lock first, as the others do: whoever waits for a lock here holds
	// none that the one before could want.
	recordSQL = closeSQL + `added AS (` + addOutcomesSQL + `),
	` + fmt.Sprintf(movedSQL, 7, "locked, ") + `,
	` + fmt.Sprintf(refusedSQL, 8, "locked, ") + `
	SELECT (` + fmt.Sprintf(insistSQL, "moved", 7) + `), (` + fmt.Sprintf(insistSQL, "refused", 8) + `)`

	// These are the same one by one, for one that does.
	setOutcomesSQL = strings.TrimRight(closeSQL, ", \t\n") + `
	` + addOutcomesSQL + ` ON CONFLICT (intent) DO NOTHING RETURNING intent`
	moveSQL   = `WITH ` + fmt.Sprintf(movedSQL, 1, "") + ` ` + fmt.Sprintf(insistSQL, "moved", 1)
	refuseSQL = `WITH ` + fmt.Sprintf(refusedSQL, 1, "") + ` ` + fmt.Sprintf(insistSQL, "refused", 1)
)

// Recording is what Record writes.
type Recording struct {
	Outcomes []Outcome
	Entries  map[ledger.ID]bool // of them, those that are entries' and not orders'
	Made     map[ledger.ID]bool // of them, those whose orders are new and stand where they should already
	Closed   []ledger.ID        // batches (by First) whose intents all have outcomes with these
	Careful  bool               // some may have an outcome already
	Last     bool               // the transaction writes nothing after this; then it may be committed on return
}

// Record writes outcomes and moves on the orders of those that were applied.
// If r is Careful it answers whose outcome it wrote; the others had one.
// ErrTaken: one had and r was not Careful; the transaction has to be rolled
// back.
func (w *Writer) Record(ctx context.Context, r Recording) (set map[ledger.ID]bool, err error) {
	if len(r.Outcomes) == 0 {
		return nil, nil
	}
	args := append([]any{uids(r.Closed)}, outcomesTable.Arrays(len(r.Outcomes), func(f *pgrows.Fields, i int) {
		o := &r.Outcomes[i]
		f.ID(o.Intent)
		f.Number(uint64(o.Marketplace))
		f.Word(string(o.Outcome))
		f.TextOrNull(o.Reason)
		if o.LedgerTimestamp == 0 {
			f.Null()
		} else {
			f.Bits(o.LedgerTimestamp)
		}
	})...)
	if !r.Careful {
		applied, refused := r.movers(nil, false)
		if !r.Last || len(r.Entries) > 0 {
			if err := w.write(ctx); err != nil {
				return nil, err
			}
		}
		err := w.alone(ctx, w.record, append(args, uids(applied), uids(refused)))
		if err == nil && len(r.Entries) > 0 {
			err = w.moveEntries(ctx, &r, nil)
		}
		if errors.Is(err, ErrContradiction) {
			// Or somebody has recorded it: in one statement neither comes first.
			err = fmt.Errorf("%w: %w", ErrTaken, err)
		}
		return nil, err
	}
	if err := w.write(ctx); err != nil {
		return nil, err
	}
	if set, err = returnedIDs(ctx, w.setOutcomes, args...); err != nil {
		return nil, err
	}
	applied, refused := r.movers(set, false)
	if err := w.update(ctx, w.move, applied); err != nil {
		return nil, err
	}
	if err := w.update(ctx, w.refuse, refused); err != nil {
		return nil, err
	}
	return set, w.moveEntries(ctx, &r, set)
}

// movers are the intents whose orders, or entries, are to be moved on, and those
// that the ledger refused; of set, if that is not nil.
func (r *Recording) movers(set map[ledger.ID]bool, entries bool) (applied, refused []ledger.ID) {
	for _, o := range r.Outcomes {
		switch {
		case r.Entries[o.Intent] != entries:
		case set != nil && !set[o.Intent], r.Made[o.Intent]:
		case o.Outcome == Applied:
			applied = append(applied, o.Intent)
		case o.Outcome == Rejected:
			refused = append(refused, o.Intent)
		}
	}
	return applied, refused
}

// update runs a statement that changes the order of each intent.
func (w *Writer) update(ctx context.Context, stmt *sqlx.Stmt, intents []ledger.ID) error {
	if len(intents) == 0 {
		return nil
	}
	_, err := stmt.ExecContext(ctx, uids(intents))
	return taken(err)
}
