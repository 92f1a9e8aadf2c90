//! Signatures: the vectors of the official SDKs, the spellings of a URL, and everything that must be refused.

use super::form;
use onhook::twilio::{
    form::Form,
    signature::{BodyHash, Origins, Request, Verdict, body_sha256, sign},
};
use proptest::prelude::*;
use url::Url;

const TOKEN: &str = "12345";
const P: &str = "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212";
const TARGET: &str = "/myapp.php?foo=1&bar=2";

fn verify(origins: &Origins, path_and_query: &str, form: Option<&Form>, signature: &str) -> Verdict {
    Request { origins, path_and_query, form }.verify([TOKEN], Some(signature))
}

fn public(url: &str) -> Origins {
    Origins::of_public_url(&Url::parse(url).unwrap())
}

/// The vectors that Twilio's SDKs test themselves with: the URL that is signed, its parameters, the signature.
#[test]
fn official_vectors() {
    let https = "https://mycompany.com/myapp.php?foo=1&bar=2";
    let conference = format!("{P}&ReasonConferenceEnded=test&Reason=Participant");
    let body_hash = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    let vectors = [
        (https, Some(P), "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        ("https://mycompany.com:443/myapp.php?foo=1&bar=2", Some(P), "kvajT1Ptam85bY51eRf/AJRuM3w="),
        ("http://mycompany.com:80/myapp.php?foo=1&bar=2", Some(P), "0ZXoZLH/DfblKGATFgpif+LLRf4="),
        ("http://mycompany.com:1234/myapp.php?foo=1&bar=2", Some(P), "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
        (https, Some("Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234"), "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
        (&format!("{https}&bodySHA256={body_hash}"), None, "a9nBmqA0ju/hNViExpshrM61xv4="),
        (https, Some(&conference), "vOEb5UThFn24KEfnOFLQY2AE5FY="),
        (https, None, "zYQTYrRWXE7LtzbG4PfP7/bkkGo="),
        ("https://mycompany.com/myapp.php?foo=hello%20world&bar=test%2Bvalue", Some(P), "er2tvAP1Wx+iuTTE2BPgvEaN1cs="),
        (https, Some("Digits=&CallSid=CA1234567890ABCDE&EmptyParam="), "9HHp/OqQMEwdrVebHDdA/+tqjX8="),
        ("http://MyCompany.com/myapp.php?foo=1&bar=2", Some(P), "XY7AlKOKL6im4yWyX84gldUrtis="),
    ];
    for (url, parameters, signature) in vectors {
        let form = parameters.map(form);
        assert_eq!(sign(TOKEN, url, form.as_ref()), signature, "{url} {parameters:?}");
        let (_, rest) = url.split_once("://").unwrap();
        let (host, target) = rest.split_at(rest.find('/').unwrap());
        let verdict = verify(&Origins::of_host_header(host), target, form.as_ref(), signature);
        assert_eq!(verdict, Verdict::Verified, "{url} {parameters:?}");
    }
    // HTTPS drops the port when it signs: accepted although it was received with one.
    let received = Origins::of_host_header("mycompany.com:1234");
    assert_eq!(verify(&received, TARGET, Some(&form(P)), "RSOYDt4T1cUTdK1PDd93/VVr8B8="), Verdict::Verified);
    // Signed as if name and value were one word to sort by.
    let verdict =
        verify(&public("https://mycompany.com"), TARGET, Some(&form(&conference)), "95+Bu0JVPi0r/SsESZCVf0dWAjw=");
    assert_eq!(verdict, Verdict::Mismatch);
}

#[test]
fn every_spelling_of_the_public_url_is_tried() {
    let spellings = |url| public(url).iter().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(spellings("https://hook.example"), ["https://hook.example", "https://hook.example:443"]);
    assert_eq!(
        spellings("https://hook.example:8443"),
        ["https://hook.example", "https://hook.example:8443", "https://hook.example:443"]
    );
    assert_eq!(
        spellings("http://hook.example:8080/"),
        ["http://hook.example", "http://hook.example:8080", "http://hook.example:80"]
    );
    assert_eq!(
        spellings("https://user:pass@hook.example/calls/in/"),
        ["https://hook.example/calls/in", "https://hook.example:443/calls/in"]
    );
    assert_eq!(spellings("https://[2001:db8::1]:8443").last().unwrap(), "https://[2001:db8::1]:443");
}

#[test]
fn every_meaning_of_the_host_header_is_tried() {
    let spellings = |host| Origins::of_host_header(host).iter().map(str::to_owned).collect::<Vec<_>>();
    let plain = ["https://a.example", "https://a.example:443", "http://a.example", "http://a.example:80"];
    assert_eq!(spellings("a.example"), plain);
    assert_eq!(
        spellings("a.example:8080"),
        [
            "https://a.example",
            "https://a.example:8080",
            "https://a.example:443",
            "http://a.example",
            "http://a.example:8080",
            "http://a.example:80"
        ]
    );
    assert_eq!(spellings("a.example:443").len(), 5);
    assert_eq!(spellings("[2001:db8::1]").first().unwrap(), "https://[2001:db8::1]");
    assert_eq!(spellings("[2001:db8::1]:81").get(1).unwrap(), "https://[2001:db8::1]:81");
    for host in ["", "a/b", "a?b", "a b", "user@a", "a\n", "ä.example", &"a".repeat(300)] {
        assert_eq!(Origins::of_host_header(host), Origins::default(), "{host:?}");
    }
}

#[test]
fn the_prefix_of_the_public_url_is_signed_and_the_query_is_left_alone() {
    let origins = public("https://hook.example/prefix/");
    let form = form(P);
    for query in ["?b=2&a=1", "?a=%7e%27'&b=+", "?", "", "?a=1&a=1"] {
        let signature = sign(TOKEN, &format!("https://hook.example/prefix/x{query}"), Some(&form));
        assert_eq!(verify(&origins, &format!("/x{query}"), Some(&form), &signature), Verdict::Verified, "{query}");
    }
    let signature = sign(TOKEN, "https://hook.example/prefix/x?a=1&b=2", Some(&form));
    assert_eq!(verify(&origins, "/x?b=2&a=1", Some(&form), &signature), Verdict::Mismatch, "re-sorted");
    assert_eq!(verify(&origins, "/x?a=1&b=%32", Some(&form), &signature), Verdict::Mismatch, "re-encoded");
}

/// The body of the SDKs' vector whose hash is in the signed URL.
#[test]
fn a_body_that_is_no_form_is_the_one_whose_hash_was_signed() {
    let hash = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    let body = br#"{"property": "value", "boolean": true}"#;
    let of = |query: &str, body: &[u8]| body_sha256(query, body).unwrap();
    assert_eq!(of(&format!("foo=1&bar=2&bodySHA256={hash}"), body), BodyHash::Same);
    assert_eq!(of(&format!("bodySHA256={hash}"), br#"{"property":"value","boolean":true}"#), BodyHash::Different);
    assert_eq!(of(&format!("bodySHA256={hash}&bodySHA256=0"), body), BodyHash::Same, "the first one counts");
    assert_eq!(of(&format!("bodysha256={hash}"), body), BodyHash::Missing);
    assert_eq!(of("", body), BodyHash::Missing);
    for hash in ["", "0a1ff7", "not hexadecimal", &format!("{hash}00")] {
        assert_eq!(of(&format!("bodySHA256={hash}"), body), BodyHash::Different, "{hash}");
    }
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(of(&format!("bodySHA256={empty}"), b""), BodyHash::Same);
}

#[test]
fn no_signature_and_none_that_could_be_one() {
    let origins = public("https://mycompany.com");
    let signed = Request { origins: &origins, path_and_query: TARGET, form: None };
    assert_eq!(signed.verify([TOKEN], None), Verdict::Missing);
    let sha256 = "033hgUJA9M/hXIZsYjwkerEP/DBm35nEri5FhCYjA5s=";
    let long = "A".repeat(10_000);
    for malformed in
        ["", "not base64!", "RSOYDt4T1cUTdK1PDd93/VVr8B8", "AAAA", sha256, &long, "ÄÖÜ", "RSOYDt4T1cUTdK1PDd93/VVr8B9="]
    {
        assert_eq!(signed.verify([TOKEN], Some(malformed)), Verdict::Malformed, "{malformed}");
    }
}

#[test]
fn any_of_several_tokens_verifies_but_never_an_empty_one() {
    let origins = public("https://mycompany.com");
    let signed = Request { origins: &origins, path_and_query: "/x", form: None };
    let by = |token: &str| sign(token, "https://mycompany.com/x", None);
    assert_eq!(signed.verify(["old", "new"], Some(&by("new"))), Verdict::Verified);
    assert_eq!(signed.verify(["old", "new"], Some(&by("old"))), Verdict::Verified);
    assert_eq!(signed.verify(["old"], Some(&by("new"))), Verdict::Mismatch);
    assert_eq!(signed.verify(["", "old"], Some(&by(""))), Verdict::Mismatch);
    assert_eq!(signed.verify([] as [&str; 0], Some(&by("old"))), Verdict::Mismatch);
    let longer_than_a_block = "k".repeat(100);
    assert_eq!(signed.verify([&longer_than_a_block], Some(&by(&longer_than_a_block))), Verdict::Verified);
}

proptest! {
    /// What is signed verifies; with one byte of the body, the URL, the token or the signature changed it does not.
    #[test]
    fn one_byte_decides(
        parameters in prop::collection::vec(("[A-Za-z]{1,8}", any::<Vec<u8>>()), 1..12),
        target in "/[a-z]{1,10}(\\?[a-z0-9=&%]{0,20})?",
        token in "[a-f0-9]{32}",
        at in any::<prop::sample::Index>(),
    ) {
        let encode = |parameters: &[(String, Vec<u8>)]| {
            let escaped = |bytes: &[u8]| bytes.iter().map(|b| format!("%{b:02X}")).collect::<String>();
            parameters.iter().map(|(n, v)| format!("{n}={}", escaped(v))).collect::<Vec<_>>().join("&")
        };
        let origins = public("https://hook.example");
        let body = form(&encode(&parameters));
        let signature = sign(&token, &format!("https://hook.example{target}"), Some(&body));
        let verdict = |target: &str, body: &Form, token: &str, signature: &str| {
            Request { origins: &origins, path_and_query: target, form: Some(body) }.verify([token], Some(signature))
        };
        prop_assert_eq!(verdict(&target, &body, &token, &signature), Verdict::Verified);

        let mut changed = parameters.clone();
        changed[at.index(parameters.len())].1.push(b'!');
        prop_assert_eq!(verdict(&target, &form(&encode(&changed)), &token, &signature), Verdict::Mismatch);
        prop_assert_eq!(verdict(&format!("{target}!"), &body, &token, &signature), Verdict::Mismatch);
        prop_assert_eq!(verdict(&target, &body, &format!("{token}0"), &signature), Verdict::Mismatch);
        let mut flipped = signature.clone().into_bytes();
        let byte = &mut flipped[at.index(26)];
        *byte = if *byte == b'A' { b'B' } else { b'A' };
        let flipped = String::from_utf8(flipped).unwrap();
        prop_assert_eq!(verdict(&target, &body, &token, &flipped), Verdict::Mismatch);
    }
}
