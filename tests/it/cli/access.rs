//! `onhook accounts access`, and the same on adding an account.

use super::Shell;
use crate::support::{
    canned::{Canned, Reply},
    database::{TestDatabase, on_both},
    gateway::ACCOUNT,
};
use serde_json::{Value, json};

on_both!(a_key_and_a_place_are_set_and_taken_away, what_twilio_refuses_is_not_stored);

const SID: &str = "AC000000000000000000000000000000aa";
const KEY: &str = "SK000000000000000000000000000000bb";
const DUBLIN: &str = "https://api.dublin.ie1.twilio.com";

async fn a_key_and_a_place_are_set_and_taken_away(at: TestDatabase) {
    let shell = Shell::on(&at.place);
    let feed =
        |args: &[&str]| tokio::task::block_in_place(|| shell.feed(&[&["accounts"], args].concat(), "hush-token\n"));
    shell.write("secret.txt", "hush-secret\n");
    feed(&["access", SID, "--default"]).expect(3);
    let key = ["--api-key", KEY, "--api-secret-file", "secret.txt"];
    let added = feed(&[&["add", "--sid", SID, "--no-check", "--api-base", DUBLIN, "--json"][..], &key].concat());
    let added = added.expect(0).json();
    assert_eq!((&added["api_base"], &added["api_key"]), (&json!(DUBLIN), &json!(KEY)));
    let listed = feed(&["list", "--json"]).expect(0).json();
    let listed = listed["data"].as_array().unwrap().iter().find(|row| row["id"] == SID).unwrap().clone();
    assert_eq!(listed["api_key"], KEY);
    let row = onhook::store::accounts::list_all(&at.db, ("", ""), 9).await.unwrap();
    let sealed = row.iter().find(|row| row.account.id == SID).unwrap().api_secret.clone().unwrap();
    assert!(!sealed.windows(4).any(|bytes| bytes == b"hush"), "it is sealed");

    let none = feed(&["access", SID, "--default", "--json"]).expect(0).json();
    assert_eq!((&none["api_base"], &none["api_key"]), (&Value::Null, &Value::Null));
    let said = feed(&["access", SID, "--api-key", KEY, "--no-check"]).expect(0);
    assert!(
        said.stdout.contains(KEY) && !said.stdout.contains("hush"),
        "the secret comes from standard input: {said:?}"
    );

    feed(&["access", SID]).expect(2).says(&["--api-base"]);
    feed(&["access", SID, "--api-key", "AC12"]).expect(2).says(&["SK and 32 hexadecimal digits"]);
    feed(&["access", SID, "--default", "--api-key", KEY]).expect(2);
    feed(&["access", SID, "--api-base", "http://10.0.0.1"]).expect(2).says(&["10.0.0.1", "api.dublin.ie1.twilio.com"]);
    feed(&["add", "--sid", SID, "--api-key", KEY]).expect(2).says(&["--api-secret-file"]);
    feed(&["access", ACCOUNT, "--default"]).expect(3);
}

async fn what_twilio_refuses_is_not_stored(at: TestDatabase) {
    let twilio = Canned::serve(|n, seen| match n {
        // The token of `add`, and then its key, which is refused.
        0 | 2 => Reply::json(json!({"sid": SID})),
        3 if seen.target.contains("/Calls.json?") => Reply::json(json!({"calls": [], "next_page_uri": null})),
        _ => Reply { status: 401, ..Reply::json(json!({"code": 20003, "message": "Authenticate", "status": 401})) },
    })
    .await;
    let shell = Shell::on(&at.place).with("ONHOOK_TWILIO_API_BASE", &twilio.url);
    let feed =
        |args: &[&str]| tokio::task::block_in_place(|| shell.feed(&[&["accounts"], args].concat(), "hush-token\n"));
    shell.write("secret.txt", "hush-secret\n");
    let key = ["--api-key", KEY, "--api-secret-file", "secret.txt"];
    let add = [&["add", "--sid", SID][..], &key].concat();
    let refused = feed(&add).expect(1).says(&["Twilio refuses", KEY, "nothing was changed", "--no-check"]);
    assert!(!refused.stderr.contains("hush"), "{refused:?}");
    assert!(onhook::store::accounts::find(&at.db, "default", SID).await.unwrap().is_none());
    feed(&add).expect(0);
    feed(&[&["access", SID][..], &key].concat()).expect(1).says(&["Twilio refuses", KEY]);
    feed(&["access", SID, "--api-base", &twilio.url]).expect(1).says(&["Twilio refuses", "region"]);
    let found = onhook::store::accounts::find(&at.db, "default", SID).await.unwrap().unwrap();
    assert_eq!((found.api_key.as_deref(), found.api_base), (Some(KEY), None), "nothing was changed");
    let nobody = Shell::on(&at.place).with("ONHOOK_TWILIO_API_BASE", "http://127.0.0.1:9");
    let args = ["accounts", "access", SID, "--api-base", "http://127.0.0.1:9"];
    tokio::task::block_in_place(|| nobody.feed(&args, "")).expect(6).says(&["Twilio was not asked"]);
}
