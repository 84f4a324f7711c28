-- What was released can be disputed too: the order is in the states of a dispute,
-- and nothing of it is held. And a deadline can be one that buyer and seller extend
-- together: what one of them has asked for stands in aftermath.

-- +goose Up

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION order_consistent(state text, seq integer, amount bigint, fee bigint, tax bigint, buyer_share bigint,
    held bigint, released bigint, refunded bigint, fee_charged bigint, tax_charged bigint, maturing bigint,
    deadline text, deadline_at timestamptz, paid_at timestamptz, freeze_id uuid,
    captured bigint, captured_fee bigint, captured_tax bigint, captured_share bigint, method text,
    claim jsonb, disputes smallint, replaced smallint, parts jsonb, holidays smallint, aftermath jsonb)
RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    broken text;
BEGIN
    IF (seq > 0 AND amount BETWEEN 1 AND 9007199254740991 AND fee + tax <= amount
        AND least(fee, tax, held, released, refunded, fee_charged, tax_charged, maturing) >= 0
        AND fee_charged <= coalesce(captured_fee, fee) AND tax_charged <= coalesce(captured_tax, tax)
        AND (deadline IS NULL) = (deadline_at IS NULL)
        AND held + released + refunded = CASE WHEN paid_at IS NULL THEN 0
            ELSE coalesce(captured + coalesce(captured_share, 0), amount + coalesce(buyer_share, 0)) END) IS NOT TRUE THEN
        broken := 'orders_amounts';

    -- The state table of settlement/order once more: which states there are,
    -- which deadline each has, and where money can still be held.
    ELSIF (CASE state
        WHEN 'agreed'       THEN deadline = 'pay_by'       AND paid_at IS NULL
        WHEN 'authorised'   THEN deadline = 'capture_by'   AND paid_at IS NULL
        WHEN 'held'         THEN deadline = 'ship_by'      AND held > 0
        WHEN 'part_shipped' THEN deadline IN ('ship_by', 'confirm_part_by', 'mature_part_at') AND held > 0
        WHEN 'shipped'      THEN deadline IN ('confirm_by', 'confirm_part_by', 'mature_part_at') AND held > 0
        WHEN 'delivered'    THEN deadline IN ('confirm_by', 'confirm_part_by', 'mature_part_at') AND held > 0
        WHEN 'disputed'     THEN deadline IN ('respond_by', 'rule_by') AND held + released > 0
        WHEN 'negotiating'  THEN deadline = 'negotiate_by' AND held + released > 0
        WHEN 'escalated'    THEN deadline = 'evidence_by'  AND held + released > 0
        WHEN 'arbitration'  THEN deadline = 'rule_by'      AND held + released > 0
        WHEN 'decided'      THEN deadline = 'appeal_by'    AND held + released > 0
        WHEN 'returning'    THEN deadline = 'return_by'    AND held + released > 0
        WHEN 'returned'     THEN deadline = 'inspect_by'   AND held + released > 0
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
        ELSE false END) IS NOT TRUE THEN
        broken := 'orders_state';

    -- Most orders have nothing of what follows.
    ELSIF num_nonnulls(buyer_share, freeze_id, captured, captured_fee, captured_tax, captured_share, method, claim,
            disputes, replaced, parts, holidays, aftermath) = 0
        AND state IN ('agreed', 'held', 'shipped', 'delivered', 'released', 'closed', 'refunded', 'canceled', 'expired')
        AND coalesce(deadline NOT IN ('confirm_part_by', 'mature_part_at'), true) THEN
        RETURN true;

    -- All that is held is frozen in a dispute, interrupted by a chargeback or
    -- not, and by a chargeback.
    ELSIF (CASE
        WHEN state IN ('charged_back', 'represented') THEN (freeze_id IS NOT NULL) = (held > 0)
        WHEN state IN ('disputed', 'negotiating', 'escalated', 'arbitration', 'decided', 'returning', 'returned', 'replacing')
            THEN claim IS NOT NULL AND (freeze_id IS NOT NULL) = (held > 0)
        ELSE claim IS NULL AND (freeze_id IS NOT NULL) = (state = 'authorised') END) IS NOT TRUE THEN
        broken := 'orders_frozen';
    -- A dispute is about what is held or, when nothing is any more, what was released.
    ELSIF (claim IS NULL OR (claim ? 'stake') = (held = 0)
        AND (claim ? 'stake') = (claim ->> 'from' IN ('released', 'reserved', 'closed'))) IS NOT TRUE THEN
        broken := 'orders_claim';

    -- Fee and tax are at most the amount, and so is what the buyer bears of them.
    ELSIF buyer_share NOT BETWEEN 1 AND fee + tax THEN
        broken := 'orders_buyer_share';
    -- A price that was changed is another than at first, and what the order comes to
    -- from then on; an order in parts keeps theirs.
    ELSIF aftermath ? 'price' AND ((aftermath ->> 'price')::bigint BETWEEN 1 AND 9007199254740991
        AND (aftermath ->> 'price')::bigint <> amount AND parts IS NULL
        AND captured IS NOT NULL AND (paid_at IS NOT NULL OR captured = (aftermath ->> 'price')::bigint)) IS NOT TRUE THEN
        broken := 'orders_price';
    -- By a method something is settled before the payment is captured, and can be
    -- all that was agreed, with another fee.
    ELSIF (num_nulls(captured, captured_fee, captured_tax) = 3 OR num_nulls(captured, captured_fee, captured_tax) = 0
        AND captured BETWEEN 1 AND coalesce((aftermath ->> 'price')::bigint, amount) AND least(captured_fee, captured_tax) >= 0 AND captured_fee + captured_tax <= captured
        AND (coalesce(aftermath ? 'price', false) OR captured < amount AND paid_at IS NOT NULL
            OR method IS NOT NULL AND (paid_at IS NOT NULL OR state IN ('authorised', 'canceled', 'expired')))) IS NOT TRUE
        OR (captured_share IS NULL OR (method IS NOT NULL OR aftermath ? 'price') AND captured_share BETWEEN 1 AND captured) IS NOT TRUE THEN
        broken := 'orders_captured';

    -- Once more after each replacement.
    ELSIF disputes < 1 OR (replaced IS NULL OR replaced BETWEEN 1 AND disputes) IS NOT TRUE THEN
        broken := 'orders_disputes';

    -- An order in parts has their deadlines, and no other has.
    ELSIF (CASE WHEN parts IS NULL THEN state <> 'part_shipped' AND coalesce(deadline NOT IN ('confirm_part_by', 'mature_part_at'), true)
        ELSE jsonb_array_length(parts -> 'list') BETWEEN 2 AND 50 AND deadline IS DISTINCT FROM 'confirm_by' END) IS NOT TRUE THEN
        broken := 'orders_parts';
    -- What matures by itself waits for the moment, and only that does.
    ELSIF deadline = 'mature_part_at' AND maturing = 0 THEN
        broken := 'orders_parts_maturing';
    ELSIF (holidays IS NULL OR holidays BETWEEN 1 AND 400 AND deadline IN ('confirm_by', 'confirm_part_by')) IS NOT TRUE THEN
        broken := 'orders_holidays';

    ELSIF (state IN ('charged_back', 'represented')) <> coalesce(aftermath ? 'chargeback', false) THEN
        broken := 'orders_charged_back';
    -- What one party has asked for and the other has not agreed to falls with the
    -- deadline that it is about.
    ELSIF aftermath ? 'extension' AND state NOT IN ('held', 'part_shipped', 'shipped', 'delivered') THEN
        broken := 'orders_extension';
    -- A reserve is kept from what matures until its time is over: of parts, from the
    -- first on.
    ELSIF state NOT IN ('charged_back', 'represented') AND NOT coalesce(claim ? 'stake', false)
        AND NOT (parts IS NOT NULL AND deadline IS NOT NULL AND paid_at IS NOT NULL AND state <> 'reserved')
        AND (state = 'reserved') <> (coalesce((aftermath ->> 'reserved')::bigint, 0) > 0) THEN
        broken := 'orders_reserved';
    ELSE
        RETURN true;
    END IF;
    RAISE check_violation USING TABLE = 'orders', CONSTRAINT = broken,
        MESSAGE = format('an order that is %s after %s events would break the rule %s', state, seq, broken);
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $$ BEGIN RAISE EXCEPTION 'disputes of what was released cannot be put back into an earlier form'; END $$;
-- +goose StatementEnd
