-- Part of a pair: migrations/sqlite/0005_sweep.sql makes the same tables and columns. A test compares them.
-- What is needed to look after live calls: what was asked, what was decided, and who was told of it.

-- What became of asking about a call. None of it is in the way of a webhook, which neither reads nor writes these columns.
ALTER TABLE call ADD COLUMN asked_ms BIGINT;
-- how often in a row nobody could say
ALTER TABLE call ADD COLUMN asks BIGINT NOT NULL DEFAULT 0;
-- what the last ask came to, as in `sweep`
ALTER TABLE call ADD COLUMN answer TEXT COLLATE "C";
-- since when its signals are no longer kept
ALTER TABLE call ADD COLUMN pruned_ms BIGINT;
CREATE INDEX call_on_extension ON call (tenant, extension) WHERE extension IS NOT NULL AND due_at_ms IS NOT NULL;

-- One row for each account that was asked about its calls: how that goes, and who is asking now.
CREATE TABLE watch (
    tenant           TEXT COLLATE "C" NOT NULL,
    account          TEXT COLLATE "C" NOT NULL,
    -- where it was asked; what was seen elsewhere proves nothing here
    base             TEXT COLLATE "C" NOT NULL,
    lease_until_ms   BIGINT NOT NULL,
    listed_ms        BIGINT,
    -- when a call that had come by webhook was last found there
    seen_ms          BIGINT,
    -- why it cannot be asked, since when, and when it is tried again
    trouble          TEXT COLLATE "C",
    detail           TEXT COLLATE "C",
    failing_since_ms BIGINT,
    failures         BIGINT NOT NULL,
    ask_again_ms     BIGINT,
    -- a digest of the credentials that were refused
    refused          TEXT COLLATE "C",
    alarmed_ms       BIGINT,
    PRIMARY KEY (tenant, account)
);

-- What is still to be learned of calls that have ended: `history` (which callbacks were lost), `ending` (how one that was
-- given up really ended).
CREATE TABLE follow_up (
    tenant      TEXT COLLATE "C" NOT NULL,
    provider_id TEXT COLLATE "C" NOT NULL,
    account     TEXT COLLATE "C" NOT NULL,
    kind        TEXT COLLATE "C" NOT NULL,
    due_ms      BIGINT NOT NULL,
    attempts    BIGINT NOT NULL,
    created_ms  BIGINT NOT NULL,
    PRIMARY KEY (tenant, provider_id, account, kind)
);
CREATE INDEX follow_up_due ON follow_up (due_ms);

-- What people should know. `user_id` NULL: for everybody of the tenant.
CREATE TABLE notice (
    tenant     TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    user_id    TEXT COLLATE "C",
    kind       TEXT COLLATE "C" NOT NULL,
    -- the call or account it is about
    subject    TEXT COLLATE "C" NOT NULL,
    text       TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    read_ms    BIGINT,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX notice_by_user ON notice (tenant, user_id, id);
CREATE INDEX notice_by_subject ON notice (tenant, subject, id);
CREATE INDEX notice_by_age ON notice (created_ms);

-- Who decided what, by which rule, on which evidence.
CREATE TABLE audit (
    tenant   TEXT COLLATE "C" NOT NULL,
    id       TEXT COLLATE "C" NOT NULL,
    at_ms    BIGINT NOT NULL,
    -- `sweeper`, `key:…`, `cli`
    actor    TEXT COLLATE "C" NOT NULL,
    action   TEXT COLLATE "C" NOT NULL,
    subject  TEXT COLLATE "C" NOT NULL,
    -- as JSON
    detail   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX audit_by_subject ON audit (tenant, subject, id);
CREATE INDEX audit_by_age ON audit (at_ms);

-- Sweeps that changed something, failed, or were asked for by somebody.
CREATE TABLE sweep (
    tenant       TEXT COLLATE "C" NOT NULL,
    id           TEXT COLLATE "C" NOT NULL,
    started_ms   BIGINT NOT NULL,
    ended_ms     BIGINT NOT NULL,
    actor        TEXT COLLATE "C" NOT NULL,
    dry_run      BOOLEAN NOT NULL,
    threshold_ms BIGINT,
    looked       BIGINT NOT NULL,
    alive        BIGINT NOT NULL,
    repaired     BIGINT NOT NULL,
    given_up     BIGINT NOT NULL,
    skipped      BIGINT NOT NULL,
    -- what was changed, and what was skipped for which reason, as JSON, the first of each
    changed      TEXT COLLATE "C" NOT NULL,
    reasons      TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX sweep_by_age ON sweep (started_ms);

-- What all sweeps came to, by the hour.
CREATE TABLE sweep_figure (
    tenant   TEXT COLLATE "C" NOT NULL,
    hour_ms  BIGINT NOT NULL,
    sweeps   BIGINT NOT NULL,
    looked   BIGINT NOT NULL,
    alive    BIGINT NOT NULL,
    repaired BIGINT NOT NULL,
    given_up BIGINT NOT NULL,
    skipped  BIGINT NOT NULL,
    PRIMARY KEY (tenant, hour_ms)
);
CREATE INDEX sweep_figure_by_hour ON sweep_figure (hour_ms);

-- A person that was forgotten: number and name are gone, what was counted stays.
ALTER TABLE lead ADD COLUMN forgotten_ms BIGINT;
