-- Part of a pair: migrations/sqlite/0007_pbx.sql makes the same tables and columns. A test compares them.
-- Asterisk: who listens to which PBX and how that goes, what is set for it, and what its extensions do.

-- One row for each PBX that is listened to. Whoever holds it writes it every few seconds.
CREATE TABLE pbx (
    tenant          TEXT COLLATE "C" NOT NULL,
    account         TEXT COLLATE "C" NOT NULL,
    -- which process has it, until when (by the database's clock), and its fencing token, which only ever grows
    holder          TEXT COLLATE "C" NOT NULL,
    lease_until_ms  BIGINT NOT NULL,
    token           BIGINT NOT NULL,
    -- connecting | syncing | connected | refused | down | pushed
    state           TEXT COLLATE "C" NOT NULL,
    -- why, in words
    detail          TEXT COLLATE "C",
    since_ms        BIGINT NOT NULL,
    system_name     TEXT COLLATE "C",
    version         TEXT COLLATE "C",
    ami_version     TEXT COLLATE "C",
    -- when the PBX began to run
    boot_ms         BIGINT,
    -- last byte, last event, last complete channel list
    heard_ms        BIGINT,
    event_ms        BIGINT,
    synced_ms       BIGINT,
    -- how far we are behind its stream, and its clock ahead of ours
    lag_ms          BIGINT,
    clock_ahead_ms  BIGINT,
    -- counted since the row was made
    events          BIGINT NOT NULL,
    resyncs         BIGINT NOT NULL,
    gaps            BIGINT NOT NULL,
    dropped         BIGINT NOT NULL,
    -- live channels when it was last listed
    channels        BIGINT,
    -- what people were told is wrong with it: pbx-down | pbx-refuses-login; NULL: nothing, or it is well again
    alarm           TEXT COLLATE "C",
    PRIMARY KEY (tenant, account)
);

-- What is set for a PBX beside its address and its user, which stand with the account (api_base, api_key).
CREATE TABLE pbx_setting (
    tenant     TEXT COLLATE "C" NOT NULL,
    account    TEXT COLLATE "C" NOT NULL,
    -- the certificates (PEM) that its TLS is checked with in place of the system's
    ca_pem     TEXT COLLATE "C",
    -- the country of numbers that are dialed without a country code
    region     TEXT COLLATE "C",
    updated_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, account)
);

-- Extensions of a PBX: whose they are, by its owner, and what the PBX says of them.
CREATE TABLE extension (
    tenant    TEXT COLLATE "C" NOT NULL,
    account   TEXT COLLATE "C" NOT NULL,
    extension TEXT COLLATE "C" NOT NULL,
    user_id   TEXT COLLATE "C",
    -- available | in-use | ringing | on-hold | unavailable | unknown
    device    TEXT COLLATE "C",
    device_ms BIGINT,
    PRIMARY KEY (tenant, account, extension)
);
CREATE INDEX extension_by_number ON extension (tenant, extension);
