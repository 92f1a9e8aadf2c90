//! A second call in progress on an extension: the others are due at once. Nobody speaks on two calls for long, so the ending
//! of one of them may have been lost; holding and attended transfer have two, so nothing is ended here.

use super::{
    Submission,
    batch::{Batch, Leg},
};
use crate::{
    domain::{signal::Field, state::Status, time::Millis},
    store::{
        StoreError, Tx,
        calls::{self, LegKey},
        extensions::{self, ExtensionKey, LiveOn},
    },
};
use std::{borrow::Cow, collections::BTreeSet};

/// What a batch locks: its legs, and the extensions that its signals name. Two calls that are answered on one extension
/// at the same moment, on two nodes, must not both miss the other one.
pub(super) fn locks<'a>(legs: &'a [LegKey], submissions: &[Submission]) -> Cow<'a, [LegKey]> {
    let mut named = BTreeSet::new();
    for submission in submissions {
        named.extend(submission.signals.iter().filter_map(|signal| {
            let extension = signal.details.get(&Field::Extension)?;
            Some(LegKey {
                tenant: submission.tenant.clone(),
                provider_id: extension.clone(),
                // No account has this name: what is locked is no leg.
                account: "extension".to_owned(),
            })
        }));
    }
    if named.is_empty() {
        return Cow::Borrowed(legs);
    }
    named.extend(legs.iter().cloned());
    Cow::Owned(named.into_iter().collect())
}

/// Makes the other calls in progress due where one of this batch went in progress on its extension.
pub(super) async fn hasten_others(tx: &mut Tx, batch: &mut Batch, now: Millis) -> Result<(), StoreError> {
    let taken: BTreeSet<ExtensionKey> = batch.legs.values().filter_map(taken_now).collect();
    if taken.is_empty() {
        return Ok(());
    }
    let newest: BTreeSet<LegKey> = taken.iter().filter_map(|extension| newest_on(batch, extension)).collect();
    for (key, leg) in &mut batch.legs {
        let on = leg.in_progress_on().is_some_and(|extension| taken.contains(&extension));
        if on && !newest.contains(key) {
            (leg.ask, leg.touched) = (true, true);
        }
    }
    let taken: Vec<ExtensionKey> = taken.into_iter().collect();
    let live = extensions::list_live(&mut *tx, &taken).await?;
    let others = longest(live, batch);
    if others.is_empty() {
        return Ok(());
    }
    // Whoever is writing one of them now would write its old deadline again.
    calls::lock(tx, &others).await?;
    extensions::hasten(tx, &others, now).await.map(drop)
}

/// The calls in progress that this batch does not speak of, the longest of each extension, in the order of their keys.
fn longest(mut live: Vec<LiveOn>, batch: &Batch) -> Vec<LegKey> {
    let key = |call: &LiveOn| LegKey {
        tenant: call.tenant.clone(),
        provider_id: call.provider_id.clone(),
        account: call.account.clone(),
    };
    live.retain(|call| call.status == Status::InProgress.as_str() && !batch.legs.contains_key(&key(call)));
    live.sort_by(|a, b| (&a.tenant, &a.extension, a.answered_at_ms).cmp(&(&b.tenant, &b.extension, b.answered_at_ms)));
    let of_one = live.chunk_by(|a, b| (&a.tenant, &a.extension) == (&b.tenant, &b.extension));
    let longest: BTreeSet<LegKey> = of_one.flat_map(|calls| calls.iter().take(OTHERS_MAX).map(key)).collect();
    longest.into_iter().collect()
}

/// The extension that a leg took in this batch: it was not in progress there before.
fn taken_now(leg: &Leg) -> Option<ExtensionKey> {
    let extension = leg.in_progress_on().filter(|_| leg.touched)?;
    let was = leg.row.status == Status::InProgress.as_str() && leg.row.extension.as_ref() == Some(&extension.extension);
    (!was).then_some(extension)
}

/// The leg that took the extension last, among those that took it in this batch.
fn newest_on(batch: &Batch, extension: &ExtensionKey) -> Option<LegKey> {
    let takers = batch.legs.iter().filter(|(_, leg)| taken_now(leg).as_ref() == Some(extension));
    takers.max_by_key(|(_, leg)| leg.call.read().answered_at_ms).map(|(key, _)| key.clone())
}

impl Leg {
    fn in_progress_on(&self) -> Option<ExtensionKey> {
        let extension = self.call.detail(Field::Extension)?;
        let here = self.status() == Status::InProgress && self.call.detail(Field::MergedInto).is_none();
        here.then(|| ExtensionKey { tenant: self.row.tenant.clone(), extension: extension.to_owned() })
    }
}

/// How many calls of an extension become due by one that was answered: what has more is no person's, but a queue's, and
/// asking about all of it for each new call would be asking all the time.
const OTHERS_MAX: usize = 10;
