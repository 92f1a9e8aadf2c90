//! How a run is to be dialed, where its jobs come as a table: the settings then stand in the query string.

use crate::{
    fields::{Wrong, Wrongs},
    runs::{RetryText, RunText},
};
use serde::Deserialize;
use std::str::FromStr;
use utoipa::IntoParams;

/// The settings of a run whose jobs come as CSV or NDJSON. With a JSON body they stand in the body.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct RunQuery {
    /// Your own id of the run, 1 to 200 bytes. Making a run with a key that is taken adds only the jobs it lacks.
    key: Option<String>,
    /// Name for people, up to 200 bytes.
    name: Option<String>,
    /// Who dials: `internal` or `external`.
    worker: Option<String>,
    /// The provider account that is dialed from.
    account: Option<String>,
    /// The number that called parties see; its `+` may stand as it is.
    from: Option<String>,
    /// Twilio: whom an answered call is put through to, separated by commas.
    connect: Option<String>,
    /// Twilio: what is done with an answered call, as TwiML.
    twiml: Option<String>,
    /// Twilio: where it asks for TwiML once a call is answered.
    url: Option<String>,
    /// Asterisk: what is dialed, with `{to}` in it.
    channel: Option<String>,
    /// Asterisk: the context of the dialplan in which an answered call goes on.
    context: Option<String>,
    /// Asterisk: the extension of that context.
    extension: Option<String>,
    /// For how long it rings, in seconds.
    #[param(value_type = Option<i64>)]
    timeout_seconds: Option<String>,
    /// After how many seconds a call is cut off.
    #[param(value_type = Option<i64>)]
    time_limit_seconds: Option<String>,
    /// Twilio: `Enable` or `DetectMessageEnd`.
    machine_detection: Option<String>,
    /// Pace: calls placed per second.
    #[param(value_type = Option<f64>)]
    calls_per_second: Option<String>,
    /// Calls under way at once.
    #[param(value_type = Option<i64>)]
    calls_at_once: Option<String>,
    /// Attempts in all.
    #[param(value_type = Option<i64>)]
    retry_attempts: Option<String>,
    /// After calls that ended so, separated by commas: `busy`, `no-answer`, `failed`.
    retry_on: Option<String>,
    /// How long after the end of one attempt the next is made, in seconds.
    #[param(value_type = Option<i64>)]
    retry_after_seconds: Option<String>,
}

impl RunQuery {
    /// As it would stand in a JSON body. What the numbers mean is judged there.
    pub(super) fn read(self) -> Result<RunText, Vec<Wrong>> {
        let mut wrongs = Wrongs::default();
        let mut whole =
            |field: &str, text: Option<String>| wrongs.take(number(field, text, "a whole number")).flatten();
        let timeout_seconds = whole("timeout_seconds", self.timeout_seconds);
        let time_limit_seconds = whole("time_limit_seconds", self.time_limit_seconds);
        let calls_at_once = whole("calls_at_once", self.calls_at_once);
        let attempts = whole("retry_attempts", self.retry_attempts);
        let after_seconds = whole("retry_after_seconds", self.retry_after_seconds);
        let calls_per_second = wrongs.take(number("calls_per_second", self.calls_per_second, "a number")).flatten();
        let retry = RetryText { attempts, on: self.retry_on.as_deref().map(parts), after_seconds };
        let made = RunText {
            key: self.key,
            name: self.name,
            worker: self.worker,
            account: self.account,
            from: self.from.map(|text| plus(&text)),
            connect: self.connect.as_deref().map(|text| parts(&plus(text))),
            twiml: self.twiml,
            url: self.url,
            channel: self.channel,
            context: self.context,
            extension: self.extension,
            timeout_seconds,
            time_limit_seconds,
            machine_detection: self.machine_detection,
            calls_per_second,
            calls_at_once,
            retry: Some(retry).filter(|retry| *retry != RetryText::default()),
        };
        wrongs.settle(Some(made))
    }
}

fn number<T: FromStr>(field: &str, text: Option<String>, what: &str) -> Result<Option<T>, Wrong> {
    let read = |text: String| text.parse().map_err(|_| Wrong::new(field, format!("{text:?} is not {what}")));
    text.map(read).transpose()
}

/// The parts of a list that is separated by commas.
fn parts(text: &str) -> Vec<String> {
    text.split(',').map(|part| plus(part).trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// In a query string an unescaped `+` means a space; in front of a number it was meant as it stands.
fn plus(text: &str) -> String {
    match text.strip_prefix(' ') {
        Some(number) if number.starts_with(|c: char| c.is_ascii_digit()) => format!("+{number}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<RunText, Vec<Wrong>> {
        serde_urlencoded::from_str::<RunQuery>(query).unwrap().read()
    }

    #[test]
    fn a_query_says_what_a_body_would() {
        let text = "key=spring&from=+14155550100&connect=client:ann,+14155550199&calls_per_second=0.5&calls_at_once=3\
                    &retry_attempts=2&retry_on=busy,failed&timeout_seconds=30";
        let expected = RunText {
            key: Some("spring".into()),
            from: Some("+14155550100".into()),
            connect: Some(vec!["client:ann".into(), "+14155550199".into()]),
            timeout_seconds: Some(30),
            calls_per_second: Some(0.5),
            calls_at_once: Some(3),
            retry: Some(RetryText {
                attempts: Some(2),
                on: Some(vec!["busy".into(), "failed".into()]),
                after_seconds: None,
            }),
            ..RunText::default()
        };
        assert_eq!(read(text).unwrap(), expected);
        assert_eq!(read("").unwrap(), RunText::default());
    }

    #[test]
    fn what_is_no_number_is_named_with_its_value() {
        let wrongs = read("calls_at_once=ten&calls_per_second=fast&retry_attempts=1.5").unwrap_err();
        let fields: Vec<&str> = wrongs.iter().map(|wrong| wrong.field.as_str()).collect();
        assert_eq!(fields, ["calls_at_once", "retry_attempts", "calls_per_second"]);
        assert_eq!(wrongs[0].message, "\"ten\" is not a whole number");
        assert!(serde_urlencoded::from_str::<RunQuery>("calls_at_once=1&nmae=x").is_err());
    }
}
