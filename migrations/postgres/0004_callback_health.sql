-- Part of a pair: migrations/sqlite/0004_callback_health.sql makes the same tables and columns.
-- How well callbacks arrive, counted from the journal after the fact: nothing of it is in the way of a webhook.

-- How far the journal is counted. It moves in the transaction that adds what was counted up to there.
CREATE TABLE health_cursor (
    name TEXT COLLATE "C" PRIMARY KEY,
    seq  BIGINT NOT NULL
);
INSERT INTO health_cursor (name, seq) VALUES ('callbacks', 0);

-- Deliveries by the door they came through, per hour.
CREATE TABLE health_callback (
    tenant           TEXT COLLATE "C" NOT NULL,
    account          TEXT COLLATE "C" NOT NULL,
    hour_ms          BIGINT NOT NULL,
    source           TEXT COLLATE "C" NOT NULL,
    received         BIGINT NOT NULL,
    repeated         BIGINT NOT NULL,
    late             BIGINT NOT NULL,
    last_received_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, account, hour_ms, source)
);
CREATE INDEX health_callback_by_hour ON health_callback (hour_ms);

-- Ended legs by direction, in the hour of the ending; each leg counts in one of the four columns after `direction`.
CREATE TABLE health_ending (
    tenant      TEXT COLLATE "C" NOT NULL,
    account     TEXT COLLATE "C" NOT NULL,
    hour_ms     BIGINT NOT NULL,
    direction   TEXT COLLATE "C" NOT NULL,
    called_back BIGINT NOT NULL,
    elsewhere   BIGINT NOT NULL,
    reconciled  BIGINT NOT NULL,
    unheard     BIGINT NOT NULL,
    -- callbacks that were fired before the one that told the ending, and never arrived
    gaps        BIGINT NOT NULL,
    -- the legs of which some are missing
    gap_legs    BIGINT NOT NULL,
    PRIMARY KEY (tenant, account, hour_ms, direction)
);
CREATE INDEX health_ending_by_hour ON health_ending (hour_ms);
