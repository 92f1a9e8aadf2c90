//! What the command line shows is what the REST API shows.

use super::Shell;
use crate::support::{
    database::{TestDatabase, on_both},
    gateway::{ACCOUNT, Gateway},
};
use reqwest::{Method, StatusCode};
use serde_json::json;

on_both!(both_doors_show_the_same, lists_go_on_where_they_ended, a_wrong_cursor_does_not_begin_anew);

async fn both_doors_show_the_same(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    let lead = json!({ "name": "Ann Example", "phone": "+1 415 555 0101" });
    assert_eq!(gateway.ask(Method::PUT, "/v1/leads/lead-42", Some(lead)).await.0, StatusCode::CREATED);
    let sid = "CA00000000000000000000000000000001";
    let usual = [
        ("AccountSid", ACCOUNT),
        ("CallSid", sid),
        ("To", "+14155550101"),
        ("From", "+14155550100"),
        ("Direction", "outbound-api"),
    ];
    for (status, more) in [("in-progress", None), ("completed", Some(("CallDuration", "17")))] {
        let parameters: Vec<_> = usual.into_iter().chain([("CallStatus", status)]).chain(more).collect();
        assert_eq!(gateway.callback("lead_id=lead-42&user_id=ann", &parameters).await.status(), StatusCode::NO_CONTENT);
    }
    let shell = Shell::on(&at.place);
    let shown = |args: &[&str]| tokio::task::block_in_place(|| shell.json(args));
    let id = gateway.get(&format!("/v1/calls/{sid}")).await["id"].as_str().unwrap().to_owned();
    for name in [sid, id.as_str()] {
        assert_eq!(shown(&["calls", "show", name]), gateway.get(&format!("/v1/calls/{name}")).await);
    }
    assert_eq!(shown(&["calls", "timeline", sid]), gateway.get(&format!("/v1/calls/{sid}/timeline")).await);
    let leg = "CA00000000000000000000000000000000";
    let dialed = [
        ("AccountSid", ACCOUNT),
        ("CallSid", leg),
        ("ParentCallSid", sid),
        ("To", "+14155550102"),
        ("From", "+14155550100"),
        ("Direction", "outbound-dial"),
        // Whether a live one is stuck depends on the clock, and the command line has its own.
        ("CallStatus", "completed"),
        ("CallDuration", "5"),
    ];
    assert_eq!(gateway.callback("lead_id=lead-42", &dialed).await.status(), StatusCode::NO_CONTENT);
    for name in [sid, leg] {
        assert_eq!(shown(&["calls", "legs", name]), gateway.get(&format!("/v1/calls/{name}/legs")).await);
    }
    let text = tokio::task::block_in_place(|| shell.run(&["calls", "legs", leg])).expect(0).stdout;
    let lines: Vec<&str> = text.lines().skip(1).collect();
    assert!(lines.len() == 2 && lines[0].contains(sid) && lines[1].contains(&format!("└ {leg}")), "{text}");
    let first = shown(&["calls", "legs", leg, "--limit", "1"]);
    assert_eq!((&first["data"][0]["provider_id"], &first["data"][1]), (&json!(sid), &json!(null)));
    let rest = shown(&["calls", "legs", leg, "--cursor", first["next_cursor"].as_str().unwrap()]);
    assert_eq!((&rest["data"][0]["provider_id"], &rest["next_cursor"]), (&json!(leg), &json!(null)));
    assert_eq!(shown(&["calls", "list"]), gateway.get("/v1/calls").await);
    assert_eq!(shown(&["calls", "list", "--live"])["data"], json!([]));
    assert_eq!(shown(&["calls", "list", "--lead", "lead-42", "--status", "completed"]), gateway.get("/v1/calls").await);
    for (flag, number, query) in
        [("--to", "+1 415 555-0101", "to=%2B14155550101"), ("--from", "+1 (415) 555-0100", "from=%2B14155550100")]
    {
        assert_eq!(shown(&["calls", "list", flag, number]), gateway.get(&format!("/v1/calls?{query}")).await);
    }
    assert_eq!(shown(&["calls", "list", "--to", "ann"])["data"], json!([]));
    assert_eq!(shown(&["leads", "show", "lead-42"]), gateway.get("/v1/leads/lead-42").await);
    assert_eq!(shown(&["leads", "list", "--status", "contacted"]), gateway.get("/v1/leads?status=contacted").await);
    assert_eq!(shown(&["leads", "show", "lead-42"])["status"], "contacted");

    let text = tokio::task::block_in_place(|| shell.run(&["calls", "timeline", sid])).expect(0).stdout;
    assert!(text.contains("answered") && text.contains("callback") && text.contains("completed"), "{text}");
    let text = tokio::task::block_in_place(|| shell.run(&["calls", "show", sid])).expect(0).stdout;
    assert!(text.lines().any(|line| line.starts_with("talk_seconds") && line.ends_with("17")), "{text}");
}

async fn lists_go_on_where_they_ended(at: TestDatabase) {
    let shell = Shell::on(&at.place);
    let run = |args: &[&str]| tokio::task::block_in_place(|| shell.run(args));
    let table: String = (0..450).map(|n| format!("lead-{n:03},Lead {n}\n")).collect();
    let fed = tokio::task::block_in_place(|| shell.feed(&["leads", "import", "-"], &format!("id,name\n{table}")));
    fed.expect(0);
    // More than is fetched at once.
    let all = run(&["leads", "list", "--limit", "10000", "--json"]).expect(0).json();
    assert_eq!((all["data"].as_array().unwrap().len(), &all["next_cursor"]), (450, &json!(null)));
    let (mut seen, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut args = vec!["leads", "list", "--limit", "199", "--json"];
        if let Some(cursor) = &cursor {
            args.extend(["--cursor", cursor]);
        }
        let page = run(&args).expect(0).json();
        seen.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(all["data"], json!(seen));
    run(&["leads", "list", "--limit", "2"]).expect(0).says(&["--cursor lead-001"]);
}

async fn a_wrong_cursor_does_not_begin_anew(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    let sid = "CA00000000000000000000000000000001";
    for status in ["ringing", "busy"] {
        let parameters = [("AccountSid", ACCOUNT), ("CallSid", sid), ("CallStatus", status)];
        assert_eq!(gateway.callback("", &parameters).await.status(), StatusCode::NO_CONTENT);
    }
    let shell = Shell::on(&at.place);
    let timeline = |args: &[&str]| {
        tokio::task::block_in_place(|| shell.run(&[&["calls", "timeline", sid, "--json"], args].concat()))
    };
    for wrong in ["call_01", "1x", "", "99999999999999999999"] {
        timeline(&["--cursor", wrong]).expect(2).says(&["--cursor"]);
    }
    let first = timeline(&["--limit", "1"]).expect(0).json();
    let rest = timeline(&["--cursor", first["next_cursor"].as_str().unwrap()]).expect(0).json();
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &json!(null)), "{rest}");
    assert_ne!(rest["data"][0], first["data"][0]);
}
