//! What Twilio told of a call, whether it reached us or not (`Events.json`), read as signals of the witness `reconciled`.
//!
//! An entry that is a status callback is read by the reader of that door, so it says what the callback would have said.
//! Its time is believed from as long ago as that of any answer of the REST API (see `asked::PAST_MAX`).

use super::{
    STATUS_PATH, asked,
    door::Method,
    event_stream::{callback_name, text},
    form::Form,
    rest::{CallRequest, Sent},
    signal::read_status,
};
use crate::domain::{
    id::Leg,
    signal::{FUTURE_MAX, Signal, Witness},
    time::{self, DAY, MINUTE, Millis},
};
use std::collections::BTreeMap;
use url::{Url, form_urlencoded};

/// What a status callback said of this leg, at whatever URL and whatever was answered. `None`: the entry is no status
/// callback, or speaks of no call or of another one. `asked_ms` is when Twilio was asked, `public_url` where it calls us.
pub fn read(entry: &CallRequest, leg: &Leg, asked_ms: Millis, public_url: Option<&Url>) -> Option<Signal> {
    if !entry.is_status_callback() {
        return None;
    }
    let mut parameters: BTreeMap<String, String> =
        entry.request.parameters.iter().filter_map(|(name, value)| Some((callback_name(name), text(value)?))).collect();
    let at =
        parameters.get("Timestamp").and_then(|text| time::parse_rfc2822(text).or_else(|| time::parse_rfc3339(text)));
    let credible = asked_ms.saturating_sub(asked::PAST_MAX)..=asked_ms.saturating_add(FUTURE_MAX);
    let at = at.filter(|at| credible.contains(at));
    // The reader believes what is a few days old when it comes: for it, the callback came at its own time.
    match at {
        Some(at) => drop(parameters.insert("Timestamp".to_owned(), time::rfc2822(at))),
        None => drop(parameters.remove("Timestamp")),
    }
    let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(&parameters).finish();
    let form = Form::parse(encoded.as_bytes()).ok()?;
    let said = read_status(&form, &own(&entry.request, public_url), at.unwrap_or(asked_ms)).ok()?;
    let signal = said.signals.into_iter().next().filter(|signal| signal.leg == *leg)?;
    Some(Signal { witness: Witness::Reconciled, received_ms: asked_ms, ..signal })
}

/// What the user wrote into the URL, if it is that of our door: at any other one, such as that of another onhook with the
/// same account, `lead_id` may mean something else.
fn own(request: &Sent, public_url: Option<&Url>) -> Form {
    let url = request.url.as_deref().and_then(|url| Url::parse(url).ok());
    let Some(url) = url.filter(|url| is_our_door(url, public_url)) else { return Form::default() };
    let query = Form::parse(url.query().unwrap_or_default().as_bytes()).unwrap_or_default();
    match request.method.as_deref().and_then(|method| method.parse().ok()) {
        // As in `door::Parameters::own`: behind the first name of Twilio's nothing is the user's word.
        Some(Method::Get) => query.before(|name| name.first().is_some_and(u8::is_ascii_uppercase)),
        Some(Method::Post) | None => query,
    }
}

/// Whether a URL is that of our door: host and path are, whatever the scheme. Where nobody said where we are, the path
/// decides.
fn is_our_door(url: &Url, public_url: Option<&Url>) -> bool {
    let Some(public) = public_url else { return url.path().ends_with(STATUS_PATH) };
    let is_here = url.host() == public.host() && url.port() == public.port();
    is_here && url.path().strip_prefix(public.path().trim_end_matches('/')) == Some(STATUS_PATH)
}

/// From how long after the end of a call on its requests are shown (Call Event resource).
pub const SHOWN_AFTER_MS: Millis = 15 * MINUTE;
/// How long Twilio keeps them.
pub const KEPT_MS: Millis = 30 * DAY;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        signal::{Claim, Field, LinkRank, Told},
        state::{HangupCause, Live, Outcome},
    };
    use serde_json::{Value, json};

    const ASKED_MS: Millis = 1_800_000_000_000;
    const ACCOUNT: &str = "AC00000000000000000000000000000001";
    const URL: &str = "https://calls.example.com/hook/webhooks/twilio/status?lead_id=lead-7&user_id=ann";

    fn leg() -> Leg {
        Leg { provider_id: format!("CA{:032x}", 7), account: ACCOUNT.into() }
    }

    /// A callback ten days old; `more` beside or instead of the usual parameters.
    fn entry(method: &str, url: &str, more: Value) -> CallRequest {
        let mut parameters = json!({
            "call_sid": leg().provider_id, "account_sid": ACCOUNT, "call_status": "in-progress", "sequence_number": "2",
            "timestamp": time::rfc2822(ASKED_MS - 10 * DAY), "callback_source": "call-progress-events",
            "from": "+14155550100", "to": "+14155550101", "direction": "outbound-api",
        });
        parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let text = json!({ "request": { "method": method, "url": url, "parameters": parameters }, "response": null });
        serde_json::from_value(text).unwrap()
    }

    fn said(method: &str, url: &str, more: Value) -> Option<Signal> {
        read(&entry(method, url, more), &leg(), ASKED_MS, None)
    }

    #[test]
    fn an_entry_says_what_its_callback_said() {
        let signal = said("POST", URL, json!({})).unwrap();
        assert_eq!((signal.witness, &signal.claim), (Witness::Reconciled, &Claim::Live(Live::Answered)));
        assert_eq!((signal.sequence, signal.at), (Some(2), Some(ASKED_MS - 10 * DAY)), "older than a callback may be");
        assert_eq!(signal.received_ms, ASKED_MS);
        assert_eq!(signal.link.as_ref().map(|l| (l.rank, l.lead_id.as_str())), Some((LinkRank::Url, "lead-7")));
        let details: Vec<_> = signal.details.iter().map(|(field, value)| (*field, value.as_str())).collect();
        assert!(
            details.contains(&(Field::UserId, "ann")) && details.contains(&(Field::To, "+14155550101")),
            "{details:?}"
        );
        let ended =
            json!({ "call_status": "failed", "sip_response_code": 603, "call_duration": "0", "sequence_number": 3 });
        let told = Told { outcome: Outcome::Failed, seconds: Some(0), cause: HangupCause::Rejected };
        assert_eq!(said("POST", URL, ended).unwrap().claim, Claim::Ended(told), "numbers are read, too");
    }

    #[test]
    fn our_parameters_are_read_at_our_door_only() {
        let link = |method: &str, url: &str| said(method, url, json!({})).unwrap().link.map(|link| link.lead_id);
        let door = "https://a.example/webhooks/twilio/status";
        assert_eq!(link("POST", &format!("{door}?lead_id=1")), Some("1".into()));
        assert_eq!(link("GET", &format!("{door}?lead_id=1&CallSid=CA7&lead_id=2")), Some("1".into()));
        assert_eq!(link("GET", &format!("{door}?CallSid=CA7&lead_id=2")), None, "written by whoever called");
        for other in
            ["https://a.example/crm?lead_id=1", "no url", "", "https://a.example/webhooks/twilio/amd?lead_id=1"]
        {
            assert_eq!(link("POST", other), None, "{other}");
        }
    }

    #[test]
    fn the_door_of_another_gateway_is_not_ours() {
        let public: Url = "https://calls.example.com/hook/".parse().unwrap();
        let link = |url: &str| {
            let entry = entry("POST", &format!("{url}/webhooks/twilio/status?lead_id=1"), json!({}));
            read(&entry, &leg(), ASKED_MS, Some(&public)).unwrap().link.map(|link| link.lead_id)
        };
        for ours in
            ["https://calls.example.com/hook", "http://Calls.Example.com/hook", "https://calls.example.com:443/hook"]
        {
            assert_eq!(link(ours), Some("1".into()), "{ours}");
        }
        for other in [
            "https://staging.example.com/hook",
            "https://calls.example.com",
            "https://calls.example.com/staging",
            "https://calls.example.com/hook/hook",
            "https://calls.example.com:8443/hook",
        ] {
            assert_eq!(link(other), None, "{other}");
        }
    }

    #[test]
    fn times_count_from_as_long_ago_as_calls_are_listed() {
        let at = |at: String| said("POST", URL, json!({ "timestamp": at })).unwrap().at;
        assert_eq!(at(time::rfc3339(ASKED_MS - DAY)), Some(ASKED_MS - DAY));
        assert_eq!(at(time::rfc2822(ASKED_MS - 400 * DAY)), Some(ASKED_MS - 400 * DAY));
        assert_eq!(at(time::rfc2822(ASKED_MS - 401 * DAY)), None);
        assert_eq!(at(time::rfc2822(ASKED_MS + 6 * MINUTE)), None);
        assert_eq!(at("yesterday".into()), None);
    }

    #[test]
    fn what_is_no_callback_of_this_leg_says_nothing() {
        for other in [
            json!({ "callback_source": "call-cost-events" }),
            json!({ "callback_source": null }),
            json!({ "call_sid": format!("CA{:032x}", 8) }),
            json!({ "account_sid": "AC00000000000000000000000000000002" }),
            json!({ "call_sid": "" }),
            json!({ "call_status": null }),
        ] {
            assert_eq!(said("POST", URL, other.clone()), None, "{other}");
        }
        assert_eq!(read(&CallRequest::default(), &leg(), ASKED_MS, None), None);
    }
}
