//! One request to a provider: sent only while the lease certainly lasts, and settled whatever comes of it.

use super::{
    grip::{Grip, Wish},
    settling::{Settled, settle},
};
use crate::{
    clock::Stopwatch,
    provider::{Dialer, Order, Placed, Trouble, TroubleKind},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};
use tokio_util::sync::CancellationToken;

/// What is to be written of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// No request was sent.
    Unsent(&'static str),
    /// This is what the provider said, or did not.
    Placed(Placed),
}

/// Places a call, and sees to it that what came of it is durable.
pub(super) async fn place(
    grip: Arc<Grip>,
    dialer: Arc<dyn Dialer>,
    order: Order,
    round: u64,
    _permit: Option<OwnedSemaphorePermit>,
    stop: CancellationToken,
) {
    let answer = match unsent(&grip, &*dialer, round, &stop) {
        Some(why) => Answer::Unsent(why),
        None => {
            let watch = Stopwatch::start();
            let placed = ask(&*dialer, &order).await;
            grip.shared.metrics.runs().place_took(watch.seconds());
            Answer::Placed(placed)
        }
    };
    if let Answer::Placed(Placed::Accepted(_)) = &answer {
        grip.shared.metrics.runs().job_placed();
    }
    match &answer {
        Answer::Placed(Placed::Accepted(_) | Placed::Refused(_)) => grip.answered(),
        Answer::Placed(Placed::NotNow(trouble)) => grip.troubled(round, trouble.clone()),
        // Going on would lose the others, too.
        Answer::Placed(Placed::Lost(why)) => grip.troubled(round, unheard(why)),
        Answer::Unsent(_) => {}
    }
    match settle(&grip, &order, &answer).await {
        // A job whose answer is lost goes on being placed: it must not look like one that nobody knows of.
        Settled::Durable if matches!(answer, Answer::Placed(Placed::Lost(_))) => {}
        Settled::Durable => {
            grip.taken().remove(&(order.job_id, order.attempt, order.placing_ms));
        }
        // Under another token it is looked for.
        Settled::Not => grip.wish(Wish::LetGo),
    }
}

/// Why no request may be sent now.
fn unsent(grip: &Grip, dialer: &dyn Dialer, round: u64, stop: &CancellationToken) -> Option<&'static str> {
    if stop.is_cancelled() {
        return Some("the gateway that was to dial it stopped");
    }
    match *grip.wishes().borrow() {
        Wish::GoOn => {}
        Wish::Rest | Wish::LetGo => return Some("the run was stopped before the provider was asked"),
        Wish::Lost => return Some("another process took the run over before the provider was asked"),
    }
    if grip.round() != round {
        return Some("the provider takes no calls for now");
    }
    (!grip.allows(dialer.timeout())).then_some("the lease was too short to ask the provider")
}

async fn ask(dialer: &dyn Dialer, order: &Order) -> Placed {
    // A dialer keeps its own time; one that does not must not hold a place for ever.
    let within = dialer.timeout().saturating_add(GRACE);
    timeout(within, dialer.place(order)).await.unwrap_or_else(|_| Placed::Lost("no answer in time".to_owned()))
}

fn unheard(why: &str) -> Trouble {
    Trouble { kind: TroubleKind::Unreachable, detail: format!("hear what the provider answered: {why}") }
}

const GRACE: Duration = Duration::from_millis(500);
