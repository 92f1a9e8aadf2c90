//! Each likely mistake is made, and named: what Twilio signed on one side, what is verified on the other.

use super::form;
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use onhook::twilio::{
    diagnose::{ATTEMPTS_MAX, Answer, Diagnosis, KnownToken, MistakeKind as Kind, Question, TokenOwner, diagnose},
    door::Method,
    signature::sign,
};
use sha2::{Digest, Sha256};

const URL: &str = "https://calls.example.com/hook/webhooks/twilio/status?lead_id=lead-42&job_id=7";
const BODY: &str = "AccountSid=AC1&CallSid=CA1&CallStatus=ringing&From=%2B14155550100&CallerName=Ann%20Lee&ToCity=";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const PARENT: &str = "parent-token";
const OTHER: &str = "other-token";

/// What is verified. The default is what Twilio signed.
struct Seen<'a> {
    url: &'a str,
    method: Method,
    headers: Vec<(&'a str, &'a str)>,
    body: &'a str,
    public_url: Option<&'a str>,
}

impl Default for Seen<'_> {
    fn default() -> Self {
        Self { url: URL, method: Method::Post, headers: Vec::new(), body: BODY, public_url: None }
    }
}

impl Seen<'_> {
    fn diagnose(&self, signature: &str) -> Diagnosis {
        let tokens = [("its own", TokenOwner::Account, TOKEN), ("the parent's", TokenOwner::Parent, PARENT)];
        let tokens = tokens.into_iter().chain([("another's", TokenOwner::Other, OTHER)]);
        let tokens: Vec<KnownToken<'_>> =
            tokens.map(|(name, owner, secret)| KnownToken { name, owner, secret: secret.as_bytes() }).collect();
        let headers = self.headers.iter().copied().chain([("X-Twilio-Signature", signature)]);
        let headers: Vec<_> = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let Self { url, method, body, public_url, .. } = *self;
        diagnose(&Question { url, method, headers: &headers, body: body.as_bytes(), public_url, tokens: &tokens })
    }
}

fn kinds(diagnosis: &Diagnosis) -> Vec<Kind> {
    diagnosis.mistakes.iter().map(|mistake| mistake.kind).collect()
}

/// Twilio signed `url` and `body` with the account's token; `seen` is verified; exactly `expected` is the reason.
#[track_caller]
fn explains(url: &str, body: Option<&str>, seen: &Seen<'_>, expected: &[Kind]) {
    let diagnosis = seen.diagnose(&sign(TOKEN, url, body.map(form).as_ref()));
    assert_eq!(kinds(&diagnosis), expected, "{diagnosis:#?}");
    assert_eq!(diagnosis.answer, Answer::Explained);
    assert!(diagnosis.attempts <= ATTEMPTS_MAX);
    assert_eq!(diagnosis.token.as_deref(), Some("its own"));
    for mistake in &diagnosis.mistakes {
        assert!(!mistake.what.is_empty() && !mistake.fix.is_empty(), "{mistake:?}");
    }
}

#[test]
fn what_verifies_is_said_to_verify() {
    for url in [URL, &URL.replace(".com/", ".com:443/")] {
        let diagnosis = Seen::default().diagnose(&sign(TOKEN, url, Some(&form(BODY))));
        assert_eq!((diagnosis.answer, diagnosis.signed_url.as_deref()), (Answer::Verified, Some(url)));
    }
    let get = Seen { method: Method::Get, body: "", ..Seen::default() };
    assert_eq!(get.diagnose(&sign(TOKEN, URL, None)).answer, Answer::Verified);
    let path = Seen {
        url: "/webhooks/twilio/status?lead_id=lead-42&job_id=7",
        public_url: Some("https://calls.example.com/hook/"),
        ..Seen::default()
    };
    assert_eq!(path.diagnose(&sign(TOKEN, URL, Some(&form(BODY)))).answer, Answer::Verified);
}

#[test]
fn order_and_escaping_of_the_body_do_not_matter() {
    let body = "ToCity=&CallerName=Ann+Lee&From=%2b14155550100&CallStatus=ringing&%43allSid=CA1&AccountSid=AC1";
    let diagnosis = Seen { body, ..Seen::default() }.diagnose(&sign(TOKEN, URL, Some(&form(BODY))));
    assert_eq!(diagnosis.answer, Answer::Verified);
}

#[test]
fn mistakes_in_scheme_host_and_port() {
    let signed = |url: &str, expected: Kind| explains(url, Some(BODY), &Seen::default(), &[expected]);
    signed(&URL.replace("https", "http"), Kind::Scheme);
    signed(&URL.replace("https", "http").replace(".com", ".com:80"), Kind::Scheme);
    signed(&URL.replace(".com", ".com:8443"), Kind::Port);
    signed(&URL.replace(".com", ".com:80"), Kind::Port);
    signed(&URL.replace("calls.", "www.calls."), Kind::Host);
    let upper = Seen { url: &URL.replace("calls", "Calls"), ..Seen::default() };
    explains(URL, Some(BODY), &upper, &[Kind::HostCase]);
    let www = Seen { url: &URL.replace("calls.", "www.calls."), ..Seen::default() };
    explains(URL, Some(BODY), &www, &[Kind::Host]);
    let fragment = format!("{URL}#rc=5&rp=all");
    explains(&fragment, Some(BODY), &Seen { url: &fragment, ..Seen::default() }, &[Kind::Fragment]);
    let userinfo = URL.replace("calls.", "ann:hush@calls.");
    explains(&userinfo, Some(BODY), &Seen { url: &userinfo, ..Seen::default() }, &[Kind::Userinfo]);
    let overridden = Seen { url: &fragment, ..Seen::default() }.diagnose(&sign(TOKEN, URL, Some(&form(BODY))));
    assert_eq!(overridden.answer, Answer::Verified, "what is not signed is no mistake either");
}

#[test]
fn what_headers_and_the_public_url_say_is_tried() {
    let inner = "http://10.0.0.7:8080/hook/webhooks/twilio/status?lead_id=lead-42&job_id=7";
    let forwarded = |name| Seen { url: inner, headers: vec![(name, "calls.example.com")], ..Seen::default() };
    for name in ["Host", "X-Forwarded-Host", "x-original-host"] {
        explains(URL, Some(BODY), &forwarded(name), &[Kind::Origin]);
    }
    let plain = URL.replace("https", "http").replace(".com", ".com:8080");
    explains(&plain, Some(BODY), &forwarded("Host"), &[Kind::Host]);
    let bare = "http://10.0.0.7:8080/webhooks/twilio/status?lead_id=lead-42&job_id=7";
    let public = Seen { url: bare, public_url: Some("https://calls.example.com/hook"), ..Seen::default() };
    let diagnosis = public.diagnose(&sign(TOKEN, URL, Some(&form(BODY))));
    assert_eq!(diagnosis.answer, Answer::Verified, "the gateway checks its public URL, whatever the proxy asks for");
    explains(bare, Some(BODY), &public, &[Kind::Origin]);
    let port = Seen { headers: vec![("X-Forwarded-Port", "9999")], ..Seen::default() };
    explains(&URL.replace(".com", ".com:9999"), Some(BODY), &port, &[Kind::Port]);
    let rewritten = Seen {
        url: "https://calls.example.com/status",
        headers: vec![("X-Original-URI", "/hook/webhooks/twilio/status?lead_id=lead-42&job_id=7")],
        ..Seen::default()
    };
    explains(URL, Some(BODY), &rewritten, &[Kind::Target]);
}

#[test]
fn mistakes_in_the_path() {
    let signed = |url: &str, expected: Kind| explains(url, Some(BODY), &Seen::default(), &[expected]);
    signed(&URL.replace("/hook", ""), Kind::PathPrefix);
    signed(&URL.replace("/hook/webhooks", ""), Kind::PathPrefix);
    signed(&URL.replace("status", "status/"), Kind::TrailingSlash);
    signed(&URL.replace("/hook", "//hook"), Kind::DoubleSlash);
    let slash = Seen { url: &URL.replace("status", "status/"), ..Seen::default() };
    explains(URL, Some(BODY), &slash, &[Kind::TrailingSlash]);
    let double = Seen { url: &URL.replace("/webhooks", "//webhooks"), ..Seen::default() };
    explains(URL, Some(BODY), &double, &[Kind::DoubleSlash]);
    let stripped = Seen {
        url: &URL.replace("/hook", ""),
        headers: vec![("X-Forwarded-Host", "calls.example.com"), ("X-Forwarded-Prefix", "/hook")],
        ..Seen::default()
    };
    explains(URL, Some(BODY), &stripped, &[Kind::PathPrefix]);
}

#[test]
fn mistakes_in_the_query() {
    let base = "https://calls.example.com/status?";
    let cases = [
        ("name=Ann%20Lee", "name=Ann+Lee", Kind::QueryEncoding),
        ("name=Ann+Lee", "name=Ann%20Lee", Kind::QueryEncoding),
        ("to=%2b1", "to=%2B1", Kind::QueryEncoding),
        ("to=%2B1", "to=%2b1", Kind::QueryEncoding),
        ("to=%2B1", "to=+1", Kind::QueryEncoding),
        ("to=+1&a='b'", "to=%2B1&a=%27b%27", Kind::QueryEncoding),
        ("a=x:y", "a=x%3Ay", Kind::QueryEncoding),
        ("a=x%3Ay", "a=x:y", Kind::QueryEncoding),
        ("a=", "a", Kind::QueryEncoding),
        ("b=2&a=1", "a=1&b=2", Kind::QueryOrder),
        ("c=3&a=1&b=2&d=4", "a=1&b=2&c=3&d=4", Kind::QueryOrder),
        ("a=1", "a=1&utm_source=x", Kind::QueryAdded),
        ("a=1&b=2", "a=1&x=9&b=2", Kind::QueryAdded),
    ];
    for (signed, seen, expected) in cases {
        let url = format!("{base}{seen}");
        explains(&format!("{base}{signed}"), Some(BODY), &Seen { url: &url, ..Seen::default() }, &[expected]);
    }
    explains(
        "https://calls.example.com/hook/webhooks/twilio/status",
        Some(BODY),
        &Seen::default(),
        &[Kind::QueryAdded],
    );
    let none = Seen { url: "https://calls.example.com/status", ..Seen::default() };
    explains(base, Some(BODY), &none, &[Kind::QueryAdded]);
    // A framework sorted what Twilio had appended to the configured query.
    let sorted = format!("{base}AccountSid=AC1&CallSid=CA1&From=x&To=y&lead_id=42");
    let get = Seen { url: &sorted, method: Method::Get, body: "", ..Seen::default() };
    explains(&format!("{base}lead_id=42&AccountSid=AC1&CallSid=CA1&From=x&To=y"), None, &get, &[Kind::QueryOrder]);
}

#[test]
fn mistakes_in_the_body() {
    let seen = |body: &str, expected: &[Kind]| explains(URL, Some(BODY), &Seen { body, ..Seen::default() }, expected);
    seen(&format!("{BODY}\n"), &[Kind::BodyNewline]);
    seen(&format!("{BODY}\r\n"), &[Kind::BodyNewline]);
    seen(&BODY.replace("%2B", "+").replace("%20", " "), &[Kind::BodyPlus]);
    seen(&(BODY.replace("%2B", "+") + "\n"), &[Kind::BodyPlus]);
    let signed = |body: &str, seen: &str, expected: Kind| {
        explains(URL, Some(body), &Seen { body: seen, ..Seen::default() }, &[expected]);
    };
    signed(
        "AccountSid=AC1&CallToken=%257B%2522a%2522%253A1%257D",
        "AccountSid=AC1&CallToken=%7B%22a%22%3A1%7D",
        Kind::BodyDecodedTwice,
    );
    signed("a=%41%20b", "a=%2541%2520b", Kind::BodyDecodedTwice);
    signed("a=%2541%2520b", "a=%41%20b", Kind::BodyUndecoded);
    signed("city=S%C3%A3o", "city=S%E3o", Kind::BodyCharset);
    signed("city=S%C3%A3o", "city=S%C3%83%C2%A3o", Kind::BodyCharset);
    signed("a=1&ToCity=&CalledCity=", "a=1", Kind::EmptyLeftOut);
    signed("a=1&CallerName=", "a=1", Kind::EmptyLeftOut);
    signed("a=1&name=%20Ann", "a=1&name=Ann", Kind::ValueTrimmed);
    signed("a=1&name=Ann%20", "a=1&name=Ann", Kind::ValueTrimmed);
    explains(URL, None, &Seen::default(), &[Kind::ParametersUnsigned]);
    signed(&format!("{BODY}&lead_id=lead-42&job_id=7"), BODY, Kind::QueryInParameters);
    signed(BODY, &format!("{BODY}&lead_id=lead-42&job_id=7"), Kind::QueryInParameters);
}

#[test]
fn a_post_that_became_a_get() {
    let merged = format!("{URL}&{BODY}");
    let get = Seen { url: &merged, method: Method::Get, body: "", ..Seen::default() };
    explains(URL, Some(BODY), &get, &[Kind::ParametersInQuery]);
    let emptied = Seen { method: Method::Get, body: "", ..Seen::default() };
    let diagnosis = emptied.diagnose(&sign(TOKEN, URL, Some(&form(BODY))));
    assert_eq!(diagnosis.answer, Answer::Unexplained);
    assert!(diagnosis.hints.iter().any(|hint| hint.contains("redirect")), "{diagnosis:#?}");
}

#[test]
fn json_is_proved_by_its_hash() {
    let json = r#"{"a": 1}"#;
    let url = format!("{URL}&bodySHA256={}", hex::encode(Sha256::digest(json)));
    let signature = sign(TOKEN, &url, None);
    let seen = |url: &str, body: &str| {
        let headers = vec![("content-type", "application/json")];
        let diagnosis = Seen { url, body, headers, ..Seen::default() }.diagnose(&signature);
        (diagnosis.answer, kinds(&diagnosis))
    };
    assert_eq!(seen(&url, json), (Answer::Verified, vec![]));
    assert_eq!(seen(&url, r#"{"a":1}"#), (Answer::Explained, vec![Kind::BodyHashWrong]));
    assert_eq!(seen(&url, &format!("{json}\n")), (Answer::Explained, vec![Kind::BodyNewline]));
    let lost = seen(URL, json);
    assert_eq!(lost.0, Answer::Explained);
    assert_eq!(lost.1.first(), Some(&Kind::BodyHashMissing));
    // Without the header the text speaks for itself.
    let undeclared = Seen { url: &url, body: json, ..Seen::default() }.diagnose(&signature);
    assert_eq!(undeclared.answer, Answer::Verified);
    let unproved = Seen { body: json, ..Seen::default() }.diagnose(&sign(TOKEN, URL, None));
    assert_eq!(kinds(&unproved), [Kind::BodyHashMissing]);
}

#[test]
fn another_token_is_named_and_never_shown() {
    for (token, name, kind) in [(PARENT, "the parent's", Kind::ParentToken), (OTHER, "another's", Kind::OtherToken)] {
        let diagnosis = Seen::default().diagnose(&sign(token, URL, Some(&form(BODY))));
        assert_eq!((kinds(&diagnosis), diagnosis.token.as_deref()), (vec![kind], Some(name)));
        assert!(!format!("{diagnosis:?}").contains(token));
        // Together with another mistake.
        let http = URL.replace("https", "http");
        let both = Seen::default().diagnose(&sign(token, &http, Some(&form(BODY))));
        assert_eq!(kinds(&both), [Kind::Scheme, kind]);
    }
}

#[test]
fn two_mistakes_at_once() {
    let seen = |url: &str, expected: &[Kind]| explains(url, Some(BODY), &Seen::default(), expected);
    seen(&URL.replace("https", "http").replace("status", "status/"), &[Kind::Scheme, Kind::TrailingSlash]);
    seen(&URL.replace("https", "http").replace("/hook", ""), &[Kind::Scheme, Kind::PathPrefix]);
    let newline = Seen { body: &format!("{BODY}\n"), ..Seen::default() };
    explains(&URL.replace("https", "http"), Some(BODY), &newline, &[Kind::Scheme, Kind::BodyNewline]);
}

#[test]
fn a_shared_key_is_recognised() {
    let mut mac = Hmac::<Sha256>::new_from_slice(TOKEN.as_bytes()).unwrap();
    mac.update(URL.as_bytes());
    for (name, value) in ["AccountSid=AC1", "CallSid=CA1"].iter().map(|pair| pair.split_once('=').unwrap()) {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let body = "CallSid=CA1&AccountSid=AC1";
    assert_eq!(kinds(&Seen { body, ..Seen::default() }.diagnose(&signature)), [Kind::SharedKey]);

    let settings = vec![("X-Twilio-Webhooks-Signature-Settings", "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256")];
    let unknown = Seen { headers: settings, ..Seen::default() }.diagnose(&signature);
    assert_eq!(unknown.answer, Answer::Unexplained);
    assert!(unknown.hints.iter().any(|hint| hint.contains("shared key")), "{unknown:#?}");
}

/// The vector that was computed with Twilio's SDK for Python.
#[test]
fn hmac_sha256_is_that_of_the_sdk() {
    let tokens = [KnownToken { name: "t", owner: TokenOwner::Account, secret: b"12345" }];
    let body = "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212";
    let headers = [("X-Twilio-Signature".to_owned(), "033hgUJA9M/hXIZsYjwkerEP/DBm35nEri5FhCYjA5s=".to_owned())];
    let diagnosis = diagnose(&Question {
        url: "https://mycompany.com/myapp.php?foo=1&bar=2",
        method: Method::Post,
        headers: &headers,
        body: body.as_bytes(),
        public_url: None,
        tokens: &tokens,
    });
    assert_eq!(kinds(&diagnosis), [Kind::SharedKey]);
}

#[test]
fn a_signature_that_was_changed_on_its_way() {
    // One with a plus sign, found by counting.
    let (body, signature) = (0..1_000)
        .map(|n| format!("{BODY}&n={n}"))
        .map(|body| (body.clone(), sign(TOKEN, URL, Some(&form(&body)))))
        .find(|(_, signature)| signature[1..].contains('+') && signature.contains('/'))
        .unwrap();
    let seen = Seen { body: &body, ..Seen::default() };
    let altered = [
        signature.replace('+', " "),
        signature.trim_end_matches('=').to_owned(),
        format!("\"{signature}\""),
        signature.replace('+', "%2B").replace('=', "%3D"),
        signature.replace('+', "-").replace('/', "_"),
    ];
    for text in altered {
        assert_eq!(kinds(&seen.diagnose(&text)), [Kind::SignatureAltered], "{text}");
    }
}

#[test]
fn what_cannot_be_answered_says_why() {
    let answer = |signature: &str| Seen::default().diagnose(signature).answer;
    assert_eq!(answer(""), Answer::Unsigned);
    assert_eq!(answer("AAAA"), Answer::Malformed);
    assert_eq!(answer("not base64!"), Answer::Malformed);
    assert_eq!(answer(&"A".repeat(100_000)), Answer::Malformed);
    let good = sign(TOKEN, URL, Some(&form(BODY)));
    for url in ["", "ftp://x/y", "calls.example.com/x", "/only/a/path", "https://"] {
        assert_eq!(Seen { url, ..Seen::default() }.diagnose(&good).answer, Answer::UnreadableUrl, "{url}");
    }
    let headers = [("x-twilio-signature".to_owned(), good)];
    let empty = [KnownToken { name: "none", owner: TokenOwner::Account, secret: b"" }];
    let question =
        Question { url: URL, method: Method::Post, headers: &headers, body: b"", public_url: None, tokens: &empty };
    assert_eq!(diagnose(&question).answer, Answer::NoToken);
}

/// The work is bounded whatever comes: many parameters, a long query, no mistake that explains it.
#[test]
fn the_number_of_attempts_is_limited() {
    let query = (0..900).map(|n| format!("p{n}=%41+b")).collect::<Vec<_>>().join("&");
    let url = format!("https://CALLS.example.com:81//a/b/c/d/e/f?{query}");
    let body = (0..900).map(|n| format!("Name{n}=a+b")).collect::<Vec<_>>().join("&");
    let headers =
        vec![("host", "a:1"), ("x-forwarded-host", "b:2"), ("x-original-uri", "/x?y"), ("x-forwarded-port", "7")];
    let seen = Seen { url: &url, body: &body, headers, public_url: Some("http://p.example:9/q"), ..Seen::default() };
    let diagnosis = seen.diagnose(&sign("nobody's", URL, None));
    assert_eq!(diagnosis.answer, Answer::Unexplained);
    assert!(diagnosis.attempts > 1_000 && diagnosis.attempts <= ATTEMPTS_MAX, "{}", diagnosis.attempts);
    assert!(diagnosis.hints.iter().any(|hint| hint.contains("primary auth token")), "{:#?}", diagnosis.hints);
}

/// Nor is a large body hashed thousands of times.
#[test]
fn the_work_on_a_large_body_is_limited() {
    let body = format!("a=1&Payload={}", "x".repeat(250_000));
    let diagnosis = Seen { body: &body, ..Seen::default() }.diagnose(&sign("nobody's", URL, None));
    assert_eq!(diagnosis.answer, Answer::Unexplained);
    assert!((100..700).contains(&diagnosis.attempts), "{}", diagnosis.attempts);
}
