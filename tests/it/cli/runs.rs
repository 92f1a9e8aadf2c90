//! Runs at the command line: made, steered, watched, in the form of the REST API.

use super::{Ran, Shell};
use crate::support::{
    database::{TestDatabase, on_both},
    gateway::Gateway,
};
use serde_json::{Value, json};

on_both!(
    a_run_is_made_started_and_cancelled,
    json_is_that_of_the_rest_api,
    what_is_wrong_is_said_with_what_is_allowed,
    a_run_is_watched_until_it_ends,
    force_cancel_asks_and_counts,
    runs_and_jobs_come_in_pages,
    numbers_not_to_call_are_kept,
);

const LIST: &str = "to,lead_id\n+14155550101,a\n+14155550102,b\n+14155550103,c\n";

struct At {
    shell: Shell,
}

impl At {
    fn on(at: &TestDatabase) -> Self {
        let shell = Shell::on(&at.place);
        shell.write("list.csv", LIST);
        Self { shell }
    }

    fn run(&self, args: &[&str]) -> Ran {
        tokio::task::block_in_place(|| self.shell.run(args))
    }

    fn json(&self, args: &[&str]) -> Value {
        self.run(&[args, &["--json"]].concat()).expect(0).json()
    }

    fn made(&self, key: &str) -> Value {
        self.json(&["runs", "create", "list.csv", "--worker", "external", "--key", key])["run"].clone()
    }
}

async fn a_run_is_made_started_and_cancelled(at: TestDatabase) {
    let at = At::on(&at);
    let made = at.run(&["runs", "create", "list.csv", "--worker", "external", "--key", "spring"]).expect(0);
    assert!(made.stdout.contains("was made and is pending: 3 jobs added, 0 were there, 0 rows left out"), "{made:?}");
    made.says(&["nobody is called yet", "onhook runs start run_"]);
    let again = at.run(&["runs", "create", "list.csv", "--worker", "external", "--key", "spring", "--start"]).expect(0);
    assert!(again.stdout.contains("was there and is running: 0 jobs added, 3 were there"), "{again:?}");
    let run = at.json(&["runs", "show", "spring"]);
    assert_eq!((&run["state"], &run["jobs"]["queued"]), (&json!("running"), &json!(3)), "{run}");
    assert_eq!(at.json(&["runs", "active"])["also_active"], json!([]));
    assert_eq!(at.json(&["runs", "pause", "spring"])["state"], "paused");
    at.run(&["runs", "active"]).expect(3).says(&["there is no active run", "next:"]);
    assert_eq!(at.json(&["runs", "resume", "spring"])["state"], "running");
    let sheet = at.run(&["runs", "show", run["id"].as_str().unwrap()]).expect(0).stdout;
    assert!(sheet.contains("running") && sheet.contains("3: 3 queued") && !sheet.contains('\u{1b}'), "{sheet}");
    let cancelled = at.run(&["runs", "cancel", "spring"]).expect(0).stdout;
    assert!(cancelled.contains("cancelled") && cancelled.contains("3 cancelled"), "{cancelled}");
    at.run(&["runs", "pause", "spring"]).expect(1).says(&["failed to", "cancelled", "next:"]);
    let jobs = at.json(&["runs", "jobs", "spring", "--state", "cancelled"]);
    assert_eq!(jobs["data"].as_array().unwrap().len(), 3);
    for what in [
        &["show"][..],
        &["start"],
        &["pause"],
        &["resume"],
        &["cancel"],
        &["force-cancel", "--yes"],
        &["jobs"],
        &["watch"],
    ] {
        at.run(&[&["runs"], what, &["run_missing"]].concat()).expect(3).says(&["there is no run run_missing", "next:"]);
    }
}

async fn json_is_that_of_the_rest_api(at: TestDatabase) {
    let shell = At::on(&at);
    let gateway = Gateway::on(&at, &[]).await;
    shell.json(&[
        "runs",
        "create",
        "list.csv",
        "--key",
        "spring",
        "--name",
        "Spring",
        "--from",
        "+14155550100",
        "--connect",
        "client:ann",
        "--connect",
        "+14155550109",
        "--timeout-seconds",
        "30",
        "--calls-per-second",
        "0.5",
        "--retry-attempts",
        "2",
        "--retry-on",
        "busy,failed",
        "--machine-detection",
        "Enable",
    ]);
    let run = shell.json(&["runs", "show", "spring"]);
    assert_eq!(
        (&run["connect"], &run["retry"]["on"]),
        (&json!(["client:ann", "+14155550109"]), &json!(["busy", "failed"]))
    );
    let path = format!("/v1/runs/{}", run["id"].as_str().unwrap());
    assert_eq!(gateway.get(&path).await, run);
    assert_eq!(gateway.get("/v1/runs").await["data"], shell.json(&["runs", "list"])["data"]);
    assert_eq!(gateway.get(&format!("{path}/jobs")).await["data"], shell.json(&["runs", "jobs", "spring"])["data"]);
    shell.json(&["do-not-call", "add", "+14155550155", "--reason", "asked"]);
    assert_eq!(gateway.get("/v1/do-not-call").await["data"], shell.json(&["do-not-call", "list"])["data"]);
}

async fn what_is_wrong_is_said_with_what_is_allowed(at: TestDatabase) {
    let at = At::on(&at);
    let create = |more: &[&str]| at.run(&[&["runs", "create", "list.csv", "--worker", "external"], more].concat());
    create(&["--calls-at-once", "0"]).expect(2).says(&["calls_at_once", "10000"]);
    create(&["--account", "AC9"]).expect(2).says(&["account"]);
    create(&["--calls-per-second", "many"]).expect(2).says(&["many"]);
    create(&["--tenant", "acme"]).expect(3).says(&["there is no tenant acme"]);
    at.run(&["runs", "create", "list.csv", "--worker", "robot"]).expect(2).says(&["worker", "robot", "external"]);
    at.run(&["runs", "create", "missing.csv"]).expect(1).says(&["missing.csv"]);
    at.run(&["runs", "list", "--state", "dialing"]).expect(2).says(&["dialing", "running"]);
    at.run(&["runs", "jobs", "x", "--outcome", "answered"]).expect(2).says(&["answered", "busy"]);
    at.run(&["runs", "list", "--cursor", "x"]).expect(2).says(&["--cursor"]);
    at.run(&["runs", "watch", "x", "--interval", "1ms"]).expect(2).says(&["100ms"]);
    at.shell.write("wrong.csv", "to,phone\n+14155550101,x\n");
    at.run(&["runs", "create", "wrong.csv", "--worker", "external"]).expect(2).says(&["phone", "lead_id"]);
    at.shell.write("half.csv", "to\n+14155550101\nann\n");
    let half = at.run(&["runs", "create", "half.csv", "--worker", "external", "--json"]).expect(1).json();
    assert_eq!(
        (&half["imported"]["created"], &half["imported"]["errors"][0]["line"]),
        (&json!(1), &json!(3)),
        "{half}"
    );
    assert_eq!(at.json(&["runs", "list"])["data"].as_array().unwrap().len(), 1, "nothing else was made");
}

async fn a_run_is_watched_until_it_ends(at: TestDatabase) {
    let at = At::on(&at);
    at.made("spring");
    at.json(&["runs", "start", "spring"]);
    let mut watching = at.shell.command(&["runs", "watch", "spring", "--interval", "100ms", "--json"]);
    let watching = watching.stdout(std::process::Stdio::piped()).spawn().unwrap();
    at.json(&["runs", "cancel", "spring"]);
    let ended = tokio::task::block_in_place(|| watching.wait_with_output()).unwrap();
    assert_eq!(ended.status.code(), Some(1), "a run that was cancelled is not completed");
    let text = String::from_utf8(ended.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.last().unwrap();
    assert_eq!((&last["run"]["state"], &last["run"]["jobs"]["cancelled"]), (&json!("cancelled"), &json!(3)), "{text}");
    let figures = (&last["calls_per_minute"], &last["answer_rate"], &last["remaining_seconds"]);
    assert_eq!(figures, (&json!(0), &Value::Null, &json!(0)));
    let plain = at.run(&["runs", "watch", "spring"]).expect(1);
    assert_eq!(plain.stdout.lines().count(), 1, "{plain:?}");
    assert!(plain.stdout.contains("cancelled; 3: 3 cancelled; 0 calls/min, answered -"), "{plain:?}");
    assert!(
        !plain.stdout.contains('\u{1b}') && !plain.stderr.contains('\u{1b}'),
        "no bar where nobody looks: {plain:?}"
    );
}

async fn force_cancel_asks_and_counts(at: TestDatabase) {
    let at = At::on(&at);
    at.made("spring");
    at.json(&["runs", "start", "spring"]);
    at.run(&["runs", "force-cancel", "spring"]).expect(2).says(&["nobody can be asked", "--yes"]);
    assert_eq!(at.json(&["runs", "show", "spring"])["state"], "running", "nothing was changed");
    let forced = at.json(&["runs", "force-cancel", "spring", "--hangup", "--yes"]);
    let numbers = ["jobs_cancelled", "live_calls", "hung_up", "hangups_pending"].map(|name| forced[name].clone());
    assert_eq!(numbers, [3, 0, 0, 0].map(Value::from), "{forced}");
    assert_eq!(forced["run"]["state"], "cancelled");
}

async fn runs_and_jobs_come_in_pages(at: TestDatabase) {
    let at = At::on(&at);
    for key in ["one", "two", "three"] {
        at.made(key);
    }
    let keys = |page: &Value| -> Vec<String> {
        page["data"].as_array().unwrap().iter().map(|run| run["key"].as_str().unwrap().to_owned()).collect()
    };
    let first = at.json(&["runs", "list", "--limit", "2"]);
    let rest = at.json(&["runs", "list", "--limit", "2", "--cursor", first["next_cursor"].as_str().unwrap()]);
    assert_eq!([keys(&first), keys(&rest)].concat(), ["three", "two", "one"]);
    assert_eq!(rest["next_cursor"], Value::Null);
    let jobs = at.json(&["runs", "jobs", "one", "--limit", "2"]);
    let rest = at.json(&["runs", "jobs", "one", "--cursor", jobs["next_cursor"].as_str().unwrap()]);
    assert_eq!((&jobs["data"][1]["lead_id"], &rest["data"][0]["lead_id"]), (&json!("b"), &json!("c")));
    assert_eq!(at.json(&["runs", "jobs", "one", "--lead", "b"])["data"].as_array().unwrap().len(), 1);
    let table = at.run(&["runs", "list"]).expect(0).stdout;
    assert!(table.contains("ID") && table.contains("three") && table.lines().count() == 4, "{table}");
}

async fn numbers_not_to_call_are_kept(at: TestDatabase) {
    let at = At::on(&at);
    let added = at.run(&["do-not-call", "add", "+1 415 555 0101", "--reason", "asked"]).expect(0).stdout;
    assert_eq!(added.trim(), "+14155550101 is on the list now");
    assert!(at.run(&["do-not-call", "add", "+14155550101"]).expect(0).stdout.contains("was on the list"));
    at.run(&["do-not-call", "add", "ann"]).expect(2).says(&["number", "ann", "next:"]);
    at.shell.write("numbers.csv", "number,reason\n+14155550101,again\n+14155550102,\nann,\n");
    let imported = at.run(&["do-not-call", "import", "numbers.csv", "--json"]).expect(1).json();
    assert_eq!((&imported["created"], &imported["existing"], &imported["failed"]), (&json!(1), &json!(1), &json!(1)));
    let run = at.made("spring");
    assert_eq!(run["jobs"]["cancelled"], 2, "who is on the list is not called: {run}");
    at.run(&["do-not-call", "remove", "+14155550102"]).expect(0);
    at.run(&["do-not-call", "remove", "+14155550102"]).expect(3).says(&["there is no", "+14155550102", "next:"]);
    let listed = at.json(&["do-not-call", "list"]);
    assert_eq!((&listed["data"][0]["reason"], listed["data"].as_array().unwrap().len()), (&json!("again"), 1));
}
