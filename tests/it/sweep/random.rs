//! Whatever happens on the way: in the end every call is what it is in truth, and every lead has the contacts it had.

use super::scene::{Scene, is_in_order};
use crate::support::{database::TestDatabase, stage::INTERVAL_MS};
use onhook::{
    domain::{
        state::Status,
        time::{DAY, HOUR, MINUTE, SECOND},
    },
    double::{Fate, network::Faults},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Method;
use std::collections::BTreeMap;

const SEEDS: u64 = 12;
const CALLS: usize = 10;
const LEADS: usize = 3;
const STEPS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_end_every_call_is_what_it_is() {
    let mut known = 0;
    for seed in 0..SEEDS {
        let at = TestDatabase::sqlite().await;
        let scene = Scene::on(&at, &[]).await;
        known += story(scene, seed).await;
    }
    assert!(known > CALLS * 8, "too few calls were heard of at all: {known}");
}

/// How many calls of the story the gateway heard of.
async fn story(scene: Scene, seed: u64) -> usize {
    let mut rng = StdRng::seed_from_u64(seed);
    for n in 0..LEADS {
        scene.lead(&format!("lead-{n}")).await;
    }
    let mut calls: Vec<(String, String)> = Vec::new();
    // By how much the gateway's clock is wrong.
    let mut wrong_ms = 0;
    for step in 0..STEPS {
        if calls.len() < CALLS && rng.random_bool(0.4) {
            let lead = format!("lead-{}", rng.random_range(0..LEADS));
            let sid = scene.place(Fate::draw(&mut rng), &format!("lead_id={lead}"));
            calls.push((sid, lead));
        }
        match (seed % 4, rng.random_range(0..6)) {
            (_, 0) => scene.double(|double| double.setup_mut().faults = faults(&mut rng)),
            (1, 1) => scene.away(),
            (1, 2 | 3) => scene.honest(),
            (2, 1) => {
                let jumps = [HOUR, -HOUR, DAY, -DAY, 365 * DAY, 0];
                let jump_ms = jumps[rng.random_range(0..jumps.len())];
                scene.clock.advance(jump_ms - wrong_ms);
                wrong_ms = jump_ms;
            }
            (3, 1) => scene.double(|double| double.setup_mut().stale_ms = rng.random_range(0..60 * SECOND)),
            (3, 2) => {
                let moment = std::time::Duration::from_micros(rng.random_range(0..20_000));
                drop(tokio::time::timeout(moment, scene.gateway.sweeper.tick()).await);
            }
            _ => {}
        }
        scene.pass(rng.random_range(SECOND..MINUTE)).await;
        if step % 3 > 0 {
            scene.sweep().await;
        }
    }
    scene.clock.advance(-wrong_ms);
    scene.honest();
    scene.double(|double| (double.setup_mut().faults, double.setup_mut().stale_ms) = (Faults::default(), 0));
    // The longest call, the longest lease, the longest pause between two asks.
    scene.sweep_for(usize::try_from(22 * MINUTE / INTERVAL_MS).unwrap()).await;
    compare(&scene, &calls, seed).await
}

fn faults(rng: &mut StdRng) -> Faults {
    let mut rate = |most: f64| rng.random::<f64>() * most;
    Faults { lost: rate(1.0), late: rate(0.5), reordered: rate(0.5), duplicated: rate(0.5), slow: rate(0.5) }
}

async fn compare(scene: &Scene, calls: &[(String, String)], seed: u64) -> usize {
    let (mut contacts, mut known) = (BTreeMap::<&str, i64>::new(), 0);
    for (sid, lead) in calls {
        let truth = scene.double(|double| double.call(sid).unwrap().truth().unwrap());
        let (found, call) = scene.gateway.ask(Method::GET, &format!("/v1/calls/{sid}"), None).await;
        // What never reached us nobody can know.
        if found == 404 {
            continue;
        }
        known += 1;
        assert_eq!(call["status"], truth.status.as_str(), "seed {seed}: {call}");
        assert!(call["resolution"] == "callback" || call["resolution"] == "reconciled", "seed {seed}: {call}");
        if truth.status == Status::Completed {
            assert_eq!(call["talk_seconds"], truth.seconds(), "seed {seed}: {call}");
            *contacts.entry(lead).or_default() += 1;
        }
        let owed = scene.owed(sid).await;
        let endings = owed.iter().filter(|kind| *kind != "call.corrected").count();
        assert_eq!(endings, 1, "seed {seed}: {owed:?} {call}");
    }
    for n in 0..LEADS {
        let lead = scene.gateway.get(&format!("/v1/leads/lead-{n}")).await;
        let expected = contacts.get(format!("lead-{n}").as_str()).copied().unwrap_or_default();
        assert_eq!(lead["contact_count"], expected, "seed {seed}: {lead}");
    }
    is_in_order(&scene.gateway).await;
    known
}
