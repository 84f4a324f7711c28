-- The balances over time of accounts with the history flag are worked out from
-- the journal when somebody asks. Kept in a table they were a fifth of what a
-- settled order writes, and read by nobody on the way.
-- +goose Up
ALTER TABLE ledger_pending ADD COLUMN expired_after bigint CHECK (expired_after >= 0);
COMMENT ON COLUMN ledger_pending.expired_after IS 'The newest transfer when this one was made to expire, ns since 1970 UTC: what stands later in the journal found its amount free. Null: not written down, and taken to be when its time was up.';

DROP TABLE ledger_balances;

-- An account's moves are its transfers, each with what it adds to the four
-- balances, and the expiries of its pending transfers, which are no rows of
-- the answer. Both sides go by an index: an account is looked up, not all.
CREATE VIEW ledger_balances AS
SELECT account_id, timestamp, debits_pending, debits_posted, credits_pending, credits_posted
FROM (
    SELECT m.account_id, m.timestamp, m.expiry,
           sum(m.debits_pending)  OVER before AS debits_pending,
           sum(m.debits_posted)   OVER before AS debits_posted,
           sum(m.credits_pending) OVER before AS credits_pending,
           sum(m.credits_posted)  OVER before AS credits_posted
    FROM (
        SELECT t.debit_account_id AS account_id, t.timestamp, false AS expiry,
               CASE WHEN t.flags & 2 <> 0 THEN t.amount WHEN t.flags & 12 <> 0 THEN -p.amount ELSE 0 END AS debits_pending,
               CASE WHEN t.flags & 10 = 0 THEN t.amount ELSE 0 END AS debits_posted,
               0::numeric AS credits_pending, 0::numeric AS credits_posted
        FROM ledger_transfers t LEFT JOIN ledger_transfers p ON p.id = t.pending_id
        UNION ALL
        SELECT t.credit_account_id, t.timestamp, false, 0, 0,
               CASE WHEN t.flags & 2 <> 0 THEN t.amount WHEN t.flags & 12 <> 0 THEN -p.amount ELSE 0 END,
               CASE WHEN t.flags & 10 = 0 THEN t.amount ELSE 0 END
        FROM ledger_transfers t LEFT JOIN ledger_transfers p ON p.id = t.pending_id
        UNION ALL
        SELECT t.debit_account_id, coalesce(e.expired_after, e.expires_at), true, -t.amount, 0, 0, 0
        FROM ledger_transfers t JOIN ledger_pending e ON e.transfer_id = t.id
        WHERE t.flags & 2 <> 0 AND e.state = 4
        UNION ALL
        SELECT t.credit_account_id, coalesce(e.expired_after, e.expires_at), true, 0, 0, -t.amount, 0
        FROM ledger_transfers t JOIN ledger_pending e ON e.transfer_id = t.id
        WHERE t.flags & 2 <> 0 AND e.state = 4
    ) m
    WHERE EXISTS (SELECT FROM ledger_accounts a WHERE a.id = m.account_id AND a.flags & 8 <> 0)
    WINDOW before AS (PARTITION BY m.account_id ORDER BY m.timestamp, m.expiry ROWS UNBOUNDED PRECEDING)
) b
WHERE NOT expiry;
COMMENT ON VIEW ledger_balances IS 'The balances of each account with the history flag, right after each transfer that touched it, in minor units; timestamp is the transfer''s.';

-- +goose Down
CREATE TABLE ledger_balances_kept (
    account_id      uuid   NOT NULL,
    timestamp       bigint NOT NULL,
    debits_pending  numeric(39) NOT NULL,
    debits_posted   numeric(39) NOT NULL,
    credits_pending numeric(39) NOT NULL,
    credits_posted  numeric(39) NOT NULL,
    CONSTRAINT ledger_balances_pkey PRIMARY KEY (account_id, timestamp)
);
INSERT INTO ledger_balances_kept SELECT * FROM ledger_balances;
DROP VIEW ledger_balances;
ALTER TABLE ledger_balances_kept RENAME TO ledger_balances;
CREATE TRIGGER ledger_balances_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_balances FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
ALTER TABLE ledger_pending DROP COLUMN expired_after;
