//! `config`, `openapi` and `migrate`.

use super::Shell;
use crate::support::database::Place;
use serde_json::Value;

#[test]
fn what_is_in_force_is_shown_without_its_secrets() {
    let shell = Shell::new()
        .with("ONHOOK_DATABASE_URL", "postgres://ann:hush-database@db.example.com/crm")
        .with("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000001")
        .with("TWILIO_AUTH_TOKEN", "hush-token")
        .with("ONHOOK_API_KEY", "hush-key")
        .with("ONHOOK_SECRET_KEY", "aHVudGVyMi1odW50ZXIyLWh1bnRlcjItaHVudGVyMiE=")
        .with("ONHOOK_AMI_URL", "ami://ann:hush-ami@pbx.example.com");
    for args in [&["config", "show"][..], &["config", "show", "--json"]] {
        let shown = shell.run(args).expect(0).stdout;
        assert!(!shown.contains("hush") && !shown.contains("aHVudGVy"), "{shown}");
        assert!(shown.contains("db.example.com") && shown.contains("ann"), "{shown}");
    }
    let rows = shell.json(&["config", "show", "--set", "sweep.interval=10s"]);
    let row = |key: &str| rows.as_array().unwrap().iter().find(|row| row["key"] == key).unwrap().clone();
    assert_eq!(row("sweep.interval")["value"], "10s");
    assert_eq!(row("sweep.interval")["from"], "the command line");
    assert_eq!(row("twilio.account_sid")["from"], "the environment variable TWILIO_ACCOUNT_SID");
    assert_eq!(row("metrics_listen")["value"], Value::Null);
}

#[test]
fn the_defaults_are_a_configuration_file() {
    let shell = Shell::new();
    let defaults = shell.run(&["config", "defaults"]).expect(0).stdout;
    shell.write("onhook.toml", &defaults);
    let rows = shell.json(&["config", "show"]);
    let listen = rows.as_array().unwrap().iter().find(|row| row["key"] == "listen").unwrap();
    assert_eq!(listen["value"], "127.0.0.1:8080");
    assert_eq!(listen["from"], "the file onhook.toml");
}

#[test]
fn the_api_is_described() {
    let shell = Shell::new();
    shell.run(&["openapi", "--out", "openapi.json"]).expect(0);
    let written = std::fs::read_to_string(shell.folder.path().join("openapi.json")).unwrap();
    let document: Value = serde_json::from_str(&written).unwrap();
    assert!(document["paths"]["/v1/calls"].is_object(), "{document}");
    assert_eq!(shell.run(&["openapi"]).expect(0).json(), document);
}

#[test]
fn an_sqlite_database_is_made_and_migrated() {
    migrate(&Place::sqlite());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_database_is_migrated() {
    let place = Place::postgres().await;
    tokio::task::block_in_place(|| migrate(&place));
}

fn migrate(place: &Place) {
    let shell = Shell::on(place);
    for _ in 0..2 {
        assert_eq!(shell.json(&["migrate"])["up_to_date"], true);
    }
    let tenants = shell.json(&["tenants", "list"]);
    assert_eq!(tenants["data"][0]["id"], "default");
    assert_eq!(tenants["next_cursor"], Value::Null);
}
