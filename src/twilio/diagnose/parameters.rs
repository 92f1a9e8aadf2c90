//! What Twilio may have signed of the body, if not what it says when it is decoded once.

use super::{
    mistake::MistakeKind as Kind,
    target::{Candidate, Pair, Variant},
};
use crate::twilio::form::Form;
use std::borrow::Cow;

/// The parameters of a form that is small enough to be one; else none.
pub(super) fn pairs_of(encoded: &[u8]) -> Vec<Pair> {
    let form = Form::parse(encoded).unwrap_or_default();
    form.pairs().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

/// The body of a POST, read otherwise. Its order and its way of escaping do not matter: both are undone before signing.
pub(super) fn of_body(body: &[u8], query: Option<&str>) -> Vec<Variant<'static>> {
    let once = pairs_of(body);
    let mut found = Vec::new();
    let mut add = |kind, what: &str, parameters: Vec<Pair>| {
        if parameters != once {
            found.push(Variant::new(kind, what, move |c| c.parameters.clone_from(&parameters)));
        }
    };
    add(Kind::BodyNewline, "the body ends with a line break that Twilio did not sign", pairs_of(body.trim_ascii_end()));
    let plus: Vec<u8> =
        body.iter().flat_map(|b| if *b == b'+' { &b"%2B"[..] } else { std::slice::from_ref(b) }).copied().collect();
    add(Kind::BodyPlus, "Twilio signed a plus sign where the body has a + that means a space", pairs_of(&plus));
    let both = pairs_of(plus.trim_ascii_end());
    add(Kind::BodyPlus, "the body has a + for a plus sign, and a line break at its end", both);
    add(Kind::BodyDecodedTwice, "Twilio signed the value of CallToken percent-encoded", token_encoded(&once));
    add(Kind::BodyDecodedTwice, "Twilio signed values that were decoded twice", twice(&once));
    add(Kind::BodyUndecoded, "the values were signed without being decoded", undecoded(body));
    add(Kind::BodyCharset, "Twilio signed UTF-8, the body is Latin-1", recoded(&once, latin_to_utf8));
    add(Kind::BodyCharset, "the body is Latin-1 that was encoded as UTF-8 twice", recoded(&once, utf8_to_latin));
    for (which, names) in EMPTY {
        let missing = names.iter().filter(|name| !once.iter().any(|(n, _)| n == name.as_bytes()));
        let more = missing.map(|name| (name.as_bytes().to_vec(), Vec::new()));
        let what = format!("Twilio signed parameters without a value that are missing in the body: {which}");
        add(Kind::EmptyLeftOut, &what, once.iter().cloned().chain(more).collect());
    }
    add(Kind::ParametersUnsigned, "Twilio signed the URL only, as for a GET", Vec::new());
    if let Some(query) = query {
        let in_query = pairs_of(query.as_bytes());
        let merged = once.iter().chain(&in_query).cloned().collect();
        add(Kind::QueryInParameters, "the parameters of the query were signed with those of the body", merged);
        let parted = once.iter().filter(|pair| !in_query.contains(pair)).cloned().collect();
        add(Kind::QueryInParameters, "the body repeats the parameters of the query, which Twilio signed once", parted);
    }
    found.extend(trimmed(&once));
    found
}

/// A GET that Twilio sent as a POST: the query is, wholly or from Twilio's first parameter on, the body.
pub(super) fn of_query(query: &str) -> Vec<Variant<'static>> {
    let is_twilios = |pair: &&str| pair.starts_with(|c: char| c.is_ascii_uppercase());
    let (theirs, ours): (Vec<&str>, Vec<&str>) = query.split('&').partition(is_twilios);
    let what = "Twilio signed a POST, and its parameters stand in the query";
    let mut found = Vec::new();
    for (rest, body) in [(ours.join("&"), theirs.join("&")), (query.to_owned(), query.to_owned())] {
        let parameters = pairs_of(body.as_bytes());
        let rest = Some(rest).filter(|rest| !rest.is_empty());
        let apply = move |c: &mut Candidate| {
            c.query.clone_from(&rest);
            c.parameters.clone_from(&parameters);
        };
        found.push(Variant::new(Kind::ParametersInQuery, what, apply));
    }
    found
}

/// Each value with a space before or behind it: what trimming would have taken away.
fn trimmed(once: &[Pair]) -> Vec<Variant<'static>> {
    let spaced = |at: usize, before: bool| {
        let mut parameters = once.to_vec();
        let (name, value) = parameters.get_mut(at)?;
        value.insert(if before { 0 } else { value.len() }, b' ');
        let what = format!("Twilio signed a space at the edge of {}", String::from_utf8_lossy(name));
        Some(Variant::new(Kind::ValueTrimmed, what, move |c| c.parameters.clone_from(&parameters)).alone())
    };
    (0..once.len().min(TRIMMED_MAX)).flat_map(|at| [spaced(at, true), spaced(at, false)]).flatten().collect()
}

fn token_encoded(once: &[Pair]) -> Vec<Pair> {
    let pair = |(name, value): &Pair| match name.as_slice() {
        b"CallToken" => (name.clone(), percent_encoding::percent_encode(value, SCRIPT).to_string().into_bytes()),
        _ => (name.clone(), value.clone()),
    };
    once.iter().map(pair).collect()
}

fn twice(once: &[Pair]) -> Vec<Pair> {
    let again = |text: &Vec<u8>| Cow::from(percent_encoding::percent_decode(text)).into_owned();
    once.iter().map(|(name, value)| (name.clone(), again(value))).collect()
}

fn undecoded(body: &[u8]) -> Vec<Pair> {
    let pieces = body.split(|b| *b == b'&').filter(|piece| !piece.is_empty());
    let pair = |piece: &[u8]| {
        let mut halves = piece.splitn(2, |b| *b == b'=');
        (halves.next().unwrap_or_default().to_vec(), halves.next().unwrap_or_default().to_vec())
    };
    // Who sends more parameters than a form may have gets no reading of them.
    if pairs_of(body).is_empty() { Vec::new() } else { pieces.map(pair).collect() }
}

fn recoded(once: &[Pair], code: fn(&[u8]) -> Vec<u8>) -> Vec<Pair> {
    once.iter().map(|(name, value)| (name.clone(), code(value))).collect()
}

/// Every byte is the character with its number.
fn latin_to_utf8(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes()
}

fn utf8_to_latin(text: &[u8]) -> Vec<u8> {
    let latin = std::str::from_utf8(text).ok().and_then(|t| t.chars().map(|c| u8::try_from(c).ok()).collect());
    latin.unwrap_or_else(|| text.to_vec())
}

/// What `encodeURIComponent` escapes.
const SCRIPT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// What Twilio sends although it is empty: the places of numbers it does not know (facts in captures).
const EMPTY: &[(&str, &[&str])] = &[
    (
        "the places of both numbers",
        &[
            "CalledCity",
            "CalledCountry",
            "CalledState",
            "CalledZip",
            "CallerCity",
            "CallerCountry",
            "CallerState",
            "CallerZip",
            "FromCity",
            "FromCountry",
            "FromState",
            "FromZip",
            "ToCity",
            "ToCountry",
            "ToState",
            "ToZip",
        ],
    ),
    (
        "the place of the called number",
        &["CalledCity", "CalledCountry", "CalledState", "CalledZip", "ToCity", "ToCountry", "ToState", "ToZip"],
    ),
    (
        "the place of the caller's number",
        &["CallerCity", "CallerCountry", "CallerState", "CallerZip", "FromCity", "FromCountry", "FromState", "FromZip"],
    ),
    (
        "city, state and zip of both numbers",
        &[
            "CalledCity",
            "CalledState",
            "CalledZip",
            "CallerCity",
            "CallerState",
            "CallerZip",
            "FromCity",
            "FromState",
            "FromZip",
            "ToCity",
            "ToState",
            "ToZip",
        ],
    ),
    (
        "city, state and zip of the called number",
        &["CalledCity", "CalledState", "CalledZip", "ToCity", "ToState", "ToZip"],
    ),
    ("the city of the called number", &["CalledCity", "ToCity"]),
    ("CallerName", &["CallerName"]),
];
/// How many values get a space, one at a time.
const TRIMMED_MAX: usize = 60;
