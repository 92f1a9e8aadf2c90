'use strict';
// What people write today: express, the official twilio middleware, pg, and one transaction for each webhook.
//
// The work is the same as onhook's for the same request: check the signature, keep the event once, move the call
// forward, note the transition; and when the call completed: mark the lead, write the activity and the outbox row.
// Environment: PORT, DATABASE_URL, TWILIO_AUTH_TOKEN, PUBLIC_HOST, POOL.

const express = require('express');
const twilio = require('twilio');
const { Pool } = require('pg');

const RANK = { queued: 0, initiated: 1, ringing: 2, 'in-progress': 3 };
const rank = (status) => RANK[status] ?? 4;

const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: Number(process.env.POOL ?? 16) });
const app = express();
app.disable('x-powered-by');
app.disable('etag');

app.get('/readyz', async (_request, response) => {
  await pool.query('SELECT 1');
  response.sendStatus(200);
});

app.post(
  '/webhooks/twilio/status',
  express.urlencoded({ extended: false }),
  twilio.webhook({ protocol: 'https', host: process.env.PUBLIC_HOST }),
  async (request, response) => {
    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      await apply(client, request.body, request.query.lead_id ?? null);
      await client.query('COMMIT');
      response.sendStatus(204);
    } catch (error) {
      await client.query('ROLLBACK');
      console.error(error);
      response.sendStatus(500);
    } finally {
      client.release();
    }
  },
);

async function apply(client, body, leadId) {
  const status = body.CallStatus;
  const at = new Date(body.Timestamp);

  const event = await client.query(
    `INSERT INTO event (call_sid, sequence, status, body) VALUES ($1, $2, $3, $4)
     ON CONFLICT (call_sid, sequence, status) DO NOTHING`,
    [body.CallSid, Number(body.SequenceNumber ?? -1), status, JSON.stringify(body)],
  );
  if (event.rowCount === 0) return; // a repetition

  // One statement gives the state before and after, under the row's lock.
  const { rows } = await client.query(
    `WITH before AS (SELECT status FROM call WHERE sid = $1 FOR UPDATE)
     INSERT INTO call (sid, account_sid, from_number, to_number, direction, lead_id, status, answered_at, ended_at, duration)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
     ON CONFLICT (sid) DO UPDATE SET
       status      = CASE WHEN $11::int > CASE call.status WHEN 'queued' THEN 0 WHEN 'initiated' THEN 1
                                               WHEN 'ringing' THEN 2 WHEN 'in-progress' THEN 3 ELSE 4 END
                          THEN excluded.status ELSE call.status END,
       answered_at = COALESCE(call.answered_at, excluded.answered_at),
       ended_at    = COALESCE(call.ended_at, excluded.ended_at),
       duration    = COALESCE(call.duration, excluded.duration),
       updated_at  = now()
     RETURNING id, lead_id, status, (SELECT status FROM before) AS before`,
    [
      body.CallSid, body.AccountSid, body.From, body.To, body.Direction, leadId, status,
      status === 'in-progress' ? at : null,
      rank(status) === 4 ? at : null,
      body.CallDuration === undefined ? null : Number(body.CallDuration),
      rank(status),
    ],
  );
  const call = rows[0];
  if (call.before === call.status) return; // late: nothing moved

  await client.query('INSERT INTO transition (call_id, from_status, to_status, at) VALUES ($1, $2, $3, $4)',
    [call.id, call.before, call.status, at]);

  if (call.status === 'completed' && call.lead_id !== null && Number(body.CallDuration) > 0) {
    await client.query(
      `UPDATE lead SET status = CASE status WHEN 'new' THEN 'contacted' ELSE status END,
                       last_contacted_at = GREATEST(last_contacted_at, $2), contact_count = contact_count + 1
       WHERE id = $1`,
      [call.lead_id, at],
    );
    await client.query("INSERT INTO activity (lead_id, call_id, kind) VALUES ($1, $2, 'call.completed')",
      [call.lead_id, call.id]);
    await client.query("INSERT INTO outbox (kind, body) VALUES ('lead.contacted', $1)",
      [JSON.stringify({ lead_id: call.lead_id, call_sid: body.CallSid, at })]);
  }
}

const server = app.listen(Number(process.env.PORT), '127.0.0.1');
process.on('SIGTERM', () => server.close(() => pool.end()));
