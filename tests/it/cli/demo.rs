//! The demonstration shows what it promises.

use super::Shell;
use std::path::Path;

/// Where it would put its database.
fn shell(temporary: &Path) -> Shell {
    // Settings of this machine that must not reach it.
    Shell::new()
        .with("TMPDIR", temporary.to_str().unwrap())
        .with("DATABASE_URL", "postgres://127.0.0.1:1/nowhere")
        .with("ONHOOK_LISTEN", "127.0.0.1:1")
        .with("ONHOOK_PUBLIC_URL", "https://elsewhere.example.com")
}

#[test]
fn every_story_ends_as_expected_and_nothing_is_left_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let shown = shell(temporary.path()).run(&["demo", "--exit"]).expect(0).stdout;
    let stories = onhook::story::embedded().unwrap();
    for story in &stories {
        assert!(shown.lines().any(|l| l.starts_with(&format!("✓ {} ", story.name))), "{}:\n{shown}", story.name);
    }
    let all = format!("{0} of {0} stories ended as expected", stories.len());
    for word in [all.as_str(), "lead contacted", "Ada Answers", "STATUS", "busy", "no-answer"] {
        assert!(shown.contains(word), "{word} is missing in\n{shown}");
    }
    let (_, conversation) = shown.split_once("✓ client:ann called in from a browser").expect(&shown);
    assert!(conversation.contains("one conversation of 2 legs") && conversation.contains("└ CA"), "{shown}");
    let (_, repaired) = shown.split_once("2 of these calls are over, and nobody told the gateway").expect(&shown);
    for name in ["lost-completion", "lost-and-reported"] {
        let line = repaired.lines().find(|line| line.starts_with(&format!("✓ {name} "))).expect(&shown);
        let (was, came) = line.split_once("in-progress → lead new").expect(line);
        assert!(was.contains(name) && came.contains("completed") && came.contains("lead contacted, reconciled after"));
    }
    assert!(repaired.contains("Twilio was asked, because the callback never came"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colours unless on a terminal");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn programs_get_json() {
    let temporary = tempfile::tempdir().unwrap();
    let shown = shell(temporary.path()).json(&["demo", "--exit"]);
    assert_eq!(shown["passed"], true, "{shown}");
    let contacted = shown["leads"].as_array().unwrap().iter().filter(|lead| lead["status"] == "contacted").count();
    assert!(contacted >= 8, "{shown}");
    let stories = shown["stories"].as_array().unwrap();
    assert!(stories.iter().all(|s| s["passed"] == true && s["expected"] == s["actual"]), "{shown}");
    let repaired = shown["repaired"].as_array().unwrap();
    assert_eq!(repaired.len(), 2, "{shown}");
    for story in repaired {
        assert_eq!((&story["passed"], &story["resolution"]), (&true.into(), &"reconciled".into()), "{story}");
        assert!(story["was"] == "in-progress → lead new" && story["expected"] == story["actual"], "{story}");
    }
    let conversation = &shown["conversation"];
    let legs = conversation["legs"].as_array().unwrap();
    assert_eq!((&conversation["passed"], legs.len()), (&true.into(), 2), "{conversation}");
    let customers = legs.iter().find(|leg| leg["parent_id"] == legs[0]["provider_id"]).unwrap();
    assert_eq!((&customers["talk_seconds"], &customers["user_id"]), (&42.into(), &"ann".into()));
    assert_eq!(conversation["lead"]["status"], "contacted");
}

#[test]
fn a_pbx_is_listened_to_through_a_cut_and_a_restart() {
    let temporary = tempfile::tempdir().unwrap();
    let shown = shell(temporary.path()).run(&["demo", "--ami", "--exit"]).expect(0).stdout;
    for title in ["answered", "busy", "ring group", "queue", "attended transfer", "link cut", "PBX restarted"] {
        assert!(shown.lines().any(|line| line.starts_with(&format!("✓ {title} "))), "{title}:\n{shown}");
    }
    for words in ["after the reconnect", "ended_while_disconnected", "pbx_restart", "12 of 12 calls came out"] {
        assert!(shown.contains(words), "{words} is missing in\n{shown}");
    }
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}
