-- Whoever asks for open orders finds them by an index that closed ones are not
-- in. Its condition is a column that changes only when an order ends: an index
-- whose columns or condition change is written again at every event.
-- +goose Up
ALTER TABLE orders ADD COLUMN open boolean NOT NULL GENERATED ALWAYS AS (deadline IS NOT NULL) STORED;
COMMENT ON COLUMN orders.open IS 'something is still to happen: the order has a deadline';
CREATE INDEX orders_open ON orders (marketplace, id) WHERE open;

-- +goose Down
ALTER TABLE orders DROP COLUMN open;
