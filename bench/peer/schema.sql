-- The usual tables behind a status callback endpoint, with the indexes that such an application reads by.

CREATE TABLE lead (
    id                text PRIMARY KEY,
    name              text NOT NULL,
    phone             text NOT NULL,
    status            text NOT NULL DEFAULT 'new',
    last_contacted_at timestamptz,
    contact_count     integer NOT NULL DEFAULT 0
);

CREATE TABLE call (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sid         text NOT NULL UNIQUE,
    account_sid text NOT NULL,
    from_number text NOT NULL,
    to_number   text NOT NULL,
    direction   text NOT NULL,
    lead_id     text,
    status      text NOT NULL,
    answered_at timestamptz,
    ended_at    timestamptz,
    duration    integer,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX call_by_lead ON call (lead_id);
CREATE INDEX call_live ON call (updated_at) WHERE status IN ('initiated', 'ringing', 'in-progress');

CREATE TABLE event (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    call_sid    text NOT NULL,
    sequence    integer NOT NULL,
    status      text NOT NULL,
    body        jsonb NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (call_sid, sequence, status)
);

CREATE TABLE transition (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    call_id     bigint NOT NULL REFERENCES call (id),
    from_status text,
    to_status   text NOT NULL,
    at          timestamptz NOT NULL
);
CREATE INDEX transition_by_call ON transition (call_id);

CREATE TABLE activity (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lead_id    text NOT NULL REFERENCES lead (id),
    call_id    bigint NOT NULL REFERENCES call (id),
    kind       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX activity_by_lead ON activity (lead_id);

CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text NOT NULL,
    body       jsonb NOT NULL,
    sent_at    timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX outbox_unsent ON outbox (id) WHERE sent_at IS NULL;
