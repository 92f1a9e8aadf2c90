//! What will become of a call: its fate as steps in time.

use crate::domain::{state::Outcome, time::Millis};

/// A call to be made.
#[derive(Clone, Debug)]
pub struct Order {
    /// The phone that calls; for an originated call the one that is rung first.
    pub from: String,
    /// What it dials.
    pub to: String,
    /// What becomes of it.
    pub fate: Fate,
    /// For how long phones ring before they do what they do.
    pub ring_ms: Millis,
    /// The lead that the dialplan names in `ONHOOK_LEAD`.
    pub lead: Option<String>,
    /// The `ChannelId` a program gave it, if a program asked for it.
    pub channel_id: Option<String>,
    /// The number that program shows to both, in place of the phone's own.
    pub caller_id: Option<String>,
    /// What that program dialed, where it is not the phone's own name: `15557654321@trunk`.
    pub dialed: Option<String>,
    /// The variables that program gave it.
    pub variables: Vec<(String, String)>,
}

impl Order {
    /// A phone calls a number.
    pub fn new(from: &str, to: &str, fate: Fate) -> Self {
        let (from, to) = (from.to_owned(), to.to_owned());
        let (ring_ms, lead, channel_id, caller_id, dialed, variables) = (1_000, None, None, None, None, Vec::new());
        Self { from, to, fate, ring_ms, lead, channel_id, caller_id, dialed, variables }
    }

    /// Its phones ring for so long.
    pub const fn ringing(mut self, ring_ms: Millis) -> Self {
        self.ring_ms = ring_ms;
        self
    }

    /// The dialplan names this lead.
    pub fn about(mut self, lead: &str) -> Self {
        self.lead = Some(lead.to_owned());
        self
    }

    /// A program asks for it, and gives it this id.
    pub fn originated(mut self, channel_id: &str) -> Self {
        self.channel_id = Some(channel_id.to_owned());
        self
    }

    /// And shows this number to both.
    pub fn showing(mut self, caller_id: &str) -> Self {
        self.caller_id = Some(caller_id.to_owned());
        self
    }
}

/// Who hangs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who called.
    Caller,
    /// Who was called.
    Called,
}

/// What becomes of a call. Phones are extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Answered; one side hangs up after so long.
    Answered {
        /// For how long they talk.
        talk_ms: Millis,
        /// Who hangs up.
        by: Side,
    },
    /// The phone says busy at once.
    Busy,
    /// It says congestion at once.
    Congestion,
    /// Whoever is called declines.
    Rejected,
    /// A phone that a program rings answers, and the dialplan keeps it for so long.
    Kept {
        /// For how long.
        talk_ms: Millis,
    },
    /// What a program dials is not there: no channel is ever made.
    NoChannel,
    /// Nobody answers.
    NoAnswer,
    /// The caller hangs up while it rings.
    Canceled,
    /// The phone is not registered: no leg is made for it.
    Unregistered,
    /// Several phones ring at once.
    Group {
        /// Which.
        phones: Vec<String>,
        /// Which of them answers; nobody if none.
        answers: Option<String>,
        /// For how long they talk.
        talk_ms: Millis,
    },
    /// An announcement answers, then nobody does.
    AnnouncedNoAnswer {
        /// For how long it speaks.
        speaks_ms: Millis,
    },
    /// A queue answers, and its agents ring.
    Queue {
        /// Which.
        agents: Vec<String>,
        /// Which of them answers; nobody if none.
        answers: Option<String>,
        /// For how long they talk.
        talk_ms: Millis,
    },
    /// Answered; after half of the talk the called party transfers the caller blindly.
    BlindTransfer {
        /// To which phone, which answers.
        to: String,
        /// For how long is talked together.
        talk_ms: Millis,
    },
    /// Answered; after half of the talk the called party asks a third one, and connects both.
    AttendedTransfer {
        /// Which phone, which answers.
        to: String,
        /// For how long is talked together, but for the question, which takes a ring and a second.
        talk_ms: Millis,
    },
}

/// A leg of a call, counted from 0 in the order they begin.
pub type Leg = usize;

/// One thing that happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A phone calls.
    Begin { from: String, to: String },
    /// A program has this phone rung.
    Originate { phone: String },
    /// The dialplan answers by itself.
    Pick { leg: Leg, application: &'static str },
    /// The queue takes it in.
    Join { leg: Leg },
    /// These phones are dialed, by the dialplan or by the queue.
    Dial { by: Leg, phones: Vec<String>, queue: bool },
    /// What a program dials is not there.
    Fail,
    /// The phone of a leg rings.
    Ring { leg: Leg },
    /// It answers; with `queue` the queue connects it.
    Answer { leg: Leg, queue: bool },
    /// It says no, with this cause.
    Reject { leg: Leg, cause: u8 },
    /// Nobody answered in time.
    GiveUp { by: Leg, queue: bool },
    /// The dialplan of a leg is over.
    Leave { leg: Leg, cause: u8 },
    /// Somebody in a bridge hangs up.
    HangUp { leg: Leg, queue: bool },
    /// The caller hangs up while phones ring.
    Cancel { leg: Leg },
    /// A leg in a bridge transfers the other one to this number.
    Transfer { leg: Leg, to: String },
    /// A leg in a bridge puts the other one on hold.
    Hold { leg: Leg },
    /// Two legs of one phone connect those they talk with.
    Join2 { first: Leg, second: Leg },
    /// Nothing more: this is how it ended.
    Over(Outcome),
}

/// The steps of a call, each so long after its beginning.
pub fn steps(order: &Order) -> Vec<(Millis, Step)> {
    let mut plan = Plan { at_ms: 0, steps: Vec::new() };
    let caller = match &order.channel_id {
        Some(_) => originated(&mut plan, order),
        None => {
            plan.now(Step::Begin { from: order.from.clone(), to: order.to.clone() });
            true
        }
    };
    let outcome = if caller { dialed(&mut plan, order) } else { outcome(&order.fate) };
    plan.now(Step::Over(outcome));
    plan.steps
}

/// How a call of this fate ends.
pub const fn outcome(fate: &Fate) -> Outcome {
    match fate {
        Fate::Answered { .. } | Fate::BlindTransfer { .. } | Fate::AttendedTransfer { .. } | Fate::Kept { .. } => {
            Outcome::Completed
        }
        Fate::Group { answers, .. } | Fate::Queue { answers, .. } => match answers {
            Some(_) => Outcome::Completed,
            None => Outcome::NoAnswer,
        },
        Fate::Busy => Outcome::Busy,
        Fate::Congestion | Fate::Unregistered | Fate::Rejected | Fate::NoChannel => Outcome::Failed,
        Fate::NoAnswer | Fate::AnnouncedNoAnswer { .. } => Outcome::NoAnswer,
        Fate::Canceled => Outcome::Canceled,
    }
}

/// The first phone of an originated call; whether it answers, so that the dialplan goes on.
fn originated(plan: &mut Plan, order: &Order) -> bool {
    if order.fate == Fate::NoChannel {
        plan.now(Step::Fail);
        return false;
    }
    plan.now(Step::Originate { phone: order.from.clone() });
    match order.fate {
        Fate::Rejected => plan.now(Step::Reject { leg: 0, cause: 21 }),
        Fate::Busy => plan.now(Step::Reject { leg: 0, cause: 17 }),
        Fate::Congestion => plan.now(Step::Reject { leg: 0, cause: 34 }),
        Fate::NoAnswer => {
            plan.now(Step::Ring { leg: 0 });
            plan.after(order.ring_ms, Step::GiveUp { by: 0, queue: false });
        }
        _ => {
            plan.now(Step::Ring { leg: 0 });
            plan.after(order.ring_ms, Step::Answer { leg: 0, queue: false });
            return true;
        }
    }
    false
}

/// What the dialplan does; how the call ends.
fn dialed(plan: &mut Plan, order: &Order) -> Outcome {
    let dial = |phones: &[String], queue| Step::Dial { by: 0, phones: phones.to_vec(), queue };
    let one = [order.to.clone()];
    match &order.fate {
        Fate::Answered { talk_ms, by } => {
            plan.now(dial(&one, false));
            plan.answered(1, order.ring_ms);
            plan.after(*talk_ms, Step::HangUp { leg: if *by == Side::Caller { 0 } else { 1 }, queue: false });
        }
        Fate::Kept { talk_ms } => {
            plan.now(Step::Pick { leg: 0, application: "Wait" });
            plan.after(*talk_ms, Step::Leave { leg: 0, cause: 16 });
        }
        Fate::NoChannel => {}
        Fate::Busy | Fate::Congestion | Fate::Rejected => {
            let cause = match order.fate {
                Fate::Busy => 17,
                Fate::Rejected => 21,
                _ => 34,
            };
            plan.now(dial(&one, false));
            plan.now(Step::Reject { leg: 1, cause });
            plan.now(Step::Leave { leg: 0, cause });
        }
        Fate::NoAnswer => unanswered(plan, &one, order.ring_ms, false),
        Fate::Canceled => {
            plan.now(dial(&one, false));
            plan.now(Step::Ring { leg: 1 });
            plan.after(order.ring_ms, Step::Cancel { leg: 0 });
        }
        Fate::Unregistered => plan.now(Step::Leave { leg: 0, cause: 3 }),
        Fate::AnnouncedNoAnswer { speaks_ms } => {
            plan.now(Step::Pick { leg: 0, application: "Playback" });
            plan.at_ms += speaks_ms;
            unanswered(plan, &one, order.ring_ms, false);
        }
        Fate::Group { phones, answers, talk_ms } => several(plan, order, (phones, answers.as_deref(), *talk_ms), false),
        Fate::Queue { agents, answers, talk_ms } => {
            plan.now(Step::Pick { leg: 0, application: "Queue" });
            plan.now(Step::Join { leg: 0 });
            several(plan, order, (agents, answers.as_deref(), *talk_ms), true);
        }
        Fate::BlindTransfer { to, talk_ms } => {
            plan.now(dial(&one, false));
            plan.answered(1, order.ring_ms);
            plan.after(talk_ms / 2, Step::Transfer { leg: 1, to: to.clone() });
            plan.now(dial(std::slice::from_ref(to), false));
            plan.answered(2, order.ring_ms);
            plan.after(talk_ms - talk_ms / 2, Step::HangUp { leg: 2, queue: false });
        }
        Fate::AttendedTransfer { to, talk_ms } => {
            plan.now(dial(&one, false));
            plan.answered(1, order.ring_ms);
            plan.after(talk_ms / 2, Step::Hold { leg: 1 });
            plan.now(Step::Begin { from: order.to.clone(), to: to.clone() });
            plan.now(Step::Dial { by: 2, phones: vec![to.clone()], queue: false });
            plan.answered(3, order.ring_ms);
            plan.after(QUESTION_MS, Step::Join2 { first: 1, second: 2 });
            plan.after(talk_ms - talk_ms / 2, Step::HangUp { leg: 0, queue: false });
        }
    }
    outcome(&order.fate)
}

fn unanswered(plan: &mut Plan, phones: &[String], ring_ms: Millis, queue: bool) {
    plan.now(Step::Dial { by: 0, phones: phones.to_vec(), queue });
    (1..=phones.len()).for_each(|leg| plan.now(Step::Ring { leg }));
    plan.after(ring_ms, Step::GiveUp { by: 0, queue });
    plan.now(Step::Leave { leg: 0, cause: 16 });
}

fn several(plan: &mut Plan, order: &Order, called: (&[String], Option<&str>, Millis), queue: bool) {
    let (phones, answers, talk_ms) = called;
    let Some(leg) = answers.and_then(|who| phones.iter().position(|phone| phone == who)).map(|at| at + 1) else {
        return unanswered(plan, phones, order.ring_ms, queue);
    };
    plan.now(Step::Dial { by: 0, phones: phones.to_vec(), queue });
    (1..=phones.len()).for_each(|leg| plan.now(Step::Ring { leg }));
    plan.after(order.ring_ms, Step::Answer { leg, queue });
    plan.after(talk_ms, Step::HangUp { leg, queue });
}

struct Plan {
    at_ms: Millis,
    steps: Vec<(Millis, Step)>,
}

impl Plan {
    fn now(&mut self, step: Step) {
        self.steps.push((self.at_ms, step));
    }

    fn after(&mut self, wait_ms: Millis, step: Step) {
        self.at_ms = self.at_ms.saturating_add(wait_ms.max(0));
        self.now(step);
    }

    fn answered(&mut self, leg: Leg, ring_ms: Millis) {
        self.now(Step::Ring { leg });
        self.after(ring_ms, Step::Answer { leg, queue: false });
    }
}

/// How long a transferring party asks the third one.
const QUESTION_MS: Millis = 1_000;
