//! Gives the gateway time to ask Twilio about what it was not told, and looks now and then how far it is.

use super::{
    Stage,
    verdict::{self, Finding, Known},
};
use crate::{
    cli::out::{Out, Tone},
    clock::Stopwatch,
    domain::time::MINUTE,
    double::Asked,
};
use anyhow::Result;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Waits until every call that the gateway knows of is true there, for `most` at most.
pub async fn wait(out: &Out, stage: &Stage, most: Duration, stop: &CancellationToken) -> Result<()> {
    let watch = Stopwatch::start();
    let mut told_s = 0.0;
    let mut left = Known::all(&stage.double, true);
    while !stop.is_cancelled() {
        let judged = verdict::judge(left, &stage.gateway).await?;
        let is_open = |finding: &Finding| !matches!(finding, Finding::True { .. } | Finding::Unheard);
        left = judged.into_iter().filter(|(_, finding)| is_open(finding)).map(|(known, _)| known).collect();
        let over_s = most.as_secs_f64() - watch.seconds();
        if left.is_empty() {
            return look_for_unheard(out, stage).await;
        }
        if over_s <= 0.0 {
            break;
        }
        if !out.is_json() && watch.seconds() >= told_s {
            let Asked { requests, .. } = stage.double.with(|double| double.asked());
            let open = left.len();
            let line = format!(
                "all calls are over, {open} of them not yet for the gateway; it made {requests} requests, and is given {over_s:.0} s more"
            );
            out.note(out.paint(Tone::Faint, &line));
            told_s = watch.seconds() + TELL_EVERY_S;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    Ok(())
}

/// Has the gateway look for calls of which no callback arrived. Not before it has found out by itself what it could: that
/// would give it the other endings, too.
async fn look_for_unheard(out: &Out, stage: &Stage) -> Result<()> {
    let all = Known::all(&stage.double, true);
    let begin_ms = all.iter().map(|known| known.truth.created_ms).min().unwrap_or_default();
    let judged = verdict::judge(all, &stage.gateway).await?;
    let unheard = judged.iter().filter(|(_, finding)| *finding == Finding::Unheard).count();
    if unheard == 0 {
        return Ok(());
    }
    let sentence = match stage.gateway.backfill(begin_ms - MINUTE).await? {
        None => format!("the gateway has looked for {unheard} calls of which no callback arrived"),
        Some(why) => {
            format!("the gateway cannot be made to look for {unheard} calls of which no callback arrived: {why}")
        }
    };
    out.note(sentence);
    Ok(())
}

/// How often the gateway is asked about what is open.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often one is told how it goes.
const TELL_EVERY_S: f64 = 5.0;
