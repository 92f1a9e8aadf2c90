//! How calls go on: changes become due, callbacks are fired, sent, answered, and tried again.

use super::{
    Call, Change, Double, Moment, Reply, Webhook,
    call::{Exchange, ExchangeAnswer},
    network::BEHIND_MS,
    webhook::{self, Purpose, RETRY_AFTER_MS, TOTAL_MS},
};
use crate::domain::{
    state::{Outcome, Status},
    time::Millis,
};
use rand::RngExt;
use secrecy::ExposeSecret;

/// What is going to happen.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// A call changes, unless it follows another script by then.
    Change { call_sid: String, script: u32, change: Change },
    /// A request is sent.
    Send(Box<Webhook>),
    /// A leg goes on with its TwiML.
    Proceed { call_sid: String },
    /// Who called in hangs up.
    CallerLeaves { call_sid: String },
}

impl Double {
    /// When something happens next; nothing is going to if there is no such moment.
    pub fn next_due_ms(&self) -> Option<Millis> {
        self.agenda.first_key_value().map(|((at_ms, _), _)| *at_ms)
    }

    /// Whether nothing more will happen by itself, and nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.agenda.is_empty() && self.ready.is_empty() && self.open.is_empty()
    }

    /// Lets everything happen that is due, and hands out what is to be sent, in order.
    pub fn due(&mut self, now_ms: Millis) -> Vec<Webhook> {
        self.advance(now_ms);
        let sent = std::mem::take(&mut self.ready);
        for webhook in &sent {
            self.tally.sent += 1;
            self.tally.retried += u64::from(webhook.attempt > 0);
            self.open.insert(webhook.id, webhook.clone());
        }
        sent
    }

    /// Lets everything happen that is due. What is to be sent waits to be fetched.
    pub fn advance(&mut self, now_ms: Millis) {
        while let Some(entry) = self.agenda.first_entry() {
            let (at_ms, _) = *entry.key();
            if at_ms > now_ms {
                break;
            }
            match entry.remove() {
                Task::Send(webhook) => self.ready.push(*webhook),
                Task::Proceed { call_sid } => self.proceed(&call_sid, at_ms),
                Task::CallerLeaves { call_sid } => self.hang_up(&call_sid, Outcome::NoAnswer, at_ms),
                Task::Change { call_sid, script, change } => {
                    if self.call(&call_sid).is_some_and(|call| call.script == script) {
                        self.change(&call_sid, at_ms, change);
                    }
                }
            }
        }
    }

    /// Hands back what became of a request that [`Self::due`] handed out.
    pub fn replied(&mut self, id: u64, reply: Reply, took_ms: Millis, now_ms: Millis) {
        let Some(webhook) = self.open.remove(&id) else { return };
        self.record(&webhook, Some((&reply, took_ms)), now_ms);
        match &reply {
            Reply::Answered { status: 200..=299, .. } => {
                self.tally.accepted += 1;
                let reports = |status: Status| webhook.parameter("CallStatus") == status.as_str();
                let is_status = webhook.purpose == Purpose::Status;
                if let Some(call) = self.call_mut(&webhook.call_sid) {
                    call.accepted += 1;
                    call.ending_taken |= is_status && call.is_over() && reports(call.status());
                }
            }
            Reply::Answered { status: 401 | 403, .. } => self.tally.refused += 1,
            Reply::Answered { .. } | Reply::Unreachable | Reply::TimedOut => self.tally.failed += 1,
        }
        let again_ms = now_ms + RETRY_AFTER_MS;
        let in_time = again_ms - webhook.first_ms < TOTAL_MS;
        if webhook.attempt < webhook.overrides.retries && webhook.overrides.retries_on(&reply) && in_time {
            let (id, attempt) = (self.turn(), webhook.attempt + 1);
            return self.plan(again_ms, Task::Send(Box::new(Webhook { id, attempt, due_ms: again_ms, ..webhook })));
        }
        match webhook.purpose {
            Purpose::Twiml | Purpose::Action => self.instructed(&webhook, &reply, now_ms),
            Purpose::Status | Purpose::Recording | Purpose::Amd => {}
        }
    }

    /// Keeps a new call, which is then in its first state, and plans what becomes of it.
    pub(super) fn begin(
        &mut self,
        mut call: Call,
        now_ms: Millis,
        first: Change,
        script: Vec<(Millis, Change)>,
    ) -> String {
        call.changes.push((now_ms, first));
        let call_sid = self.keep(call);
        for (at_ms, change) in script {
            self.plan(at_ms, Task::Change { call_sid: call_sid.clone(), script: 0, change });
        }
        call_sid
    }

    /// Ends a call now, whatever was going to become of it.
    pub(super) fn end(&mut self, call_sid: &str, outcome: Outcome, sip: u16, now_ms: Millis) {
        if let Some(call) = self.call_mut(call_sid) {
            call.script += 1;
            self.change(call_sid, now_ms, Change::Ended { outcome, sip });
        }
    }

    /// Hangs up: what was answered is completed, what was not is `unanswered`.
    pub(super) fn hang_up(&mut self, call_sid: &str, unanswered: Outcome, now_ms: Millis) {
        let answered = self.call(call_sid).is_some_and(|call| call.status() == Status::InProgress);
        let (outcome, sip) = if answered { (Outcome::Completed, 200) } else { (unanswered, 487) };
        self.end(call_sid, outcome, sip, now_ms);
    }

    /// Something happens to a call; who subscribed is told.
    pub(super) fn change(&mut self, call_sid: &str, at_ms: Millis, change: Change) {
        let Some(call) = self.call_mut(call_sid).filter(|call| !call.is_over()) else { return };
        // Of a call that is taken back while it is queued nothing is reported.
        let never_dialed = call.changes.iter().all(|(_, c)| *c == Change::Queued);
        let is_last = matches!(change, Change::Ended { .. });
        let moment = change.moment();
        call.changes.push((at_ms, change));
        let told = call.callback.as_ref().is_some_and(|c| moment.is_some_and(|m| c.moments.contains(&m)));
        if let Some(moment) = moment.filter(|_| told && !(is_last && never_dialed)) {
            self.fire(call_sid, moment, at_ms);
        }
        match moment {
            Some(Moment::Answered) => self.after_answer(call_sid, at_ms),
            Some(Moment::Completed) => self.after_end(call_sid, at_ms),
            Some(Moment::Initiated | Moment::Ringing) | None => {}
        }
    }

    /// A moment is reported.
    fn fire(&mut self, call_sid: &str, moment: Moment, at_ms: Millis) {
        let is_last = moment == Moment::Completed;
        let faults = self.setup.faults;
        let Some(mut webhook) = self.progress_webhook(call_sid, at_ms) else { return };
        let Some(call) = self.call_mut(call_sid) else { return };
        call.fired += 1;
        // Who waits to be overtaken needs somebody who comes after.
        let more_to_come = call.callback.as_ref().is_some_and(|c| !is_last && c.moments.contains(&Moment::Completed));
        let drawn = faults.journey(more_to_come, &mut call.rng);
        let journey = if call.loses.contains(&moment) { drawn.lost() } else { drawn };
        call.ending_lost |= is_last && journey.lost;
        webhook.due_ms = at_ms + journey.delay_ms;
        let overtaken = if journey.held { Vec::new() } else { std::mem::take(&mut call.held) };
        self.tally += journey.met;
        if journey.held {
            if let Some(call) = self.call_mut(call_sid) {
                call.held.push(webhook);
            }
            return;
        }
        for mut behind in overtaken {
            behind.due_ms = behind.due_ms.max(webhook.due_ms + BEHIND_MS);
            self.send(behind);
        }
        if journey.lost {
            return self.record(&webhook, None, at_ms);
        }
        if let Some(after_ms) = journey.copy_after_ms {
            self.send(Webhook { due_ms: webhook.due_ms + after_ms, ..webhook.clone() });
        }
        self.send(webhook);
    }

    /// The callback of what happened last to a call.
    fn progress_webhook(&mut self, call_sid: &str, at_ms: Millis) -> Option<Webhook> {
        let token = self.idempotency_token();
        let call = self.call(call_sid)?;
        let parameters = webhook::of_progress(call, &call.truth()?, at_ms);
        let hook = &call.callback.as_ref()?.hook;
        // Twilio does not call what it cannot: such a URL is an entry in its debugger and nothing more.
        let account = self.accounts.get(&call.account_sid).filter(|_| webhook::is_callable(&hook.url))?;
        let secret = account.auth_token.expose_secret();
        let webhook = webhook::webhook(hook, Purpose::Status, call_sid, parameters, secret);
        Some(Webhook { token, ..webhook })
    }

    /// Plans a request for the moment it says.
    pub(super) fn send(&mut self, webhook: Webhook) {
        let (id, due_ms) = (self.turn(), webhook.due_ms);
        self.plan(due_ms, Task::Send(Box::new(Webhook { id, first_ms: due_ms, ..webhook })));
    }

    pub(super) fn plan(&mut self, at_ms: Millis, task: Task) {
        let turn = self.turn();
        self.agenda.insert((at_ms, turn), task);
    }

    fn turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    pub(super) fn idempotency_token(&mut self) -> String {
        let n = format!("{:032x}", self.rng.random::<u128>());
        let part = |range| n.get(range).unwrap_or_default();
        format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
    }

    /// Notes a request and its answer for `Events.json`.
    fn record(&mut self, webhook: &Webhook, reply: Option<(&Reply, Millis)>, at_ms: Millis) {
        let answer = reply.and_then(|(reply, took_ms)| match reply {
            Reply::Answered { status, content_type, body } => {
                let shown = body.get(..body.floor_char_boundary(BODY_BYTES_MAX)).unwrap_or(body).to_owned();
                let (status, content_type, body) = (*status, content_type.clone(), shown);
                Some(ExchangeAnswer { status, took_ms, content_type, body, at_ms })
            }
            Reply::Unreachable | Reply::TimedOut => None,
        });
        let (method, url, parameters) = (webhook.method.as_str(), webhook.url.clone(), webhook.parameters.clone());
        if let Some(call) = self.call_mut(&webhook.call_sid) {
            call.exchanges.push(Exchange { method, url, parameters, answer });
        }
    }
}

/// How much of an answer is kept to be shown.
const BODY_BYTES_MAX: usize = 4 * 1024;
