//! Calls over REST: placed, shown, listed, ended.

use super::{Answer, Known, Manner, Refusal, page::Paging, view};
use crate::{
    domain::{
        phone::E164,
        state::{Outcome, Status},
        time::{self, DAY, Millis},
    },
    double::{
        Call, Callback, Double, Hook, Limits, Moment, Order, Outbound, Reception,
        call::{Exchange, ExchangeAnswer, Seen},
        webhook::is_callable,
    },
    twilio::{door::Method, form::Form},
};
use std::collections::BTreeSet;

impl Double {
    pub(super) fn create_call(&mut self, asked: &Known<'_>) -> Result<Answer, Refusal> {
        let mut order = self.order(asked)?;
        order.callback = match asked.form.first("ApplicationSid") {
            None => callback(&asked.form)?,
            // The parameters of the request are ignored then; what the app has set applies.
            Some(sid) => {
                let of_account = |a: &&crate::double::Application| a.account_sid == asked.account.sid && a.sid == *sid;
                let application = self.applications.iter().find(of_account).ok_or_else(Refusal::application)?;
                application.hooks.status_callback.clone().map(Callback::end_only)
            }
        };
        self.receive(order, asked)
    }

    /// A request that is in order, received as it was said, or as the rates have it.
    fn receive(&mut self, order: Order, asked: &Known<'_>) -> Result<Answer, Refusal> {
        if self.is_busy(&asked.account.sid) {
            return Err(Refusal::too_many_calls());
        }
        let reception = self.reception(&order.to);
        let to = order.to.clone();
        let mut answer = Answer::from(Refusal::of_outage(500));
        if reception.is_done() {
            let sid = self.place(order, asked.now_ms);
            answer = Answer { status: 201, ..self.show(&sid, asked.now_ms)? };
            self.note(&sid, asked, &answer);
        }
        match reception {
            Reception::Good => Ok(answer),
            Reception::TooMany { retry_after_s } => Ok(Answer { retry_after_s, ..Refusal::too_many().into() }),
            Reception::Refused { status, code } => Err(Refusal::of_call(status, code, &to)),
            Reception::Broken { status, .. } => Err(Refusal::of_outage(status)),
            Reception::Cut { .. } => Ok(Answer { manner: Manner::Cut, ..answer }),
            Reception::Late { by_ms } => Ok(Answer { manner: Manner::After(by_ms), ..answer }),
        }
    }

    fn order(&self, asked: &Known<'_>) -> Result<Order, Refusal> {
        let form = &asked.form;
        let given = |name: &str| form.first(name).filter(|text| !text.trim().is_empty());
        let to = given("To").ok_or_else(Refusal::no_to)?;
        let from = given("From").ok_or_else(Refusal::no_from)?;
        if !is_address(&to) {
            return Err(Refusal::invalid_to(&to));
        }
        if !is_address(&from) {
            return Err(Refusal::invalid_from(&from));
        }
        let mut own = self.numbers.iter().filter(|n| n.account_sid == asked.account.sid).peekable();
        if from.starts_with('+') && own.peek().is_some() && !own.any(|n| n.phone_number == from) {
            return Err(Refusal::foreign_from(&from));
        }
        if ["Url", "Twiml", "ApplicationSid"].iter().all(|name| given(name).is_none()) {
            return Err(Refusal::url("Url parameter is required."));
        }
        if given("Url").is_some_and(|url| !is_callable(&url)) {
            return Err(Refusal::url("Url is not a valid URL"));
        }
        let usual = Limits::default();
        let limits = Limits {
            timeout_s: number(form, "Timeout")?.unwrap_or(usual.timeout_s).min(TIMEOUT_MAX_S),
            time_limit_s: number(form, "TimeLimit")?.unwrap_or(usual.time_limit_s),
            // Digits to be sent rule the detection out.
            detect_machines: given("MachineDetection").is_some() && given("SendDigits").is_none(),
        };
        let method = if given("Method").as_deref() == Some("GET") { Method::Get } else { Method::Post };
        let url = given("Url").filter(|_| self.setup.outbound == Outbound::ByTwiml);
        let twiml = url.map(|url| Hook { url: url.into_owned(), method });
        let meanwhile = given("AsyncAmd").as_deref() == Some("true") && limits.detect_machines;
        let amd = given("AsyncAmdStatusCallback").filter(|_| meanwhile);
        if amd.as_ref().is_some_and(|url| !is_callable(url)) {
            return Err(Refusal::url("AsyncAmdStatusCallback is not a valid URL"));
        }
        let amd = amd.map(Hook::post);
        Ok(Order { limits, twiml, amd, ..Order::new(&asked.account.sid, &from, &to) })
    }

    pub(super) fn load_call(&self, asked: &Known<'_>, sid: &str) -> Result<Answer, Refusal> {
        let call = self.visible(asked, sid)?;
        let seen = self.seen(call, asked.now_ms).ok_or_else(|| Refusal::not_found(asked.path))?;
        Ok(Answer::ok(view::call(call, &seen)))
    }

    pub(super) fn list_calls(&self, asked: &Known<'_>) -> Result<Answer, Refusal> {
        let filter = Filter::of(&asked.query)?;
        // Newest first.
        let calls = self.calls.iter().rev().filter(|call| call.account_sid == asked.account.sid);
        let seen = calls.filter_map(|call| Some((call, self.seen(call, asked.now_ms)?)));
        let found = seen.filter(|(call, seen)| filter.matches(call, seen));
        let rows: Vec<_> = found.map(|(call, seen)| (call.sid.clone(), (call, seen))).collect();
        Paging::of(asked)?.answer("calls", &rows, |(call, seen)| view::call(call, seen))
    }

    pub(super) fn update_call(&mut self, asked: &Known<'_>, sid: &str) -> Result<Answer, Refusal> {
        let call = self.visible(asked, sid)?;
        let status = call.status();
        if call.is_over() {
            return Err(Refusal::call_is_over());
        }
        let wanted = asked.form.first("Status");
        match wanted.as_deref() {
            Some("completed") => self.hang_up(sid, Outcome::Canceled, asked.now_ms),
            // Calls that were answered already are not affected.
            Some("canceled") if status != Status::InProgress => self.hang_up(sid, Outcome::Canceled, asked.now_ms),
            Some("canceled") | None => {}
            Some(_) => return Err(Refusal::bad("Status")),
        }
        if let Some(callback) = callback(&asked.form)? {
            // There is no StatusCallbackEvent here.
            let callback = Callback::end_only(callback.hook);
            self.call_mut(sid).into_iter().for_each(|call| call.callback = Some(callback.clone()));
        }
        let answer = self.show(sid, asked.now_ms)?;
        self.note(sid, asked, &answer);
        Ok(answer)
    }

    /// A call of the account, if REST knows of it already.
    pub(super) fn visible(&self, asked: &Known<'_>, sid: &str) -> Result<&Call, Refusal> {
        let call = self.call(sid).filter(|call| call.account_sid == asked.account.sid);
        call.ok_or_else(|| Refusal::not_found(asked.path))
    }

    /// What REST shows of a call now: it may lag behind.
    fn seen(&self, call: &Call, now_ms: Millis) -> Option<Seen> {
        call.seen(now_ms - self.setup.stale_ms)
    }

    /// Whoever changed a call is shown what it is after that, however stale other reads are.
    fn show(&self, sid: &str, now_ms: Millis) -> Result<Answer, Refusal> {
        let shown = self.call(sid).and_then(|call| Some(view::call(call, &call.seen(now_ms)?)));
        shown.map(Answer::ok).ok_or_else(|| Refusal::not_found(sid))
    }

    /// Requests of the API are among the `Events.json` of their call.
    fn note(&mut self, sid: &str, asked: &Known<'_>, answer: &Answer) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let exchange = Exchange {
            method: "POST",
            url: format!("https://api.twilio.com{}", asked.path),
            parameters: asked.form.pairs().map(|(name, value)| (text(name), text(value))).collect(),
            answer: Some(ExchangeAnswer {
                status: answer.status,
                took_ms: ANSWERED_IN_MS,
                content_type: Some("application/json".to_owned()),
                body: answer.body.to_string(),
                at_ms: asked.now_ms,
            }),
        };
        self.call_mut(sid).into_iter().for_each(|call| call.exchanges.push(exchange.clone()));
    }
}

/// `StatusCallback` and what goes with it; nothing without a URL, whatever was subscribed to.
fn callback(form: &Form) -> Result<Option<Callback>, Refusal> {
    let Some(url) = form.first("StatusCallback").filter(|url| !url.is_empty()) else { return Ok(None) };
    if !is_callable(&url) {
        return Err(Refusal::url("StatusCallback is not a valid URL"));
    }
    let method = match form.first("StatusCallbackMethod").as_deref() {
        None | Some("POST") => Method::Post,
        Some("GET") => Method::Get,
        Some(_) => return Err(Refusal::bad("StatusCallbackMethod")),
    };
    let events = form.pairs().filter(|(name, _)| *name == b"StatusCallbackEvent");
    // One parameter per event: several in one are none, and then the end only is reported.
    let moments: BTreeSet<Moment> = events.filter_map(|(_, event)| str::from_utf8(event).ok()?.parse().ok()).collect();
    let hook = Hook { url: url.into_owned(), method };
    Ok(Some(if moments.is_empty() { Callback::end_only(hook) } else { Callback { hook, moments } }))
}

fn number(form: &Form, name: &str) -> Result<Option<u32>, Refusal> {
    form.first(name).map(|text| text.parse().map_err(|_| Refusal::bad(name))).transpose()
}

/// A number in E.164, a client, a SIP address.
fn is_address(text: &str) -> bool {
    E164::of_address(text).is_some()
        || ["client:", "sip:"].iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
}

/// What a list is restricted to. A name that is no parameter restricts nothing: `StartTimeAfter` gives all calls.
struct Filter {
    to: Option<String>,
    from: Option<String>,
    parent: Option<String>,
    status: Option<Status>,
    started: Span,
    ended: Span,
}

/// From and to, both included.
struct Span {
    from_ms: Option<Millis>,
    to_ms: Option<Millis>,
}

impl Filter {
    fn of(query: &Form) -> Result<Self, Refusal> {
        let given = |name: &str| query.first(name).filter(|text| !text.is_empty()).map(|text| text.into_owned());
        let status = given("Status").map(|word| word.parse().map_err(|_| Refusal::bad("Status"))).transpose()?;
        if status == Some(Status::Initiated) {
            return Err(Refusal::bad("Status"));
        }
        let (started, ended) = (Span::of(query, "StartTime")?, Span::of(query, "EndTime")?);
        let (to, from, parent) = (given("To"), given("From"), given("ParentCallSid"));
        Ok(Self { to, from, parent, status, started, ended })
    }

    fn matches(&self, call: &Call, seen: &Seen) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|wanted| wanted == value);
        let status = if seen.status == Status::Initiated { Status::Ringing } else { seen.status };
        is(&self.to, &call.to)
            && is(&self.from, &call.from)
            && is(&self.parent, call.parent_sid.as_deref().unwrap_or_default())
            && self.status.is_none_or(|wanted| wanted == status)
            && self.started.holds(seen.started_ms)
            && self.ended.holds(seen.ended_ms)
    }
}

impl Span {
    /// `Name` is a whole day, or a second; `Name<` up to, `Name>` from that moment on.
    fn of(query: &Form, name: &str) -> Result<Self, Refusal> {
        let moment = |name: &str| match query.first(name).filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => {
                let day = time::parse_rfc3339(&format!("{text}T00:00:00Z")).map(|at_ms| (at_ms, DAY));
                let second = || time::parse_rfc3339(&text).map(|at_ms| (at_ms, time::SECOND));
                day.or_else(second).map(Some).ok_or_else(|| Refusal::bad(name))
            }
        };
        let on = moment(name)?;
        let from = moment(&format!("{name}>"))?.map(|(at_ms, _)| at_ms);
        let to = moment(&format!("{name}<"))?.map(|(at_ms, _)| at_ms);
        let from_ms = on.map(|(at_ms, _)| at_ms).max(from);
        let until = on.map(|(at_ms, length)| at_ms + length - 1);
        Ok(Self { from_ms, to_ms: [until, to].into_iter().flatten().min() })
    }

    /// Whether a moment lies in it. What has none lies in no span that says anything.
    fn holds(&self, at_ms: Option<Millis>) -> bool {
        match at_ms {
            None => self.from_ms.is_none() && self.to_ms.is_none(),
            Some(at_ms) => {
                self.from_ms.is_none_or(|from_ms| from_ms <= at_ms) && self.to_ms.is_none_or(|to_ms| at_ms <= to_ms)
            }
        }
    }
}

/// `Timeout` of a call.
const TIMEOUT_MAX_S: u32 = 600;
/// How long Twilio takes for it; shown only.
const ANSWERED_IN_MS: Millis = 50;
