-- Part of a pair: migrations/sqlite/0006_account_access.sql makes the same tables and columns. A test compares them.
-- How a provider is asked about an account: where, and with which key in place of the token, which still verifies webhooks.

-- a region's host; NULL: the configured one
ALTER TABLE account ADD COLUMN api_base TEXT COLLATE "C";
-- the sid of an API key
ALTER TABLE account ADD COLUMN api_key TEXT COLLATE "C";
-- its secret, sealed for the account and that sid
ALTER TABLE account ADD COLUMN api_secret BYTEA;
-- which key sealed it
ALTER TABLE account ADD COLUMN api_seal_key TEXT COLLATE "C";
