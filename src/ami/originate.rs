//! Placing a call: how an `Originate` is written, so that nothing from outside leaves its field.

use super::Action;

/// A call to be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Originate<'a> {
    /// The id its channel is to have: it is known before anything happens.
    pub channel_id: &'a str,
    /// What is dialed, with `{to}` in it.
    pub template: &'a str,
    /// The number that is dialed.
    pub to: &'a str,
    /// Where it goes on in the dialplan once it is answered.
    pub context: &'a str,
    /// See `context`.
    pub extension: &'a str,
    /// The number that is shown.
    pub caller_id: Option<&'a str>,
    /// For how long it rings.
    pub ring_seconds: u32,
    /// After how many seconds it is cut off, counted from now.
    pub time_limit_seconds: Option<u32>,
    /// Variables of its channel.
    pub variables: &'a [(&'static str, String)],
}

/// Why a call cannot be placed as it is asked for. The fragments complete "failed to …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginateError {
    /// The number could leave its place.
    #[error(
        "dial the number: it must have 1 to {TO_BYTES_MAX} characters of A-Z a-z 0-9 + * # . _ -; it could leave its place in \
         the dial string"
    )]
    To,
    /// The channel names no place for the number, or no technology.
    #[error("dial the channel: it must be of the form PJSIP/{{to}}@trunk, with {{to}} where the number stands")]
    Template,
    /// The id cannot be one.
    #[error("give the call an id: it must have 1 to {CHANNEL_ID_BYTES_MAX} characters of A-Z a-z 0-9 . _ -")]
    ChannelId,
}

impl Originate<'_> {
    /// The action.
    pub fn action(&self) -> Result<Action, OriginateError> {
        let dialed = dial_string(self.template, self.to)?;
        if !is_of(self.channel_id, CHANNEL_ID_BYTES_MAX, b"._-") {
            return Err(OriginateError::ChannelId);
        }
        let is_local = is_local(&dialed);
        let action = Action::new("Originate")
            .with("Channel", dialed)
            .with("Context", self.context)
            .with("Exten", self.extension)
            .with("Priority", "1")
            .with("Timeout", u64::from(self.ring_seconds).saturating_mul(1_000).to_string())
            .with("Async", "true")
            .with("ChannelId", self.channel_id);
        // Its other half, which runs the dialplan that dials.
        let action = if is_local { action.with("OtherChannelId", other_half(self.channel_id)) } else { action };
        let action = self.caller_id.into_iter().fold(action, |action, number| action.with("CallerID", number));
        let limit = self.time_limit_seconds.map(|seconds| format!("TIMEOUT(absolute)={seconds}"));
        let action = limit.into_iter().fold(action, |action, limit| action.with("Variable", limit));
        // Not inherited: whoever the dialplan dials next is another one. The other half of a Local channel has them all the same.
        let variable = |action: Action, (name, value): &(&'static str, String)| {
            action.with("Variable", format!("{name}={}", escaped(value)))
        };
        Ok(self.variables.iter().fold(action, variable))
    }
}

/// Hangs up the channel of this id, or of this name.
pub fn hangup(uniqueid: &str) -> Action {
    // 16 is a normal end.
    Action::new("Hangup").with("Channel", uniqueid).with("Cause", "16")
}

/// The id that the other half of a Local channel is given.
fn other_half(channel_id: &str) -> String {
    format!("{channel_id};2")
}

fn is_local(dialed: &str) -> bool {
    dialed.split_once('/').is_some_and(|(tech, _)| tech.eq_ignore_ascii_case("Local"))
}

/// What is dialed. A `/`, `@`, `&`, `,` or `;` of the number would make another place of it.
fn dial_string(template: &str, to: &str) -> Result<String, OriginateError> {
    if !is_of(to, TO_BYTES_MAX, b"+*#._-") {
        return Err(OriginateError::To);
    }
    let is_template = template.split_once('/').is_some_and(|(tech, rest)| !tech.is_empty() && rest.contains(TO));
    is_template.then(|| template.replace(TO, to)).ok_or(OriginateError::Template)
}

fn is_of(text: &str, bytes_max: usize, marks: &[u8]) -> bool {
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || marks.contains(&b))
}

/// Asterisk splits `Variable` at commas, and counts quotes and brackets meanwhile; a backslash takes that from what follows.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '"' | '(' | ')' | '[' | ']') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

const TO: &str = "{to}";
/// No number is longer.
const TO_BYTES_MAX: usize = 64;
/// Asterisk takes 149.
const CHANNEL_ID_BYTES_MAX: usize = 140;

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;

    fn order(template: &'static str, to: &'static str) -> Originate<'static> {
        Originate {
            channel_id: "job_1-1",
            template,
            to,
            context: "customers",
            extension: "s",
            caller_id: Some("+14155550100"),
            ring_seconds: 30,
            time_limit_seconds: None,
            variables: &[],
        }
    }

    fn written(order: &Originate<'_>) -> String {
        let mut out = BytesMut::new();
        order.action().unwrap().write("a-1", &mut out).unwrap();
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn a_call_is_placed_in_the_background_under_an_id_of_ours() {
        let variables = [("ONHOOK_LEAD", "lead-1".to_owned())];
        let order = Originate {
            time_limit_seconds: Some(90),
            variables: &variables,
            ..order("PJSIP/{to}@trunk", "+14155550101")
        };
        let expected = "Action: Originate\r\nActionID: a-1\r\nChannel: PJSIP/+14155550101@trunk\r\nContext: customers\r\n\
            Exten: s\r\nPriority: 1\r\nTimeout: 30000\r\nAsync: true\r\nChannelId: job_1-1\r\nCallerID: +14155550100\r\n\
            Variable: TIMEOUT(absolute)=90\r\nVariable: ONHOOK_LEAD=lead-1\r\n\r\n";
        assert_eq!(written(&order), expected);
    }

    #[test]
    fn both_halves_of_a_local_channel_have_ids() {
        let variables = [("ONHOOK_LEAD", "a,b=\"c\"".to_owned())];
        let text = written(&Originate { variables: &variables, ..order("Local/{to}@phones/n", "2001") });
        for line in [
            "Channel: Local/2001@phones/n\r\n",
            "OtherChannelId: job_1-1;2\r\n",
            "Variable: ONHOOK_LEAD=a\\,b=\\\"c\\\"\r\n",
        ] {
            assert!(text.contains(line), "{line:?} is not in {text:?}");
        }
    }

    #[test]
    fn no_number_leaves_its_place() {
        let long = "1".repeat(65);
        for to in
            ["", "2001@evil", "2001/sip:x", "1&PJSIP/2", "1,2", "1;2", "1 2", "1\r\nAction: Logoff", "${X}", &long]
        {
            let order = Originate { to, ..order("PJSIP/{to}", "1") };
            assert_eq!(order.action(), Err(OriginateError::To), "{to:?}");
        }
        for template in ["PJSIP/trunk", "{to}", "/{to}", ""] {
            assert_eq!(order(template, "2001").action(), Err(OriginateError::Template), "{template:?}");
        }
        let odd = Originate { channel_id: "job 1", ..order("PJSIP/{to}", "1") };
        assert_eq!(odd.action(), Err(OriginateError::ChannelId));
        let broken = Originate { context: "a\r\nAction: Logoff", ..order("PJSIP/{to}", "1") };
        assert!(broken.action().unwrap().check().is_err(), "a line break is refused when it is sent");
    }
}
