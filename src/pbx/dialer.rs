//! Placing calls at a PBX that this process listens to.
//!
//! Each call has its id before anything happens: `ChannelId` is `<job>-<attempt>`, and Asterisk names the channel, and the
//! call, by it. So a call whose answer was lost can be found, and one whose attempt is known is never asked for again.

use super::{
    Pbxs,
    asking::{Place, Request},
    heard::Key,
    truth::{ANSWER_WITHIN, Question, Stand, away},
};
use crate::{
    ami::{Action, client::Chance, originate::Originate},
    domain::{
        run::call_id,
        signal::{Field, Signal},
        state::Direction,
    },
    provider::{Answer, Asked, Dialer, Found, Order, PbxTruth, Placed, Reach, Trouble, TroubleKind},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

/// A PBX that this process listens to.
#[derive(Debug)]
pub(super) struct Here {
    pub account: String,
    pub questions: mpsc::Sender<Question>,
    pub requests: mpsc::Sender<Request>,
    /// How long placing a call may take.
    pub place_within: Duration,
}

impl Pbxs {
    /// Where calls of this PBX can be placed.
    pub async fn reach(&self, tenant: &str, account: &str) -> Result<Reach, Trouble> {
        let of = Key { tenant: tenant.to_owned(), account: account.to_owned() };
        match self.stand(of).await? {
            Stand::Here(here) => Ok(Reach::Here(Arc::new(here))),
            Stand::Elsewhere => Ok(Reach::Elsewhere),
            Stand::Nowhere => Err(Trouble {
                kind: TroubleKind::Refused,
                detail: format!(
                    "dial from the PBX {account}: it is not known here, or only pushes what happens; give it the address, \
                     user and secret of its manager port: `onhook accounts rotate`"
                ),
            }),
        }
    }
}

impl Dialer for Here {
    fn timeout(&self) -> Duration {
        self.place_within
    }

    fn place<'a>(&'a self, order: &'a Order) -> Answer<'a, Placed> {
        Box::pin(self.place_one(order))
    }

    fn find<'a>(&'a self, order: &'a Order, _: &'a (dyn Fn(&str) -> bool + Send + Sync)) -> Asked<'a, Found> {
        Box::pin(async move {
            let id = call_id(&order.job_id, order.attempt);
            let live = self.live().await?;
            Ok(match live.into_iter().find(|signal| signal.leg.provider_id == id) {
                Some(signal) => Found::Call(Box::new(of_order(signal, order))),
                None => Found::Unclear(format!(
                    "it is not among the live channels of the PBX {}: it may have ended, or never have been",
                    self.account
                )),
            })
        })
    }

    fn hang_up<'a>(&'a self, provider_id: &'a str) -> Asked<'a, bool> {
        Box::pin(self.end(provider_id))
    }
}

impl Here {
    async fn place_one(&self, order: &Order) -> Placed {
        let id = call_id(&order.job_id, order.attempt);
        let action = match action(order, &id) {
            Ok(action) => action,
            Err(why) => return Placed::Refused(why),
        };
        let (chance, (answer, answered)) = (Chance::default(), oneshot::channel());
        // Whoever drops this gives it up: nothing is sent later.
        let _given_up = chance.taken_at_the_end();
        let place = Place { id, action, chance: chance.clone(), answer };
        let asked = async {
            self.requests.send(Request::Place(place)).await.ok()?;
            answered.await.ok()
        };
        match timeout(self.place_within, asked).await {
            Ok(Some(placed)) => placed,
            Ok(None) | Err(_) if chance.take() => {
                Placed::NotNow(away(&self.account, "the call could not be sent to it in time"))
            }
            Ok(None) => Placed::Lost("hear the answer of the PBX: it is not listened to any more".to_owned()),
            Err(_) => Placed::Lost("hear the answer of the PBX: it did not come in time".to_owned()),
        }
    }

    /// Hangs a call up, or a leg.
    pub(super) async fn end(&self, provider_id: &str) -> Result<bool, Trouble> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.requests.send(Request::End(provider_id.to_owned(), answer)).await.ok()?;
            answered.await.ok()
        };
        match timeout(ANSWER_WITHIN, asked).await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(away(&self.account, "it is being left to another process")),
            Err(_) => Err(away(&self.account, "it did not answer in time")),
        }
    }
}

/// How a call is asked for; else why it cannot be.
fn action(order: &Order, id: &str) -> Result<Action, String> {
    let settings = &order.settings;
    let lacks = |what: &str| format!("place the call: the run names no {what}");
    let variables = [
        (LEAD, order.lead_id.clone()),
        (USER, order.user_id.clone()),
        (JOB, Some(order.job_id.clone())),
        (ATTEMPT, Some(order.attempt.to_string())),
    ];
    let variables: Vec<_> = variables.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let originate = Originate {
        channel_id: id,
        template: settings.channel.as_deref().ok_or_else(|| lacks("channel"))?,
        to: &order.to,
        context: settings.context.as_deref().ok_or_else(|| lacks("context"))?,
        extension: settings.extension.as_deref().unwrap_or(EXTENSION),
        caller_id: settings.from.as_deref(),
        ring_seconds: settings.timeout_seconds.unwrap_or(RING_SECONDS),
        time_limit_seconds: settings.time_limit_seconds,
        variables: &variables,
    };
    let action = originate.action().map_err(|error| error.to_string())?;
    action.check().map_err(|error| error.to_string())?;
    Ok(action)
}

/// A sign of life, with what is known of the call.
fn of_order(signal: Signal, order: &Order) -> Signal {
    let facts = [
        (Field::JobId, order.job_id.clone()),
        (Field::Attempt, order.attempt.to_string()),
        (Field::Direction, Direction::OutboundApi.as_str().to_owned()),
        (Field::To, order.to.clone()),
    ];
    Signal { details: facts.into(), ..signal }
}

/// What the channel's variables are named; the correlator reads the first two.
const LEAD: &str = "ONHOOK_LEAD";
const USER: &str = "ONHOOK_USER";
const JOB: &str = "ONHOOK_JOB";
const ATTEMPT: &str = "ONHOOK_ATTEMPT";
/// Where an answered call begins in its context, if nothing else is said.
const EXTENSION: &str = "s";
/// For how long it rings, if nothing else is said: as Asterisk has it.
const RING_SECONDS: u32 = 30;
