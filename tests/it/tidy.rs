//! The rules of the house, read off the source: who may know whom, which words are banned, how long a file may be.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file of `src/` with its path below it.
struct File {
    path: String,
    text: String,
}

fn sources() -> Vec<File> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<File>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.push(File { path: name, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    assert!(found.len() > 40, "only {} files found", found.len());
    found
}

/// The lines of a file before its unit tests, without comments, numbered. A file of unit tests has none.
fn code(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let tests = file.path.ends_with("/tests.rs") || file.path.contains("/tests/");
    let end = if tests { 0 } else { file.text.find("#[cfg(test)]").unwrap_or(file.text.len()) };
    file.text[..end]
        .lines()
        .enumerate()
        .map(|(n, line)| (n + 1, line))
        .filter(|(_, l)| !l.trim_start().starts_with("//"))
}

fn room(path: &str) -> &str {
    path.split('/').next().unwrap().trim_end_matches(".rs")
}

/// Fails with all violations at once: which rule, where, why.
fn demand(rule: &str, violations: Vec<String>) {
    assert!(violations.is_empty(), "\n{rule}\n  {}\n", violations.join("\n  "));
}

/// `crate::x` and imports nested in `use crate::{x::…}` both name the room x.
fn names_room(line: &str, room: &str) -> bool {
    let inner = line.trim_start();
    line.contains(&format!("crate::{room}"))
        || inner.starts_with(&format!("{room}::"))
        || inner.starts_with(&format!("{room},"))
}

fn banned(in_room: impl Fn(&str) -> bool, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in sources().iter().filter(|f| in_room(&f.path)) {
        for (n, line) in code(file) {
            for word in words.iter().filter(|word| line.contains(**word)) {
                found.push(format!("src/{}:{n} names {word}: {}", file.path, line.trim()));
            }
        }
    }
    found
}

#[test]
fn the_domain_is_pure() {
    let words = [
        "sqlx",
        "actix",
        "tokio",
        "async ",
        ".await",
        "reqwest",
        "std::fs",
        "std::net",
        "std::env",
        "rand::",
        "SystemTime",
    ];
    demand(
        "1. `domain` has no IO, no async, no database, no randomness: it decides, others act.",
        banned(|p| room(p) == "domain", &words),
    );
    let others = [
        "clock",
        "config",
        "store",
        "ingest",
        "http",
        "twilio",
        "directory",
        "seal",
        "app",
        "cli",
        "story",
        "telemetry",
        "check",
        "leads",
    ];
    let mut found = Vec::new();
    for file in sources().iter().filter(|f| room(&f.path) == "domain") {
        for (n, line) in code(file) {
            found.extend(
                others
                    .iter()
                    .filter(|r| line.contains(&format!("crate::{r}")))
                    .map(|r| format!("src/{}:{n} names {r}", file.path)),
            );
        }
    }
    demand("1. `domain` uses nothing of ours but `domain`.", found);
}

#[test]
fn twilio_is_pure_and_knows_only_the_domain() {
    let words =
        ["sqlx", "actix", "tokio", "async ", ".await", "crate::store", "crate::ingest", "crate::http", "crate::config"];
    demand(
        "2. `twilio` reads and signs; IO lives in its client only.",
        banned(|p| room(p) == "twilio" && p != "twilio/client.rs" && !p.starts_with("twilio/client/"), &words),
    );
}

#[test]
fn ami_is_pure_and_knows_only_the_domain() {
    let client = |path: &str| path == "ami/client.rs" || path.starts_with("ami/client/");
    let io =
        ["tokio::", "tokio_rustls", "socket2", "async ", ".await", "std::net", "std::fs", "SystemClock", "rand::rng()"];
    demand(
        "2. `ami` reads and decides; IO lives in its client only (a codec of `tokio_util` is bytes in, frames out).",
        banned(|p| room(p) == "ami" && !client(p), &io),
    );
    demand(
        "2. `ami` uses `tokio_util` for its codec and in its client only.",
        banned(|p| room(p) == "ami" && !client(p) && p != "ami/frame.rs", &["tokio_util"]),
    );
    let rooms = ["store", "ingest", "http", "config", "directory", "pbx", "sweep", "telemetry", "app", "cli", "twilio"];
    let mut found = Vec::new();
    for file in sources().iter().filter(|f| room(&f.path) == "ami") {
        for (n, line) in code(file) {
            let hit = rooms
                .iter()
                .find(|r| line.contains(&format!("crate::{r}")) || (in_crate_import(file, n) && names_room(line, r)));
            found.extend(hit.map(|r| format!("src/{}:{n} names {r}: {}", file.path, line.trim())));
        }
    }
    demand("2. `ami` uses nothing of ours but `domain`, and `clock` in its client.", found);
    let clock = banned(|p| room(p) == "ami" && !client(p), &["crate::clock", "clock::"]);
    demand("2. `ami` is told the time; only its client has a clock.", clock);
}

#[test]
fn the_double_is_pure_but_for_its_doors() {
    let words = ["tokio", "async ", ".await", "reqwest", "rand::rng()", "SystemClock", "std::net"];
    let doors = ["double/courier.rs", "double/post.rs", "double/server.rs"];
    demand(
        "2. `double` is told the time and asked what it sends; courier, post and server are its doors.",
        banned(|p| room(p) == "double" && !doors.contains(&p), &words),
    );
}

#[test]
fn the_scripted_asterisk_is_pure_but_for_its_door() {
    let words = ["tokio", "async ", ".await", "reqwest", "rand::", "SystemClock", "std::net", "crate::ami"];
    demand(
        "2. `pbx_double` is told the time and what came in; its server is its door. It reads nothing by the gateway's own \
         reader, so that a mistake there is not made twice.",
        banned(|p| room(p) == "pbx_double" && p != "pbx_double/server.rs", &words),
    );
}

#[test]
fn sql_lives_in_the_store() {
    demand("3. `sqlx` is named only in `store`.", banned(|p| room(p) != "store", &["sqlx"]));
}

#[test]
fn actix_lives_in_http() {
    let words = ["actix_web"];
    demand(
        "3. `actix_web` is named only in `http` and `app.rs`, and where the Twilio double serves its REST API.",
        banned(|p| !["http", "app"].contains(&room(p)) && p != "double/server.rs", &words),
    );
}

#[test]
fn rooms_do_not_use_what_is_above_them() {
    let below = [
        ("store", &["ingest", "http", "cli", "app", "directory", "config", "twilio", "leads", "check"][..]),
        ("ingest", &["http", "cli", "app", "directory", "config"]),
        ("directory", &["http", "cli", "app", "ingest"]),
        ("http", &["cli", "app"]),
        ("leads", &["http", "cli", "app"]),
        ("check", &["http", "cli", "app"]),
        // It plays the other side: what it shares with the gateway is what Twilio shares with it.
        ("double", &["store", "ingest", "directory", "leads", "check", "http", "cli", "app", "config"]),
        (
            "pbx_double",
            &["store", "ingest", "directory", "leads", "check", "http", "cli", "app", "config", "ami", "pbx"],
        ),
        // Stories are read, and told by the doors.
        ("explain", &["http", "cli", "app", "sweep", "config", "directory"]),
        ("health", &["http", "cli", "app", "directory", "config"]),
        ("pbx", &["http", "cli", "app", "config", "sweep", "health", "quarantine", "voice", "leads", "check"]),
        ("voice", &["http", "cli", "app"]),
        ("report", &["ingest", "http", "cli", "app", "directory", "config"]),
        (
            "runs",
            // It knows whoever dials by what `provider` says of them.
            &[
                "http",
                "cli",
                "app",
                "config",
                "sweep",
                "health",
                "quarantine",
                "voice",
                "leads",
                "check",
                "explain",
                "pbx",
            ],
        ),
        (
            "sweep",
            // It knows whoever listens to PBXs by what `provider` says of them.
            &[
                "http",
                "cli",
                "app",
                "config",
                "health",
                "quarantine",
                "voice",
                "leads",
                "check",
                "explain",
                "report",
                "pbx",
            ],
        ),
    ];
    let mut found = Vec::new();
    for (name, above) in below {
        for file in sources().iter().filter(|f| room(&f.path) == name) {
            let imports =
                code(file).filter(|(_, l)| l.contains("use ") || l.starts_with("    ") || l.contains("crate::"));
            for (n, line) in imports {
                let hit = above
                    .iter()
                    .find(|r| names_room(line, r) && (line.contains("crate::") || in_crate_import(file, n)));
                found.extend(hit.map(|r| format!("src/{}:{n} names {r}: {}", file.path, line.trim())));
            }
        }
    }
    demand("4. Rooms do not use each other upwards (docs/architecture.md has the picture).", found);
}

/// Whether line `n` stands inside a `use crate::{ … };` block.
fn in_crate_import(file: &File, n: usize) -> bool {
    let before: Vec<&str> = file.text.lines().take(n - 1).collect();
    let opened = before.iter().rposition(|l| l.starts_with("use crate::{"));
    opened.is_some_and(|at| !before[at..].iter().any(|l| l.starts_with("};")))
}

#[test]
fn only_the_domain_decides() {
    let words = [".absorb(", "calls::upsert", "contacts::upsert", "signals::insert"];
    // The correlator of a PBX absorbs messages, and makes signals of them; it changes no call.
    let found = banned(|p| !["ingest", "domain", "store"].contains(&room(p)), &words);
    // Its tests let calls absorb what it makes.
    let is_other = |line: &String| line.contains("correlator.absorb(") || line.contains("/tests/");
    let found = found.into_iter().filter(|line| !is_other(line)).collect();
    demand("5. Every change to a call goes through `ingest`.", found);
}

#[test]
fn nothing_is_static_but_constants() {
    // The migrations are constants that sqlx can only make as statics.
    demand(
        "7. Nothing is `static` but constants.",
        banned(
            |p| p != "store/open.rs",
            &["static mut", "\nstatic ", "lazy_static", "LazyLock", "OnceLock", "thread_local!"],
        ),
    );
}

#[test]
fn the_five_nouns_have_no_rivals() {
    let names = ["Event", "Manager", "Service", "Handler", "Helper", "Data", "Info"];
    let mut found = Vec::new();
    for file in &sources() {
        for (n, line) in code(file) {
            let Some(rest) = ["struct ", "enum ", "trait ", "type "].iter().find_map(|k| {
                line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(super) ").strip_prefix(k)
            }) else {
                continue;
            };
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
            found.extend(
                names
                    .iter()
                    .filter(|bad| name.ends_with(**bad))
                    .map(|bad| format!("src/{}:{n}: {name} ({bad} says nothing)", file.path)),
            );
        }
        let stem = file.path.rsplit('/').next().unwrap().trim_end_matches(".rs").to_owned();
        if ["utils", "util", "common", "types", "helpers", "misc"].contains(&stem.as_str()) {
            found.push(format!("src/{}: a file name that says nothing", file.path));
        }
    }
    demand("Names are the field's own; the five nouns mean one thing each.", found);
}

#[test]
fn every_file_says_what_it_is_and_has_one_job() {
    let mut found = Vec::new();
    for file in &sources() {
        if !file.text.starts_with("//!") {
            found.push(format!("src/{} does not begin with `//!`", file.path));
        }
        let lines = file.text.lines().count();
        if lines > 400 {
            found.push(format!("src/{} has {lines} lines: does it have one job?", file.path));
        }
    }
    demand("Every file begins with `//!` and stays under 400 lines.", found);
}
