//! A gateway whose Twilio a test can trip up, and what is to be seen of a call afterwards.

use crate::support::{
    canned::{Canned, Reply, Seen},
    database::{Place, TestDatabase},
    gateway::{ACCOUNT, Gateway, PUBLIC_URL, START_MS, TOKEN, config},
    stage::{CUSTOMER, INTERVAL_MS, OURS},
    twilio::Twilio,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use onhook::{
    app, check,
    clock::{Clock, ManualClock},
    domain::{
        signal::Signal,
        state::Outcome,
        time::{MINUTE, SECOND},
    },
    double::{Change, Double, Fate, Order, Question, Setup, Shared},
    ingest::{Ingest, Parts, Submission},
    store::{
        audit::{self, AuditRow},
        notices::{self, NoticeRow},
        outbox,
        watch::{self, WatchRow},
    },
    sweep::Report,
};
use rand::{SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

pub const TENANT: &str = "default";
/// Longer than an account and its calls can be taken.
pub const LEASE_MS: i64 = 2 * MINUTE;

type Trip = Box<dyn Fn(&Seen) -> Option<Reply> + Send>;

/// A gateway beside a Twilio; each has a clock of its own, and what the gateway asks can be answered by the test.
pub struct Scene {
    pub gateway: Gateway,
    pub twilio: Twilio,
    /// The gateway's.
    pub clock: ManualClock,
    trip: Arc<Mutex<Trip>>,
    pub between: Canned,
}

/// Makes of each async function that takes a [`Scene`] two tests: `name::sqlite` and `name::postgres`.
macro_rules! on_both_scenes {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let at = $crate::support::database::TestDatabase::sqlite().await;
                super::$name($crate::sweep::scene::Scene::on(&at, &[]).await).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let at = $crate::support::database::TestDatabase::postgres().await;
                super::$name($crate::sweep::scene::Scene::on(&at, &[]).await).await;
            }
        }
    )+};
}
pub(crate) use on_both_scenes;

impl Scene {
    pub async fn on(at: &TestDatabase, settings: &[(&str, &str)]) -> Self {
        Self::at(&at.place, settings).await
    }

    pub async fn at(place: &Place, settings: &[(&str, &str)]) -> Self {
        let twilio = Twilio::start(Setup { calls_per_second: 1_000, ..Setup::default() }, &ManualClock::new(START_MS));
        let trip: Arc<Mutex<Trip>> = Arc::new(Mutex::new(Box::new(|_| None)));
        let (double, time, tripped) = (twilio.double.clone(), twilio.clock.clone(), trip.clone());
        let between = Canned::serve(move |_, seen| {
            tripped.lock().unwrap()(seen).unwrap_or_else(|| answer(&double, seen, time.now_ms()))
        })
        .await;
        let clock = ManualClock::new(START_MS);
        let base = ("ONHOOK_TWILIO_API_BASE", between.url.as_str());
        let settings: Vec<_> = [base].into_iter().chain(settings.iter().copied()).collect();
        let gateway = Gateway::with_clock(place, &settings, clock.clone()).await;
        let twilio = twilio.telling(&gateway);
        Self { gateway, twilio, clock, trip, between }
    }

    /// From here on the gateway is answered so; nothing: as Twilio does.
    pub fn answering(&self, trip: impl Fn(&Seen) -> Option<Reply> + Send + 'static) {
        *self.trip.lock().unwrap() = Box::new(trip);
    }

    /// As Twilio does.
    pub fn honest(&self) {
        self.answering(|_| None);
    }

    /// Twilio is away, and says for how long, so that nobody tries again at once.
    pub fn away(&self) {
        self.answering(|_| Some(Reply::status(503).with("Retry-After", "3600")));
    }

    /// Lets time pass; callbacks come at their moment, nobody sweeps.
    pub async fn pass(&self, by_ms: i64) {
        let until_ms = self.twilio.now_ms() + by_ms;
        loop {
            let next = self.double(|double| double.next_due_ms()).filter(|next| *next <= until_ms);
            let now_ms = next.map_or(until_ms, |next| next.max(self.twilio.now_ms()));
            // Both clocks show the same when a callback comes.
            self.clock.advance(now_ms - self.twilio.now_ms());
            self.twilio.pass(now_ms - self.twilio.now_ms()).await;
            if next.is_none() {
                return;
            }
        }
    }

    pub async fn sweep(&self) -> Report {
        self.gateway.sweeper.tick().await.unwrap()
    }

    pub async fn sweep_for(&self, intervals: usize) {
        for _ in 0..intervals {
            self.pass(INTERVAL_MS).await;
            self.sweep().await;
        }
    }

    pub fn double<T>(&self, act: impl FnOnce(&mut Double) -> T) -> T {
        self.twilio.with(act)
    }

    /// Places a call of this fate that tells the gateway everything.
    pub fn place(&self, fate: Fate, query: &str) -> String {
        let order = Order::new(ACCOUNT, OURS, CUSTOMER).telling(callback_url(query)).going(fate);
        let now_ms = self.twilio.now_ms();
        self.double(|double| double.place(order, now_ms))
    }

    pub fn lose(&self, share: f64) {
        self.double(|double| double.setup_mut().faults.lost = share);
    }

    /// Passes until the gateway knows the call in this status.
    pub async fn until(&self, sid: &str, status: &str) {
        for _ in 0..600 {
            self.pass(SECOND).await;
            let (_, call) = self.gateway.ask(Method::GET, &format!("/v1/calls/{sid}"), None).await;
            if call["status"] == status {
                return;
            }
        }
        panic!("{sid} is never {status}");
    }

    /// A call that Twilio has in progress since now, and that tells nothing by itself; the gateway was told of it.
    pub async fn in_progress(&self, query: &str) -> String {
        let sid = self.silent(Change::Answered { by: None });
        tell(&self.gateway, &sid, "in-progress", query, &[]).await;
        sid
    }

    /// A call that Twilio has in this state since now, and that tells nothing by itself. The gateway does not know it.
    pub fn silent(&self, change: Change) -> String {
        let now_ms = self.twilio.now_ms();
        let changes = vec![(now_ms, Change::Queued), (now_ms, change)];
        self.double(|double| double.add_call(Order::new(ACCOUNT, OURS, CUSTOMER), changes))
    }

    /// It is over for Twilio, now; nobody is told.
    pub fn end(&self, sid: &str, outcome: Outcome) {
        let now_ms = self.twilio.now_ms();
        let change = Change::Ended { outcome, sip: 200 };
        self.double(|double| double.call_mut(sid).unwrap().changes.push((now_ms, change)));
    }

    /// Submits a signal as another part of the gateway would.
    pub async fn submit(&self, signal: Signal) {
        let (db, metrics) = (self.gateway.db.clone(), self.gateway.metrics.clone());
        let rules = app::rules(&config("sqlite://nowhere.db", &[]));
        let parts = Parts { db, clock: self.clock.shared(), rng: StdRng::seed_from_u64(9), rules, metrics };
        let (ingest, writer) = Ingest::new(parts);
        tokio::spawn(writer.run());
        let (tenant, provider) = (TENANT.to_owned(), "twilio");
        let submission =
            Submission { tenant, provider, delivery: None, signals: vec![signal], ask: Vec::new(), decision: None };
        ingest.submit(submission).await.unwrap();
    }

    pub async fn call(&self, sid: &str) -> Value {
        self.gateway.get(&format!("/v1/calls/{sid}")).await
    }

    pub async fn status(&self, sid: &str) -> String {
        status(&self.gateway, sid).await
    }

    pub async fn lead(&self, id: &str) {
        let body = json!({ "id": id, "name": "Ada" });
        let (status, answer) = self.gateway.ask(Method::POST, "/v1/leads", Some(body)).await;
        assert_eq!(status, 201, "{answer}");
    }

    /// The kinds of what is owed for a call, in order.
    pub async fn owed(&self, sid: &str) -> Vec<String> {
        owed(&self.gateway, sid).await
    }

    /// The same of a lead.
    pub async fn owed_of(&self, subject: &str) -> Vec<String> {
        let rows = outbox::list_of_subject(&self.gateway.db, TENANT, subject).await.unwrap();
        rows.into_iter().map(|row| row.kind).collect()
    }

    /// What was decided about a call or an account, oldest first.
    pub async fn audited(&self, subject: &str) -> Vec<AuditRow> {
        let mut rows = audit::list_of_subject(&self.gateway.db, TENANT, subject, 99).await.unwrap();
        rows.sort_by_key(|row| row.at_ms);
        rows
    }

    /// What people were told of it, oldest first.
    pub async fn noticed(&self, subject: &str) -> Vec<NoticeRow> {
        let mut rows = notices::list_of_subject(&self.gateway.db, TENANT, subject, 99).await.unwrap();
        rows.sort_by_key(|row| (row.created_ms, row.user_id.clone()));
        rows
    }

    pub async fn watched(&self) -> WatchRow {
        watch::find(&self.gateway.db, TENANT, ACCOUNT).await.unwrap().unwrap()
    }

    /// How many requests were made whose path ends so.
    pub fn asked(&self, end: &str) -> usize {
        let is = |seen: &Seen| seen.target.split('?').next().is_some_and(|path| path.ends_with(end));
        self.between.seen().iter().filter(|seen| is(seen)).count()
    }
}

pub fn is_list(seen: &Seen) -> bool {
    seen.target.split('?').next().is_some_and(|path| path.ends_with("/Calls.json"))
}

pub fn not_found() -> Reply {
    let body = json!({"code": 20404, "message": "not found", "more_info": "", "status": 404});
    Reply { status: 404, ..Reply::json(body) }
}

/// Does something asynchronous while an answer is made.
pub fn meanwhile<T>(act: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(act))
}

fn answer(double: &Shared, seen: &Seen, now_ms: i64) -> Reply {
    let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
    let authorization = seen.headers.get("authorization").map(String::as_str);
    assert!(authorization.is_some_and(|text| STANDARD.decode(text.trim_start_matches("Basic ")).is_ok()));
    let question = Question { method: &seen.method, path, query, authorization, body: &seen.body };
    let answer = double.with(|double| double.ask(&question, now_ms)).expect("it answers");
    Reply { status: answer.status, ..Reply::json(answer.body) }
}

fn callback_url(query: &str) -> String {
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{PUBLIC_URL}/webhooks/twilio/status{mark}{query}")
}

/// A status callback as Twilio makes it.
pub async fn tell(gateway: &Gateway, sid: &str, status: &str, query: &str, more: &[(&str, &str)]) {
    let usual = [
        ("CallSid", sid),
        ("AccountSid", ACCOUNT),
        ("CallStatus", status),
        ("Direction", "outbound-api"),
        ("From", OURS),
        ("To", CUSTOMER),
    ];
    let all: Vec<_> = usual.into_iter().chain(more.iter().copied()).collect();
    let body = serde_urlencoded::to_string(&all).unwrap();
    let response = gateway.post_signed(TOKEN, query, body.as_bytes()).await;
    assert!(response.status().is_success(), "{}", response.status());
}

pub async fn status(gateway: &Gateway, sid: &str) -> String {
    gateway.get(&format!("/v1/calls/{sid}")).await["status"].as_str().unwrap().to_owned()
}

/// The kinds of what is owed for a call, in order.
pub async fn owed(gateway: &Gateway, sid: &str) -> Vec<String> {
    let call = gateway.get(&format!("/v1/calls/{sid}")).await;
    let rows = outbox::list_of_subject(&gateway.db, TENANT, call["id"].as_str().unwrap()).await.unwrap();
    rows.into_iter().map(|row| row.kind).collect()
}

/// Every row is what its signals say, and every contact what the calls say.
pub async fn is_in_order(gateway: &Gateway) {
    let rules = app::rules(&config("sqlite://nowhere.db", &[]));
    let report = check::check(&gateway.db, &rules).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}
