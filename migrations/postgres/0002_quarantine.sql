-- Part of a pair: migrations/sqlite/0002_quarantine.sql makes the same tables and columns. A test compares them.

-- Deliveries that were refused, as received. The id is a digest of the content: a repeated one only counts.
-- Keys do not start with the tenant: of an account that nobody has it is not known.
CREATE TABLE quarantine (
    id             TEXT COLLATE "C" PRIMARY KEY,
    -- NULL: the account is unknown
    tenant         TEXT COLLATE "C",
    -- as claimed; nothing is proved by it
    account        TEXT COLLATE "C",
    source         TEXT COLLATE "C" NOT NULL,
    method         TEXT COLLATE "C" NOT NULL,
    path_and_query TEXT COLLATE "C" NOT NULL,
    host           TEXT COLLATE "C",
    content_type   TEXT COLLATE "C",
    signature      TEXT COLLATE "C",
    client         TEXT COLLATE "C",
    verified       BOOLEAN NOT NULL,
    -- one entry of a batch: what was signed is the whole batch, not the body here
    entry          BOOLEAN NOT NULL,
    reason         TEXT COLLATE "C" NOT NULL,
    detail         TEXT COLLATE "C" NOT NULL,
    received_ms    BIGINT NOT NULL,
    last_ms        BIGINT NOT NULL,
    times          BIGINT NOT NULL,
    -- what the row counts for in the limit
    bytes          BIGINT NOT NULL,
    -- the last one, so that whoever counts does not read it
    body           BYTEA NOT NULL
);
CREATE INDEX quarantine_by_age ON quarantine (last_ms);
CREATE INDEX quarantine_by_receipt ON quarantine (received_ms, id);

-- An account may be a sub-account of another one, which need not be stored.
ALTER TABLE account ADD COLUMN parent TEXT COLLATE "C";

-- A token may be on its way out: from then on it verifies nothing. NULL: it stays.
ALTER TABLE account_secret ADD COLUMN expires_ms BIGINT;
