-- Part of a pair: migrations/postgres/0004_callback_health.sql makes the same tables and columns.
-- How well callbacks arrive, counted from the journal after the fact: nothing of it is in the way of a webhook.

-- How far the journal is counted. It moves in the transaction that adds what was counted up to there.
CREATE TABLE health_cursor (
    name TEXT PRIMARY KEY,
    seq  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO health_cursor (name, seq) VALUES ('callbacks', 0);

-- Deliveries by the door they came through, per hour.
CREATE TABLE health_callback (
    tenant           TEXT NOT NULL,
    account          TEXT NOT NULL,
    hour_ms          INTEGER NOT NULL,
    source           TEXT NOT NULL,
    received         INTEGER NOT NULL,
    repeated         INTEGER NOT NULL,
    late             INTEGER NOT NULL,
    last_received_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, account, hour_ms, source)
) STRICT, WITHOUT ROWID;
CREATE INDEX health_callback_by_hour ON health_callback (hour_ms);

-- Ended legs by direction, in the hour of the ending; each leg counts in one of the four columns after `direction`.
CREATE TABLE health_ending (
    tenant      TEXT NOT NULL,
    account     TEXT NOT NULL,
    hour_ms     INTEGER NOT NULL,
    direction   TEXT NOT NULL,
    called_back INTEGER NOT NULL,
    elsewhere   INTEGER NOT NULL,
    reconciled  INTEGER NOT NULL,
    unheard     INTEGER NOT NULL,
    -- callbacks that were fired before the one that told the ending, and never arrived
    gaps        INTEGER NOT NULL,
    -- the legs of which some are missing
    gap_legs    INTEGER NOT NULL,
    PRIMARY KEY (tenant, account, hour_ms, direction)
) STRICT, WITHOUT ROWID;
CREATE INDEX health_ending_by_hour ON health_ending (hour_ms);

-- See 0001: the statistics of a large tenant.
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('health_callback', 'health_callback', '700000 700000 1000 3 1'),
    ('health_callback', 'health_callback_by_hour', '700000 1000'),
    ('health_ending', 'health_ending', '700000 700000 1000 3 1'),
    ('health_ending', 'health_ending_by_hour', '700000 1000');
