-- The journal in pages, each with what an accountant writes at its foot: so
-- that a balance of any moment is a few sums and at most a few pages read.
--
-- A page is so many transfers in the order of their booking, and not an hour
-- or a day: an hour may have three transfers or three million, and the part of
-- a page that a report reads itself has to be small. It is written by a job,
-- long after the transfers' own transaction, which knows nothing of it.
-- +goose Up
CREATE TABLE ledger_pages (
    after           bigint    NOT NULL,
    upto            bigint    NOT NULL,
    last            uuid      NOT NULL,
    transfers       integer   NOT NULL,
    ledgers         bigint[]  NOT NULL,
    debit_codes     integer[] NOT NULL,
    credit_codes    integer[] NOT NULL,
    amounts         numeric[] NOT NULL,
    counts          integer[] NOT NULL,
    effective_first bigint[]  NOT NULL,
    effective_last  bigint[]  NOT NULL,
    -- Of two who close the same page, the second finds it closed.
    CONSTRAINT ledger_pages_pkey PRIMARY KEY (after),
    CONSTRAINT ledger_pages_upto_key UNIQUE (upto),
    CONSTRAINT ledger_pages_order_check CHECK (after >= 0 AND after < upto),
    CONSTRAINT ledger_pages_transfers_check CHECK (transfers > 0),
    -- A leg whose account is not in the books is for a report to show, and not
    -- for a sum to hide.
    CONSTRAINT ledger_pages_accounts_check CHECK (0 <> ALL (debit_codes) AND 0 <> ALL (credit_codes)),
    CONSTRAINT ledger_pages_sums_check CHECK (
        cardinality(debit_codes) = cardinality(ledgers) AND cardinality(credit_codes) = cardinality(ledgers)
        AND cardinality(amounts) = cardinality(ledgers) AND cardinality(counts) = cardinality(ledgers)
        AND cardinality(effective_first) = cardinality(ledgers) AND cardinality(effective_last) = cardinality(ledgers))
);
COMMENT ON TABLE  ledger_pages IS 'Sums of the journal, page by page in the order of booking. Derived: rows may be deleted, and the table emptied, at any time; close-pages makes them anew, and reports read the journal itself meanwhile. The i-th elements of the arrays are one sum: what was posted in a ledger from accounts of one code to accounts of another. One row has all of a page, so no part of it can be missing.';
COMMENT ON COLUMN ledger_pages.after IS 'The timestamp of the last transfer before the page, ns since 1970 UTC; 0 for none. It is the upto of the page before.';
COMMENT ON COLUMN ledger_pages.upto IS 'The timestamp of the page''s last transfer.';
COMMENT ON COLUMN ledger_pages.last IS 'The page''s last transfer: where that does not stand at upto, the page is of another journal and does not count.';
COMMENT ON COLUMN ledger_pages.transfers IS 'How many transfers the page has, those that post nothing included.';
COMMENT ON COLUMN ledger_pages.debit_codes IS 'The code of the account that each leg really went to, whatever the chart says of its transfer code.';
COMMENT ON COLUMN ledger_pages.amounts IS 'Posted, minor units.';
COMMENT ON COLUMN ledger_pages.counts IS 'Of so many transfers.';
COMMENT ON COLUMN ledger_pages.effective_first IS 'When the first of them took effect (user_data_64).';
COMMENT ON COLUMN ledger_pages.effective_last IS 'When the last of them took effect: a report as of then or later takes the sum as it is.';
-- What is closed is not corrected, but thrown away and added up again.
CREATE TRIGGER ledger_pages_never_changed BEFORE UPDATE ON ledger_pages FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

-- +goose Down
DROP TABLE ledger_pages;
