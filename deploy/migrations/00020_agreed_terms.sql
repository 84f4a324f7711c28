-- Buyer and seller can agree with an order how long it may be inspected.

-- +goose Up
ALTER TABLE orders ADD COLUMN confirm_within integer CHECK (confirm_within > 0);
COMMENT ON COLUMN orders.confirm_within IS 'agreed: seconds to confirm from the delivery, in place of the policy''s time; null for that';

-- +goose Down
-- +goose StatementBegin
DO $$ BEGIN RAISE EXCEPTION 'orders that may be inspected for a time of their own would lose it'; END $$;
-- +goose StatementEnd
