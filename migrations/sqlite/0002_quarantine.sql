-- Part of a pair: migrations/postgres/0002_quarantine.sql makes the same tables and columns. A test compares them.

-- Deliveries that were refused, as received. The id is a digest of the content: a repeated one only counts.
-- Keys do not start with the tenant: of an account that nobody has it is not known.
CREATE TABLE quarantine (
    id             TEXT PRIMARY KEY,
    -- NULL: the account is unknown
    tenant         TEXT,
    -- as claimed; nothing is proved by it
    account        TEXT,
    source         TEXT NOT NULL,
    method         TEXT NOT NULL,
    path_and_query TEXT NOT NULL,
    host           TEXT,
    content_type   TEXT,
    signature      TEXT,
    client         TEXT,
    verified       INTEGER NOT NULL,
    -- one entry of a batch: what was signed is the whole batch, not the body here
    entry          INTEGER NOT NULL,
    reason         TEXT NOT NULL,
    detail         TEXT NOT NULL,
    received_ms    INTEGER NOT NULL,
    last_ms        INTEGER NOT NULL,
    times          INTEGER NOT NULL,
    -- what the row counts for in the limit
    bytes          INTEGER NOT NULL,
    -- the last one, so that whoever counts does not read it
    body           BLOB NOT NULL
) STRICT;
CREATE INDEX quarantine_by_age ON quarantine (last_ms);
CREATE INDEX quarantine_by_receipt ON quarantine (received_ms, id);

-- An account may be a sub-account of another one, which need not be stored.
ALTER TABLE account ADD COLUMN parent TEXT;

-- A token may be on its way out: from then on it verifies nothing. NULL: it stays.
ALTER TABLE account_secret ADD COLUMN expires_ms INTEGER;

DELETE FROM sqlite_stat1 WHERE tbl = 'quarantine';
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('quarantine', 'sqlite_autoindex_quarantine_1', '10000 1'),
    ('quarantine', 'quarantine_by_age', '10000 2'),
    ('quarantine', 'quarantine_by_receipt', '10000 2 1');
