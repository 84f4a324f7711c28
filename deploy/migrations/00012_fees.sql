-- Fees by method of payment, seller's tier and jurisdiction, which the buyer can
-- bear a share of. What the buyer bears is paid on top of what the goods cost:
-- amount and captured are the goods', the shares stand beside them. All of it is
-- null, and without room in the row, for every other order.

-- +goose Up

-- Orders and intents change together: nobody may be between the two.
LOCK TABLE intents, outcomes, orders IN ACCESS EXCLUSIVE MODE;

ALTER TABLE orders ADD COLUMN buyer_share bigint, ADD COLUMN seller_tier text, ADD COLUMN jurisdiction text,
    ADD COLUMN captured_share bigint, ADD COLUMN method text;
ALTER TABLE intents ADD COLUMN captured_share bigint, ADD COLUMN method text;
COMMENT ON COLUMN orders.amount IS 'what the goods cost, as agreed';
COMMENT ON COLUMN orders.buyer_share IS 'what of fee and tax the buyer pays on top of amount, as agreed; null for nothing';
COMMENT ON COLUMN orders.seller_tier IS 'the seller''s at the agreement, a word of the marketplace''s; null for none';
COMMENT ON COLUMN orders.jurisdiction IS 'the seller''s at the agreement, for tax on the fee; null for none';
COMMENT ON COLUMN orders.captured IS 'what the goods come to where the payment came to something else than was agreed: a part of what was authorised was captured, or the fee depended on the method';
COMMENT ON COLUMN orders.captured_share IS 'with captured, in place of buyer_share';
COMMENT ON COLUMN orders.method IS 'how it was paid, under a policy with fee rules';
COMMENT ON COLUMN intents.captured_share IS 'orders.captured_share after the event';
COMMENT ON COLUMN intents.method IS 'orders.method after the event';

-- In place of those of 00009.
ALTER TABLE orders DROP CONSTRAINT orders_captured, DROP CONSTRAINT orders_sum;
ALTER TABLE orders
    -- Fee and tax are at most the amount, and so is what the buyer bears of them.
    ADD CONSTRAINT orders_buyer_share CHECK (buyer_share > 0 AND buyer_share <= fee + tax),
    -- By a method something is settled before the payment is captured, and can be
    -- all that was agreed, with another fee.
    ADD CONSTRAINT orders_captured CHECK (num_nulls(captured, captured_fee, captured_tax) IN (0, 3)
        AND captured > 0 AND captured <= amount AND captured_fee >= 0 AND captured_tax >= 0
        AND captured_fee + captured_tax <= captured
        AND (captured < amount AND paid_at IS NOT NULL OR captured IS NULL
            OR method IS NOT NULL AND (paid_at IS NOT NULL OR state IN ('authorised', 'canceled', 'expired')))
        AND (captured_share IS NULL
            OR method IS NOT NULL AND captured IS NOT NULL AND captured_share > 0 AND captured_share <= captured)),
    ADD CONSTRAINT orders_sum CHECK (held + released + refunded = CASE WHEN paid_at IS NULL THEN 0
        ELSE coalesce(captured + coalesce(captured_share, 0), amount + coalesce(buyer_share, 0)) END);

-- As in 00010, with the new columns at the end.
CREATE OR REPLACE VIEW order_events AS
    SELECT i.order_id, i.seq, i.marketplace, i.event, i.actor, i.at, i.data, i.state, i.held, i.released, i.refunded,
           i.fee_charged, i.tax_charged, i.maturing, i.deadline, i.deadline_at, i.paid_at, i.freeze_id,
           i.buyer_extended, i.seller_extended, i.claim, i.id AS intent, i.chain, o.position, o.ledger_timestamp, i.created_at,
           i.captured, i.captured_fee, i.captured_tax, i.captured_share, i.method
    FROM intents i JOIN outcomes o ON o.intent = i.id
    WHERE o.outcome = 'applied' AND i.entry IS NULL;

-- +goose Down
-- +goose StatementBegin
DO $$ BEGIN RAISE EXCEPTION 'orders whose fee depended on the method, or that the buyer bore a share of, cannot be put back into their earlier form'; END $$;
-- +goose StatementEnd
