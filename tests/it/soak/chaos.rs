//! What happens to the processes, and when: drawn from a seed.

use super::{
    super::support::database::Place,
    nodes::{Nodes, STALE_AFTER},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    fmt,
    ops::Range,
    time::{Duration, Instant},
};

/// What has happened so far, and what comes next.
pub struct Chaos<'a> {
    place: &'a Place,
    rng: StdRng,
    began: Instant,
    kill_at: Instant,
    frozen: Option<(usize, Instant)>,
    is_away: bool,
    /// Processes that were killed.
    pub kills: u32,
    /// Processes that were frozen and went on.
    pub freezes: u32,
    /// Times the database was away.
    pub outages: u32,
}

impl fmt::Debug for Chaos<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, freezes, outages, .. } = self;
        write!(f, "{kills} kills, {freezes} freezes, {outages} outages of the database")
    }
}

impl<'a> Chaos<'a> {
    pub fn new(place: &'a Place, seed: u64) -> Self {
        let (rng, now) = (StdRng::seed_from_u64(seed), Instant::now());
        let (kill_at, frozen) = (now + Duration::from_secs(2), None);
        Self { place, rng, began: now, kill_at, frozen, is_away: false, kills: 0, freezes: 0, outages: 0 }
    }

    /// Does what is due by now.
    pub async fn turn(&mut self, nodes: &mut Nodes) {
        let now = Instant::now();
        let elapsed = now - self.began;
        match self.frozen {
            Some((at, until)) if now >= until => {
                nodes.thaw(at);
                self.freezes += 1;
                self.frozen = None;
            }
            None if self.freezes == 0 && elapsed >= FREEZE_AFTER => {
                let at = self.rng.random_range(0..nodes.len());
                nodes.freeze(at);
                self.frozen = Some((at, now + STALE_AFTER * 2));
            }
            _ => {}
        }
        if self.place.url.starts_with("postgres") && OUTAGE.contains(&elapsed) != self.is_away {
            self.is_away = !self.is_away;
            self.place.refuse_connections(self.is_away).await;
            self.outages += u32::from(self.is_away);
        }
        if now >= self.kill_at {
            let at = self.rng.random_range(0..nodes.len());
            // What is frozen is left frozen: it is to wake up in another world.
            if self.frozen.is_none_or(|(frozen, _)| frozen != at) {
                nodes.kill(at);
                self.kills += 1;
            }
            self.kill_at = now + Duration::from_millis(self.rng.random_range(1_500..5_000));
        }
    }

    /// Nothing more happens, and everybody goes on.
    pub async fn calm_down(&mut self, nodes: &mut Nodes) {
        if let Some((at, _)) = self.frozen.take() {
            nodes.thaw(at);
            self.freezes += 1;
        }
        if self.is_away {
            self.place.refuse_connections(false).await;
        }
        nodes.until_they_listen().await;
    }
}

const FREEZE_AFTER: Duration = Duration::from_secs(8);
/// When the database is away.
const OUTAGE: Range<Duration> = Duration::from_secs(16)..Duration::from_secs(20);
