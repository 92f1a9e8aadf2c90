//! Fields that people fill in: what may stand in them, and how a refusal names the one that is wrong.

use crate::domain::{
    phone::E164,
    time::{Millis, parse_rfc3339},
};
use std::ops::RangeInclusive;

/// A field that cannot be taken as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Wrong {
    /// Its name, or its path: `calls[3].status`.
    pub field: String,
    /// What is wrong with it and what is allowed.
    pub message: String,
}

impl Wrong {
    /// What is wrong with a field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }

    /// The same, with the path that leads to the field.
    #[must_use]
    pub fn under(self, path: &str) -> Self {
        Self { field: format!("{path}.{}", self.field), ..self }
    }
}

/// Collects what is wrong, so that everything is reported at once.
#[derive(Debug, Default)]
pub struct Wrongs(Vec<Wrong>);

impl Wrongs {
    /// The value, or `None` after noting what is wrong with it.
    pub fn take<T>(&mut self, read: Result<T, Wrong>) -> Option<T> {
        read.map_err(|wrong| self.0.push(wrong)).ok()
    }

    /// What was made of the values, if nothing was wrong.
    pub fn settle<T>(self, made: Option<T>) -> Result<T, Vec<Wrong>> {
        match made {
            Some(made) if self.0.is_empty() => Ok(made),
            _ => Err(self.0),
        }
    }
}

/// One line of text without control characters, with a length in bytes.
pub fn line(field: &str, text: &str, bytes: RangeInclusive<usize>) -> Result<String, Wrong> {
    let (least, most) = (bytes.start(), bytes.end());
    if !bytes.contains(&text.len()) {
        return Err(Wrong::new(field, format!("has {} bytes; {least} to {most} are allowed", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(Wrong::new(field, "holds a control character, such as a line break"));
    }
    Ok(text.to_owned())
}

/// A line that may be left out. An empty one counts as left out.
pub fn optional_line(field: &str, text: Option<&str>, bytes_max: usize) -> Result<Option<String>, Wrong> {
    text.filter(|text| !text.is_empty()).map(|text| line(field, text, 1..=bytes_max)).transpose()
}

/// The user's own id of a lead.
pub fn lead_id(field: &str, text: &str) -> Result<String, Wrong> {
    line(field, text, 1..=LEAD_ID_BYTES_MAX)
}

/// A time in RFC 3339.
pub fn moment(field: &str, text: &str) -> Result<Millis, Wrong> {
    parse_rfc3339(text).ok_or_else(|| {
        Wrong::new(field, format!("{:?} is not RFC 3339, such as 2026-11-20T10:11:08.000Z", shortened(text)))
    })
}

/// A phone number in E.164. `region` is used where the country code is missing.
pub fn phone(field: &str, text: &str, region: Option<&str>) -> Result<String, Wrong> {
    E164::parse(text, region).map(|number| number.as_str().to_owned()).ok_or_else(|| {
        let hint = if region.is_some() { "" } else { "; write it with its country code, or set ONHOOK_PHONE_REGION" };
        Wrong::new(field, format!("{:?} cannot be read as a phone number{hint}", shortened(text)))
    })
}

/// One end of a call: a phone number (answered in E.164), or a client or SIP address as it is.
pub fn address(field: &str, text: &str, region: Option<&str>) -> Result<String, Wrong> {
    let text = line(field, text, 1..=ADDRESS_BYTES_MAX)?;
    let is_address =
        ["client:", "sip:", "sips:"].iter().any(|p| text.strip_prefix(p).is_some_and(|rest| !rest.is_empty()));
    if is_address {
        return Ok(text);
    }
    if let Some(number) = E164::of_address(&text) {
        return Ok(number.as_str().to_owned());
    }
    phone(field, &text, region).map_err(|wrong| Wrong {
        message: format!("{}; client: and sip: addresses are allowed too", wrong.message),
        ..wrong
    })
}

/// The first characters of a value, for messages.
fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(SHOWN_BYTES_MAX)).unwrap_or(text)
}

/// The longest id of a lead; the same as on a callback URL.
pub const LEAD_ID_BYTES_MAX: usize = 200;
/// The longest `user_id` and `extension`; the same as on a callback URL.
pub const WORD_BYTES_MAX: usize = 200;
/// A SIP address with its parameters fits.
const ADDRESS_BYTES_MAX: usize = 500;
/// How much of a wrong value is shown.
const SHOWN_BYTES_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_a_length_and_no_control_characters() {
        assert_eq!(line("name", "O'Brien \"Bob\" é", 1..=50).unwrap(), "O'Brien \"Bob\" é");
        for bad in ["", "a\nb", "a\0", "\u{85}", &"x".repeat(51)] {
            assert_eq!(line("name", bad, 1..=50).unwrap_err().field, "name", "{bad:?}");
        }
        assert_eq!(optional_line("name", Some(""), 50), Ok(None));
    }

    #[test]
    fn an_end_of_a_call_is_a_number_or_an_address() {
        let read = |text| address("to", text, None);
        assert_eq!(read("+1 (415) 555-0132").unwrap(), "+14155550132");
        assert_eq!(read("client:ann").unwrap(), "client:ann");
        assert_eq!(read("sip:ann@example.com").unwrap(), "sip:ann@example.com");
        for bad in ["", "client:", "sip:", "ann", "555 0132", "+", "client:a\nb"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert_eq!(address("to", "415 555 0132", Some("US")).unwrap(), "+14155550132");
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once() {
        let mut wrongs = Wrongs::default();
        let made = (wrongs.take(line("a", "", 1..=2)), wrongs.take(moment("b", "yesterday")));
        let fields: Vec<String> =
            wrongs.settle(Some(made)).unwrap_err().into_iter().map(|w| w.under("rows[3]").field).collect();
        assert_eq!(fields, ["rows[3].a", "rows[3].b"]);
    }
}
