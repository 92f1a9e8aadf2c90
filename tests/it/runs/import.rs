//! Runs and jobs as they are written: what is taken, what is refused and with which words, and lists that come twice.

use super::office::{PBX, Scene, US, external, kind, people, refused, twilio};
use crate::support::database::{TestDatabase, on_both};
use onhook::runs::{Format, JOBS_MAX, JobText, Jobs, RetryText, RunError, RunText};
use std::fmt::Write;

on_both! {
    what_is_wrong_with_a_run_is_named_all_at_once,
    each_provider_takes_its_own,
    the_account_is_one_of_the_tenant,
    rows_that_are_wrong_are_left_out,
    a_list_that_comes_twice_is_one,
    tables_that_cannot_be_read_leave_no_run,
    a_run_has_a_hundred_thousand_jobs_and_no_more,
}

/// What is wrong, by field.
async fn wrongs(scene: &Scene, text: &RunText) -> Vec<String> {
    match scene.desk.create(&US, text, Jobs::None).await.unwrap_err() {
        RunError::Fields(wrongs) => wrongs.into_iter().map(|wrong| wrong.field).collect(),
        other => panic!("{other}"),
    }
}

async fn what_is_wrong_with_a_run_is_named_all_at_once(at: TestDatabase) {
    let scene = Scene::on(at);
    let text = RunText {
        key: Some("a\nb".into()),
        name: Some("x".repeat(201)),
        worker: Some("me".into()),
        from: Some("911".into()),
        connect: Some(vec!["client:ann".into(), "bob".into()]),
        url: Some("ftp://example.com".into()),
        timeout_seconds: Some(4),
        time_limit_seconds: Some(86_401),
        machine_detection: Some("yes".into()),
        calls_per_second: Some(100.1),
        calls_at_once: Some(0),
        retry: Some(RetryText { attempts: Some(11), on: Some(vec!["completed".into()]), after_seconds: Some(0) }),
        twiml: Some("<Respond/>".into()),
        ..twilio()
    };
    assert_eq!(
        wrongs(&scene, &text).await,
        [
            "key",
            "name",
            "worker",
            "calls_per_second",
            "calls_at_once",
            "from",
            "twiml",
            "url",
            "connect[1]",
            "timeout_seconds",
            "time_limit_seconds",
            "machine_detection",
            "retry.attempts",
            "retry.after_seconds",
            "retry.on[0]",
        ]
    );
    for calls_per_second in [0.0, -1.0, 0.009, f64::NAN, f64::INFINITY] {
        let text = RunText { calls_per_second: Some(calls_per_second), ..twilio() };
        assert_eq!(wrongs(&scene, &text).await, ["calls_per_second"], "{calls_per_second}");
    }
}

async fn each_provider_takes_its_own(at: TestDatabase) {
    let scene = Scene::on(at);
    let bare = RunText { from: None, twiml: None, ..twilio() };
    assert_eq!(wrongs(&scene, &bare).await, ["from", "connect"]);
    let both = RunText { url: Some("https://example.com/voice".into()), ..twilio() };
    assert_eq!(wrongs(&scene, &both).await, ["connect"]);
    let strange = RunText { channel: Some("PJSIP/{to}".into()), context: Some("a".into()), ..twilio() };
    assert_eq!(wrongs(&scene, &strange).await, ["channel", "context"]);
    scene.create(&RunText { worker: Some("external".into()), ..bare.clone() }, &[]).await;
    let pbx = RunText { account: Some(PBX.into()), ..RunText::default() };
    assert_eq!(wrongs(&scene, &pbx).await, ["channel", "context", "extension"]);
    let full = RunText {
        channel: Some("Local/{to}@dial/n".into()),
        context: Some("from-onhook".into()),
        extension: Some("s".into()),
        from: Some("200".into()),
        ..pbx.clone()
    };
    scene.create(&full, &[]).await;
    assert_eq!(wrongs(&scene, &RunText { twiml: Some("<Response/>".into()), ..full.clone() }).await, ["twiml"]);
    for channel in ["PJSIP/trunk", "PJSIP/{to}&SIP/{to}", "{to}", "PJSIP/{to},30", "PJSIP/{to}@a b", "/{to}"] {
        assert_eq!(wrongs(&scene, &RunText { channel: Some(channel.into()), ..full.clone() }).await, ["channel"]);
    }
    let jobs: Vec<JobText> = ["100", "+14155560001", "*43", "4155560001", "1&2", "1/2", "1,2", "1(2", "", "1 2"]
        .map(|to| JobText { to: Some(to.into()), ..JobText::default() })
        .into();
    let created = scene.create(&full, &jobs).await;
    let imported = &created.imported;
    assert_eq!(
        (imported.created, imported.existing, imported.failed),
        (3, 1, 6),
        "one number is one job: {imported:?}"
    );
    let jobs = scene.jobs(&created.run.row.id).await;
    let read: Vec<_> = jobs.iter().map(|job| (job.to.as_str(), job.phone_e164.as_deref(), job.key.as_str())).collect();
    assert_eq!(
        read,
        [("100", None, "to:100"), ("+14155560001", Some("+14155560001"), "to:+14155560001"), ("*43", None, "to:*43")]
    );
}

async fn the_account_is_one_of_the_tenant(at: TestDatabase) {
    let scene = Scene::on(at);
    for account in [None, Some("nobody"), Some("AC00000000000000000000000000000009")] {
        let text = RunText { account: account.map(str::to_owned), ..twilio() };
        let RunError::Fields(wrongs) = scene.desk.create(&US, &text, Jobs::None).await.unwrap_err() else { panic!() };
        assert_eq!((wrongs.len(), wrongs[0].field.as_str()), (1, "account"));
        assert!(wrongs[0].message.contains("pbx") && !wrongs[0].message.contains('9'), "{}", wrongs[0].message);
    }
    let other = onhook::runs::By { tenant: "other", actor: "cli" };
    let text = RunText { account: None, ..twilio() };
    let only = scene.desk.create(&other, &text, Jobs::None).await.unwrap();
    assert_eq!(only.run.row.account, "AC00000000000000000000000000000009", "the only one");
}

async fn rows_that_are_wrong_are_left_out(at: TestDatabase) {
    let scene = Scene::on(at);
    let csv = b"to,lead_id,not_before\n+14155560001,a,\nnobody,b,\n,c,\n4155560002,d,tomorrow\nclient:ann,e,2027-02-01T00:00:00Z\n\
        +14155560003,a,\n4155560004\nsip:ann@example.com,,\n";
    let created = scene.desk.create(&US, &twilio(), Jobs::Table(Format::Csv, csv)).await.unwrap();
    let imported = &created.imported;
    assert_eq!((imported.created, imported.existing, imported.failed), (3, 1, 4), "{imported:?}");
    let errors: Vec<_> = imported.errors.iter().map(|e| (e.line, e.field.as_deref())).collect();
    assert_eq!(errors, [(3, Some("to")), (4, Some("to")), (5, Some("not_before")), (8, None)]);
    let ndjson = b"{\"to\":\"+14155560009\",\"key\":\"k\",\"user_id\":\"ann\"}\n{\"to\":\"+1\",\"phone\":1}\n[]\n";
    let id = created.run.row.id;
    let imported = scene.desk.add_jobs(&US, &id, Jobs::Table(Format::Ndjson, ndjson)).await.unwrap();
    assert_eq!((imported.created, imported.failed), (1, 2), "{imported:?}");
    let jobs = scene.jobs(&id).await;
    let keys: Vec<_> = jobs.iter().map(|job| (job.place, job.key.as_str())).collect();
    assert_eq!(keys, [(1, "lead:a"), (2, "lead:e"), (3, "to:sip:ann@example.com"), (4, "k")]);
    assert_eq!(jobs[1].due_ms, 1_801_440_000_000);
}

async fn a_list_that_comes_twice_is_one(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.create(&external(), &people(700)).await.run.row.id;
    scene.desk.start(&US, &id).await.unwrap();
    let twice = scene.desk.add_jobs(&US, &id, Jobs::Texts(&people(700))).await.unwrap();
    assert_eq!((twice.created, twice.existing, twice.failed), (0, 700, 0));
    let mut mixed = people(705);
    mixed.reverse();
    let mixed = scene.desk.add_jobs(&US, &id, Jobs::Texts(&mixed)).await.unwrap();
    assert_eq!((mixed.created, mixed.existing), (5, 700));
    let jobs = scene.jobs(&id).await;
    assert_eq!((jobs.len(), jobs.last().unwrap().place), (705, 705), "places follow each other");
}

async fn tables_that_cannot_be_read_leave_no_run(at: TestDatabase) {
    let scene = Scene::on(at);
    for csv in ["", "phone\n1\n", "to,to2\n", "lead_id\na\n"] {
        let made = scene.desk.create(&US, &twilio(), Jobs::Table(Format::Csv, csv.as_bytes())).await;
        assert_eq!(refused(made), "fields", "{csv:?}");
    }
    let long = "x\n".repeat(JOBS_MAX + 2);
    let made = scene.desk.create(&US, &twilio(), Jobs::Table(Format::Csv, long.as_bytes())).await;
    assert_eq!(kind(&made.unwrap_err()), "too-many-jobs");
    let none = scene.desk.list("acme", &Default::default(), (i64::MAX, ""), 10).await.unwrap();
    assert_eq!(none.len(), 0);
}

async fn a_run_has_a_hundred_thousand_jobs_and_no_more(at: TestDatabase) {
    let scene = Scene::on(at);
    let mut csv = "to\n".to_owned();
    for n in 0..JOBS_MAX - 3 {
        writeln!(csv, "sip:{n}@example.com").unwrap();
    }
    let created = scene.desk.create(&US, &twilio(), Jobs::Table(Format::Csv, csv.as_bytes())).await.unwrap();
    assert_eq!((created.imported.created, created.run.counts.queued), (99_997, 99_997));
    let id = created.run.row.id;
    let imported = scene.desk.add_jobs(&US, &id, Jobs::Texts(&people(10))).await.unwrap();
    assert_eq!((imported.created, imported.existing, imported.failed), (3, 0, 7), "{imported:?}");
    assert!(imported.errors[0].message.contains("at most 100000 jobs"), "{imported:?}");
    let again = scene.desk.add_jobs(&US, &id, Jobs::Texts(&people(4))).await.unwrap();
    assert_eq!((again.created, again.existing, again.failed), (0, 3, 1));
    assert_eq!(scene.show(&id).await.counts.total, 100_000);
}
