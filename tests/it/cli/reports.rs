//! What the command line shows of figures, notices and the audit is what the REST API shows.

use super::Shell;
use crate::support::{
    database::{TestDatabase, on_both},
    gateway::{ACCOUNT, Gateway, START_MS},
};
use onhook::{
    domain::id::new_id,
    store::{
        audit::{self, AuditFilter, AuditRow},
        notices::{self, NoticeRow},
    },
};
use reqwest::StatusCode;
use serde_json::json;

on_both!(both_doors_show_the_same_figures, both_doors_show_the_same_notices, what_is_done_here_is_in_the_audit);

async fn both_doors_show_the_same_figures(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    for (n, status) in [(1, "completed"), (2, "busy"), (3, "failed"), (4, "completed")] {
        let sid = format!("CA{n:032x}");
        let parameters = [
            ("AccountSid", ACCOUNT),
            ("CallSid", &sid),
            ("To", "+14155550101"),
            ("From", "+14155550100"),
            ("Direction", "outbound-api"),
            ("CallStatus", status),
            ("CallDuration", "17"),
        ];
        assert_eq!(gateway.callback("", &parameters).await.status(), StatusCode::NO_CONTENT);
    }
    let shell = Shell::on(&at.place);
    let run = |args: &[&str]| tokio::task::block_in_place(|| shell.run(args));
    let shown = |args: &[&str]| tokio::task::block_in_place(|| shell.json(args));
    // The command line has a clock of its own, so the time is named; what lives depends on none.
    let (since, until) = ("2026-01-02T00:00:00.000Z", "2026-01-03T00:00:00.000Z");
    let stats = shown(&["stats", "--since", since, "--until", until]);
    assert_eq!(stats, gateway.get(&format!("/v1/stats?since={since}&until={until}")).await);
    assert_eq!(stats["calls"], 4);
    let text = run(&["stats", "--since", since, "--until", until]).expect(0).stdout;
    assert!(text.lines().any(|line| line.starts_with("answer rate") && line.ends_with("50.0 %")), "{text}");
    for (args, path) in [
        (["report", "daily", "--date", "2026-01-02"], "/v1/reports/daily?date=2026-01-02"),
        (["report", "weekly", "--week", "2026-W01"], "/v1/reports/weekly?week=2026-W01"),
    ] {
        assert_eq!(shown(&args), gateway.get(path).await, "{path}");
        let text = run(&args).expect(0).stdout;
        let calls = text.lines().find(|line| line.starts_with("calls")).unwrap();
        assert_eq!(calls.split_whitespace().collect::<Vec<_>>(), ["calls", "4", "0"], "beside the one before: {text}");
    }
    run(&["report", "daily"]).expect(0);
    run(&["stats"]).expect(0);
    run(&["report", "daily", "--date", "2026-13-01"]).expect(2).says(&["--date", "2026-11-19"]);
    run(&["report", "weekly", "--week", "9999-W01"]).expect(2).says(&["has not begun"]);
    run(&["stats", "--since", "today"]).expect(2).says(&["RFC 3339"]);
    run(&["stats", "--since", "2026-01-01T00:00:00Z", "--until", "2026-03-01T00:00:00Z"]).expect(2).says(&["31 days"]);
    run(&["stats", "--tenant", "nobody"]).expect(3);
}

async fn both_doors_show_the_same_notices(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    let notice = |n: u128, user_id: Option<&str>, read_ms| NoticeRow {
        tenant: "default".into(),
        id: new_id("note", START_MS, n),
        user_id: user_id.map(Into::into),
        kind: "call.given_up".into(),
        subject: "call_1".into(),
        text: format!("notice {n}"),
        created_ms: START_MS,
        read_ms,
    };
    let decision = AuditRow {
        tenant: "default".into(),
        id: new_id("audit", START_MS, 1),
        at_ms: START_MS,
        actor: "sweeper".into(),
        action: "call.given_up".into(),
        subject: "call_1".into(),
        detail: json!({"rule": "a rule"}).to_string(),
    };
    let mut tx = at.db.begin().await.unwrap();
    notices::insert(&mut tx, &[notice(1, None, None), notice(2, Some("ann"), Some(7)), notice(3, None, Some(7))])
        .await
        .unwrap();
    audit::insert(&mut tx, &[decision]).await.unwrap();
    tx.commit().await.unwrap();
    let shell = Shell::on(&at.place);
    let run = |args: &[&str]| tokio::task::block_in_place(|| shell.run(args));
    let shown = |args: &[&str]| tokio::task::block_in_place(|| shell.json(args));
    for (args, query) in [
        (&["notifications"][..], ""),
        (&["notifications", "--unread"], "?unread=true"),
        (&["notifications", "--user", "ann"], "?user_id=ann"),
        (&["notifications", "--user", ""], "?user_id="),
    ] {
        assert_eq!(shown(args), gateway.get(&format!("/v1/notifications{query}")).await, "{query}");
    }
    let first = shown(&["notifications", "--limit", "2"]);
    let rest = shown(&["notifications", "--cursor", first["next_cursor"].as_str().unwrap()]);
    assert_eq!((first["data"].as_array().unwrap().len(), &rest["data"][0]["text"]), (2, &json!("notice 1")));
    run(&["notifications", "--cursor", "7"]).expect(2);
    assert_eq!(shown(&["audit"]), gateway.get("/v1/audit").await);
    assert_eq!(
        shown(&["audit", "--subject", "call_1", "--until", "2026-01-03T00:00:00Z"]),
        gateway.get("/v1/audit").await
    );
    assert_eq!(shown(&["audit", "--action", "key.revoked"])["data"], json!([]));
    let text = run(&["audit"]).expect(0).stdout;
    assert!(text.contains("sweeper") && text.contains("call.given_up") && text.contains("a rule"), "{text}");
    run(&["audit", "--cursor", "7"]).expect(2);
    run(&["audit", "--tenant", "nobody"]).expect(3);
}

async fn what_is_done_here_is_in_the_audit(at: TestDatabase) {
    let shell = Shell::on(&at.place);
    let run = |args: &[&str]| tokio::task::block_in_place(|| shell.run(args));
    let shown = |args: &[&str]| tokio::task::block_in_place(|| shell.json(args));
    let key = shown(&["keys", "create", "--name", "crm"]);
    let id = key["id"].as_str().unwrap();
    run(&["keys", "revoke", id]).expect(0);
    run(&["keys", "revoke", id]).expect(0);
    run(&["keys", "revoke", "key_none"]).expect(3);
    run(&["voice", "set", "--number", "+14155550123", "--timeout", "20"]).expect(0);
    run(&["voice", "unset", "--number", "+14155550123"]).expect(0);
    let fed = tokio::task::block_in_place(|| shell.feed(&["leads", "import", "-"], "id,name\nlead-1,Ann\n"));
    fed.expect(0);
    run(&["leads", "delete", "lead-1"]).expect(0);
    run(&["leads", "delete", "lead-1"]).expect(3);
    let sid = "AC00000000000000000000000000000002";
    shell.write("token", "a-secret-token");
    run(&["accounts", "add", "--sid", sid, "--token-file", "token", "--no-check"]).expect(0);
    run(&["accounts", "verify", sid, "observe"]).expect(0);
    run(&["accounts", "rotate", sid, "--token-file", "token", "--no-check"]).expect(0);
    let kept = audit::list(&at.db, "default", &AuditFilter::default(), None, 99).await.unwrap();
    assert!(kept.iter().all(|row| row.actor == "cli"), "{kept:?}");
    let mut done: Vec<(&str, &str)> = kept.iter().map(|row| (row.action.as_str(), row.subject.as_str())).collect();
    done.sort_unstable();
    let number = onhook::domain::phone::mask("+14155550123");
    assert_eq!(
        done,
        [
            ("account.added", sid),
            ("account.rotated", sid),
            ("account.verify_changed", sid),
            ("key.created", id),
            ("key.revoked", id),
            ("lead.deleted", "lead-1"),
            ("voice.changed", &number),
            ("voice.forgotten", &number),
        ]
    );
    let text = format!("{kept:?}");
    let secret = key["key"].as_str().unwrap();
    assert!(!text.contains("14155550123") && !text.contains(secret) && !text.contains("a-secret-token"), "{text}");
}
