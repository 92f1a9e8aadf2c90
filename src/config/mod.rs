//! What can be set, and what is in force: flag over environment over `onhook.toml` over the embedded `defaults.toml`.
//!
//! The table below is the only list of settings. To add one, add its line here and its default to `defaults.toml`
//! (commented out there if it has none).

mod check;
mod error;
mod kind;
mod nets;
mod reader;
mod sources;
mod table;
mod urls;

use std::net::SocketAddr;

use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

use crate::domain::{deadline::Limits, lead::ContactPolicy, run::Patience, words};
use crate::telemetry::LogFormat;

pub use error::{BadValue, ConfigError, Fault, Warning};
pub use reader::{Origin, Row};
pub use sources::{FileText, Sources};
pub use table::Setting;
pub use urls::{AmiUrl, DatabaseUrl};

use kind::{
    ACCOUNT_SID, Bytes, Filter, Flag, HttpUrl, KEY_SID, Listen, OneOf, Optional, OrOff, Region, SealKey, Secret, Span,
    Whole,
};
use kind::{DAY_MS, GIB, HOUR_MS, KIB, MIB, MINUTE_MS, SECOND_MS};
use nets::Networks;
use reader::Reader;
use table::{Group, settings};
use urls::{AmiAddress, Certificates, Database, PbxName};

/// The embedded defaults: the documented default is the default.
pub const DEFAULTS: &str = include_str!("../defaults.toml");

settings! {
    /// Everything that can be set.
    Config {
        /// Where everything is kept: `sqlite://path` or `postgres://…`.
        database_url: DatabaseUrl = "database_url" / "ONHOOK_DATABASE_URL" / "DATABASE_URL" => Database;
        /// The address to listen on. A port alone, as hosting platforms give it in `PORT`, means that port on all interfaces.
        listen: SocketAddr = "listen" / "ONHOOK_LISTEN" / "PORT" => Listen;
        /// A second listener with `/metrics` only, without a key; on the main listener `/metrics` needs scope `read`.
        metrics_listen: Option<SocketAddr> = "metrics_listen" / "ONHOOK_METRICS_LISTEN" => Optional(Listen);
        /// Scheme, host, port and path prefix that the provider sees: verifies signatures and writes callback URLs.
        /// Unset: `https://` and `http://` with the request's Host are tried.
        public_url: Option<Url> = "public_url" / "ONHOOK_PUBLIC_URL" => Optional(HttpUrl);
        /// Whether a webhook without a good signature is refused (`enforce`) or let in and marked (`observe`); an account may differ.
        verify: VerifyMode = "verify" / "ONHOOK_VERIFY" => OneOf(VerifyMode::ALL);
        /// A PBX of the tenant `default`: `ami://user:secret@host:5038` or `amis://…:5039`. Never stored.
        ami_url: Option<AmiUrl> = "ami_url" / "ONHOOK_AMI_URL" => Optional(AmiAddress);
        /// The name of that PBX: the `account` of its calls. Do not change it while calls are live.
        ami_name: String = "ami_name" / "ONHOOK_AMI_NAME" => PbxName;
        /// The certificates (PEM) that its TLS is checked with, in place of the system's. `ONHOOK_AMI_CA_FILE` names a file that holds them.
        ami_ca: Option<String> = "ami_ca" / "ONHOOK_AMI_CA" => Optional(Certificates);
        /// The key of the tenant `default` with every scope, `operator` too. Never stored. Generated at the first start on
        /// SQLite and printed once; required on PostgreSQL.
        api_key: Option<SecretString> = "api_key" / "ONHOOK_API_KEY" => Optional(Secret { chars: 1..=512 });
        /// Seals stored provider credentials: 32 bytes in base64. Generated beside an SQLite file; required on PostgreSQL.
        secret_key: Option<SecretString> = "secret_key" / "ONHOOK_SECRET_KEY" => Optional(SealKey);
        /// The country of phone numbers that are written without a country code, such as `US`. Unset: only numbers with one are read.
        phone_region: Option<String> = "phone_region" / "ONHOOK_PHONE_REGION" => Optional(Region);
        /// What is logged: `error`, `warn`, `info`, `debug`, `trace` or `off`, also by module: `info,onhook::ingest=debug`.
        log: String = "log" / "ONHOOK_LOG" => Filter;
        /// How it is logged: `text`, `json`, or `auto`: `text` on a terminal, else `json`.
        log_format: LogFormat = "log_format" / "ONHOOK_LOG_FORMAT" => OneOf(LogFormat::ALL);
        with
        /// The Twilio account of the environment, and where Twilio is asked.
        twilio: TwilioConfig;
        /// What counts as a contact.
        contact: ContactConfig;
        /// Looking after live calls.
        sweep: SweepConfig;
        /// Outbound runs.
        run: RunConfig;
        /// How long things are kept.
        keep: KeepConfig;
        /// What is kept of deliveries that were refused.
        quarantine: QuarantineConfig;
        /// What stands in front of the gateway.
        http: HttpConfig;
        /// Named limits.
        limits: LimitsConfig;
    }

    /// The Twilio account of the environment, and where Twilio is asked.
    TwilioConfig {
        /// An account of the tenant `default`, with `TWILIO_AUTH_TOKEN`. Never stored.
        account_sid: Option<String> = "twilio.account_sid" / "TWILIO_ACCOUNT_SID" => Optional(ACCOUNT_SID);
        /// The auth token of `TWILIO_ACCOUNT_SID`: verifies signatures and asks Twilio.
        auth_token: Option<SecretString> = "twilio.auth_token" / "TWILIO_AUTH_TOKEN" => Optional(Secret { chars: 1..=512 });
        /// An API key of that account, with `TWILIO_API_SECRET`: asks Twilio before the auth token does, and verifies nothing.
        api_key: Option<String> = "twilio.api_key" / "TWILIO_API_KEY" => Optional(KEY_SID);
        /// The secret of `TWILIO_API_KEY`.
        api_secret: Option<SecretString> = "twilio.api_secret" / "TWILIO_API_SECRET" => Optional(Secret { chars: 1..=512 });
        /// Where to ask Twilio: a region's host, or a test double.
        api_base: Url = "twilio.api_base" / "ONHOOK_TWILIO_API_BASE" => HttpUrl;
        /// At most so many requests per second are sent to Twilio for one account.
        requests_per_second: u32 = "twilio.requests_per_second" / "ONHOOK_TWILIO_REQUESTS_PER_SECOND" => Whole(1..=1_000);
    }

    /// What counts as a contact.
    ContactConfig {
        /// An answered call shorter than this many seconds of talk is no contact.
        min_talk_seconds: u32 = "contact.min_talk_seconds" / "ONHOOK_CONTACT_MIN_TALK_SECONDS" => Whole(0..=86_400);
        /// Whether a call answered by a machine or a fax is a contact.
        count_machines: bool = "contact.count_machines" / "ONHOOK_CONTACT_COUNT_MACHINES" => Flag;
        /// Whether an answered inbound call without any dialed leg is a contact.
        count_parent: bool = "contact.count_parent" / "ONHOOK_CONTACT_COUNT_PARENT" => Flag;
    }

    /// Looking after live calls: when to ask, when to warn, when to give up.
    SweepConfig {
        /// How often calls that are due are looked at; `0`: no background sweep.
        interval_ms: Option<i64> = "sweep.interval" / "ONHOOK_SWEEP_INTERVAL" => OrOff(Span(100..=DAY_MS));
        /// What an answered call is when its end has to be inferred: `completed` or `failed`.
        answered_outcome: AnsweredOutcome = "sweep.answered_outcome" / "ONHOOK_SWEEP_ANSWERED_OUTCOME" => OneOf(AnsweredOutcome::ALL);
        /// Whether a second call in progress on an extension ends the first one, where nobody can be asked about it.
        supersede: bool = "sweep.supersede" / "ONHOOK_SWEEP_SUPERSEDE" => Flag;
        with
        /// When the provider is asked.
        check_after: CheckAfter;
        /// When a call counts as stuck.
        stuck_after: StuckAfter;
        /// The limit where the provider could be asked.
        give_up_after: GiveUpAfter;
        /// The limit where nobody can be asked.
        timeout: SweepTimeout;
    }

    /// How long a call stays in a state before the provider is asked.
    CheckAfter {
        /// Ask about a queued call after.
        queued_ms: i64 = "sweep.check_after.queued" / "ONHOOK_SWEEP_CHECK_AFTER_QUEUED" => ANY_SPAN;
        /// Ask about an initiated or ringing call after.
        ringing_ms: i64 = "sweep.check_after.ringing" / "ONHOOK_SWEEP_CHECK_AFTER_RINGING" => ANY_SPAN;
        /// Ask about an answered call after.
        answered_ms: i64 = "sweep.check_after.answered" / "ONHOOK_SWEEP_CHECK_AFTER_ANSWERED" => ANY_SPAN;
    }

    /// How long without a sign of life a live call counts as stuck.
    StuckAfter {
        /// A queued or answered call is shown as `warn` after.
        warn_ms: i64 = "sweep.stuck_after.warn" / "ONHOOK_SWEEP_STUCK_AFTER_WARN" => ANY_SPAN;
        /// A queued or answered call is shown as `critical` after.
        critical_ms: i64 = "sweep.stuck_after.critical" / "ONHOOK_SWEEP_STUCK_AFTER_CRITICAL" => ANY_SPAN;
        /// An initiated or ringing call is shown as `warn` after.
        ringing_warn_ms: i64 = "sweep.stuck_after.ringing_warn" / "ONHOOK_SWEEP_STUCK_AFTER_RINGING_WARN" => ANY_SPAN;
        /// An initiated or ringing call is shown as `critical` after.
        ringing_critical_ms: i64 = "sweep.stuck_after.ringing_critical" / "ONHOOK_SWEEP_STUCK_AFTER_RINGING_CRITICAL" => ANY_SPAN;
    }

    /// How long a call may stay in a state before it is given up, if the provider could not say.
    GiveUpAfter {
        /// A queued call is given up after.
        queued_ms: i64 = "sweep.give_up_after.queued" / "ONHOOK_SWEEP_GIVE_UP_AFTER_QUEUED" => ANY_SPAN;
        /// An initiated or ringing call is given up after.
        ringing_ms: i64 = "sweep.give_up_after.ringing" / "ONHOOK_SWEEP_GIVE_UP_AFTER_RINGING" => ANY_SPAN;
        /// An answered call is given up after.
        answered_ms: i64 = "sweep.give_up_after.answered" / "ONHOOK_SWEEP_GIVE_UP_AFTER_ANSWERED" => ANY_SPAN;
    }

    /// How long a call may stay in a state before it is given up, where no source can be asked at all.
    SweepTimeout {
        /// An initiated or ringing call that nobody can be asked about is given up after.
        ringing_ms: i64 = "sweep.timeout.ringing" / "ONHOOK_SWEEP_TIMEOUT_RINGING" => ANY_SPAN;
        /// An answered call that nobody can be asked about is given up after.
        answered_ms: i64 = "sweep.timeout.answered" / "ONHOOK_SWEEP_TIMEOUT_ANSWERED" => ANY_SPAN;
    }

    /// Outbound runs.
    RunConfig {
        /// Whether this process dials internal runs. `false` leaves that to others that share the database.
        dial: bool = "run.dial" / "ONHOOK_RUN_DIAL" => Flag;
        /// A run without a heartbeat for this long is stale: another worker may take it over.
        stale_after_ms: i64 = "run.stale_after" / "ONHOOK_RUN_STALE_AFTER" => Span(SECOND_MS..=10 * MINUTE_MS);
        /// A run that could have placed a job, but did not for this long, has failed.
        fail_after_ms: i64 = "run.fail_after" / "ONHOOK_RUN_FAIL_AFTER" => Span(SECOND_MS..=7 * DAY_MS);
        /// A request to a provider whose answer was lost is looked for at the provider after.
        look_for_after_ms: i64 = "run.look_for_after" / "ONHOOK_RUN_LOOK_FOR_AFTER" => Span(SECOND_MS..=HOUR_MS);
        /// At most so many calls of runs at once from one account.
        account_calls_max: u32 = "run.account_calls_max" / "ONHOOK_RUN_ACCOUNT_CALLS_MAX" => Whole(1..=10_000);
        /// At most so many calls of runs at once of one tenant.
        tenant_calls_max: u32 = "run.tenant_calls_max" / "ONHOOK_RUN_TENANT_CALLS_MAX" => Whole(1..=10_000);
    }

    /// How long things are kept.
    KeepConfig {
        /// Raw deliveries, and the signals of ended calls, are kept for.
        deliveries_ms: i64 = "keep.deliveries" / "ONHOOK_KEEP_DELIVERIES" => ANY_SPAN;
        /// The journal is kept for.
        journal_ms: i64 = "keep.journal" / "ONHOOK_KEEP_JOURNAL" => ANY_SPAN;
        /// The audit is kept for.
        audit_ms: i64 = "keep.audit" / "ONHOOK_KEEP_AUDIT" => ANY_SPAN;
    }

    /// What is kept of deliveries that were refused.
    QuarantineConfig {
        /// At most so many refused deliveries are kept; a tenth of them of unknown accounts.
        rows_max: u32 = "quarantine.rows_max" / "ONHOOK_QUARANTINE_ROWS_MAX" => Whole(100..=1_000_000);
        /// At most so many bytes of them; a tenth of unknown accounts.
        bytes_max: usize = "quarantine.bytes_max" / "ONHOOK_QUARANTINE_BYTES_MAX" => Bytes(MIB..=GIB);
        /// A refused delivery is kept for so long after it last came.
        keep_ms: i64 = "quarantine.keep" / "ONHOOK_QUARANTINE_KEEP" => Span(MINUTE_MS..=90 * DAY_MS);
    }

    /// What stands in front of the gateway.
    HttpConfig {
        /// Proxies whose `X-Forwarded-For` is believed, for the client's address in logs and in the quarantine only; never
        /// for signatures or URLs. Addresses and networks with commas between them.
        trusted_proxies: Vec<IpNet> = "http.trusted_proxies" / "ONHOOK_HTTP_TRUSTED_PROXIES" => Networks;
    }

    /// Named limits.
    LimitsConfig {
        /// A webhook body over this is answered 413.
        webhook_body_bytes_max: usize = "limits.webhook_body_bytes_max" / "ONHOOK_LIMITS_WEBHOOK_BODY_BYTES_MAX" => Bytes(KIB..=256 * KIB);
        /// A batch of Event Streams over this is answered 413.
        event_batch_bytes_max: usize = "limits.event_batch_bytes_max" / "ONHOOK_LIMITS_EVENT_BATCH_BYTES_MAX" => Bytes(KIB..=16 * MIB);
        /// The body of a REST request over this is answered 413.
        rest_body_bytes_max: usize = "limits.rest_body_bytes_max" / "ONHOOK_LIMITS_REST_BODY_BYTES_MAX" => Bytes(KIB..=64 * MIB);
        /// An import over this is answered 413.
        import_bytes_max: usize = "limits.import_bytes_max" / "ONHOOK_LIMITS_IMPORT_BYTES_MAX" => Bytes(KIB..=GIB);
        /// How long requests under way may take to finish when the server is told to stop.
        shutdown_deadline_ms: i64 = "limits.shutdown_deadline" / "ONHOOK_LIMITS_SHUTDOWN_DEADLINE" => Span(SECOND_MS..=10 * MINUTE_MS);
    }
}

/// Any duration that makes sense for a call, a run or a retention.
const ANY_SPAN: Span = Span(1..=3_650 * DAY_MS);

words! {
    /// What happens to a webhook whose signature is not good.
    pub enum VerifyMode {
        /// It is refused and quarantined.
        Enforce = "enforce",
        /// It is let in and marked as not verified.
        Observe = "observe",
    }
}

words! {
    /// What an answered call is when its end has to be inferred.
    pub enum AnsweredOutcome {
        /// It ended as calls do.
        Completed = "completed",
        /// It failed.
        Failed = "failed",
    }
}

/// Every setting, in the order of the table.
pub fn settings() -> Vec<Setting> {
    let mut settings = Vec::new();
    Config::list(&mut settings);
    settings
}

/// What is in force, and what should be said about it.
#[derive(Debug)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// What was written and is ignored, with the nearest known name.
    pub warnings: Vec<Warning>,
    rows: Vec<Row>,
}

impl Loaded {
    /// Every setting with its value, secrets redacted, and where it came from, in the order of the table.
    pub fn show(&self) -> &[Row] {
        &self.rows
    }

    /// Where the value of the setting with this key came from; `None` if there is no such setting.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.rows.iter().find(|row| row.key == key).map(|row| &row.origin)
    }
}

impl Config {
    /// Reads everything that can be set from the embedded defaults, the file, the environment and the flags.
    /// Every wrong value is reported, not only the first one.
    pub fn load(sources: Sources) -> Result<Loaded, ConfigError> {
        let settings = settings();
        let mut reader = Reader::new(&sources, &settings);
        let config = Self::read(&mut reader);
        let (rows, warnings, mut faults) = reader.finish();
        if let Some(config) = &config {
            faults.extend(config.disagreements());
        }
        match config {
            Some(config) if faults.is_empty() => Ok(Loaded { config, warnings, rows }),
            _ => Err(ConfigError::new(faults)),
        }
    }
}

impl ContactConfig {
    /// What counts as a contact.
    pub fn policy(&self) -> ContactPolicy {
        ContactPolicy {
            min_talk_seconds: self.min_talk_seconds.into(),
            count_machines: self.count_machines,
            count_parent: self.count_parent,
        }
    }
}

impl SweepConfig {
    /// When to look at a live call again, and when it counts as stuck.
    pub fn limits(&self) -> Limits {
        let (check, stuck, give_up) = (&self.check_after, &self.stuck_after, &self.give_up_after);
        Limits {
            check_queued_ms: check.queued_ms,
            check_ringing_ms: check.ringing_ms,
            check_answered_ms: check.answered_ms,
            stuck_warn_ms: stuck.warn_ms,
            stuck_critical_ms: stuck.critical_ms,
            stuck_ringing_warn_ms: stuck.ringing_warn_ms,
            stuck_ringing_critical_ms: stuck.ringing_critical_ms,
            give_up_queued_ms: give_up.queued_ms,
            give_up_ringing_ms: give_up.ringing_ms,
            give_up_answered_ms: give_up.answered_ms,
            timeout_ringing_ms: self.timeout.ringing_ms,
            timeout_answered_ms: self.timeout.answered_ms,
        }
    }
}

impl RunConfig {
    /// When a run is stale, and when it has failed.
    pub const fn patience(&self) -> Patience {
        Patience { stale_ms: self.stale_after_ms, fail_ms: self.fail_after_ms }
    }
}

impl TwilioConfig {
    /// The account of the environment, if there is one.
    pub fn account(&self) -> Option<(&str, &SecretString)> {
        Some((self.account_sid.as_deref()?, self.auth_token.as_ref()?))
    }

    /// The API key of that account, if there is one.
    pub fn key(&self) -> Option<(&str, &SecretString)> {
        Some((self.api_key.as_deref()?, self.api_secret.as_ref()?))
    }
}
