-- Part of a pair: migrations/postgres/0005_sweep.sql makes the same tables and columns. A test compares them.
-- What is needed to look after live calls: what was asked, what was decided, and who was told of it.

-- What became of asking about a call. None of it is in the way of a webhook, which neither reads nor writes these columns.
ALTER TABLE call ADD COLUMN asked_ms INTEGER;
-- how often in a row nobody could say
ALTER TABLE call ADD COLUMN asks INTEGER NOT NULL DEFAULT 0;
-- what the last ask came to, as in `sweep`
ALTER TABLE call ADD COLUMN answer TEXT;
-- since when its signals are no longer kept
ALTER TABLE call ADD COLUMN pruned_ms INTEGER;
CREATE INDEX call_on_extension ON call (tenant, extension) WHERE extension IS NOT NULL AND due_at_ms IS NOT NULL;

-- One row for each account that was asked about its calls: how that goes, and who is asking now.
CREATE TABLE watch (
    tenant           TEXT NOT NULL,
    account          TEXT NOT NULL,
    -- where it was asked; what was seen elsewhere proves nothing here
    base             TEXT NOT NULL,
    lease_until_ms   INTEGER NOT NULL,
    listed_ms        INTEGER,
    -- when a call that had come by webhook was last found there
    seen_ms          INTEGER,
    -- why it cannot be asked, since when, and when it is tried again
    trouble          TEXT,
    detail           TEXT,
    failing_since_ms INTEGER,
    failures         INTEGER NOT NULL,
    ask_again_ms     INTEGER,
    -- a digest of the credentials that were refused
    refused          TEXT,
    alarmed_ms       INTEGER,
    PRIMARY KEY (tenant, account)
) STRICT, WITHOUT ROWID;

-- What is still to be learned of calls that have ended: `history` (which callbacks were lost), `ending` (how one that was
-- given up really ended).
CREATE TABLE follow_up (
    tenant      TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    account     TEXT NOT NULL,
    kind        TEXT NOT NULL,
    due_ms      INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    created_ms  INTEGER NOT NULL,
    PRIMARY KEY (tenant, provider_id, account, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX follow_up_due ON follow_up (due_ms);

-- What people should know. `user_id` NULL: for everybody of the tenant.
CREATE TABLE notice (
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,
    user_id    TEXT,
    kind       TEXT NOT NULL,
    -- the call or account it is about
    subject    TEXT NOT NULL,
    text       TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    read_ms    INTEGER,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX notice_by_user ON notice (tenant, user_id, id);
CREATE INDEX notice_by_subject ON notice (tenant, subject, id);
CREATE INDEX notice_by_age ON notice (created_ms);

-- Who decided what, by which rule, on which evidence.
CREATE TABLE audit (
    tenant   TEXT NOT NULL,
    id       TEXT NOT NULL,
    at_ms    INTEGER NOT NULL,
    -- `sweeper`, `key:…`, `cli`
    actor    TEXT NOT NULL,
    action   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    -- as JSON
    detail   TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_by_subject ON audit (tenant, subject, id);
CREATE INDEX audit_by_age ON audit (at_ms);

-- Sweeps that changed something, failed, or were asked for by somebody.
CREATE TABLE sweep (
    tenant       TEXT NOT NULL,
    id           TEXT NOT NULL,
    started_ms   INTEGER NOT NULL,
    ended_ms     INTEGER NOT NULL,
    actor        TEXT NOT NULL,
    dry_run      INTEGER NOT NULL,
    threshold_ms INTEGER,
    looked       INTEGER NOT NULL,
    alive        INTEGER NOT NULL,
    repaired     INTEGER NOT NULL,
    given_up     INTEGER NOT NULL,
    skipped      INTEGER NOT NULL,
    -- what was changed, and what was skipped for which reason, as JSON, the first of each
    changed      TEXT NOT NULL,
    reasons      TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sweep_by_age ON sweep (started_ms);

-- What all sweeps came to, by the hour.
CREATE TABLE sweep_figure (
    tenant   TEXT NOT NULL,
    hour_ms  INTEGER NOT NULL,
    sweeps   INTEGER NOT NULL,
    looked   INTEGER NOT NULL,
    alive    INTEGER NOT NULL,
    repaired INTEGER NOT NULL,
    given_up INTEGER NOT NULL,
    skipped  INTEGER NOT NULL,
    PRIMARY KEY (tenant, hour_ms)
) STRICT, WITHOUT ROWID;
CREATE INDEX sweep_figure_by_hour ON sweep_figure (hour_ms);

-- A person that was forgotten: number and name are gone, what was counted stays.
ALTER TABLE lead ADD COLUMN forgotten_ms INTEGER;

-- See 0001: the statistics of a large tenant.
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('call', 'call_on_extension', '1000 1000 1'),
    ('watch', 'watch', '10 10 1'),
    ('follow_up', 'follow_up', '1000 1000 1 1 1'),
    ('follow_up', 'follow_up_due', '1000 1'),
    ('notice', 'notice', '100000 100000 1'),
    ('notice', 'notice_by_user', '100000 100000 1000 1'),
    ('notice', 'notice_by_subject', '100000 100000 2 1'),
    ('notice', 'notice_by_age', '100000 1'),
    ('audit', 'audit', '100000 100000 1'),
    ('audit', 'audit_by_subject', '100000 100000 2 1'),
    ('audit', 'audit_by_age', '100000 1'),
    ('sweep', 'sweep', '100000 100000 1'),
    ('sweep', 'sweep_by_age', '100000 1'),
    ('sweep_figure', 'sweep_figure', '10000 10000 1'),
    ('sweep_figure', 'sweep_figure_by_hour', '10000 10');
