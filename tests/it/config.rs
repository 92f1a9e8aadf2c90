//! Configuration: the published names and defaults, precedence, files, and names nobody knows.

mod values;

use std::collections::BTreeSet;

use onhook::config::{
    AnsweredOutcome, Config, ConfigError, DEFAULTS, DatabaseUrl, Fault, FileText, Loaded, Origin, Setting, Sources,
    VerifyMode, settings,
};
use onhook::telemetry::LogFormat;
use secrecy::ExposeSecret;

/// Sources with this environment.
fn env(pairs: &[(&str, &str)]) -> Sources {
    let env = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sources { env, ..Sources::default() }
}

/// Sources with this file.
fn file(text: &str) -> Sources {
    Sources { file: Some(FileText { path: "etc/onhook.toml".into(), text: text.to_owned() }), ..Sources::default() }
}

fn load_env(pairs: &[(&str, &str)]) -> Loaded {
    Config::load(env(pairs)).unwrap()
}

fn refuse(sources: Sources) -> ConfigError {
    Config::load(sources).expect_err("a configuration that must be refused")
}

/// The one thing that is wrong with this environment.
fn refuse_value(pairs: &[(&str, &str)]) -> String {
    let error = refuse(env(pairs));
    assert_eq!(error.faults().len(), 1, "{error}");
    error.faults()[0].to_string()
}

fn setting(key: &str) -> Setting {
    settings().into_iter().find(|setting| setting.key == key).unwrap()
}

/// The names and defaults that are published; nothing may rename or change them by accident.
const PUBLISHED: &[(&str, Option<&str>)] = &[
    ("ONHOOK_DATABASE_URL", Some("sqlite://onhook.db")),
    ("ONHOOK_LISTEN", Some("127.0.0.1:8080")),
    ("ONHOOK_METRICS_LISTEN", None),
    ("ONHOOK_PUBLIC_URL", None),
    ("TWILIO_ACCOUNT_SID", None),
    ("TWILIO_AUTH_TOKEN", None),
    ("TWILIO_API_KEY", None),
    ("TWILIO_API_SECRET", None),
    ("ONHOOK_TWILIO_API_BASE", Some("https://api.twilio.com")),
    ("ONHOOK_TWILIO_REQUESTS_PER_SECOND", Some("20")),
    ("ONHOOK_VERIFY", Some("enforce")),
    ("ONHOOK_AMI_URL", None),
    ("ONHOOK_AMI_NAME", Some("pbx")),
    ("ONHOOK_AMI_CA", None),
    ("ONHOOK_API_KEY", None),
    ("ONHOOK_SECRET_KEY", None),
    ("ONHOOK_SWEEP_INTERVAL", Some("30s")),
    ("ONHOOK_SWEEP_CHECK_AFTER_QUEUED", Some("15m")),
    ("ONHOOK_SWEEP_CHECK_AFTER_RINGING", Some("95s")),
    ("ONHOOK_SWEEP_CHECK_AFTER_ANSWERED", Some("60s")),
    ("ONHOOK_SWEEP_STUCK_AFTER_WARN", Some("30m")),
    ("ONHOOK_SWEEP_STUCK_AFTER_CRITICAL", Some("60m")),
    ("ONHOOK_SWEEP_STUCK_AFTER_RINGING_WARN", Some("10m")),
    ("ONHOOK_SWEEP_STUCK_AFTER_RINGING_CRITICAL", Some("30m")),
    ("ONHOOK_SWEEP_GIVE_UP_AFTER_QUEUED", Some("24h")),
    ("ONHOOK_SWEEP_GIVE_UP_AFTER_RINGING", Some("60m")),
    ("ONHOOK_SWEEP_GIVE_UP_AFTER_ANSWERED", Some("4h15m")),
    ("ONHOOK_SWEEP_TIMEOUT_RINGING", Some("60m")),
    ("ONHOOK_SWEEP_TIMEOUT_ANSWERED", Some("30m")),
    ("ONHOOK_SWEEP_ANSWERED_OUTCOME", Some("completed")),
    ("ONHOOK_SWEEP_SUPERSEDE", Some("false")),
    ("ONHOOK_RUN_DIAL", Some("true")),
    ("ONHOOK_RUN_STALE_AFTER", Some("30s")),
    ("ONHOOK_RUN_FAIL_AFTER", Some("15m")),
    ("ONHOOK_RUN_LOOK_FOR_AFTER", Some("2m")),
    ("ONHOOK_RUN_ACCOUNT_CALLS_MAX", Some("100")),
    ("ONHOOK_RUN_TENANT_CALLS_MAX", Some("200")),
    ("ONHOOK_KEEP_DELIVERIES", Some("30d")),
    ("ONHOOK_KEEP_JOURNAL", Some("90d")),
    ("ONHOOK_KEEP_AUDIT", Some("400d")),
    ("ONHOOK_LOG", Some("info")),
    ("ONHOOK_LOG_FORMAT", Some("auto")),
    ("ONHOOK_CONTACT_MIN_TALK_SECONDS", Some("0")),
    ("ONHOOK_CONTACT_COUNT_MACHINES", Some("false")),
    ("ONHOOK_CONTACT_COUNT_PARENT", Some("false")),
    ("ONHOOK_PHONE_REGION", None),
    ("ONHOOK_QUARANTINE_ROWS_MAX", Some("10000")),
    ("ONHOOK_QUARANTINE_BYTES_MAX", Some("64MiB")),
    ("ONHOOK_QUARANTINE_KEEP", Some("7d")),
    ("ONHOOK_HTTP_TRUSTED_PROXIES", None),
    ("ONHOOK_LIMITS_WEBHOOK_BODY_BYTES_MAX", Some("64KiB")),
    ("ONHOOK_LIMITS_EVENT_BATCH_BYTES_MAX", Some("1MiB")),
    ("ONHOOK_LIMITS_REST_BODY_BYTES_MAX", Some("1MiB")),
    ("ONHOOK_LIMITS_IMPORT_BYTES_MAX", Some("64MiB")),
    ("ONHOOK_LIMITS_SHUTDOWN_DEADLINE", Some("25s")),
];

#[test]
fn nothing_written_gives_the_published_names_and_defaults() {
    let loaded = Config::load(Sources::default()).unwrap();
    assert!(loaded.warnings.is_empty());
    for row in loaded.show() {
        let origin = if row.value.is_some() { Origin::Default } else { Origin::Unset };
        assert_eq!(row.origin, origin, "{}", row.key);
    }
    let shown: BTreeSet<_> = loaded.show().iter().map(|row| (row.name, row.value.as_deref())).collect();
    let published: BTreeSet<_> = PUBLISHED
        .iter()
        .map(|(name, value)| {
            (*name, if *name == "ONHOOK_TWILIO_API_BASE" { Some("https://api.twilio.com/") } else { *value })
        })
        .collect();
    assert_eq!(shown, published);
    for setting in settings() {
        let published = PUBLISHED.iter().find(|(name, _)| *name == setting.name()).unwrap().1;
        assert_eq!(setting.default_text().as_deref(), published, "{}", setting.key);
    }
}

#[test]
fn the_defaults_are_typed_as_they_read() {
    let Config { database_url, listen, verify, sweep, run, keep, contact, limits, log_format, .. } =
        Config::load(Sources::default()).unwrap().config;
    assert!(matches!(&database_url, DatabaseUrl::Sqlite { path } if path.as_os_str() == "onhook.db"));
    assert_eq!(listen.to_string(), "127.0.0.1:8080");
    assert_eq!((verify, log_format), (VerifyMode::Enforce, LogFormat::Auto));
    assert_eq!(sweep.interval_ms, Some(30_000));
    assert_eq!(sweep.answered_outcome, AnsweredOutcome::Completed);
    let (check, stuck, give_up) = (sweep.check_after, sweep.stuck_after, sweep.give_up_after);
    assert_eq!((check.queued_ms, check.ringing_ms, check.answered_ms), (900_000, 95_000, 60_000));
    assert_eq!((stuck.warn_ms, stuck.critical_ms), (1_800_000, 3_600_000));
    assert_eq!((stuck.ringing_warn_ms, stuck.ringing_critical_ms), (600_000, 1_800_000));
    assert_eq!((give_up.queued_ms, give_up.ringing_ms, give_up.answered_ms), (86_400_000, 3_600_000, 15_300_000));
    assert_eq!((sweep.timeout.ringing_ms, sweep.timeout.answered_ms), (3_600_000, 1_800_000));
    assert_eq!((run.stale_after_ms, run.fail_after_ms, run.look_for_after_ms), (30_000, 900_000, 120_000));
    assert_eq!((run.account_calls_max, run.tenant_calls_max), (100, 200));
    assert_eq!((keep.deliveries_ms, keep.journal_ms), (2_592_000_000, 7_776_000_000));
    assert_eq!((contact.min_talk_seconds, contact.count_machines, contact.count_parent), (0, false, false));
    assert_eq!((limits.webhook_body_bytes_max, limits.rest_body_bytes_max), (65_536, 1_048_576));
    assert_eq!((limits.import_bytes_max, limits.shutdown_deadline_ms), (67_108_864, 25_000));
}

#[test]
fn every_name_follows_from_its_key_and_is_its_own() {
    let mut seen = BTreeSet::new();
    for Setting { key, names, meaning } in settings() {
        let derived = key.to_uppercase().replace('.', "_");
        // Named as Twilio's own tools name them.
        let is_twilios = ["account_sid", "auth_token", "api_key", "api_secret"].map(|name| format!("twilio.{name}"));
        let derived = if is_twilios.iter().any(|name| name == key) { derived } else { format!("ONHOOK_{derived}") };
        assert_eq!(names[0], derived);
        assert!(names.iter().all(|name| seen.insert(*name)), "{names:?} is taken");
        assert!(meaning.ends_with('.') && !meaning.starts_with(' '), "{key}: {meaning:?}");
    }
}

#[test]
fn defaults_toml_shows_every_setting_also_those_without_a_default() {
    let is_setting = |line: &str| {
        line.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
    };
    let lines = DEFAULTS.lines().map(|line| match line.strip_prefix("# ") {
        Some(commented) if is_setting(commented) => commented,
        _ => line,
    });
    let table: toml::Table = lines.collect::<Vec<_>>().join("\n").parse().unwrap();
    let mut shown = BTreeSet::new();
    collect_keys(&table, "", &mut shown);
    let known: BTreeSet<String> = settings().iter().map(|setting| setting.key.to_owned()).collect();
    assert_eq!(shown, known);
}

fn collect_keys(table: &toml::Table, prefix: &str, into: &mut BTreeSet<String>) {
    for (key, value) in table {
        match value.as_table() {
            Some(inner) => collect_keys(inner, &format!("{prefix}{key}."), into),
            None => drop(into.insert(format!("{prefix}{key}"))),
        }
    }
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_defaults() {
    let mut sources = file("[sweep.check_after]\nqueued = \"11m\"\n");
    let load = |sources: &Sources| {
        let loaded = Config::load(sources.clone()).unwrap();
        (loaded.config.sweep.check_after.queued_ms, loaded.origin("sweep.check_after.queued").unwrap().clone())
    };
    assert_eq!(load(&Sources::default()), (15 * 60_000, Origin::Default));
    assert_eq!(load(&sources), (11 * 60_000, Origin::File("etc/onhook.toml".into())));
    let name = "ONHOOK_SWEEP_CHECK_AFTER_QUEUED";
    sources.env.insert(name.to_owned(), "12m".to_owned());
    assert_eq!(load(&sources), (12 * 60_000, Origin::Env(name)));
    sources.flags.push(("sweep.check_after.queued".to_owned(), "13m".to_owned()));
    assert_eq!(load(&sources), (13 * 60_000, Origin::Flag));
    sources.flags.push(("sweep.check_after.queued".to_owned(), "14m".to_owned()));
    assert_eq!(load(&sources), (14 * 60_000, Origin::Flag));
}

#[test]
fn the_file_takes_texts_numbers_and_booleans() {
    let text = "listen = 9000\n[contact]\nmin_talk_seconds = 7\ncount_machines = true\n[limits]\nrest_body_bytes_max = 4096\n[sweep]\ninterval = 0\n";
    let Config { listen, contact, limits, sweep, .. } = Config::load(file(text)).unwrap().config;
    assert_eq!(listen.to_string(), "0.0.0.0:9000");
    assert_eq!((contact.min_talk_seconds, contact.count_machines), (7, true));
    assert_eq!((limits.rest_body_bytes_max, sweep.interval_ms), (4096, None));
}

#[test]
fn port_means_that_port_on_all_interfaces_unless_listen_is_set() {
    let listen = |pairs: &[(&str, &str)]| load_env(pairs).config.listen.to_string();
    assert_eq!(listen(&[("PORT", "3000")]), "0.0.0.0:3000");
    assert_eq!(listen(&[("PORT", "3000"), ("ONHOOK_LISTEN", "127.0.0.1:4000")]), "127.0.0.1:4000");
    assert_eq!(listen(&[("ONHOOK_LISTEN", "[::1]:0")]), "[::1]:0");
    assert_eq!(load_env(&[("PORT", "3000")]).origin("listen"), Some(&Origin::Env("PORT")));
    let metrics = load_env(&[("ONHOOK_METRICS_LISTEN", "127.0.0.1:9090")]).config.metrics_listen;
    assert_eq!(metrics.unwrap().port(), 9090);
}

#[test]
fn database_url_is_read_where_ours_is_not_set() {
    let path = |pairs: &[(&str, &str)]| load_env(pairs).config.database_url.to_string();
    assert_eq!(path(&[("DATABASE_URL", "sqlite://a.db")]), "sqlite://a.db");
    assert_eq!(
        path(&[("DATABASE_URL", "sqlite://a.db"), ("ONHOOK_DATABASE_URL", "sqlite:///v/b.db")]),
        "sqlite:///v/b.db"
    );
    let fault = refuse_value(&[("DATABASE_URL", "mysql://u:hunter2@h/d")]);
    assert!(
        fault.starts_with("database_url from the environment variable DATABASE_URL is mysql://[redacted]:"),
        "{fault}"
    );
}

#[test]
fn an_empty_variable_is_not_set() {
    let loaded =
        load_env(&[("ONHOOK_PUBLIC_URL", ""), ("ONHOOK_LISTEN", " "), ("PORT", "3000"), ("ONHOOK_API_KEY_FILE", "")]);
    assert!(loaded.config.public_url.is_none() && loaded.config.api_key.is_none());
    assert_eq!(loaded.config.listen.port(), 3000);
}

#[test]
fn a_secret_is_read_from_the_file_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "sesame-from-a-file\n").unwrap();
    let path_text = path.to_str().unwrap();
    let loaded = load_env(&[("ONHOOK_API_KEY_FILE", path_text)]);
    assert_eq!(loaded.config.api_key.as_ref().unwrap().expose_secret(), "sesame-from-a-file");
    assert_eq!(loaded.origin("api_key"), Some(&Origin::EnvFile("ONHOOK_API_KEY", path.clone())));
    assert!(loaded.warnings.is_empty());

    let sid = "AC00000000000000000000000000000001";
    let loaded = load_env(&[("TWILIO_AUTH_TOKEN_FILE", path_text), ("TWILIO_ACCOUNT_SID", sid)]);
    let (account, token) = loaded.config.twilio.account().unwrap();
    assert_eq!((account, token.expose_secret()), (sid, "sesame-from-a-file"));

    let both = refuse_value(&[("ONHOOK_API_KEY_FILE", path_text), ("ONHOOK_API_KEY", "sesame")]);
    assert_eq!(both, "ONHOOK_API_KEY and ONHOOK_API_KEY_FILE are both set; set only one of them");
}

#[test]
fn a_named_file_that_cannot_be_read_is_an_error_that_says_who_named_it() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let fault = refuse_value(&[("ONHOOK_SECRET_KEY_FILE", missing.to_str().unwrap())]);
    assert!(fault.contains("missing, named by ONHOOK_SECRET_KEY_FILE, cannot be read: "), "{fault}");

    let large = folder.path().join("large");
    std::fs::write(&large, vec![b'a'; 300 * 1024]).unwrap();
    let fault = refuse_value(&[("ONHOOK_SECRET_KEY_FILE", large.to_str().unwrap())]);
    assert!(fault.contains("larger than"), "{fault}");

    let error = Sources::from_process(Some(missing), vec![]).expect_err("no such file");
    assert!(error.to_string().contains("named by --config, cannot be read"), "{error}");
}

#[test]
fn the_file_named_on_the_command_line_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.toml");
    std::fs::write(&path, "verify = \"observe\"").unwrap();
    let sources = Sources::from_process(Some(path.clone()), vec![("log".to_owned(), "warn".to_owned())]).unwrap();
    let from_file = sources.file.unwrap();
    assert_eq!((from_file.path, from_file.text.as_str()), (path, "verify = \"observe\""));
    assert_eq!(sources.flags, [("log".to_owned(), "warn".to_owned())]);
}

#[test]
fn an_unknown_name_is_a_warning_with_the_nearest_known_one() {
    let warned = |name: &str| {
        let warnings = load_env(&[(name, "1")]).warnings;
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let expect = |nearest: &str| format!("is unknown and ignored; the nearest known name is {nearest}");
    assert!(warned("ONHOOK_LISTN").ends_with(&expect("ONHOOK_LISTEN")));
    assert!(warned("ONHOOK_SWEEP_INTERVALL").ends_with(&expect("ONHOOK_SWEEP_INTERVAL")));
    assert!(warned("ONHOOK_DATABASEURL_FILE").ends_with(&expect("ONHOOK_DATABASE_URL_FILE")));
    assert!(warned("ONHOOK_PORT").starts_with("the environment variable ONHOOK_PORT is unknown"));
    assert!(warned(&format!("ONHOOK_{}", "X".repeat(100_000))).contains("the nearest known name is ONHOOK_"));
    assert!(warned("ONHOOK_CONFIG_FILE").ends_with(&expect("ONHOOK_CONFIG")));
}

#[test]
fn names_of_others_are_no_warning() {
    let kubernetes = ("ONHOOK_PORT", "tcp://10.0.0.1:80");
    let names = [
        "ONHOOK_CONFIG",
        "ONHOOK_TEST_POSTGRES_URL",
        "ONHOOK_SERVICE_HOST",
        "ONHOOK_SERVICE_PORT",
        "ONHOOK_PORT_80_TCP",
        "ONHOOKX",
        "PATH",
    ];
    let pairs: Vec<_> = names.into_iter().map(|name| (name, "1")).chain([kubernetes]).collect();
    assert_eq!(load_env(&pairs).warnings, []);
}

#[test]
fn an_unknown_key_is_a_warning_in_the_file_and_an_error_on_the_command_line() {
    let loaded = Config::load(file("lisen = \"127.0.0.1:1\"\n[sweeps]\ninterval = \"1s\"\n")).unwrap();
    let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "lisen in etc/onhook.toml is unknown and ignored; the nearest known key is listen",
            "sweeps.interval in etc/onhook.toml is unknown and ignored; the nearest known key is sweep.interval",
        ]
    );
    let flags = vec![("sweep.intervall".to_owned(), "1s".to_owned())];
    let error = refuse(Sources { flags, ..Sources::default() });
    assert!(
        error.to_string().contains("\"sweep.intervall\" is no setting; the nearest known one is sweep.interval"),
        "{error}"
    );
}

#[test]
fn everything_that_is_wrong_is_reported_together() {
    let mut sources = file("verify = \"maybe\"\nlisten = [1, 2]\n");
    sources.env.extend([
        ("ONHOOK_LOG_FORMAT".to_owned(), "xml".to_owned()),
        ("ONHOOK_SWEEP_INTERVAL".to_owned(), "soon".to_owned()),
    ]);
    sources.flags.push(("keep.journl".to_owned(), "1d".to_owned()));
    let error = refuse(sources).to_string();
    for wrong in [
        "verify from the file",
        "listen in etc/onhook.toml is a list",
        "log_format from the env",
        "sweep.interval from the env",
        "\"keep.journl\"",
    ] {
        assert!(error.contains(wrong), "{wrong} is missing in {error}");
    }
    assert_eq!(error.lines().count(), 6, "{error}");
}

#[test]
fn a_file_that_is_no_toml_names_the_line_and_does_not_quote_it() {
    let error = refuse(file("verify = \"enforce\"\n\napi_key = \"hunter2\n"));
    let [Fault::NotToml { line: 3, .. }] = error.faults() else { panic!("{error:?}") };
    assert!(error.to_string().contains("etc/onhook.toml, line 3, is not TOML: "), "{error}");
    assert!(!format!("{error}{error:?}").contains("hunter2"), "{error:?}");
}
