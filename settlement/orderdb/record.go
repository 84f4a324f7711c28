package orderdb

import (
	"context"

	"github.com/lib/pq"

	"escrowd/ledger"
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

// The lock makes positions visible in their order, see the schema: it is held
// before the first of them is drawn.
const addOutcomesSQL = `WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock(1702060914, 'outcomes'::regclass::oid::int)), -- "escr"
	closed AS (DELETE FROM open_batches WHERE first = ANY($6::uuid[]))
	INSERT INTO outcomes (intent, marketplace, outcome, reason, ledger_timestamp)
	SELECT intent, marketplace, outcome, nullif(reason, ''), nullif(ts, 0)
	FROM locked, unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::bigint[])
	  WITH ORDINALITY AS r (intent, marketplace, outcome, reason, ts, n)
	ORDER BY n`

const setOutcomesSQL = addOutcomesSQL + ` ON CONFLICT (intent) DO NOTHING RETURNING intent`

const moveSQL = `UPDATE orders o SET seq = i.seq, attempt = 0, state = i.state, held = i.held, released = i.released,
		refunded = i.refunded, fee_charged = i.fee_charged, tax_charged = i.tax_charged, maturing = i.maturing,
		deadline = i.deadline, deadline_at = i.deadline_at, at = i.at, paid_at = i.paid_at, freeze_id = i.freeze_id,
		buyer_extended = i.buyer_extended, seller_extended = i.seller_extended
	FROM intents i
	WHERE i.id = ANY($1::uuid[]) AND o.id = i.order_id AND o.seq = i.seq - 1`

const refuseSQL = `UPDATE orders o SET attempt = i.attempt + 1
	FROM intents i
	WHERE i.id = ANY($1::uuid[]) AND o.id = i.order_id AND o.seq = i.seq - 1 AND o.attempt = i.attempt`

// Recording is what Record writes.
type Recording struct {
	Outcomes []Outcome
	Made     map[ledger.ID]bool // of them, those whose orders are new and stand where they should already
	Closed   []ledger.ID        // batches (by First) whose intents all have outcomes with these
	Careful  bool               // some may have an outcome already
}

// Record writes outcomes and moves on the orders of those that were applied.
// It answers whose outcome it wrote; the others had one. ErrTaken: one had and
// r was not Careful; the transaction has to be rolled back.
func (w *Writer) Record(ctx context.Context, r Recording) (set map[ledger.ID]bool, err error) {
	if len(r.Outcomes) == 0 {
		return nil, nil
	}
	var (
		ids             []ledger.ID
		markets, stamps pq.Int64Array
		kinds, reasons  pq.StringArray
	)
	for _, o := range r.Outcomes {
		ids, markets = append(ids, o.Intent), append(markets, int64(o.Marketplace))
		kinds, reasons = append(kinds, string(o.Outcome)), append(reasons, o.Reason)
		stamps = append(stamps, int64(o.LedgerTimestamp))
	}
	args := []any{uids(ids), markets, kinds, reasons, stamps, uids(r.Closed)}
	if r.Careful {
		set, err = returnedIDs(ctx, w.setOutcomes, args...)
	} else {
		set, err = setOf(ids), w.exec(ctx, w.addOutcomes, args...)
	}
	if err != nil {
		return nil, err
	}
	var applied, refused []ledger.ID
	for _, o := range r.Outcomes {
		switch {
		case !set[o.Intent], r.Made[o.Intent]:
		case o.Outcome == Applied:
			applied = append(applied, o.Intent)
		case o.Outcome == Rejected:
			refused = append(refused, o.Intent)
		}
	}
	if err := w.update(ctx, w.move, applied); err != nil {
		return nil, err
	}
	return set, w.update(ctx, w.refuse, refused)
}
