//! How commands end, and that they say what to do next.

use super::Shell;
use crate::support::{
    database::{TestDatabase, on_both},
    gateway::ACCOUNT,
};

#[test]
fn a_bad_configuration_ends_with_2_and_says_what_is_allowed() {
    let shell = Shell::new();
    let show = |set: &str| shell.run(&["config", "show", "--set", set]);
    show("sweep.interval=soon").expect(2).says(&["sweep.interval", "soon", "the command line", "allowed", "next:"]);
    show("sweep.intervall=1s").expect(2).says(&["sweep.intervall", "sweep.interval"]);
    show("sweep.interval").expect(2).says(&["KEY=VALUE"]);
    let shell = shell.with("ONHOOK_LISTEN", "everywhere");
    shell.run(&["serve"]).expect(2).says(&["listen", "ONHOOK_LISTEN", "everywhere"]);
    shell.run(&["calls", "list", "--config", "missing.toml"]).expect(2).says(&["missing.toml"]);
    let error: serde_json::Value =
        serde_json::from_str(&shell.run(&["keys", "list", "--json"]).expect(2).stderr).unwrap();
    assert_eq!(error["exit"], 2, "{error}");
}

#[test]
fn a_misspelled_setting_is_a_warning() {
    let shell = Shell::new().with("ONHOOK_LISTEM", "127.0.0.1:1");
    shell.run(&["config", "show"]).expect(0).says(&["ONHOOK_LISTEM", "ONHOOK_LISTEN"]);
}

on_both!(what_is_not_there_ends_with_3);

async fn what_is_not_there_ends_with_3(at: TestDatabase) {
    let shell = Shell::on(&at.place);
    let commands: [&[&str]; 10] = [
        &["calls", "show", "CA00000000000000000000000000000001"],
        &["calls", "timeline", "call_01"],
        &["leads", "show", "lead-42"],
        &["leads", "delete", "lead-42"],
        &["leads", "put", "lead-42", "--tenant", "acme"],
        &["keys", "revoke", "key_01"],
        &["keys", "create", "--name", "x", "--tenant", "acme"],
        &["accounts", "token", "list", ACCOUNT],
        &["accounts", "verify", ACCOUNT, "observe"],
        &["replay", "nowhere", "--to", "http://127.0.0.1:1"],
    ];
    for command in commands {
        let ran = tokio::task::block_in_place(|| shell.run(command)).expect(3);
        let subject = command.iter().find(|word| word.contains(['-', '_', 'A']) || **word == "nowhere").unwrap();
        let subject = if command.contains(&"acme") { "acme" } else { subject };
        ran.says(&["there is no", subject, "next:"]);
    }
}

#[test]
fn a_postgres_that_is_not_there_ends_with_6() {
    // Port 1 of this machine: nobody listens there.
    let shell = Shell::new().with("ONHOOK_DATABASE_URL", "postgres://ann:hush@127.0.0.1:1/crm");
    let shell = shell.with("ONHOOK_API_KEY", "k".repeat(20).as_str()).with("ONHOOK_SECRET_KEY", SECRET);
    for command in [&["serve"][..], &["calls", "list"], &["migrate"]] {
        let ran = shell.run(command).expect(6).says(&["127.0.0.1:1", "crm", "next:", "ONHOOK_DATABASE_URL"]);
        assert!(!ran.stderr.contains("hush"), "{}", ran.stderr);
    }
}

#[test]
fn an_sqlite_file_that_cannot_be_made_ends_with_6() {
    // Nobody can make files there, root neither.
    let shell = Shell::new().with("ONHOOK_DATABASE_URL", "sqlite:///proc/onhook.db");
    for command in [&["serve"][..], &["migrate"], &["keys", "create", "--name", "x"]] {
        shell.run(command).expect(6).says(&["/proc/onhook.db", "next:"]);
    }
}

#[test]
fn a_corrupt_sqlite_file_ends_with_6_and_is_left_alone() {
    let shell = Shell::new();
    let garbage = "this is no database. ".repeat(500);
    shell.write("onhook.db", &garbage);
    for command in [&["serve"][..], &["calls", "list"], &["migrate"], &["check"]] {
        shell.run(command).expect(6).says(&["onhook.db", "not a database", "next:"]);
    }
    assert_eq!(std::fs::read_to_string(shell.folder.path().join("onhook.db")).unwrap(), garbage);
}

#[test]
fn a_command_that_only_looks_makes_no_database() {
    let shell = Shell::new();
    let commands: [&[&str]; 5] =
        [&["calls", "list"], &["leads", "show", "x"], &["keys", "list"], &["check"], &["tenants", "list"]];
    for command in commands {
        shell.run(command).expect(6).says(&["there is no database at onhook.db", "--database-url"]);
    }
    assert_eq!(std::fs::read_dir(shell.folder.path()).unwrap().count(), 0);
}

#[test]
fn an_address_that_is_taken_ends_with_6() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    Shell::new().run(&["serve", "--listen", &address]).expect(6).says(&[&address, "--listen"]);
}

#[test]
fn a_gateway_that_is_not_there_is_not_healthy() {
    let shell = Shell::new();
    shell.run(&["healthcheck", "--url", "http://127.0.0.1:1"]).expect(6).says(&["127.0.0.1:1", "refused", "next:"]);
}

#[test]
fn postgres_without_its_keys_is_a_bad_configuration() {
    let shell = Shell::new().with("DATABASE_URL", "postgres://ann@127.0.0.1:1/crm");
    shell.run(&["serve"]).expect(2).says(&["ONHOOK_API_KEY", "ONHOOK_SECRET_KEY"]);
}

const SECRET: &str = "c2l4dGVlbiBieXRlcyBvciB0aGlydHkgdHdvIG9uZXM=";
