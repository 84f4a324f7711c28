-- What was released can go back to the buyer, a share of it can be kept in
-- reserve, and the buyer's bank can take the payment back. What happened to an
-- order after its release, and its chargebacks, stand in one column, null, and
-- without room in the row, for the orders to which nothing did.

-- +goose Up

-- Orders and intents change together: nobody may be between the two.
LOCK TABLE intents, outcomes, orders IN ACCESS EXCLUSIVE MODE;

ALTER TABLE orders ADD COLUMN aftermath jsonb;
ALTER TABLE intents ADD COLUMN aftermath jsonb;
COMMENT ON COLUMN orders.aftermath IS 'what happened after the release, and chargebacks (settlement/order, Aftermath); null for nothing';
COMMENT ON COLUMN intents.aftermath IS 'orders.aftermath after the event';
COMMENT ON COLUMN orders.released IS 'left escrow for the seller, fee and tax included, less what went back to the buyer since';

COMMENT ON COLUMN orders.freeze_id IS 'the pending transfer that the order waits on: the authorised payment, or the freeze of an open dispute or chargeback';

-- That of 00014 and that of 00015, with the new states.
ALTER TABLE orders DROP CONSTRAINT orders_frozen, DROP CONSTRAINT orders_state;
ALTER TABLE orders
    ADD CONSTRAINT orders_frozen CHECK (CASE WHEN state IN ('charged_back', 'represented')
        -- All that is held is frozen, in a dispute that is interrupted or by the chargeback.
        THEN (freeze_id IS NOT NULL) = (held > 0) AND (claim IS NULL OR freeze_id IS NOT NULL)
        ELSE (freeze_id IS NOT NULL) = (state IN ('authorised',
                'disputed', 'negotiating', 'escalated', 'arbitration', 'decided', 'returning', 'returned', 'replacing'))
            AND (claim IS NOT NULL) = (freeze_id IS NOT NULL AND state <> 'authorised') END),
    ADD CONSTRAINT orders_charged_back CHECK ((state IN ('charged_back', 'represented')) = coalesce(aftermath ? 'chargeback', false)),
    ADD CONSTRAINT orders_reserved CHECK (CASE WHEN state IN ('charged_back', 'represented') THEN true
        ELSE (state = 'reserved') = (coalesce((aftermath->>'reserved')::bigint, 0) > 0) END),
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
        WHEN 'reserved'     THEN deadline = 'reserve_until' AND held = 0 AND maturing = 0
        WHEN 'charged_back' THEN deadline = 'represent_by' AND held + released > 0
        WHEN 'represented'  THEN deadline = 'decision_by'  AND held + released > 0
        WHEN 'refunded'     THEN deadline IS NULL AND held = 0 AND released = 0 AND refunded > 0 AND maturing = 0
        WHEN 'canceled'     THEN deadline IS NULL AND held = 0 AND released = 0
        WHEN 'expired'      THEN deadline IS NULL AND paid_at IS NULL
        WHEN 'closed'       THEN deadline IS NULL AND held = 0 AND maturing = 0
        ELSE false END);

-- As in 00016, with the new column at the end.
CREATE OR REPLACE VIEW order_events AS
    SELECT i.order_id, i.seq, i.marketplace, i.event, i.actor, i.at, i.data, i.state, i.held, i.released, i.refunded,
           i.fee_charged, i.tax_charged, i.maturing, i.deadline, i.deadline_at, i.paid_at, i.freeze_id,
           i.buyer_extended, i.seller_extended, i.claim, i.id AS intent, i.chain, o.position, o.ledger_timestamp, i.created_at,
           i.captured, i.captured_fee, i.captured_tax, i.captured_share, i.method, i.disputes, i.replaced, i.parts, i.holidays, i.aftermath
    FROM intents i JOIN outcomes o ON o.intent = i.id
    WHERE o.outcome = 'applied' AND i.entry IS NULL;

-- +goose Down
-- +goose StatementBegin
DO $$ BEGIN RAISE EXCEPTION 'what went back after the release cannot be put back into its earlier form'; END $$;
-- +goose StatementEnd
