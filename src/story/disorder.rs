//! What a network does to a story: other orders, repetitions, losses. A seed repeats them.

use super::Request;
use rand::{Rng, RngExt, seq::SliceRandom};

/// Any order is as likely as any other. The moments of sending stay; what is sent at them changes.
pub fn shuffle(requests: &mut [Request], rng: &mut impl Rng) {
    let moments: Vec<_> = requests.iter().map(|request| request.after_ms).collect();
    requests.shuffle(rng);
    for (request, after_ms) in requests.iter_mut().zip(moments) {
        request.after_ms = after_ms;
    }
}

/// Half of the requests, drawn one by one, are sent a second time, at once or at some later turn.
pub fn duplicate(requests: &mut Vec<Request>, rng: &mut impl Rng) {
    let mut copies = Vec::new();
    for (turn, request) in requests.iter().enumerate() {
        if rng.random_bool(0.5) {
            copies.push((rng.random_range(turn..requests.len()), request.clone()));
        }
    }
    // From the back, so that what is inserted does not move the turns that are still to come.
    copies.sort_by_key(|(turn, _)| std::cmp::Reverse(*turn));
    for (turn, mut copy) in copies {
        copy.after_ms = requests.get(turn).map_or(copy.after_ms, |at| at.after_ms);
        requests.insert(turn + 1, copy);
    }
}

/// Loses every request that brings this `CallStatus`.
pub fn lose(requests: &mut Vec<Request>, status: &str) {
    requests.retain(|request| request.status() != status);
}
