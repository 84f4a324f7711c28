-- An order can be agreed in parts, each shipped, confirmed and released by
-- itself. What they are and how far each is stands in one column, null for the
-- orders that are not in parts.

-- +goose Up

-- Orders and intents change together: nobody may be between the two.
LOCK TABLE intents, outcomes, orders IN ACCESS EXCLUSIVE MODE;

ALTER TABLE orders ADD COLUMN parts jsonb;
ALTER TABLE intents ADD COLUMN parts jsonb;
COMMENT ON COLUMN orders.parts IS 'what the order was agreed in, and how far each part is (settlement/order, Parts); null for an order that is not in parts';
COMMENT ON COLUMN intents.parts IS 'orders.parts after the event';

ALTER TABLE orders DROP CONSTRAINT orders_state;
ALTER TABLE orders
    ADD CONSTRAINT orders_parts CHECK (parts IS NULL OR jsonb_array_length(parts -> 'list') BETWEEN 2 AND 50),
    -- An order in parts has their deadlines, and no other has.
    ADD CONSTRAINT orders_parts_deadline CHECK (CASE
        WHEN parts IS NULL THEN state <> 'part_shipped' AND deadline IS DISTINCT FROM 'confirm_part_by'
        ELSE deadline IS DISTINCT FROM 'confirm_by' END),
    -- The state table of settlement/order once more: which states there are,
    -- which deadline each has, and where money can still be held.
    ADD CONSTRAINT orders_state CHECK (CASE state
        WHEN 'agreed'       THEN deadline = 'pay_by'       AND paid_at IS NULL
        WHEN 'authorised'   THEN deadline = 'capture_by'   AND paid_at IS NULL
        WHEN 'held'         THEN deadline = 'ship_by'      AND held > 0
        WHEN 'part_shipped' THEN deadline IN ('ship_by', 'confirm_part_by') AND held > 0
        WHEN 'shipped'      THEN deadline IN ('confirm_by', 'confirm_part_by') AND held > 0
        WHEN 'delivered'    THEN deadline IN ('confirm_by', 'confirm_part_by') AND held > 0
        WHEN 'disputed'     THEN deadline IN ('respond_by', 'rule_by') AND held > 0
        WHEN 'negotiating'  THEN deadline = 'negotiate_by' AND held > 0
        WHEN 'escalated'    THEN deadline = 'evidence_by'  AND held > 0
        WHEN 'arbitration'  THEN deadline = 'rule_by'      AND held > 0
        WHEN 'decided'      THEN deadline = 'appeal_by'    AND held > 0
        WHEN 'returning'    THEN deadline = 'return_by'    AND held > 0
        WHEN 'returned'     THEN deadline = 'inspect_by'   AND held > 0
        WHEN 'replacing'    THEN deadline = 'replace_by'   AND held > 0
        WHEN 'ruled'        THEN deadline = 'mature_at'    AND held = 0 AND released > 0 AND refunded > 0
        WHEN 'released'     THEN deadline = 'mature_at'    AND held = 0 AND released > 0
        WHEN 'refunded'     THEN deadline IS NULL AND held = 0 AND released = 0 AND refunded > 0
        WHEN 'canceled'     THEN deadline IS NULL AND held = 0 AND released = 0
        WHEN 'expired'      THEN deadline IS NULL AND paid_at IS NULL
        WHEN 'closed'       THEN deadline IS NULL AND held = 0 AND maturing = 0
        ELSE false END);

-- As in 00014, with the new column at the end.
CREATE OR REPLACE VIEW order_events AS
    SELECT i.order_id, i.seq, i.marketplace, i.event, i.actor, i.at, i.data, i.state, i.held, i.released, i.refunded,
           i.fee_charged, i.tax_charged, i.maturing, i.deadline, i.deadline_at, i.paid_at, i.freeze_id,
           i.buyer_extended, i.seller_extended, i.claim, i.id AS intent, i.chain, o.position, o.ledger_timestamp, i.created_at,
           i.captured, i.captured_fee, i.captured_tax, i.captured_share, i.method, i.disputes, i.replaced, i.parts
    FROM intents i JOIN outcomes o ON o.intent = i.id
    WHERE o.outcome = 'applied' AND i.entry IS NULL;

-- +goose Down
-- +goose StatementBegin
DO $$ BEGIN RAISE EXCEPTION 'orders in parts cannot be put back into one piece'; END $$;
-- +goose StatementEnd
