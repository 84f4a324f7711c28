-- Money that moves for no order: payouts, receipts, repayments, debts, what
-- providers and banks settle, corrections by hand. See settlement/treasury.

-- +goose Up

CREATE TABLE entries (
    id          uuid        PRIMARY KEY,
    marketplace integer     NOT NULL,
    kind        text        NOT NULL,
    ledger      bigint      NOT NULL,
    reference   text,
    party       text        NOT NULL,
    method      text        NOT NULL,
    amount      bigint      NOT NULL CHECK (amount BETWEEN 0 AND 9007199254740991),
    fee         bigint      NOT NULL CHECK (fee BETWEEN 0 AND 9007199254740991),
    terms       json        NOT NULL,
    maker       text        NOT NULL,
    made_at     timestamptz NOT NULL,

    seq         integer     NOT NULL DEFAULT 0,
    attempt     smallint    NOT NULL DEFAULT 0,
    state       text        NOT NULL DEFAULT '',
    owner       text        NOT NULL DEFAULT '',
    pending_id  uuid,
    due_at      timestamptz,
    at          timestamptz NOT NULL,

    UNIQUE (marketplace, kind, reference),
    -- The table of settlement/treasury once more: which kinds there are, and in
    -- which states each can be.
    CONSTRAINT entries_state CHECK (state IN ('', 'refused') OR CASE kind
        WHEN 'payout'         THEN state IN ('sent', 'accepted', 'paid', 'failed', 'returned')
        WHEN 'receipt'        THEN state IN ('unidentified', 'done', 'sent_back')
        WHEN 'repayment'      THEN state IN ('due', 'sent', 'done', 'rejected')
        WHEN 'recovery'       THEN state = 'done'
        WHEN 'write_off'      THEN state IN ('proposed', 'done', 'rejected', 'expired')
        WHEN 'adjustment'     THEN state IN ('proposed', 'done', 'rejected', 'expired')
        WHEN 'psp_settlement' THEN state = 'done'
        WHEN 'fee_sweep'      THEN state = 'done'
        WHEN 'bank_details'   THEN state IN ('proposed', 'done', 'rejected', 'expired')
        ELSE false END),
    CONSTRAINT entries_pending CHECK ((pending_id IS NOT NULL) = (kind = 'payout' AND state = 'sent')),
    CONSTRAINT entries_amount CHECK ((amount = 0) = (kind = 'bank_details'))
);
COMMENT ON TABLE entries IS 'money that moves for no order, one row each; amounts in minor units, times UTC';
COMMENT ON COLUMN entries.terms IS 'what it is about, as an approval binds it; never changes';
COMMENT ON COLUMN entries.owner IS 'the seller or the buyer whose money it is, once that is known';
COMMENT ON COLUMN entries.state IS 'empty while the first event is with the ledger';
COMMENT ON COLUMN entries.due_at IS 'a proposal expires then; others should have been heard of by then';

CREATE INDEX entries_listed ON entries (marketplace, kind, id);
CREATE INDEX entries_due ON entries (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX entries_bank_details ON entries (marketplace, party, at) WHERE kind = 'bank_details' AND state = 'done';

-- Their events stand among the orders': one write path, one redrive.
ALTER TABLE intents ADD COLUMN entry boolean;
COMMENT ON COLUMN intents.entry IS 'true: order_id names a row of entries; null for an order''s event';

CREATE OR REPLACE VIEW order_events AS
    SELECT i.order_id, i.seq, i.marketplace, i.event, i.actor, i.at, i.data, i.state, i.held, i.released, i.refunded,
           i.fee_charged, i.tax_charged, i.maturing, i.deadline, i.deadline_at, i.paid_at, i.freeze_id,
           i.buyer_extended, i.seller_extended, i.claim, i.id AS intent, i.chain, o.position, o.ledger_timestamp, i.created_at,
           i.captured, i.captured_fee, i.captured_tax
    FROM intents i JOIN outcomes o ON o.intent = i.id
    WHERE o.outcome = 'applied' AND i.entry IS NULL;

CREATE VIEW entry_events AS
    SELECT i.order_id AS entry, i.seq, i.marketplace, i.event, i.actor, i.at, i.data, i.state, i.id AS intent, o.position,
           o.ledger_timestamp, i.created_at
    FROM intents i JOIN outcomes o ON o.intent = i.id
    WHERE o.outcome = 'applied' AND i.entry;

-- Whom a marketplace pays out to, and when.
CREATE TABLE payees (
    marketplace integer     NOT NULL,
    seller      text        NOT NULL,
    schedule    text        NOT NULL CHECK (schedule IN ('manual', 'daily', 'weekly', 'monthly')),
    minimum     bigint      NOT NULL DEFAULT 0 CHECK (minimum >= 0),
    blocked     text        NOT NULL DEFAULT '',
    changed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (marketplace, seller)
);
COMMENT ON COLUMN payees.minimum IS 'less than this, in minor units of whichever currency, is not paid out by the schedule';
COMMENT ON COLUMN payees.blocked IS 'why the seller is not paid out; empty if it is';

-- Periods whose scheduled payouts are through.
CREATE TABLE payout_runs (
    marketplace integer     NOT NULL,
    period      text        NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (marketplace, period)
);
COMMENT ON COLUMN payout_runs.period IS 'a day (2026-03-02), an ISO week (2026-W10) or a month (2026-03) of the marketplace''s clock, UTC';

-- +goose Down
DROP TABLE payout_runs, payees;
DROP VIEW entry_events;
CREATE OR REPLACE VIEW order_events AS
    SELECT i.order_id, i.seq, i.marketplace, i.event, i.actor, i.at, i.data, i.state, i.held, i.released, i.refunded,
           i.fee_charged, i.tax_charged, i.maturing, i.deadline, i.deadline_at, i.paid_at, i.freeze_id,
           i.buyer_extended, i.seller_extended, i.claim, i.id AS intent, i.chain, o.position, o.ledger_timestamp, i.created_at,
           i.captured, i.captured_fee, i.captured_tax
    FROM intents i JOIN outcomes o ON o.intent = i.id
    WHERE o.outcome = 'applied';
-- +goose StatementBegin
DO $$ BEGIN
    IF EXISTS (SELECT FROM intents WHERE entry) THEN
        RAISE EXCEPTION 'there are entries, whose movements stand in the ledger: they cannot be taken away';
    END IF;
END $$;
-- +goose StatementEnd
ALTER TABLE intents DROP COLUMN entry;
DROP TABLE entries;
