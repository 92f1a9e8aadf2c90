//! Every call ends: what the sweeper makes of calls whose webhooks are lost.

mod backfill;
mod clock;
mod figures;
mod follow_up;
pub mod history;
mod late;
mod nobody;
mod nodes;
mod outage;
mod races;
mod random;
mod repair;
mod scene;
mod simulation;
mod unknown;

use crate::support::{gateway::ACCOUNT, stage::Stage};
use onhook::store::follow_ups;

/// Passes until the call is over for Twilio.
async fn pass_until_over(stage: &Stage, sid: &str) {
    for _ in 0..1_000 {
        if stage.twilio.with(|double| double.call(sid).unwrap().is_over()) {
            return;
        }
        stage.pass(10_000).await;
    }
    panic!("{sid} is never over");
}

/// What is still to be learned of a call.
async fn follow_ups_of(stage: &Stage, sid: &str) -> Vec<String> {
    let rows = follow_ups::list_of_call(&stage.gateway.db, "default", ACCOUNT, sid).await.unwrap();
    rows.into_iter().map(|row| row.kind).collect()
}
