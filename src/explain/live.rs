//! Live calls: since when one is silent, what was asked of it, and what comes next.

use crate::{
    domain::{
        deadline::{Limits, Source},
        state::{Status, Stuck},
        time::{MINUTE, Millis, SECOND, rfc3339},
    },
    ingest,
    provider::TroubleKind,
    store::{
        Db, StoreError,
        calls::{CallRow, LegKey},
        due::{self, Asked},
        watch::{self, WatchRow},
    },
};
use std::collections::HashMap;

/// By which rules calls are looked at, and when.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// When a call counts as stuck, is asked about, is given up.
    pub limits: Limits,
    /// Whether the sweeper works by itself.
    pub sweeps: bool,
    /// Now.
    pub now_ms: Millis,
}

/// A live call without a sign of life for some time.
#[derive(Clone, Debug)]
pub struct Silent {
    /// The call.
    pub row: CallRow,
    /// What is known, and what comes next.
    pub next: Next,
}

/// What is known of a live call, and what comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// Whole seconds without a sign of life.
    pub silent_seconds: i64,
    /// Whether that is too long for its state.
    pub stuck: Option<Stuck>,
    /// When it is given up if nobody can say. None: not before somebody mended what keeps us from asking.
    pub give_up_at_ms: Option<Millis>,
    /// What is known, what was asked and answered last, what comes next.
    pub why: String,
}

impl Terms {
    /// A page of the live calls of a tenant that showed no sign of life for `threshold_ms` (None: for so long that they
    /// count as stuck), by our id, after `after`.
    pub async fn list_silent(
        &self,
        db: &Db,
        tenant: &str,
        threshold_ms: Option<Millis>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Silent>, StoreError> {
        let Limits { stuck_warn_ms, stuck_ringing_warn_ms, .. } = self.limits;
        let since = |silent_ms: Millis| self.now_ms.saturating_sub(silent_ms);
        let since = match threshold_ms {
            Some(threshold_ms) => (since(threshold_ms), since(threshold_ms)),
            None => (since(stuck_warn_ms), since(stuck_ringing_warn_ms)),
        };
        let rows = due::list_silent(db, tenant, since, after, limit).await?;
        let keys: Vec<LegKey> = rows.iter().map(key).collect();
        let asked = match keys.is_empty() {
            true => Vec::new(),
            false => due::list_asked(db, &keys).await?,
        };
        let asked: HashMap<(String, String), Asked> = asked
            .into_iter()
            .map(|r| ((r.provider_id, r.account), Asked { asked_ms: r.asked_ms, asks: r.asks, answer: r.answer }))
            .collect();
        let troubled = watch::list_troubled(db, Some(tenant), ACCOUNTS_MAX).await?;
        let troubled: HashMap<&str, &WatchRow> = troubled.iter().map(|row| (row.account.as_str(), row)).collect();
        rows.into_iter()
            .map(|row| {
                let asked = asked.get(&(row.provider_id.clone(), row.account.clone())).cloned().unwrap_or_default();
                let next = self.next(&row, &asked, troubled.get(row.account.as_str()).copied())?;
                Ok(Silent { row, next })
            })
            .collect()
    }

    /// What comes next for one call; `None` if it does not live.
    pub async fn find_next(&self, db: &Db, row: &CallRow) -> Result<Option<Next>, StoreError> {
        if row.due_at_ms.is_none() {
            return Ok(None);
        }
        let asked = due::find_asked(db, &key(row)).await?.unwrap_or_default();
        let watch = watch::find(db, &row.tenant, &row.account).await?.filter(|watch| watch.trouble.is_some());
        self.next(row, &asked, watch.as_ref()).map(Some)
    }

    fn next(&self, row: &CallRow, asked: &Asked, troubled: Option<&WatchRow>) -> Result<Next, StoreError> {
        let read = ingest::registers(row)?.read();
        let alive_ms = read.alive_ms.unwrap_or(read.created_at_ms);
        let silent_ms = self.now_ms.saturating_sub(alive_ms).max(0);
        let source = source(row, asked);
        let mended_first = troubled.and_then(|watch| watch.trouble.as_deref()).is_some_and(is_ours_to_mend);
        let give_up_at_ms = self.limits.give_up_at_ms(&read, source).filter(|_| !mended_first);
        let entered = rfc3339(read.entered_ms().unwrap_or(read.created_at_ms));
        let mut why = vec![format!("It is {} since {entered}.", read.status)];
        why.push(match read.alive_ms {
            Some(at) => format!("Its last sign of life was {} ago, at {}.", span(silent_ms), rfc3339(at)),
            None => format!("It never showed a sign of life; it is known for {}.", span(silent_ms)),
        });
        why.push(asked_text(asked));
        why.extend(troubled.map(trouble_text));
        why.push(self.due_text(row.due_at_ms.unwrap_or(self.now_ms), source));
        why.push(self.give_up_text(give_up_at_ms, read.status, source));
        Ok(Next {
            silent_seconds: silent_ms / SECOND,
            stuck: self.limits.stuck(read.status, alive_ms, self.now_ms),
            give_up_at_ms,
            why: why.join(" "),
        })
    }

    fn due_text(&self, due_at_ms: Millis, source: Source) -> String {
        let what = match source {
            Source::Asked => "asked about",
            Source::Nobody => "looked at",
        };
        match (self.sweeps, due_at_ms <= self.now_ms) {
            (true, true) => format!("It is {what} again with the next sweep."),
            (true, false) => format!("It is {what} again at {}.", rfc3339(due_at_ms)),
            (false, _) => format!(
                "It is {what} again when somebody sweeps (POST /v1/sweeps, `onhook sweep`): here nothing sweeps by itself \
                 (sweep.interval is 0)."
            ),
        }
    }

    fn give_up_text(&self, at: Option<Millis>, status: Status, source: Source) -> String {
        match (at, source) {
            (None, _) => "It is not given up before that is mended.".to_owned(),
            (Some(at), Source::Asked) if at > self.now_ms => {
                format!("If the provider cannot say by then, it is given up at {}.", rfc3339(at))
            }
            (Some(at), Source::Nobody) if at > self.now_ms => format!("It is given up at {}.", rfc3339(at)),
            (Some(at), _) => format!(
                "It may be given up since {} (the limit of a call that is {status}): with the next sweep, unless the \
                 provider says that it lives.",
                rfc3339(at)
            ),
        }
    }
}

/// What was asked and answered last.
pub(super) fn asked_text(asked: &Asked) -> String {
    let Some(at) = asked.asked_ms.map(rfc3339) else {
        return "Its provider was not asked about it yet.".to_owned();
    };
    let times = match asked.asks {
        ..=1 => String::new(),
        n => format!(" ({n} times in a row)"),
    };
    match asked.answer.as_deref() {
        Some("alive") => format!("Its provider was asked at {at} and said that it lives."),
        Some("ended") => format!("Its provider was asked at {at} and said that it had ended."),
        Some("not-found") => format!("Its provider was asked at {at} and did not know it{times}."),
        Some("nobody") => format!("At {at} there was nobody to ask: onhook has no credentials for its account."),
        _ => format!("Its provider was asked at {at} and did not answer{times}."),
    }
}

fn trouble_text(watch: &WatchRow) -> String {
    let since = watch.failing_since_ms.map(|at| format!(" since {}", rfc3339(at))).unwrap_or_default();
    let detail = watch.detail.as_deref().unwrap_or("ask the provider");
    let what = format!("Its account {} cannot be asked{since}: failed to {detail}.", watch.account);
    match watch.trouble.as_deref() {
        Some(kind) if kind == TroubleKind::Refused.as_str() => {
            format!("{what} Correct its credentials (`onhook accounts rotate`).")
        }
        Some(kind) if kind == TroubleKind::Blind.as_str() => {
            format!("{what} Correct the account or the region that is asked (`onhook doctor`).")
        }
        _ => what,
    }
}

fn is_ours_to_mend(kind: &str) -> bool {
    kind.parse::<TroubleKind>().is_ok_and(TroubleKind::is_ours_to_mend)
}

/// Whether anybody can be asked, as far as asking has shown.
fn source(row: &CallRow, asked: &Asked) -> Source {
    if row.provider != "twilio" || asked.answer.as_deref() == Some("nobody") { Source::Nobody } else { Source::Asked }
}

fn key(row: &CallRow) -> LegKey {
    LegKey { tenant: row.tenant.clone(), provider_id: row.provider_id.clone(), account: row.account.clone() }
}

/// A span as a person says it.
pub fn span(ms: Millis) -> String {
    match ms / MINUTE {
        0 => format!("{} s", ms / SECOND),
        minutes @ ..120 => format!("{minutes} min"),
        minutes => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

/// How many accounts that cannot be asked are known by name.
const ACCOUNTS_MAX: i64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_as_people_do() {
        assert_eq!(span(59_999), "59 s");
        assert_eq!(span(119 * MINUTE), "119 min");
        assert_eq!(span(25 * 60 * MINUTE + 5 * MINUTE), "25 h 5 min");
    }
}
