//! What an answer, or none, leads to for one call. Pure: who asks and who submits is elsewhere.

use crate::{
    domain::{
        call::Row,
        deadline::{ASK_AGAIN_MAX_MS, Limits, Source},
        id::Leg,
        retry::Backoff,
        signal::{Claim, Signal, Weak, Witness},
        state::{HangupCause, Outcome, Status},
        time::{HOUR, MINUTE, Millis, SECOND, rfc3339},
        words,
    },
    ingest::Action,
    provider::{Trouble, TroubleKind},
};

/// What was heard of a live call.
#[derive(Clone, Debug)]
pub(super) enum Heard {
    /// The provider said this.
    Said(Signal),
    /// It does not know the call. `counts`: it has shown lately that it knows our calls.
    NotFound { counts: bool },
    /// Its PBX does not know yet: the next channel list decides.
    Unclear,
    /// It did not answer.
    Trouble(Trouble),
    /// It was not asked about this call, because it does not answer about others.
    NotAsked(Trouble),
    /// There is nobody to ask. With it the newer call in progress on the same extension, if that ends this one.
    Nobody { newer: Option<String> },
}

words! {
    /// What the last ask about a call came to.
    pub enum Answer {
        /// It lives.
        Alive = "alive",
        /// It has ended.
        Ended = "ended",
        /// The provider does not know it.
        NotFound = "not-found",
        /// The provider did not answer.
        Trouble = "trouble",
        /// There is nobody to ask.
        Nobody = "nobody",
    }
}

/// What is to be done about a call.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) answer: Answer,
    /// What is submitted, if anything.
    pub(super) signal: Option<Signal>,
    /// Why, if nobody told it: what, by which rule, on which evidence.
    pub(super) decided: Option<(Action, String, String)>,
    /// In a sentence, for people.
    pub(super) why: String,
    /// How often in a row nobody could say.
    pub(super) asks: i64,
    /// When to ask again, if it still lives then.
    pub(super) due_at_ms: Millis,
}

/// By which rules, and when it was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judge<'a> {
    pub(super) limits: &'a Limits,
    pub(super) if_answered: Outcome,
    /// How often everything is asked.
    pub(super) interval_ms: Millis,
    pub(super) now_ms: Millis,
}

impl Judge<'_> {
    /// The verdict on a call. `asks`: how often in a row nobody could say before.
    pub(super) fn verdict(&self, leg: &Leg, row: &Row, asks: i64, heard: Heard) -> Verdict {
        match heard {
            // Only the provider's word changes a call that counts as ended.
            Heard::NotFound { .. } | Heard::Unclear | Heard::Trouble(_) | Heard::NotAsked(_) | Heard::Nobody { .. }
                if row.status.is_ended() =>
            {
                self.stays(asks, &heard)
            }
            Heard::Said(signal) => self.said(signal),
            Heard::NotFound { counts } => self.not_found(leg, row, asks, counts),
            Heard::Unclear => self.unclear(asks),
            Heard::Trouble(trouble) => self.trouble(leg, row, asks, &trouble),
            Heard::NotAsked(trouble) => self.not_asked(asks, &trouble),
            Heard::Nobody { newer } => self.nobody(leg, row, newer),
        }
    }

    fn said(&self, signal: Signal) -> Verdict {
        let ended = matches!(signal.claim, Claim::Ended(_) | Claim::GivenUp(_));
        let why = match &signal.claim {
            Claim::GivenUp(weak) => format!(
                "The channel list of its PBX at {} lacks it: it has ended, and nobody told.",
                rfc3339(weak.decided_ms)
            ),
            Claim::Ended(told) => {
                let at = signal.at.map(|at| format!(" at {}", rfc3339(at))).unwrap_or_default();
                format!("The provider says that it ended as {}{at}.", Status::from(told.outcome))
            }
            Claim::Live(live) => format!("The provider says that it is {}.", Status::from(*live)),
            _ => "The provider lists it as live.".to_owned(),
        };
        Verdict {
            answer: if ended { Answer::Ended } else { Answer::Alive },
            signal: Some(signal),
            decided: None,
            why,
            asks: 0,
            due_at_ms: self.now_ms.saturating_add(self.interval_ms),
        }
    }

    fn unclear(&self, asks: i64) -> Verdict {
        let due_at_ms = self.now_ms.saturating_add(self.interval_ms);
        Verdict { asks, due_at_ms, ..wait(Answer::Trouble, UNCLEAR) }
    }

    fn stays(&self, asks: i64, heard: &Heard) -> Verdict {
        let (answer, why) = match heard {
            Heard::NotFound { .. } => (Answer::NotFound, "The provider does not know the call (404).".to_owned()),
            Heard::Trouble(trouble) | Heard::NotAsked(trouble) => {
                (Answer::Trouble, format!("Nobody can say: failed to {trouble}."))
            }
            Heard::Unclear => (Answer::Trouble, UNCLEAR.to_owned()),
            Heard::Said(_) | Heard::Nobody { .. } => (Answer::Nobody, NOBODY.to_owned()),
        };
        let due_at_ms = self.now_ms.saturating_add(self.interval_ms);
        Verdict { asks: asks.saturating_add(1), due_at_ms, ..wait(answer, &format!("{why} It stays as it is.")) }
    }

    fn not_found(&self, leg: &Leg, row: &Row, asks: i64, counts: bool) -> Verdict {
        let asks = asks.saturating_add(1);
        let times = format!("The provider does not know the call (404, asked {asks} times).");
        let verdict = Verdict { asks, due_at_ms: self.later(NOT_FOUND, asks), ..wait(Answer::NotFound, &times) };
        if asks < NOT_FOUND_MIN {
            return verdict;
        }
        if !counts {
            let why = format!(
                "{times} It has not known any other of this account's calls lately either, so that means nothing."
            );
            return Verdict { why, ..verdict };
        }
        let rule = format!("A call that its provider does not know after {NOT_FOUND_MIN} asks is given up.");
        let known = "It has answered for other calls of the account within 24 hours.";
        let evidence = format!("{times} {known} {}", self.known(row));
        self.give_up(leg, verdict, HangupCause::TimeoutCleanup, (Action::GivenUp, rule, evidence))
    }

    fn trouble(&self, leg: &Leg, row: &Row, asks: i64, trouble: &Trouble) -> Verdict {
        let asks = asks.saturating_add(1);
        let why = format!("Nobody can say: failed to {trouble}.");
        let verdict = Verdict { asks, due_at_ms: self.later(TROUBLE, asks), ..wait(Answer::Trouble, &why) };
        if trouble.kind.is_ours_to_mend() {
            let mend = match trouble.kind {
                TroubleKind::Refused => "correct its credentials (`onhook accounts rotate`)",
                _ => "correct the account or the region that is asked (`onhook doctor`)",
            };
            return Verdict { why: format!("{why} Nothing is decided until that is mended: {mend}."), ..verdict };
        }
        match self.limits.give_up_at_ms(row, Source::Asked) {
            Some(at) if self.now_ms >= at => {
                let rule = self.limit_rule(row, Source::Asked);
                let evidence = format!("{why} {}", self.known(row));
                self.give_up(leg, verdict, HangupCause::TimeoutCleanup, (Action::GivenUp, rule, evidence))
            }
            Some(at) => Verdict { why: format!("{why} It is not given up before {}.", rfc3339(at)), ..verdict },
            None => verdict,
        }
    }

    /// Nothing is decided on what was not asked, and it need not wait for long: its turn comes before that of those that
    /// failed.
    fn not_asked(&self, asks: i64, trouble: &Trouble) -> Verdict {
        let why = format!("It was not asked about, because of others nobody can say: failed to {trouble}.");
        let due_at_ms = self.now_ms.saturating_add(self.interval_ms);
        Verdict { asks, due_at_ms, ..wait(Answer::Trouble, &why) }
    }

    fn nobody(&self, leg: &Leg, row: &Row, newer: Option<String>) -> Verdict {
        let why = NOBODY;
        let at = self.limits.give_up_at_ms(row, Source::Nobody).unwrap_or(self.now_ms);
        let latest = self.now_ms.saturating_add(ASK_AGAIN_MAX_MS);
        // The interval may be longer than the longest pause.
        let due_at_ms = at.min(latest).max(self.now_ms.saturating_add(self.interval_ms));
        let verdict = Verdict { due_at_ms, ..wait(Answer::Nobody, why) };
        if let Some(newer) = newer {
            let rule = "A newer call in progress on an extension ends the older one (sweep.supersede).".to_owned();
            let evidence = format!("The newer call is {newer}. {why} {}", self.known(row));
            return self.give_up(leg, verdict, HangupCause::Superseded, (Action::Superseded, rule, evidence));
        }
        if self.now_ms < at {
            return Verdict { why: format!("{why} It is given up at {}.", rfc3339(at)), ..verdict };
        }
        let evidence = format!("{why} {}", self.known(row));
        let rule = self.limit_rule(row, Source::Nobody);
        self.give_up(leg, verdict, HangupCause::TimeoutCleanup, (Action::GivenUp, rule, evidence))
    }

    fn give_up(
        &self,
        leg: &Leg,
        verdict: Verdict,
        cause: HangupCause,
        (action, rule, evidence): (Action, String, String),
    ) -> Verdict {
        let (decided_ms, if_answered) = (self.now_ms, self.if_answered);
        let weak = Weak { decided_ms, floor_ms: None, cause, if_answered, stated_end_ms: None };
        let signal = Signal {
            leg: leg.clone(),
            witness: Witness::Inferred,
            claim: Claim::GivenUp(weak),
            at: None,
            sequence: None,
            details: std::collections::BTreeMap::new(),
            link: None,
            received_ms: self.now_ms,
        };
        let why = format!("{rule} {evidence}");
        Verdict { signal: Some(signal), decided: Some((action, rule, evidence)), why, ..verdict }
    }

    fn later(&self, backoff: Backoff, asks: i64) -> Millis {
        let failures = u32::try_from(asks).unwrap_or(u32::MAX);
        self.now_ms.saturating_add(backoff.delay_ms(failures, 0.0))
    }

    fn limit_rule(&self, row: &Row, source: Source) -> String {
        let entered = row.entered_ms().unwrap_or(row.created_at_ms);
        let limit = match (source, row.status) {
            (Source::Asked, Status::Queued) => self.limits.give_up_queued_ms,
            (Source::Asked, Status::InProgress) => self.limits.give_up_answered_ms,
            (Source::Asked, _) => self.limits.give_up_ringing_ms,
            (Source::Nobody, Status::InProgress) => self.limits.timeout_answered_ms,
            (Source::Nobody, _) => self.limits.timeout_ringing_ms,
        };
        let since = rfc3339(entered);
        let whom = match source {
            Source::Asked => "whose provider does not answer",
            Source::Nobody => "that nobody can be asked about",
        };
        format!(
            "A call {whom} is given up after {} min in the state {} (it is since {since}).",
            limit / MINUTE,
            row.status
        )
    }

    fn known(&self, row: &Row) -> String {
        match row.alive_ms {
            Some(at) => format!("Its last sign of life was at {}.", rfc3339(at)),
            None => format!("It never showed a sign of life; it is known since {}.", rfc3339(row.created_at_ms)),
        }
    }
}

fn wait(answer: Answer, why: &str) -> Verdict {
    Verdict { answer, signal: None, decided: None, why: why.to_owned(), asks: 0, due_at_ms: 0 }
}

const UNCLEAR: &str =
    "Its PBX does not list it, and nothing says yet that it has ended: the next channel list decides.";
pub(super) const NOBODY: &str = "There is nobody to ask: onhook has no credentials for its account.";
/// How often a provider has to say in a row that it does not know a call.
pub(super) const NOT_FOUND_MIN: i64 = 3;
/// For how long an account that knew one of our calls is believed when it does not know another one.
pub(super) const BELIEVED_MS: Millis = 24 * HOUR;
/// A call may not be known yet a moment after it was placed, so the asks are minutes apart.
const NOT_FOUND: Backoff = Backoff { first_ms: MINUTE, max_ms: ASK_AGAIN_MAX_MS };
const TROUBLE: Backoff = Backoff { first_ms: 30 * SECOND, max_ms: ASK_AGAIN_MAX_MS };
