-- Part of a pair: migrations/postgres/0001_start.sql makes the same tables and columns. A test compares them.
-- Times are Unix milliseconds. Keys start with the tenant, but for `account`, `account_secret` and the id of a key,
-- which must be found before the tenant is known.

CREATE TABLE tenant (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A provider account (Twilio AccountSid, name of a PBX) belongs to one tenant.
CREATE TABLE account (
    id              TEXT PRIMARY KEY,
    tenant          TEXT NOT NULL REFERENCES tenant (id),
    provider        TEXT NOT NULL,
    verify          TEXT,
    verify_until_ms INTEGER,
    created_ms      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Its live tokens, sealed. Several while a token is being rotated.
CREATE TABLE account_secret (
    account    TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    id         TEXT NOT NULL,
    sealed     BLOB NOT NULL,
    seal_key   TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (account, id)
) STRICT, WITHOUT ROWID;

-- API keys; only a digest of the secret is kept.
CREATE TABLE api_key (
    id         TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL REFERENCES tenant (id),
    name       TEXT NOT NULL,
    digest     BLOB NOT NULL,
    scopes     TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    revoked_ms INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX api_key_by_tenant ON api_key (tenant, id);

-- Deliveries as received, byte for byte. The id is a digest of the content, so a repeated delivery meets its own key.
CREATE TABLE delivery (
    tenant       TEXT NOT NULL,
    provider_id  TEXT NOT NULL,
    account      TEXT NOT NULL,
    id           TEXT NOT NULL,
    source       TEXT NOT NULL,
    method       TEXT NOT NULL,
    query        BLOB NOT NULL,
    body         BLOB NOT NULL,
    received_ms  INTEGER NOT NULL,
    verified     INTEGER NOT NULL,
    -- applied | unapplied
    state        TEXT NOT NULL,
    reason       TEXT,
    attempts     INTEGER NOT NULL,
    retry_at_ms  INTEGER,
    PRIMARY KEY (tenant, provider_id, account, id)
) STRICT;
CREATE INDEX delivery_unapplied ON delivery (retry_at_ms) WHERE state = 'unapplied';

-- Signals: what a call's row is folded from. `said` is the signal as JSON, without the time it was received.
CREATE TABLE signal (
    tenant      TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    account     TEXT NOT NULL,
    identity    TEXT NOT NULL,
    said        TEXT NOT NULL,
    received_ms INTEGER NOT NULL,
    -- how often a copy with an earlier received_ms turned up
    earlier     INTEGER NOT NULL,
    delivery_id TEXT,
    PRIMARY KEY (tenant, provider_id, account, identity)
) STRICT, WITHOUT ROWID;

-- Calls, one row per leg: the registers, and the row read from them.
CREATE TABLE call (
    tenant            TEXT NOT NULL,
    provider_id       TEXT NOT NULL,
    account           TEXT NOT NULL,
    id                TEXT NOT NULL,
    provider          TEXT NOT NULL,
    registers         TEXT NOT NULL,
    parent_id         TEXT,
    merged_into       TEXT,
    direction         TEXT,
    "from"            TEXT,
    "to"              TEXT,
    extension         TEXT,
    user_id           TEXT,
    lead_id           TEXT,
    job_id            TEXT,
    run_id            TEXT,
    status            TEXT NOT NULL,
    resolution        TEXT,
    estimated         INTEGER NOT NULL,
    ended_at_max_ms   INTEGER,
    hangup_cause      TEXT,
    created_at_ms     INTEGER NOT NULL,
    initiated_at_ms   INTEGER,
    ringing_at_ms     INTEGER,
    answered_at_ms    INTEGER,
    ended_at_ms       INTEGER,
    talk_seconds      INTEGER,
    answered_by       TEXT,
    recording_url     TEXT,
    recording_seconds INTEGER,
    alive_ms          INTEGER,
    due_at_ms         INTEGER,
    last_signal_ms    INTEGER NOT NULL,
    deliveries        INTEGER NOT NULL,
    repeats           INTEGER NOT NULL,
    effects           INTEGER NOT NULL,
    verified          INTEGER NOT NULL,
    PRIMARY KEY (tenant, provider_id, account)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX call_by_id ON call (tenant, id);
CREATE INDEX call_by_parent ON call (tenant, parent_id, account) WHERE parent_id IS NOT NULL;
CREATE INDEX call_by_lead ON call (tenant, lead_id, id) WHERE lead_id IS NOT NULL;
CREATE INDEX call_due ON call (due_at_ms) WHERE due_at_ms IS NOT NULL;

-- What happened, in order: the timeline of calls and the changes of leads. Readers follow seq.
CREATE TABLE journal (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant  TEXT NOT NULL,
    -- call | lead
    kind    TEXT NOT NULL,
    subject TEXT NOT NULL,
    at_ms   INTEGER NOT NULL,
    what    TEXT NOT NULL
) STRICT;
CREATE INDEX journal_by_subject ON journal (tenant, subject, seq);

-- Leads as the user wrote them; what they are is read together with their contacts.
CREATE TABLE lead (
    tenant            TEXT NOT NULL,
    id                TEXT NOT NULL,
    name              TEXT,
    phone             TEXT,
    phone_e164        TEXT,
    status            TEXT NOT NULL,
    status_written_ms INTEGER,
    last_contacted_ms INTEGER,
    created_ms        INTEGER NOT NULL,
    updated_ms        INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX lead_by_phone ON lead (tenant, phone_e164, created_ms, id) WHERE phone_e164 IS NOT NULL;

-- A contact belongs to a conversation (the root's provider id). It may exist before its lead does.
CREATE TABLE contact (
    tenant       TEXT NOT NULL,
    conversation TEXT NOT NULL,
    account      TEXT NOT NULL,
    lead_id      TEXT NOT NULL,
    call_id      TEXT NOT NULL,
    contacted_ms INTEGER NOT NULL,
    active       INTEGER NOT NULL,
    -- how often it was switched on or off
    flips        INTEGER NOT NULL,
    PRIMARY KEY (tenant, conversation, account, lead_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX contact_by_lead ON contact (tenant, lead_id, contacted_ms);

-- What came of each conversation that is tied to a lead.
CREATE TABLE activity (
    tenant       TEXT NOT NULL,
    conversation TEXT NOT NULL,
    account      TEXT NOT NULL,
    lead_id      TEXT NOT NULL,
    call_id      TEXT NOT NULL,
    outcome      TEXT NOT NULL,
    at_ms        INTEGER NOT NULL,
    talk_seconds INTEGER NOT NULL,
    contact      INTEGER NOT NULL,
    PRIMARY KEY (tenant, conversation, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX activity_by_lead ON activity (tenant, lead_id, at_ms);

-- Effects owed to the outside.
CREATE TABLE outbox (
    tenant     TEXT NOT NULL,
    key        TEXT NOT NULL,
    kind       TEXT NOT NULL,
    subject    TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    payload    TEXT NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;

-- Calls announced before the provider gave them an id.
CREATE TABLE expected (
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,
    account    TEXT NOT NULL,
    "to"       TEXT NOT NULL,
    "from"     TEXT,
    lead_id    TEXT,
    user_id    TEXT,
    extension  TEXT,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    matched    TEXT,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX expected_expiry ON expected (expires_ms);
CREATE INDEX expected_open ON expected (tenant, account, "to") WHERE matched IS NULL;

-- Answers to POSTs that carried an Idempotency-Key.
CREATE TABLE idempotency (
    tenant     TEXT NOT NULL,
    key        TEXT NOT NULL,
    request    BLOB NOT NULL,
    status     INTEGER NOT NULL,
    body       BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_age ON idempotency (created_ms);

-- Without statistics SQLite takes a tenant for ten rows, prefers it to every other index, and scans it. These are the
-- statistics of a large tenant: the number of rows, then how many share the first column, the first two, and so on.
ANALYZE;
DELETE FROM sqlite_stat1 WHERE tbl IN ('call', 'lead', 'expected', 'contact', 'activity', 'delivery', 'journal');
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('call', 'call', '1000000 1000000 1 1'),
    ('call', 'call_by_id', '1000000 1000000 1'),
    ('call', 'call_by_parent', '200000 200000 2 2'),
    ('call', 'call_by_lead', '500000 500000 5 1'),
    ('call', 'call_due', '1000 2'),
    ('lead', 'lead', '100000 100000 1'),
    ('lead', 'lead_by_phone', '100000 100000 1 1 1'),
    ('expected', 'expected', '1000 1000 1'),
    ('expected', 'expected_open', '1000 1000 1000 1'),
    ('expected', 'expected_expiry', '1000 1'),
    ('contact', 'contact', '300000 300000 1 1 1'),
    ('contact', 'contact_by_lead', '300000 300000 3 1'),
    ('activity', 'activity', '500000 500000 1 1'),
    ('activity', 'activity_by_lead', '500000 500000 5 1'),
    ('journal', 'journal_by_subject', '5000000 5000000 5 1');
