//! `onhook ami` and PBXs as accounts, against a scripted manager port.

use super::{Ran, Shell};
use crate::support::{
    asterisk::{Asterisk, LEAST, NEWCHANNEL, Setup},
    database::{TestDatabase, on_both},
};
use serde_json::Value;

on_both!(pbxs_are_accounts);

fn run(shell: &Shell, args: &[&str]) -> Ran {
    tokio::task::block_in_place(|| shell.run(args))
}

fn doctor(shell: &Shell, url: &str, code: i32) -> Value {
    let args =
        ["ami", "doctor", "--url", url, "--user", "onhook", "--secret-file", "secret.txt", "--listen", "0s", "--json"];
    run(shell, &args).expect(code).json()
}

/// State and text of a check.
fn check(report: &Value, name: &str) -> Vec<(String, String)> {
    let checks = report["pbxs"][0]["checks"].as_array().unwrap().iter().filter(|check| check["name"] == name);
    checks.map(|check| (check["state"].as_str().unwrap().to_owned(), check["what"].to_string())).collect()
}

fn shell() -> Shell {
    let shell = Shell::new();
    shell.write("secret.txt", "hush-hush\n");
    shell.write("wrong.txt", "wrong\n");
    shell
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_a_pbx_well_or_says_what_to_change() {
    let (shell, pbx) = (shell(), Asterisk::start("hush-hush").await);
    let well = doctor(&shell, &pbx.url(), 5);
    // Its FullyBooted carries no time; everything else is as it should be.
    for name in ["version", "encryption", "rights", "channel list", "clock"] {
        assert_eq!(check(&well, name)[0].0, "ok", "{name}: {well:#}");
    }
    assert_eq!(check(&well, "writetimeout")[0].0, "unknown");
    let conf = well["pbxs"][0]["manager_conf"].as_str().unwrap();
    assert!(conf.contains("[onhook]") && conf.contains("write = call,reporting,originate"), "{conf}");
    assert!(!well.to_string().contains("hush"));
    let commands = concat!("Command: x  (Priv: command,all)\r\n", "Ping: x  (Priv: <none>)\r\n");
    let setup = Setup { secret: "hush-hush", commands, event: NEWCHANNEL };
    let other = Asterisk::with(setup).await;
    let wrong = doctor(&shell, &other.url(), 5);
    let rights = check(&wrong, "rights");
    assert!(rights.iter().all(|(state, _)| state == "finding") && rights.len() == 2, "{rights:?}");
    assert!(rights[0].1.contains("CoreShowChannels") && rights[1].1.contains("command"), "{rights:?}");
    let changes = ["Hangup", "Originate", "Setvar", "Redirect", "Command", "Events", "UpdateConfig"];
    assert!(
        !other.asked().iter().any(|action| changes.contains(&action.as_str())),
        "it changes nothing: {:?}",
        other.asked()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_why_there_is_no_connection() {
    let (shell, pbx) = (shell(), Asterisk::start("other-secret").await);
    let refused = doctor(&shell, &pbx.url(), 5);
    assert!(check(&refused, "connection")[0].1.contains("log in"), "{refused:#}");
    assert!(refused["pbxs"][0]["checks"][0]["next"].as_str().unwrap().contains("permit="), "{refused:#}");
    let away = doctor(&shell, "ami://127.0.0.1:1", 6);
    assert_eq!(away["pbxs"][0]["unavailable"], true, "{away:#}");
    let args = ["ami", "doctor", "--url", "http://pbx", "--user", "onhook", "--secret-file", "secret.txt"];
    run(&shell, &args).expect(2).says(&["--url", "ami://host:5038", "next:"]);
    run(&shell, &["ami", "doctor", "--url", "ami://pbx"]).expect(2).says(&["--user"]);
    run(&shell, &["ami", "doctor", "--listen", "1h"]).expect(2).says(&["10m"]);
    run(&shell, &["ami", "doctor"]).expect(3).says(&["PBX", "accounts add --provider asterisk"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_shows_events_without_the_numbers_of_people() {
    let pbx = Asterisk::with(Setup { secret: "hush-hush", commands: LEAST, event: NEWCHANNEL }).await;
    let url = pbx.url().replacen("ami://", "ami://onhook:hush-hush@", 1);
    let shell = shell().with("ONHOOK_AMI_URL", &url);
    let raw = run(&shell, &["ami", "tail", "--raw", "--for", "1s"]).expect(0);
    assert!(raw.stdout.contains("Newchannel") && raw.stdout.contains("CallerIDNum=********32"), "{raw:?}");
    assert!(raw.stderr.contains("connected to Asterisk 16.28.0"), "{raw:?}");
    let shown =
        run(&shell, &["ami", "tail", "pbx", "--raw", "--json", "--show-numbers", "--for", "1s"]).expect(0).stdout;
    let events: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let new = events.iter().find(|event| event["event"] == "Newchannel").unwrap();
    assert!(new["headers"].to_string().contains("4155550132"), "{new}");
    let signals = run(&shell, &["ami", "tail", "--json", "--for", "1s"]).expect(0).stdout;
    let signals: Vec<Value> = signals.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(signals.iter().any(|signal| signal["provider_id"] == "1767323045.1"), "{signals:?}");
    assert!(!format!("{signals:?}").contains("4155550132"), "{signals:?}");
    run(&shell, &["ami", "tail", "other"]).expect(3).says(&["other"]);
    let away = shell.with("ONHOOK_AMI_URL", "ami://a:b@127.0.0.1:1");
    run(&away, &["ami", "tail"]).expect(6).says(&["127.0.0.1:1", "onhook ami doctor"]);
}

#[test]
fn the_manager_conf_has_a_fresh_secret() {
    let shell = Shell::new();
    let conf = |args: &[&str]| shell.json(&[&["ami", "manager-conf"], args].concat());
    let (one, other) = (conf(&[]), conf(&["--from", "10.0.0.0/8", "--plain"]));
    assert_ne!(one["secret"], other["secret"]);
    assert_eq!(one["secret"].as_str().unwrap().len(), 32);
    assert!(other["manager_conf"].as_str().unwrap().contains("permit = 10.0.0.0/8\n"), "{other}");
    shell.run(&["ami", "manager-conf", "--from", "here"]).expect(2).says(&["10.0.0.7"]);
    shell.run(&["ami", "manager-conf", "--user", "a]b"]).expect(2).says(&["manager.conf"]);
}

async fn pbxs_are_accounts(at: TestDatabase) {
    let pbx = Asterisk::start("hush-hush").await;
    let shell = Shell::on(&at.place);
    shell.write("secret.txt", "hush-hush\n");
    shell.write("wrong.txt", "wrong\n");
    let (url, reach) = (pbx.url(), ["--user", "onhook", "--secret-file"]);
    let add = |id: &str, file: &str| {
        let args =
            [&["accounts", "add", "--provider", "asterisk", "--id", id, "--url", &url], &reach[..], &[file]].concat();
        run(&shell, &args)
    };
    add("pbx1", "wrong.txt").expect(1).says(&["--secret-file", "nothing was changed"]);
    add("a b", "secret.txt").expect(2).says(&["--id"]);
    add("pbx1", "secret.txt").expect(0);
    add("pbx1", "secret.txt").expect(1).says(&["has the account pbx1 already"]);
    run(&shell, &["accounts", "add", "--provider", "asterisk", "--id", "site-b", "--region", "DE"]).expect(0);
    run(&shell, &["accounts", "add", "--provider", "asterisk", "--id", "site-c", "--region", "Mars"])
        .expect(2)
        .says(&["--region"]);
    run(&shell, &["accounts", "add", "--provider", "asterisk", "--sid", "AC00000000000000000000000000000009"])
        .expect(2)
        .says(&["--id"]);
    run(&shell, &["accounts", "add", "--id", "x"]).expect(2).says(&["--provider asterisk"]);
    let list = run(&shell, &["accounts", "list", "--json"]).expect(0).json();
    let of = |id: &str| list["data"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap().clone();
    assert_eq!((of("pbx1")["api_base"].as_str(), of("pbx1")["api_key"].as_str()), (Some(url.as_str()), Some("onhook")));
    assert!(of("site-b")["api_base"].is_null());
    run(&shell, &["accounts", "rotate", "pbx1", "--secret-file", "wrong.txt"]).expect(1).says(&["nothing was changed"]);
    run(&shell, &["accounts", "rotate", "pbx1", "--secret-file", "secret.txt"]).expect(0);
    run(&shell, &["accounts", "rotate", "site-b", "--secret-file", "secret.txt"]).expect(1).says(&["only pushes"]);
    let found = run(&shell, &["ami", "doctor", "pbx1", "--listen", "0s", "--json"]);
    assert_eq!(found.json()["pbxs"][0]["account"], "pbx1", "the stored secret is opened: {found:?}");
    run(&shell, &["accounts", "access", "pbx1"]).expect(2);
    run(&shell, &["accounts", "access", "pbx1", "--pushes"]).expect(0);
    let access = [&["accounts", "access", "pbx1", "--url", &url], &reach[..], &["secret.txt"]].concat();
    run(&shell, &access).expect(0);
    run(&shell, &["accounts", "extension", "set", "pbx1", "204", "ann"]).expect(0);
    let listed = run(&shell, &["accounts", "extension", "list", "pbx1", "--json"]).expect(0).json();
    assert_eq!((&listed["data"][0]["extension"], &listed["data"][0]["user_id"]), (&"204".into(), &"ann".into()));
    run(&shell, &["accounts", "extension", "remove", "pbx1", "204"]).expect(0);
    run(&shell, &["accounts", "extension", "remove", "pbx1", "204"]).expect(3);
    run(&shell, &["accounts", "extension", "set", "pbx9", "204", "ann"]).expect(3).says(&["pbx9"]);
}
