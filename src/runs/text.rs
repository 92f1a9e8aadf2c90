//! A run and its jobs as somebody wrote them, and what is wrong with that.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A run as somebody wrote it: nothing was looked at yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = RunWrite, description = "How a run is to be dialed.")]
#[serde(deny_unknown_fields)]
pub struct RunText {
    /// Your own id of the run, 1 to 200 bytes. Making a run with a key that is taken adds only the jobs it lacks.
    #[schema(example = "spring-2026", min_length = 1, max_length = 200)]
    pub key: Option<String>,
    /// Name for people, up to 200 bytes.
    #[schema(example = "Spring campaign", max_length = 200)]
    pub name: Option<String>,
    /// Who dials: `internal` (onhook does; the default) or `external` (your own dialer claims jobs and reports).
    #[schema(example = "internal")]
    pub worker: Option<String>,
    /// The provider account that is dialed from. May be left out where you have only one.
    #[schema(example = "AC00000000000000000000000000000001")]
    pub account: Option<String>,
    /// The number that called parties see. Twilio needs one that is yours.
    #[schema(example = "+14155550100")]
    pub from: Option<String>,
    /// Twilio: whom an answered call is put through to, all at once: numbers, `client:` and `sip:` addresses, up to 10.
    #[schema(example = json!(["client:ann"]))]
    pub connect: Option<Vec<String>>,
    /// Twilio: what is done with an answered call, as TwiML of up to 4000 characters.
    #[schema(example = "<Response><Say>Hello</Say></Response>")]
    pub twiml: Option<String>,
    /// Twilio: where it asks for TwiML once a call is answered.
    #[schema(example = "https://example.com/voice")]
    pub url: Option<String>,
    /// Asterisk: what is dialed, with `{to}` in it.
    #[schema(example = "PJSIP/{to}@trunk")]
    pub channel: Option<String>,
    /// Asterisk: the context of the dialplan in which an answered call goes on.
    #[schema(example = "from-onhook")]
    pub context: Option<String>,
    /// Asterisk: the extension of that context.
    #[schema(example = "s")]
    pub extension: Option<String>,
    /// For how long it rings, in seconds: 5 to 600. Left out: as the provider does.
    #[schema(example = 30, minimum = 5, maximum = 600)]
    pub timeout_seconds: Option<i64>,
    /// After how many seconds a call is cut off: 1 to 86400. Left out: as the provider does.
    #[schema(example = 3600, minimum = 1, maximum = 86400)]
    pub time_limit_seconds: Option<i64>,
    /// Twilio: `Enable` or `DetectMessageEnd`. Left out: nothing is detected.
    #[schema(example = "Enable")]
    pub machine_detection: Option<String>,
    /// Pace: calls placed per second, 0.01 to 100. Left out: 1.
    #[schema(example = 1.0, minimum = 0.01, maximum = 100.0)]
    pub calls_per_second: Option<f64>,
    /// Calls under way at once, 1 to 10000. Left out: 10. Limits of the account and the tenant hold besides.
    #[schema(example = 10, minimum = 1, maximum = 10000)]
    pub calls_at_once: Option<i64>,
    /// When a job is tried again. Left out: never.
    pub retry: Option<RetryText>,
}

/// When a job is tried again, as somebody wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RetryWrite, description = "When a job is tried again.")]
#[serde(deny_unknown_fields)]
pub struct RetryText {
    /// Attempts in all, 1 to 10. Left out: 1.
    #[schema(example = 3, minimum = 1, maximum = 10)]
    pub attempts: Option<i64>,
    /// After calls that ended so, and the provider said so: `busy`, `no-answer`, `failed`. Left out: `busy` and `no-answer`.
    #[schema(example = json!(["busy", "no-answer"]))]
    pub on: Option<Vec<String>>,
    /// How long after the end of one attempt the next is made, in seconds: 1 to 604800. Left out: 900.
    #[schema(example = 900, minimum = 1, maximum = 604800)]
    pub after_seconds: Option<i64>,
}

/// A job as somebody wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = JobWrite, description = "Somebody to be called.")]
#[serde(deny_unknown_fields)]
pub struct JobText {
    /// Whom to call: a number with its country code (unless a region is configured); for Twilio also a `client:` or `sip:`
    /// address; for a PBX also an extension, of the characters `0-9 A-Z a-z + * # . _ -`.
    #[schema(example = "+14155550101")]
    pub to: Option<String>,
    /// Your own id of the lead whose call it is, up to 200 bytes.
    #[schema(example = "lead-42", max_length = 200)]
    pub lead_id: Option<String>,
    /// The user whose call it is, up to 200 bytes.
    #[schema(example = "ann", max_length = 200)]
    pub user_id: Option<String>,
    /// What makes it the same job when it is sent again, up to 200 bytes. Left out: the lead, else whom to call.
    #[schema(example = "row-7", max_length = 200)]
    pub key: Option<String>,
    /// Not called before, RFC 3339, at most a year ahead. Left out: as soon as it is its turn.
    #[schema(example = "2026-11-20T10:11:08.000Z", format = DateTime)]
    pub not_before: Option<String>,
}
