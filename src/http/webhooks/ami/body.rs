//! What a site pushes: one event or several, as JSON or as a form. All of it is taken, or none.

use crate::{ami::Message, fields::Wrong};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;
use std::fmt;

/// What was pushed, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pushed {
    /// The PBX that the events themselves name.
    pub(super) pbx: Option<String>,
    /// At least one, in the order in which they were sent.
    pub(super) events: Vec<Message>,
}

/// Why nothing was taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It is not JSON.
    NotJson(String),
    /// It has more events than a push may have.
    TooMany(usize),
    /// Fields are wrong; each names the event by its index.
    Wrong(Vec<Wrong>),
}

/// Reads one JSON object, or a list of them.
pub(super) fn of_json(body: &[u8]) -> Result<Pushed, BodyError> {
    let not_json = |error: serde_json::Error| BodyError::NotJson(format!("the body is not one JSON value: {error}"));
    let one = !body.trim_ascii_start().starts_with(b"[");
    let objects: Vec<Element> = match one {
        true => vec![serde_json::from_slice(body).map_err(not_json)?],
        false => serde_json::from_slice(body).map_err(not_json)?,
    };
    let objects = objects.into_iter().enumerate().map(|(n, object)| {
        let path = if one { String::new() } else { format!("[{n}].") };
        match object {
            Element::Object(pairs) => Ok((path, pairs.0)),
            Element::Other(_) => {
                let at = if one { "body" } else { path.trim_end_matches('.') };
                Err(Wrong::new(at, "is not a JSON object with the headers of one event"))
            }
        }
    });
    collect(objects.collect())
}

/// Reads a form: one event.
pub(super) fn of_form(body: &[u8]) -> Result<Pushed, BodyError> {
    let pairs = url::form_urlencoded::parse(body);
    let pairs = pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())));
    collect(vec![Ok((String::new(), pairs.collect()))])
}

/// The headers of one event with the path to it.
type Object = (String, Vec<(String, Value)>);

fn collect(objects: Vec<Result<Object, Wrong>>) -> Result<Pushed, BodyError> {
    if objects.len() > EVENTS_MAX {
        return Err(BodyError::TooMany(objects.len()));
    }
    let (mut wrongs, mut events, mut pbx) = (Vec::new(), Vec::new(), None::<String>);
    for object in objects {
        match object.and_then(|(path, pairs)| event(&path, pairs, &mut pbx)) {
            Ok(message) => events.push(message),
            Err(wrong) => wrongs.push(wrong),
        }
        if wrongs.len() >= WRONGS_SHOWN_MAX {
            break;
        }
    }
    if events.is_empty() && wrongs.is_empty() {
        wrongs.push(Wrong::new("body", "has no event"));
    }
    if wrongs.is_empty() { Ok(Pushed { pbx, events }) } else { Err(BodyError::Wrong(wrongs)) }
}

fn event(path: &str, pairs: Vec<(String, Value)>, pbx: &mut Option<String>) -> Result<Message, Wrong> {
    let mut headers = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        let field = format!("{path}{}", shown(&name));
        let values = match value {
            Value::Array(values) => values,
            value => vec![value],
        };
        let values = values.iter().filter(|value| !value.is_null()).map(|value| text(&field, &name, value));
        let values: Vec<String> = values.collect::<Result<_, _>>()?;
        if name.eq_ignore_ascii_case("pbx") {
            for value in values {
                if pbx.get_or_insert_with(|| value.clone()) != &value {
                    return Err(Wrong::new(
                        field,
                        "is another PBX than that of an event before; push for one at a time",
                    ));
                }
            }
            continue;
        }
        let plain = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !plain {
            let allowed =
                format!("is not the name of a header: 1 to {NAME_BYTES_MAX} visible ASCII characters, no colon");
            return Err(Wrong::new(field, allowed));
        }
        headers.extend(values.into_iter().map(|value| (name.clone(), value)));
        if headers.len() > HEADERS_MAX {
            let at = if path.is_empty() { "body" } else { path.trim_end_matches('.') };
            return Err(Wrong::new(at, format!("has more than {HEADERS_MAX} headers")));
        }
    }
    let message = Message::new(headers);
    match message.event() {
        Some(name) if !name.is_empty() => Ok(message),
        _ => Err(Wrong::new(format!("{path}Event"), "is missing: it names the event, such as Newchannel")),
    }
}

/// The value of a header as Asterisk writes it.
fn text(field: &str, name: &str, value: &Value) -> Result<String, Wrong> {
    let text = match value {
        Value::String(text) => text.clone(),
        // 1700000000.10 and 1700000000.1 are two calls, and one number.
        Value::Number(number) if number.is_f64() && !name.eq_ignore_ascii_case("Timestamp") => {
            return Err(Wrong::new(field, "is a number with a fraction: write it as text, or its last zeros are lost"));
        }
        Value::Number(number) => number.to_string(),
        _ => return Err(Wrong::new(field, "is neither a text, nor a number, nor a list of these")),
    };
    if text.len() > VALUE_BYTES_MAX {
        return Err(Wrong::new(field, format!("has {} bytes; at most {VALUE_BYTES_MAX} are allowed", text.len())));
    }
    if text.contains(['\r', '\n', '\0']) {
        return Err(Wrong::new(field, "holds a line break or NUL, which no header of Asterisk does"));
    }
    Ok(text)
}

/// A name for a message: not endless, without control characters.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_SHOWN_MAX).collect()
}

/// What stands where an event should.
enum Element {
    Object(Pairs),
    Other(()),
}

/// The pairs of a JSON object, those of the same name too: Asterisk repeats headers.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnElement)
    }
}

struct AnElement;

/// Everything that is no object is skipped and remembered as that.
macro_rules! no_object {
    ($($visit:ident: $type:ty),+) => {
        $(fn $visit<E: serde::de::Error>(self, _: $type) -> Result<Element, E> { Ok(Element::Other(())) })+
    };
}

impl<'de> Visitor<'de> for AnElement {
    type Value = Element;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Element, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry::<String, Value>()? {
            pairs.push(pair);
        }
        Ok(Element::Object(Pairs(pairs)))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Element, A::Error> {
        while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
        Ok(Element::Other(()))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Element, E> {
        Ok(Element::Other(()))
    }

    no_object!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
}

/// The most events of one push.
pub(super) const EVENTS_MAX: usize = 1_000;
/// Events of Asterisk have some thirty, and one for each variable of `channelvars`.
const HEADERS_MAX: usize = 256;
const NAME_BYTES_MAX: usize = 128;
const VALUE_BYTES_MAX: usize = 16 * 1024;
const WRONGS_SHOWN_MAX: usize = 20;
const NAME_CHARS_SHOWN_MAX: usize = 60;

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
