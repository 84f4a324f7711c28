-- Rulings on much money, and policies where a marketplace wants it, are proposed
-- by one person and approved by another, as entries. How often an order was
-- disputed is counted, so that it can have an end, and a dispute can end with
-- other goods in place of the first.

-- +goose Up

-- Orders and intents change together: nobody may be between the two, as in 00009.
LOCK TABLE intents, outcomes, orders IN ACCESS EXCLUSIVE MODE;

ALTER TABLE orders ADD COLUMN disputes smallint, ADD COLUMN replaced smallint;
ALTER TABLE intents ADD COLUMN disputes smallint, ADD COLUMN replaced smallint;
COMMENT ON COLUMN orders.disputes IS 'how often the buyer has disputed it, withdrawn disputes too; null for never, and for orders of policies without a limit that were disputed before';
COMMENT ON COLUMN intents.disputes IS 'orders.disputes after the event';
COMMENT ON COLUMN orders.replaced IS 'disputes when a replacement was shipped; null for none';
COMMENT ON COLUMN intents.replaced IS 'orders.replaced after the event';

-- As in 00009, with the state replacing.
ALTER TABLE orders DROP CONSTRAINT orders_frozen, DROP CONSTRAINT orders_state;
ALTER TABLE orders
    ADD CONSTRAINT orders_disputes CHECK (disputes > 0 AND replaced > 0 AND replaced <= disputes),
    ADD CONSTRAINT orders_frozen CHECK (
        (freeze_id IS NOT NULL) = (state IN ('authorised',
            'disputed', 'negotiating', 'escalated', 'arbitration', 'decided', 'returning', 'returned', 'replacing'))
        AND (claim IS NOT NULL) = (freeze_id IS NOT NULL AND state <> 'authorised')),
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
        WHEN 'replacing'   THEN deadline = 'replace_by'   AND held > 0
        WHEN 'ruled'       THEN deadline = 'mature_at'    AND held = 0 AND released > 0 AND refunded > 0
        WHEN 'released'    THEN deadline = 'mature_at'    AND held = 0 AND released > 0
        WHEN 'refunded'    THEN deadline IS NULL AND held = 0 AND released = 0 AND refunded > 0
        WHEN 'canceled'    THEN deadline IS NULL AND held = 0 AND released = 0
        WHEN 'expired'     THEN deadline IS NULL AND paid_at IS NULL
        WHEN 'closed'      THEN deadline IS NULL AND held = 0 AND maturing = 0
        ELSE false END);

-- As in 00012, with the new columns at the end.
CREATE OR REPLACE VIEW order_events AS
    SELECT i.order_id, i.seq, i.marketplace, i.event, i.actor, i.at, i.data, i.state, i.held, i.released, i.refunded,
           i.fee_charged, i.tax_charged, i.maturing, i.deadline, i.deadline_at, i.paid_at, i.freeze_id,
           i.buyer_extended, i.seller_extended, i.claim, i.id AS intent, i.chain, o.position, o.ledger_timestamp, i.created_at,
           i.captured, i.captured_fee, i.captured_tax, i.captured_share, i.method, i.disputes, i.replaced
    FROM intents i JOIN outcomes o ON o.intent = i.id
    WHERE o.outcome = 'applied' AND i.entry IS NULL;

ALTER TABLE entries DROP CONSTRAINT entries_state, DROP CONSTRAINT entries_amount;
ALTER TABLE entries
    -- As in 00013, with two kinds more.
    ADD CONSTRAINT entries_state CHECK (state IN ('', 'refused') OR CASE kind
        WHEN 'payout'         THEN state IN ('sent', 'accepted', 'paid', 'failed', 'returned')
        WHEN 'receipt'        THEN state IN ('unidentified', 'done', 'sent_back')
        WHEN 'repayment'      THEN state IN ('due', 'sent', 'done', 'rejected')
        WHEN 'recovery'       THEN state = 'done'
        WHEN 'write_off'      THEN state IN ('proposed', 'done', 'rejected', 'expired')
        WHEN 'adjustment'     THEN state IN ('proposed', 'done', 'rejected', 'expired')
        WHEN 'psp_settlement' THEN state = 'done'
        WHEN 'fee_sweep'      THEN state = 'done'
        WHEN 'bank_details'   THEN state IN ('proposed', 'done', 'rejected', 'expired')
        WHEN 'conversion'     THEN state IN ('proposed', 'done', 'rejected', 'expired')
        WHEN 'ruling'         THEN state IN ('proposed', 'done', 'rejected', 'expired')
        WHEN 'policy'         THEN state IN ('proposed', 'done', 'rejected', 'expired')
        ELSE false END),
    ADD CONSTRAINT entries_amount CHECK ((amount = 0) = (kind IN ('bank_details', 'policy')));

ALTER TABLE marketplaces ADD COLUMN four_eyes_policies boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN marketplaces.four_eyes_policies IS 'a policy is added by the approval of an entry alone';

-- +goose Down
-- +goose StatementBegin
DO $$ BEGIN RAISE EXCEPTION 'what was proposed and approved cannot be put back into an earlier form'; END $$;
-- +goose StatementEnd
