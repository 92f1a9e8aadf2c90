-- Part of a pair: migrations/sqlite/0008_runs.sql makes the same tables and columns. A test compares them.
-- Outbound runs: what is dialed, by whom, how far it has come. Times of these tables are those of the database's clock.

CREATE TABLE run (
    tenant          TEXT COLLATE "C" NOT NULL,
    id              TEXT COLLATE "C" NOT NULL,
    -- the user's own id of the run, if there is one: creating it again adds nothing that is there
    key             TEXT COLLATE "C",
    name            TEXT COLLATE "C",
    -- pending | running | paused | cancelling | completed | cancelled | failed
    state           TEXT COLLATE "C" NOT NULL,
    -- internal: onhook dials; external: the user's own dialer does
    worker          TEXT COLLATE "C" NOT NULL,
    -- the provider account that is dialed from, and its provider
    account         TEXT COLLATE "C" NOT NULL,
    provider        TEXT COLLATE "C" NOT NULL,
    -- domain::run::Settings as JSON: caller id, whom to connect to, time limits, retries
    settings        TEXT COLLATE "C" NOT NULL,
    -- pace: microseconds from one call to the next; the moment from which the next one may be placed (Unix microseconds)
    place_every_us  BIGINT NOT NULL,
    place_next_us   BIGINT NOT NULL,
    -- calls at once
    calls_max       BIGINT NOT NULL,
    -- the lease: whose, under which fencing token (which only ever grows), until when, the last heartbeat
    holder          TEXT COLLATE "C",
    token           BIGINT NOT NULL,
    lease_until_ms  BIGINT NOT NULL,
    -- since when its holder has it: nobody takes it for want of progress before that could be made
    leased_ms       BIGINT,
    beat_ms         BIGINT,
    -- when a job was placed last, or it was last seen that none could be
    progress_ms     BIGINT,
    created_ms      BIGINT NOT NULL,
    started_ms      BIGINT,
    cancel_ms       BIGINT,
    ended_ms        BIGINT,
    last_error      TEXT COLLATE "C",
    last_error_ms   BIGINT,
    PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX run_by_id ON run (id);
CREATE UNIQUE INDEX run_by_key ON run (tenant, key) WHERE key IS NOT NULL;
CREATE INDEX run_by_age ON run (tenant, created_ms, id);
CREATE INDEX run_open ON run (tenant, id) WHERE state = 'running' OR state = 'paused' OR state = 'cancelling';
CREATE INDEX run_ended ON run (ended_ms) WHERE ended_ms IS NOT NULL;
-- For whoever counts the runs of all tenants by their state.
CREATE INDEX run_by_state ON run (state);

-- Somebody to be called once, with all attempts.
CREATE TABLE job (
    tenant        TEXT COLLATE "C" NOT NULL,
    id            TEXT COLLATE "C" NOT NULL,
    run_id        TEXT COLLATE "C" NOT NULL,
    -- what makes it the same job when the list is imported again: the user's key, else the lead, else the address
    key           TEXT COLLATE "C" NOT NULL,
    -- its place in the list
    place         BIGINT NOT NULL,
    -- whom to call, and the same as a number if it is one
    "to"          TEXT COLLATE "C" NOT NULL,
    phone_e164    TEXT COLLATE "C",
    lead_id       TEXT COLLATE "C",
    user_id       TEXT COLLATE "C",
    -- queued | placing | placed | live | done | unknown | cancelled | failed
    state         TEXT COLLATE "C" NOT NULL,
    -- the attempt it is at; 0 before the first
    attempt       BIGINT NOT NULL,
    -- under which token of the run it was handed out; NULL: to nobody
    token         BIGINT,
    -- not before
    due_ms        BIGINT NOT NULL,
    -- since when it is being placed, and since when it is known that the provider's answer is lost
    placing_ms    BIGINT,
    lost_ms       BIGINT,
    -- the call of this attempt
    provider_id   TEXT COLLATE "C",
    call_id       TEXT COLLATE "C",
    -- how the call of the last attempt that ended did, and how that is known
    outcome       TEXT COLLATE "C",
    resolution    TEXT COLLATE "C",
    answered_by   TEXT COLLATE "C",
    error         TEXT COLLATE "C",
    created_ms    BIGINT NOT NULL,
    updated_ms    BIGINT NOT NULL,
    ended_ms      BIGINT,
    PRIMARY KEY (tenant, id)
);
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
    tenant      TEXT COLLATE "C" NOT NULL,
    job_id      TEXT COLLATE "C" NOT NULL,
    attempt     BIGINT NOT NULL,
    run_id      TEXT COLLATE "C" NOT NULL,
    account     TEXT COLLATE "C" NOT NULL,
    taken_ms    BIGINT NOT NULL,
    released_ms BIGINT,
    PRIMARY KEY (tenant, job_id, attempt)
);
CREATE INDEX slot_held ON slot (tenant, account, run_id) WHERE released_ms IS NULL;
CREATE INDEX slot_by_run ON slot (tenant, run_id, released_ms);

-- Numbers that no run dials.
CREATE TABLE do_not_call (
    tenant     TEXT COLLATE "C" NOT NULL,
    phone_e164 TEXT COLLATE "C" NOT NULL,
    reason     TEXT COLLATE "C",
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, phone_e164)
);

-- Calls that are to be hung up: of runs that were cancelled by force, and calls that turned up for a job that is over.
CREATE TABLE hangup (
    tenant       TEXT COLLATE "C" NOT NULL,
    account      TEXT COLLATE "C" NOT NULL,
    provider_id  TEXT COLLATE "C" NOT NULL,
    provider     TEXT COLLATE "C" NOT NULL,
    run_id       TEXT COLLATE "C",
    job_id       TEXT COLLATE "C",
    -- force-cancelled | stray
    reason       TEXT COLLATE "C" NOT NULL,
    requested_ms BIGINT NOT NULL,
    attempts     BIGINT NOT NULL,
    -- when it is tried next; NULL: it is settled
    due_ms       BIGINT,
    settled_ms   BIGINT,
    -- what came of it: hung-up | ended-before | given-up, and in words
    result       TEXT COLLATE "C",
    detail       TEXT COLLATE "C",
    PRIMARY KEY (tenant, account, provider_id)
);
CREATE INDEX hangup_due ON hangup (due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX hangup_by_run ON hangup (tenant, run_id) WHERE run_id IS NOT NULL;
CREATE INDEX hangup_settled ON hangup (settled_ms) WHERE settled_ms IS NOT NULL;
