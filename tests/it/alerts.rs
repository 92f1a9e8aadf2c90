//! The alerts speak of metrics that there are, and lead to a page that says what to do. When each fires is tried by
//! `deploy/prometheus/alerts_test.yml`.

use crate::support::{
    database::TestDatabase,
    gateway::{Gateway, KEY},
};
use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn alerts(rules: &str) -> Vec<&str> {
    let names: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() >= 11, "only {} alerts were found: has the form of the file changed?", names.len());
    names
}

/// Every word that begins as our metrics do.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("onhook_")).map(str::to_owned).collect()
}

async fn scrape() -> String {
    let at = TestDatabase::sqlite().await;
    let gateway = Gateway::on(&at, &[]).await;
    gateway.sweeper.observer().tick().await.unwrap();
    let response = gateway.client.get(format!("{}/metrics", gateway.address)).bearer_auth(KEY).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_of_the_alerts_is_scraped() {
    let scraped = scrape().await;
    let samples: BTreeSet<&str> = scraped
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let rules = read("deploy/prometheus/alerts.yml");
    let wanted = metrics(&rules);
    assert!(wanted.len() >= 10, "{wanted:?}");
    for name in wanted {
        // Descriptions name a histogram as a whole.
        let is_there = samples.contains(name.as_str()) || samples.contains(format!("{name}_bucket").as_str());
        assert!(is_there, "alerts.yml names {name}, which no onhook has:\n{scraped}");
    }
    // A label value that is never written makes an alert that never fires.
    for value in rules.split("trouble=").skip(1).map(|rest| rest.trim_start_matches('~').split('"').nth(1).unwrap()) {
        for word in value.split('|') {
            assert!(scraped.contains(&format!(r#"trouble="{word}""#)), "no series has trouble={word:?}");
        }
    }
    for label in [r#"level="warn""#, r#"level="critical""#, r#"outcome="failed""#] {
        assert!(rules.contains(label) && scraped.contains(label), "{label}");
    }
}

#[test]
fn every_alert_is_tried_and_leads_to_what_to_do() {
    let (rules, tests, page) =
        (read("deploy/prometheus/alerts.yml"), read("deploy/prometheus/alerts_test.yml"), read("docs/alerts.md"));
    for rule in rules.split("- alert: ").skip(1) {
        let name = rule.lines().next().unwrap();
        for part in ["severity: ", "summary: ", "description: "] {
            assert!(rule.contains(part), "{name} has no {part}");
        }
        let url = format!("/docs/alerts.md#{}\n", name.to_lowercase());
        assert!(rule.contains(&url), "the runbook of {name} is not {url}");
        assert!(page.lines().any(|line| line == format!("## {name}")), "docs/alerts.md says nothing of {name}");
        let tried: Vec<&str> =
            tests.split("- alertname: ").filter(|test| test.starts_with(&format!("{name}\n"))).collect();
        assert!(tried.iter().any(|test| test.contains("exp_alerts: []")), "nothing tries when {name} does not fire");
        assert!(tried.iter().any(|test| test.contains("exp_annotations:")), "nothing tries when {name} fires");
    }
    let known = alerts(&rules);
    for section in page.lines().filter_map(|line| line.strip_prefix("## ")) {
        assert!(known.contains(&section), "docs/alerts.md has a section {section}, which is no alert");
    }
    assert!(metrics(&page).iter().all(|name| !name.ends_with('_')));
}

/// promtool's linter reads the older text format only: ours, which is OpenMetrics, is written the older way for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_has_nothing_to_say_of_the_metrics() {
    let scraped = scrape().await;
    let mut older = String::new();
    let counters: BTreeSet<&str> =
        scraped.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    for line in scraped.lines().filter(|line| *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        let head = (words.next(), words.next(), words.next(), words.next());
        let line = match head {
            (Some("#"), Some(what), Some(name), Some(rest)) if counters.contains(name) => {
                format!("# {what} {name}_total {rest}")
            }
            (Some("#"), Some(what), Some("onhook_build"), Some(rest)) => {
                format!("# {what} onhook_build_info {}", rest.replace("info", "gauge"))
            }
            _ => line.to_owned(),
        };
        older.push_str(&line);
        older.push('\n');
    }
    let promtool = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/promtool");
    let mut running = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("scripts/promtool runs");
    running.stdin.take().unwrap().write_all(older.as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}\n{older}");
}
