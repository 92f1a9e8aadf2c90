-- Part of a pair: migrations/postgres/0008_runs.sql makes the same tables and columns. A test compares them.
-- Outbound runs: what is dialed, by whom, how far it has come. Times of these tables are those of the database's clock.

CREATE TABLE run (
    tenant          TEXT NOT NULL,
    id              TEXT NOT NULL,
    -- the user's own id of the run, if there is one: creating it again adds nothing that is there
    key             TEXT,
    name            TEXT,
    -- pending | running | paused | cancelling | completed | cancelled | failed
    state           TEXT NOT NULL,
    -- internal: onhook dials; external: the user's own dialer does
    worker          TEXT NOT NULL,
    -- the provider account that is dialed from, and its provider
    account         TEXT NOT NULL,
    provider        TEXT NOT NULL,
    -- domain::run::Settings as JSON: caller id, whom to connect to, time limits, retries
    settings        TEXT NOT NULL,
    -- pace: microseconds from one call to the next; the moment from which the next one may be placed (Unix microseconds)
    place_every_us  INTEGER NOT NULL,
    place_next_us   INTEGER NOT NULL,
    -- calls at once
    calls_max       INTEGER NOT NULL,
    -- the lease: whose, under which fencing token (which only ever grows), until when, the last heartbeat
    holder          TEXT,
    token           INTEGER NOT NULL,
    lease_until_ms  INTEGER NOT NULL,
    -- since when its holder has it: nobody takes it for want of progress before that could be made
    leased_ms       INTEGER,
    beat_ms         INTEGER,
    -- when a job was placed last, or it was last seen that none could be
    progress_ms     INTEGER,
    created_ms      INTEGER NOT NULL,
    started_ms      INTEGER,
    cancel_ms       INTEGER,
    ended_ms        INTEGER,
    last_error      TEXT,
    last_error_ms   INTEGER,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX run_by_id ON run (id);
CREATE UNIQUE INDEX run_by_key ON run (tenant, key) WHERE key IS NOT NULL;
CREATE INDEX run_by_age ON run (tenant, created_ms, id);
CREATE INDEX run_open ON run (tenant, id) WHERE state = 'running' OR state = 'paused' OR state = 'cancelling';
CREATE INDEX run_ended ON run (ended_ms) WHERE ended_ms IS NOT NULL;
-- For whoever counts the runs of all tenants by their state.
CREATE INDEX run_by_state ON run (state);

-- Somebody to be called once, with all attempts.
CREATE TABLE job (
    tenant        TEXT NOT NULL,
    id            TEXT NOT NULL,
    run_id        TEXT NOT NULL,
    -- what makes it the same job when the list is imported again: the user's key, else the lead, else the address
    key           TEXT NOT NULL,
    -- its place in the list
    place         INTEGER NOT NULL,
    -- whom to call, and the same as a number if it is one
    "to"          TEXT NOT NULL,
    phone_e164    TEXT,
    lead_id       TEXT,
    user_id       TEXT,
    -- queued | placing | placed | live | done | unknown | cancelled | failed
    state         TEXT NOT NULL,
    -- the attempt it is at; 0 before the first
    attempt       INTEGER NOT NULL,
    -- under which token of the run it was handed out; NULL: to nobody
    token         INTEGER,
    -- not before
    due_ms        INTEGER NOT NULL,
    -- since when it is being placed, and since when it is known that the provider's answer is lost
    placing_ms    INTEGER,
    lost_ms       INTEGER,
    -- the call of this attempt
    provider_id   TEXT,
    call_id       TEXT,
    -- how the call of the last attempt that ended did, and how that is known
    outcome       TEXT,
    resolution    TEXT,
    answered_by   TEXT,
    error         TEXT,
    created_ms    INTEGER NOT NULL,
    updated_ms    INTEGER NOT NULL,
    ended_ms      INTEGER,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX job_by_key ON job (tenant, run_id, key);
CREATE INDEX job_by_place ON job (tenant, run_id, place);
-- what is handed out next
CREATE INDEX job_by_state ON job (tenant, run_id, state, due_ms, place);
-- counts, and pages of the jobs in a state
CREATE INDEX job_in_state ON job (tenant, run_id, state, place, outcome);
CREATE INDEX job_reserved ON job (tenant, run_id, token, place) WHERE state = 'queued' AND token IS NOT NULL;
CREATE INDEX job_by_lead ON job (tenant, lead_id) WHERE lead_id IS NOT NULL;
CREATE INDEX job_by_call ON job (tenant, provider_id) WHERE provider_id IS NOT NULL;
CREATE INDEX job_placing ON job (placing_ms) WHERE state = 'placing';

-- The ledger of calls at once: one row for each attempt, held from before the provider is asked until its call has ended.
CREATE TABLE slot (
    tenant      TEXT NOT NULL,
    job_id      TEXT NOT NULL,
    attempt     INTEGER NOT NULL,
    run_id      TEXT NOT NULL,
    account     TEXT NOT NULL,
    taken_ms    INTEGER NOT NULL,
    released_ms INTEGER,
    PRIMARY KEY (tenant, job_id, attempt)
) STRICT, WITHOUT ROWID;
CREATE INDEX slot_held ON slot (tenant, account, run_id) WHERE released_ms IS NULL;
CREATE INDEX slot_by_run ON slot (tenant, run_id, released_ms);

-- Numbers that no run dials.
CREATE TABLE do_not_call (
    tenant     TEXT NOT NULL,
    phone_e164 TEXT NOT NULL,
    reason     TEXT,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, phone_e164)
) STRICT, WITHOUT ROWID;

-- Calls that are to be hung up: of runs that were cancelled by force, and calls that turned up for a job that is over.
CREATE TABLE hangup (
    tenant       TEXT NOT NULL,
    account      TEXT NOT NULL,
    provider_id  TEXT NOT NULL,
    provider     TEXT NOT NULL,
    run_id       TEXT,
    job_id       TEXT,
    -- force-cancelled | stray
    reason       TEXT NOT NULL,
    requested_ms INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    -- when it is tried next; NULL: it is settled
    due_ms       INTEGER,
    settled_ms   INTEGER,
    -- what came of it: hung-up | ended-before | given-up, and in words
    result       TEXT,
    detail       TEXT,
    PRIMARY KEY (tenant, account, provider_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX hangup_due ON hangup (due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX hangup_by_run ON hangup (tenant, run_id) WHERE run_id IS NOT NULL;
CREATE INDEX hangup_settled ON hangup (settled_ms) WHERE settled_ms IS NOT NULL;

-- Without statistics SQLite takes every tenant for ten rows (see 0001_start.sql).
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('run', 'run', '10000 1000 1'),
    ('run', 'run_by_id', '10000 1'),
    ('run', 'run_by_key', '10000 1000 1'),
    ('run', 'run_by_age', '10000 1000 1 1'),
    ('run', 'run_open', '100 10 1'),
    ('run', 'run_ended', '10000 2'),
    ('run', 'run_by_state', '10000 1500'),
    ('job', 'job', '10000000 1000000 1'),
    ('job', 'job_by_key', '10000000 1000000 10000 1'),
    ('job', 'job_by_place', '10000000 1000000 10000 1'),
    ('job', 'job_by_state', '10000000 1000000 10000 5000 10 1'),
    ('job', 'job_in_state', '10000000 1000000 10000 5000 1 1'),
    ('job', 'job_reserved', '1000 100 10 10 1'),
    ('job', 'job_by_lead', '10000000 1000000 3'),
    ('job', 'job_by_call', '10000000 1000000 1'),
    ('job', 'job_placing', '100 2'),
    ('slot', 'slot', '10000000 1000000 1 1'),
    ('slot', 'slot_held', '1000 100 50 20'),
    ('slot', 'slot_by_run', '10000000 1000000 10000 2'),
    ('do_not_call', 'do_not_call', '1000000 100000 1'),
    ('hangup', 'hangup', '100000 10000 1000 1'),
    ('hangup', 'hangup_due', '100 2'),
    ('hangup', 'hangup_by_run', '100000 10000 100'),
    ('hangup', 'hangup_settled', '100000 2');
