//! What is compared in the end: every job with the double's own calls, every call with the gateway's, slots with slots.

use super::{ATTEMPTS_MAX, Api, RETRIED, exchange::Exchange};
use onhook::store::{Db, slots};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use url::Url;

/// A call as the double knows it.
#[derive(Clone, Debug)]
struct Truth {
    sid: String,
    status: &'static str,
    created_ms: i64,
    ended_ms: Option<i64>,
}

/// By attempt.
type Calls = BTreeMap<i64, Vec<Truth>>;

/// Fails with everything that is not as it should be.
pub async fn assert_true(api: &Api, exchange: &Exchange, db: &Db, run: &str) {
    let mut truths = truths(exchange);
    let jobs = jobs(api, run).await;
    assert_eq!(jobs.len(), exchange.numbers.len());
    let mut wrong: Vec<String> = Vec::new();
    let (mut called, mut unknown) = (0, 0);
    for job in &jobs {
        let calls = truths.remove(text(job, "id")).unwrap_or_default();
        called += calls.values().map(Vec::len).sum::<usize>();
        unknown += usize::from(job["state"] == "unknown");
        let refused = exchange.refuses(text(job, "to"));
        wrong.extend(of_job(job, &calls, refused).map(|what| format!("{what}: {job}\n    {calls:?}")));
        for call in calls.values().flatten() {
            let shown = api.get(&format!("/v1/calls/{}", call.sid)).await;
            if shown["status"] != call.status || shown["run_id"] != run {
                wrong.push(format!("the call of a job is {} in truth: {shown}", call.status));
            }
        }
    }
    wrong.extend(truths.keys().map(|job| format!("somebody was called for {job:?}, which is no job of the list")));
    let ledger = slots::ledger(db, "default", run).await.unwrap();
    println!("{called} calls, {unknown} jobs unknown, {ledger:?}");
    if ledger.taken != ledger.released || ledger.taken < i64::try_from(called).unwrap() {
        wrong.push(format!("{called} calls, and {ledger:?}"));
    }
    assert!(wrong.is_empty(), "{} things are wrong:\n{}", wrong.len(), wrong.join("\n"));
    // What cannot be found out is rare; were it common, the rest would prove little.
    assert!(unknown * 5 < jobs.len(), "{unknown} of {} jobs are unknown", jobs.len());
}

/// What is wrong with a job, in words.
fn of_job(job: &Value, calls: &Calls, refused: bool) -> Option<String> {
    if let Some((attempt, _)) = calls.iter().find(|(_, calls)| calls.len() > 1) {
        return Some(format!("attempt {attempt} called somebody twice"));
    }
    let one = |attempt: i64| calls.get(&attempt).and_then(|calls| calls.first());
    for (&attempt, call) in calls.iter().filter_map(|(attempt, calls)| Some((attempt, calls.first()?))) {
        if !(1..=ATTEMPTS_MAX).contains(&attempt) {
            return Some(format!("there is a call of attempt {attempt}"));
        }
        if attempt > 1 {
            let before = one(attempt - 1);
            let may = before.is_some_and(|before| {
                RETRIED.contains(&before.status) && before.ended_ms.is_some_and(|ended| ended <= call.created_ms)
            });
            if !may {
                return Some(format!("attempt {attempt} was made after {before:?}"));
            }
        }
    }
    let (state, attempt) = (text(job, "state"), job["attempt"].as_i64().unwrap());
    let Some(call) = one(attempt) else {
        // Twilio refused it, or was asked and nobody could find out that there is no call.
        let may = state == "unknown" || (state == "failed" && refused);
        return (!may).then(|| format!("{state} without a call of attempt {attempt}"));
    };
    if state != "done" {
        return Some(format!("{state}, and there is a call"));
    }
    if text(job, "outcome") != call.status || text(job, "provider_id") != call.sid {
        return Some(format!("the call is {} {}", call.sid, call.status));
    }
    let was_told = ["callback", "reconciled"].contains(&text(job, "resolution"));
    let is_retried = RETRIED.contains(&call.status) && attempt < ATTEMPTS_MAX;
    (is_retried && was_told).then(|| "there should be another attempt".to_owned())
}

/// The calls of every job: what was placed names job and attempt on its callback URL.
fn truths(exchange: &Exchange) -> HashMap<String, Calls> {
    let mut all: HashMap<String, Calls> = HashMap::new();
    exchange.double.with(|double| {
        for call in double.calls() {
            let url = call.callback.as_ref().map_or("", |callback| callback.hook.url.as_str());
            let named: HashMap<String, String> = Url::parse(url).unwrap().query_pairs().into_owned().collect();
            let job = named.get("job_id").cloned().unwrap_or_default();
            let attempt = named.get("attempt").and_then(|text| text.parse().ok()).unwrap_or_default();
            let seen = call.truth().unwrap();
            let truth = Truth {
                sid: call.sid.clone(),
                status: seen.status.as_str(),
                created_ms: seen.created_ms,
                ended_ms: seen.ended_ms,
            };
            all.entry(job).or_default().entry(attempt).or_default().push(truth);
        }
    });
    all
}

/// All jobs of the run.
async fn jobs(api: &Api, run: &str) -> Vec<Value> {
    let mut jobs = Vec::new();
    let mut next = format!("/v1/runs/{run}/jobs?limit=200");
    loop {
        let page = api.get(&next).await;
        jobs.extend(page["data"].as_array().unwrap().iter().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else { return jobs };
        next = format!("/v1/runs/{run}/jobs?limit=200&cursor={cursor}");
    }
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}
