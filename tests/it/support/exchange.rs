//! A provider whose answers a test decides, job by job, and the lines of processes to it.

use onhook::{
    domain::{
        id::Leg,
        signal::{Claim, Field, Signal, Witness},
        state::Live,
    },
    provider::{Answer as Told, Asked, Dialer, Exchange, Found, Order, Placed, Reach, Trouble, TroubleKind},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::sync::watch;

pub const ACCOUNT: &str = "AC00000000000000000000000000000001";

/// What the provider does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Makes the call and says so.
    Accepted,
    /// Refuses this call.
    Refused,
    /// Takes no calls now.
    NotNow(TroubleKind),
    /// Makes the call; nobody hears of it.
    LostWithCall,
    /// The request never arrives, and that cannot be known.
    LostWithoutCall,
    /// Makes the call at once, and says so when the gate opens.
    Slow,
    /// Says that it takes no calls when the gate opens.
    SlowNotNow,
    /// Refuses this call when the gate opens.
    SlowRefused,
    /// Makes no call, and never answers.
    Never,
    /// Makes the call, and never answers.
    NeverWithCall,
    /// The dialer breaks.
    Panics,
}

/// A call as the provider has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub provider_id: String,
    pub job_id: String,
    pub attempt: i64,
    pub to: String,
    pub is_over: bool,
    pub hung_up: usize,
}

/// The provider: one for all processes of a test. Clones share it.
#[derive(Clone)]
pub struct Script(Arc<Shared>);

struct Shared {
    world: Mutex<World>,
    gate: watch::Sender<bool>,
}

struct World {
    fate: Box<dyn Fn(&Order) -> Fate + Send>,
    /// Requests that arrived, or may have: job and attempt.
    requests: Vec<(String, i64)>,
    calls: BTreeMap<String, Call>,
    timeout: Duration,
    /// Why it cannot be asked for calls, or be told to end one.
    trouble: Option<Trouble>,
    hangups: usize,
    finds: usize,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

impl Default for Script {
    fn default() -> Self {
        let world = World {
            fate: Box::new(|_| Fate::Accepted),
            requests: Vec::new(),
            calls: BTreeMap::new(),
            timeout: Duration::from_secs(8),
            trouble: None,
            hangups: 0,
            finds: 0,
        };
        Self(Arc::new(Shared { world: Mutex::new(world), gate: watch::Sender::new(false) }))
    }
}

impl Script {
    fn world(&self) -> MutexGuard<'_, World> {
        // Scripted panics happen outside of it.
        self.0.world.lock().unwrap()
    }

    /// What becomes of each request from here on.
    pub fn answering(&self, fate: impl Fn(&Order) -> Fate + Send + 'static) {
        self.world().fate = Box::new(fate);
    }

    /// Whoever is slow answers.
    pub fn open(&self) {
        self.0.gate.send_replace(true);
    }

    pub fn time_out_after(&self, timeout: Duration) {
        self.world().timeout = timeout;
    }

    /// It cannot be asked, or told to end a call.
    pub fn in_trouble(&self, kind: Option<TroubleKind>) {
        self.world().trouble = kind.map(trouble);
    }

    pub fn requests(&self) -> Vec<(String, i64)> {
        self.world().requests.clone()
    }

    pub fn calls(&self) -> Vec<Call> {
        self.world().calls.values().cloned().collect()
    }

    /// The calls of a job, in the order of their attempts.
    pub fn calls_of(&self, job_id: &str) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| call.job_id == job_id);
        calls.sort_by_key(|call| call.attempt);
        calls
    }

    /// How often a call was to be ended.
    pub fn hangups(&self) -> usize {
        self.world().hangups
    }

    /// How often it was asked for a call whose answer was lost.
    pub fn finds(&self) -> usize {
        self.world().finds
    }

    /// A call of somebody else.
    pub fn add_call(&self, provider_id: &str, to: &str) {
        let call = Call {
            provider_id: provider_id.to_owned(),
            job_id: String::new(),
            attempt: 0,
            to: to.to_owned(),
            is_over: false,
            hung_up: 0,
        };
        self.world().calls.insert(provider_id.to_owned(), call);
    }

    /// A call is over for the provider.
    pub fn end(&self, provider_id: &str) {
        self.world().calls.get_mut(provider_id).expect("the provider has the call").is_over = true;
    }

    /// That nobody was called twice for one attempt, whatever happened.
    pub fn never_twice(&self) {
        let mut made: BTreeMap<(String, i64), Vec<String>> = BTreeMap::new();
        for call in self.calls().into_iter().filter(|call| !call.job_id.is_empty()) {
            made.entry((call.job_id, call.attempt)).or_default().push(call.provider_id);
        }
        let twice: Vec<_> = made.into_iter().filter(|(_, calls)| calls.len() > 1).collect();
        assert!(twice.is_empty(), "called twice: {twice:?}");
    }

    fn make(&self, order: &Order) -> String {
        let mut world = self.world();
        let provider_id = format!("CA{:032x}", world.calls.len() + 1);
        let call = Call {
            provider_id: provider_id.clone(),
            job_id: order.job_id.clone(),
            attempt: order.attempt,
            to: order.to.clone(),
            is_over: false,
            hung_up: 0,
        };
        world.calls.insert(provider_id.clone(), call);
        provider_id
    }

    async fn opened(&self) {
        self.0.gate.subscribe().wait_for(|open| *open).await.unwrap();
    }

    async fn place(&self, order: &Order) -> Placed {
        let fate = {
            let mut world = self.world();
            world.requests.push((order.job_id.clone(), order.attempt));
            (world.fate)(order)
        };
        match fate {
            Fate::Accepted => Placed::Accepted(self.make(order)),
            Fate::Refused => Placed::Refused("the number is not valid".to_owned()),
            Fate::NotNow(kind) => Placed::NotNow(trouble(kind)),
            Fate::LostWithCall => {
                self.make(order);
                Placed::Lost("the connection broke".to_owned())
            }
            Fate::LostWithoutCall => Placed::Lost("the connection broke".to_owned()),
            Fate::Slow => {
                let provider_id = self.make(order);
                self.opened().await;
                Placed::Accepted(provider_id)
            }
            Fate::SlowNotNow => {
                self.opened().await;
                Placed::NotNow(trouble(TroubleKind::TooMany))
            }
            Fate::SlowRefused => {
                self.opened().await;
                Placed::Refused("the number is not valid".to_owned())
            }
            Fate::Never => std::future::pending().await,
            Fate::NeverWithCall => {
                self.make(order);
                std::future::pending().await
            }
            Fate::Panics => panic!("as the test wants it"),
        }
    }
}

impl Dialer for Script {
    fn timeout(&self) -> Duration {
        self.world().timeout
    }

    fn place<'a>(&'a self, order: &'a Order) -> Told<'a, Placed> {
        Box::pin(Script::place(self, order))
    }

    /// As Twilio: by the number, because a queued call says nothing else.
    fn find<'a>(&'a self, order: &'a Order, claimed: &'a (dyn Fn(&str) -> bool + Send + Sync)) -> Asked<'a, Found> {
        Box::pin(async move {
            self.world().finds += 1;
            if let Some(trouble) = self.world().trouble.clone() {
                return Err(trouble);
            }
            let calls = self.calls();
            let mut those = calls.iter().filter(|call| call.to == order.to && !claimed(&call.provider_id));
            Ok(match (those.next(), those.next()) {
                (Some(call), None) => Found::Call(Box::new(found(call))),
                (None, _) => Found::Unclear("the provider has no such call".to_owned()),
                (Some(_), Some(_)) => Found::Unclear("several calls could be it".to_owned()),
            })
        })
    }

    fn hang_up<'a>(&'a self, provider_id: &'a str) -> Asked<'a, bool> {
        Box::pin(async move {
            let mut world = self.world();
            world.hangups += 1;
            if let Some(trouble) = world.trouble.clone() {
                return Err(trouble);
            }
            let call = world.calls.get_mut(provider_id).expect("the provider has the call");
            call.hung_up += 1;
            Ok(!std::mem::replace(&mut call.is_over, true))
        })
    }
}

fn found(call: &Call) -> Signal {
    let leg = Leg { provider_id: call.provider_id.clone(), account: ACCOUNT.to_owned() };
    let details = [(Field::To, call.to.as_str()), (Field::Direction, "outbound-api")];
    Signal {
        leg,
        witness: Witness::Reconciled,
        claim: Claim::Live(Live::Queued),
        at: None,
        sequence: None,
        details: details.into_iter().map(|(field, text)| (field, text.to_owned())).collect(),
        link: None,
        received_ms: 0,
    }
}

pub fn trouble(kind: TroubleKind) -> Trouble {
    Trouble { kind, detail: format!("place calls: {}", kind.as_str()) }
}

/// How a process reaches the provider.
#[derive(Clone, Debug, Default)]
pub enum Way {
    /// By itself.
    #[default]
    Here,
    /// Another one does.
    Elsewhere,
    /// Nobody can.
    Trouble(TroubleKind),
}

/// The line of one process to the provider. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    pub script: Script,
    way: Arc<Mutex<Way>>,
}

impl Lines {
    pub fn to(script: &Script) -> Self {
        Self { script: script.clone(), way: Arc::default() }
    }

    pub fn go(&self, way: Way) {
        *self.way.lock().unwrap() = way;
    }
}

impl Exchange for Lines {
    fn reach<'a>(&'a self, _tenant: &'a str, _provider: &'a str, _account: &'a str) -> Asked<'a, Reach> {
        let way = self.way.lock().unwrap().clone();
        Box::pin(async move {
            match way {
                Way::Here => Ok(Reach::Here(Arc::new(self.script.clone()))),
                Way::Elsewhere => Ok(Reach::Elsewhere),
                Way::Trouble(kind) => Err(trouble(kind)),
            }
        })
    }
}
