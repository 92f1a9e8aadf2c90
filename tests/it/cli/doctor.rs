//! `doctor` finds what keeps callbacks away, changes nothing, and says what to do next.

use super::Shell;
use crate::support::{
    canned::{Canned, Reply},
    database::{TestDatabase, on_both},
    gateway::{ACCOUNT, Gateway, KEY, TOKEN},
};
use onhook::store::deliveries;
use serde_json::{Value, json};
use std::{net::TcpListener, os::unix::fs::PermissionsExt};

/// A Twilio that knows the account and this token only, at this time.
async fn twilio(date: Option<&'static str>) -> Canned {
    Canned::serve(move |_, seen| {
        // base64 of AC…1:a-token-of-the-tests
        let good = "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTphLXRva2VuLW9mLXRoZS10ZXN0cw==";
        if seen.headers["authorization"] != good {
            let body = r#"{"code":20003,"message":"Authenticate"}"#.to_owned();
            return Reply { status: 401, headers: Vec::new(), body };
        }
        let reply = Reply::json(json!({ "sid": ACCOUNT, "status": "active" }));
        if let Some(date) = date { reply.with("Date", date) } else { reply }
    })
    .await
}

/// A port that was free a moment ago: a public URL has to be known before the gateway listens.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Names, states and texts.
fn checks(report: &Value) -> Vec<(String, String, String)> {
    let text = |check: &Value, field: &str| check[field].as_str().unwrap().to_owned();
    let checks = report["checks"].as_array().unwrap().iter();
    checks.map(|check| (text(check, "name"), text(check, "state"), text(check, "what"))).collect()
}

/// The state of the check whose text has these words.
#[track_caller]
fn state(report: &Value, words: &str) -> String {
    let found = checks(report).into_iter().find(|(_, _, what)| what.contains(words));
    found.unwrap_or_else(|| panic!("no check says {words:?}: {report:#}")).1
}

fn doctor(shell: &Shell, code: i32) -> Value {
    tokio::task::block_in_place(|| shell.run(&["doctor", "--json"])).expect(code).json()
}

on_both!(a_gateway_is_reached_and_its_signatures_verify, a_gateway_with_another_token_is_found);

async fn a_gateway_is_reached_and_its_signatures_verify(at: TestDatabase) {
    let address = free_address();
    let url = format!("http://{address}");
    let gateway = Gateway::on(&at, &[("ONHOOK_LISTEN", &address), ("ONHOOK_PUBLIC_URL", &url)]).await;
    let twilio = twilio(None).await;
    let shell = Shell::on(&at.place)
        .with("ONHOOK_API_KEY", KEY)
        .with("ONHOOK_PUBLIC_URL", &url)
        .with("ONHOOK_TWILIO_API_BASE", &twilio.url);
    shell.write("second", "a second one\n");
    tokio::task::block_in_place(|| {
        shell.run(&["accounts", "add", "--no-check", "--sid", ACCOUNT, "--token-file", "second"])
    })
    .expect(0);
    gateway.clock.advance(61_000);
    let report = doctor(&shell, 5);
    assert_eq!(state(&report, "every setting is understood"), "ok");
    assert_eq!(state(&report, "opens, is up to date and takes writes"), "ok");
    assert_eq!(state(&report, &format!("Twilio takes TWILIO_AUTH_TOKEN of {ACCOUNT}")), "ok");
    assert_eq!(state(&report, "Twilio refuses tok_"), "finding", "the gateway knows it, Twilio does not");
    assert_eq!(state(&report, "is answered by a gateway"), "ok");
    assert_eq!(state(&report, "is not https"), "finding");
    assert_eq!(state(&report, "cannot be reached by Twilio"), "finding");
    let signed: Vec<_> = checks(&report).into_iter().filter(|(name, ..)| name == "signature").collect();
    assert_eq!(signed.len(), 3, "two tokens and a forged one: {signed:?}");
    assert!(signed.iter().all(|(_, state, _)| state == "ok"), "{signed:?}");
    let said = tokio::task::block_in_place(|| shell.run(&["doctor"])).expect(5);
    assert!(said.stdout.contains("next: ") && said.stdout.contains("findings: "), "{}", said.stdout);
    assert!(!said.stdout.contains(TOKEN) && !said.stdout.contains("a second one") && !said.stderr.contains(TOKEN));
    assert_eq!(stored(&gateway).await, 0, "a probe leaves nothing behind");
    gateway.stop().await;
}

async fn stored(gateway: &Gateway) -> usize {
    deliveries::list_unapplied(&gateway.db, 10).await.unwrap().len()
        + gateway.get("/v1/calls").await["data"].as_array().unwrap().len()
}

async fn a_gateway_with_another_token_is_found(at: TestDatabase) {
    let address = free_address();
    let url = format!("http://{address}");
    let settings = [("ONHOOK_LISTEN", &*address), ("ONHOOK_PUBLIC_URL", &url), ("ONHOOK_VERIFY", "observe")];
    let gateway = Gateway::on(&at, &settings).await;
    let twilio = twilio(None).await;
    let shell = Shell::on(&at.place)
        .with("ONHOOK_API_KEY", KEY)
        .with("ONHOOK_PUBLIC_URL", &url)
        .with("ONHOOK_TWILIO_API_BASE", &twilio.url);
    let report = doctor(&shell.with("TWILIO_AUTH_TOKEN", "an-old-one"), 5);
    assert_eq!(state(&report, "Twilio refuses TWILIO_AUTH_TOKEN"), "finding");
    assert_eq!(state(&report, "is refused at"), "finding", "also where observe lets everything in");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_gateway_is_found() {
    let of = async |public: fn(usize, &crate::support::canned::Seen) -> Reply| {
        let public = Canned::serve(public).await;
        let shell = Shell::new()
            .with("TWILIO_ACCOUNT_SID", ACCOUNT)
            .with("TWILIO_AUTH_TOKEN", TOKEN)
            .with("ONHOOK_TWILIO_API_BASE", "http://127.0.0.1:1")
            .with("ONHOOK_PUBLIC_URL", &format!("{}/prefix", public.url));
        // There is no database either.
        (doctor(&shell, 6), public.seen())
    };
    let (report, seen) = of(|_, _| Reply::status(204)).await;
    assert_eq!(state(&report, "answers 204, and not as a gateway does"), "finding");
    assert_eq!(state(&report, "takes a probe that nobody signed"), "finding");
    assert_eq!(
        (seen[0].target.as_str(), seen[1].target.as_str()),
        ("/prefix/healthz", "/prefix/webhooks/twilio/status")
    );
    let body = String::from_utf8(seen[1].body.clone()).unwrap();
    assert!(body.starts_with(&format!("AccountSid={ACCOUNT}&OnhookProbe=")), "{body}");
    assert_eq!(state(&report, "127.0.0.1"), "finding");

    let (report, _) = of(|_, _| Reply::status(301).with("Location", "https://calls.example.com/x")).await;
    let redirects: Vec<_> =
        checks(&report).into_iter().filter(|(_, _, what)| what.contains("redirects to https://calls")).collect();
    assert_eq!(redirects.len(), 2, "{report:#}");
    let (report, _) = of(|_, _| Reply::status(404)).await;
    assert_eq!(state(&report, "answers 404 to a signed probe"), "finding");
    assert_eq!(state(&report, "there is no database at onhook.db"), "away");
    assert_eq!(state(&report, &format!("TWILIO_AUTH_TOKEN of {ACCOUNT}: failed to ask Twilio")), "unknown");
    assert_eq!(state(&report, "it could not be compared"), "unknown");
}

/// It is rotated away, and stays good here for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_token_on_its_way_out_is_no_finding() {
    let twilio = twilio(None).await;
    let shell =
        Shell::new().with("ONHOOK_PUBLIC_URL", "http://127.0.0.1:1").with("ONHOOK_TWILIO_API_BASE", &twilio.url);
    shell.write("old", "an old one\n");
    shell.write("new", TOKEN);
    let run = |args: &[&str]| tokio::task::block_in_place(|| shell.run(args));
    run(&["accounts", "add", "--no-check", "--sid", ACCOUNT, "--token-file", "old"]).expect(0);
    run(&["accounts", "rotate", ACCOUNT, "--token-file", "new", "--keep-old", "24h"]).expect(0);
    let report = doctor(&shell, 5);
    assert_eq!(state(&report, "Twilio no longer takes tok_"), "ok");
    assert_eq!(state(&report, "it ends at 20"), "ok");
    assert_eq!(state(&report, "Twilio takes tok_"), "ok");
    let unreached: Vec<_> = checks(&report).into_iter().filter(|(name, ..)| name == "signature").collect();
    assert_eq!(unreached.len(), 1, "once for all tokens: {unreached:?}");
    assert_eq!(unreached[0].1, "unknown");

    run(&["accounts", "rotate", ACCOUNT, "--token-file", "new", "--keep-old", "0s"]).expect(0);
    let report = doctor(&shell, 5);
    assert!(
        checks(&report).iter().all(|(_, _, what)| !what.contains("no longer takes")),
        "ended ones are not asked: {report:#}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_off_is_found() {
    let twilio = twilio(Some("Fri, 20 Nov 2020 10:00:00 GMT")).await;
    let shell = Shell::new()
        .with("TWILIO_ACCOUNT_SID", ACCOUNT)
        .with("TWILIO_AUTH_TOKEN", TOKEN)
        .with("ONHOOK_TWILIO_API_BASE", &twilio.url);
    let report = doctor(&shell, 6);
    assert_eq!(state(&report, "ahead of Twilio"), "finding");
    assert_eq!(state(&report, "it is not set"), "finding");
    assert_eq!(state(&report, "there is no public URL"), "unknown");
}

#[test]
fn what_is_wrong_on_this_machine_is_found() {
    let shell = Shell::new().with("ONHOOK_PUBLIK_URL", "x");
    let ran = shell.run(&["doctor"]).expect(6);
    for words in ["there is no database", "ONHOOK_PUBLIK_URL", "there is no Twilio account", "next: "] {
        assert!(ran.stdout.contains(words), "{words:?} is missing in\n{}", ran.stdout);
    }
    assert!(!shell.folder.path().join("onhook.db").exists(), "it changes nothing");

    shell.write("onhook.db", "");
    let unmigrated = shell.run(&["doctor", "--json"]).expect(5).json();
    assert_eq!(state(&unmigrated, "migrations"), "finding");
    shell.run(&["migrate"]).expect(0);
    let path = shell.folder.path().join("onhook.db");
    for (mode, expected) in [(0o644, "finding"), (0o600, "ok"), (0o640, "ok")] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(state(&shell.run(&["doctor", "--json"]).expect(5).json(), &format!("({mode:o})")), expected);
    }
    let postgres = Shell::new().with("ONHOOK_DATABASE_URL", "postgres://ann:hush@127.0.0.1:1/crm");
    let report = postgres.run(&["doctor", "--json"]).expect(6);
    assert_eq!(state(&report.json(), "ONHOOK_SECRET_KEY is not set"), "finding");
    assert_eq!(state(&report.json(), "127.0.0.1:1"), "away");
    assert!(!report.stdout.contains("hush"));
}

#[test]
fn a_token_that_does_not_open_is_found() {
    let shell = Shell::new();
    shell.write("token", "hush\n");
    shell.run(&["accounts", "add", "--no-check", "--sid", ACCOUNT, "--token-file", "token"]).expect(0);
    let other = shell.with("ONHOOK_SECRET_KEY", "c2l4dGVlbiBieXRlcyBvciB0aGlydHkgdHdvIG9uZXM=");
    let report = other.run(&["doctor", "--json"]).expect(5).json();
    assert_eq!(state(&report, "is left out"), "finding");
}
