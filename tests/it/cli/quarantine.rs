//! The quarantine from the command line, beside a running gateway and without one.

use super::Shell;
use crate::support::{
    database::{TestDatabase, on_both},
    gateway::{ACCOUNT, Gateway, PUBLIC_URL, TOKEN},
};
use serde_json::json;

on_both!(refused_deliveries_are_explained_redriven_and_dropped, accounts_rotate_observe_and_have_parents);

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

    let of = |account: &str| {
        let rows = run(&["list", "--account", account, "--json"]).expect(0).json();
        rows["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let unknown = of(other).remove(0);
    let text = run(&["explain", &unknown]).expect(0).stdout;
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
    feed(&["rotate", "AC00000000000000000000000000000077"], "second\n").expect(3);
    let done = feed(&["rotate", sub, "--keep-old", "2h", "--json"], "second\n").expect(0).json();
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
