//! What the documents promise is what there is.

use onhook::config::settings;
use std::fs;

fn page(name: &str) -> String {
    fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The table of settings in the README is the table in the code.
#[test]
fn the_readme_lists_every_setting() {
    let mut table = String::from("| name | default | meaning |\n|---|---|---|\n");
    for setting in settings() {
        let names: Vec<String> = setting.names.iter().map(|name| format!("`{name}`")).collect();
        let default = setting.default_text().map_or_else(|| "none".into(), |text| format!("`{text}`"));
        let meaning = setting.meaning.split_whitespace().collect::<Vec<_>>().join(" ");
        table += &format!("| {} | {default} | {} |\n", names.join(", else "), meaning.replace('|', "\\|"));
    }
    assert!(page("README.md").contains(&table), "the table of settings in README.md should be:\n\n{table}");
}

/// Nothing was left to be filled in.
#[test]
fn the_readme_is_finished() {
    assert!(!page("README.md").contains("@@"));
}

/// Files and pages that the README and the map point to exist.
#[test]
fn links_lead_somewhere() {
    for name in [
        "README.md",
        "CONTRIBUTING.md",
        "docs/architecture.md",
        "docs/asterisk.md",
        "docs/calls.md",
        "docs/callbacks-do-not-arrive.md",
        "docs/alerts.md",
        "docs/event-streams.md",
        "docs/runs.md",
        "docs/voice.md",
        "bench/README.md",
    ] {
        let text = page(name);
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let path = format!("{}/{folder}/{}", env!("CARGO_MANIFEST_DIR"), link.split('#').next().unwrap());
            assert!(fs::exists(&path).unwrap(), "{name} points to {link}, which does not exist");
        }
    }
}
