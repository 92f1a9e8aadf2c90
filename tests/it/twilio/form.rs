//! Forms: decoded once, to bytes, with nothing lost.

use super::form;
use onhook::twilio::form::{FORM_PARAMETERS_MAX, Form, FormError};
use proptest::prelude::*;

fn decoded(encoded: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    Form::parse(encoded).unwrap().pairs().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

fn pair(name: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (name.to_vec(), value.to_vec())
}

#[test]
fn plus_and_escapes_are_undone_once() {
    assert_eq!(decoded(b"a+b=c+d%20e%2Bf"), [pair(b"a b", b"c d e+f")]);
    // CallToken is JSON that was percent-encoded before it became a form value: it keeps its inner escapes.
    assert_eq!(decoded(b"CallToken=%257B%2522a%2522%257D"), [pair(b"CallToken", b"%7B%22a%22%7D")]);
    assert_eq!(decoded(b"k=%c3%A9"), [pair(b"k", "é".as_bytes())]);
}

#[test]
fn stray_percent_signs_are_themselves() {
    for text in ["100%", "%", "%%", "%zz", "%4", "%4g", "%+1", "50%25%"] {
        let expected = text.replace("%25", "%").replace('+', " ");
        assert_eq!(decoded(format!("v={text}").as_bytes()), [pair(b"v", expected.as_bytes())], "{text}");
    }
}

#[test]
fn order_repetition_and_emptiness_are_kept() {
    assert_eq!(decoded(b"b=2&a=1&b=1&b=2"), [pair(b"b", b"2"), pair(b"a", b"1"), pair(b"b", b"1"), pair(b"b", b"2")]);
    assert_eq!(decoded(b"a=&b&=c&&a=b=c"), [pair(b"a", b""), pair(b"b", b""), pair(b"", b"c"), pair(b"a", b"b=c")]);
    assert!(form("").is_empty() && form("&&").is_empty() && !form("a").is_empty());
    assert_eq!(form("a=1&a=2").first("a").as_deref(), Some("1"));
    assert_eq!(form("a=1").first("A"), None, "names are case sensitive");
}

#[test]
fn what_is_not_text_is_kept_as_bytes_and_shown_as_replacement() {
    let encoded = b"v=a%FFb%00c\xfe";
    assert_eq!(decoded(encoded), [pair(b"v", b"a\xffb\0c\xfe")]);
    let form = Form::parse(encoded).unwrap();
    assert_eq!(form.first("v").as_deref(), Some("a\u{fffd}b\u{fffd}c\u{fffd}"));
}

#[test]
fn the_number_of_parameters_is_limited() {
    let of = |n: usize| vec!["a=1"; n].join("&");
    assert!(Form::parse(of(FORM_PARAMETERS_MAX).as_bytes()).is_ok());
    let error = Form::parse(of(10_000).as_bytes()).unwrap_err();
    assert_eq!(error, FormError::TooManyParameters { seen: 10_000, limit: 1_000 });
    assert_eq!(error.to_string(), "read the form: it has 10000 parameters, 1000 are allowed");
    // Empty pieces are no parameters.
    assert!(Form::parse("&".repeat(10_000).as_bytes()).is_ok());
}

#[test]
fn debug_shows_no_values() {
    assert_eq!(format!("{:?}", form("From=%2B14155550100&To=x")), "Form(2 parameters)");
}

proptest! {
    /// WHATWG's parser, as the `url` crate has it, reads the same text out of the same bytes.
    #[test]
    fn reads_what_whatwg_reads(bytes in prop::collection::vec(prop_oneof![
        3 => any::<u8>(),
        3 => prop::sample::select(b"%&=+".to_vec()),
        4 => prop::sample::select(b"0123456789abcdefABCDEFxyz".to_vec()),
    ], 0..200)) {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ours: Vec<_> = decoded(&bytes).iter().map(|(name, value)| (lossy(name), lossy(value))).collect();
        let theirs: Vec<_> = url::form_urlencoded::parse(&bytes).into_owned().collect();
        prop_assert_eq!(ours, theirs);
    }

    /// Unlike theirs, no byte is lost.
    #[test]
    fn any_bytes_survive(pairs in prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..20)) {
        let escaped = |bytes: &[u8]| bytes.iter().map(|b| format!("%{b:02x}")).collect::<String>();
        let encoded: Vec<_> = pairs.iter().map(|(n, v)| format!("{}={}", escaped(n), escaped(v))).collect();
        prop_assert_eq!(decoded(encoded.join("&").as_bytes()), pairs);
    }
}
