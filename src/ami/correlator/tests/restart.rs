//! We may be restarted between any two messages: what was stored and a channel list must be enough to go on.

use super::{
    super::{Correlator, Gap, Known},
    replay::{Capture, Run, Turn, rules},
    script::{START_MS, list},
    table::TABLE,
};
use crate::{
    ami::{Message, Snapshot, snapshot},
    domain::{
        signal::Field,
        state::{Live, Resolution, Status},
        time::Millis,
    },
};
use std::collections::BTreeMap;

/// What Asterisk would list: kept by the test from the plainest of the messages.
#[derive(Clone, Default)]
struct Pbx {
    channels: BTreeMap<String, (snapshot::Channel, Millis)>,
}

impl Pbx {
    fn read(&mut self, message: &Message, at_ms: Millis) {
        let Some(uniqueid) = message.value("Uniqueid") else { return };
        let text = |name: &str| message.value(name).map(str::to_owned);
        match message.event() {
            Some("Newchannel") => {
                let channel = snapshot::Channel {
                    name: text("Channel").unwrap(),
                    uniqueid: uniqueid.to_owned(),
                    linkedid: text("Linkedid").unwrap(),
                    caller: text("CallerIDNum"),
                    exten: text("Exten"),
                    ..snapshot::Channel::default()
                };
                self.channels.insert(uniqueid.to_owned(), (channel, at_ms));
            }
            Some("Hangup") => _ = self.channels.remove(uniqueid),
            _ => {}
        }
        let Some((channel, _)) = self.channels.get_mut(uniqueid) else { return };
        if let Some(linkedid) = text("Linkedid") {
            channel.linkedid = linkedid;
        }
        if let Some(state) = message.value("ChannelState") {
            channel.state = state.parse().unwrap();
        }
        match message.event() {
            Some("BridgeEnter") => channel.bridge = text("BridgeUniqueid"),
            Some("BridgeLeave") => channel.bridge = None,
            _ => {}
        }
    }

    fn list(&self, at_ms: Millis) -> Snapshot {
        let aged = |(channel, born_ms): &(snapshot::Channel, Millis)| snapshot::Channel {
            age_ms: Some((at_ms - born_ms) / 1_000 * 1_000),
            ..channel.clone()
        };
        Snapshot { asked_ms: at_ms, listed_ms: at_ms, channels: self.channels.values().map(aged).collect() }
    }
}

impl Correlator {
    fn is_live(&self, row: &str) -> bool {
        self.live().iter().any(|(id, _)| id == row)
    }
}

/// The rows that live, as a database would have them.
fn stored(run: &Run) -> Vec<Known> {
    let mut known = Vec::new();
    for (provider_id, (call, row)) in run.rows() {
        let live = match row.status {
            Status::Queued | Status::Initiated => Live::Initiated,
            Status::Ringing => Live::Ringing,
            Status::InProgress => Live::Answered,
            _ => continue,
        };
        let parent_id = call.detail(Field::ParentId).map(str::to_owned);
        if parent_id.is_some() || call.detail(Field::MergedInto).is_none() {
            let (answered_ms, created_ms) = (row.answered_at_ms, row.created_at_ms);
            let direction = call.detail(Field::Direction).and_then(|direction| direction.parse().ok());
            known.push(Known { provider_id, parent_id, direction, live, answered_ms, created_ms });
        }
    }
    known
}

/// Restarts at each message; what comes of it.
fn restarted(capture: &Capture) -> Vec<(usize, Run, Run)> {
    let mut runs = Vec::new();
    let (mut run, mut pbx) = (Run::new(), Pbx::default());
    for (position, turn) in capture.turns.iter().enumerate() {
        run.take(turn);
        let Turn::Message(message, at_ms) = turn else { continue };
        pbx.read(message, *at_ms);
        if !super::super::matters(message) {
            continue;
        }
        let mut again = Run { correlator: Correlator::new(rules()), ..run.clone() };
        again.correlator.restore(stored(&run));
        again.take(&Turn::Connected(*at_ms));
        let gap = Gap { heard_ms: Some(*at_ms), restarted_ms: None };
        again.take(&Turn::Resync(pbx.list(*at_ms), gap));
        for later in &capture.turns[position + 1..] {
            again.take(later);
        }
        again.pass(capture.end_ms + 60_000);
        runs.push((position, run.clone(), again));
    }
    runs
}

#[test]
fn between_any_two_messages_we_may_be_restarted() {
    for name in PLAIN {
        let capture = Capture::read(name);
        let right = Run::of(&capture).rows();
        for (position, before, after) in restarted(&capture) {
            assert!(after.correlator.live().is_empty(), "{name} at {position}");
            for (id, (_, row)) in after.rows() {
                let what = format!("{name} at {position}: {id}");
                let (_, known) = right.get(&id).unwrap_or_else(|| panic!("{what} is new"));
                let near_ms = row.ended_at_ms.unwrap_or(0) - known.ended_at_ms.unwrap_or(0);
                let seconds = row.talk_seconds.unwrap_or(-9) - known.talk_seconds.unwrap_or(-9);
                assert!(near_ms.abs() <= 1_000 && seconds.abs() <= 1, "{what} is {row:?}\n  not {known:?}");
                // An ending that was held back dies with us: then the list says that it is over, not how.
                let is_told = row.resolution == Some(Resolution::Callback);
                assert_eq!(is_told, !before.correlator.follows(&id) || before.correlator.is_live(&id), "{what}");
                let is_same = row.status == known.status;
                assert!(is_same || (!is_told && row.status == Status::NoAnswer), "{what} is {row:?}\n  not {known:?}");
            }
        }
    }
}

/// The connection is gone for some messages, then a list comes: whatever was in them.
#[test]
fn any_stretch_of_messages_may_be_missed() {
    let mut tried = 0;
    for (name, _) in TABLE.iter().filter(|(name, _)| !name.starts_with("cut_") && !name.contains("restart")) {
        let capture = Capture::read(name);
        let right = Run::of(&capture).rows();
        let matters = |turn: &Turn| matches!(turn, Turn::Message(message, _) if super::super::matters(message));
        let turns: Vec<&Turn> =
            capture.turns.iter().filter(|turn| matters(turn) || matches!(turn, Turn::Connected(_))).collect();
        for (from, missed) in (0..turns.len()).step_by(2).flat_map(|from| [1, 8, 40].map(|missed| (from, missed))) {
            let (mut run, mut pbx) = (Run::new(), Pbx::default());
            let to = from + missed;
            for (position, turn) in turns.iter().enumerate() {
                let Turn::Message(message, at_ms) = turn else { continue };
                if position == to && from > 0 {
                    run.take(&Turn::Disconnected);
                    let heard_ms = Some(run.now_ms);
                    run.take(&Turn::Connected(*at_ms));
                    run.take(&Turn::Resync(pbx.list(*at_ms), Gap { heard_ms, restarted_ms: None }));
                }
                pbx.read(message, *at_ms);
                if position < from || position >= to {
                    run.take(turn);
                }
            }
            if to >= turns.len() {
                let heard_ms = Some(run.now_ms);
                run.take(&Turn::Connected(capture.end_ms));
                run.take(&Turn::Resync(pbx.list(capture.end_ms), Gap { heard_ms, restarted_ms: None }));
            }
            run.pass(capture.end_ms + 60_000);
            tried += 1;
            let what = format!("{name} without {from}..{to}");
            assert!(run.correlator.live().is_empty(), "{what}: {:?}", run.correlator.live());
            for (id, (_, row)) in run.rows() {
                assert!(row.status.is_ended(), "{what}: {id} is {}", row.status);
                let (_, known) = right.get(&id).unwrap_or_else(|| panic!("{what}: {id} is new"));
                // A queue says CANCEL after NOANSWER: who hears only the second believes it.
                let is_second_word = *name == "queue_timeout" && row.status == Status::Canceled;
                let is_same = row.status == known.status || row.status == Status::NoAnswer || is_second_word;
                assert!(is_same, "{what}: {id} is {}, not {}", row.status, known.status);
                // An estimated end is read from the answer on. The list of this test learns of a merge as late as the
                // messages say it; and of an agent who was met Up nobody knows how long the customer rang.
                let is_more = row.talk_seconds > known.talk_seconds.map(|seconds| seconds + 1);
                let is_known = !["attended_transfer", "originate_second_leg_no_answer"].contains(name);
                assert!(!is_more || row.estimated || !is_known, "{what}: {id} talks {:?}", row.talk_seconds);
            }
        }
    }
    assert!(tried > 500, "{tried}");
}

/// It rang when we stopped; now it is in an application, and nobody else was dialed.
#[test]
fn an_originated_call_that_is_answered_while_we_are_away_is_answered() {
    let mut before = Run::started();
    before.hear(
        "0 Newchannel c=PJSIP/trunk-1 s=0 u=a l=a num=15551230000
         1 DialBegin dc=PJSIP/trunk-1 ds=0 du=a dl=a DialString=15551230000@trunk
         2 Newstate c=PJSIP/trunk-1 s=5 u=a l=a",
    );
    let mut run = Run { correlator: Correlator::new(rules()), ..before.clone() };
    run.correlator.restore(stored(&before));
    run.take(&Turn::Connected(START_MS + 20_000));
    let gap = Gap { heard_ms: Some(START_MS + 5_000), restarted_ms: None };
    run.said.extend(run.correlator.resync(&list(20_000, &["a a PJSIP/trunk-1 6 -"]), gap));
    run.hear("30000 Hangup c=PJSIP/trunk-1 s=6 u=a l=a Cause=16");
    assert_eq!(run.came_to().len(), 1);
    let (_, row) = &run.rows()["a"];
    assert_eq!((row.status, row.answered_at_ms), (Status::Completed, Some(START_MS + 20_000)));
}

/// Who stops in order tells what it holds back.
#[test]
fn who_stops_holds_nothing_back() {
    for name in PLAIN {
        let capture = Capture::read(name);
        let right = Run::of(&capture).lines();
        let mut run = Run::new();
        for turn in &capture.turns {
            run.take(turn);
        }
        let now = run.correlator.close();
        run.said.extend(now);
        assert_eq!(run.lines(), right, "{name}");
        assert!(run.correlator.close().is_empty() && run.correlator.wake_at_ms().is_none(), "{name}");
    }
}

/// Scenarios in which what is stored and listed is all that matters.
const PLAIN: [&str; 12] = [
    "answered_caller_hangs_up",
    "answered_callee_hangs_up",
    "busy_486",
    "no_answer_timeout",
    "congestion_503",
    "failed_404",
    "caller_cancels_ringing",
    "parallel_ring_one_answers",
    "queue_answered",
    "hold_unhold",
    "trunk_in_answered",
    "originate_click_to_call",
];
