//! How a person can be recognized in what is stored: the number in the spellings of requests and JSON, and what a lead said
//! of itself.

use crate::store::leads::LeadRow;
use percent_encoding::percent_decode;
use std::borrow::Cow;

/// What a person can be recognized by.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Traces {
    /// The number without its plus.
    digits: Option<String>,
    /// Name and number as they were written, as JSON strings: so they stand in answers.
    written: Vec<String>,
}

impl Traces {
    pub(super) fn of(lead: &LeadRow) -> Self {
        let digits = lead.phone_e164.as_ref().map(|number| number.trim_start_matches('+').to_owned());
        let written = [&lead.name, &lead.phone, &lead.phone_e164].into_iter().flatten();
        let written = written.filter_map(|text| serde_json::to_string(text).ok()).collect();
        Self { digits, written }
    }

    /// Whether there is a number to look for.
    pub(super) const fn has_number(&self) -> bool {
        self.digits.is_some()
    }

    /// Whether the number stands in these bytes: as digits that are followed and preceded by something else, also percent
    /// encoded (up to three times over), also with an international prefix in place of the plus. The number of somebody else that
    /// contains this one is not it.
    pub(super) fn are_in(&self, bytes: &[u8]) -> bool {
        let Some(digits) = self.digits.as_deref() else { return false };
        let mut text = Cow::Borrowed(bytes);
        for _ in 0..=DECODED_MAX {
            if has_number(digits, &text) {
                return true;
            }
            let decoded: Vec<u8> = percent_decode(&text).collect();
            if decoded == *text {
                return false;
            }
            text = Cow::Owned(decoded);
        }
        false
    }

    /// Whether an answer in JSON shows the number, or name or number as they were written.
    pub(super) fn are_in_answer(&self, body: &[u8]) -> bool {
        let text = String::from_utf8_lossy(body);
        self.are_in(body) || self.written.iter().any(|written| text.contains(written.as_str()))
    }
}

fn has_number(digits: &str, bytes: &[u8]) -> bool {
    let runs = bytes.split(|b| !b.is_ascii_digit()).filter(|run| run.len() >= digits.len());
    let is_number = |run: &[u8]| run == digits.as_bytes();
    runs.into_iter().any(|run| {
        is_number(run) || PREFIXES.iter().any(|prefix| run.strip_prefix(prefix.as_bytes()).is_some_and(is_number))
    })
}

/// What is dialed in place of the plus, in most countries and in North America.
const PREFIXES: &[&str] = &["00", "011"];
/// How often something can have been percent-encoded.
const DECODED_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_found_in_every_spelling_and_not_in_others() {
        let traces = Traces { digits: Some("14155550101".into()), written: vec!["\"Ann\"".into()] };
        for there in [
            "+14155550101",
            "To=%2B14155550101&x=1",
            "To=%252B14155550101",
            "To=+14155550101",
            "To=%2014155550101",
            "%2B%31%34155550101",
            r#"{"to":"+14155550101"}"#,
            "sip:+14155550101@10.0.0.1",
            "whatsapp:14155550101",
            "0014155550101",
            "01114155550101",
        ] {
            assert!(traces.are_in(there.as_bytes()), "{there}");
        }
        for other in ["", "+141555501011", "+914155550101", "+1415555010", "%2B141555501019", "1-415-555-0102"] {
            assert!(!traces.are_in(other.as_bytes()), "{other}");
        }
        assert!(traces.are_in_answer(br#"{"name":"Ann"}"#));
        assert!(!traces.are_in_answer(br#"{"name":"Anna"}"#));
        let none = Traces { digits: None, written: Vec::new() };
        assert!(!none.are_in(b"+14155550101") && !none.has_number());
    }
}
