-- What a marketplace says of a seller once, in place of with every agreement: the
-- tier, and the jurisdiction. Only added to, like marks.

-- +goose Up

-- Of a seller the newest row counts, by since and then by position, and all of it:
-- what it leaves empty is none.
CREATE TABLE seller_terms (
    position     bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    id           uuid        NOT NULL UNIQUE,
    marketplace  integer     NOT NULL REFERENCES marketplaces,
    seller       text        NOT NULL CHECK (length(seller) BETWEEN 1 AND 200),
    tier         text        NOT NULL CHECK (tier ~ '^([a-z][a-z0-9_-]{0,31})?$'),
    jurisdiction text        NOT NULL CHECK (jurisdiction ~ '^([A-Z]{2}(-[A-Z0-9]{1,3})?)?$'),
    reason       text        NOT NULL CHECK (length(reason) BETWEEN 1 AND 2000),
    since        timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE seller_terms IS 'sellers'' tiers and jurisdictions, as the marketplace said them; rows never change';
COMMENT ON COLUMN seller_terms.tier IS 'of agreements that name none; empty for none';
COMMENT ON COLUMN seller_terms.jurisdiction IS 'likewise';
COMMENT ON COLUMN seller_terms.since IS 'agreements that take effect then or later take what is said here';
CREATE INDEX seller_terms_newest ON seller_terms (marketplace, seller, since, position);
CREATE INDEX seller_terms_positions ON seller_terms (marketplace, position);

COMMENT ON COLUMN marketplaces.sellers_marked IS 'seller_marks or seller_terms has some of the marketplace';

-- +goose Down
COMMENT ON COLUMN marketplaces.sellers_marked IS 'seller_marks has some of the marketplace';
DROP TABLE seller_terms;
