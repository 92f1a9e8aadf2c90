//! `verify` explains what was received, with the tokens it finds, and shows none of them.

use super::Shell;
use crate::support::{
    database::{TestDatabase, on_both},
    gateway::{ACCOUNT, PUBLIC_URL, TOKEN},
};
use onhook::twilio::{form::Form, signature::sign};
use sha2::{Digest, Sha256};

const SUB: &str = "AC00000000000000000000000000000002";
const STATUS: &str = "/webhooks/twilio/status?lead_id=lead-42";

fn body(account: &str) -> String {
    format!("AccountSid={account}&CallSid=CA1&CallStatus=ringing&From=%2B14155550100")
}

fn signed(token: &str, url: &str, body: &str) -> String {
    sign(token, url, Some(&Form::parse(body.as_bytes()).unwrap()))
}

#[test]
fn from_the_configuration_alone() {
    let shell = Shell::new()
        .with("TWILIO_ACCOUNT_SID", ACCOUNT)
        .with("TWILIO_AUTH_TOKEN", TOKEN)
        .with("ONHOOK_PUBLIC_URL", PUBLIC_URL);
    let (url, body) = (format!("{PUBLIC_URL}{STATUS}"), body(ACCOUNT));
    shell.write("body", &body);
    let good = signed(TOKEN, &url, &body);
    for url in [&url, STATUS] {
        let said = shell.run(&["verify", "--url", url, "--signature", &good, "--body", "body"]).expect(0).stdout;
        assert!(said.contains("it verifies") && said.contains(&format!("TWILIO_AUTH_TOKEN of {ACCOUNT}")), "{said}");
    }
    let piped = shell.feed(&["verify", "--url", &url, "--signature", &good, "--body", "-"], &body);
    piped.expect(0);

    let http = signed(TOKEN, &url.replace("https", "http"), &body);
    let ran = shell.run(&["verify", "--url", STATUS, "--signature", &http, "--body", "body"]).expect(4);
    for word in ["refused", "Twilio signed http", "ONHOOK_PUBLIC_URL", "http://calls.example.com/hook"] {
        assert!(ran.stdout.contains(word), "{word} is missing in\n{}", ran.stdout);
    }
    assert!(!ran.stdout.contains(TOKEN) && !ran.stderr.contains(TOKEN));
    let header = format!("x-twilio-signature: {http}");
    let json =
        shell.run(&["verify", "--url", STATUS, "--header", &header, "--body", "body", "--json"]).expect(4).json();
    assert_eq!((&json["verified"], &json["answer"]), (&false.into(), &"explained".into()), "{json}");
    assert_eq!((&json["mistakes"][0]["kind"], &json["account"]), (&"scheme".into(), &ACCOUNT.into()), "{json}");

    let unsigned = shell.run(&["verify", "--url", STATUS, "--body", "body"]).expect(4).stdout;
    assert!(unsigned.contains("there is no X-Twilio-Signature"), "{unsigned}");
    let token_of_nobody = signed("nobody's", &url, &body);
    let ran = shell.run(&["verify", "--url", STATUS, "--signature", &token_of_nobody, "--body", "body"]).expect(4);
    assert!(ran.stdout.contains("primary auth token") && ran.stdout.contains("were tried"), "{}", ran.stdout);
    assert!(!shell.folder.path().join("onhook.db").exists(), "a command that looks makes no database");
}

#[test]
fn from_files() {
    let shell = Shell::new();
    let (url, body) = ("https://a.example/x", body(ACCOUNT));
    shell.write("body", &body);
    shell.write("old", "the old one\n");
    shell.write("new", "the new one\n");
    let verify = |token: &str, more: &[&str]| {
        let signature = signed(token, url, &body);
        let args = ["verify", "--url", url, "--signature", &signature, "--body", "body"];
        shell.run(&[&args[..], more].concat())
    };
    let both = ["--token-file", "old", "--token-file", "new"];
    assert!(verify("the new one", &both).expect(0).stdout.contains("new"));
    verify("the old one", &both).expect(0);
    let parent = verify("the old one", &["--token-file", "new", "--parent-token-file", "old"]).expect(4);
    assert!(parent.stdout.contains("the parent account's token signed it"), "{}", parent.stdout);
    verify("x", &[]).expect(6).says(&["there is no database", "next:"]);
    verify("x", &["--token-file", "missing"]).expect(1).says(&["missing"]);
    shell.write("empty", "\n");
    verify("x", &["--token-file", "empty"]).expect(2).says(&["empty"]);
    shell
        .run(&["verify", "--url", "a.example/x", "--signature", "AAAA", "--token-file", "old"])
        .expect(2)
        .says(&["next:"]);
    shell.run(&["verify", "--url", url, "--method", "PUT"]).expect(2).says(&["POST or GET"]);
    shell.run(&["verify", "--url", url, "--header", "nonsense"]).expect(2).says(&["Name: value"]);
}

on_both!(from_the_database);

async fn from_the_database(at: TestDatabase) {
    let shell = Shell::on(&at.place).with("ONHOOK_PUBLIC_URL", PUBLIC_URL);
    shell.write("sub", "the sub-account's\n");
    shell.write("second", "its second\n");
    let (url, body) = (format!("{PUBLIC_URL}{STATUS}"), body(SUB));
    shell.write("body", &body);
    let verify = |token: &str, code: i32| {
        let signature = signed(token, &url, &body);
        let ran = shell.run(&["verify", "--url", STATUS, "--signature", &signature, "--body", "body"]).expect(code);
        assert!(!ran.stdout.contains("the sub-account's"), "{}", ran.stdout);
        ran.stdout
    };
    tokio::task::block_in_place(|| {
        shell.run(&["accounts", "add", "--no-check", "--sid", SUB, "--token-file", "sub"]).expect(0);
        shell.run(&["accounts", "token", "add", SUB, "--no-check", "--token-file", "second"]).expect(0);
        assert!(verify("the sub-account's", 0).contains(&format!("of {SUB}")));
        assert!(verify("its second", 0).contains("tok_"));
        let parents = verify(TOKEN, 4);
        assert!(parents.contains("the token of another account signed it"), "{parents}");
        assert!(parents.contains(&format!("TWILIO_AUTH_TOKEN of {ACCOUNT}")), "{parents}");
    });
}

/// The gateway verifies its public URL, whatever somebody wrote at Twilio: only that counts.
#[test]
fn what_this_gateway_does_not_check_does_not_verify() {
    let shell = Shell::new()
        .with("TWILIO_ACCOUNT_SID", ACCOUNT)
        .with("TWILIO_AUTH_TOKEN", TOKEN)
        .with("ONHOOK_PUBLIC_URL", PUBLIC_URL);
    let (good, body) = (format!("{PUBLIC_URL}{STATUS}"), body(ACCOUNT));
    shell.write("body", &body);
    let verify = |url: &str, code: i32| {
        let signature = signed(TOKEN, url, &body);
        shell.run(&["verify", "--url", url, "--signature", &signature, "--body", "body", "--json"]).expect(code).json()
    };
    let others = [
        (good.replace("https", "http"), "scheme"),
        (good.replace("calls.", "other."), "host"),
        (good.replace(".com", ".com:8443"), "port"),
        (good.replace("/hook", ""), "path_prefix"),
        ("http://127.0.0.1:8080/webhooks/twilio/status?lead_id=lead-42".to_owned(), "origin"),
    ];
    for (url, kind) in others {
        let said = verify(&url, 4);
        assert_eq!(
            (&said["mistakes"][0]["kind"], said["mistakes"].as_array().unwrap().len()),
            (&kind.into(), 1),
            "{said}"
        );
        let what = format!("it verifies as written, but this gateway checks {good}");
        assert_eq!(said["mistakes"][0]["what"], what, "{url}");
    }
    verify(&good, 0);
    verify(&good.replace(".com", ".com:443"), 0);
    // Without a public URL there is nothing to compare with.
    let free = Shell::new();
    free.write("body", &body);
    free.write("token", TOKEN);
    let url = good.replace("https", "http");
    let signature = signed(TOKEN, &url, &body);
    let args = ["verify", "--url", &url, "--signature", &signature, "--body", "body", "--token-file", "token"];
    free.run(&args).expect(0);
}

/// Of a batch the query of its sink names the account.
#[test]
fn a_delivery_of_event_streams() {
    let shell = Shell::new()
        .with("TWILIO_ACCOUNT_SID", ACCOUNT)
        .with("TWILIO_AUTH_TOKEN", TOKEN)
        .with("ONHOOK_PUBLIC_URL", PUBLIC_URL);
    let batch =
        r#"[{"specversion":"1.0","id":"EZ1","type":"com.twilio.voice.status-callback.call.ringing","data":{}}]"#;
    shell.write("good", batch);
    shell.write("bad", &batch.replace("ringing", "completed"));
    let hash = hex::encode(Sha256::digest(batch));
    let url = format!("{PUBLIC_URL}/webhooks/twilio/events?account={ACCOUNT}&bodySHA256={hash}");
    let signature = sign(TOKEN, &url, None);
    let verify = |body: &str, code: i32| {
        shell.run(&["verify", "--url", &url, "--signature", &signature, "--body", body, "--json"]).expect(code).json()
    };
    let said = verify("good", 0);
    assert_eq!((&said["account"], &said["mistakes"]), (&ACCOUNT.into(), &serde_json::json!([])), "{said}");
    assert_eq!(verify("bad", 4)["mistakes"][0]["kind"], "body_hash_wrong");
}

#[test]
fn whose_tokens_are_missing_is_said_first() {
    let shell = Shell::new()
        .with("TWILIO_ACCOUNT_SID", ACCOUNT)
        .with("TWILIO_AUTH_TOKEN", TOKEN)
        .with("ONHOOK_PUBLIC_URL", PUBLIC_URL);
    let url = format!("{PUBLIC_URL}{STATUS}");
    let second_line = |body: &str| {
        shell.write("body", body);
        let signature = signed("nobody's", &url, body);
        let said = shell.run(&["verify", "--url", &url, "--signature", &signature, "--body", "body"]).expect(4).stdout;
        said.lines().nth(1).unwrap().to_owned()
    };
    let unknown = second_line(&body(SUB));
    assert!(unknown.contains(&format!("no token of {SUB} is known here")), "{unknown}");
    assert!(unknown.contains(&format!("onhook accounts add --sid {SUB}")), "{unknown}");
    assert!(second_line("CallSid=CA1").contains("no AccountSid in the body: give --account"));
    assert!(!second_line(&body(ACCOUNT)).contains("is known here"));
    shell.run(&["verify", "--url", &url, "--signature", "x", "--body", "gone"]).expect(1).says(&[
        "gone",
        "No such file",
        "next:",
    ]);
}

on_both!(ended_and_parents_tokens_are_told_apart);

async fn ended_and_parents_tokens_are_told_apart(at: TestDatabase) {
    let shell = Shell::on(&at.place).with("ONHOOK_PUBLIC_URL", PUBLIC_URL);
    shell.write("old", "its old one\n");
    shell.write("new", "its new one\n");
    let (url, body) = (format!("{PUBLIC_URL}{STATUS}"), body(SUB));
    shell.write("body", &body);
    let kind = |token: &str| {
        let signature = signed(token, &url, &body);
        let args = ["verify", "--url", STATUS, "--signature", &signature, "--body", "body", "--json"];
        shell.run(&args).expect(4).json()["mistakes"][0].clone()
    };
    tokio::task::block_in_place(|| {
        let add = ["accounts", "add", "--no-check", "--sid", SUB, "--parent", ACCOUNT, "--token-file", "old"];
        shell.run(&add).expect(0);
        shell.run(&["accounts", "rotate", "--no-check", SUB, "--token-file", "new", "--keep-old", "0s"]).expect(0);
        let ended = kind("its old one");
        assert_eq!(ended["kind"], "ended_token");
        assert!(ended["what"].as_str().unwrap().contains("an ended token would have"), "{ended}");
        assert!(ended["fix"].as_str().unwrap().contains(&format!("accounts token add {SUB}")), "{ended}");
        assert_eq!(kind(TOKEN)["kind"], "parent_token");
    });
}
