-- Part of a pair: migrations/sqlite/0001_start.sql makes the same tables and columns. A test compares them.
-- Times are Unix milliseconds. Keys start with the tenant, but for `account`, `account_secret` and the id of a key,
-- which must be found before the tenant is known.

CREATE TABLE tenant (
    id         TEXT COLLATE "C" PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL
);

-- A provider account (Twilio AccountSid, name of a PBX) belongs to one tenant.
CREATE TABLE account (
    id              TEXT COLLATE "C" PRIMARY KEY,
    tenant          TEXT COLLATE "C" NOT NULL REFERENCES tenant (id),
    provider        TEXT COLLATE "C" NOT NULL,
    verify          TEXT COLLATE "C",
    verify_until_ms BIGINT,
    created_ms      BIGINT NOT NULL
);

-- Its live tokens, sealed. Several while a token is being rotated.
CREATE TABLE account_secret (
    account    TEXT COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    id         TEXT COLLATE "C" NOT NULL,
    sealed     BYTEA NOT NULL,
    seal_key   TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (account, id)
);

-- API keys; only a digest of the secret is kept.
CREATE TABLE api_key (
    id         TEXT COLLATE "C" PRIMARY KEY,
    tenant     TEXT COLLATE "C" NOT NULL REFERENCES tenant (id),
    name       TEXT COLLATE "C" NOT NULL,
    digest     BYTEA NOT NULL,
    scopes     TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT,
    revoked_ms BIGINT
);
CREATE INDEX api_key_by_tenant ON api_key (tenant, id);

-- Deliveries as received, byte for byte. The id is a digest of the content, so a repeated delivery meets its own key.
CREATE TABLE delivery (
    tenant       TEXT COLLATE "C" NOT NULL,
    provider_id  TEXT COLLATE "C" NOT NULL,
    account      TEXT COLLATE "C" NOT NULL,
    id           TEXT COLLATE "C" NOT NULL,
    source       TEXT COLLATE "C" NOT NULL,
    method       TEXT COLLATE "C" NOT NULL,
    query        BYTEA NOT NULL,
    body         BYTEA NOT NULL,
    received_ms  BIGINT NOT NULL,
    verified     BOOLEAN NOT NULL,
    -- applied | unapplied
    state        TEXT COLLATE "C" NOT NULL,
    reason       TEXT COLLATE "C",
    attempts     BIGINT NOT NULL,
    retry_at_ms  BIGINT,
    PRIMARY KEY (tenant, provider_id, account, id)
);
CREATE INDEX delivery_unapplied ON delivery (retry_at_ms) WHERE state = 'unapplied';

-- Signals: what a call's row is folded from. `said` is the signal as JSON, without the time it was received.
CREATE TABLE signal (
    tenant      TEXT COLLATE "C" NOT NULL,
    provider_id TEXT COLLATE "C" NOT NULL,
    account     TEXT COLLATE "C" NOT NULL,
    identity    TEXT COLLATE "C" NOT NULL,
    said        TEXT COLLATE "C" NOT NULL,
    received_ms BIGINT NOT NULL,
    -- how often a copy with an earlier received_ms turned up
    earlier     BIGINT NOT NULL,
    delivery_id TEXT COLLATE "C",
    PRIMARY KEY (tenant, provider_id, account, identity)
);

-- Calls, one row per leg: the registers, and the row read from them.
CREATE TABLE call (
    tenant            TEXT COLLATE "C" NOT NULL,
    provider_id       TEXT COLLATE "C" NOT NULL,
    account           TEXT COLLATE "C" NOT NULL,
    id                TEXT COLLATE "C" NOT NULL,
    provider          TEXT COLLATE "C" NOT NULL,
    registers         TEXT COLLATE "C" NOT NULL,
    parent_id         TEXT COLLATE "C",
    merged_into       TEXT COLLATE "C",
    direction         TEXT COLLATE "C",
    "from"            TEXT COLLATE "C",
    "to"              TEXT COLLATE "C",
    extension         TEXT COLLATE "C",
    user_id           TEXT COLLATE "C",
    lead_id           TEXT COLLATE "C",
    job_id            TEXT COLLATE "C",
    run_id            TEXT COLLATE "C",
    status            TEXT COLLATE "C" NOT NULL,
    resolution        TEXT COLLATE "C",
    estimated         BOOLEAN NOT NULL,
    ended_at_max_ms   BIGINT,
    hangup_cause      TEXT COLLATE "C",
    created_at_ms     BIGINT NOT NULL,
    initiated_at_ms   BIGINT,
    ringing_at_ms     BIGINT,
    answered_at_ms    BIGINT,
    ended_at_ms       BIGINT,
    talk_seconds      BIGINT,
    answered_by       TEXT COLLATE "C",
    recording_url     TEXT COLLATE "C",
    recording_seconds BIGINT,
    alive_ms          BIGINT,
    due_at_ms         BIGINT,
    last_signal_ms    BIGINT NOT NULL,
    deliveries        BIGINT NOT NULL,
    repeats           BIGINT NOT NULL,
    effects           BIGINT NOT NULL,
    verified          BOOLEAN NOT NULL,
    PRIMARY KEY (tenant, provider_id, account)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX call_by_id ON call (tenant, id);
CREATE INDEX call_by_parent ON call (tenant, parent_id, account) WHERE parent_id IS NOT NULL;
CREATE INDEX call_by_lead ON call (tenant, lead_id, id) WHERE lead_id IS NOT NULL;
CREATE INDEX call_due ON call (due_at_ms) WHERE due_at_ms IS NOT NULL;

-- What happened, in order: the timeline of calls and the changes of leads. Readers follow seq.
CREATE TABLE journal (
    seq     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant  TEXT COLLATE "C" NOT NULL,
    -- call | lead
    kind    TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    at_ms   BIGINT NOT NULL,
    what    TEXT COLLATE "C" NOT NULL
);
CREATE INDEX journal_by_subject ON journal (tenant, subject, seq);

-- Leads as the user wrote them; what they are is read together with their contacts.
CREATE TABLE lead (
    tenant            TEXT COLLATE "C" NOT NULL,
    id                TEXT COLLATE "C" NOT NULL,
    name              TEXT COLLATE "C",
    phone             TEXT COLLATE "C",
    phone_e164        TEXT COLLATE "C",
    status            TEXT COLLATE "C" NOT NULL,
    status_written_ms BIGINT,
    last_contacted_ms BIGINT,
    created_ms        BIGINT NOT NULL,
    updated_ms        BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX lead_by_phone ON lead (tenant, phone_e164, created_ms, id) WHERE phone_e164 IS NOT NULL;

-- A contact belongs to a conversation (the root's provider id). It may exist before its lead does.
CREATE TABLE contact (
    tenant       TEXT COLLATE "C" NOT NULL,
    conversation TEXT COLLATE "C" NOT NULL,
    account      TEXT COLLATE "C" NOT NULL,
    lead_id      TEXT COLLATE "C" NOT NULL,
    call_id      TEXT COLLATE "C" NOT NULL,
    contacted_ms BIGINT NOT NULL,
    active       BOOLEAN NOT NULL,
    -- how often it was switched on or off
    flips        BIGINT NOT NULL,
    PRIMARY KEY (tenant, conversation, account, lead_id)
) WITH (fillfactor = 70);
CREATE INDEX contact_by_lead ON contact (tenant, lead_id, contacted_ms);

-- What came of each conversation that is tied to a lead.
CREATE TABLE activity (
    tenant       TEXT COLLATE "C" NOT NULL,
    conversation TEXT COLLATE "C" NOT NULL,
    account      TEXT COLLATE "C" NOT NULL,
    lead_id      TEXT COLLATE "C" NOT NULL,
    call_id      TEXT COLLATE "C" NOT NULL,
    outcome      TEXT COLLATE "C" NOT NULL,
    at_ms        BIGINT NOT NULL,
    talk_seconds BIGINT NOT NULL,
    contact      BOOLEAN NOT NULL,
    PRIMARY KEY (tenant, conversation, account)
);
CREATE INDEX activity_by_lead ON activity (tenant, lead_id, at_ms);

-- Effects owed to the outside.
CREATE TABLE outbox (
    tenant     TEXT COLLATE "C" NOT NULL,
    key        TEXT COLLATE "C" NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    subject    TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    payload    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, key)
);

-- Calls announced before the provider gave them an id.
CREATE TABLE expected (
    tenant     TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    account    TEXT COLLATE "C" NOT NULL,
    "to"       TEXT COLLATE "C" NOT NULL,
    "from"     TEXT COLLATE "C",
    lead_id    TEXT COLLATE "C",
    user_id    TEXT COLLATE "C",
    extension  TEXT COLLATE "C",
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    matched    TEXT COLLATE "C",
    PRIMARY KEY (tenant, id)
);
CREATE INDEX expected_expiry ON expected (expires_ms);
CREATE INDEX expected_open ON expected (tenant, account, "to") WHERE matched IS NULL;

-- Answers to POSTs that carried an Idempotency-Key.
CREATE TABLE idempotency (
    tenant     TEXT COLLATE "C" NOT NULL,
    key        TEXT COLLATE "C" NOT NULL,
    request    BYTEA NOT NULL,
    status     BIGINT NOT NULL,
    body       BYTEA NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, key)
);
CREATE INDEX idempotency_age ON idempotency (created_ms);

-- Plans are kept per connection, and those made while a table is empty are made blindly: PostgreSQL may well take an
-- index for its tenant alone. So let it see, once, what the tables will look like; the statistics outlive the rows.
INSERT INTO call (tenant, provider_id, account, id, provider, registers, parent_id, lead_id, status, estimated,
                  created_at_ms, due_at_ms, last_signal_ms, deliveries, repeats, effects, verified)
SELECT 'sample', 'CA' || n, 'AC', 'call_' || n, 'twilio', '{}', CASE WHEN n % 5 = 0 THEN 'CA' || n / 5 END,
       'lead-' || n % 300, 'completed', false, n, CASE WHEN n % 100 = 0 THEN n END, n, 1, 0, 0, true
  FROM generate_series(1, 3000) AS n;
INSERT INTO contact (tenant, conversation, account, lead_id, call_id, contacted_ms, active, flips)
SELECT 'sample', 'CA' || n, 'AC', 'lead-' || n % 300, 'call_' || n, n, true, 1 FROM generate_series(1, 3000) AS n;
INSERT INTO lead (tenant, id, phone_e164, status, created_ms, updated_ms)
SELECT 'sample', 'lead-' || n, '+1415555' || n, 'new', n, n FROM generate_series(1, 3000) AS n;
INSERT INTO expected (tenant, id, account, "to", created_ms, expires_ms)
SELECT 'sample', 'exp_' || n, 'AC', '+1415555' || n, n, n FROM generate_series(1, 3000) AS n;
INSERT INTO activity (tenant, conversation, account, lead_id, call_id, outcome, at_ms, talk_seconds, contact)
SELECT 'sample', 'CA' || n, 'AC', 'lead-' || n % 300, 'call_' || n, 'completed', n, 1, true
  FROM generate_series(1, 3000) AS n;
ANALYZE call, contact, lead, expected, activity;
DELETE FROM call;
DELETE FROM contact;
DELETE FROM lead;
DELETE FROM expected;
DELETE FROM activity;
