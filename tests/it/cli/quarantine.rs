//! The quarantine from the command line, beside a running gateway and without one.

use super::Shell;
use crate::support::{
    database::{TestDatabase, on_both},
    gateway::{ACCOUNT, Gateway, PUBLIC_URL, TOKEN},
};
use serde_json::json;

on_both!(
    refused_deliveries_are_explained_redriven_and_dropped,
    the_explanation_fits_what_is_wrong,
    accounts_rotate_observe_and_have_parents
);

fn body(n: u8) -> String {
    format!("AccountSid={ACCOUNT}&CallSid=CA{n:032}&CallStatus=ringing")
}

async fn refused_deliveries_are_explained_redriven_and_dropped(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[("TWILIO_AUTH_TOKEN", "of-last-year")]).await;
    for n in 1..4 {
        assert_eq!(gateway.post_signed(TOKEN, "", body(n).as_bytes()).await.status(), 403);
    }
    assert_eq!(gateway.post_signed("forged", "", body(9).as_bytes()).await.status(), 403);
    let other = "AC00000000000000000000000000000077";
    let stranger = body(5).replace(ACCOUNT, other);
    assert_eq!(gateway.post_signed("x", "", stranger.as_bytes()).await.status(), 403);
    let shell = Shell::on(&at.place).with("ONHOOK_PUBLIC_URL", PUBLIC_URL);
    let run = |args: &[&str]| tokio::task::block_in_place(|| shell.run(&[&["quarantine"], args].concat()));
    let listed = run(&["list", "--json"]).expect(0).json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 5, "{listed}");
    assert_eq!(listed, gateway.get("/v1/quarantine").await, "both doors show the same");
    run(&["list", "--limit", "2"]).expect(0).says(&["there is more: --cursor"]);
    run(&["list", "--cursor", "x"]).expect(2).says(&["--cursor"]);
    run(&["list", "--reason", "ugly"]).expect(2).says(&["signature-mismatch"]);
    run(&["list", "--source", "foo"]).expect(2).says(&["foo", "twilio/status"]);
    run(&["list", "--account", "foo"]).expect(2).says(&["foo", "32 hexadecimal digits"]);
    for args in [["list"].as_slice(), &["explain", "qua_0"], &["redrive", "--all"], &["drop", "qua_0"]] {
        run(&[args, &["--tenant", "nope"]].concat()).expect(3).says(&["tenant nope"]);
    }

    let of = |account: &str| {
        let rows = run(&["list", "--account", account, "--json"]).expect(0).json();
        rows["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let unknown = of(other).remove(0);
    let text = run(&["explain", &unknown]).expect(0).stdout;
    assert!(!text.contains("tried"), "no signature was compared: {text}");
    assert!(text.contains("onhook accounts add --sid AC00000000000000000000000000000077"), "{text}");
    run(&["explain", "qua_0"]).expect(3).says(&["onhook quarantine list"]);
    run(&["redrive"]).expect(2).says(&["--all"]);
    run(&["redrive", "--all", "qua_0"]).expect(2);
    run(&["redrive", "qua_0"]).expect(3);

    // The program has the right token in its environment.
    let dry = run(&["redrive", "--account", ACCOUNT, "--dry-run", "--json"]).expect(5).json();
    assert_eq!((&dry["applied"], &dry["stayed"]), (&json!(3), &json!(1)), "{dry}");
    let done = run(&["redrive", "--account", ACCOUNT]).expect(5).stdout;
    assert!(done.contains("3 applied") && done.contains("1 still refused"), "{done}");
    assert_eq!(gateway.get("/v1/calls").await["data"].as_array().unwrap().len(), 3);
    let left = of(ACCOUNT);
    assert_eq!(left.len(), 1);
    run(&["drop", &left[0], &unknown]).expect(0);
    run(&["drop", &unknown]).expect(3);
    run(&["redrive", "--all"]).expect(0);
    run(&["list"]).expect(0).says(&["nothing to show"]);
}

async fn the_explanation_fits_what_is_wrong(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    let sub = "AC000000000000000000000000000000bb";
    let shell = Shell::on(&at.place).with("ONHOOK_PUBLIC_URL", PUBLIC_URL);
    let run = |args: &[&str]| tokio::task::block_in_place(|| shell.run(args));
    let add = ["accounts", "add", "--no-check", "--sid", sub];
    tokio::task::block_in_place(|| shell.feed(&add, "its-own\n")).expect(0);
    let explain = |reason: &str, source: &str| {
        let args = ["quarantine", "list", "--json", "--reason", reason, "--source", source];
        let rows = run(&args).expect(0).json();
        let id = rows["data"][0]["id"].as_str().unwrap_or_else(|| panic!("{reason}: {rows}")).to_owned();
        let text = run(&["quarantine", "explain", &id]).expect(0).stdout;
        run(&["quarantine", "drop", &id]).expect(0);
        text
    };
    let says = |text: &str, words: &[&str], not: &[&str]| {
        words.iter().for_each(|word| assert!(text.contains(word), "{word:?} is missing in\n{text}"));
        not.iter().for_each(|word| assert!(!text.contains(word), "{word:?} is in\n{text}"));
    };
    assert_eq!(gateway.post_signed(TOKEN, "", b"CallSid=CA1&CallStatus=busy").await.status(), 403);
    says(&explain("unknown-account", "twilio/status"), &["AccountSid is missing"], &["accounts add", "tried"]);
    let url = format!("{}/webhooks/twilio/events?bodySHA256=0", gateway.address);
    let sent = gateway.client.post(url).header("content-type", "application/json").body("[]").send().await.unwrap();
    assert_eq!(sent.status(), 403);
    says(&explain("unknown-account", "twilio/events"), &["?account=AC…"], &["accounts add", "AccountSid is missing"]);

    assert_eq!(gateway.post_raw("", body(1).as_bytes(), None).await.status(), 403);
    says(&explain("signature-missing", "twilio/status"), &["X-Twilio-Signature"], &["tried", "rotate"]);
    assert_eq!(gateway.post_signed("forged", "", body(1).as_bytes()).await.status(), 403);
    let (url, add) = (format!("{PUBLIC_URL}/webhooks/twilio/status"), format!("onhook accounts add --sid {ACCOUNT}"));
    says(&explain("signature-mismatch", "twilio/status"), &["tried", &url, "hint", "TWILIO_AUTH_TOKEN", &add], &[]);
    gateway.clock.advance(61_000);
    let of_sub = body(1).replace(ACCOUNT, sub);
    assert_eq!(gateway.post_signed("forged", "", of_sub.as_bytes()).await.status(), 403);
    let words =
        [format!("onhook accounts token add {sub}` adds one that is missing"), format!("rotate {sub}` takes one")];
    says(&explain("signature-mismatch", "twilio/status"), &[&words[0], &words[1]], &["TWILIO_AUTH_TOKEN"]);

    let odd = format!("AccountSid={ACCOUNT}&CallSid=wrong&CallStatus=busy&To=%2B14155550101");
    assert_eq!(gateway.post_signed(TOKEN, "", odd.as_bytes()).await.status(), 400);
    let words = ["look at its body", "CallSid=wrong", "*********01"];
    says(&explain("unreadable", "twilio/status"), &words, &["14155550101", "tried"]);
}

async fn accounts_rotate_observe_and_have_parents(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    let shell = Shell::on(&at.place);
    let run = |args: &[&str]| tokio::task::block_in_place(|| shell.run(&[&["accounts"], args].concat()));
    let feed =
        |args: &[&str], input: &str| tokio::task::block_in_place(|| shell.feed(&[&["accounts"], args].concat(), input));
    let sub = "AC000000000000000000000000000000bb";
    feed(&["add", "--no-check", "--sid", sub, "--parent", "AC00000000000000000000000000000077"], "t")
        .expect(3)
        .says(&["first"]);
    feed(&["add", "--no-check", "--sid", sub, "--parent", ACCOUNT], "first\n").expect(0);
    feed(&["add", "--no-check", "--sid", "AC000000000000000000000000000000cc", "--parent", sub], "t").expect(3);
    let listed = run(&["list"]).expect(0).says(&["not stored", ACCOUNT]).stdout;
    assert!(listed.lines().any(|line| line.starts_with(sub) && line.contains(ACCOUNT)), "{listed}");

    for wrong in [["--keep-old", "31d"], ["--keep-old", "soon"]] {
        feed(&[&["rotate", sub], wrong.as_slice()].concat(), "second\n").expect(2).says(&["--keep-old"]);
    }
    feed(&["rotate", "--no-check", "AC00000000000000000000000000000077"], "second\n").expect(3);
    let done = feed(&["rotate", sub, "--no-check", "--keep-old", "2h", "--json"], "second\n").expect(0).json();
    assert_eq!(done["ending"], 1, "{done}");
    let tokens = run(&["token", "list", sub, "--json"]).expect(0).json();
    let ends = tokens["data"].as_array().unwrap().iter().filter(|token| token["expires_at"].is_string()).count();
    assert_eq!(ends, 1, "{tokens}");
    let body = |n: u8| format!("AccountSid={sub}&CallSid=CA{n:032}&CallStatus=ringing");
    gateway.clock.advance(61_000);
    for (n, token) in [(1, "first"), (2, "second")] {
        assert_eq!(gateway.post_signed(token, "", body(n).as_bytes()).await.status(), 204, "{token}");
    }

    run(&["verify", sub, "enforce", "--for", "1h"]).expect(2).says(&["--for"]);
    for wrong in ["31d", "1s"] {
        run(&["verify", sub, "observe", "--for", wrong]).expect(2).says(&["--for"]);
    }
    let set = run(&["verify", sub, "observe", "--for", "24h", "--json"]).expect(0).json();
    assert!(set["verify_until"].is_string(), "{set}");
}
