//! Status callbacks read as signals, sensible ones and others.

use super::form;
use onhook::{
    domain::{
        signal::{Claim, Field, LinkRank, Signal, Told, Witness},
        state::{HangupCause, Live, Outcome},
        time::{DAY, Millis, parse_rfc2822},
    },
    twilio::{
        door::{self, Door, Method, Parameters},
        form::Form,
        reading::Unreadable,
    },
};
use proptest::prelude::*;

const CALL: &str = "CA0123456789abcdef0123456789ABCDEF";
const ACCOUNT: &str = "AC00000000000000000000000000000001";
const TIMESTAMP: &str = "Fri, 20 Nov 2026 10:11:12 +0000";

fn received_ms() -> Millis {
    parse_rfc2822(TIMESTAMP).unwrap() + 350
}

/// What a status callback says: one signal, and what was left out.
#[derive(Debug)]
struct StatusDelivery {
    signal: Signal,
    noted: Vec<String>,
}

fn read_status(method: Method, query: Form, body: Form, received_ms: Millis) -> Result<StatusDelivery, Unreadable> {
    let said = door::read(Door::Status, &Parameters { method, query, body }, received_ms)?;
    let [signal] = said.signals.try_into().unwrap();
    assert_eq!(said.provider_id, signal.leg.provider_id);
    Ok(StatusDelivery { signal, noted: said.noted })
}

/// Reads a POST with these parameters besides the two identifiers.
fn read(query: &str, more: &str) -> Result<StatusDelivery, Unreadable> {
    let body = form(&format!("CallSid={CALL}&AccountSid={ACCOUNT}&{more}"));
    read_status(Method::Post, form(query), body, received_ms())
}

fn claim(more: &str) -> Claim {
    read("", more).unwrap().signal.claim
}

#[test]
fn every_status_has_its_claim() {
    let ended = |outcome, cause| Claim::Ended(Told { outcome, seconds: None, cause });
    let expected = [
        ("queued", Claim::Live(Live::Queued)),
        ("initiated", Claim::Live(Live::Initiated)),
        ("ringing", Claim::Live(Live::Ringing)),
        ("in-progress", Claim::Live(Live::Answered)),
        ("completed", ended(Outcome::Completed, HangupCause::Normal)),
        ("busy", ended(Outcome::Busy, HangupCause::Busy)),
        ("no-answer", ended(Outcome::NoAnswer, HangupCause::NoAnswer)),
        ("failed", ended(Outcome::Failed, HangupCause::Failed)),
        ("canceled", ended(Outcome::Canceled, HangupCause::Canceled)),
        // The name of an event, and of a DialCallStatus; never a CallStatus.
        ("answered", Claim::Unknown("answered".to_owned())),
        ("Completed", Claim::Unknown("Completed".to_owned())),
    ];
    for (status, claimed) in expected {
        assert_eq!(claim(&format!("CallStatus={status}")), claimed);
    }
    let long = "ü".repeat(100);
    assert_eq!(claim(&format!("CallStatus={long}")), Claim::Unknown("ü".repeat(30)));
}

#[test]
fn one_callback_is_one_signal_with_everything_it_says() {
    let parent = "CAffffffffffffffffffffffffffffffff";
    let body = format!(
        "CallStatus=completed&SequenceNumber=3&Timestamp=Fri%2C%2020%20Nov%202026%2010%3A11%3A12%20%2B0000&Duration=1\
         &CallDuration=17&Direction=outbound-dial&From=client%3Aann&To=%2B14155550101&ParentCallSid={parent}\
         &AnsweredBy=human&RecordingUrl=https%3A%2F%2Fapi.twilio.com%2FRE1&RecordingDuration=15&ToCity=&SomethingNew=1"
    );
    let query = "lead_id=lead-42&extension=204&user_id=u%207&job_id=j1&attempt=2&utm=x";
    let StatusDelivery { signal, noted } = read(query, &body).unwrap();
    assert_eq!((signal.leg.provider_id.as_str(), signal.leg.account.as_str()), (CALL, ACCOUNT));
    assert_eq!(signal.witness, Witness::Callback);
    let told = Told { outcome: Outcome::Completed, seconds: Some(17), cause: HangupCause::Normal };
    assert_eq!(signal.claim, Claim::Ended(told));
    assert_eq!((signal.at, signal.sequence), (parse_rfc2822(TIMESTAMP), Some(3)));
    assert_eq!(signal.received_ms, received_ms());
    let link = signal.link.unwrap();
    assert_eq!((link.rank, link.lead_id.as_str()), (LinkRank::Url, "lead-42"));
    let details: Vec<_> = signal.details.iter().map(|(field, value)| (*field, value.as_str())).collect();
    let expected = [
        (Field::ParentId, parent),
        (Field::Direction, "outbound-dial"),
        (Field::From, "client:ann"),
        (Field::To, "+14155550101"),
        (Field::Extension, "204"),
        (Field::UserId, "u 7"),
        (Field::JobId, "j1"),
        (Field::Attempt, "2"),
        (Field::AnsweredBy, "human"),
        (Field::RecordingUrl, "https://api.twilio.com/RE1"),
        (Field::RecordingSeconds, "15"),
    ];
    assert_eq!(details, expected);
    assert_eq!(noted, [] as [&str; 0]);
}

#[test]
fn a_get_has_everything_in_its_query() {
    let query = form(&format!("lead_id=lead-42&CallSid={CALL}&AccountSid={ACCOUNT}&CallStatus=ringing"));
    let body = form("CallStatus=completed&CallSid=x");
    let delivery = read_status(Method::Get, query.clone(), body.clone(), received_ms()).unwrap();
    assert_eq!(delivery.signal.claim, Claim::Live(Live::Ringing));
    assert_eq!(delivery.signal.link.unwrap().lead_id, "lead-42");
    let sid = |method| {
        let parameters = Parameters { method, query: query.clone(), body: body.clone() };
        parameters.account_sid().map(|sid| sid.into_owned())
    };
    assert_eq!(sid(Method::Get).as_deref(), Some(ACCOUNT));
    assert_eq!(sid(Method::Post), None);
}

#[test]
fn of_a_post_only_the_body_speaks_for_twilio_and_only_the_query_for_the_user() {
    let delivery = read("CallStatus=completed&From=x", "CallStatus=ringing&lead_id=lead-42&extension=1").unwrap();
    assert_eq!(delivery.signal.claim, Claim::Live(Live::Ringing));
    assert_eq!(delivery.signal.link, None);
    assert!(delivery.signal.details.is_empty(), "{:?}", delivery.signal.details.keys());
    let repeated = read("lead_id=a&lead_id=b", "CallStatus=ringing&CallStatus=completed").unwrap();
    assert_eq!(repeated.signal.claim, Claim::Live(Live::Ringing), "the first of a repeated name counts");
    assert_eq!(repeated.signal.link.unwrap().lead_id, "a");
}

#[test]
fn only_a_failure_is_refined_by_its_sip_code() {
    let cause = |status: &str, code: &str| match claim(&format!("CallStatus={status}&SipResponseCode={code}")) {
        Claim::Ended(told) => told.cause,
        other => panic!("{other:?}"),
    };
    for code in ["404", "410", "480", "484", "604"] {
        assert_eq!(cause("failed", code), HangupCause::Unreachable, "{code}");
    }
    for code in ["403", "433", "603", "607", "608"] {
        assert_eq!(cause("failed", code), HangupCause::Rejected, "{code}");
    }
    for code in ["", "200", "486", "500", "503", "4040", "x"] {
        assert_eq!(cause("failed", code), HangupCause::Failed, "{code}");
    }
    // Twilio reports busy and no-answer with 487; a code never makes another status.
    assert_eq!(cause("busy", "487"), HangupCause::Busy);
    assert_eq!(cause("no-answer", "404"), HangupCause::NoAnswer);
    assert_eq!(cause("completed", "603"), HangupCause::Normal);
}

#[test]
fn absurd_numbers_count_as_untold() {
    let seconds = |text: &str| {
        let delivery = read("", &format!("CallStatus=completed&CallDuration={text}")).unwrap();
        match delivery.signal.claim {
            Claim::Ended(told) => (told.seconds, delivery.noted.len()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(seconds("0"), (Some(0), 0));
    assert_eq!(seconds("604800"), (Some(604_800), 0));
    assert_eq!(seconds(""), (None, 0), "an empty value says nothing and is nothing to note");
    for text in ["-1", "604801", "1000000000000", "NaN", "1.5", "%2B5", "5s", " 5", "99999999999999999999999", "%D9%A3"]
    {
        assert_eq!(seconds(text), (None, 1), "{text}");
    }
    let sequence = |text| read("", &format!("CallStatus=ringing&SequenceNumber={text}")).unwrap().signal.sequence;
    assert_eq!((sequence("0"), sequence("12"), sequence("1000000")), (Some(0), Some(12), Some(1_000_000)));
    assert_eq!((sequence("-1"), sequence("1000001"), sequence("one"), sequence("")), (None, None, None, None));
    let noted = read("", "CallStatus=completed&CallDuration=-1").unwrap().noted;
    assert_eq!(noted, ["CallDuration \"-1\" is no whole number from 0 to 604800: ignored"]);
}

#[test]
fn absurd_times_count_as_untold() {
    let at = |text: &str| {
        let delivery = read("", &format!("CallStatus=ringing&Timestamp={}", text.replace('+', "%2B"))).unwrap();
        (delivery.signal.at, delivery.noted.len())
    };
    let told = parse_rfc2822(TIMESTAMP).unwrap();
    assert_eq!(at(TIMESTAMP), (Some(told), 0));
    assert_eq!(at("Fri, 20 Nov 2026 10:16:12 +0000"), (Some(told + 300_000), 0));
    assert_eq!(at("Fri, 13 Nov 2026 10:11:13 +0000"), (Some(told - 7 * DAY + 1_000), 0));
    assert_eq!(at(""), (None, 0));
    let absurd = [
        "Fri, 20 Nov 2026 10:16:13 +0000",
        "Fri, 13 Nov 2026 10:11:12 +0000",
        "Fri, 31 Dec 9999 23:59:59 +0000",
        "Thu, 01 Jan 1970 00:00:00 +0000",
        "Mon, 20 Nov 2026 10:11:12 +0000",
        "2026-11-20T10:11:12Z",
        "yesterday",
    ];
    for text in absurd {
        assert_eq!(at(text), (None, 1), "{text}");
    }
}

#[test]
fn what_is_too_long_or_no_link_is_left_out_and_noted() {
    let long = |bytes: usize| "x".repeat(bytes);
    let lead = |value: &str| read(&format!("lead_id={value}"), "CallStatus=ringing").unwrap();
    assert_eq!(lead(&long(200)).signal.link.unwrap().lead_id, long(200));
    assert_eq!(lead(&long(201)).signal.link, None);
    assert_eq!(lead(&long(10_000)).noted, ["lead_id has 10000 bytes, 200 are allowed: ignored"]);
    assert_eq!(lead("").noted, [] as [&str; 0]);
    assert_eq!(lead("").signal.link, None);
    assert_eq!(lead("it%27s%0A%22it%22").signal.link.unwrap().lead_id, "it's\n\"it\"");
    assert_eq!(lead("a%00b").signal.link.unwrap().lead_id, "a\u{fffd}b");

    let query = format!("extension={0}&user_id={0}&job_id={0}&attempt={0}", long(201));
    let body = format!(
        "CallStatus=ringing&From={}&To={}&Direction={}&AnsweredBy={}&RecordingUrl=https://{}&RecordingDuration=-1&ParentCallSid=x",
        long(501),
        long(501),
        long(51),
        long(51),
        long(2_000)
    );
    let delivery = read(&query, &body).unwrap();
    assert!(delivery.signal.details.is_empty(), "{:?}", delivery.signal.details.keys());
    assert_eq!(delivery.noted.len(), 11, "{:?}", delivery.noted);
}

/// It is shown as a link and fetched with the account's credentials.
#[test]
fn a_recording_is_only_where_twilio_keeps_it() {
    let recording = |url: &str| read("", &format!("CallStatus=completed&RecordingUrl={url}")).unwrap();
    for url in
        ["https://api.twilio.com/RE1", "https://api.dublin.ie1.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1"]
    {
        assert_eq!(recording(url).signal.details[&Field::RecordingUrl], url);
        assert_eq!(recording(url).noted, [] as [&str; 0]);
    }
    for (url, host) in [
        ("javascript:alert(1)", "no host"),
        ("nothing", "no host"),
        ("http://api.twilio.com/RE1", "api.twilio.com"),
        ("https://twilio.com.example/RE1", "twilio.com.example"),
        ("https://eviltwilio.com/RE1", "eviltwilio.com"),
        ("https://api.twilio.com@evil.example/a-secret", "evil.example"),
        ("https://me:secret@api.twilio.com/RE1", "api.twilio.com"),
        ("https://api.twilio.com:8443/RE1", "api.twilio.com"),
    ] {
        let wanted = format!("RecordingUrl is no https URL of twilio.com (it is of {host:?}): ignored");
        assert_eq!(recording(url).noted, [wanted], "{url}");
        assert!(recording(url).signal.details.is_empty(), "{url}");
    }
}

#[test]
fn a_callback_of_no_call_is_unreadable_and_says_why() {
    let unreadable =
        |body: &str| read_status(Method::Post, form(""), form(body), received_ms()).unwrap_err().to_string();
    assert_eq!(unreadable(""), "read the webhook: CallSid is missing, it should be CA and 32 hex digits");
    assert_eq!(
        unreadable(&format!("CallSid={CALL}&AccountSid=")),
        "read the webhook: AccountSid is missing, it should be AC and 32 hex digits"
    );
    assert_eq!(
        unreadable(&format!("CallSid={CALL}&AccountSid={ACCOUNT}")),
        "read the webhook: CallStatus is missing, it should be a status such as completed"
    );
    assert_eq!(
        unreadable("CallSid=CA12'%00"),
        "read the webhook: CallSid is \"CA12'\u{fffd}\", it should be CA and 32 hex digits"
    );
    let wrong =
        ["ca0123456789abcdef0123456789abcdef", ACCOUNT, "CA0123456789abcdef0123456789abcdeg", &format!("{CALL}0")];
    for sid in wrong {
        assert!(unreadable(&format!("CallSid={sid}&AccountSid={ACCOUNT}")).contains("CallSid is"), "{sid}");
        assert!(unreadable(&format!("CallSid={CALL}&AccountSid={sid}x")).contains("AccountSid is"), "{sid}");
    }
    let message = unreadable(&format!("CallSid={}", "é".repeat(5_000)));
    assert!(message.len() < 200 && message.contains(&"é".repeat(30)), "{message}");
}

proptest! {
    /// Whatever the form says, reading it is an answer and not a panic, and nothing unbounded is kept.
    #[test]
    fn any_values_are_answered(
        values in prop::collection::vec((prop::sample::select(&[
            "CallStatus", "Timestamp", "SequenceNumber", "CallDuration", "SipResponseCode", "From", "To", "Direction",
            "ParentCallSid", "AnsweredBy", "RecordingUrl", "RecordingDuration", "lead_id", "extension",
        ][..]), prop_oneof![any::<String>(), "[0-9]{0,30}", "x{0,3000}", Just("completed".to_owned())]), 0..20),
        received_ms in prop_oneof![Just(0), Just(i64::MAX / 2), 0..4_000_000_000_000_i64],
    ) {
        let mut encoded = url::form_urlencoded::Serializer::new(format!("CallSid={CALL}&AccountSid={ACCOUNT}"));
        let encoded = encoded.extend_pairs(values).finish();
        if let Ok(delivery) = read_status(Method::Get, form(&encoded), form(""), received_ms) {
            let signal = serde_json::to_string(&delivery.signal).unwrap();
            prop_assert!(!signal.contains("\\u0000"), "a NUL is left: {}", signal);
            prop_assert!(delivery.signal.details.values().all(|value| value.len() <= 2_000));
            prop_assert!(delivery.noted.iter().all(|note| note.len() <= 600), "{:?}", delivery.noted);
        }
    }
}
