-- Part of a pair: migrations/postgres/0007_pbx.sql makes the same tables and columns. A test compares them.
-- Asterisk: who listens to which PBX and how that goes, what is set for it, and what its extensions do.

-- One row for each PBX that is listened to. Whoever holds it writes it every few seconds.
CREATE TABLE pbx (
    tenant          TEXT NOT NULL,
    account         TEXT NOT NULL,
    -- which process has it, until when (by the database's clock), and its fencing token, which only ever grows
    holder          TEXT NOT NULL,
    lease_until_ms  INTEGER NOT NULL,
    token           INTEGER NOT NULL,
    -- connecting | syncing | connected | refused | down | pushed
    state           TEXT NOT NULL,
    -- why, in words
    detail          TEXT,
    since_ms        INTEGER NOT NULL,
    system_name     TEXT,
    version         TEXT,
    ami_version     TEXT,
    -- when the PBX began to run
    boot_ms         INTEGER,
    -- last byte, last event, last complete channel list
    heard_ms        INTEGER,
    event_ms        INTEGER,
    synced_ms       INTEGER,
    -- how far we are behind its stream, and its clock ahead of ours
    lag_ms          INTEGER,
    clock_ahead_ms  INTEGER,
    -- counted since the row was made
    events          INTEGER NOT NULL,
    resyncs         INTEGER NOT NULL,
    gaps            INTEGER NOT NULL,
    dropped         INTEGER NOT NULL,
    -- live channels when it was last listed
    channels        INTEGER,
    -- what people were told is wrong with it: pbx-down | pbx-refuses-login; NULL: nothing, or it is well again
    alarm           TEXT,
    PRIMARY KEY (tenant, account)
) STRICT, WITHOUT ROWID;

-- What is set for a PBX beside its address and its user, which stand with the account (api_base, api_key).
CREATE TABLE pbx_setting (
    tenant     TEXT NOT NULL,
    account    TEXT NOT NULL,
    -- the certificates (PEM) that its TLS is checked with in place of the system's
    ca_pem     TEXT,
    -- the country of numbers that are dialed without a country code
    region     TEXT,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, account)
) STRICT, WITHOUT ROWID;

-- Extensions of a PBX: whose they are, by its owner, and what the PBX says of them.
CREATE TABLE extension (
    tenant    TEXT NOT NULL,
    account   TEXT NOT NULL,
    extension TEXT NOT NULL,
    user_id   TEXT,
    -- available | in-use | ringing | on-hold | unavailable | unknown
    device    TEXT,
    device_ms INTEGER,
    PRIMARY KEY (tenant, account, extension)
) STRICT;
CREATE INDEX extension_by_number ON extension (tenant, extension);
