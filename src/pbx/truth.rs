//! What the sweeper is told: whoever listens to a PBX answers from its channel list.

use super::{Pbxs, dialer::Here, heard::Key};
use crate::{
    ami::Snapshot,
    domain::{
        signal::{Claim, Signal, Weak, Witness},
        state::{HangupCause, Outcome},
        time::{Millis, SECOND},
    },
    provider::{Asked, PbxTruth, Standing, Switchboard, Trouble, TroubleKind},
    store::pbx,
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// Who waits for which answer.
#[derive(Debug)]
pub(super) enum Question {
    /// A sign of life of everything that is listed.
    Live(oneshot::Sender<Result<Vec<Signal>, Trouble>>),
    /// One call.
    Look(String, oneshot::Sender<Result<Option<Signal>, Trouble>>),
}

impl Question {
    /// There is nobody to ask.
    pub(super) fn fail(self, trouble: Trouble) {
        // Whoever waited no more does not hear it.
        match self {
            Self::Live(answer) => drop(answer.send(Err(trouble))),
            Self::Look(_, answer) => drop(answer.send(Err(trouble))),
        }
    }
}

/// The last complete channel list.
#[derive(Debug)]
pub(super) struct Listed {
    /// The ids of all rows that it shows to be alive.
    ids: HashSet<String>,
    asked_ms: Millis,
    listed_ms: Millis,
}

impl Listed {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let ids = snapshot.channels.iter().flat_map(|channel| [channel.uniqueid.clone(), channel.linkedid.clone()]);
        let Snapshot { asked_ms, listed_ms, .. } = *snapshot;
        Self { ids: ids.collect(), asked_ms, listed_ms }
    }

    /// Whether it is of this moment.
    pub(super) const fn is_fresh(&self, now_ms: Millis) -> bool {
        self.listed_ms <= now_ms && now_ms.saturating_sub(self.asked_ms) <= FRESH_MS
    }

    pub(super) fn has(&self, provider_id: &str) -> bool {
        self.ids.contains(provider_id)
    }

    /// A sign of life of all of them.
    pub(super) fn signs(&self, of: &Key) -> Vec<Signal> {
        self.ids.iter().map(|id| self.sign(of, id)).collect()
    }

    /// A sign of life of one that is listed.
    pub(super) fn sign(&self, of: &Key, provider_id: &str) -> Signal {
        self.signal(of, provider_id, Witness::Reconciled, Claim::Alive, Some(self.asked_ms))
    }

    /// That one is not listed. It was alive when it last said so, and nothing more is known.
    pub(super) fn absence(&self, of: &Key, provider_id: &str, if_answered: Outcome) -> Signal {
        let cause = HangupCause::EndedWhileDisconnected;
        let weak = Weak { decided_ms: self.asked_ms, floor_ms: None, cause, if_answered, stated_end_ms: None };
        self.signal(of, provider_id, Witness::Absent, Claim::GivenUp(weak), None)
    }

    fn signal(&self, of: &Key, provider_id: &str, witness: Witness, claim: Claim, at: Option<Millis>) -> Signal {
        let (details, link, sequence) = (Default::default(), None, None);
        Signal { leg: of.leg(provider_id), witness, claim, at, sequence, details, link, received_ms: self.listed_ms }
    }
}

impl Here {
    async fn ask<T>(&self, question: Question, answer: oneshot::Receiver<Result<T, Trouble>>) -> Result<T, Trouble> {
        let asked = async {
            self.questions.send(question).await.ok()?;
            answer.await.ok()
        };
        match tokio::time::timeout(ANSWER_WITHIN, asked).await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(away(&self.account, "it is being left to another process")),
            Err(_) => Err(away(&self.account, "it did not list its channels in time")),
        }
    }
}

impl PbxTruth for Here {
    fn live(&self) -> Asked<'_, Vec<Signal>> {
        let (answer, answered) = oneshot::channel();
        Box::pin(self.ask(Question::Live(answer), answered))
    }

    fn look<'a>(&'a self, provider_id: &'a str) -> Asked<'a, Option<Signal>> {
        let (answer, answered) = oneshot::channel();
        Box::pin(self.ask(Question::Look(provider_id.to_owned(), answer), answered))
    }

    fn hang_up<'a>(&'a self, provider_id: &'a str) -> Asked<'a, bool> {
        Box::pin(self.end(provider_id))
    }
}

impl Switchboard for Pbxs {
    fn standing<'a>(&'a self, tenant: &'a str, account: &'a str) -> Asked<'a, Standing> {
        let of = Key { tenant: tenant.to_owned(), account: account.to_owned() };
        Box::pin(async move {
            Ok(match self.stand(of).await? {
                Stand::Here(here) => Standing::Here(Arc::new(here)),
                Stand::Elsewhere => Standing::Elsewhere,
                Stand::Nowhere => Standing::Nowhere,
            })
        })
    }
}

/// See [`Standing`].
pub(super) enum Stand {
    Here(Here),
    Elsewhere,
    Nowhere,
}

impl Pbxs {
    pub(super) async fn stand(&self, of: Key) -> Result<Stand, Trouble> {
        if let Some(face) = self.face(&of) {
            return match face.is_connected() {
                true => Ok(Stand::Here(face.here(&of, self.0.rules.place_within))),
                false if face.is_refused() => Err(locked(&of.account, "it refuses our login")),
                false => Err(away(&of.account, "there is no connection to it now")),
            };
        }
        let row = pbx::find(self.db(), &of.tenant, &of.account).await;
        let row = row.map_err(|error| away(&of.account, &format!("failed to {error}")))?;
        let is_held = row.as_ref().is_some_and(|pbx| pbx.left_ms > 0);
        let is_pushed = row.is_some_and(|pbx| pbx.row.state == super::State::Pushed.as_str());
        if is_held && !is_pushed {
            return Ok(Stand::Elsewhere);
        }
        match self.is_to_be_listened_to(&of).await {
            Ok(Some(true)) => Err(away(&of.account, "nobody is connected to it now")),
            Ok(Some(false)) => Err(locked(&of.account, "none of its secrets can be opened: `onhook accounts rotate`")),
            Ok(None) => Ok(Stand::Nowhere),
            Err(error) => Err(away(&of.account, &format!("failed to {error}"))),
        }
    }
}

/// Nobody can say what the PBX knows.
pub(super) fn away(account: &str, why: &str) -> Trouble {
    Trouble { kind: TroubleKind::Unreachable, detail: format!("ask the PBX {account}: {why}") }
}

/// Somebody has to mend something before anybody can ask: waiting does not help.
fn locked(account: &str, why: &str) -> Trouble {
    Trouble { kind: TroubleKind::Refused, detail: format!("ask the PBX {account}: {why}") }
}

/// An answer about one call may come from a list so old: whoever asks about many at once asks for one list.
const FRESH_MS: Millis = 5 * SECOND;
/// The list may be long, and the PBX slow.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(15);
