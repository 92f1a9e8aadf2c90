//! What each kind of value takes, what it refuses, and that no secret is shown.

use std::collections::BTreeSet;

use onhook::config::{BadValue, Config, ConfigError, DatabaseUrl, Fault, Loaded, Origin, Sources, settings};
use secrecy::ExposeSecret;

use super::{env, file, load_env, refuse, refuse_value, setting};

/// A value that must be refused, and whether the message may quote it.
const BAD: &[(&str, &str, Quoted)] = &[
    ("database_url", "sqlite::memory:", Quoted::Yes),
    ("listen", "localhost:8080", Quoted::Yes),
    ("metrics_listen", "127.0.0.1:99999", Quoted::Yes),
    ("public_url", "ftp://example.com", Quoted::Yes),
    ("verify", "off", Quoted::Yes),
    ("ami_url", "ami://onhook:hunter2@pbx/path", Quoted::No),
    ("ami_name", "pbx one", Quoted::Yes),
    ("ami_ca", "-----BEGIN PRIVATE KEY-----hunter2", Quoted::No),
    ("api_key", "hunter2 hunter2", Quoted::No),
    ("secret_key", "hunter2", Quoted::No),
    ("phone_region", "us", Quoted::Yes),
    ("log", "inffo", Quoted::Yes),
    ("log_format", "xml", Quoted::Yes),
    ("twilio.account_sid", "SK00000000000000000000000000000001", Quoted::Yes),
    ("twilio.auth_token", "hunter2\u{7f}", Quoted::No),
    ("twilio.api_key", "AC00000000000000000000000000000001", Quoted::Yes),
    ("twilio.api_secret", "hunter2 hunter2", Quoted::No),
    ("twilio.api_base", "api.twilio.com", Quoted::Yes),
    ("twilio.requests_per_second", "0", Quoted::Yes),
    ("contact.min_talk_seconds", "-1", Quoted::Yes),
    ("contact.count_machines", "yes", Quoted::Yes),
    ("contact.count_parent", "1", Quoted::Yes),
    ("sweep.interval", "30", Quoted::Yes),
    ("sweep.answered_outcome", "busy", Quoted::Yes),
    ("sweep.supersede", "maybe", Quoted::Yes),
    ("sweep.check_after.queued", "0s", Quoted::Yes),
    ("sweep.check_after.ringing", "-95s", Quoted::Yes),
    ("sweep.check_after.answered", "1 fortnight", Quoted::Yes),
    ("sweep.stuck_after.warn", "half an hour", Quoted::Yes),
    ("sweep.stuck_after.critical", "99999999y", Quoted::Yes),
    ("sweep.stuck_after.ringing_warn", "10x", Quoted::Yes),
    ("sweep.stuck_after.ringing_critical", "11y", Quoted::Yes),
    ("sweep.give_up_after.queued", "1ns", Quoted::Yes),
    ("sweep.give_up_after.ringing", "m", Quoted::Yes),
    ("sweep.give_up_after.answered", "4:15", Quoted::Yes),
    ("sweep.timeout.ringing", "never", Quoted::Yes),
    ("sweep.timeout.answered", "0", Quoted::Yes),
    ("run.dial", "maybe", Quoted::Yes),
    ("run.stale_after", "30,5s", Quoted::Yes),
    ("run.fail_after", "15", Quoted::Yes),
    ("run.look_for_after", "0s", Quoted::Yes),
    ("run.account_calls_max", "0", Quoted::Yes),
    ("run.tenant_calls_max", "10001", Quoted::Yes),
    ("keep.deliveries", "forever", Quoted::Yes),
    ("keep.journal", "100y", Quoted::Yes),
    ("keep.audit", "0s", Quoted::Yes),
    ("quarantine.rows_max", "99", Quoted::Yes),
    ("quarantine.bytes_max", "1023KiB", Quoted::Yes),
    ("quarantine.keep", "30s", Quoted::Yes),
    ("http.trusted_proxies", "10.0.0.0/8, proxy.example.com", Quoted::Yes),
    ("limits.webhook_body_bytes_max", "64kb", Quoted::Yes),
    ("limits.event_batch_bytes_max", "1", Quoted::Yes),
    ("limits.rest_body_bytes_max", "0", Quoted::Yes),
    ("limits.import_bytes_max", "99999999999GiB", Quoted::Yes),
    ("limits.shutdown_deadline", "11m", Quoted::Yes),
];

#[derive(Clone, Copy, PartialEq)]
enum Quoted {
    Yes,
    No,
}

#[test]
fn a_bad_value_of_any_setting_names_the_key_the_place_the_value_and_what_is_allowed() {
    let tried: BTreeSet<_> = BAD.iter().map(|(key, ..)| *key).collect();
    let all: BTreeSet<_> = settings().iter().map(|setting| setting.key).collect();
    assert_eq!(tried, all, "every setting has a bad value here");
    for (key, value, quoted) in BAD {
        let name = setting(key).name();
        let flags = vec![((*key).to_owned(), (*value).to_owned())];
        let written = [
            (env(&[(name, value)]), format!("the environment variable {name}")),
            (file(&format!("{key} = {value:?}").replace("\\u{7f}", "\\u007f")), "the file etc/onhook.toml".to_owned()),
            (Sources { flags, ..Sources::default() }, "the command line".to_owned()),
        ];
        for (sources, place) in written {
            check_refusal(&refuse(sources), key, &place, value, *quoted);
        }
    }
}

fn check_refusal(error: &ConfigError, key: &str, place: &str, value: &str, quoted: Quoted) {
    let [Fault::BadValue(bad)] = error.faults() else { panic!("{key}: one bad value, not {error}") };
    let BadValue { key: named, value: shown, reason, allowed, .. } = &**bad;
    assert_eq!(*named, key);
    assert!(!reason.is_empty() && !allowed.is_empty());
    let expected = format!("read the configuration:\n  {key} from {place} is {shown}: {reason}; allowed: {allowed}");
    assert_eq!(error.to_string(), expected);
    match quoted {
        Quoted::Yes => assert_eq!(*shown, format!("{value:?}")),
        Quoted::No => {
            assert_eq!(shown, "[redacted]");
            assert!(!format!("{error}{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}

#[test]
fn durations_are_read_as_people_write_them() {
    let journal_ms = |text| load_env(&[("ONHOOK_KEEP_JOURNAL", text)]).config.keep.journal_ms;
    for (text, expected_ms) in [
        ("1ms", 1),
        ("30s", 30_000),
        ("10m", 600_000),
        ("4h15m", 15_300_000),
        ("4h 15m", 15_300_000),
        ("1d", 86_400_000),
        (" 30s ", 30_000),
    ] {
        assert_eq!(journal_ms(text), expected_ms, "{text}");
    }
    let interval_ms = |text| load_env(&[("ONHOOK_SWEEP_INTERVAL", text)]).config.sweep.interval_ms;
    assert_eq!([interval_ms("0"), interval_ms("0s"), interval_ms("1m30s")], [None, None, Some(90_000)]);
    let fault = refuse_value(&[("ONHOOK_SWEEP_INTERVAL", "2d")]);
    assert!(
        fault.ends_with(
            "it is too large; allowed: a duration such as 30s, 10m or 4h15m, from 100ms to 1d, or 0 for off"
        ),
        "{fault}"
    );
}

#[test]
fn sizes_are_read_with_and_without_a_unit() {
    let bytes = |text| load_env(&[("ONHOOK_LIMITS_IMPORT_BYTES_MAX", text)]).config.limits.import_bytes_max;
    assert_eq!([bytes("4096"), bytes("4KiB"), bytes("2 MiB"), bytes("1GiB")], [4096, 4096, 2 << 20, 1 << 30]);
}

#[test]
fn sqlite_urls_name_a_file() {
    let path = |text| match load_env(&[("ONHOOK_DATABASE_URL", text)]).config.database_url {
        DatabaseUrl::Sqlite { path } => path.to_str().unwrap().to_owned(),
        DatabaseUrl::Postgres { .. } => panic!("{text} is SQLite"),
    };
    assert_eq!(path("sqlite://onhook.db"), "onhook.db");
    assert_eq!(path("sqlite:///var/lib/on%20hook.db"), "/var/lib/on hook.db");
    for (text, reason) in [
        ("sqlite::memory:", "a database in memory forgets every call"),
        ("sqlite://:memory:", "a database in memory forgets every call"),
        ("sqlite://", "not that of a file"),
        ("sqlite:///var/lib/", "not that of a file"),
        ("sqlite://a%00b", "not that of a file"),
        ("sqlite://a%ff", "not UTF-8"),
        ("sqlite://a.db?mode=ro", "onhook sets those itself"),
        ("onhook.db", "it is not a URL"),
    ] {
        let fault = refuse_value(&[("ONHOOK_DATABASE_URL", text)]);
        assert!(fault.contains(reason), "{text}: {fault}");
    }
}

#[test]
fn a_postgres_password_is_kept_and_never_shown() {
    for (text, shown) in [
        ("postgres://u:hunter2@db.example:5432/app", "postgres://u:***@db.example:5432/app"),
        (
            "postgresql://u@db/app?sslmode=require&password=hunter2",
            "postgresql://u@db/app?sslmode=require&password=***",
        ),
        ("postgres:///app?host=/run/postgresql", "postgres:///app?host=/run/postgresql"),
    ] {
        let loaded = load_env(&[("ONHOOK_DATABASE_URL", text)]);
        let DatabaseUrl::Postgres { url } = &loaded.config.database_url else { panic!("{text} is PostgreSQL") };
        assert_eq!(url.expose_secret(), text);
        assert_eq!(loaded.config.database_url.to_string(), shown);
        assert!(!format!("{loaded:?}").contains("hunter2"), "{loaded:?}");
    }
    for text in [
        "postgres://u:hunter2",
        "postgres://u:hun#ter2@db/app",
        "postgres://u:12#hunter2@db/app",
        "u:hunter2@db/app",
        "host=db password=hunter2",
    ] {
        let error = refuse(env(&[("ONHOOK_DATABASE_URL", text)]));
        let said = format!("{error}{error:?}");
        assert!(!said.contains("hunter2") && !said.contains("ter2"), "{said}");
    }
}

#[test]
fn no_secret_is_shown_anywhere() {
    let pairs = [
        ("ONHOOK_API_KEY", "hunter2-api-key"),
        ("ONHOOK_SECRET_KEY", SEAL_KEY),
        ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000001"),
        ("TWILIO_AUTH_TOKEN", "hunter2-token"),
        ("TWILIO_API_KEY", "SK00000000000000000000000000000001"),
        ("TWILIO_API_SECRET", "hunter2-secret"),
        ("ONHOOK_AMI_URL", "ami://onhook:hunter2-ami@pbx.example"),
    ];
    let sources = env(&pairs);
    assert!(!format!("{sources:?}").contains("hunter2") && !format!("{sources:?}").contains(SEAL_KEY));
    let loaded = Config::load(sources).unwrap();
    assert!(!format!("{loaded:#?}").contains("hunter2") && !format!("{loaded:#?}").contains(SEAL_KEY));
    let shown: Vec<_> = loaded
        .show()
        .iter()
        .filter(|row| matches!(row.origin, Origin::Env(_)))
        .map(|row| (row.name, row.value.as_deref().unwrap()))
        .collect();
    assert_eq!(
        shown,
        [
            ("ONHOOK_AMI_URL", "ami://onhook:***@pbx.example:5038"),
            ("ONHOOK_API_KEY", "[redacted]"),
            ("ONHOOK_SECRET_KEY", "[redacted]"),
            ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000001"),
            ("TWILIO_AUTH_TOKEN", "[redacted]"),
            ("TWILIO_API_KEY", "SK00000000000000000000000000000001"),
            ("TWILIO_API_SECRET", "[redacted]"),
        ]
    );
}

#[test]
fn the_public_url_is_only_what_can_stand_before_a_path() {
    let url = |text| load_env(&[("ONHOOK_PUBLIC_URL", text)]).config.public_url.unwrap().to_string();
    assert_eq!(url("https://calls.example.com"), "https://calls.example.com/");
    assert_eq!(url("http://calls.example.com:8080/hooks/"), "http://calls.example.com:8080/hooks");
    for (text, reason) in [
        ("https://calls.example.com/?a=1", "it has a query or a fragment"),
        ("https://calls.example.com/#rc=5", "it has a query or a fragment"),
        ("ws://calls.example.com", "its scheme is ws"),
        ("calls.example.com", "relative URL without a base"),
        ("https://", "empty host"),
    ] {
        let fault = refuse_value(&[("ONHOOK_PUBLIC_URL", text)]);
        assert!(fault.contains(reason) && fault.contains(text), "{fault}");
    }
    let fault = refuse_value(&[("ONHOOK_PUBLIC_URL", "https://user:hunter2@calls.example.com")]);
    assert!(fault.contains("a user or a password") && !fault.contains("hunter2"), "{fault}");
}

#[test]
fn a_pbx_is_named_with_everything_it_takes_to_log_in() {
    let ami = |text| load_env(&[("ONHOOK_AMI_URL", text)]).config.ami_url.unwrap();
    let plain = ami("ami://onhook:p%40ss@pbx.example");
    assert_eq!(plain.address.to_string(), "ami://pbx.example:5038");
    assert_eq!((plain.user.as_str(), plain.secret.expose_secret()), ("onhook", "p@ss"));
    let sealed = ami("amis://onhook:secret@[::1]:1234");
    assert_eq!((sealed.address.to_string().as_str(), sealed.address.host.as_str()), ("amis://[::1]:1234", "::1"));
    assert_eq!(ami("amis://onhook:secret@pbx").address.port, 5039);
    for text in [
        "ami://pbx",
        "ami://onhook@pbx",
        "ami://:secret@pbx",
        "http://onhook:secret@pbx",
        "ami://onhook:a%0d%0ab@pbx",
        "ami://onhook:secret@",
    ] {
        assert!(refuse_value(&[("ONHOOK_AMI_URL", text)]).contains("[redacted]"), "{text}");
    }
}

#[test]
fn a_pbx_has_a_name_and_perhaps_certificates_of_its_own() {
    let url = ("ONHOOK_AMI_URL", "amis://onhook:hunter2@pbx.example");
    let shown = |loaded: &Loaded, key: &str| loaded.show().iter().find(|row| row.key == key).unwrap().value.clone();
    let loaded = load_env(&[url]);
    assert_eq!((loaded.config.ami_name.as_str(), &loaded.config.ami_ca), ("pbx", &None));
    assert_eq!(shown(&loaded, "ami_url").unwrap(), "amis://onhook:***@pbx.example:5039");
    assert_eq!(load_env(&[("ONHOOK_AMI_NAME", "Site-a.1")]).config.ami_name, "Site-a.1");
    let of_twilio = refuse_value(&[("ONHOOK_AMI_NAME", "AC00000000000000000000000000000001")]);
    assert!(of_twilio.contains("not that of a Twilio account"), "{of_twilio}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ami/address/ca.pem");
    let loaded = load_env(&[url, ("ONHOOK_AMI_CA_FILE", path)]);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert!(loaded.config.ami_ca.as_deref().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(shown(&loaded, "ami_ca").unwrap(), "1 certificate");
    for without_tls in
        [&[("ONHOOK_AMI_CA_FILE", path)][..], &[("ONHOOK_AMI_CA_FILE", path), ("ONHOOK_AMI_URL", "ami://a:b@pbx")]]
    {
        let fault = refuse_value(without_tls);
        assert!(fault.contains("ONHOOK_AMI_CA is set") && fault.contains("amis://"), "{fault}");
    }
}

#[test]
fn a_typo_in_a_log_level_does_not_silence_the_log() {
    for filter in ["info", "WARN", "off", "info,onhook::ingest=debug", "onhook[call{id=1}]=trace"] {
        assert_eq!(load_env(&[("ONHOOK_LOG", filter)]).config.log, filter);
    }
    for filter in ["inffo", "onhook", "info,onhook=loud"] {
        refuse_value(&[("ONHOOK_LOG", filter)]);
    }
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    let fault = refuse_value(&[("ONHOOK_SWEEP_STUCK_AFTER_CRITICAL", "20m")]);
    assert_eq!(
        fault,
        "sweep.stuck_after.warn is 30m, longer than sweep.stuck_after.critical, which is 20m; it must not be longer"
    );
    for (name, value) in [
        ("ONHOOK_SWEEP_STUCK_AFTER_RINGING_WARN", "31m"),
        ("ONHOOK_SWEEP_CHECK_AFTER_QUEUED", "25h"),
        ("ONHOOK_SWEEP_CHECK_AFTER_RINGING", "61m"),
        ("ONHOOK_SWEEP_GIVE_UP_AFTER_ANSWERED", "59s"),
    ] {
        let error = refuse(env(&[(name, value)]));
        assert!(matches!(error.faults(), [Fault::LongerThan { .. }]), "{name}: {error}");
    }
    let run = |stale, fail| [("ONHOOK_RUN_STALE_AFTER", stale), ("ONHOOK_RUN_FAIL_AFTER", fail)];
    assert_eq!(load_env(&run("30s", "30001ms")).config.run.patience().fail_ms, 30_001);
    assert_eq!(
        refuse_value(&run("30s", "30s")),
        "run.fail_after is 30s; it must be longer than run.stale_after, which is 30s"
    );
    for out_of_range in [run("999ms", "15m"), run("601s", "15m")] {
        assert!(matches!(refuse(env(&out_of_range)).faults(), [Fault::BadValue(_)]), "{out_of_range:?}");
    }
    let half = refuse_value(&[("TWILIO_AUTH_TOKEN", "hunter2")]);
    assert_eq!(half, "TWILIO_AUTH_TOKEN is set but TWILIO_ACCOUNT_SID is not; set both or neither");
    let half = refuse_value(&[("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000001")]);
    assert_eq!(half, "TWILIO_ACCOUNT_SID is set but TWILIO_AUTH_TOKEN is not; set both or neither");
    let account = [("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000001"), ("TWILIO_AUTH_TOKEN", "hunter2")];
    let key = [("TWILIO_API_KEY", "SK00000000000000000000000000000001"), ("TWILIO_API_SECRET", "hunter2")];
    for (n, missing) in [(0, "TWILIO_API_SECRET"), (1, "TWILIO_API_KEY")] {
        let half = refuse_value(&[account[0], account[1], key[n]]);
        assert_eq!(half, format!("{} is set but {missing} is not; set both or neither", key[n].0));
    }
    assert_eq!(
        refuse_value(&key),
        "TWILIO_API_KEY is set but TWILIO_ACCOUNT_SID is not; set that too, or take TWILIO_API_KEY away"
    );
    let loaded = load_env(&[account[0], account[1], key[0], key[1]]);
    assert_eq!(loaded.config.twilio.key().map(|(sid, _)| sid), Some(key[0].1));
}

#[test]
fn serving_on_postgres_needs_the_keys_that_sqlite_generates() {
    assert!(load_env(&[]).config.check_serving().is_ok());
    let url = ("ONHOOK_DATABASE_URL", "postgres://db/app");
    let error = load_env(&[url]).config.check_serving().expect_err("no keys");
    assert_eq!(error.faults().len(), 2);
    assert!(error.to_string().contains("ONHOOK_API_KEY is not set; it is required on PostgreSQL"), "{error}");
    let keys = [url, ("ONHOOK_API_KEY", "an-api-key"), ("ONHOOK_SECRET_KEY", SEAL_KEY)];
    assert!(load_env(&keys).config.check_serving().is_ok());
}

#[test]
fn an_api_key_of_twilio_is_told_from_an_account() {
    let pairs = [("TWILIO_AUTH_TOKEN", "t"), ("TWILIO_ACCOUNT_SID", "SK00000000000000000000000000000001")];
    assert!(refuse_value(&pairs).contains("it is the SID of an API key, not of an account"));
    for sid in [
        "AC0000000000000000000000000000001",
        "AC0000000000000000000000000000000g",
        "ac00000000000000000000000000000001",
    ] {
        let fault = refuse_value(&[("TWILIO_AUTH_TOKEN", "t"), ("TWILIO_ACCOUNT_SID", sid)]);
        assert!(fault.contains("it is not the SID of an account"), "{fault}");
    }
}

/// 32 bytes in base64.
const SEAL_KEY: &str = "aHVudGVyMi1odW50ZXIyLWh1bnRlcjItaHVudGVyMiE=";
