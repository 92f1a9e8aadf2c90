//! The figures of a span of time.

use super::{KNOWN_LATER_MS, Living};
use crate::{
    domain::{
        deadline::Limits,
        state::{Outcome, Resolution, Status},
        time::{HOUR, Millis, rfc3339},
    },
    store::{
        Db, StoreError,
        stats::{self, AccountSum, CallSum, LiveSum, Silence, Span, TimeToEnd},
        sweeps::{self, SweepFigure},
    },
};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What the calls of a span came to. A call is a leg, and belongs to the span in which it was created; one that became
/// known more than a day after the span is not counted.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Figures {
    /// Calls created at or after.
    #[schema(format = DateTime)]
    pub since: String,
    /// Calls created before.
    #[schema(format = DateTime)]
    pub until: String,
    /// How many.
    pub calls: i64,
    /// How far they have come: a number for each status.
    #[schema(example = json!({"completed": 40, "busy": 2, "in-progress": 1}))]
    pub calls_by_status: BTreeMap<&'static str, i64>,
    /// How many live: in statistics all that live now, in a report those of its period that live now.
    pub live: i64,
    /// Of these: how many have shown no sign of life for too long, now.
    pub stuck: StuckFigures,
    /// Of these: how many have a duration already. That of a recording usually means that the call is over and its ending
    /// was lost; any other would be a fault.
    pub live_with_duration: i64,
    /// Whole seconds from the creation to the end of those that ended: exact, by nearest rank. Null: none ended.
    pub time_to_end_seconds: Seconds,
    /// How they ended, by direction.
    pub failure_rate: Vec<DirectionFigures>,
    /// Of those that ended: the share that was answered, from 0 to 1. Null: none ended.
    #[schema(example = 0.62)]
    pub answer_rate: Option<f64>,
    /// How the endings became known: a number for each resolution.
    #[schema(example = json!({"callback": 38, "reconciled": 3, "manual": 0, "inferred": 1}))]
    pub resolutions: BTreeMap<&'static str, i64>,
    /// What the sweeper did in the hours of the span, whichever calls it was about.
    pub sweeps: SweepFigures,
    /// How many leads those contacted that have ended.
    pub leads_contacted: i64,
    /// Seconds of conversation, legs that were dialed from another call left out: they are part of it.
    pub talk_seconds: i64,
}

/// Calls without a sign of life for too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct StuckFigures {
    /// Longer than is usual, not yet critical.
    pub warn: i64,
    /// So long that somebody should look.
    pub critical: i64,
}

/// How long calls took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Seconds {
    /// Half of them took no longer.
    pub p50: Option<i64>,
    /// 95 of 100 took no longer.
    pub p95: Option<i64>,
    /// The longest.
    pub max: Option<i64>,
}

/// How the calls of a direction ended.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DirectionFigures {
    /// In the provider's word: `inbound`, `outbound-api`, `outbound-dial` …; `unknown` if it told none.
    #[schema(example = "outbound-api")]
    pub direction: String,
    /// How many.
    pub calls: i64,
    /// Of these: how many ended.
    pub ended: i64,
    /// Of those: a number for each outcome.
    #[schema(example = json!({"completed": 40, "busy": 2, "no-answer": 7, "canceled": 1, "failed": 1}))]
    pub outcomes: BTreeMap<&'static str, i64>,
    /// The share of the ended ones that is `failed`, from 0 to 1. Null: none ended.
    #[schema(example = 0.02)]
    pub rate: Option<f64>,
    /// Seconds of conversation of all of them.
    pub talk_seconds: i64,
}

/// What sweeps came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct SweepFigures {
    /// How many sweeps looked at calls.
    pub sweeps: i64,
    /// How many calls they looked at, each time it was.
    pub looked: i64,
    /// Of these: alive, as the provider said.
    pub alive: i64,
    /// Of these: ended, as the provider said.
    pub repaired: i64,
    /// Of these: given up.
    pub given_up: i64,
    /// Of these: nobody could say.
    pub skipped: i64,
}

/// How the callbacks of an account arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AccountFigures {
    /// The provider account: `GET /v1/accounts/{id}/health` says what to change.
    pub account: String,
    /// Legs that ended.
    pub ended: i64,
    /// Of these: those whose ending no callback told.
    pub missing: i64,
    /// Callbacks before the ending that were fired and never arrived.
    pub gaps: i64,
}

pub(super) async fn figures(
    db: &Db,
    tenant: &str,
    (since_ms, until_ms): (Millis, Millis),
    (living, limits, now_ms): (Living, &Limits, Millis),
) -> Result<Figures, StoreError> {
    let span = Span { since_ms, until_ms, known_until_ms: until_ms.saturating_add(KNOWN_LATER_MS) };
    let sums = stats::list_calls(db, tenant, span, SUMS_MAX).await?;
    let created_ms = match living {
        Living::All => (Millis::MIN, Millis::MAX),
        Living::OfSpan => (since_ms, until_ms),
    };
    let live = stats::sum_live(db, tenant, created_ms, silence(limits, now_ms)).await?;
    let time_to_end = stats::time_to_end(db, tenant, span).await?;
    let leads_contacted = stats::count_contacted(db, tenant, span).await?;
    let sweeps = sweeps::sum(db, tenant, (since_ms - since_ms.rem_euclid(HOUR), until_ms)).await?;
    Ok(assemble(span, &sums, live, time_to_end, sweeps, leads_contacted))
}

fn assemble(
    span: Span,
    sums: &[CallSum],
    live: LiveSum,
    time_to_end: TimeToEnd,
    sweeps: SweepFigure,
    leads_contacted: i64,
) -> Figures {
    let ended = || sums.iter().filter(|sum| !sum.resolution.is_empty());
    let answered = ended().map(|sum| sum.answered).sum();
    Figures {
        since: rfc3339(span.since_ms),
        until: rfc3339(span.until_ms),
        calls: count(sums.iter()),
        calls_by_status: by_word(Status::ALL.iter().map(|s| s.as_str()), |word, sum| sum.status == word, sums),
        live: live.live,
        stuck: StuckFigures { warn: live.warn, critical: live.critical },
        live_with_duration: live.with_duration,
        time_to_end_seconds: Seconds { p50: time_to_end.p50, p95: time_to_end.p95, max: time_to_end.longest },
        failure_rate: by_direction(sums),
        answer_rate: share(answered, count(ended())),
        resolutions: by_word(Resolution::ALL.iter().map(|r| r.as_str()), |word, sum| sum.resolution == word, sums),
        sweeps: SweepFigures {
            sweeps: sweeps.sweeps,
            looked: sweeps.looked,
            alive: sweeps.alive,
            repaired: sweeps.repaired,
            given_up: sweeps.given_up,
            skipped: sweeps.skipped,
        },
        leads_contacted,
        talk_seconds: sums.iter().map(|sum| sum.root_talk_seconds).sum(),
    }
}

fn by_direction(sums: &[CallSum]) -> Vec<DirectionFigures> {
    let mut directions: BTreeMap<&str, Vec<CallSum>> = BTreeMap::new();
    for sum in sums {
        let direction = if sum.direction.is_empty() { "unknown" } else { sum.direction.as_str() };
        directions.entry(direction).or_default().push(sum.clone());
    }
    let figures = directions.into_iter().map(|(direction, sums)| {
        let outcomes = Outcome::ALL.iter().map(|outcome| outcome.as_str());
        let outcomes = by_word(outcomes, |word, sum| !sum.resolution.is_empty() && sum.status == word, &sums);
        let ended = outcomes.values().sum();
        let failed = outcomes.get(Outcome::Failed.as_str()).copied().unwrap_or_default();
        DirectionFigures {
            direction: direction.to_owned(),
            calls: count(sums.iter()),
            ended,
            outcomes,
            rate: share(failed, ended),
            talk_seconds: sums.iter().map(|sum| sum.talk_seconds).sum(),
        }
    });
    figures.collect()
}

/// How many calls fit each of the words.
fn by_word(
    words: impl Iterator<Item = &'static str>,
    fits: impl Fn(&str, &CallSum) -> bool,
    sums: &[CallSum],
) -> BTreeMap<&'static str, i64> {
    words.map(|word| (word, count(sums.iter().filter(|sum| fits(word, sum))))).collect()
}

fn count<'a>(sums: impl Iterator<Item = &'a CallSum>) -> i64 {
    sums.map(|sum| sum.calls).sum()
}

/// A share to three digits: more would only look exact.
fn share(part: i64, whole: i64) -> Option<f64> {
    let thousandths = part.saturating_mul(2_000).saturating_add(whole).checked_div(whole.saturating_mul(2))?;
    u16::try_from(thousandths).ok().map(|n| f64::from(n) / 1_000.0)
}

fn silence(limits: &Limits, now_ms: Millis) -> Silence {
    let ago = |ms: Millis| now_ms.saturating_sub(ms);
    Silence {
        warn_ms: (ago(limits.stuck_warn_ms), ago(limits.stuck_ringing_warn_ms)),
        critical_ms: (ago(limits.stuck_critical_ms), ago(limits.stuck_ringing_critical_ms)),
    }
}

impl From<AccountSum> for AccountFigures {
    fn from(AccountSum { account, ended, missing, gaps }: AccountSum) -> Self {
        Self { account, ended, missing, gaps }
    }
}

/// Six directions, nine statuses, five resolutions; a provider may make up more directions.
const SUMS_MAX: i64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_and_never_divides_by_nothing() {
        assert_eq!(share(0, 0), None);
        assert_eq!(share(0, 7), Some(0.0));
        assert_eq!(share(7, 7), Some(1.0));
        assert_eq!(share(1, 3), Some(0.333));
        assert_eq!(share(2, 3), Some(0.667));
    }
}
