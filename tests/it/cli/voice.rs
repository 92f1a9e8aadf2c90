//! `onhook voice` and the REST API show and write the same.

use super::Shell;
use crate::support::{
    database::{TestDatabase, on_both},
    gateway::Gateway,
};
use serde_json::{Value, json};

on_both!(both_doors_write_the_same_settings);

async fn both_doors_write_the_same_settings(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    let shell = Shell::on(&at.place);
    let run = |args: &[&str]| tokio::task::block_in_place(|| shell.run(&[&["voice"], args].concat()));
    let shown = |args: &[&str]| run(&[args, &["--json"]].concat()).expect(0).json();
    assert_eq!(shown(&["show"]), gateway.get("/v1/voice").await);
    let set = shown(&["set", "--connect", "client:ann", "--connect", "+1 415 555 0101", "--greeting", "Hello"]);
    assert_eq!(set["connect"], json!(["client:ann", "+14155550101"]));
    assert_eq!(gateway.get("/v1/voice").await, set);
    let set = shown(&["set", "--timeout", "20", "--connect", ""]);
    assert_eq!((&set["connect"], &set["greeting"]), (&json!([]), &json!("Hello")), "what is not given stays");
    let set = shown(&["unset", "greeting", "connect"]);
    assert_eq!((&set["greeting"], &set["connect"], &set["timeout_seconds"]), (&Value::Null, &Value::Null, &json!(20)));
    assert_eq!(gateway.get("/v1/voice").await, set);

    let number = ["--number", "+1 415 555 0100"];
    run(&[&["show"], &number[..]].concat()).expect(3).says(&["+14155550100", "onhook voice list"]);
    let set = shown(&[&["set", "--allow-prefix", "+1900", "--sip-host", "pbx.example.com"], &number[..]].concat());
    assert_eq!(gateway.get("/v1/voice/numbers/+14155550100").await, set);
    assert_eq!(shown(&["list"]), gateway.get("/v1/voice/numbers").await);
    run(&["set", "--number", "+14155550100", "--greeting", "", "--timeout", "9"]).expect(0);
    let shown = run(&["show", "--number", "+14155550100", "--json"]).expect(0).json();
    let in_force = |name: &str| (shown["in_force"][name]["value"].clone(), shown["in_force"][name]["from"].clone());
    assert_eq!(in_force("timeout_seconds"), (json!(9), json!("number")));
    assert_eq!(in_force("greeting"), (json!(""), json!("number")));
    assert_eq!(in_force("record"), (Value::Null, json!("default")));
    run(&["set", "--unanswered", "Later"]).expect(0);
    let text = run(&["show", "--number", "+14155550100"]).expect(0).stdout;
    for (name, from, value) in
        [("greeting", "number", "nothing here"), ("unanswered", "tenant", "Later"), ("record", "default", "not set")]
    {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line.contains(from) && line.ends_with(value), "{text}");
    }
    run(&["unset", "unanswered"]).expect(0);
    assert!(text.lines().any(|line| line.starts_with("allow_prefixes") && line.ends_with("+1900")), "{text}");
    run(&[&["unset"], &number[..]].concat()).expect(0);
    assert_eq!(gateway.get("/v1/voice/numbers").await["data"], json!([]));
    run(&[&["unset"], &number[..]].concat()).expect(3);

    run(&["set", "--timeout", "4"]).expect(2).says(&["timeout_seconds", "5 to 600"]);
    run(&["set", "--timeout", "x"]).expect(2).says(&["--timeout", "'x'", "5 to 600"]);
    run(&["set", "--time-limit", "1h"]).expect(2).says(&["--time-limit", "'1h'", "1 to 86400"]);
    run(&["set"]).expect(2).says(&["nothing is given"]);
    run(&["set", "--voice", "x", "--language", "english"]).expect(2).says(&["language", "english", "en-US"]);
    run(&["set", "--connect", "+19005550100"]).expect(2).says(&["connect[0]", "premium", "allow_prefixes"]);
    run(&["set", "--number", "+14155550103", "--connect", "+14155550104"]).expect(0);
    let circle = run(&["set", "--number", "+14155550104", "--connect", "+14155550103"]).expect(2);
    circle.says(&["+14155550104 > +14155550103 > +14155550104"]);
    run(&["set", "--connect", "911"]).expect(2).says(&["connect[0]", "911", "short"]);
    run(&["set", "--number", "ann"]).expect(2).says(&["--number"]);
    run(&["unset", "greetings"]).expect(2).says(&["greetings", "greeting,"]);
    run(&["set", "--tenant", "nobody", "--timeout", "9"]).expect(3).says(&["nobody"]);
}
