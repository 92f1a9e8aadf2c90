-- Part of a pair: migrations/sqlite/0003_voice.sql makes the same table. A test compares them.

-- How calls are answered: one row for the tenant (number '') and one for each number of its own. Lists are words
-- separated by spaces. NULL in a number's row: the tenant's row counts.
CREATE TABLE voice_setting (
    tenant             TEXT COLLATE "C" NOT NULL,
    number             TEXT COLLATE "C" NOT NULL,
    caller_id          TEXT COLLATE "C",
    connect            TEXT COLLATE "C",
    timeout_seconds    BIGINT,
    time_limit_seconds BIGINT,
    record             TEXT COLLATE "C",
    machine_detection  TEXT COLLATE "C",
    greeting           TEXT COLLATE "C",
    whisper            TEXT COLLATE "C",
    voice              TEXT COLLATE "C",
    language           TEXT COLLATE "C",
    unanswered         TEXT COLLATE "C",
    allow_prefixes     TEXT COLLATE "C",
    only_prefixes      TEXT COLLATE "C",
    sip_hosts          TEXT COLLATE "C",
    updated_ms         BIGINT NOT NULL,
    PRIMARY KEY (tenant, number)
);
