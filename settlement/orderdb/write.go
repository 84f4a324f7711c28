package orderdb

import (
	"context"

	"github.com/lib/pq"

	"escrowd/ledger"
	"escrowd/settlement/order"
)

const insertKeysSQL = `INSERT INTO idempotency_keys (marketplace, key, hash, intent)
	SELECT * FROM unnest($1::int[], $2::text[], $3::bytea[], $4::uuid[])
	ON CONFLICT DO NOTHING`

// InsertKeys notes what keys were used for. False means that another process
// used one of them first: the transaction has to be rolled back and decided anew.
func (w *Writer) InsertKeys(ctx context.Context, uses []KeyUse) (bool, error) {
	res, err := w.insertKeys.ExecContext(ctx, keyArgs(uses)...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return int(n) == len(uses), err
}

func keyArgs(uses []KeyUse) []any {
	var (
		markets pq.Int64Array
		keys    pq.StringArray
		hashes  pq.ByteaArray
		intents []ledger.ID
	)
	for _, u := range uses {
		markets, keys = append(markets, int64(u.Marketplace)), append(keys, u.Key)
		hashes, intents = append(hashes, u.Hash), append(intents, u.Intent)
	}
	return []any{markets, keys, hashes, uids(intents)}
}

const insertReferencesSQL = `INSERT INTO order_references (marketplace, reference, order_id)
	SELECT * FROM unnest($1::int[], $2::text[], $3::uuid[])
	ON CONFLICT DO NOTHING RETURNING order_id`

const insertOrdersSQL = `INSERT INTO orders (id, marketplace, reference, ledger, buyer, seller, buyer_account, seller_account,
		policy, amount, fee, tax, ship_by_date, agreed_at, seq, state, deadline, deadline_at, at)
	SELECT id, marketplace, reference, ledger, buyer, seller, buyer_account, seller_account,
		policy, amount, fee, tax, CASE ship_by WHEN 0 THEN NULL ELSE 'epoch'::timestamptz + ship_by * interval '1 microsecond' END,
		'epoch'::timestamptz + at * interval '1 microsecond', 1, 'agreed', 'pay_by',
		'epoch'::timestamptz + deadline * interval '1 microsecond', 'epoch'::timestamptz + at * interval '1 microsecond'
	FROM unnest($1::uuid[], $2::int[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::uuid[], $8::uuid[],
		$9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[])
	  AS n (id, marketplace, reference, ledger, buyer, seller, buyer_account, seller_account,
		policy, amount, fee, tax, ship_by, at, deadline)`

// InsertOrders writes orders just agreed and answers the ids of those whose
// reference was not taken; the others are not written.
func (w *Writer) InsertOrders(ctx context.Context, orders []order.Order) (map[ledger.ID]bool, error) {
	var (
		markets, ledgers, policies, amounts, fees, taxes, shipBy, at, deadline pq.Int64Array
		references, buyers, sellers                                            pq.StringArray
		ids, buyerAccounts, sellerAccounts                                     []ledger.ID
	)
	for i := range orders {
		o := &orders[i]
		ids, markets, references = append(ids, o.ID), append(markets, int64(o.Marketplace)), append(references, o.Reference)
	}
	named, err := returnedIDs(ctx, w.insertReferences, markets, references, uids(ids))
	if err != nil {
		return nil, err
	}
	ids, markets, references = nil, nil, nil
	for i := range orders {
		o := &orders[i]
		if !named[o.ID] {
			continue
		}
		ids, markets, references = append(ids, o.ID), append(markets, int64(o.Marketplace)), append(references, o.Reference)
		ledgers, buyers, sellers = append(ledgers, int64(o.Ledger)), append(buyers, o.Buyer), append(sellers, o.Seller)
		buyerAccounts, sellerAccounts = append(buyerAccounts, o.BuyerAccount), append(sellerAccounts, o.SellerAccount)
		policies, amounts = append(policies, o.Policy.ID), append(amounts, o.Amount)
		fees, taxes = append(fees, o.Fee), append(taxes, o.Tax)
		shipBy, at, deadline = append(shipBy, micros(o.ShipByDate)), append(at, micros(o.At)), append(deadline, micros(o.DeadlineAt))
	}
	if len(ids) == 0 {
		return named, nil
	}
	_, err = w.insertOrders.ExecContext(ctx, uids(ids), markets, references, ledgers, buyers, sellers,
		uids(buyerAccounts), uids(sellerAccounts), policies, amounts, fees, taxes, shipBy, at, deadline)
	return named, err
}

// Intent is one decided event, as it is stored.
type Intent struct {
	ID       ledger.ID
	Chain    ledger.ID // the first intent of the chain
	Position int16     // in the chain
	Order    order.Order
	Attempt  int16
	Event    order.Event
	Actor    order.Role
	Data     []byte // JSON, nil for none
	Accounts []ledger.Account
	Legs     []ledger.Transfer
}

const intentsSQL = `INSERT INTO intents (id, chain, position, order_id, seq, attempt, marketplace, event, actor, data, accounts, legs,
		state, held, released, refunded, fee_charged, tax_charged, maturing, deadline, deadline_at, at, paid_at, freeze_id,
		buyer_extended, seller_extended)
	SELECT id, chain, position, order_id, seq, attempt, marketplace, event, actor,
		nullif(data, '')::jsonb, nullif(accounts, ''), nullif(legs, ''),
		state, held, released, refunded, fee_charged, tax_charged, maturing, nullif(deadline, ''),
		CASE deadline_at WHEN 0 THEN NULL ELSE 'epoch'::timestamptz + deadline_at * interval '1 microsecond' END,
		'epoch'::timestamptz + at * interval '1 microsecond',
		CASE paid_at WHEN 0 THEN NULL ELSE 'epoch'::timestamptz + paid_at * interval '1 microsecond' END,
		nullif(freeze_id, '00000000-0000-0000-0000-000000000000'),
		buyer_extended, seller_extended
	FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::uuid[], $5::int[], $6::smallint[], $7::int[], $8::text[], $9::text[],
		$10::text[], $11::bytea[], $12::bytea[], $13::text[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[],
		$18::bigint[], $19::bigint[], $20::text[], $21::bigint[], $22::bigint[], $23::bigint[], $24::uuid[],
		$25::smallint[], $26::smallint[])
	  AS n (id, chain, position, order_id, seq, attempt, marketplace, event, actor, data, accounts, legs,
		state, held, released, refunded, fee_charged, tax_charged, maturing, deadline, deadline_at, at, paid_at, freeze_id,
		buyer_extended, seller_extended)`

// Insertion that is ready for a conflict costs half as much again as one that
// is not, and conflicts are rare: so there is a statement for the one and,
// when it fails, some for the other.
const (
	decideSQL = `WITH opened AS (INSERT INTO open_batches (first, last) SELECT $27::uuid, $28::uuid WHERE $27::uuid IS NOT NULL),
	used AS (INSERT INTO idempotency_keys (marketplace, key, hash, intent) SELECT * FROM unnest($29::int[], $30::text[], $31::bytea[], $32::uuid[])) ` + intentsSQL

	insertIntentsSQL = intentsSQL + ` ON CONFLICT (order_id, seq, attempt) DO NOTHING RETURNING id`

	openBatchSQL = `INSERT INTO open_batches (first, last) VALUES ($1, $2)`
)

// Batch is the smallest and the largest id of intents that go to the ledger
// together; others may lie between.
type Batch struct{ First, Last ledger.ID }

// Decide stores intents, the use of keys, and the batch that goes to the
// ledger (none if its ids are zero), where nothing of it was there before.
// Otherwise it answers ErrTaken.
func (w *Writer) Decide(ctx context.Context, intents []Intent, keys []KeyUse, open Batch) error {
	args := append(intentArgs(intents), uid(open.First), uid(open.Last))
	return w.exec(ctx, w.decide, append(args, keyArgs(keys)...)...)
}

// InsertIntents stores what was decided and answers the ids of those whose
// place in their order was free. The others are busy: something else is
// happening to the order.
func (w *Writer) InsertIntents(ctx context.Context, intents []Intent) (map[ledger.ID]bool, error) {
	return returnedIDs(ctx, w.insertIntents, intentArgs(intents)...)
}

// OpenBatch notes the batch that goes to the ledger.
func (w *Writer) OpenBatch(ctx context.Context, b Batch) error {
	_, err := w.openBatch.ExecContext(ctx, uid(b.First), uid(b.Last))
	return err
}

func intentArgs(intents []Intent) []any {
	var (
		ids, chains, orders, freezes                                 []ledger.ID
		positions, seqs, attempts, markets, held, released, refunded pq.Int64Array
		fees, taxes, maturing, deadlines, at, paid, extB, extS       pq.Int64Array
		events, actors, data, states, names                          pq.StringArray
		accounts, legs                                               pq.ByteaArray
	)
	for i := range intents {
		n := &intents[i]
		p := &n.Order.Progress
		ids, chains, orders = append(ids, n.ID), append(chains, n.Chain), append(orders, n.Order.ID)
		positions, seqs = append(positions, int64(n.Position)), append(seqs, int64(n.Order.Seq))
		attempts, markets = append(attempts, int64(n.Attempt)), append(markets, int64(n.Order.Marketplace))
		events, actors, data = append(events, string(n.Event)), append(actors, string(n.Actor)), append(data, string(n.Data))
		a := make([]byte, 0, len(n.Accounts)*ledger.EventSize)
		for _, v := range n.Accounts {
			a = ledger.AppendAccount(a, v)
		}
		l := make([]byte, 0, len(n.Legs)*ledger.EventSize)
		for _, v := range n.Legs {
			l = ledger.AppendTransfer(l, v)
		}
		accounts, legs = append(accounts, a), append(legs, l)
		states, held, released = append(states, string(p.State)), append(held, p.Held), append(released, p.Released)
		refunded, fees, taxes = append(refunded, p.Refunded), append(fees, p.FeeCharged), append(taxes, p.TaxCharged)
		maturing, names = append(maturing, p.Maturing), append(names, string(p.Deadline))
		deadlines, at, paid = append(deadlines, micros(p.DeadlineAt)), append(at, micros(p.At)), append(paid, micros(p.PaidAt))
		freezes = append(freezes, p.Freeze)
		extB, extS = append(extB, int64(p.BuyerExtended)), append(extS, int64(p.SellerExtended))
	}
	return []any{uids(ids), uids(chains), positions, uids(orders), seqs, attempts,
		markets, events, actors, data, accounts, legs, states, held, released, refunded, fees, taxes, maturing, names,
		deadlines, at, paid, uids(freezes), extB, extS}
}
