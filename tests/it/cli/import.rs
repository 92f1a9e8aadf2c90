//! Tables of the user's own, in and out again.

use super::Shell;
use crate::support::{
    database::{TestDatabase, on_both},
    gateway::ACCOUNT,
};
use serde_json::{Value, json};

on_both!(
    leads_come_in_from_csv_and_ndjson,
    calls_that_never_ended_come_in,
    a_line_of_calls_is_one_object,
    a_lead_is_written_and_deleted,
);

async fn leads_come_in_from_csv_and_ndjson(at: TestDatabase) {
    let shell = Shell::on(&at.place);
    let run = |args: &[&str]| tokio::task::block_in_place(|| shell.run(args));
    shell.write(
        "leads.csv",
        "id,name,phone\nlead-1,\"Ann, Example\",+1 415 555 0101\nlead-2,Bob,\nlead-3,Cleo,not a number\n",
    );
    let ran = run(&["leads", "import", "leads.csv", "--json"]).expect(1);
    let imported = ran.json();
    assert_eq!((&imported["created"], &imported["failed"]), (&2.into(), &1.into()), "{imported}");
    assert_eq!((&imported["errors"][0]["line"], &imported["errors"][0]["field"]), (&4.into(), &"phone".into()));
    run(&["leads", "import", "leads.csv"]).expect(1).says(&["phone", "not a number", "the other rows were imported"]);

    let more = r#"{"id":"lead-2","status":"qualified"}
{"id":"lead-4","last_contacted_at":"2026-01-01T00:00:00Z"}
"#;
    let fed = tokio::task::block_in_place(|| shell.feed(&["leads", "import", "-", "--json"], more)).expect(0).json();
    assert_eq!((&fed["created"], &fed["updated"]), (&1.into(), &1.into()), "{fed}");
    let leads = run(&["leads", "list", "--json"]).expect(0).json();
    let fields = ["id", "name", "phone", "status", "last_contacted_at"];
    let shown: Vec<_> =
        leads["data"].as_array().unwrap().iter().map(|lead| fields.map(|field| lead[field].clone())).collect();
    let expected = json!([
        ["lead-1", "Ann, Example", "+1 415 555 0101", "new", null],
        ["lead-2", "Bob", null, "qualified", null],
        ["lead-4", null, null, "new", "2026-01-01T00:00:00.000Z"],
    ]);
    assert_eq!(json!(shown), expected);
    let found = run(&["leads", "list", "--phone", "+14155550101", "--json"]).expect(0).json();
    assert_eq!(found["data"][0]["id"], "lead-1");
    run(&["leads", "import", "missing.csv"]).expect(1).says(&["missing.csv"]);
    shell.write("wrong.csv", "id,nmae\nlead-1,Ann\n");
    run(&["leads", "import", "wrong.csv"]).expect(1).says(&["nmae", "name"]);
}

async fn calls_that_never_ended_come_in(at: TestDatabase) {
    let shell = Shell::on(&at.place);
    let run = |args: &[&str]| tokio::task::block_in_place(|| shell.run(args));
    let sid = |n: u8| format!("CA{n:032}");
    let table = format!(
        "provider_id,created_at,status,lead_id,to\n\
         {},2026-01-01T10:00:00Z,in-progress,lead-1,+14155550101\n\
         {},2026-01-01T10:05:00Z,ringing,,+14155550102\n\
         {},2026-01-01T10:06:00Z,completed,lead-1,+14155550103\n\
         {},yesterday,ringing,,\n",
        sid(1),
        sid(2),
        sid(3),
        sid(4),
    );
    shell.write("stuck.csv", &table);
    let imported = run(&["calls", "import", "stuck.csv", "--json"]).expect(1).json();
    assert_eq!((&imported["imported"], &imported["skipped"], &imported["failed"]), (&2.into(), &1.into(), &1.into()));
    assert_eq!(imported["errors"][0]["line"], 5, "{imported}");
    run(&["calls", "import", "stuck.csv"]).expect(1).says(&["yesterday", "created_at"]);

    let live = run(&["calls", "list", "--live", "--json"]).expect(0).json();
    let calls = live["data"].as_array().unwrap();
    assert_eq!(calls.len(), 2, "imported twice, there once: {live}");
    let call = run(&["calls", "show", &sid(1), "--json"]).expect(0).json();
    assert_eq!(
        (&call["status"], &call["lead_id"], &call["account"]),
        (&"in-progress".into(), &"lead-1".into(), &ACCOUNT.into())
    );
    assert_eq!((&call["created_at"], &call["deliveries"]), (&"2026-01-01T10:00:00.000Z".into(), &0.into()));
    assert_eq!(call["stuck"], "critical");
    let timeline = run(&["calls", "timeline", &sid(1), "--json"]).expect(0).json();
    assert_eq!(timeline["data"].as_array().unwrap().len(), 1, "{timeline}");
    assert_eq!(timeline["data"][0]["witness"], "manual");
    run(&["check"]).expect(0);

    let row = format!(
        r#"{{"provider_id":"{}","account":"AC_unknown","created_at":"2026-01-01T10:00:00Z","status":"queued"}}"#,
        sid(5)
    );
    let fed = tokio::task::block_in_place(|| shell.feed(&["calls", "import", "-", "--json"], &row)).expect(1).json();
    assert_eq!((&fed["errors"][0]["field"], &fed["imported"]), (&"account".into(), &0.into()), "{fed}");
}

async fn a_line_of_calls_is_one_object(at: TestDatabase) {
    let shell = Shell::on(&at.place);
    let call = |n: u8| json!({ "provider_id": format!("CA{n:032}"), "created_at": "2026-01-01T10:00:00Z", "status": "ringing" });
    // The fields in the order in which they are declared.
    let list =
        json!([format!("CA{:032}", 2), ACCOUNT, null, "2026-01-01T10:00:00Z", "ringing", null, null, null, null]);
    let lines = format!("{}\n{list}\n{} {{}}\n\n{}\n", call(1), call(3), call(4));
    let fed = tokio::task::block_in_place(|| shell.feed(&["calls", "import", "-", "--json"], &lines)).expect(1).json();
    assert_eq!((&fed["imported"], &fed["failed"]), (&2.into(), &2.into()), "{fed}");
    let wrong = |at: usize| (fed["errors"][at]["line"].clone(), fed["errors"][at]["message"].to_string());
    let ((list_line, list_message), (junk_line, junk_message)) = (wrong(0), wrong(1));
    assert!(list_line == 2 && list_message.contains("an object is expected"), "{fed}");
    assert!(junk_line == 3 && junk_message.contains("trailing characters"), "{fed}");
}

async fn a_lead_is_written_and_deleted(at: TestDatabase) {
    let shell = Shell::on(&at.place);
    let run = |args: &[&str]| tokio::task::block_in_place(|| shell.run(args));
    run(&["leads", "put", "lead-1", "--name", "Ann", "--phone", "+1 415 555 0101"]).expect(0);
    run(&["leads", "put", "lead-1", "--name", "Ann Example"]).expect(0);
    let lead = run(&["leads", "show", "lead-1", "--json"]).expect(0).json();
    assert_eq!((&lead["name"], &lead["phone"]), (&"Ann Example".into(), &Value::Null), "{lead}");
    run(&["leads", "put", "lead-1", "--phone", "12"]).expect(2).says(&["phone", "12"]);
    run(&["leads", "delete", "lead-1"]).expect(0);
    run(&["leads", "delete", "lead-1"]).expect(3);
    assert_eq!(run(&["leads", "list", "--json"]).expect(0).json()["data"], json!([]));
}
