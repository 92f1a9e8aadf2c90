//! `onhook sweep`, `stuck` and `calls explain`, beside a running gateway.

use super::{Ran, Shell};
use crate::support::{
    database::{TestDatabase, on_both},
    gateway::PUBLIC_URL,
    stage::Stage,
};
use onhook::{clock::ManualClock, double::Fate};
use serde_json::{Value, json};

on_both!(a_lost_ending_is_shown_and_repaired_from_the_command_line, what_would_be_wrong_is_said);

/// A stage whose time is about that of the program, which has no clock of ours.
async fn stage(at: &TestDatabase) -> (Stage, Shell) {
    let now_ms = chrono::Utc::now().timestamp_millis();
    let stage = Stage::by(&at.place, &[], ManualClock::new(now_ms - 3 * 3_600_000)).await;
    let shell = Shell::on(&at.place)
        .with("ONHOOK_PUBLIC_URL", PUBLIC_URL)
        .with("ONHOOK_TWILIO_API_BASE", &stage.twilio.address);
    (stage, shell)
}

fn run(shell: &Shell, args: &[&str]) -> Ran {
    tokio::task::block_in_place(|| shell.run(args))
}

async fn a_lost_ending_is_shown_and_repaired_from_the_command_line(at: TestDatabase) {
    let (stage, shell) = stage(&at).await;
    let ended = stage.place(Fate::Answered { talk_s: 60 });
    stage.pass(20_000).await;
    stage.lose(1.0);
    stage.pass(3 * 3_600_000 - 20_000).await;
    assert_eq!(stage.status(&ended).await, "in-progress");

    let listed = run(&shell, &["stuck", "--json"]).expect(0).json();
    let call = &listed["data"][0];
    assert_eq!((&call["provider_id"], &call["stuck"]), (&json!(ended), &json!("critical")), "{listed}");
    let text = run(&shell, &["stuck", "--threshold", "30m", "--exit-code"]).expect(5).stdout;
    assert!(text.contains("not asked about it yet") && text.contains(&ended), "{text}");
    run(&shell, &["stuck", "--threshold", "7d"]).expect(0).says(&["nothing to show"]);
    let told = run(&shell, &["calls", "explain", &ended]).expect(0).stdout;
    assert!(told.contains("moved from") && told.contains("next"), "{told}");

    // Nobody can be asked here.
    run(&shell, &["sweep"]).expect(2).says(&["--yes", "--dry-run"]);
    run(&shell, &["sweep", "--json"]).expect(2);
    let would = run(&shell, &["sweep", "--dry-run", "--exit-code"]).expect(5).stdout;
    for words in [ended.as_str(), "completed", "reconciled", "1 would be repaired", "ended as completed"] {
        assert!(would.contains(words), "{words}: {would}");
    }
    assert_eq!(stage.status(&ended).await, "in-progress", "nothing was changed");
    let done = run(&shell, &["sweep", "--yes", "--json"]).expect(0).json();
    assert_eq!((&done["repaired"], &done["changed"][0]["provider_id"]), (&json!(1), &json!(ended)), "{done}");
    assert_eq!(stage.status(&ended).await, "completed");
    run(&shell, &["sweep", "--dry-run", "--exit-code"]).expect(0);
    let sweeps = stage.gateway.get("/v1/sweeps").await;
    let actors: Vec<&Value> = sweeps["data"].as_array().unwrap().iter().map(|row| &row["actor"]).collect();
    assert_eq!(actors, [&json!("cli"); 3], "{sweeps}");

    let told = run(&shell, &["calls", "explain", &ended, "--json"]).expect(0).json();
    let over_rest = stage.gateway.get(&format!("/v1/calls/{ended}/explain")).await;
    assert_eq!(told, over_rest, "both doors tell the same");
    assert_eq!(told["ending"]["resolution"], "reconciled");
}

async fn what_would_be_wrong_is_said(at: TestDatabase) {
    let shell = Shell::on(&at.place);
    run(&shell, &["sweep", "--dry-run", "--threshold", "x"]).expect(2).says(&["30m"]);
    run(&shell, &["sweep", "--dry-run", "--threshold", "8d"]).expect(2).says(&["7d"]);
    run(&shell, &["sweep", "--dry-run", "--yes"]).expect(2);
    run(&shell, &["sweep", "--exit-code"]).expect(2).says(&["--dry-run"]);
    run(&shell, &["sweep", "--dry-run", "--tenant", "nope"]).expect(3).says(&["tenant nope"]);
    run(&shell, &["stuck", "--tenant", "nope"]).expect(3).says(&["tenant nope"]);
    run(&shell, &["calls", "explain", "CA0"]).expect(3).says(&["CA0"]);
    let elsewhere = Shell::new().with("ONHOOK_DATABASE_URL", "sqlite://nowhere.db");
    for args in [&["sweep", "--yes"][..], &["stuck"]] {
        run(&elsewhere, args).expect(6).says(&["there is no database"]);
    }
}
