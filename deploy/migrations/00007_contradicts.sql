-- +goose Up
-- What a statement insists on has to fail the statement, so that nothing of it
-- is committed.
-- +goose StatementBegin
CREATE FUNCTION contradicts(orders bigint, intents integer) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'outcomes of % intents move % orders', intents, orders USING ERRCODE = 'ES001';
END $$;
-- +goose StatementEnd
COMMENT ON FUNCTION contradicts(bigint, integer) IS 'an intent had no outcome, and its order does not stand just before it: a person has to look';

-- +goose Down
DROP FUNCTION contradicts(bigint, integer);
