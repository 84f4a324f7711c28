-- What was released of a part matures by itself, while others are held: the order
-- has that among its parts' deadlines, and what is kept in reserve meanwhile.

-- +goose Up

ALTER TABLE orders DROP CONSTRAINT orders_parts_deadline, DROP CONSTRAINT orders_reserved, DROP CONSTRAINT orders_state;
ALTER TABLE orders
    -- An order in parts has their deadlines, and no other has.
    ADD CONSTRAINT orders_parts_deadline CHECK (CASE
        WHEN parts IS NULL THEN state <> 'part_shipped' AND (deadline IS NULL OR deadline NOT IN ('confirm_part_by', 'mature_part_at'))
        ELSE deadline IS DISTINCT FROM 'confirm_by' END),
    -- A reserve is kept from what matures until its time is over: of parts, from the
    -- first on.
    ADD CONSTRAINT orders_reserved CHECK (CASE
        WHEN state IN ('charged_back', 'represented') THEN true
        WHEN parts IS NOT NULL AND deadline IS NOT NULL AND paid_at IS NOT NULL AND state <> 'reserved' THEN true
        ELSE (state = 'reserved') = (coalesce((aftermath->>'reserved')::bigint, 0) > 0) END),
    -- The state table of settlement/order once more: which states there are,
    -- which deadline each has, and where money can still be held.
    ADD CONSTRAINT orders_state CHECK (CASE state
        WHEN 'agreed'       THEN deadline = 'pay_by'       AND paid_at IS NULL
        WHEN 'authorised'   THEN deadline = 'capture_by'   AND paid_at IS NULL
        WHEN 'held'         THEN deadline = 'ship_by'      AND held > 0
        WHEN 'part_shipped' THEN deadline IN ('ship_by', 'confirm_part_by', 'mature_part_at') AND held > 0
        WHEN 'shipped'      THEN deadline IN ('confirm_by', 'confirm_part_by', 'mature_part_at') AND held > 0
        WHEN 'delivered'    THEN deadline IN ('confirm_by', 'confirm_part_by', 'mature_part_at') AND held > 0
        WHEN 'disputed'     THEN deadline IN ('respond_by', 'rule_by') AND held > 0
        WHEN 'negotiating'  THEN deadline = 'negotiate_by' AND held > 0
        WHEN 'escalated'    THEN deadline = 'evidence_by'  AND held > 0
        WHEN 'arbitration'  THEN deadline = 'rule_by'      AND held > 0
        WHEN 'decided'      THEN deadline = 'appeal_by'    AND held > 0
        WHEN 'returning'    THEN deadline = 'return_by'    AND held > 0
        WHEN 'returned'     THEN deadline = 'inspect_by'   AND held > 0
        WHEN 'replacing'    THEN deadline = 'replace_by'   AND held > 0
        WHEN 'ruled'        THEN deadline IN ('mature_at', 'mature_part_at') AND held = 0 AND released > 0 AND refunded > 0
        WHEN 'released'     THEN deadline IN ('mature_at', 'mature_part_at') AND held = 0 AND released > 0
        WHEN 'reserved'     THEN deadline = 'reserve_until' AND held = 0 AND maturing = 0
        WHEN 'charged_back' THEN deadline = 'represent_by' AND held + released > 0
        WHEN 'represented'  THEN deadline = 'decision_by'  AND held + released > 0
        WHEN 'refunded'     THEN deadline IS NULL AND held = 0 AND released = 0 AND refunded > 0 AND maturing = 0
        WHEN 'canceled'     THEN deadline IS NULL AND held = 0 AND released = 0
        WHEN 'expired'      THEN deadline IS NULL AND paid_at IS NULL
        WHEN 'closed'       THEN deadline IS NULL AND held = 0 AND maturing = 0
        ELSE false END);
-- What matures by itself waits for the moment, and only that does.
ALTER TABLE orders ADD CONSTRAINT orders_parts_maturing CHECK (deadline IS DISTINCT FROM 'mature_part_at' OR maturing > 0);

COMMENT ON COLUMN orders.maturing IS 'of released, what the seller has that is not available yet; of an order in parts, of all its parts';

-- +goose Down
-- +goose StatementBegin
DO $$ BEGIN RAISE EXCEPTION 'parts that mature by themselves cannot be made to mature together'; END $$;
-- +goose StatementEnd
