//! A gateway and a scripted Asterisk that it listens to, with one clock.

use super::{
    database::{Place, TestDatabase},
    gateway::{Gateway, START_MS},
    patience::until,
};
use onhook::{
    clock::ManualClock,
    domain::time::SECOND,
    pbx_double::{Double, Setup, server::Server},
};
use serde_json::Value;
use std::sync::atomic::{AtomicI64, Ordering};

/// The name of the PBX.
pub const PBX: &str = "pbx1";

/// A gateway beside its PBX.
pub struct PbxStage {
    pub gateway: Gateway,
    pub server: Server,
    pub clock: ManualClock,
    /// Events that the gateway has counted and the double has not, or the other way round, when both last agreed.
    apart: AtomicI64,
}

/// Makes of each async function that takes a [`PbxStage`] two tests: `name::sqlite` and `name::postgres`.
macro_rules! on_both_pbx_stages {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let at = $crate::support::database::TestDatabase::sqlite().await;
                super::$name($crate::support::pbx::PbxStage::on(&at, &[]).await).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let at = $crate::support::database::TestDatabase::postgres().await;
                super::$name($crate::support::pbx::PbxStage::on(&at, &[]).await).await;
            }
        }
    )+};
}
pub(crate) use on_both_pbx_stages;

impl PbxStage {
    /// A model of a PBX with nobody on the phone, listened to; `settings` beside the usual ones.
    pub async fn on(at: &TestDatabase, settings: &[(&str, &str)]) -> Self {
        let clock = ManualClock::new(START_MS);
        let stage = Self::with(&at.place, settings, Double::new(Setup::default(), START_MS), clock).await;
        stage.in_sync(1).await;
        stage
    }

    /// With this PBX, whose clock this is. Not yet in sync.
    pub async fn with(place: &Place, settings: &[(&str, &str)], double: Double, clock: ManualClock) -> Self {
        let server = Server::start(double, clock.shared()).await.unwrap();
        let gateway = Self::gateway(place, settings, &server, &clock).await;
        Self { gateway, server, clock, apart: AtomicI64::new(0) }
    }

    /// The gateway of this PBX, also after it was started again.
    pub async fn gateway(place: &Place, settings: &[(&str, &str)], server: &Server, clock: &ManualClock) -> Gateway {
        Self::node(place, settings, server, clock, 7).await
    }

    /// The same; with another seed than 7 it is another node.
    pub async fn node(
        place: &Place,
        settings: &[(&str, &str)],
        server: &Server,
        clock: &ManualClock,
        seed: u64,
    ) -> Gateway {
        let url = format!("ami://onhook:secret@{}", server.address());
        let own = [("ONHOOK_AMI_URL", url.as_str()), ("ONHOOK_AMI_NAME", PBX)];
        let settings: Vec<_> = own.into_iter().chain(settings.iter().copied()).collect();
        Gateway::with_seed(place, &settings, clock.clone(), seed).await
    }

    /// Waits until the gateway has compared its calls with so many channel lists after a connect.
    pub async fn in_sync(&self, times: u64) {
        let mut looks = 0;
        until("the gateway to be in sync", || {
            // A PBX that says nothing by itself: what the gateway waits for, it waits for by the clock.
            looks += 1;
            if looks > STILL_LOOKS {
                self.clock.advance(SECOND / 2);
            }
            self.server.tick();
            let synced = self.counted("onhook_ami_resyncs_total");
            let asked = self.server.with(|double| double.asked().cloned().collect::<Vec<_>>());
            async move { if synced >= times { Ok(()) } else { Err(format!("{synced} times; asked: {asked:#?}")) } }
        })
        .await;
        self.apart.store(self.apart(), Ordering::SeqCst);
    }

    /// Turns the clock to this time. Each thing happens at its moment, and is heard by the gateway before the next one.
    pub async fn turn(&self, until_ms: i64) {
        while let Some(next_ms) = self.server.next_due_ms().filter(|next_ms| *next_ms <= until_ms) {
            self.clock.set(next_ms.max(onhook::clock::Clock::now_ms(&self.clock)));
            self.server.tick();
            self.heard().await;
        }
        self.clock.set(until_ms);
        self.server.tick();
        self.heard().await;
    }

    /// Waits until the gateway has heard everything it was told, if it listens.
    pub async fn heard(&self) {
        until("the gateway to hear what it was told", || {
            let (apart, listens) = (self.apart(), self.server.with(|double| double.listeners() > 0));
            let short = self.apart.load(Ordering::SeqCst) - apart;
            async move { if short <= 0 || !listens { Ok(()) } else { Err(format!("{short} events are missing")) } }
        })
        .await;
    }

    fn apart(&self) -> i64 {
        let told = i64::try_from(self.server.with(|double| double.told())).unwrap();
        i64::try_from(self.counted("onhook_ami_events_total")).unwrap() - told
    }

    /// A counter of the gateway.
    pub fn counted(&self, name: &str) -> u64 {
        let text = self.gateway.metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// All calls and legs there are.
    pub async fn calls(&self) -> Vec<Value> {
        let page = self.gateway.get("/v1/calls?limit=200").await;
        page["data"].as_array().unwrap().clone()
    }

    /// Waits until this call looks as it should.
    pub async fn call_until(&self, provider_id: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        until(what, || async {
            let calls = self.calls().await;
            let call = calls.iter().find(|call| call["provider_id"] == provider_id);
            call.filter(|call| is(call)).cloned().ok_or_else(|| format!("{calls:#?}"))
        })
        .await
    }
}

/// By then whoever waits does not wait for the network.
const STILL_LOOKS: u32 = 300;
