//! Processes that hold PBXs, whose lines a test feeds by hand.

use crate::support::{
    database::{Place, TestDatabase},
    gateway::{START_MS, config},
};
use onhook::{
    ami::{
        Action, Channel, Message, Snapshot,
        client::{Answer, AskError, Chance, Down, DownKind, Target, Told, Up},
        correlator::Heard,
    },
    app,
    clock::{Clock, ManualClock},
    directory::{Account, ApiKey, Directory, Overlays},
    domain::state::Outcome,
    ingest::{self, Ingest},
    pbx::{Asking, Connect, Far, Line, LineFigures, Pace, Parts, PbxRules, Pbxs},
    seal::Sealer,
    store::{
        Db,
        calls::{self, CallRow},
        pbx::{self, PbxRow},
        tenants,
    },
    telemetry::Metrics,
};
use rand::{SeedableRng, rngs::StdRng};
use std::{
    future::{Future, ready},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

pub use super::told::*;

pub const TENANT: &str = "default";
/// A PBX with an address, one that only pushes, and one whose secret cannot be opened.
pub const PBX: &str = "pbx1";
pub const PUSHES: &str = "pbx2";
pub const LOCKED: &str = "pbx3";
/// The caller's channel, which names the call, and the one it dials.
pub const CALL: &str = "1700000000.1";
pub const LEG: &str = "1700000000.2";

/// A process that holds PBXs.
pub struct Node {
    pub pbxs: Pbxs,
    pub db: Db,
    pub directory: Arc<Directory>,
    pub ingest: Ingest,
    pub metrics: Metrics,
    pub clock: ManualClock,
    pub lines: Lines,
    pub stop: CancellationToken,
    running: Option<JoinHandle<()>>,
}

/// The lines that were opened, in order.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<Mutex<Vec<Fed>>>);

/// What was asked, and where its answer is waited for.
type Question = (Action, oneshot::Sender<Result<Answer, AskError>>);

/// A line that the test feeds.
#[derive(Clone, Debug)]
pub struct Fed {
    told: mpsc::Sender<Told>,
    pub closed: CancellationToken,
    pub target: Target,
    pub lists: Arc<AtomicUsize>,
    pub figures: Arc<Mutex<LineFigures>>,
    /// What it was asked to do, and where the answers go.
    pub asked: Arc<Mutex<Vec<Question>>>,
}

impl Connect for Lines {
    fn connect(&self, target: Target, stop: CancellationToken) -> Line {
        let (told, heard) = mpsc::channel(10_000);
        let (lists, figures, asked) = (Arc::default(), Arc::default(), Arc::default());
        let fed = Fed { told, closed: stop, target, lists, figures, asked };
        self.0.lock().unwrap().push(fed.clone());
        Line { told: heard, far: Box::new(fed) }
    }
}

impl Far for Fed {
    fn list(&self) {
        self.lists.fetch_add(1, Ordering::SeqCst);
    }

    fn ask(&self, action: Action, chance: Chance) -> Asking {
        let asked = self.asked.clone();
        Box::pin(async move {
            let name = action.name();
            let away = || AskError::Away { action: name, why: "nobody asks".to_owned() };
            if !chance.take() {
                return Err(away());
            }
            let (answer, answered) = oneshot::channel();
            asked.lock().unwrap().push((action, answer));
            answered.await.unwrap_or_else(|_| Err(AskError::Unanswered { action: name, why: "it is cut".to_owned() }))
        })
    }

    fn figures(&self) -> LineFigures {
        *self.figures.lock().unwrap()
    }

    fn ended(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(ready(()))
    }
}

/// Makes of each async function that takes a [`TestDatabase`] and a [`Node`] on it two tests.
macro_rules! on_both_nodes {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let at = $crate::support::database::TestDatabase::sqlite().await;
                let node = $crate::pbx::scene::Node::on(&at, 1).await;
                super::$name(at, node).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let at = $crate::support::database::TestDatabase::postgres().await;
                let node = $crate::pbx::scene::Node::on(&at, 1).await;
                super::$name(at, node).await;
            }
        }
    )+};
}
pub(crate) use on_both_nodes;

/// Long enough for an answer that comes.
const PLACE_WITHIN: Duration = Duration::from_secs(2);
/// Fast, so that no test waits; leases last as long as they do.
pub const PACE: Pace = Pace {
    look: Duration::from_millis(20),
    lease: Duration::from_secs(15),
    renew: Duration::from_millis(20),
    beat: Duration::from_millis(5),
    again: Duration::from_millis(20),
    waiting_max: 1_000,
};

impl Node {
    /// A process on this database; `seed` makes it another one.
    pub async fn on(at: &TestDatabase, seed: u64) -> Self {
        Self::with(&at.place, seed, PACE, ManualClock::new(START_MS)).await
    }

    pub async fn with(place: &Place, seed: u64, pace: Pace, clock: ManualClock) -> Self {
        let db = place.open().await.unwrap();
        let mut tx = db.begin().await.unwrap();
        tenants::ensure_default(&mut tx, START_MS).await.unwrap();
        tx.commit().await.unwrap();
        let metrics = Metrics::new();
        let rules = app::rules(&config("sqlite://nowhere.db", &[]));
        let rng = StdRng::seed_from_u64(seed);
        let parts = ingest::Parts { db: db.clone(), clock: clock.shared(), rng, rules, metrics: metrics.clone() };
        let (ingest, writer) = Ingest::new(parts);
        tokio::spawn(writer.run());
        let sealer = Sealer::from_base64(&format!("{}=", "A".repeat(43)).into()).unwrap();
        let address = Some("ami://pbx.example.com:5038");
        let locked = Account { api_keys: Vec::new(), ..account(LOCKED, address) };
        let accounts = vec![account(PBX, address), account(PUSHES, None), locked];
        let overlays = Overlays { accounts, key: None };
        let directory = Arc::new(Directory::new(db.clone(), clock.shared(), sealer, overlays));
        let lines = Lines::default();
        let pbxs = Pbxs::new(Parts {
            db: db.clone(),
            clock: clock.shared(),
            rng: StdRng::seed_from_u64(seed),
            ingest: ingest.clone(),
            directory: directory.clone(),
            metrics: metrics.clone(),
            connect: Box::new(lines.clone()),
            rules: PbxRules {
                if_answered: Outcome::Completed,
                region: Some("US".into()),
                configured_ca: None,
                place_within: PLACE_WITHIN,
            },
            pace,
        });
        let stop = CancellationToken::new();
        Self { pbxs, db, directory, ingest, metrics, clock, lines, stop, running: None }
    }

    /// Lets it look for PBXs by itself.
    pub fn start(&mut self) {
        self.running = Some(tokio::spawn(self.pbxs.clone().run(self.stop.clone())));
    }

    /// Stops softly and waits for the end.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.running.take().expect("it was started").await.unwrap();
    }

    /// What a process is that hangs: another one has taken its PBX, and died. Nothing of it is written from here on.
    pub async fn die(&self, line: &Fed) {
        let mut tx = self.db.begin().await.unwrap();
        let row = pbx::find(&mut tx, TENANT, PBX).await.unwrap().unwrap().row;
        assert!(pbx::release(&mut tx, &row).await.unwrap());
        let (holder, state) = ("another", "connecting");
        let claim = pbx::Claim { tenant: TENANT, account: PBX, holder, lease_ms: 60_000, state, now_ms: 1 };
        assert!(pbx::claim(&mut tx, claim).await.unwrap().is_some());
        tx.commit().await.unwrap();
        until("its line is dropped", async || line.closed.is_cancelled()).await;
        expire(&self.db, PBX).await;
    }

    /// Looks for PBXs, and answers the line that it opened.
    pub async fn listen(&self) -> Fed {
        let before = self.lines.count();
        self.pbxs.tick().await.unwrap();
        self.line(before).await
    }

    /// The line with this number, once it is opened.
    pub async fn line(&self, number: usize) -> Fed {
        until("a line is opened", async || self.lines.count() > number).await;
        self.lines.0.lock().unwrap()[number].clone()
    }

    /// The same, connected, with these channels alive.
    pub async fn hear(&self, channels: Vec<Channel>) -> Fed {
        let line = self.listen().await;
        line.up(&self.clock, None).await;
        line.listed(&self.clock, channels).await;
        self.until_state("connected").await;
        line
    }

    pub fn clock_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Waits until its lease was renewed twice from here on: what was known before was written.
    pub async fn renewed(&self) {
        for _ in 0..2 {
            let before = self.row().await.lease_until_ms;
            until("it is renewed", async || self.row().await.lease_until_ms > before).await;
        }
    }

    pub async fn row(&self) -> PbxRow {
        pbx::find(&self.db, TENANT, PBX).await.unwrap().unwrap().row
    }

    pub async fn until_state(&self, state: &str) {
        until(state, async || self.row().await.state == state).await;
    }

    pub async fn find(&self, id: &str) -> Option<CallRow> {
        calls::find(&self.db, TENANT, id, None).await.unwrap().into_iter().next()
    }

    pub async fn call(&self, id: &str) -> CallRow {
        self.find(id).await.unwrap_or_else(|| panic!("there is no call {id}"))
    }

    pub async fn until_status(&self, id: &str, status: &str) -> CallRow {
        until(&format!("{id} is {status}"), async || self.find(id).await.is_some_and(|call| call.status == status))
            .await;
        self.call(id).await
    }
}

impl Lines {
    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Fed {
    pub async fn tell(&self, told: Told) {
        self.told.send(told).await.unwrap();
    }

    /// Logged in now; `boot_ms`: since when it runs.
    pub async fn up(&self, clock: &ManualClock, boot_ms: Option<i64>) {
        let (ami_version, version) = ("5.0.4".to_owned(), Some("16.28.0".to_owned()));
        let (system_name, clock_ahead_ms) = (Some("lab".to_owned()), 0);
        let login_ms = clock.now_ms();
        self.tell(Told::Up(Up { login_ms, ami_version, version, system_name, boot_ms, clock_ahead_ms })).await;
    }

    pub async fn listed(&self, clock: &ManualClock, channels: Vec<Channel>) {
        let (asked_ms, listed_ms) = (clock.now_ms(), clock.now_ms());
        self.tell(Told::Listed(Snapshot { asked_ms, listed_ms, channels })).await;
    }

    pub async fn down(&self, kind: DownKind, heard_ms: Option<i64>) {
        let detail = "connect to pbx.example.com:5038: nobody answers".to_owned();
        self.tell(Told::Down(Down { kind, detail, heard_ms, retry_ms: 0 })).await;
    }

    /// Messages that happen now.
    pub async fn say(&self, clock: &ManualClock, messages: Vec<Message>) {
        let now_ms = clock.now_ms();
        for message in messages {
            self.tell(Told::Message(message, Heard { received_ms: now_ms, at_ms: Some(now_ms) })).await;
        }
    }

    pub fn lists(&self) -> usize {
        self.lists.load(Ordering::SeqCst)
    }
}

/// Waits for something that happens in the background.
pub async fn until(what: &str, is: impl AsyncFn() -> bool) {
    let wait = async {
        while !is().await {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Lets the lease of a PBX end now, whoever has it.
pub async fn expire(db: &Db, account: &str) {
    let mut tx = db.begin().await.unwrap();
    let row = pbx::find(&mut tx, TENANT, account).await.unwrap().unwrap().row;
    assert!(pbx::release(&mut tx, &row).await.unwrap());
    tx.commit().await.unwrap();
}

fn account(id: &str, api_base: Option<&str>) -> Account {
    let key = ApiKey { sid: "onhook".into(), secret: "s3cret".into() };
    Account {
        id: id.into(),
        tenant: TENANT.into(),
        provider: "asterisk".into(),
        parent: None,
        has_secrets: api_base.is_some(),
        tokens: Vec::new(),
        api_keys: api_base.map(|_| key).into_iter().collect(),
        api_base: api_base.map(|base| base.parse().unwrap()),
        verify: None,
        verify_until_ms: None,
    }
}
