//! Inbound calls: TwiML is asked for and executed, verb by verb, until the call is over.

use super::{
    Callback, Change, Double, Hook, PhoneNumber, Reply, Voice, Webhook,
    dial::Dialing,
    progress::Task,
    twiml::{Twiml, Verb},
    webhook::{self, Purpose},
};
use crate::domain::{
    state::{Direction, Outcome, Status},
    time::{Millis, SECOND},
};
use secrecy::ExposeSecret;
use std::collections::VecDeque;

/// Somebody who calls in.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whose number or app is called.
    pub account_sid: String,
    /// Who calls: a number, `client:…`.
    pub from: String,
    /// What is called.
    pub line: Line,
    /// Whole seconds after which the caller hangs up, if the call is not over by then. None: never.
    pub stays_s: Option<u32>,
}

/// What an inbound call arrives at.
#[derive(Clone, Debug)]
pub enum Line {
    /// A number of the account.
    Number(String),
    /// A TwiML app, as browsers and phones with Twilio's SDK do. What the client says of the call (`To`, and whatever it
    /// likes) is posted to the app's voice URL.
    Application {
        /// The app.
        sid: String,
        /// What the client says.
        parameters: Vec<(String, String)>,
    },
}

/// A leg that follows TwiML.
#[derive(Debug)]
pub(super) struct Session {
    /// What is still to be done.
    verbs: VecDeque<Verb>,
    /// Where the TwiML came from.
    base: String,
    /// Asked once, when the TwiML cannot be had.
    fallback: Option<Hook>,
    /// What only the requests for TwiML say.
    parameters: Vec<(String, String)>,
    /// The dial that is going on.
    pub(super) dialing: Option<Dialing>,
    /// The leg on whose behalf this one was dialed: it hears a whisper, and is connected afterwards.
    whispers_for: Option<String>,
}

impl Session {
    /// A leg that has to ask what to do.
    fn new(fallback: Option<Hook>, parameters: Vec<(String, String)>, whispers_for: Option<String>) -> Self {
        Self { verbs: VecDeque::new(), base: String::new(), fallback, parameters, dialing: None, whispers_for }
    }
}

impl Double {
    /// Somebody calls in; answers the sid. Nothing if the account has no such number or app.
    pub fn call_in(&mut self, caller: Caller, now_ms: Millis) -> Option<String> {
        let (to, hooks, number_sid, parameters) = match caller.line {
            Line::Number(to) => {
                let of_account = |n: &&PhoneNumber| n.account_sid == caller.account_sid && n.phone_number == to;
                let number = self.numbers.iter().find(of_account)?.clone();
                let hooks = match &number.voice_application_sid {
                    Some(sid) => self.application_hooks(&caller.account_sid, sid)?,
                    None => number.hooks,
                };
                (to, hooks, Some(number.sid), Vec::new())
            }
            // The leg of a client is a leg to nobody: whom it wants is the client's word to the app.
            Line::Application { sid, parameters } => {
                (String::new(), self.application_hooks(&caller.account_sid, &sid)?, None, parameters)
            }
        };
        let mut call = self.new_call(&caller.account_sid, &caller.from, &to, Direction::Inbound);
        call.phone_number_sid = number_sid;
        call.callback = hooks.status_callback.map(Callback::end_only);
        let sid = self.begin(call, now_ms, Change::Ringing, Vec::new());
        self.sessions.insert(sid.clone(), Session::new(hooks.fallback, parameters, None));
        if let Some(stays_s) = caller.stays_s {
            let task = Task::CallerLeaves { call_sid: sid.clone() };
            self.plan(now_ms + Millis::from(stays_s) * SECOND, task);
        }
        match hooks.voice {
            Some(hook) => self.ask_for_twiml(&sid, &hook, Purpose::Twiml, Vec::new(), now_ms),
            None => self.give_up(&sid, now_ms),
        }
        Some(sid)
    }

    fn application_hooks(&self, account_sid: &str, sid: &str) -> Option<Voice> {
        let application = self.applications.iter().find(|a| a.account_sid == account_sid && a.sid == sid)?;
        Some(application.hooks.clone())
    }

    /// An outbound call was answered, and does what its URL says.
    pub(super) fn follow(&mut self, call_sid: &str, hook: &Hook, now_ms: Millis) {
        // What is detected while the call goes on is not known yet.
        let waited = self.call(call_sid).filter(|call| call.amd.is_none());
        let by = waited.and_then(|call| call.truth()).and_then(|seen| seen.answered_by);
        let parameters = by.map(|by| ("AnsweredBy".to_owned(), by.to_owned())).into_iter().collect();
        self.sessions.insert(call_sid.to_owned(), Session::new(None, parameters, None));
        self.ask_for_twiml(call_sid, hook, Purpose::Twiml, Vec::new(), now_ms);
    }

    /// The called party hears something alone first.
    pub(super) fn whisper(&mut self, child_sid: &str, parent_sid: &str, hook: &Hook, now_ms: Millis) {
        let session = Session::new(None, Vec::new(), Some(parent_sid.to_owned()));
        self.sessions.insert(child_sid.to_owned(), session);
        self.ask_for_twiml(child_sid, hook, Purpose::Twiml, Vec::new(), now_ms);
    }

    /// Asks for TwiML on behalf of a leg. Its parameters come sorted, other than those of status callbacks.
    pub(super) fn ask_for_twiml(
        &mut self,
        call_sid: &str,
        hook: &Hook,
        purpose: Purpose,
        more: Vec<(String, String)>,
        now_ms: Millis,
    ) {
        let said = self.sessions.get(call_sid).map(|session| session.parameters.clone()).unwrap_or_default();
        let Some(call) = self.call(call_sid) else { return };
        let mut parameters = webhook::of_call(call, call.status());
        parameters.retain(|(name, _)| !said.iter().any(|(said, _)| said == name));
        parameters.extend(said.into_iter().chain(more));
        parameters.sort();
        if !self.send_signed(call_sid, hook, purpose, parameters, now_ms + ASKED_AFTER_MS) {
            self.give_up(call_sid, now_ms);
        }
    }

    /// Plans a signed request; `false` if Twilio would not call such a URL.
    pub(super) fn send_signed(
        &mut self,
        call_sid: &str,
        hook: &Hook,
        purpose: Purpose,
        parameters: Vec<(String, String)>,
        due_ms: Millis,
    ) -> bool {
        let token = self.idempotency_token();
        let account = self.call(call_sid).and_then(|call| self.accounts.get(&call.account_sid));
        let Some(account) = account.filter(|_| webhook::is_callable(&hook.url)) else { return false };
        let secret = account.auth_token.expose_secret();
        let webhook = webhook::webhook(hook, purpose, call_sid, parameters, secret);
        self.send(Webhook { token, due_ms, ..webhook });
        true
    }

    /// TwiML came, or something else did.
    pub(super) fn instructed(&mut self, webhook: &Webhook, reply: &Reply, now_ms: Millis) {
        let call_sid = webhook.call_sid.as_str();
        if self.call(call_sid).is_none_or(|call| call.is_over()) {
            return;
        }
        let read = match reply {
            Reply::Answered { status: 200..=299, body, .. } if body.trim().is_empty() => Ok(Twiml::default()),
            Reply::Answered { status: 200..=299, body, .. } => {
                Twiml::parse(body, &webhook.url).map_err(|e| e.to_string())
            }
            Reply::Answered { status, .. } => Err(format!("ask for TwiML: it was answered with {status}")),
            Reply::Unreachable | Reply::TimedOut => Err("ask for TwiML: there was no answer".to_owned()),
        };
        match read {
            Ok(twiml) => {
                self.warn(call_sid, twiml.warnings);
                if let Some(session) = self.sessions.get_mut(call_sid) {
                    session.verbs = twiml.verbs.into();
                    webhook.url.clone_into(&mut session.base);
                }
                self.proceed(call_sid, now_ms);
            }
            Err(why) => {
                self.warn(call_sid, vec![format!("failed to {why}")]);
                let fallback = self.sessions.get_mut(call_sid).and_then(|session| session.fallback.take());
                match fallback {
                    Some(hook) => {
                        let more = [("ErrorCode", "11200"), ("ErrorUrl", webhook.url.as_str())];
                        let more = more.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
                        self.ask_for_twiml(call_sid, &hook, Purpose::Twiml, more, now_ms);
                    }
                    None => self.give_up(call_sid, now_ms),
                }
            }
        }
    }

    /// The caller hears that an application error has occurred.
    fn give_up(&mut self, call_sid: &str, now_ms: Millis) {
        if let Some(session) = self.sessions.get_mut(call_sid) {
            session.verbs = VecDeque::from([Verb::Say { takes_ms: APOLOGY_MS }, Verb::Hangup]);
        }
        self.proceed(call_sid, now_ms);
    }

    fn warn(&mut self, call_sid: &str, warnings: Vec<String>) {
        if let Some(call) = self.call_mut(call_sid) {
            call.warnings.extend(warnings);
        }
    }

    /// Does the next thing.
    pub(super) fn proceed(&mut self, call_sid: &str, now_ms: Millis) {
        let Some(status) = self.call(call_sid).filter(|call| !call.is_over()).map(|call| call.status()) else { return };
        let Some(session) = self.sessions.get_mut(call_sid) else { return };
        let Some(verb) = session.verbs.pop_front() else { return self.nothing_left(call_sid, now_ms) };
        let unanswered = status != Status::InProgress;
        // These three leave a call unanswered.
        let waits = match &verb {
            Verb::Reject { .. } | Verb::Pause { .. } => true,
            Verb::Dial(dial) => dial.answer_on_bridge,
            Verb::Say { .. } | Verb::Hangup | Verb::Redirect(_) => false,
        };
        if unanswered && !waits {
            self.change(call_sid, now_ms, Change::Answered { by: None });
        }
        match verb {
            Verb::Say { takes_ms } => self.proceed_at(call_sid, now_ms + takes_ms),
            Verb::Pause { length_s } => self.proceed_at(call_sid, now_ms + Millis::from(length_s) * SECOND),
            Verb::Reject { busy } if unanswered => {
                let outcome = if busy { Outcome::Busy } else { Outcome::NoAnswer };
                self.end(call_sid, outcome, 486, now_ms);
            }
            Verb::Hangup | Verb::Reject { .. } => self.end(call_sid, Outcome::Completed, 200, now_ms),
            Verb::Redirect(hook) => self.ask_for_twiml(call_sid, &hook, Purpose::Twiml, Vec::new(), now_ms),
            Verb::Dial(dial) => self.dial(call_sid, dial, now_ms),
        }
    }

    fn proceed_at(&mut self, call_sid: &str, at_ms: Millis) {
        self.plan(at_ms, Task::Proceed { call_sid: call_sid.to_owned() });
    }

    /// The end of the document: who heard a whisper is connected now, everybody else is hung up.
    fn nothing_left(&mut self, call_sid: &str, now_ms: Millis) {
        let Some(session) = self.sessions.get(call_sid) else { return };
        if let Some(parent_sid) = session.whispers_for.clone() {
            self.sessions.remove(call_sid);
            return self.connect(&parent_sid, call_sid, now_ms);
        }
        if self.call(call_sid).is_some_and(|call| call.status() != Status::InProgress) {
            self.change(call_sid, now_ms, Change::Answered { by: None });
        }
        self.end(call_sid, Outcome::Completed, 200, now_ms);
    }
}

/// From the moment it is needed to the request.
const ASKED_AFTER_MS: Millis = 30;
/// How long it takes to say that an application error has occurred.
const APOLOGY_MS: Millis = 4 * SECOND;
