-- +goose Up

-- A tenant. Its ledgers are numbered id * 1000 + ISO 4217 numeric code, which
-- has to fit 32 bits.
CREATE TABLE marketplaces (
    id              integer     PRIMARY KEY GENERATED ALWAYS AS IDENTITY CHECK (id BETWEEN 1 AND 4294966),
    name            text        NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 100),
    clock           text        NOT NULL CHECK (clock IN ('live', 'test')),
    clock_now       timestamptz,
    clock_deadlines timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CHECK ((clock = 'test') = (clock_now IS NOT NULL)),
    CHECK ((clock = 'test') = (clock_deadlines IS NOT NULL)),
    CHECK (clock_deadlines <= clock_now)
);
COMMENT ON COLUMN marketplaces.clock_now IS 'a test clock: the marketplace''s now; it only moves forward';
COMMENT ON COLUMN marketplaces.clock_deadlines IS 'a test clock: deadlines up to here are fired; at most clock_now';

-- Only a hash of a key is kept; the prefix is for people to tell keys apart.
CREATE TABLE api_keys (
    id          integer     PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    marketplace integer     NOT NULL REFERENCES marketplaces,
    name        text        NOT NULL,
    prefix      text        NOT NULL,
    hash        bytea       NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    created_at  timestamptz NOT NULL DEFAULT now(),
    revoked_at  timestamptz
);
COMMENT ON COLUMN api_keys.hash IS 'SHA-256 of the whole key';

CREATE TABLE policies (
    id          bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    marketplace integer     NOT NULL REFERENCES marketplaces,
    name        text        NOT NULL,
    version     integer     NOT NULL CHECK (version > 0),
    document    jsonb       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (marketplace, name, version)
);
COMMENT ON TABLE policies IS 'versioned rules; a version never changes and orders keep theirs';

-- Every ledger account but the escrow accounts: those are the orders, whose
-- ids they have. Written before the account is created in the ledger.
CREATE TABLE accounts (
    id         uuid        PRIMARY KEY,
    ledger     bigint      NOT NULL,
    code       integer     NOT NULL,
    owner      text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (ledger, code, owner)
);
COMMENT ON COLUMN accounts.owner IS 'the buyer, the seller or the payment method; empty for an account of the whole ledger';

CREATE TABLE orders (
    id              uuid        PRIMARY KEY,
    marketplace     integer     NOT NULL,
    reference       text        NOT NULL,
    ledger          bigint      NOT NULL,
    buyer           text        NOT NULL,
    seller          text        NOT NULL,
    buyer_account   uuid        NOT NULL,
    seller_account  uuid        NOT NULL,
    policy          bigint      NOT NULL,
    amount          bigint      NOT NULL CHECK (amount BETWEEN 1 AND 9007199254740991),
    fee             bigint      NOT NULL CHECK (fee >= 0),
    tax             bigint      NOT NULL CHECK (tax >= 0),
    ship_by_date    timestamptz,
    agreed_at       timestamptz NOT NULL,

    seq             integer     NOT NULL CHECK (seq > 0),
    attempt         smallint    NOT NULL DEFAULT 0,
    state           text        NOT NULL,
    held            bigint      NOT NULL DEFAULT 0 CHECK (held >= 0),
    released        bigint      NOT NULL DEFAULT 0 CHECK (released >= 0),
    refunded        bigint      NOT NULL DEFAULT 0 CHECK (refunded >= 0),
    fee_charged     bigint      NOT NULL DEFAULT 0 CHECK (fee_charged BETWEEN 0 AND fee),
    tax_charged     bigint      NOT NULL DEFAULT 0 CHECK (tax_charged BETWEEN 0 AND tax),
    maturing        bigint      NOT NULL DEFAULT 0 CHECK (maturing >= 0),
    deadline        text,
    deadline_at     timestamptz,
    at              timestamptz NOT NULL,
    paid_at         timestamptz,
    freeze_id       uuid,
    buyer_extended  smallint    NOT NULL DEFAULT 0,
    seller_extended smallint    NOT NULL DEFAULT 0,

    CHECK (fee + tax <= amount),
    CHECK (held + released + refunded = CASE WHEN paid_at IS NULL THEN 0 ELSE amount END),
    CHECK ((freeze_id IS NOT NULL) = (state = 'disputed')),
    -- The state table of settlement/order once more: which states there are,
    -- which deadline each has, and where money can still be held.
    CHECK (CASE state
        WHEN 'agreed'    THEN deadline = 'pay_by'     AND paid_at IS NULL
        WHEN 'held'      THEN deadline = 'ship_by'    AND held > 0
        WHEN 'shipped'   THEN deadline = 'confirm_by' AND held > 0
        WHEN 'delivered' THEN deadline = 'confirm_by' AND held > 0
        WHEN 'disputed'  THEN deadline = 'rule_by'    AND held > 0
        WHEN 'ruled'     THEN deadline = 'mature_at'  AND held = 0 AND released > 0 AND refunded > 0
        WHEN 'released'  THEN deadline = 'mature_at'  AND held = 0 AND released > 0
        WHEN 'refunded'  THEN deadline IS NULL AND held = 0 AND released = 0 AND refunded > 0
        WHEN 'canceled'  THEN deadline IS NULL AND held = 0 AND released = 0
        WHEN 'expired'   THEN deadline IS NULL AND paid_at IS NULL
        WHEN 'closed'    THEN deadline IS NULL AND held = 0 AND maturing = 0
        ELSE false END),
    CHECK ((deadline IS NULL) = (deadline_at IS NULL))
) WITH (fillfactor = 70);
COMMENT ON TABLE orders IS 'one escrow order; its id is the id of its escrow account; amounts in minor units, times UTC';
COMMENT ON COLUMN orders.seq IS 'how many events took place';
COMMENT ON COLUMN orders.attempt IS 'how often the ledger refused the next event';

CREATE INDEX orders_due ON orders (marketplace, deadline, deadline_at) WHERE deadline IS NOT NULL;

-- A marketplace's own names for its orders. Beside the orders, because an
-- index of names there would be written again at every event of an order.
CREATE TABLE order_references (
    marketplace integer NOT NULL,
    reference   text    NOT NULL,
    order_id    uuid    NOT NULL,
    PRIMARY KEY (marketplace, reference)
);

-- What was decided, before the ledger is asked. Rows never change; what came
-- of them stands in outcomes.
CREATE TABLE intents (
    id               uuid        PRIMARY KEY,
    chain            uuid        NOT NULL,
    position         smallint    NOT NULL,
    order_id         uuid        NOT NULL,
    seq              integer     NOT NULL,
    attempt          smallint    NOT NULL,
    marketplace      integer     NOT NULL,
    event            text        NOT NULL,
    actor            text        NOT NULL,
    data             jsonb,
    accounts         bytea,
    legs             bytea,

    state            text        NOT NULL,
    held             bigint      NOT NULL,
    released         bigint      NOT NULL,
    refunded         bigint      NOT NULL,
    fee_charged      bigint      NOT NULL,
    tax_charged      bigint      NOT NULL,
    maturing         bigint      NOT NULL,
    deadline         text,
    deadline_at      timestamptz,
    at               timestamptz NOT NULL,
    paid_at          timestamptz,
    freeze_id        uuid,
    buyer_extended   smallint    NOT NULL,
    seller_extended  smallint    NOT NULL,

    created_at       timestamptz NOT NULL DEFAULT now(),
    -- This is what keeps two events of one order apart, whoever decides them:
    -- the second finds the place taken.
    UNIQUE (order_id, seq, attempt)
);
COMMENT ON TABLE intents IS 'every event of every order as it was decided, applied or not; rows never change';
COMMENT ON COLUMN intents.chain IS 'intents with one chain stand or fall together; the id of the first';
COMMENT ON COLUMN intents.legs IS 'the transfers, each in TigerBeetle''s 128-byte form, in order';
COMMENT ON COLUMN intents.accounts IS 'accounts to create first, in TigerBeetle''s 128-byte form';
COMMENT ON COLUMN intents.at IS 'when it takes effect in the marketplace''s time; the ledger''s user_data_64';

-- What came of an intent: written once, by whoever finds out first. Writers
-- take a lock that they hold through COMMIT, so positions become visible in
-- their order and a reader that goes on from the last one it saw misses
-- nothing: this is the outbox.
CREATE TABLE outcomes (
    position         bigint  PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    intent           uuid    NOT NULL UNIQUE,
    marketplace      integer NOT NULL,
    outcome          text    NOT NULL CHECK (outcome IN ('applied', 'rejected', 'frozen')),
    reason           text,
    ledger_timestamp bigint,
    CHECK ((outcome = 'applied') = (reason IS NULL))
);
COMMENT ON TABLE outcomes IS 'applied, rejected by the ledger, or frozen because the ledger holds something else under the intent''s ids';
COMMENT ON COLUMN outcomes.ledger_timestamp IS 'the ledger''s timestamp of the intent''s first leg, nanoseconds UTC; null where no money moved';

-- Batches of intents that are with the ledger: a row each from the decision
-- until the last outcome. What a crash leaves is found by these few rows.
CREATE TABLE open_batches (
    first      uuid        PRIMARY KEY,
    last       uuid        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE open_batches IS 'the smallest and the largest id of intents decided together; others may lie between';

-- OFFSET 0 and LIMIT 1 keep the planner from turning the look-ups inside out:
-- whatever it thinks of the tables' sizes, it starts from the few batches and
-- goes by the indexes.
CREATE VIEW open_intents AS
    SELECT DISTINCT ON (i.id) i.* FROM open_batches b
    CROSS JOIN LATERAL (SELECT n.* FROM intents n WHERE n.id BETWEEN b.first AND b.last ORDER BY n.id OFFSET 0) i
    LEFT JOIN LATERAL (SELECT o.intent FROM outcomes o WHERE o.intent = i.id LIMIT 1) o ON true
    WHERE o.intent IS NULL
    ORDER BY i.id;

CREATE TABLE idempotency_keys (
    marketplace integer     NOT NULL,
    key         text        NOT NULL,
    hash        bytea       NOT NULL,
    intent      uuid        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (marketplace, key)
);
COMMENT ON COLUMN idempotency_keys.hash IS 'SHA-256 of route and body';

-- The timeline, for people and reports.
CREATE VIEW order_events AS
    SELECT i.order_id, i.seq, i.marketplace, i.event, i.actor, i.at, i.data, i.state, i.held, i.released, i.refunded,
           i.fee_charged, i.tax_charged, i.maturing, i.deadline, i.deadline_at, i.paid_at, i.freeze_id,
           i.buyer_extended, i.seller_extended, i.id AS intent, i.chain, o.position, o.ledger_timestamp, i.created_at
    FROM intents i JOIN outcomes o ON o.intent = i.id
    WHERE o.outcome = 'applied';

-- Who and what every ledger account is.
CREATE VIEW account_directory AS
    SELECT id, ledger, code, owner FROM accounts
    UNION ALL
    SELECT id, ledger, 2100, reference FROM orders;

CREATE TABLE job_runs (
    id          bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    job         text        NOT NULL,
    due         timestamptz NOT NULL,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    dry_run     boolean     NOT NULL DEFAULT false,
    items       bigint      NOT NULL DEFAULT 0,
    failed      bigint      NOT NULL DEFAULT 0,
    error       text,
    detail      jsonb
);
COMMENT ON COLUMN job_runs.due IS 'the schedule''s moment (business time of the run), UTC';
COMMENT ON COLUMN job_runs.items IS 'how many things the run moved (a dry run: would move)';
CREATE INDEX job_runs_latest ON job_runs (job, id DESC);

-- +goose Down
DROP TABLE job_runs;
DROP VIEW account_directory, order_events, open_intents;
DROP TABLE open_batches, outcomes, idempotency_keys, intents, order_references, orders, accounts, policies, api_keys, marketplaces;
