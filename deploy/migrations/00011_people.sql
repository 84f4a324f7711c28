-- What people say around an order, outside of its money: feedback, notes of a
-- support case, and which sellers a marketplace lets into escrow. Rows of all
-- three are only added: who said what stays readable. People are opaque ids.

-- +goose Up

CREATE TABLE feedback (
    id          uuid        PRIMARY KEY,
    marketplace integer     NOT NULL,
    order_id    uuid        NOT NULL,
    author      text        NOT NULL CHECK (author IN ('buyer', 'seller')),
    part        text        NOT NULL CHECK (part IN ('feedback', 'reply', 'revision')),
    rated       text        NOT NULL,
    rating      smallint    CHECK (rating BETWEEN 1 AND 5),
    text        text        NOT NULL CHECK (length(text) <= 2000),
    at          timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CHECK ((rating IS NULL) = (part = 'reply')),
    -- Each once, whoever decides it: the second finds the place taken.
    UNIQUE (order_id, author, part)
);
COMMENT ON TABLE feedback IS 'what buyer and seller said of each other after an order; rows never change, a revision is a row of its own';
COMMENT ON COLUMN feedback.author IS 'whose feedback it belongs to: the buyer''s about the seller or the other way round; a reply is said by the other one';
COMMENT ON COLUMN feedback.rated IS 'the one whom the author rates, an opaque id';
CREATE INDEX feedback_rated ON feedback (marketplace, rated, id) WHERE part = 'feedback';

CREATE TABLE case_notes (
    order_id    uuid        NOT NULL,
    -- Without a gap, so that a number becomes visible after all that are before it.
    number      integer     NOT NULL CHECK (number > 0),
    id          uuid        NOT NULL UNIQUE,
    marketplace integer     NOT NULL,
    author      text        NOT NULL CHECK (length(author) BETWEEN 1 AND 200),
    text        text        NOT NULL CHECK (length(text) BETWEEN 1 AND 4000),
    at          timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id, number)
);
COMMENT ON TABLE case_notes IS 'what the marketplace''s support noted on an order; not for buyers and sellers; rows never change';

-- Of a seller the newest mark counts, by since and then by position, for all
-- categories and for each one.
CREATE TABLE seller_marks (
    position    bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    id          uuid        NOT NULL UNIQUE,
    marketplace integer     NOT NULL REFERENCES marketplaces,
    seller      text        NOT NULL CHECK (length(seller) BETWEEN 1 AND 200),
    category    text        NOT NULL,
    eligible    boolean     NOT NULL,
    reason      text        NOT NULL CHECK (length(reason) BETWEEN 1 AND 2000),
    since       timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE seller_marks IS 'who is eligible for escrow and who is not, as the marketplace said it; rows never change';
COMMENT ON COLUMN seller_marks.category IS 'empty for all categories';
COMMENT ON COLUMN seller_marks.since IS 'agreements that take effect then or later are decided by it';
CREATE INDEX seller_marks_newest ON seller_marks (marketplace, seller, category, since, position);
CREATE INDEX seller_marks_positions ON seller_marks (marketplace, position);

-- The write path reads a marketplace anyway: by these it knows that there is
-- nothing to ask of its sellers.
ALTER TABLE marketplaces
    ADD COLUMN only_listed_sellers boolean NOT NULL DEFAULT false,
    ADD COLUMN sellers_marked      boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN marketplaces.only_listed_sellers IS 'a seller without a mark is not eligible';
COMMENT ON COLUMN marketplaces.sellers_marked IS 'seller_marks has some of the marketplace';

ALTER TABLE orders ADD COLUMN category text;
COMMENT ON COLUMN orders.category IS 'what kind of goods, a word of the marketplace''s; null for none';

-- +goose Down
ALTER TABLE orders DROP COLUMN category;
ALTER TABLE marketplaces DROP COLUMN only_listed_sellers, DROP COLUMN sellers_marked;
DROP TABLE seller_marks, case_notes, feedback;
