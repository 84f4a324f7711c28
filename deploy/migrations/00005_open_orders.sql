-- What happens often must not be written often. An index whose columns change
-- is written at every event of an order, and so are all the others of the
-- table: so the deadlines leave the orders' indexes, and what an intent gives
-- to the ledger is kept as its difference to what the row says already.
-- +goose Up

-- The form of what goes to the ledger changes, so nothing may be on its way:
-- the locks keep an earlier version that still runs from sending more.
LOCK TABLE open_batches, intents, outcomes, orders, ledger_state IN ACCESS EXCLUSIVE MODE;
-- +goose StatementBegin
DO $$ BEGIN
    IF EXISTS (SELECT FROM open_batches) THEN
        RAISE EXCEPTION 'intents wait for their outcome: start the earlier version once and stop it, then migrate';
    END IF;
END $$;
-- +goose StatementEnd

-- Room in each page for all of its orders to move on once. Before what follows,
-- which writes the table anew.
ALTER TABLE orders SET (fillfactor = 50);

-- Open orders are found by an index that closed ones are not in. Its condition
-- is a column that changes only when an order ends.
ALTER TABLE orders ADD COLUMN open boolean NOT NULL GENERATED ALWAYS AS (deadline IS NOT NULL) STORED;
COMMENT ON COLUMN orders.open IS 'something is still to happen: the order has a deadline';
CREATE INDEX orders_open ON orders (marketplace, id) WHERE open;
DROP INDEX orders_due;

CREATE TABLE order_deadlines (
    marketplace integer     NOT NULL,
    deadline    text        NOT NULL,
    at          timestamptz NOT NULL,
    order_id    uuid        NOT NULL
);
COMMENT ON TABLE order_deadlines IS 'every deadline that an order was given, until its moment has passed and a job has seen that the order no longer waits for it; the order itself says which is its present one';
CREATE INDEX order_deadlines_at ON order_deadlines (marketplace, deadline, at, order_id);
INSERT INTO order_deadlines SELECT marketplace, deadline, deadline_at, id FROM orders WHERE open;

-- An id above the highest is new: it need not be looked for. Ids rise with time.
ALTER TABLE ledger_state ADD COLUMN highest_transfer uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';
COMMENT ON COLUMN ledger_state.highest_transfer IS 'No transfer and no burned id is above it, unless the books are a mirror''s.';
UPDATE ledger_state SET highest_transfer = greatest(
    coalesce((SELECT id FROM ledger_transfers ORDER BY id DESC LIMIT 1), '00000000-0000-0000-0000-000000000000'),
    coalesce((SELECT id FROM ledger_burned ORDER BY id DESC LIMIT 1), '00000000-0000-0000-0000-000000000000'));

DROP VIEW open_intents, order_events;
ALTER TABLE intents DROP COLUMN accounts, DROP COLUMN legs, ADD COLUMN moves bytea, ADD COLUMN deadline_set boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN intents.moves IS 'the accounts to create first and the transfers, each in TigerBeetle''s 128-byte form, as differences (settlement/orderdb/moves.go); null where no money moves. Of events that were applied before this column came it is null too: their transfers stand in the ledger';
COMMENT ON COLUMN intents.deadline_set IS 'the event gives the order another deadline, or another moment for it';

-- As in 00002, over the new columns.
CREATE VIEW open_intents AS
    SELECT DISTINCT ON (i.id) i.* FROM open_batches b
    CROSS JOIN LATERAL (SELECT n.* FROM intents n WHERE n.id BETWEEN b.first AND b.last ORDER BY n.id OFFSET 0) i
    LEFT JOIN LATERAL (SELECT o.intent FROM outcomes o WHERE o.intent = i.id LIMIT 1) o ON true
    WHERE o.intent IS NULL
    ORDER BY i.id;
CREATE VIEW order_events AS
    SELECT i.order_id, i.seq, i.marketplace, i.event, i.actor, i.at, i.data, i.state, i.held, i.released, i.refunded,
           i.fee_charged, i.tax_charged, i.maturing, i.deadline, i.deadline_at, i.paid_at, i.freeze_id,
           i.buyer_extended, i.seller_extended, i.id AS intent, i.chain, o.position, o.ledger_timestamp, i.created_at
    FROM intents i JOIN outcomes o ON o.intent = i.id
    WHERE o.outcome = 'applied';

-- +goose Down
-- +goose StatementBegin
DO $$ BEGIN RAISE EXCEPTION 'what intents gave to the ledger cannot be put back into its earlier form'; END $$;
-- +goose StatementEnd
