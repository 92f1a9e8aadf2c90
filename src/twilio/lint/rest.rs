//! What Twilio's REST API says of numbers, applications and calls, and what `POST /Calls` is given.

use super::{
    Expect, Finding, Rule,
    callback::{self, EVENTS_IN_FORM, Problem, Purpose},
};
use crate::{
    domain::phone::mask,
    twilio::{
        form::Form,
        rest::{Application, Call, CallRequest, PhoneNumber},
    },
};

/// A phone number: whether the end of its inbound calls is reported here.
pub fn number(number: &PhoneNumber, expect: &Expect) -> Vec<Finding> {
    let subject = format!("number {} ({})", number.phone_number, number.sid);
    if let Some(trunk) = &number.trunk_sid {
        let what = format!("its calls go to the trunk {trunk}");
        return vec![Finding::new(Rule::TrunkInstead, subject, what, "")];
    }
    if let Some(application) = &number.voice_application_sid {
        let ignored = number.status_callback.as_ref().or(number.voice_url.as_ref());
        let what = format!(
            "the application {application} counts; {} of the number is ignored",
            ignored.map_or("nothing", |u| u)
        );
        return ignored.map(|_| Finding::new(Rule::ApplicationInstead, subject, what, "")).into_iter().collect();
    }
    let (url, method) = (number.status_callback.as_deref(), number.status_callback_method.as_deref());
    configured(&subject, url, method, expect)
}

/// A TwiML application: whether the end of its calls is reported here.
pub fn application(application: &Application, expect: &Expect) -> Vec<Finding> {
    let name = application.friendly_name.as_deref().unwrap_or("without a name");
    let subject = format!("application {name} ({})", application.sid);
    let (url, method) = (application.status_callback.as_deref(), application.status_callback_method.as_deref());
    configured(&subject, url, method, expect)
}

fn configured(subject: &str, url: Option<&str>, method: Option<&str>, expect: &Expect) -> Vec<Finding> {
    let Some(url) = url else {
        let put = format!("StatusCallback={}", expect.status_callback());
        return vec![Finding::new(Rule::StatusCallbackMissing, subject, "it has no status callback", put)];
    };
    let problems = callback::status_callback(url, expect, false);
    let mut found = named(subject, "StatusCallback", problems);
    found.extend(by_get(subject, method));
    found
}

fn by_get(subject: &str, method: Option<&str>) -> Option<Finding> {
    let is_get = method.is_some_and(|method| method.eq_ignore_ascii_case("GET"));
    is_get.then(|| Finding::new(Rule::MethodGet, subject, "the method is GET", "StatusCallbackMethod=POST"))
}

fn named(subject: &str, name: &str, problems: Vec<Problem>) -> Vec<Finding> {
    let finding = |(rule, what, put): Problem| {
        let put = if put.is_empty() { put } else { format!("{name}={put}") };
        Finding::new(rule, subject, what, put)
    };
    problems.into_iter().map(finding).collect()
}

/// The parameters of `POST /Calls`, as they are sent: a form in which `StatusCallbackEvent` is repeated.
pub fn create_call(form: &Form, expect: &Expect) -> Vec<Finding> {
    let subject = "POST /Calls";
    let url = form.first("StatusCallback").filter(|url| !url.is_empty());
    let events: Vec<String> = form
        .pairs()
        .filter(|(name, _)| name.strip_suffix(b"[]").unwrap_or(name) == b"StatusCallbackEvent")
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        .collect();
    let mut found = Vec::new();
    if form.first("ApplicationSid").is_some_and(|sid| !sid.is_empty()) {
        let what = "with ApplicationSid the parameters Url, StatusCallback, StatusCallbackEvent and StatusCallbackMethod are ignored";
        let given = url.is_some() || !events.is_empty();
        let rule = if given { Rule::ApplicationInstead } else { Rule::StatusCallbackMissing };
        let put = "Url=… in place of ApplicationSid, or the status callback on the application";
        // Ignored parameters are a loss where somebody counts on them.
        return vec![Finding { level: super::Level::Finding, ..Finding::new(rule, subject, what, put) }];
    }
    match &url {
        Some(url) => found.extend(named(subject, "StatusCallback", callback::status_callback(url, expect, false))),
        None if !events.is_empty() => {
            let (what, put) = ("events are chosen, but there is no StatusCallback", expect.status_callback());
            found.push(Finding::new(Rule::EventsWithoutCallback, subject, what, format!("StatusCallback={put}")));
        }
        None => {
            let put = format!("StatusCallback={}", expect.status_callback());
            found.push(Finding::new(Rule::StatusCallbackMissing, subject, "there is no StatusCallback", put));
        }
    }
    for (name, purpose) in OTHER_CALLBACKS {
        let problems = form.first(name).map(|url| callback::other_url(&url, *purpose, expect)).unwrap_or_default();
        found.extend(named(subject, name, problems));
    }
    if let Some(document) = form.first("Twiml").filter(|document| !document.is_empty()) {
        let inside = super::twiml(&document, expect);
        found.extend(
            inside.into_iter().map(|finding| Finding { subject: format!("Twiml {}", finding.subject), ..finding }),
        );
    }
    found.extend(by_get(subject, form.first("StatusCallbackMethod").as_deref()));
    if url.is_some() && events.is_empty() {
        found.push(Finding::new(Rule::EventsDefault, subject, "no events are chosen", EVENTS_IN_FORM));
    }
    if !events.is_empty() {
        found.extend(events_of(subject, &events));
    }
    found
}

fn events_of(subject: &str, events: &[String]) -> Vec<Finding> {
    // One parameter with four words is four events in TwiML, and none here.
    let words: Vec<&str> = events.iter().map(String::as_str).collect();
    let problems = callback::events(&words, EVENTS_IN_FORM);
    problems.into_iter().map(|(rule, what, put)| Finding::new(rule, subject, what, put)).collect()
}

/// The other URLs of `POST /Calls` that have a door here.
const OTHER_CALLBACKS: &[(&str, Purpose)] =
    &[("RecordingStatusCallback", Purpose::Recording), ("AsyncAmdStatusCallback", Purpose::Amd)];

/// What Twilio says it sent for a call, and what was answered. `requests` is its `Events.json`, which is complete some
/// 15 minutes after the end; `None` where that has not been reached yet.
pub fn call(call: &Call, requests: Option<&[CallRequest]>, expect: &Expect) -> Vec<Finding> {
    let Some(requests) = requests else { return Vec::new() };
    let to = call.to.as_deref().map(mask).unwrap_or_default();
    let subject = format!("call {} to {to} ({})", call.sid, call.status);
    let callbacks = || requests.iter().filter(|request| request.is_status_callback());
    let mut found = Vec::new();
    for callback in callbacks() {
        let (url, status) = (callback.request.url.as_deref().unwrap_or("?"), callback.call_status().unwrap_or("?"));
        let sent = format!("the callback {status} to {url}");
        let finding = match callback.response.response_code {
            Some(200..=299) => continue,
            Some(code @ 300..=399) => (Rule::Redirect, format!("{sent} was answered {code}")),
            Some(code) => (Rule::AnswerRefused, format!("{sent} was answered {code}")),
            None => (Rule::Unanswered, format!("{sent} was not answered")),
        };
        found.push(Finding::new(finding.0, &subject, finding.1, ""));
    }
    let is_ending = |request: &CallRequest| request.call_status().is_some_and(|status| status == call.status);
    if call.has_ended() && !callbacks().any(is_ending) {
        let none = if callbacks().next().is_none() { "no callback at all" } else { "no callback of its end" };
        let put = format!("StatusCallback={}", expect.status_callback());
        found.push(Finding::new(Rule::NeverCalledBack, subject, format!("Twilio sent {none}"), put));
    }
    found
}
