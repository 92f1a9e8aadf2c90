//! `check` finds what somebody changed behind the gateway's back, and nothing else.

use super::{Ran, Shell};
use crate::support::{
    database::{Place, TestDatabase, on_both},
    gateway::{ACCOUNT, Gateway, PUBLIC_URL},
};
use onhook::story;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};

/// Runs a statement behind the gateway's back.
async fn tamper(place: &Place, sql: &str) {
    let changed = if place.url.starts_with("sqlite") {
        let mut connection = SqliteConnection::connect(&place.url).await.unwrap();
        let changed = connection.execute(AssertSqlSafe(sql)).await.unwrap().rows_affected();
        connection.close().await.unwrap();
        changed
    } else {
        let mut connection = place.postgres_connection().await;
        connection.execute("SET search_path TO onhook").await.unwrap();
        connection.execute(AssertSqlSafe(sql)).await.unwrap().rows_affected()
    };
    assert!(changed > 0, "{sql} changed nothing");
}

fn check(at: &TestDatabase, args: &[&str]) -> Ran {
    tokio::task::block_in_place(|| Shell::on(&at.place).run(&[&["check"], args].concat()))
}

fn findings(at: &TestDatabase) -> Vec<Value> {
    check(at, &["--json"]).expect(5).json()["findings"].as_array().unwrap().clone()
}

/// A gateway at which every story was played in disorder, and stopped.
async fn played(at: &TestDatabase) {
    let gateway = Gateway::on(at, &[]).await;
    let shell = Shell::on(&at.place);
    for seed in ["1", "2"] {
        let names: Vec<String> = story::embedded().unwrap().into_iter().map(|story| story.name).collect();
        let mut args =
            vec!["replay", "--to", &gateway.address, "--public-url", PUBLIC_URL, "--salt", seed, "--seed", seed];
        args.extend(["--shuffle", "--duplicate"]);
        args.extend(names.iter().map(String::as_str));
        tokio::task::block_in_place(|| shell.run(&args)).expect(0);
    }
    gateway.stop().await;
}

on_both!(
    what_was_not_tampered_with_is_clean,
    a_changed_row_is_found,
    registers_that_say_something_else_are_found,
    a_contact_that_is_missing_or_wrong_is_found,
    a_call_without_signals_is_found_unless_they_were_pruned,
    an_unapplied_delivery_is_listed,
);

async fn what_was_not_tampered_with_is_clean(at: TestDatabase) {
    assert!(check(&at, &[]).expect(0).stdout.contains("folded 0 calls anew"));
    played(&at).await;
    let report = check(&at, &["--json"]).expect(0).json();
    let quarantine = json!({ "known_rows": 0, "known_bytes": 0, "unknown_rows": 0, "unknown_bytes": 0 });
    assert_eq!(
        report,
        json!({ "calls": 76, "pruned": 0, "conversations": 60, "findings": [], "left_out": 0, "quarantine": quarantine })
    );
    let said = check(&at, &[]).expect(0).stdout;
    assert!(said.contains("all is as it should be"), "{said}");
}

async fn a_changed_row_is_found(at: TestDatabase) {
    played(&at).await;
    let sid = story::embedded().unwrap().remove(0).sid("customer", "1");
    tamper(&at.place, &format!("UPDATE call SET status = 'busy', talk_seconds = NULL WHERE provider_id = '{sid}'"))
        .await;
    let found = findings(&at);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0]["kind"], &found[0]["provider_id"]), (&"row_differs".into(), &sid.as_str().into()));
    let differences = json!([
        { "field": "status", "stored": "busy", "expected": "completed" },
        { "field": "talk_seconds", "stored": null, "expected": 17 },
    ]);
    assert_eq!(found[0]["differences"], differences);
    let said = check(&at, &[]).expect(5).stdout;
    assert!(said.contains(&sid) && said.contains("status is \"busy\", should be \"completed\""), "{said}");
}

async fn registers_that_say_something_else_are_found(at: TestDatabase) {
    played(&at).await;
    let mut stories = story::embedded().unwrap();
    let (first, second) = (stories.remove(0).sid("customer", "1"), stories.remove(0).sid("customer", "1"));
    tamper(&at.place, &format!("UPDATE call SET registers = '{{}}' WHERE provider_id = '{first}'")).await;
    tamper(&at.place, &format!("UPDATE call SET registers = 'garbage' WHERE provider_id = '{second}'")).await;
    let found = findings(&at);
    let of_kind = |kind: &str| found.iter().filter(|finding| finding["kind"] == kind).count();
    assert_eq!((of_kind("row_differs"), of_kind("unreadable")), (1, 1), "{found:?}");
    // Who is judged by registers that forgot the call is no contact any more.
    assert_eq!((of_kind("contact_wrong"), found.len()), (1, 3), "{found:?}");
}

async fn a_contact_that_is_missing_or_wrong_is_found(at: TestDatabase) {
    played(&at).await;
    tamper(&at.place, "DELETE FROM contact WHERE lead_id = 'lead-ada-1'").await;
    tamper(&at.place, "UPDATE contact SET active = false WHERE lead_id = 'lead-ada-2'").await;
    tamper(&at.place, "UPDATE contact SET contacted_ms = 7 WHERE lead_id = 'lead-gus-1'").await;
    let nobody = format!(
        "INSERT INTO contact (tenant, conversation, account, lead_id, call_id, contacted_ms, active, flips)
         SELECT tenant, provider_id, account, 'lead-x', id, 7, true, 1 FROM call WHERE lead_id = 'lead-bob-1' AND account = '{ACCOUNT}'"
    );
    tamper(&at.place, &nobody).await;
    let mut found: Vec<(String, String)> = findings(&at)
        .iter()
        .map(|f| (f["lead_id"].as_str().unwrap().to_owned(), f["kind"].as_str().unwrap().to_owned()))
        .collect();
    found.sort();
    let expected = [
        ("lead-ada-1", "contact_missing"),
        ("lead-ada-2", "contact_missing"),
        ("lead-gus-1", "contact_wrong"),
        ("lead-x", "contact_wrong"),
    ];
    assert_eq!(found, expected.map(|(lead, kind)| (lead.to_owned(), kind.to_owned())));
    let said = check(&at, &[]).expect(5).stdout;
    assert!(said.contains("lead lead-ada-1 (tenant default) should be contacted"), "{said}");
}

async fn a_call_without_signals_is_found_unless_they_were_pruned(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    let sid = |n: u8| format!("CA{n:032}");
    for (n, status) in [(1, "ringing"), (2, "busy")] {
        let sid = sid(n);
        let parameters = [("AccountSid", ACCOUNT), ("CallSid", sid.as_str()), ("CallStatus", status)];
        assert_eq!(gateway.callback("", &parameters).await.status(), 204);
    }
    tamper(&at.place, "DELETE FROM signal").await;
    let kinds = |found: &[Value]| found.iter().map(|f| f["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(kinds(&findings(&at)), ["no_signals", "no_signals"]);
    tamper(&at.place, &format!("UPDATE call SET pruned_ms = 1 WHERE provider_id = '{}'", sid(2))).await;
    // Beside a running server.
    let report = check(&at, &["--json"]).expect(5).json();
    assert_eq!((&report["pruned"], &report["calls"]), (&1.into(), &0.into()), "{report}");
    assert_eq!(
        (&report["findings"][0]["kind"], &report["findings"][0]["provider_id"]),
        (&"no_signals".into(), &sid(1).into())
    );
}

async fn an_unapplied_delivery_is_listed(at: TestDatabase) {
    played(&at).await;
    let unapplied = "UPDATE delivery SET state = 'unapplied', reason = 'a trigger said no', attempts = 3
                      WHERE id IN (SELECT id FROM delivery LIMIT 1)";
    tamper(&at.place, unapplied).await;
    let found = findings(&at);
    assert_eq!(
        (found.len(), &found[0]["kind"], &found[0]["attempts"]),
        (1, &"unapplied".into(), &3.into()),
        "{found:?}"
    );
    let said = check(&at, &[]).expect(5).stdout;
    assert!(said.contains("could not be applied in 3 attempts: a trigger said no"), "{said}");
}
