//! The other doors read as signals: requests for TwiML, what came of a dial, recordings, who answered.

use super::form;
use onhook::{
    domain::{
        signal::{Claim, Field, Signal, Told, Witness},
        state::{HangupCause, Live, Outcome},
        time::{Millis, parse_rfc2822},
    },
    twilio::{
        door::{self, Door, Method, Parameters, Said},
        reading::Unreadable,
    },
};

const CALL: &str = "CA0123456789abcdef0123456789ABCDEF";
const CHILD: &str = "CAffffffffffffffffffffffffffffffff";
const ACCOUNT: &str = "AC00000000000000000000000000000001";
const RECEIVED_MS: Millis = 1_795_169_472_350;

fn read(door: Door, query: &str, more: &str) -> Result<Said, Unreadable> {
    let body = form(&format!("CallSid={CALL}&AccountSid={ACCOUNT}&{more}"));
    door::read(door, &Parameters { method: Method::Post, query: form(query), body }, RECEIVED_MS)
}

fn ended(outcome: Outcome, seconds: Option<i64>, cause: HangupCause) -> Claim {
    Claim::Ended(Told { outcome, seconds, cause })
}

fn one(said: Said) -> Signal {
    let [signal] = said.signals.try_into().unwrap();
    signal
}

/// Neither a time nor a number is told, whatever stands there.
#[test]
fn a_request_for_twiml_says_how_far_the_leg_is() {
    for (status, claim) in [
        ("queued", Claim::Live(Live::Queued)),
        ("ringing", Claim::Live(Live::Ringing)),
        ("in-progress", Claim::Live(Live::Answered)),
        ("completed", ended(Outcome::Completed, None, HangupCause::Normal)),
        ("answered", Claim::Unknown("answered".to_owned())),
    ] {
        let said = read(Door::Voice, "lead_id=lead-1&extension=7", &format!("CallStatus={status}")).unwrap();
        assert_eq!((said.provider_id.as_str(), said.noted.len(), said.ask.len()), (CALL, 0, 0));
        let signal = one(said);
        assert_eq!((signal.claim, signal.at, signal.sequence), (claim, None, None), "{status}");
        assert_eq!((signal.witness, signal.received_ms), (Witness::Callback, RECEIVED_MS));
        assert_eq!(signal.details[&Field::Extension], "7");
        assert_eq!(signal.link.unwrap().lead_id, "lead-1");
    }
    let missing = read(Door::Voice, "", "Direction=inbound").unwrap_err().to_string();
    assert!(missing.contains("CallStatus is missing"), "{missing}");
}

/// All that a request of an inbound call may carry (and a whisper's of a dialed leg): what we keep, and nothing is in the
/// way. `From` may be anybody.
#[test]
fn a_request_for_twiml_may_say_much_more() {
    let more = "ApiVersion=2010-04-01&Caller=%2B266696687&Called=%2B14155550100&CallerName=&ForwardedFrom=%2B14155550102\
        &FromCity=&FromState=&FromZip=&FromCountry=US&ToCity=S%C3%A3o%20Paulo&ToState=&ToZip=&ToCountry=BR\
        &CallToken=%7B%22parentCallInfoToken%22%3A%22ey%2537B%22%7D&StirVerstat=TN-Validation-Passed-A\
        &SipDomain=a.example&SipHeader_X-Id=7&SomethingNew=1";
    for from in ["%2B266696687", "Anonymous", "client%3Aann", "sip%3Aann%40a.example%3A5060%3Btransport%3Dtls"] {
        let said =
            read(Door::Voice, "", &format!("CallStatus=ringing&Direction=inbound&From={from}&To=x&{more}")).unwrap();
        assert_eq!(said.noted, [] as [&str; 0]);
        let details = one(said).details;
        assert_eq!(details.keys().copied().collect::<Vec<_>>(), [Field::Direction, Field::From, Field::To], "{from}");
    }
    let whisper = format!("CallStatus=in-progress&Direction=outbound-dial&ParentCallSid={CHILD}&AnsweredBy=human");
    let signal = one(read(Door::Voice, "", &whisper).unwrap());
    assert_eq!(signal.claim, Claim::Live(Live::Answered));
    assert_eq!(
        (signal.details[&Field::ParentId].as_str(), signal.details[&Field::AnsweredBy].as_str()),
        (CHILD, "human")
    );
}

/// What an app gives to the Voice SDK comes as parameters among Twilio's own.
#[test]
fn what_a_device_adds_is_not_taken_for_twilios_word() {
    let added = format!(
        "ParentCallSid={CHILD}&AnsweredBy=human&RecordingUrl=https://api.twilio.com/RE1&RecordingDuration=9&CallStatus=ringing"
    );
    for from in ["client%3Aann", "sip%3Aann%40a.example", "sips%3Aann%40a.example"] {
        let details = one(read(Door::Voice, "", &format!("From={from}&{added}")).unwrap()).details;
        assert_eq!(details.keys().copied().collect::<Vec<_>>(), [Field::From], "{from}");
    }
    let details = one(read(Door::Voice, "", &format!("From=%2B14155550199&{added}")).unwrap()).details;
    assert_eq!(details.len(), 5, "{details:?}");
}

#[test]
fn every_dial_status_is_an_ending_of_the_dialed_leg() {
    for (status, claim) in [
        ("completed", ended(Outcome::Completed, Some(12), HangupCause::Normal)),
        // Said of conferences. It is no live state: the dial is over.
        ("answered", ended(Outcome::Completed, Some(12), HangupCause::Normal)),
        ("busy", ended(Outcome::Busy, Some(12), HangupCause::Busy)),
        ("no-answer", ended(Outcome::NoAnswer, Some(12), HangupCause::NoAnswer)),
        ("failed", ended(Outcome::Failed, Some(12), HangupCause::Failed)),
        ("canceled", ended(Outcome::Canceled, Some(12), HangupCause::Canceled)),
        ("teleported", Claim::Unknown("teleported".to_owned())),
        ("in-progress", Claim::Unknown("in-progress".to_owned())),
    ] {
        let more = format!("CallStatus=in-progress&DialCallStatus={status}&DialCallSid={CHILD}&DialCallDuration=12");
        let said = read(Door::Dial, "lead_id=lead-1&user_id=ann", &more).unwrap();
        assert_eq!(said.provider_id, CHILD, "it is filed under the leg it tells of");
        let child = one(said);
        assert_eq!((child.leg.provider_id.as_str(), child.leg.account.as_str()), (CHILD, ACCOUNT));
        assert_eq!(child.claim, claim, "{status}");
        assert_eq!((child.details[&Field::ParentId].as_str(), child.details[&Field::UserId].as_str()), (CALL, "ann"));
        assert_eq!((child.at, child.sequence, child.link.unwrap().lead_id.as_str()), (None, None, "lead-1"));
    }
}

#[test]
fn a_dial_tells_of_bridge_and_recording_of_the_dialed_leg() {
    let url = "https://api.twilio.com/RE1";
    let dial = |more: &str| {
        let more = format!("CallStatus=in-progress&DialCallStatus=completed&DialCallSid={CHILD}&{more}");
        let said = read(Door::Dial, "", &more).unwrap();
        let noted = said.noted.clone();
        (one(said), noted)
    };
    for word in ["true", "false"] {
        let (child, noted) = dial(&format!("DialBridged={word}&RecordingUrl={url}&RecordingDuration=9"));
        assert_eq!(child.details[&Field::Bridged], word);
        assert_eq!(
            (child.details[&Field::RecordingUrl].as_str(), child.details[&Field::RecordingSeconds].as_str()),
            (url, "9")
        );
        assert_eq!(noted, [] as [&str; 0]);
    }
    let (child, noted) = dial("DialBridged=perhaps&RecordingUrl=https://evil.example/x?secret&DialCallDuration=-1");
    assert_eq!(child.details.keys().copied().collect::<Vec<_>>(), [Field::ParentId, Field::Direction]);
    assert_eq!(noted.len(), 3, "{noted:?}");
    assert!(!noted.concat().contains("secret"), "{noted:?}");
}

/// After a conference no leg is named; what is named wrongly is left out. The parent counts all the same.
#[test]
fn a_dial_without_a_dialed_leg_tells_of_the_parent_only() {
    for (more, noted) in [
        ("DialCallStatus=answered".to_owned(), 0),
        (format!("DialCallSid={CHILD}"), 1),
        ("DialCallStatus=completed&DialCallSid=CA1".to_owned(), 1),
        (format!("DialCallStatus=completed&DialCallSid={CALL}"), 1),
    ] {
        let said = read(Door::Dial, "", &format!("CallStatus=completed&CallDuration=40&{more}")).unwrap();
        assert_eq!(said.noted.len(), noted, "{:?}", said.noted);
        let parent = one(said);
        assert_eq!(parent.claim, ended(Outcome::Completed, Some(40), HangupCause::Normal), "the caller hung up");
    }
    let said = read(Door::Dial, "", "CallStatus=in-progress&DialCallStatus=answered").unwrap();
    assert_eq!((said.provider_id.as_str(), said.signals.len()), (CALL, 0), "that it lives is no moment of an answer");
}

/// The caller may hang up before the dialed leg does.
#[test]
fn a_dial_whose_caller_hung_up_ends_both_legs() {
    let more = format!("CallStatus=completed&CallDuration=40&DialCallStatus=completed&DialCallSid={CHILD}");
    let said = read(Door::Dial, "lead_id=lead-1", &more).unwrap();
    let [parent, child] = said.signals.try_into().unwrap();
    assert_eq!((parent.leg.provider_id.as_str(), child.leg.provider_id.as_str()), (CALL, CHILD));
    assert_eq!(parent.claim, ended(Outcome::Completed, Some(40), HangupCause::Normal));
    assert!(!parent.details.contains_key(&Field::ParentId) && parent.at.is_none() && parent.sequence.is_none());
    assert_eq!(child.link, parent.link);
}

#[test]
fn a_recording_is_told_while_there_is_one() {
    let recording = |more: &str| {
        let url = "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1";
        let more = format!(
            "RecordingSid=RE1&RecordingUrl={url}&RecordingChannels=2&RecordingSource=DialVerb&RecordingTrack=both&{more}"
        );
        read(Door::Recording, "job_id=job-1", &more)
    };
    let start = "RecordingStartTime=Fri%2C%2020%20Nov%202026%2010%3A11%3A12%20%2B0000";
    for status in ["in-progress", "completed"] {
        let said = recording(&format!("RecordingStatus={status}&RecordingDuration=9&ErrorCode=0&{start}")).unwrap();
        assert_eq!(said.noted, [] as [&str; 0]);
        let signal = one(said);
        assert_eq!((&signal.claim, signal.leg.provider_id.as_str()), (&Claim::Recording, CALL));
        assert_eq!(signal.at, parse_rfc2822("Fri, 20 Nov 2026 10:11:12 +0000"));
        assert_eq!(
            (signal.details[&Field::RecordingSeconds].as_str(), signal.details[&Field::JobId].as_str()),
            ("9", "job-1")
        );
    }
    for status in ["absent", "failed", "deleted"] {
        let said = recording(&format!("RecordingStatus={status}&ErrorCode=31001")).unwrap();
        assert_eq!((said.provider_id.as_str(), said.signals.len()), (CALL, 0), "{status}");
        assert!(said.noted[0].contains(status) && said.noted[0].contains("31001"), "{:?}", said.noted);
    }
    let unbelievable = "RecordingStatus=completed&RecordingStartTime=Thu%2C%2001%20Jan%201970%2000%3A00%3A00%20%2B0000";
    assert_eq!(one(recording(unbelievable).unwrap()).at, None);
    assert!(recording("").unwrap_err().to_string().contains("RecordingStatus is missing"));
    let nowhere = read(Door::Recording, "", "RecordingStatus=completed").unwrap();
    assert_eq!((nowhere.signals.len(), nowhere.noted.len()), (0, 1));
}

#[test]
fn every_word_for_who_answered_is_kept() {
    for word in [
        "human",
        "fax",
        "unknown",
        "machine_start",
        "machine_end_beep",
        "machine_end_silence",
        "machine_end_other",
        "something_else",
    ] {
        let said =
            read(Door::Amd, "lead_id=lead-1", &format!("AnsweredBy={word}&MachineDetectionDuration=4200")).unwrap();
        assert_eq!(said.noted, [] as [&str; 0]);
        let signal = one(said);
        assert_eq!((&signal.claim, signal.at, signal.sequence), (&Claim::AnsweredBy, None, None));
        assert_eq!(signal.details[&Field::AnsweredBy], word);
        assert_eq!(signal.link.unwrap().lead_id, "lead-1");
    }
}
