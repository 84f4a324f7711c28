-- A journal that mirrors a TigerBeetle cluster: written by the mirror alone,
-- never by the embedded engine. One row says which it is, so that the two can
-- never mix: each would take the other's transfers for its own.
-- +goose Up
ALTER TABLE ledger_state
    ADD COLUMN mirrored        boolean NOT NULL DEFAULT false,
    ADD COLUMN mirror_checked  bigint  NOT NULL DEFAULT 0 CHECK (mirror_checked >= 0),
    ADD COLUMN mirror_complete timestamptz,
    -- An engine signs each batch with its own id, so no engine can write a
    -- mirrored journal, and no journal that an engine wrote can become one.
    ADD CONSTRAINT ledger_state_one_writer_check CHECK (NOT mirrored OR writer = '00000000-0000-0000-0000-000000000000'),
    ADD CONSTRAINT ledger_state_mirror_check CHECK (mirrored OR mirror_checked = 0 AND mirror_complete IS NULL);
COMMENT ON COLUMN ledger_state.mirrored IS 'True: these tables are a copy of a TigerBeetle cluster, and newest_account and newest_transfer are how far it goes. Set once, before the first row.';
COMMENT ON COLUMN ledger_state.mirror_checked IS 'The accounts of all transfers up to this timestamp (ns since 1970 UTC) were compared with the cluster and agreed.';
COMMENT ON COLUMN ledger_state.mirror_complete IS 'All that the cluster held at this moment, by the clock of the machine that copies, is in these tables. Null: that was never so.';

-- +goose Down
ALTER TABLE ledger_state DROP COLUMN mirrored, DROP COLUMN mirror_checked, DROP COLUMN mirror_complete;
