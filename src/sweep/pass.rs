//! One pass over the calls of one account: lists first, then what is missing one by one (`singly`).

use super::{
    PAGE_ROWS, Shared,
    act::Act,
    asking,
    report::{Chosen, Report, Request},
    source::Whom,
    verdict::{Heard, Judge},
};
use crate::{
    ami::PROVIDER,
    domain::{
        call::Row,
        deadline::Source,
        id::Leg,
        signal::{Claim, Signal},
        state::Status,
        time::{MINUTE, Millis},
    },
    ingest,
    provider::{Trouble, TroubleKind, Truth},
    store::{
        StoreError,
        calls::{CallRow, LegKey},
        due::{self, Due, DueAccount},
        watch::{self, Claim as Claiming, WatchRow},
    },
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// A pass that is under way.
pub(super) struct Pass {
    pub(super) shared: Arc<Shared>,
    pub(super) request: Arc<Request>,
    pub(super) account: DueAccount,
    pub(super) now_ms: Millis,
    pub(super) due: Due,
    /// Until when calls are leased.
    pub(super) lease_ms: Millis,
    /// Whether the account is claimed: nobody else asks about its calls meanwhile.
    exclusive: bool,
    pub(super) watch: WatchRow,
    /// Why the account did not answer, if it did not.
    pub(super) trouble: Option<Trouble>,
    fingerprint: Option<String>,
    /// Whether the account can be asked at all.
    pub(super) source: Source,
    pub(super) report: Report,
}

/// The calls of a pass, page by page.
pub(super) enum Calls {
    /// These.
    Chosen(Vec<CallRow>),
    /// Those that are due, leased so that nobody else takes them.
    Leased,
    /// Those that are due, only looked at, from this provider id on.
    Due(Option<String>),
}

impl Pass {
    /// Makes a pass. `chosen`: these calls; else those that are due.
    pub(super) async fn run(
        shared: Arc<Shared>,
        request: Arc<Request>,
        account: DueAccount,
        chosen: Option<Vec<CallRow>>,
    ) -> Result<Report, StoreError> {
        let now_ms = shared.clock.now_ms();
        let (due, lease_ms) = (shared.rules.due(now_ms), now_ms.saturating_add(LEASE_MS));
        let report = Report { dry_run: request.dry_run, ..Report::default() };
        let DueAccount { tenant, provider, account: id } = &account;
        let whom = shared.sources.whom(tenant, provider, id).await;
        if matches!(whom, Ok(Whom::Elsewhere)) {
            return elsewhere(&shared, &request, &account, due, chosen, HELD_ELSEWHERE).await;
        }
        let exclusive = !request.dry_run && !matches!(request.chosen, Chosen::Call(_));
        let watch = match exclusive {
            true => claim(&shared, &request, &account, now_ms, lease_ms).await?,
            false => {
                let known = watch::find(&shared.db, &account.tenant, &account.account).await?;
                let (tenant, account) = (account.tenant.clone(), account.account.clone());
                Some(known.unwrap_or(WatchRow { tenant, account, ..WatchRow::default() }))
            }
        };
        // Somebody else is asking, or has just asked.
        let Some(watch) = watch else { return elsewhere(&shared, &request, &account, due, chosen, ANOTHER).await };
        let (trouble, fingerprint, source) = (None, None, Source::Asked);
        let mut pass = Self {
            shared,
            request,
            account,
            now_ms,
            due,
            lease_ms,
            exclusive,
            watch,
            trouble,
            fingerprint,
            source,
            report,
        };
        let done = pass.sweep(chosen, whom).await;
        if exclusive {
            let Self { shared, account, watch, trouble, fingerprint, source, .. } = &mut pass;
            let now_ms = shared.clock.now_ms();
            match (&done, trouble) {
                // The pass broke, or there was nobody to ask: that says nothing of the account.
                (Err(_), None) => asking::let_go(shared, watch).await?,
                (Ok(()), None) if *source == Source::Nobody => asking::let_go(shared, watch).await?,
                // Whoever listens to a PBX says by himself when it is away.
                _ if account.provider == PROVIDER => asking::let_go(shared, watch).await?,
                (_, trouble) => asking::release(shared, watch, trouble.as_ref(), fingerprint.take(), now_ms).await?,
            }
        }
        done.map(|()| pass.report)
    }

    async fn sweep(&mut self, chosen: Option<Vec<CallRow>>, whom: Result<Whom, Trouble>) -> Result<(), StoreError> {
        let source = match whom {
            Ok(Whom::Asked(source)) => source,
            Ok(Whom::Nobody | Whom::Elsewhere) => return self.ask_nobody(chosen).await,
            Err(trouble) => return self.leave(chosen, trouble).await,
        };
        asking::meet(&mut self.watch, source.base());
        let fingerprint = source.fingerprint().to_owned();
        let by_hand = self.request.actor != super::SWEEPER;
        if let Some(trouble) = asking::forbids(&self.watch, &fingerprint, self.now_ms).filter(|_| !by_hand) {
            self.fingerprint = Some(fingerprint);
            return self.leave(chosen, trouble).await;
        }
        self.fingerprint = Some(fingerprint);
        let mut listed = HashSet::new();
        if !matches!(self.request.chosen, Chosen::Call(_)) {
            self.watch.listed_ms = Some(self.now_ms);
            match source.live().await {
                Ok(live) => listed = self.hear(live, chosen.as_deref()).await?,
                Err(trouble) => return self.leave(chosen, trouble).await,
            }
        }
        self.ask_singly(&source, chosen, &listed).await
    }

    /// Takes what the lists say to all calls they name. Answers the calls they name.
    async fn hear(&mut self, live: Vec<Signal>, chosen: Option<&[CallRow]>) -> Result<HashSet<String>, StoreError> {
        let chosen: Option<HashSet<&str>> = chosen.map(|calls| calls.iter().map(|c| c.provider_id.as_str()).collect());
        let said: HashMap<String, Signal> = live.into_iter().map(|s| (s.leg.provider_id.clone(), s)).collect();
        let keys: Vec<LegKey> = said.keys().map(|id| self.key(id)).collect();
        for keys in keys.chunks(PAGE_LEN) {
            let mut acts = Vec::new();
            for row in due::list_by_keys(&self.shared.db, keys).await? {
                self.recognize(&row);
                let Some(signal) = said.get(&row.provider_id) else { continue };
                let counts = match &chosen {
                    Some(chosen) => chosen.contains(row.provider_id.as_str()),
                    None => row.due_at_ms.is_some_and(|at| at <= self.due.now_ms || at > self.due.beyond_ms),
                };
                acts.extend(self.listed(row, signal, counts));
            }
            self.perform(acts).await?;
        }
        Ok(said.into_keys().collect())
    }

    /// What a list says of one call: that it is alive, or that it has come further than we know. A call that ended by the
    /// provider's word is left alone: lists lag behind. One that was given up lives again.
    fn listed(&mut self, row: CallRow, signal: &Signal, counts: bool) -> Option<Act> {
        let before = self.read(&row)?;
        let is_live = row.due_at_ms.is_some();
        let was_given_up = before.resolution.is_some_and(|r| !r.is_told()) && !row.is_replaced();
        if !is_live && !was_given_up {
            return None;
        }
        let further = matches!(&signal.claim, Claim::Live(live) if Status::from(*live) > before.status);
        let heard = match further || was_given_up {
            true => signal.clone(),
            false => sign_of_life(signal, &row),
        };
        let verdict = self.judge().verdict(&leg(&row), &before, 0, Heard::Said(heard));
        Some(Act { row, before, verdict, counts })
    }

    /// The account does not answer: what may be given up is given up, all else stays due.
    async fn leave(&mut self, chosen: Option<Vec<CallRow>>, trouble: Trouble) -> Result<(), StoreError> {
        self.trouble = Some(trouble.clone());
        let mut calls = chosen.map_or(Calls::Due(Some(String::new())), Calls::Chosen);
        for _ in 0..PAGES_MAX {
            let page = self.next(&mut calls).await?;
            if page.is_empty() {
                break;
            }
            let mut acts = Vec::new();
            for row in page {
                let Some(before) = self.read(&row) else { continue };
                let verdict = self.judge().verdict(&leg(&row), &before, 0, Heard::Trouble(trouble.clone()));
                match verdict.signal {
                    Some(_) => acts.push(Act { row, before, verdict, counts: true }),
                    None => self.report.skip(&row, before.status, verdict.why),
                }
            }
            self.perform(acts).await?;
        }
        Ok(())
    }

    /// There is nobody to ask.
    async fn ask_nobody(&mut self, chosen: Option<Vec<CallRow>>) -> Result<(), StoreError> {
        self.source = Source::Nobody;
        let mut calls = self.calls(chosen);
        for _ in 0..PAGES_MAX {
            let page = self.next(&mut calls).await?;
            if page.is_empty() {
                break;
            }
            let mut acts = Vec::new();
            for row in page {
                let Some(before) = self.read(&row) else { continue };
                let newer = self.newer(&row, &before).await?;
                let verdict = self.judge().verdict(&leg(&row), &before, 0, Heard::Nobody { newer });
                acts.push(Act { row, before, verdict, counts: true });
            }
            self.perform(acts).await?;
        }
        Ok(())
    }

    /// A newer call in progress on the same extension, if that is to end this one.
    async fn newer(&self, row: &CallRow, before: &Row) -> Result<Option<String>, StoreError> {
        let Some(extension) = row.extension.as_deref().filter(|_| self.shared.rules.supersede) else { return Ok(None) };
        if before.status != Status::InProgress {
            return Ok(None);
        }
        let others = due::list_in_progress_on(&self.shared.db, &row.tenant, extension, PAGE_ROWS).await?;
        let since = |call: &CallRow| (call.answered_at_ms.unwrap_or(call.created_at_ms), call.id.clone());
        // The legs of one conversation may all name the extension.
        let root = |call: &CallRow| call.parent_id.clone().unwrap_or_else(|| call.provider_id.clone());
        let is_another = |other: &CallRow| (root(other), &other.account) != (root(row), &row.account);
        let newer = others.into_iter().filter(|other| is_another(other) && since(other) > since(row));
        Ok(newer.map(|other| other.id).max())
    }

    /// Takes the account, and the calls of the next page, for longer: a pass may be long, and a dead one must not be.
    pub(super) async fn renew(&mut self) -> Result<(), StoreError> {
        if !self.exclusive {
            return Ok(());
        }
        let until_ms = self.shared.clock.now_ms().saturating_add(LEASE_MS);
        let mut tx = self.shared.db.begin().await?;
        let is_ours = watch::renew(&mut tx, &self.watch, until_ms).await?;
        tx.commit().await?;
        if is_ours {
            self.watch.lease_until_ms = until_ms;
        }
        self.lease_ms = until_ms;
        Ok(())
    }

    pub(super) fn calls(&self, chosen: Option<Vec<CallRow>>) -> Calls {
        match chosen {
            Some(calls) => Calls::Chosen(calls),
            None if self.request.dry_run => Calls::Due(Some(String::new())),
            None => Calls::Leased,
        }
    }

    /// The next page; empty at the end.
    pub(super) async fn next(&self, calls: &mut Calls) -> Result<Vec<CallRow>, StoreError> {
        let DueAccount { tenant, account, .. } = &self.account;
        let of = (tenant.as_str(), account.as_str());
        match calls {
            Calls::Chosen(calls) => Ok(calls.drain(..calls.len().min(PAGE_LEN)).collect()),
            Calls::Leased => {
                let mut tx = self.shared.db.begin().await?;
                let page = due::lease(&mut tx, of, self.due, self.lease_ms, PAGE_ROWS).await?;
                tx.commit().await?;
                Ok(page)
            }
            Calls::Due(after) => {
                let Some(from) = after.take() else { return Ok(Vec::new()) };
                let page = due::list(&self.shared.db, of, self.due, &from, PAGE_ROWS).await?;
                *after = page.last().map(|row| row.provider_id.clone());
                Ok(page)
            }
        }
    }

    /// What a row reads. One that cannot be read is its own trouble, and stops no other.
    pub(super) fn read(&mut self, row: &CallRow) -> Option<Row> {
        match ingest::registers(row) {
            Ok(call) => Some(call.read()),
            Err(error) => {
                tracing::error!(call = row.id, %error, "a call cannot be looked after; `onhook check` says what is wrong");
                let status = row.status.parse().unwrap_or(Status::Queued);
                self.report.skip(row, status, format!("Its row cannot be read: {error}."));
                None
            }
        }
    }

    /// Notes that the account knows a call of ours: it is the right account, at the right place.
    pub(super) fn recognize(&mut self, row: &CallRow) {
        if row.deliveries == 0 {
            return;
        }
        self.watch.seen_ms = Some(self.now_ms);
        if self.is_blind() {
            self.watch.trouble = None;
        }
    }

    /// Whether the account has known none of our calls so far.
    pub(super) fn is_blind(&self) -> bool {
        self.watch.trouble.as_deref() == Some(TroubleKind::Blind.as_str())
    }

    pub(super) fn key(&self, provider_id: &str) -> LegKey {
        let DueAccount { tenant, account, .. } = &self.account;
        LegKey { tenant: tenant.clone(), provider_id: provider_id.to_owned(), account: account.clone() }
    }

    pub(super) fn judge(&self) -> Judge<'_> {
        let rules = &self.shared.rules;
        let (limits, if_answered, interval_ms) = (&rules.limits, rules.if_answered, rules.again_ms());
        Judge { limits, if_answered, interval_ms, now_ms: self.now_ms }
    }
}

async fn claim(
    shared: &Shared,
    request: &Request,
    account: &DueAccount,
    now_ms: Millis,
    until_ms: Millis,
) -> Result<Option<WatchRow>, StoreError> {
    let DueAccount { tenant, account, .. } = account;
    // What sweeps by itself lists once per interval, on however many nodes it runs.
    let is_ours = request.actor == super::SWEEPER;
    let not_listed_after_ms = is_ours.then(|| now_ms.saturating_sub(shared.rules.again_ms() / 4 * 3));
    let mut tx = shared.db.begin().await?;
    let claimed = watch::claim(&mut tx, Claiming { tenant, account, now_ms, until_ms, not_listed_after_ms }).await?;
    tx.commit().await?;
    Ok(claimed)
}

/// What is left of a signal that says nothing new. Of signs of life the latest only is kept, so it must not say when the
/// call was first heard of, as it would after the clock was put back.
pub(super) fn sign_of_life(signal: &Signal, row: &CallRow) -> Signal {
    let received_ms = signal.received_ms.max(row.created_at_ms);
    Signal { claim: Claim::Alive, details: Default::default(), link: None, received_ms, ..signal.clone() }
}

/// What a sweep by hand says of calls that somebody else looks after. The sweeper says nothing: it looks again soon.
async fn elsewhere(
    shared: &Shared,
    request: &Request,
    account: &DueAccount,
    due: Due,
    chosen: Option<Vec<CallRow>>,
    why: &str,
) -> Result<Report, StoreError> {
    let mut report = Report { dry_run: request.dry_run, ..Report::default() };
    let calls = match chosen {
        Some(calls) => calls,
        None if request.actor == super::SWEEPER => Vec::new(),
        None => due::list(&shared.db, (&account.tenant, &account.account), due, "", PAGE_ROWS).await?,
    };
    for row in calls {
        let status = row.status.parse().unwrap_or(Status::Queued);
        report.skip(&row, status, why.to_owned());
    }
    Ok(report)
}

pub(super) fn leg(row: &CallRow) -> Leg {
    Leg { provider_id: row.provider_id.clone(), account: row.account.clone() }
}

const ANOTHER: &str = "Another sweep is asking about its account. Look again in a minute.";
const HELD_ELSEWHERE: &str = "Another process listens to its PBX, and looks after it.";
/// Until when an account and its calls are taken: whoever has not ended by then is dead.
const LEASE_MS: Millis = MINUTE;
/// How many pages of calls that nobody can say anything of one pass looks at.
const PAGES_MAX: usize = 40;
const PAGE_LEN: usize = PAGE_ROWS as usize;
