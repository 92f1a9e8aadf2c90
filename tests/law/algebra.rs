//! The join of states is idempotent, commutative and associative. Pairs and triples prove that for every length.

use crate::universe::{distinct, universe};
use onhook::domain::{call::Call, signal::Signal};

fn join(a: &Call, b: &Call) -> Call {
    let mut joined = a.clone();
    joined.join(b.clone());
    joined
}

fn states() -> Vec<Call> {
    distinct().into_iter().map(|(_, state)| state).collect()
}

#[test]
fn the_universe_has_the_expected_size() {
    // A claim that is forgotten would make all other tests here weaker without a sound.
    assert_eq!((universe().len(), distinct().len()), (790, 395));
}

#[test]
fn all_pairs_commute_and_are_idempotent() {
    let states = states();
    let nothing = Call::default();
    for a in &states {
        assert_eq!(join(a, a), *a);
        assert_eq!(join(a, &nothing), *a);
        assert_eq!(join(&nothing, a), *a);
        for b in &states {
            let ab = join(a, b);
            assert_eq!(ab, join(b, a), "{a:?} with {b:?}");
            assert_eq!(join(&ab, a), ab, "{a:?} twice with {b:?}");
        }
    }
}

#[test]
fn to_absorb_is_to_join_and_nothing_more() {
    let distinct = distinct();
    for (_, known) in &distinct {
        for (signal, state) in &distinct {
            let mut call = known.clone();
            call.absorb(signal);
            assert_eq!(call, join(known, state), "{known:?} absorbs {signal:?}");
        }
    }
}

#[test]
fn sampled_triples_associate() {
    // Prime to the number of states, so that every state comes in every place.
    assert_eq!(triples_that_associate(211), 292_085);
}

/// Checks every `stride`-th triple and says how many that were.
fn triples_that_associate(stride: usize) -> usize {
    let states = states();
    let n = states.len();
    let triples = (0..n * n * n).step_by(stride);
    let count = triples.len();
    for i in triples {
        let (a, b, c) = (&states[i / (n * n)], &states[i / n % n], &states[i % n]);
        assert_eq!(join(&join(a, b), c), join(a, &join(b, c)), "{a:?}, {b:?}, {c:?}");
    }
    count
}

/// For each subset of 12 signals, whichever came last, the state is the same. By induction over the size that
/// covers all 12! orders of each draw, and those of every part of it.
#[test]
fn whichever_signal_comes_last_the_state_is_the_same() {
    let universe = universe();
    for draw in 0..DRAWS {
        let signals = draw_signals(&universe, draw);
        let injected: Vec<Call> = signals.iter().map(Call::inject).collect();
        let mut of_subset: Vec<Call> = vec![Call::default()];
        for subset in 1_usize..1 << DRAWN {
            let members = || (0..DRAWN).filter(move |i| subset >> i & 1 == 1);
            let mut ways = members().map(|last| join(&of_subset[subset & !(1 << last)], &injected[last]));
            let first = ways.next().unwrap();
            assert!(ways.all(|way| way == first), "{:#?}", members().map(|i| &signals[i]).collect::<Vec<_>>());
            of_subset.push(first);
        }
        assert_eq!(of_subset.last(), Some(&Call::fold(&signals)));
    }
}

const DRAWN: usize = 12;
const DRAWS: usize = 30;

/// Twelve signals that lie far apart in the universe, others in each draw.
fn draw_signals(universe: &[Signal], draw: usize) -> Vec<Signal> {
    let (start, stride) = (draw * 37, 61 + 2 * draw);
    (0..DRAWN).map(|i| universe[(start + i * stride) % universe.len()].clone()).collect()
}
