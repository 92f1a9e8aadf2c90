-- Part of a pair: migrations/postgres/0003_voice.sql makes the same table. A test compares them.

-- How calls are answered: one row for the tenant (number '') and one for each number of its own. Lists are words
-- separated by spaces. NULL in a number's row: the tenant's row counts.
CREATE TABLE voice_setting (
    tenant             TEXT NOT NULL,
    number             TEXT NOT NULL,
    caller_id          TEXT,
    connect            TEXT,
    timeout_seconds    INTEGER,
    time_limit_seconds INTEGER,
    record             TEXT,
    machine_detection  TEXT,
    greeting           TEXT,
    whisper            TEXT,
    voice              TEXT,
    language           TEXT,
    unanswered         TEXT,
    allow_prefixes     TEXT,
    only_prefixes      TEXT,
    sip_hosts          TEXT,
    updated_ms         INTEGER NOT NULL,
    PRIMARY KEY (tenant, number)
) STRICT, WITHOUT ROWID;
