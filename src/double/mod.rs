//! A Twilio double: for tests, for the demonstration, and for anybody's own tests.
//!
//! [`Double`] is a Twilio without a network and without a clock. It holds accounts, numbers, apps and calls; it is told
//! what time it is and asked what it would send ([`Double::due`]) and what its REST API would answer ([`Double::ask`]).
//! All that is random comes from one seed, so the same seed makes the same calls and the same faults. `server` puts its
//! REST API on a port, `courier` sends its webhooks; both are thin.
//!
//! Times and sequences are Twilio's as documented: `docs/decisions/0007-a-twilio-double.md` says what the double does
//! where the documentation is silent.

pub mod account;
pub mod call;
pub mod courier;
mod dial;
pub mod fate;
pub mod network;
pub mod placing;
mod play;
pub mod post;
mod progress;
pub mod rest;
pub mod server;
mod shared;
pub mod twiml;
pub mod webhook;

pub use account::{Account, Application, Hook, PhoneNumber, Voice};
pub use call::{Call, Callback, Change, Moment};
pub use fate::{Fate, Limits};
pub use network::{Faults, Tally};
pub use placing::{PlacingFaults, Reception};
pub use play::{Caller, Line};
pub use rest::{Answer, Asked, Heard, Manner, Question};
pub use shared::Shared;
pub use webhook::{Purpose, Reply, Webhook};

use crate::domain::{
    state::Direction,
    time::{Millis, SECOND},
};
use placing::Receptions;
use play::Session;
use progress::Task;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// How a double behaves.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// How many calls per second leave the queue of an account. Twilio's default is 1.
    pub calls_per_second: u32,
    /// How many requests per second its REST API answers; others get 429. None: all.
    pub requests_per_second: Option<u32>,
    /// How many calls an account may have at once; what is beyond that is refused with 10004. None: any number.
    pub calls_at_once: Option<usize>,
    /// What requests to place a call meet.
    pub placing: PlacingFaults,
    /// By how much REST lags behind callbacks.
    pub stale_ms: Millis,
    /// What callbacks meet on their way.
    pub faults: Faults,
    /// Whether calls placed over REST ask their `Url` for TwiML.
    pub outbound: Outbound,
    /// What becomes of calls of which nothing else was said. None: a mix, drawn.
    pub fate: Option<Fate>,
    /// Makes the sids others, and changes nothing else that comes from the seed.
    pub salt: u128,
}

impl Default for Setup {
    fn default() -> Self {
        let faults = Faults::default();
        let (outbound, placing) = (Outbound::ByFate, PlacingFaults::default());
        Self {
            calls_per_second: 1,
            requests_per_second: None,
            calls_at_once: None,
            placing,
            stale_ms: 0,
            faults,
            outbound,
            fate: None,
            salt: 0,
        }
    }
}

/// What calls placed over REST do once they are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// They last as long as their fate says. No `Url` is asked: in tests it is a made-up one.
    ByFate,
    /// They do what their `Url` says.
    ByTwiml,
}

/// How the REST API is out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Every request is answered with this status, such as 503.
    Status(u16),
    /// No request is answered.
    Silence,
}

/// A call to be placed.
#[derive(Clone, Debug)]
pub struct Order {
    /// Whose it is.
    pub account_sid: String,
    /// Who is called.
    pub to: String,
    /// Who calls.
    pub from: String,
    /// Who is told.
    pub callback: Option<Callback>,
    /// Where it asks what to do once it is answered. None: its fate says all.
    pub twiml: Option<Hook>,
    /// Who is told, while it goes on, what the machine detection found.
    pub amd: Option<Hook>,
    /// What limits it.
    pub limits: Limits,
    /// What becomes of it. None: what [`Double::expect_fate`] said of the number, else [`Setup::fate`].
    pub fate: Option<Fate>,
    /// Which of its callbacks never arrive, whatever the faults are.
    pub loses: BTreeSet<Moment>,
}

impl Order {
    /// A call nobody is told of.
    pub fn new(account_sid: &str, from: &str, to: &str) -> Self {
        let (account_sid, to, from) = (account_sid.to_owned(), to.to_owned(), from.to_owned());
        let (limits, loses) = (Limits::default(), BTreeSet::new());
        Self { account_sid, to, from, callback: None, twiml: None, amd: None, limits, fate: None, loses }
    }

    /// All four moments are posted to `url`.
    pub fn telling(mut self, url: impl Into<String>) -> Self {
        self.callback = Some(Callback::all(Hook::post(url)));
        self
    }

    /// Once it is answered it does what this URL says, until the far end hangs up.
    pub fn following(mut self, url: impl Into<String>) -> Self {
        self.twiml = Some(Hook::post(url));
        self
    }

    /// This becomes of it.
    pub fn going(mut self, fate: Fate) -> Self {
        self.fate = Some(fate);
        self
    }

    /// The callbacks of these moments are lost.
    pub fn losing(mut self, moments: impl IntoIterator<Item = Moment>) -> Self {
        self.loses.extend(moments);
        self
    }
}

/// A Twilio without a network and without a clock.
#[derive(Debug)]
pub struct Double {
    setup: Setup,
    rng: StdRng,
    accounts: BTreeMap<String, Account>,
    numbers: Vec<PhoneNumber>,
    applications: Vec<Application>,
    /// In the order they came into being.
    calls: Vec<Call>,
    by_sid: HashMap<String, usize>,
    /// The legs that follow TwiML.
    sessions: HashMap<String, Session>,
    fates: HashMap<String, Fate>,
    receptions: Receptions,
    outage: Option<Outage>,
    /// What happens when; tasks of one moment in the order they were thought of.
    agenda: BTreeMap<(Millis, u64), Task>,
    turns: u64,
    /// What is due and was not handed out yet.
    ready: Vec<Webhook>,
    /// What was handed out to be sent and was not answered yet.
    open: HashMap<u64, Webhook>,
    /// When the queue of an account lets the next call go.
    queues: HashMap<String, Millis>,
    /// The latest requests.
    heard: VecDeque<Heard>,
    /// How many there were.
    questions: Asked,
    /// The second that is being counted, and how many requests it saw, by account.
    asked: HashMap<String, (Millis, u32)>,
    tally: Tally,
}

impl Double {
    /// An empty one. The same seed, told the same things at the same times, does the same.
    pub fn new(setup: Setup, seed: u64) -> Self {
        Self {
            setup,
            rng: StdRng::seed_from_u64(seed),
            accounts: BTreeMap::new(),
            numbers: Vec::new(),
            applications: Vec::new(),
            calls: Vec::new(),
            by_sid: HashMap::new(),
            sessions: HashMap::new(),
            fates: HashMap::new(),
            receptions: Receptions::new(StdRng::seed_from_u64(seed ^ RECEPTIONS)),
            outage: None,
            agenda: BTreeMap::new(),
            turns: 0,
            ready: Vec::new(),
            open: HashMap::new(),
            queues: HashMap::new(),
            heard: VecDeque::new(),
            questions: Asked::default(),
            asked: HashMap::new(),
            tally: Tally::default(),
        }
    }

    /// Opens an account, or changes it.
    pub fn add_account(&mut self, account: Account) {
        self.accounts.insert(account.sid.clone(), account);
    }

    /// Gives an account a number.
    pub fn add_number(&mut self, number: PhoneNumber) {
        self.numbers.push(number);
    }

    /// Gives an account a TwiML app.
    pub fn add_application(&mut self, application: Application) {
        self.applications.push(application);
    }

    /// How it behaves from here on.
    pub const fn setup_mut(&mut self) -> &mut Setup {
        &mut self.setup
    }

    /// From here on REST is out of order, or in order again.
    pub const fn set_outage(&mut self, outage: Option<Outage>) {
        self.outage = outage;
    }

    /// What becomes of every further call to this address.
    pub fn expect_fate(&mut self, to: &str, fate: Fate) {
        self.fates.insert(to.to_owned(), fate);
    }

    /// Places a call, as `POST /Calls` does; answers its sid. It is dialed when its turn in the account's queue comes.
    pub fn place(&mut self, order: Order, now_ms: Millis) -> String {
        let gap_ms = SECOND / Millis::from(self.setup.calls_per_second.max(1));
        let next_ms = self.queues.entry(order.account_sid.clone()).or_default();
        let start_ms = (*next_ms).max(now_ms + DIAL_AFTER_MS);
        *next_ms = start_ms + gap_ms;
        let mut call = self.new_call(&order.account_sid, &order.from, &order.to, Direction::OutboundApi);
        call.callback = order.callback;
        call.twiml = order.twiml;
        call.amd = order.amd;
        call.loses = order.loses;
        call.phone_number_sid = self.number_sid(&order.account_sid, &order.from);
        let fate = order.fate.unwrap_or_else(|| self.fate_of(&order.to, &mut call.rng));
        let script = fate::script(fate, now_ms, start_ms, order.limits, &mut call.rng);
        self.begin(call, now_ms, Change::Queued, script)
    }

    /// A call as it is, with all that happened to it; nothing is reported of it. For tests that begin in the middle.
    pub fn add_call(&mut self, order: Order, changes: Vec<(Millis, Change)>) -> String {
        let mut call = self.new_call(&order.account_sid, &order.from, &order.to, Direction::OutboundApi);
        call.callback = order.callback;
        call.changes = changes;
        self.keep(call)
    }

    /// The same, with a sid that somebody else has told of it already.
    pub fn add_call_as(&mut self, sid: &str, order: Order, changes: Vec<(Millis, Change)>) {
        let mut call = self.new_call(&order.account_sid, &order.from, &order.to, Direction::OutboundApi);
        sid.clone_into(&mut call.sid);
        call.callback = order.callback;
        call.changes = changes;
        self.keep(call);
    }

    /// A call by its sid.
    pub fn call(&self, sid: &str) -> Option<&Call> {
        self.calls.get(*self.by_sid.get(sid)?)
    }

    /// The same, to be changed.
    pub fn call_mut(&mut self, sid: &str) -> Option<&mut Call> {
        self.calls.get_mut(*self.by_sid.get(sid)?)
    }

    /// All calls, oldest first.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// The latest requests its REST API heard, oldest first; the names of their parameters, not the values.
    pub fn heard(&self) -> impl Iterator<Item = &Heard> {
        self.heard.iter()
    }

    /// How often its REST API was asked so far.
    pub const fn asked(&self) -> Asked {
        self.questions
    }

    /// What was sent so far.
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// A sid that nothing has yet.
    pub fn new_sid(&mut self, prefix: &str) -> String {
        format!("{prefix}{:032x}", self.rng.random::<u128>() ^ self.setup.salt)
    }

    fn fate_of(&self, to: &str, rng: &mut StdRng) -> Fate {
        self.fates.get(to).copied().or(self.setup.fate).unwrap_or_else(|| Fate::draw(rng))
    }

    fn number_sid(&self, account_sid: &str, number: &str) -> Option<String> {
        let of_account = |n: &&PhoneNumber| n.account_sid == account_sid && n.phone_number == number;
        self.numbers.iter().find(of_account).map(|n| n.sid.clone())
    }

    fn new_call(&mut self, account_sid: &str, from: &str, to: &str, direction: Direction) -> Call {
        Call {
            sid: self.new_sid("CA"),
            account_sid: account_sid.to_owned(),
            parent_sid: None,
            from: from.to_owned(),
            to: to.to_owned(),
            direction,
            phone_number_sid: None,
            callback: None,
            twiml: None,
            amd: None,
            changes: Vec::new(),
            exchanges: Vec::new(),
            warnings: Vec::new(),
            fired: 0,
            accepted: 0,
            ending_taken: false,
            ending_lost: false,
            loses: BTreeSet::new(),
            script: 0,
            rng: StdRng::seed_from_u64(self.rng.next_u64()),
            held: Vec::new(),
        }
    }

    fn keep(&mut self, call: Call) -> String {
        let sid = call.sid.clone();
        self.by_sid.insert(sid.clone(), self.calls.len());
        self.calls.push(call);
        sid
    }
}

/// Makes what requests meet independent of what becomes of calls.
const RECEPTIONS: u64 = 0x7265_6365_6976_6564;
/// From the request to the first digit, where nobody is before it in the queue.
const DIAL_AFTER_MS: Millis = 200;
