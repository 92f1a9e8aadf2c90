//! Events and signals as they are printed: without the numbers of people, unless they are asked for.

use crate::{
    ami::Message,
    domain::{
        phone,
        signal::{Claim, Field, Signal},
        time::rfc3339,
    },
};
use serde_json::{Value, json};

/// An event for programs.
pub(super) fn event_json(message: &Message, received_ms: i64, numbers: bool) -> Value {
    let headers: Vec<Value> =
        message.headers().map(|(name, value)| json!([name, header(name, value, numbers)])).collect();
    json!({ "at": rfc3339(received_ms), "event": message.event(), "headers": headers })
}

/// An event for people: one line.
pub(super) fn event_line(message: &Message, received_ms: i64, numbers: bool) -> String {
    let own = |name: &str| ["Event", "Privilege", "Timestamp"].iter().any(|own| name.eq_ignore_ascii_case(own));
    let headers = message.headers().filter(|(name, value)| !own(name) && !value.is_empty());
    let headers: Vec<String> =
        headers.map(|(name, value)| format!("{name}={}", header(name, value, numbers))).collect();
    format!("{} {} {}", rfc3339(received_ms), message.event().unwrap_or("-"), headers.join(" "))
}

/// A signal for programs.
pub(super) fn signal_json(signal: &Signal, numbers: bool) -> Value {
    let details =
        signal.details.iter().map(|(field, text)| (field.as_str().to_owned(), json!(detail(*field, text, numbers))));
    json!({
        "at": signal.at.map(rfc3339), "received_at": rfc3339(signal.received_ms), "provider_id": signal.leg.provider_id,
        "witness": signal.witness, "claim": claim(&signal.claim), "details": details.collect::<serde_json::Map<_, _>>(),
        "lead_id": signal.link.as_ref().map(|link| link.lead_id.clone()),
    })
}

/// A signal for people: one line.
pub(super) fn signal_line(signal: &Signal, numbers: bool) -> String {
    let mut parts = vec![
        rfc3339(signal.effective_ms()),
        signal.leg.provider_id.clone(),
        signal.witness.as_str().to_owned(),
        claim(&signal.claim),
    ];
    parts.extend(signal.details.iter().map(|(field, text)| format!("{field}={}", detail(*field, text, numbers))));
    parts.extend(signal.link.iter().map(|link| format!("lead={}", link.lead_id)));
    parts.join("  ")
}

fn claim(claim: &Claim) -> String {
    match claim {
        Claim::Live(live) => live.as_str().to_owned(),
        Claim::Ended(told) => {
            let seconds = told.seconds.map(|seconds| format!(", {seconds} s of talk")).unwrap_or_default();
            format!("ended: {}, {}{seconds}", told.outcome, told.cause)
        }
        Claim::GivenUp(weak) => format!("given up: {}", weak.cause),
        Claim::Alive => "alive".to_owned(),
        Claim::Recording => "recording".to_owned(),
        Claim::AnsweredBy => "answered by".to_owned(),
        Claim::Link => "link".to_owned(),
        Claim::Unknown(word) => format!("unknown: {word}"),
    }
}

fn detail(field: Field, text: &str, numbers: bool) -> String {
    match field {
        Field::From | Field::To if !numbers => phone::mask(&mask(text)),
        _ => text.to_owned(),
    }
}

/// A value of a header. Ids and times are digits too, and no numbers of people.
fn header(name: &str, value: &str, numbers: bool) -> String {
    let name = name.to_ascii_lowercase();
    let is_id = name.ends_with("uniqueid") || name.ends_with("linkedid") || name == "timestamp" || name == "actionid";
    if numbers || is_id { value.to_owned() } else { mask(value) }
}

/// Masks what may be a number: seven digits or more, but for the last two. The count at the end of a channel's name
/// (`PJSIP/2001-0000000a`) is none.
pub(super) fn mask(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut shown = String::with_capacity(text.len());
    let mut rest = chars.as_slice();
    let mut before = None;
    while let Some(first) = rest.first() {
        let digits = rest.iter().take_while(|c| c.is_ascii_digit()).count();
        let (run, after) = rest.split_at(digits.max(1));
        let is_number = digits >= NUMBER_DIGITS_MIN && before != Some('-');
        let hidden = if is_number { digits.saturating_sub(2) } else { 0 };
        shown.extend(run.iter().enumerate().map(|(n, c)| if n < hidden { '*' } else { *c }));
        before = run.last().copied().or(Some(*first));
        rest = after;
    }
    shown
}

const NUMBER_DIGITS_MIN: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_masked_and_names_of_channels_are_not() {
        for (text, shown) in [
            ("+14155550132", "+*********32"),
            ("PJSIP/2001-0000000a", "PJSIP/2001-0000000a"),
            ("Local/4155550132@from-queue-00000003;1", "Local/********32@from-queue-00000003;1"),
            ("\"Ann\" <4155550132>", "\"Ann\" <********32>"),
            ("2001", "2001"),
            ("", ""),
            ("é1234567é", "é*****67é"),
        ] {
            assert_eq!(mask(text), shown);
        }
        assert_eq!(header("DestUniqueid", "1700000000.10", false), "1700000000.10");
        assert_eq!(header("CallerIDNum", "4155550132", false), "********32");
        assert_eq!(header("CallerIDNum", "4155550132", true), "4155550132");
    }

    #[test]
    fn an_event_is_one_line() {
        let headers =
            [("Event", "Newchannel"), ("Privilege", "call,all"), ("CallerIDNum", "4155550132"), ("Exten", "")];
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let message = Message::new(headers.collect());
        assert_eq!(event_line(&message, 0, false), "1970-01-01T00:00:00.000Z Newchannel CallerIDNum=********32");
    }
}
