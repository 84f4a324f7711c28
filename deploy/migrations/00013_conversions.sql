-- Money of a buyer's or of the marketplace's own goes into another currency: one
-- more kind of entry. Its second ledger, amount and rate stand in entries.terms,
-- where an approval binds them. The constraint of 00010 with one more line.

-- +goose Up

ALTER TABLE entries DROP CONSTRAINT entries_state;
ALTER TABLE entries
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
        WHEN 'conversion'     THEN state IN ('proposed', 'done', 'rejected', 'expired')
        ELSE false END),
    ADD CONSTRAINT entries_conversion CHECK ((kind = 'conversion') = ((terms->'to') IS NOT NULL));

-- +goose Down
-- +goose StatementBegin
DO $$ BEGIN
    IF EXISTS (SELECT FROM entries WHERE kind = 'conversion') THEN
        RAISE EXCEPTION 'there are conversions, whose movements stand in the ledger: they cannot be taken away';
    END IF;
END $$;
-- +goose StatementEnd
ALTER TABLE entries DROP CONSTRAINT entries_conversion, DROP CONSTRAINT entries_state;
ALTER TABLE entries ADD CONSTRAINT entries_state CHECK (state IN ('', 'refused') OR CASE kind
        WHEN 'payout'         THEN state IN ('sent', 'accepted', 'paid', 'failed', 'returned')
        WHEN 'receipt'        THEN state IN ('unidentified', 'done', 'sent_back')
        WHEN 'repayment'      THEN state IN ('due', 'sent', 'done', 'rejected')
        WHEN 'recovery'       THEN state = 'done'
        WHEN 'write_off'      THEN state IN ('proposed', 'done', 'rejected', 'expired')
        WHEN 'adjustment'     THEN state IN ('proposed', 'done', 'rejected', 'expired')
        WHEN 'psp_settlement' THEN state = 'done'
        WHEN 'fee_sweep'      THEN state = 'done'
        WHEN 'bank_details'   THEN state IN ('proposed', 'done', 'rejected', 'expired')
        ELSE false END);
