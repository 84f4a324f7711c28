-- A payment can be authorised first and captured later, all of it or a part.
-- What a part came to stands beside the terms, which never change: null, and
-- without room in the row, for every other order.

-- +goose Up

-- Orders and intents change together: nobody may be between the two.
LOCK TABLE intents, outcomes, orders IN ACCESS EXCLUSIVE MODE;

ALTER TABLE orders ADD COLUMN captured bigint, ADD COLUMN captured_fee bigint, ADD COLUMN captured_tax bigint;
ALTER TABLE intents ADD COLUMN captured bigint, ADD COLUMN captured_fee bigint, ADD COLUMN captured_tax bigint;
COMMENT ON COLUMN orders.captured IS 'what was captured of an authorised payment, where that is less than the amount agreed: the order is about this then, the rest was voided';
COMMENT ON COLUMN orders.captured_fee IS 'the fee on captured, in place of fee';
COMMENT ON COLUMN orders.captured_tax IS 'the tax on captured_fee, in place of tax';
COMMENT ON COLUMN intents.captured IS 'orders.captured after the event, and so with captured_fee and captured_tax';
COMMENT ON COLUMN orders.freeze_id IS 'the pending transfer that the order waits on: the authorised payment, or the freeze of an open dispute';

-- The constraints of 00002, whose names Postgres chose, and of 00008.
ALTER TABLE orders DROP CONSTRAINT orders_check, DROP CONSTRAINT orders_check1, DROP CONSTRAINT orders_check3,
    DROP CONSTRAINT orders_frozen, DROP CONSTRAINT orders_state;
ALTER TABLE orders
    ADD CONSTRAINT orders_captured CHECK (num_nulls(captured, captured_fee, captured_tax) IN (0, 3)
        AND captured > 0 AND captured < amount AND captured_fee >= 0 AND captured_tax >= 0
        AND captured_fee + captured_tax <= captured AND (captured IS NULL OR paid_at IS NOT NULL)),
    ADD CONSTRAINT orders_charged CHECK (fee_charged BETWEEN 0 AND coalesce(captured_fee, fee)
        AND tax_charged BETWEEN 0 AND coalesce(captured_tax, tax)),
    ADD CONSTRAINT orders_sum CHECK (held + released + refunded = CASE WHEN paid_at IS NULL THEN 0 ELSE coalesce(captured, amount) END),
    ADD CONSTRAINT orders_frozen CHECK (
        (freeze_id IS NOT NULL) = (state IN ('authorised',
            'disputed', 'negotiating', 'escalated', 'arbitration', 'decided', 'returning', 'returned'))
        AND (claim IS NOT NULL) = (freeze_id IS NOT NULL AND state <> 'authorised')),
    -- The state table of settlement/order once more: which states there are,
    -- which deadline each has, and where money can still be held.
    ADD CONSTRAINT orders_state CHECK (CASE state
        WHEN 'agreed'      THEN deadline = 'pay_by'       AND paid_at IS NULL
        WHEN 'authorised'  THEN deadline = 'capture_by'   AND paid_at IS NULL
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

-- As in 00008, with the new columns at the end.
CREATE OR REPLACE VIEW order_events AS
    SELECT i.order_id, i.seq, i.marketplace, i.event, i.actor, i.at, i.data, i.state, i.held, i.released, i.refunded,
           i.fee_charged, i.tax_charged, i.maturing, i.deadline, i.deadline_at, i.paid_at, i.freeze_id,
           i.buyer_extended, i.seller_extended, i.claim, i.id AS intent, i.chain, o.position, o.ledger_timestamp, i.created_at,
           i.captured, i.captured_fee, i.captured_tax
    FROM intents i JOIN outcomes o ON o.intent = i.id
    WHERE o.outcome = 'applied';

-- +goose Down
-- +goose StatementBegin
DO $$ BEGIN RAISE EXCEPTION 'payments that were authorised, or captured in part, cannot be put back into their earlier form'; END $$;
-- +goose StatementEnd
