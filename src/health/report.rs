//! The answer about one account: figures of a window and what they say. The REST API and the command line show the same.

use super::{
    BEHIND_MS, SILENT_AFTER_MS, SILENT_LOOKED_MAX,
    finding::{self, CallbackFigures, EndingFigures, Figures, Finding, Refusals, Weight},
    tally::{UNKNOWN_DIRECTION, hour},
};
use crate::{
    domain::{
        state::Direction,
        time::{DAY, HOUR, Millis, rfc3339},
    },
    store::{
        Db, StoreError,
        health::{self, CallbackSum, EndingSum},
        journal,
    },
    twilio::door::Door,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, str::FromStr, time::Duration};
use url::Url;
use utoipa::ToSchema;

/// How well the callbacks of an account arrive, and what to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AccountHealth {
    /// The provider account.
    #[schema(example = "AC0123456789abcdef0123456789abcdef")]
    pub account: String,
    /// The window as it was asked for.
    #[schema(example = "24h")]
    pub window: String,
    /// When the window begins: figures are kept by the hour. It ends a little more than a minute ago.
    #[schema(format = DateTime)]
    pub since: String,
    /// Set while the count is behind: what came from then on is not in the figures yet. A running gateway counts it.
    #[schema(format = DateTime)]
    pub behind_since: Option<String>,
    /// By the address they came to.
    pub callbacks: Vec<CallbackFigures>,
    /// By direction, in the hour in which the legs ended.
    pub endings: Vec<EndingFigures>,
    /// How many of its deliveries were refused and are in quarantine now, whatever the window: `GET /v1/quarantine`.
    #[schema(example = 0)]
    pub refused: i64,
    /// What the figures say, what asks for something first.
    pub findings: Vec<Finding>,
}

/// How far back to look.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Window {
    text: String,
    span_ms: Millis,
}

impl Default for Window {
    fn default() -> Self {
        Self { text: "24h".to_owned(), span_ms: DAY }
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span: Option<Duration> = humantime::parse_duration(text).ok();
        let span_ms = span.and_then(|span| i64::try_from(span.as_millis()).ok());
        let span_ms = span_ms.filter(|span| (HOUR..=super::KEPT_MS).contains(span));
        let span_ms = span_ms.ok_or_else(|| format!("{text:?} is not a duration from 1h to 30d, such as 24h or 7d"))?;
        Ok(Self { text: text.to_owned(), span_ms })
    }
}

impl TryFrom<String> for Window {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// What is known of the callbacks of an account of this tenant.
pub async fn report(
    db: &Db,
    (tenant, account): (&str, &str),
    window: &Window,
    now_ms: Millis,
    public_url: Option<&Url>,
) -> Result<AccountHealth, StoreError> {
    let from_ms = hour(now_ms.saturating_sub(window.span_ms));
    let callbacks = health::list_callbacks(db, tenant, account, from_ms).await?;
    let endings = health::list_endings(db, tenant, account, from_ms).await?;
    let due_ms = (from_ms, now_ms.saturating_sub(SILENT_AFTER_MS));
    let silent = health::list_silent(db, tenant, account, due_ms, SILENT_LOOKED_MAX).await?;
    let refused = health::count_refused(db, tenant, account).await?;

    let callbacks: Vec<CallbackFigures> = callbacks.into_iter().map(|sum| callback(sum, public_url)).collect();
    let mut by_direction: BTreeMap<String, EndingFigures> =
        endings.into_iter().map(|sum| (sum.direction.clone(), ending(sum))).collect();
    for row in silent {
        let direction = row.direction.parse::<Direction>().map_or(UNKNOWN_DIRECTION, Direction::as_str);
        let none = || ending(EndingSum { direction: direction.to_owned(), ..EndingSum::default() });
        by_direction.entry(direction.to_owned()).or_insert_with(none).silent += row.calls;
    }
    let endings: Vec<EndingFigures> = by_direction.into_values().collect();
    let status_url = door_url(public_url.or(place_holder().as_ref()), Door::Status.as_str());
    let refusals = Refusals { account, count: refused };
    let findings =
        finding::findings(Figures { callbacks: &callbacks, endings: &endings, refusals, status_url: &status_url });
    let behind_since = behind_since(db, now_ms).await?.map(rfc3339);
    let (account, since) = (account.to_owned(), rfc3339(from_ms));
    Ok(AccountHealth {
        account,
        window: window.text.clone(),
        since,
        behind_since,
        callbacks,
        endings,
        refused,
        findings,
    })
}

/// When the oldest entry was written that should be counted and is not.
async fn behind_since(db: &Db, now_ms: Millis) -> Result<Option<Millis>, StoreError> {
    let next = journal::list_after(db, health::cursor(db).await?, 1).await?;
    Ok(next.first().map(|entry| entry.at_ms).filter(|at| *at < now_ms.saturating_sub(BEHIND_MS)))
}

impl AccountHealth {
    /// Whether something should be changed.
    pub fn asks_for_action(&self) -> bool {
        self.findings.iter().any(|finding| finding.weight == Weight::Action)
    }
}

fn callback(sum: CallbackSum, public_url: Option<&Url>) -> CallbackFigures {
    let CallbackSum { source, received, repeated, late, last_received_ms } = sum;
    let last_received_at = rfc3339(last_received_ms);
    CallbackFigures { url: door_url(public_url, &source), received, repeated, late, last_received_at }
}

/// A correction is taken away from where it counted before; if that was forgotten meanwhile, nothing is left of it.
fn ending(sum: EndingSum) -> EndingFigures {
    let [called_back, elsewhere, reconciled, unheard] =
        [sum.called_back, sum.elsewhere, sum.reconciled, sum.unheard].map(|n| n.max(0));
    EndingFigures {
        direction: sum.direction,
        called_back,
        not_called_back: elsewhere + reconciled + unheard,
        gaps: sum.gaps,
        gap_legs: sum.gap_legs,
        elsewhere,
        reconciled,
        unheard,
        silent: 0,
    }
}

/// Where a door is, as the provider sees it.
fn door_url(public_url: Option<&Url>, source: &str) -> String {
    let base = public_url.map(|url| url.as_str().trim_end_matches('/')).unwrap_or_default();
    match source.parse::<Door>() {
        Ok(door) => format!("{base}{}", door.path()),
        Err(_) => format!("{base}/webhooks/{source}"),
    }
}

/// What a fix names while no public URL is set; whoever reads it sees at once that it must be replaced.
fn place_holder() -> Option<Url> {
    Url::parse("https://your-public-host").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_duration_that_figures_are_kept_for() {
        for (text, span_ms) in [("24h", DAY), ("1h", HOUR), ("7d", 7 * DAY), ("30d", 30 * DAY), ("90m", HOUR * 3 / 2)] {
            assert_eq!(text.parse(), Ok(Window { text: text.to_owned(), span_ms }));
        }
        for text in ["", "24", "59m", "31d", "-1h", "a day", "999999999999999999d"] {
            let error = text.parse::<Window>().unwrap_err();
            assert!(error.contains("from 1h to 30d"), "{error}");
        }
        assert_eq!(Window::default(), "24h".parse().unwrap());
    }

    #[test]
    fn a_door_is_named_as_the_provider_sees_it() {
        let public = |text: &str| Url::parse(text).unwrap();
        let url = door_url(Some(&public("https://calls.example.com/hook/")), "twilio/dial");
        assert_eq!(url, "https://calls.example.com/hook/webhooks/twilio/dial");
        assert_eq!(
            door_url(Some(&public("https://calls.example.com")), "twilio/status"),
            "https://calls.example.com/webhooks/twilio/status"
        );
        for door in crate::twilio::door::Door::ALL {
            assert_eq!(door_url(None, door.as_str()), door.path());
        }
    }
}
