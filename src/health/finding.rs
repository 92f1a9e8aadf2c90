//! What the figures of an account mean, and exactly what to change: pure, so that each sentence can be tested.

use super::fix::ending_fix;
use crate::{
    domain::words,
    twilio::{callback_url::OVERRIDES as RETRIED, door::Door},
};
use serde::Serialize;
use utoipa::ToSchema;

words! {
    /// What is wrong with the callbacks of an account.
    pub enum FindingKind {
        /// Calls end, and no status callback tells it.
        NoEndingCallbacks = "no-ending-callbacks",
        /// Callbacks were fired and did not arrive.
        SequenceGaps = "sequence-gaps",
        /// Deliveries were refused and wait in quarantine.
        Refused = "refused",
        /// Nothing has come from the account at all.
        NothingReceived = "nothing-received",
        /// Many callbacks are overtaken by later ones.
        ManyLate = "many-late",
        /// Many callbacks come more than once.
        ManyRepeated = "many-repeated",
    }
}

words! {
    /// Whether a finding asks for something.
    pub enum Weight {
        /// Calls suffer from it until it is mended.
        Action = "action",
        /// Good to know; nothing is lost.
        Note = "note",
    }
}

/// Something that the figures of an account say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CallbackFinding)]
pub struct Finding {
    /// Which kind of thing it is. The word never changes.
    pub kind: FindingKind,
    /// Whether it asks for something.
    pub weight: Weight,
    /// The direction of the legs it speaks of; null if it speaks of the account as a whole.
    #[schema(example = "outbound-dial")]
    pub direction: Option<String>,
    /// What was seen, with the numbers.
    pub what: String,
    /// What to change, word for word.
    pub fix: String,
}

/// The figures of one door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CallbackFigures {
    /// Where they are sent to: the door's address as the provider sees it, without a query; only its path if no public URL is set.
    #[schema(example = "https://calls.example.com/webhooks/twilio/status")]
    pub url: String,
    /// How many came that left a step in a call's timeline. Deliveries that say nothing of a call's state leave none and
    /// are not counted: those of the Debugger, and most of recordings, of machine detection and of requests for TwiML. Of
    /// one call the first 20 repetitions are counted, like those its timeline shows.
    #[schema(example = 1200)]
    pub received: i64,
    /// Of these: how many said what was known already.
    #[schema(example = 3)]
    pub repeated: i64,
    /// Of these: how many were overtaken by a later one.
    #[schema(example = 12)]
    pub late: i64,
    /// When the last one came.
    #[schema(format = DateTime)]
    pub last_received_at: String,
}

/// How the legs of one direction ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EndingFigures {
    /// Where they come from: `inbound`, `outbound-api`, `outbound-dial` …, or `unknown`.
    #[schema(example = "outbound-dial")]
    pub direction: String,
    /// Legs whose ending a status callback (or an event stream) told.
    #[schema(example = 300)]
    pub called_back: i64,
    /// Legs that ended without one.
    #[schema(example = 2)]
    pub not_called_back: i64,
    /// Callbacks that were fired before the one that told the ending, and did not arrive within a minute.
    #[schema(example = 1)]
    pub gaps: i64,
    /// The legs of which some did not.
    #[schema(example = 1)]
    pub gap_legs: i64,
    /// Of those not called back: another webhook told the ending, such as the action of `<Dial>`.
    #[schema(example = 1)]
    pub elsewhere: i64,
    /// Of those not called back: the provider told it when it was asked.
    #[schema(example = 1)]
    pub reconciled: i64,
    /// Of those not called back: nobody told it; it was inferred, or an operator ended it.
    #[schema(example = 0)]
    pub unheard: i64,
    /// Live calls that should have been heard of for an hour, and of which no status callback has come at all.
    #[schema(example = 0)]
    pub silent: i64,
}

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub struct Figures<'a> {
    /// By door.
    pub callbacks: &'a [CallbackFigures],
    /// By direction.
    pub endings: &'a [EndingFigures],
    /// What was refused.
    pub refusals: Refusals<'a>,
    /// The address of the door for status callbacks.
    pub status_url: &'a str,
}

/// What is in quarantine of an account.
#[derive(Clone, Copy, Debug)]
pub struct Refusals<'a> {
    /// The provider account.
    pub account: &'a str,
    /// How many deliveries.
    pub count: i64,
}

/// What the figures say, what asks for something first.
pub fn findings(figures: Figures<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> =
        figures.endings.iter().filter_map(|e| no_ending_callbacks(e, figures.status_url)).collect();
    found.extend(refused(figures.refusals));
    found.extend(nothing_received(figures));
    found.extend(figures.endings.iter().filter_map(|e| sequence_gaps(e, figures.status_url)));
    // An event stream says again what callbacks said, in any order: that is how it is meant.
    let doors = || figures.callbacks.iter().filter(|c| !c.url.ends_with(Door::Events.path()));
    found.extend(doors().filter_map(many_late));
    found.extend(doors().filter_map(many_repeated));
    found
}

fn no_ending_callbacks(e: &EndingFigures, url: &str) -> Option<Finding> {
    let missing = e.not_called_back + e.silent;
    if missing < MISSING_MIN || is_below(missing, missing + e.called_back, MISSING_PERCENT) {
        return None;
    }
    let mut what = format!(
        "{} of {} legs ({}) ended without a status callback: {} told only by another webhook such as the action of \
         <Dial>, {} told by the provider when it was asked, {} told by nobody",
        e.not_called_back,
        e.not_called_back + e.called_back,
        e.direction,
        e.elsewhere,
        e.reconciled,
        e.unheard,
    );
    if e.silent > 0 {
        what += &format!("; {} more are live for an hour or longer, and no status callback of them has come", e.silent);
    }
    Some(Finding {
        kind: FindingKind::NoEndingCallbacks,
        weight: Weight::Action,
        direction: Some(e.direction.clone()),
        what,
        fix: ending_fix(&e.direction, url),
    })
}

fn sequence_gaps(e: &EndingFigures, url: &str) -> Option<Finding> {
    let fired = e.gaps + e.called_back;
    if e.gaps < GAPS_MIN || is_below(e.gaps, fired, GAPS_PERCENT) {
        return None;
    }
    Some(Finding {
        kind: FindingKind::SequenceGaps,
        weight: Weight::Action,
        direction: Some(e.direction.clone()),
        what: format!(
            "{} callbacks about {} legs ({}) were fired by Twilio and did not arrive",
            e.gaps, e.gap_legs, e.direction
        ),
        fix: format!(
            "Twilio tries a callback again once, and only if it could not connect, unless the URL says otherwise: end every \
             callback URL in {RETRIED}, such as {url}{RETRIED}. The Twilio Debugger says why they failed: 11200 (not reached), 15002 \
             (answers were slow, so callbacks expired in Twilio's queue), 15003 (an error was answered); look at what was restarting, or in front of the \
             gateway, at those times"
        ),
    })
}

fn refused(Refusals { account, count }: Refusals<'_>) -> Option<Finding> {
    (count > 0).then(|| Finding {
        kind: FindingKind::Refused,
        weight: Weight::Action,
        direction: None,
        what: format!("{count} are quarantined: onhook quarantine list --account {account}"),
        fix: format!(
            "`onhook quarantine explain` names the mistake of each. Mend it, then `onhook quarantine redrive --account \
             {account}` applies what verifies; drop what is not Twilio's"
        ),
    })
}

fn nothing_received(figures: Figures<'_>) -> Option<Finding> {
    if figures.callbacks.iter().any(|c| c.received > 0) {
        return None;
    }
    let known: i64 = figures.endings.iter().map(|e| e.called_back + e.not_called_back + e.silent).sum();
    // No calls, no callbacks.
    let weight = if known > 0 { Weight::Action } else { Weight::Note };
    Some(Finding {
        kind: FindingKind::NothingReceived,
        weight,
        direction: None,
        what: format!(
            "no callback of this account that speaks of a call's state was taken, and {known} of its calls are known"
        ),
        fix: format!(
            "if calls were made: check that Twilio is told {}{RETRIED} and that it can be reached from outside, look in the \
             log for refused signatures of this account (a wrong auth token, or a public URL that differs from the one \
             Twilio calls), and in the Twilio Debugger for 11200",
            figures.status_url
        ),
    })
}

fn many_late(c: &CallbackFigures) -> Option<Finding> {
    if c.late < LATE_MIN || is_below(c.late, c.received, LATE_PERCENT) {
        return None;
    }
    Some(Finding {
        kind: FindingKind::ManyLate,
        weight: Weight::Note,
        direction: None,
        what: format!("{} of {} callbacks at {} were overtaken by a later one", c.late, c.received, c.url),
        fix: "nothing is lost: calls end in the same state in any order. If the share grows, requests are slow on the way: \
              compare onhook_http_request_duration_seconds with what the Twilio Debugger says of the time to connect"
            .to_owned(),
    })
}

fn many_repeated(c: &CallbackFigures) -> Option<Finding> {
    if c.repeated < REPEATED_MIN || is_below(c.repeated, c.received, REPEATED_PERCENT) {
        return None;
    }
    Some(Finding {
        kind: FindingKind::ManyRepeated,
        weight: Weight::Note,
        direction: None,
        what: format!("{} of {} callbacks at {} said what was known already", c.repeated, c.received, c.url),
        fix: format!(
            "nothing is counted twice: {RETRIED} makes Twilio send again what it believes has failed. What an event \
             stream said first counts here too. If it is most of them without one, answers do not reach Twilio: look for \
             timeouts of a proxy in front of the gateway"
        ),
    })
}

/// Whether `part` is less than so many percent of `whole`.
const fn is_below(part: i64, whole: i64, percent: i64) -> bool {
    part.saturating_mul(100) < whole.saturating_mul(percent)
}

/// Fewer legs without an ending may be an accident, such as calls that were canceled while they were queued: of those
/// Twilio tells nothing.
pub const MISSING_MIN: i64 = 5;
/// Below this share of all endings it is loss, and no setting.
pub const MISSING_PERCENT: i64 = 20;
/// A single lost callback is what retries are for.
pub const GAPS_MIN: i64 = 5;
/// Of the legs whose ending was told.
pub const GAPS_PERCENT: i64 = 1;
/// Twilio sends in order but not one after the other, so some are always late.
pub const LATE_MIN: i64 = 20;
/// Of what came through the door.
pub const LATE_PERCENT: i64 = 20;
/// With retries for every failure some repetition is usual.
pub const REPEATED_MIN: i64 = 20;
/// Of what came through the door.
pub const REPEATED_PERCENT: i64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://calls.example.com/hook/webhooks/twilio/status";

    fn ended(direction: &str, called_back: i64, elsewhere: i64) -> EndingFigures {
        EndingFigures {
            direction: direction.to_owned(),
            called_back,
            not_called_back: elsewhere,
            gaps: 0,
            gap_legs: 0,
            elsewhere,
            reconciled: 0,
            unheard: 0,
            silent: 0,
        }
    }

    fn came(received: i64, repeated: i64, late: i64) -> CallbackFigures {
        let last_received_at = "2026-01-02T03:04:05.000Z".to_owned();
        CallbackFigures { url: URL.to_owned(), received, repeated, late, last_received_at }
    }

    fn judged(callbacks: &[CallbackFigures], endings: &[EndingFigures]) -> Vec<Finding> {
        findings(Figures { callbacks, endings, refusals: Refusals { account: "AC1", count: 0 }, status_url: URL })
    }

    fn kinds(found: &[Finding]) -> Vec<(FindingKind, Weight)> {
        found.iter().map(|f| (f.kind, f.weight)).collect()
    }

    #[test]
    fn healthy_figures_say_nothing() {
        let endings = [ended("outbound-api", 500, 4), ended("inbound", 40, 0), ended("outbound-dial", 100, 20)];
        assert_eq!(judged(&[came(2_000, 19, 19)], &endings), []);
    }

    #[test]
    fn dialed_legs_without_callbacks_get_the_attributes_to_write() {
        let [found] = &judged(&[came(9, 0, 0)], &[ended("outbound-dial", 0, 5)])[..] else { panic!() };
        assert_eq!((found.kind, found.direction.as_deref()), (FindingKind::NoEndingCallbacks, Some("outbound-dial")));
        assert!(found.what.starts_with("5 of 5 legs (outbound-dial)"), "{}", found.what);
        for words in [
            "<Dial> has no statusCallback",
            "<Number>, <Client> or <Sip>",
            r#"statusCallback="https://calls.example.com/hook/webhooks/twilio/status#rc=5&amp;rp=all""#,
            r#"statusCallbackEvent="initiated ringing answered completed" statusCallbackMethod="POST""#,
            "https://calls.example.com/hook/webhooks/twilio/status#rc=5&rp=all",
        ] {
            assert!(found.fix.contains(words), "{words} is missing in {}", found.fix);
        }
    }

    #[test]
    fn each_direction_gets_the_setting_that_is_its_own() {
        let fix = |direction: &str| judged(&[came(9, 0, 0)], &[ended(direction, 0, 9)]).remove(0).fix;
        let inbound = fix("inbound");
        assert!(inbound.contains("Call status changes") && inbound.contains(&format!("{URL}{RETRIED}")), "{inbound}");
        let api = fix("outbound-api");
        assert!(api.contains("ApplicationSid") && api.contains(&format!("StatusCallback={URL}{RETRIED}")), "{api}");
        assert_eq!(api.matches("StatusCallbackEvent=").count(), 4);
        let unknown = fix("unknown");
        assert!(["<Number>", "Call status changes", "ApplicationSid"].iter().all(|w| unknown.contains(w)), "{unknown}");
        assert!(fix("trunking-originating").contains("event stream"));
    }

    #[test]
    fn few_or_a_small_share_are_no_finding() {
        assert_eq!(judged(&[came(9, 0, 0)], &[ended("inbound", 0, MISSING_MIN - 1)]), []);
        assert_eq!(judged(&[came(9, 0, 0)], &[ended("inbound", 81, 20)]), []);
        assert_eq!(kinds(&judged(&[came(9, 0, 0)], &[ended("inbound", 80, 20)])).len(), 1);
    }

    #[test]
    fn calls_that_never_end_count_too() {
        let silent = EndingFigures { silent: 6, ..ended("inbound", 0, 0) };
        let found = judged(&[came(6, 0, 0)], std::slice::from_ref(&silent));
        assert_eq!(kinds(&found), [(FindingKind::NoEndingCallbacks, Weight::Action)]);
        assert!(found[0].what.contains("6 more are live"), "{}", found[0].what);
    }

    #[test]
    fn an_account_that_says_nothing_asks_for_something_only_if_it_has_calls() {
        assert_eq!(kinds(&judged(&[], &[])), [(FindingKind::NothingReceived, Weight::Note)]);
        let imported = EndingFigures { silent: 1, ..ended("unknown", 0, 0) };
        assert_eq!(kinds(&judged(&[], &[imported])), [(FindingKind::NothingReceived, Weight::Action)]);
    }

    #[test]
    fn gaps_ask_for_retries_and_the_rest_is_good_to_know() {
        let legs = |n, told| EndingFigures { gaps: n, gap_legs: n / 2, ..ended("outbound-api", told, 0) };
        let gaps = |n, told| judged(&[came(9, 0, 0)], &[legs(n, told)]);
        assert_eq!(kinds(&gaps(GAPS_MIN - 1, 9)), []);
        assert_eq!(kinds(&gaps(5, 1_000)), []);
        let found = gaps(12, 1_000);
        assert_eq!(kinds(&found), [(FindingKind::SequenceGaps, Weight::Action)]);
        assert!(found[0].what.starts_with("12 callbacks about 6 legs"), "{}", found[0].what);
        assert!(found[0].fix.contains("#rc=5&rp=all") && found[0].fix.contains("15003"), "{}", found[0].fix);
        let noted = judged(&[came(100, 20, 20)], &[]);
        let expected = [(FindingKind::ManyLate, Weight::Note), (FindingKind::ManyRepeated, Weight::Note)];
        assert_eq!(kinds(&noted), expected);
        assert_eq!(judged(&[came(100, 9, 19)], &[]), []);
        let stream =
            CallbackFigures { url: "https://calls.example.com/webhooks/twilio/events".into(), ..came(100, 99, 99) };
        assert_eq!(judged(&[stream], &[]), [], "an event stream is meant to");
        assert_eq!(judged(&[came(1_000, 99, 199)], &[]), []);
    }
}
