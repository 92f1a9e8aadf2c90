//! Whose call is it? Announcements and numbers, for legs that named no lead themselves.
//!
//! What is found is recorded as a signal of its own: a fold never looks anything up again.

use super::{
    Submission,
    batch::{Batch, Leg, Terms},
};
use crate::{
    domain::{
        id::Leg as LegId,
        phone::E164,
        signal::{Claim, Field, Link, LinkRank, Signal, Witness},
        state::Direction,
        time::{MINUTE, Millis},
    },
    store::{
        StoreError, Tx,
        expected::{self, Candidate, ExpectedRow, Match},
        leads::{self, NumberKey},
    },
};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Ties new legs to their announcements, and legs that moved and still have no lead to the lead of their number.
pub(super) async fn find(tx: &mut Tx, batch: &mut Batch, terms: &mut Terms<'_>) -> Result<(), StoreError> {
    let announced = by_announcement(tx, batch, terms.now).await?;
    batch.absorb_own(tx, terms, announced).await?;
    let numbered = by_number(tx, batch, terms.now).await?;
    batch.absorb_own(tx, terms, numbered).await
}

async fn by_announcement(tx: &mut Tx, batch: &Batch, now: Millis) -> Result<Vec<Submission>, StoreError> {
    // Only a leg that is new can be one that was announced; if it names its lead itself, the rank of links settles it.
    let mut left: Vec<Candidate> = batch
        .legs
        .values()
        .filter(|leg| leg.before.is_none() && !was_over(leg, now))
        .filter_map(|leg| candidate(leg, now))
        .collect();
    let mut found = Vec::new();
    // Another node may take an announcement first; then the next one is tried.
    while !left.is_empty() {
        let pairs = pair(expected::list_open(tx, &left).await?, &left);
        if pairs.is_empty() {
            break;
        }
        let matches: Vec<Match> = pairs
            .iter()
            .map(|(row, c)| Match { tenant: row.tenant.clone(), id: row.id.clone(), matched: c.provider_id.clone() })
            .collect();
        let taken: HashSet<String> = expected::take(tx, &matches).await?.into_iter().collect();
        for (row, c) in pairs.into_iter().filter(|(row, _)| taken.contains(&row.id)) {
            found.extend(batch.legs.values().find(|leg| is(leg, &c)).map(|leg| announced(leg, row, now)));
            left.retain(|other| *other != c);
        }
    }
    Ok(found)
}

/// The oldest announcement that fits goes to the first candidate, the next one to the next.
fn pair(mut open: Vec<ExpectedRow>, candidates: &[Candidate]) -> Vec<(ExpectedRow, Candidate)> {
    let mut pairs = Vec::new();
    for candidate in candidates {
        if let Some(at) = open.iter().position(|row| fits(row, candidate)) {
            pairs.push((open.remove(at), candidate.clone()));
        }
    }
    pairs
}

/// Whether a new leg ended so long ago that no announcement that is still open can be of it.
fn was_over(leg: &Leg, now: Millis) -> bool {
    leg.call.read().ended_at_ms.is_some_and(|at| at < now.saturating_sub(ANNOUNCED_FOR_MS))
}

fn candidate(leg: &Leg, now_ms: Millis) -> Option<Candidate> {
    let to = leg.call.detail(Field::To)?.to_owned();
    let from = leg.call.detail(Field::From).map(str::to_owned);
    let key = leg.key();
    Some(Candidate { tenant: key.tenant, account: key.account, provider_id: key.provider_id, to, from, now_ms })
}

fn fits(row: &ExpectedRow, c: &Candidate) -> bool {
    row.tenant == c.tenant
        && row.account == c.account
        && row.to == c.to
        && row.from.as_ref().is_none_or(|from| Some(from) == c.from.as_ref())
}

fn is(leg: &Leg, c: &Candidate) -> bool {
    leg.row.tenant == c.tenant && leg.row.account == c.account && leg.row.provider_id == c.provider_id
}

fn announced(leg: &Leg, row: ExpectedRow, now: Millis) -> Submission {
    let details = [(Field::UserId, row.user_id), (Field::Extension, row.extension)];
    let details = details.into_iter().filter_map(|(field, value)| Some((field, value?))).collect();
    let link = row.lead_id.map(|lead_id| Link { rank: LinkRank::Announced, lead_id });
    own_signal(leg, Witness::Manual, details, link, now)
}

async fn by_number(tx: &mut Tx, batch: &Batch, now: Millis) -> Result<Vec<Submission>, StoreError> {
    let unlinked = batch.legs.values().filter(|leg| leg.entered_ms.is_some() && leg.call.read().link.is_none());
    let numbered: Vec<(&Leg, NumberKey)> = unlinked.filter_map(|leg| Some((leg, far_end(leg)?))).collect();
    if numbered.is_empty() {
        return Ok(Vec::new());
    }
    let numbers: BTreeSet<NumberKey> = numbered.iter().map(|(_, key)| key.clone()).collect();
    let numbers: Vec<NumberKey> = numbers.into_iter().collect();
    let leads = leads::list_by_number(tx, &numbers).await?;
    let leads: BTreeMap<NumberKey, String> =
        leads.into_iter().map(|(tenant, phone_e164, id)| (NumberKey { tenant, phone_e164 }, id)).collect();
    let linked = numbered.into_iter().filter_map(|(leg, key)| Some((leg, leads.get(&key)?)));
    Ok(linked
        .map(|(leg, lead_id)| {
            let link = Link { rank: LinkRank::Number, lead_id: lead_id.clone() };
            own_signal(leg, Witness::Inferred, BTreeMap::new(), Some(link), now)
        })
        .collect())
}

/// The number of whoever is not us: the caller of an inbound call, else the called party.
fn far_end(leg: &Leg) -> Option<NumberKey> {
    let inbound = leg.call.detail(Field::Direction) == Some(Direction::Inbound.as_str());
    let address = leg.call.detail(if inbound { Field::From } else { Field::To })?;
    let number = E164::of_address(address)?;
    Some(NumberKey { tenant: leg.row.tenant.clone(), phone_e164: number.as_str().to_owned() })
}

pub(super) fn own_signal(
    leg: &Leg,
    witness: Witness,
    details: BTreeMap<Field, String>,
    link: Option<Link>,
    now: Millis,
) -> Submission {
    let key = leg.key();
    let signal = Signal {
        leg: LegId { provider_id: key.provider_id, account: key.account },
        witness,
        claim: Claim::Link,
        at: None,
        sequence: None,
        details,
        link,
        received_ms: now,
    };
    // The provider only matters for a leg that does not exist yet; this one does.
    Submission {
        tenant: key.tenant,
        provider: "",
        delivery: None,
        signals: vec![signal],
        ask: Vec::new(),
        decision: None,
    }
}

/// How long an announcement is open, with room for clocks that differ.
const ANNOUNCED_FOR_MS: Millis = 15 * MINUTE;
