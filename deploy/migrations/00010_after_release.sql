-- What was released can go back to the buyer. What happened to an order after
-- its release stands in one column, null, and without room in the row, for the
-- orders to which nothing did.

-- +goose Up

-- Orders and intents change together: nobody may be between the two.
LOCK TABLE intents, outcomes, orders IN ACCESS EXCLUSIVE MODE;

ALTER TABLE orders ADD COLUMN aftermath jsonb;
ALTER TABLE intents ADD COLUMN aftermath jsonb;
COMMENT ON COLUMN orders.aftermath IS 'what happened after the release (settlement/order, Aftermath); null for nothing';
COMMENT ON COLUMN intents.aftermath IS 'orders.aftermath after the event';
COMMENT ON COLUMN orders.released IS 'left escrow for the seller, fee and tax included, less what went back to the buyer since';

-- A seller's reserve and debt are written down with the seller's other accounts,
-- whose ids differ in the last four digits, the chart's number; see
-- settlement/order, AccountID.
INSERT INTO accounts (id, ledger, code, owner)
    SELECT (left(a.id::text, 32) || n.digits)::uuid, a.ledger, n.code, a.owner
    FROM accounts a, (VALUES (2220, '08ac'), (1310, '051e')) AS n (code, digits)
    WHERE a.code = 2200
    ON CONFLICT (ledger, code, owner) DO NOTHING;

-- As in 00009, with the new column at the end.
CREATE OR REPLACE VIEW order_events AS
    SELECT i.order_id, i.seq, i.marketplace, i.event, i.actor, i.at, i.data, i.state, i.held, i.released, i.refunded,
           i.fee_charged, i.tax_charged, i.maturing, i.deadline, i.deadline_at, i.paid_at, i.freeze_id,
           i.buyer_extended, i.seller_extended, i.claim, i.id AS intent, i.chain, o.position, o.ledger_timestamp, i.created_at,
           i.captured, i.captured_fee, i.captured_tax, i.aftermath
    FROM intents i JOIN outcomes o ON o.intent = i.id
    WHERE o.outcome = 'applied';

-- +goose Down
-- +goose StatementBegin
DO $$ BEGIN RAISE EXCEPTION 'what went back after the release cannot be put back into its earlier form'; END $$;
-- +goose StatementEnd
