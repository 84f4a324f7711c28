-- A dispute has steps of its own: the seller's answer, a negotiation with
-- offers, evidence, a ruling that can be appealed, the goods' return. What it
-- is about stands in one column, null for the orders that are in none.

-- +goose Up

-- A dispute that is decided and not recorded would lead to an order without its
-- claim: nothing may be on its way, as in 00005.
LOCK TABLE open_batches, intents, outcomes, orders IN ACCESS EXCLUSIVE MODE;
-- +goose StatementBegin
DO $$ BEGIN
    IF EXISTS (SELECT FROM open_batches) THEN
        RAISE EXCEPTION 'intents wait for their outcome: start the earlier version once and stop it, then migrate';
    END IF;
END $$;
-- +goose StatementEnd

ALTER TABLE orders ADD COLUMN claim jsonb;
ALTER TABLE intents ADD COLUMN claim jsonb;
COMMENT ON COLUMN orders.claim IS 'the open dispute (settlement/order, Claim); null for none';
COMMENT ON COLUMN intents.claim IS 'orders.claim after the event';

-- Disputes that are open: all that is held is claimed; they began where the
-- event before left the order.
UPDATE orders o SET claim = jsonb_build_object('opened_at', to_char(o.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'amount', o.held,
    'from', before.state, 'confirm_left_us', (extract(epoch FROM before.deadline_at - o.at) * 1000000)::bigint,
    'buyer_extended', before.buyer_extended, 'seller_extended', before.seller_extended)
FROM order_events before
WHERE o.state = 'disputed' AND before.order_id = o.id AND before.seq = o.seq - 1;

-- The constraints of 00002, whose names Postgres chose.
ALTER TABLE orders DROP CONSTRAINT orders_check4, DROP CONSTRAINT orders_check5;
ALTER TABLE orders ADD CONSTRAINT orders_frozen CHECK (
    (freeze_id IS NOT NULL) = (state IN ('disputed', 'negotiating', 'escalated', 'arbitration', 'decided', 'returning', 'returned'))
    AND (claim IS NOT NULL) = (freeze_id IS NOT NULL));
-- The state table of settlement/order once more: which states there are, which
-- deadline each has, and where money can still be held.
ALTER TABLE orders ADD CONSTRAINT orders_state CHECK (CASE state
    WHEN 'agreed'      THEN deadline = 'pay_by'       AND paid_at IS NULL
    WHEN 'held'        THEN deadline = 'ship_by'      AND held > 0
    WHEN 'shipped'     THEN deadline = 'confirm_by'   AND held > 0
    WHEN 'delivered'   THEN deadline = 'confirm_by'   AND held > 0
    WHEN 'disputed'    THEN deadline IN ('respond_by', 'rule_by') AND held > 0
    WHEN 'negotiating' THEN deadline = 'negotiate_by' AND held > 0
    WHEN 'escalated'   THEN deadline = 'evidence_by'  AND held > 0
    WHEN 'arbitration' THEN deadline = 'rule_by'      AND held > 0
    WHEN 'decided'     THEN deadline = 'appeal_by'    AND held > 0
    WHEN 'returning'   THEN deadline = 'return_by'    AND held > 0
    WHEN 'returned'    THEN deadline = 'inspect_by'   AND held > 0
    WHEN 'ruled'       THEN deadline = 'mature_at'    AND held = 0 AND released > 0 AND refunded > 0
    WHEN 'released'    THEN deadline = 'mature_at'    AND held = 0 AND released > 0
    WHEN 'refunded'    THEN deadline IS NULL AND held = 0 AND released = 0 AND refunded > 0
    WHEN 'canceled'    THEN deadline IS NULL AND held = 0 AND released = 0
    WHEN 'expired'     THEN deadline IS NULL AND paid_at IS NULL
    WHEN 'closed'      THEN deadline IS NULL AND held = 0 AND maturing = 0
    ELSE false END);

-- As in 00005, over the new column.
DROP VIEW open_intents, order_events;
CREATE VIEW open_intents AS
    SELECT DISTINCT ON (i.id) i.* FROM open_batches b
    CROSS JOIN LATERAL (SELECT n.* FROM intents n WHERE n.id BETWEEN b.first AND b.last ORDER BY n.id OFFSET 0) i
    LEFT JOIN LATERAL (SELECT o.intent FROM outcomes o WHERE o.intent = i.id LIMIT 1) o ON true
    WHERE o.intent IS NULL
    ORDER BY i.id;
CREATE VIEW order_events AS
    SELECT i.order_id, i.seq, i.marketplace, i.event, i.actor, i.at, i.data, i.state, i.held, i.released, i.refunded,
           i.fee_charged, i.tax_charged, i.maturing, i.deadline, i.deadline_at, i.paid_at, i.freeze_id,
           i.buyer_extended, i.seller_extended, i.claim, i.id AS intent, i.chain, o.position, o.ledger_timestamp, i.created_at
    FROM intents i JOIN outcomes o ON o.intent = i.id
    WHERE o.outcome = 'applied';

-- +goose Down
-- +goose StatementBegin
DO $$ BEGIN RAISE EXCEPTION 'disputes that have gone on cannot be put back into their earlier form'; END $$;
-- +goose StatementEnd
