//! Asks about calls one by one: those that are due and in no list.

use super::{
    act::Act,
    asking,
    pass::{Pass, leg, sign_of_life},
    source::Asked,
    verdict::{Answer, BELIEVED_MS, Heard, NOT_FOUND_MIN},
};
use crate::{
    ami::PROVIDER,
    clock::Stopwatch,
    domain::{
        signal::{Claim, Signal},
        state::Status,
        time::{MINUTE, Millis},
    },
    provider::{Trouble, TroubleKind, Truth},
    store::{
        StoreError,
        calls::{CallRow, LegKey},
        due::{self, AskedRow},
    },
};
use std::collections::{HashMap, HashSet};
use tokio::task::JoinSet;

/// What was said of one call.
type Said = Result<Option<Signal>, Trouble>;

impl Pass {
    pub(super) async fn ask_singly(
        &mut self,
        source: &Asked,
        chosen: Option<Vec<CallRow>>,
        listed: &HashSet<String>,
    ) -> Result<(), StoreError> {
        let mut calls = self.calls(chosen);
        let watch = Stopwatch::start();
        let mut left = SINGLES_MAX;
        // What is not asked in time stays due.
        while watch.seconds() < SINGLES_WITHIN_S && left > 0 && self.trouble.is_none() {
            self.renew().await?;
            let mut page = self.next(&mut calls).await?;
            if page.is_empty() {
                break;
            }
            page.retain(|row| !listed.contains(&row.provider_id));
            left = left.saturating_sub(page.len());
            self.ask_page(source, page, watch).await?;
        }
        // Lists are answered for an account without our calls, too: only one of them shows that it is the right one.
        if self.trouble.is_none() && self.is_blind() {
            self.trouble = Some(self.blind());
        }
        Ok(())
    }

    async fn ask_page(&mut self, source: &Asked, page: Vec<CallRow>, watch: Stopwatch) -> Result<(), StoreError> {
        let (answered, rest) = self.ask_all(source, page, watch).await;
        let keys: Vec<LegKey> = answered.iter().map(|(row, _)| self.key(&row.provider_id)).collect();
        let rest_keys = rest.iter().map(|row| self.key(&row.provider_id));
        let keys: Vec<LegKey> = keys.into_iter().chain(rest_keys).collect();
        let asked = due::list_asked(&self.shared.db, &keys).await?;
        let asked: HashMap<String, AskedRow> = asked.into_iter().map(|row| (row.provider_id.clone(), row)).collect();
        let mut acts = Vec::new();
        for (row, said) in answered {
            acts.extend(self.answered(asked.get(&row.provider_id), row, said));
        }
        // The account answers no more, or knows none of our calls. If neither, there was no time: these stay leased.
        let trouble = self.trouble.clone().or_else(|| self.is_blind().then(|| self.blind()));
        if let Some(trouble) = trouble {
            for row in rest {
                let asks = asked.get(&row.provider_id).map_or(0, |asked| asked.asks);
                acts.extend(self.act(row, asks, Heard::NotAsked(trouble.clone())));
            }
        }
        self.perform(acts).await
    }

    /// Asks, a few at a time; answers what was said, and of which calls nothing was asked.
    async fn ask_all(
        &mut self,
        source: &Asked,
        page: Vec<CallRow>,
        watch: Stopwatch,
    ) -> (Vec<(CallRow, Said)>, Vec<CallRow>) {
        let mut waiting = page.into_iter();
        let (mut asking, mut answered, mut asked, mut failed) = (JoinSet::new(), Vec::new(), 0, 0);
        loop {
            while asking.len() < SINGLES_AT_ONCE && self.trouble.is_none() && watch.seconds() < SINGLES_WITHIN_S {
                if self.is_blind() && asked >= PROBES {
                    break;
                }
                let Some(row) = waiting.next() else { break };
                asked += 1;
                let source = source.clone();
                asking.spawn(async move {
                    let said = source.look(&row.provider_id).await;
                    (row, said)
                });
            }
            let Some(done) = asking.join_next().await else { break };
            match done {
                Ok((row, said)) => {
                    match &said {
                        Ok(Some(_)) => self.recognize(&row),
                        Ok(None) => {}
                        Err(trouble) => self.count_failure(trouble, failed),
                    }
                    failed = if said.is_err() { failed + 1 } else { 0 };
                    answered.push((row, said));
                }
                Err(panic) => {
                    tracing::error!(%panic, "asking about a call broke; it is asked again when its lease ends")
                }
            }
        }
        (answered, waiting.collect())
    }

    /// One answer that is none may be about one call; several in a row, or one that says so, are about the account.
    fn count_failure(&mut self, trouble: &Trouble, failed_before: usize) {
        let is_of_account = match trouble.kind {
            TroubleKind::Refused | TroubleKind::Blind | TroubleKind::TooMany => true,
            TroubleKind::Unreachable | TroubleKind::Malformed => failed_before + 1 >= FAILURES_MAX,
        };
        if is_of_account {
            self.trouble = Some(trouble.clone());
        }
    }

    fn answered(&mut self, asked: Option<&AskedRow>, row: CallRow, said: Said) -> Option<Act> {
        let before = |answer| asked.map_or(0, |asked| times(asked, answer, row.last_signal_ms, self.now_ms));
        let (asks, heard) = match said {
            Ok(Some(signal)) => (0, Heard::Said(signal)),
            // Its channel list, or what is being written, says so in a moment.
            Ok(None) if self.account.provider == PROVIDER => (0, Heard::Unclear),
            Ok(None) => {
                let counts = asking::knows_us(&self.watch, self.now_ms, BELIEVED_MS);
                (before(Answer::NotFound), Heard::NotFound { counts })
            }
            Err(trouble) => (before(Answer::Trouble), Heard::Trouble(trouble)),
        };
        let is_unknown = matches!(heard, Heard::NotFound { counts: false });
        let act = self.act(row, asks, heard)?;
        if is_unknown && act.verdict.asks >= NOT_FOUND_MIN && self.trouble.is_none() {
            let detail = format!("find any of the calls of {} at {}", self.account.account, self.watch.base);
            self.trouble = Some(Trouble { kind: TroubleKind::Blind, detail });
        }
        Some(act)
    }

    fn act(&mut self, row: CallRow, asks: i64, heard: Heard) -> Option<Act> {
        let before = self.read(&row)?;
        let heard = match heard {
            Heard::Said(signal) => {
                let is_news = match &signal.claim {
                    Claim::Live(live) => Status::from(*live) > before.status,
                    _ => true,
                };
                Heard::Said(if is_news { signal } else { sign_of_life(&signal, &row) })
            }
            heard => heard,
        };
        let verdict = self.judge().verdict(&leg(&row), &before, asks, heard);
        Some(Act { row, before, verdict, counts: true })
    }

    fn blind(&self) -> Trouble {
        Trouble { kind: TroubleKind::Blind, detail: self.watch.detail.clone().unwrap_or_default() }
    }
}

/// How often in a row it came to this before. What was before something was heard of the call does not count.
fn times(asked: &AskedRow, answer: Answer, heard_ms: Millis, now_ms: Millis) -> i64 {
    let was_heard = (asked.asked_ms.unwrap_or_default()..=now_ms).contains(&heard_ms);
    if asked.answer.as_deref() != Some(answer.as_str()) || was_heard {
        return 0;
    }
    // Who asks twice within a minute, by hand, has asked once: a call that was just placed may not be known yet.
    let again = asked.asked_ms.is_some_and(|at| (at..at.saturating_add(MINUTE)).contains(&now_ms));
    if again { asked.asks.saturating_sub(1).max(0) } else { asked.asks }
}

/// How many calls one pass asks about singly, how long it does so, and how many at a time.
const SINGLES_MAX: usize = 2_000;
const SINGLES_WITHIN_S: f64 = 60.0;
const SINGLES_AT_ONCE: usize = 4;
/// How many calls are asked about of an account that knew none so far.
const PROBES: usize = 3;
/// So many failures in a row mean that the account does not answer.
const FAILURES_MAX: usize = 3;
