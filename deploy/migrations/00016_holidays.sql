-- Holidays lengthen the time to confirm, and virtual goods have a time of their
-- own. Both columns are null, and without room in the row, for other orders.

-- +goose Up

-- Orders and intents change together: nobody may be between the two.
LOCK TABLE intents, outcomes, orders IN ACCESS EXCLUSIVE MODE;

ALTER TABLE orders ADD COLUMN virtual boolean, ADD COLUMN holidays smallint;
ALTER TABLE intents ADD COLUMN holidays smallint;
COMMENT ON COLUMN orders.virtual IS 'agreed: nothing is carried; null for goods that are';
COMMENT ON COLUMN orders.holidays IS 'by how many days of the policy''s calendar the deadline was lengthened; null for none';
COMMENT ON COLUMN intents.holidays IS 'orders.holidays after the event';
ALTER TABLE orders ADD CONSTRAINT orders_holidays CHECK (holidays IS NULL
    OR holidays BETWEEN 1 AND 400 AND deadline IS NOT NULL AND deadline IN ('confirm_by', 'confirm_part_by'));

-- As in 00015, with the new column at the end.
CREATE OR REPLACE VIEW order_events AS
    SELECT i.order_id, i.seq, i.marketplace, i.event, i.actor, i.at, i.data, i.state, i.held, i.released, i.refunded,
           i.fee_charged, i.tax_charged, i.maturing, i.deadline, i.deadline_at, i.paid_at, i.freeze_id,
           i.buyer_extended, i.seller_extended, i.claim, i.id AS intent, i.chain, o.position, o.ledger_timestamp, i.created_at,
           i.captured, i.captured_fee, i.captured_tax, i.captured_share, i.method, i.disputes, i.replaced, i.parts, i.holidays
    FROM intents i JOIN outcomes o ON o.intent = i.id
    WHERE o.outcome = 'applied' AND i.entry IS NULL;

-- +goose Down
-- +goose StatementBegin
DO $$ BEGIN RAISE EXCEPTION 'deadlines that holidays have lengthened cannot be put back'; END $$;
-- +goose StatementEnd
