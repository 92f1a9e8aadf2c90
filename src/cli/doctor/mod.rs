//! `onhook doctor`: is everything in place that callbacks need? Each check says what to do next.

mod local;
mod pbxs;
mod public;
mod twilio;

use super::{
    desk::Desk,
    exit::Exit,
    out::{Out, Tone, printable},
    tokens,
};
use crate::domain::time::Millis;
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::json;

/// Check everything that callbacks need, from the configuration to the way through the public URL; exit code 5 on findings
///
/// It reads the configuration and the database, asks Twilio with every live token, logs in to every PBX of the tenant
/// `default` (`onhook ami doctor` listens longer and prints what to change), and sends a signed probe through
/// ONHOOK_PUBLIC_URL, of which the gateway stores nothing. It changes nothing. Run it with the gateway's own
/// configuration, while the gateway runs. Exit code 6: the database is away.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook doctor
  onhook doctor --set public_url=https://calls.example.com")]
pub struct Doctor {}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// Something to mend.
    Finding,
    /// It could not be checked.
    Unknown,
    /// The database is not there.
    Away,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    name: &'static str,
    state: State,
    what: String,
    /// What to do next; empty if nothing.
    next: String,
}

impl Check {
    fn ok(name: &'static str, what: impl Into<String>) -> Self {
        Self { name, state: State::Ok, what: what.into(), next: String::new() }
    }

    fn finding(name: &'static str, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name, state: State::Finding, what: what.into(), next: next.into() }
    }

    fn unknown(name: &'static str, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name, state: State::Unknown, what: what.into(), next: next.into() }
    }
}

impl Doctor {
    /// Checks it.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        let mut checks = local::configuration(&desk);
        let configured = tokens::of_configuration(&desk.config);
        let (of_database, stored) = local::database(&mut desk).await;
        checks.extend(of_database);
        // A token that is both configured and stored is asked once.
        let now_ms = desk.now_ms();
        let known: Vec<_> = configured.into_iter().chain(stored).filter(|token| !token.has_ended(now_ms)).collect();
        let asked = twilio::credentials(&mut desk, &known).await;
        checks.extend(asked.checks);
        checks.extend(pbxs::all(&mut desk).await);
        let answered = public::url(&desk).await;
        checks.extend(answered.checks);
        checks.extend(clock(asked.clock, answered.clock));
        checks.extend(public::round_trip(&mut desk, &known).await);
        let count = |state| checks.iter().filter(|check| check.state == state).count();
        let json = json!({ "checks": checks, "findings": count(State::Finding), "unknown": count(State::Unknown) });
        desk.out.show(&json, || text(&desk.out, &checks))?;
        Ok(exit(&checks))
    }
}

fn exit(checks: &[Check]) -> Exit {
    let any = |state| checks.iter().any(|check| check.state == state);
    match (any(State::Away), any(State::Finding)) {
        (true, _) => Exit::Unavailable,
        (false, true) => Exit::Findings,
        (false, false) => Exit::Ok,
    }
}

/// What a question showed of the clocks: theirs and ours at the moment of the answer.
#[derive(Clone, Copy, Debug)]
struct Clocks {
    theirs_ms: Millis,
    ours_ms: Millis,
}

/// Twilio's clock decides; the public URL's only says something where the gateway runs on another machine.
fn clock(twilio: Option<Clocks>, public: Option<Clocks>) -> Vec<Check> {
    let told = twilio.map(|clocks| ("Twilio", clocks)).or(public.map(|clocks| ("the public URL", clocks)));
    let Some((whose, clocks)) = told else {
        let what = "it could not be compared: neither Twilio nor the public URL answered with a time";
        let next = "compare it with `timedatectl`, or run the doctor again when one of them is reached";
        return vec![Check::unknown(CLOCK, what, next)];
    };
    vec![skew(whose, clocks)]
}

fn skew(whose: &str, clocks: Clocks) -> Check {
    let ahead_ms = clocks.ours_ms.saturating_sub(clocks.theirs_ms);
    let seconds = ahead_ms / 1_000;
    if ahead_ms.abs() <= SKEW_MS_MAX {
        return Check::ok(CLOCK, format!("it agrees with {whose}"));
    }
    let side = if ahead_ms > 0 { "ahead of" } else { "behind" };
    let what = format!("this machine's clock is {} s {side} {whose}", seconds.abs());
    Check::finding(CLOCK, what, "turn on time synchronisation (NTP); times of calls and expiries depend on the clock")
}

fn text(out: &Out, checks: &[Check]) -> String {
    let mut lines = Vec::new();
    for check in checks {
        let (mark, tone) = match check.state {
            State::Ok => ("✓", Tone::Good),
            State::Finding | State::Away => ("✗", Tone::Bad),
            State::Unknown => ("?", Tone::Strong),
        };
        lines.push(format!("{} {}: {}", out.paint(tone, mark), check.name, printable(&check.what)));
        if !check.next.is_empty() {
            lines.push(format!("    next: {}", printable(&check.next)));
        }
    }
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    let (findings, unknown) = (count(State::Finding) + count(State::Away), count(State::Unknown));
    lines.push(match (findings, unknown) {
        (0, 0) => "all is well".to_owned(),
        (findings, unknown) => format!("findings: {findings}, could not be checked: {unknown}"),
    });
    lines.join("\n")
}

const CLOCK: &str = "clock";
/// A `Date` has whole seconds, and an answer takes some.
const SKEW_MS_MAX: i64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_end_with_5_and_a_missing_database_with_6() {
        let (ok, unknown) = (Check::ok("a", "b"), Check::unknown("a", "b", "c"));
        let finding = Check::finding("a", "b", "c");
        let away = Check { state: State::Away, ..finding.clone() };
        assert_eq!(exit(&[]), Exit::Ok);
        assert_eq!(exit(&[ok.clone(), unknown.clone()]), Exit::Ok, "what could not be checked is no finding");
        assert_eq!(exit(&[ok, unknown, finding.clone()]), Exit::Findings);
        assert_eq!(exit(&[finding, away]), Exit::Unavailable);
    }

    #[test]
    fn a_clock_that_is_off_is_a_finding() {
        let of = |ours_ms| skew("Twilio", Clocks { theirs_ms: 1_000_000, ours_ms });
        assert_eq!(of(1_004_000).state, State::Ok);
        assert_eq!(of(995_000).state, State::Ok);
        let (ahead, behind) = (of(1_060_000), of(940_000));
        assert_eq!((ahead.state, behind.state), (State::Finding, State::Finding));
        assert!(
            ahead.what.contains("60 s ahead of Twilio") && behind.what.contains("60 s behind"),
            "{ahead:?} {behind:?}"
        );
    }
}
