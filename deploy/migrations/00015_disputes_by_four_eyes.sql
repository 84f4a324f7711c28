-- Rulings on much money, and policies where a marketplace wants it, are proposed
-- by one person and approved by another, as entries.

-- +goose Up

ALTER TABLE entries DROP CONSTRAINT entries_state, DROP CONSTRAINT entries_amount;
ALTER TABLE entries
    -- As in 00010, with two kinds more.
    ADD CONSTRAINT entries_state CHECK (state IN ('', 'refused') OR CASE kind
        WHEN 'payout'         THEN state IN ('sent', 'accepted', 'paid', 'failed', 'returned')
        WHEN 'receipt'        THEN state IN ('unidentified', 'done', 'sent_back')
        WHEN 'repayment'      THEN state IN ('due', 'sent', 'done', 'rejected')
        WHEN 'recovery'       THEN state = 'done'
        WHEN 'write_off'      THEN state IN ('proposed', 'done', 'rejected', 'expired')
        WHEN 'adjustment'     THEN state IN ('proposed', 'done', 'rejected', 'expired')
        WHEN 'psp_settlement' THEN state = 'done'
        WHEN 'fee_sweep'      THEN state = 'done'
        WHEN 'bank_details'   THEN state IN ('proposed', 'done', 'rejected', 'expired')
        WHEN 'ruling'         THEN state IN ('proposed', 'done', 'rejected', 'expired')
        WHEN 'policy'         THEN state IN ('proposed', 'done', 'rejected', 'expired')
        ELSE false END),
    ADD CONSTRAINT entries_amount CHECK ((amount = 0) = (kind IN ('bank_details', 'policy')));

ALTER TABLE marketplaces ADD COLUMN four_eyes_policies boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN marketplaces.four_eyes_policies IS 'a policy is added by the approval of an entry alone';

-- +goose Down
-- +goose StatementBegin
DO $$ BEGIN RAISE EXCEPTION 'what was proposed and approved cannot be put back into an earlier form'; END $$;
-- +goose StatementEnd
