//! `onhook demo --ami`: a gateway that listens to an Asterisk of our own, and what it makes of calls, of a link that is cut
//! in the middle of one, and of a PBX that dies and starts again.

mod compare;
mod scene;

use super::{api::Api, gateway::Gateway, invite, show_rows};
use crate::{
    app::App,
    cli::{
        exit::Exit,
        out::{Out, Tone},
        serve,
    },
    clock::{Clock, Stopwatch, SystemClock},
    domain::time::Millis,
    pbx_double::{Double, Order, Phone, Setup, Truth, server::Server},
    story::Lead,
};
use anyhow::{Context, Result, bail};
use compare::Compared;
use scene::{Act, Scene};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Plays the calls, shows what came of them, and waits to be told to stop unless `exit`.
pub async fn run(out: Out, exit: bool) -> Result<Exit> {
    let server = Server::start(Double::new(setup(), SystemClock.now_ms()), Arc::new(SystemClock)).await;
    let server = server.context("listen as an Asterisk")?;
    let url = format!("ami://onhook:secret@{}", server.address());
    let Gateway { app, key, token, twilio: _twilio, folder: _folder } = Gateway::build(Some(&url)).await?;
    let base = serve::base_url(app.address());
    let api = Api::new(&base, &key, token)?;
    let stop = CancellationToken::new();
    tokio::spawn(serve::cancel_when_told(stop.clone()));
    let playing = (server.clone(), stop.clone());
    tokio::spawn(async move { playing.0.run(&playing.1).await });
    let serving = App::run(app, stop.clone());
    tokio::pin!(serving);
    let show = Show { out, api, server };
    let passed = tokio::select! {
        ended = &mut serving => return ended.map(|()| Exit::Failed).map_err(Into::into),
        passed = show.run() => passed?,
    };
    if exit {
        stop.cancel();
    } else {
        invite(&out, &base, &key)?;
    }
    serving.await?;
    Ok(if passed { Exit::Ok } else { Exit::Failed })
}

/// An Asterisk with phones enough for everything at once.
fn setup() -> Setup {
    let people = ["Alice", "Bob", "Carol", "Dave", "Erin", "Frank", "Grace", "Heidi", "Ivan", "Judy"];
    let phone = |(at, name): (usize, &str)| Phone { exten: format!("{}", 2001 + at), name: name.to_owned() };
    Setup { phones: people.into_iter().enumerate().map(phone).collect(), ..Setup::default() }
}

struct Show {
    out: Out,
    api: Api,
    server: Server,
}

impl Show {
    /// Everything, one act after the other; whether all of it is the truth.
    async fn run(&self) -> Result<bool> {
        self.until("the gateway to listen", || async { Ok(self.lists() > 0) }).await?;
        let mut compared = Vec::new();
        for act in Act::ALL {
            compared.extend(self.act(act).await?);
        }
        let leads = self.leads(&compared).await?;
        let passed = compared.iter().all(Compared::passed) && leads.iter().all(|(_, differs)| differs.is_none());
        let (calls, rows) = (self.api.list("/v1/calls").await?, self.api.list("/v1/leads").await?);
        if self.out.is_json() {
            let told: Vec<Value> = compared.iter().map(Compared::json).collect();
            self.out.json(&json!({ "passed": passed, "compared": told, "calls": calls, "leads": rows }))?;
            return Ok(passed);
        }
        for differs in leads.iter().filter_map(|(_, differs)| differs.as_ref()) {
            self.out.line(self.out.paint(Tone::Bad, differs))?;
        }
        show_rows(&self.out, &calls, &rows)?;
        let count = compared.iter().filter(|compared| compared.passed()).count();
        let sentence = format!("{count} of {} calls came out as the PBX knows them", compared.len());
        self.out.line(self.out.paint(if passed { Tone::Good } else { Tone::Bad }, &sentence))?;
        Ok(passed)
    }

    /// One act: makes its calls, does what it does to the PBX, and compares.
    async fn act(&self, act: &Act) -> Result<Vec<Compared>> {
        self.say(Tone::Strong, &format!("\n{}", act.heading()))?;
        let scenes = act.scenes();
        let mut numbers = Vec::new();
        for scene in &scenes {
            self.add_lead(&scene.order).await?;
            let order = scene.order.clone();
            let number = self.server.with(|double| double.call(order, SystemClock.now_ms()));
            numbers.push(number.context("make a call on a PBX that plays a capture")?);
        }
        let watch = match act {
            Act::Calls => Stopwatch::start(),
            Act::Cut => self.cut().await?,
            Act::Restart => self.restart().await?,
        };
        self.until("the calls to end", || async { Ok(self.server.next_due_ms().is_none()) }).await?;
        let mut compared = Vec::new();
        for (number, scene) in numbers.iter().zip(&scenes) {
            let one = self.compare(*number, scene, act, watch).await?;
            self.show(&one)?;
            compared.push(one);
        }
        Ok(compared)
    }

    /// Cuts the link while a call is talked on, keeps it cut until the call is over, and waits until the gateway is back.
    async fn cut(&self) -> Result<Stopwatch> {
        self.until_answered().await?;
        let lists = self.lists();
        self.server.with(|double| {
            double.faults.refuse = true;
            double.cut();
        });
        self.say(Tone::Faint, "  the call is talked on, and the link is cut")?;
        self.until("the call to end", || async { Ok(self.server.with(|double| double.channels().is_empty())) }).await?;
        self.say(Tone::Faint, "  the call has ended, and nobody heard it; the link can be made again")?;
        self.server.with(|double| double.faults.refuse = false);
        self.back(lists).await
    }

    /// Kills the PBX while a call is talked on; it starts again at once.
    async fn restart(&self) -> Result<Stopwatch> {
        self.until_answered().await?;
        let lists = self.lists();
        self.server.with(|double| double.restart(SystemClock.now_ms()));
        self.say(Tone::Faint, "  the call is talked on, and the PBX dies and starts again")?;
        self.back(lists).await
    }

    async fn until_answered(&self) -> Result<()> {
        let up = || self.server.with(|double| double.channels().iter().filter(|c| c.bridge.is_some()).count());
        self.until("the call to be answered", || async { Ok(up() >= 2) }).await?;
        // The gateway knows it as answered: what it does not know, it cannot lose.
        self.until("the gateway to know it", || async {
            let calls = self.api.list("/v1/calls").await?;
            Ok(calls.iter().filter(|call| call["status"] == "in-progress").count() >= 2)
        })
        .await
    }

    async fn back(&self, lists: u64) -> Result<Stopwatch> {
        self.until("the gateway to connect again", || async { Ok(self.server.with(|d| d.listeners()) > 0) }).await?;
        let watch = Stopwatch::start();
        self.until("the gateway to ask what lives", || async { Ok(self.lists() > lists) }).await?;
        Ok(watch)
    }

    /// Waits until the gateway says that a call has ended, and compares it with the truth.
    async fn compare(&self, number: u64, scene: &Scene, act: &Act, watch: Stopwatch) -> Result<Compared> {
        let Some(truth) = self.truth(number) else { bail!("the PBX has forgotten a call of this demonstration") };
        let path = format!("/v1/calls/{}", truth.linkedid);
        let mut waited = Stopwatch::start();
        let mut row = self.api.get(&path).await?;
        let is_over = |row: &Value| row.get("ended_at").is_some_and(Value::is_string);
        while !is_over(&row) && waited.seconds() < PATIENCE_S {
            tokio::time::sleep(LOOK_EVERY).await;
            row = self.api.get(&path).await?;
        }
        let after_s = watch.seconds();
        waited = Stopwatch::start();
        let mut compared = self.look(&truth, scene, act, row.clone(), after_s).await?;
        // The call as a whole is told a moment after its legs, or before: both are one transaction each.
        while !compared.passed() && waited.seconds() < SETTLING_S {
            tokio::time::sleep(LOOK_EVERY).await;
            row = self.api.get(&path).await?;
            compared = self.look(&truth, scene, act, row.clone(), after_s).await?;
        }
        Ok(compared)
    }

    async fn look(&self, truth: &Truth, scene: &Scene, act: &Act, row: Value, after_s: f64) -> Result<Compared> {
        let mut others = Vec::new();
        for id in truth.legs.iter().map(|leg| &leg.uniqueid).chain(&truth.merged) {
            others.push(self.api.get(&format!("/v1/calls/{id}")).await?);
        }
        Ok(Compared::new(truth, scene.title, act, row, others, after_s))
    }

    fn truth(&self, number: u64) -> Option<Truth> {
        self.server.with(|double| double.model().and_then(|model| model.truth(number)).cloned())
    }

    async fn add_lead(&self, order: &Order) -> Result<()> {
        let Some(id) = &order.lead else { return Ok(()) };
        let lead =
            Lead { id: id.clone(), name: scene::lead_name(id).to_owned(), phone: scene::lead_phone(id).to_owned() };
        self.api.put_lead(&lead).await
    }

    /// Every lead with what is wrong with it: it is contacted if, and only if, a call about it was talked on.
    async fn leads(&self, compared: &[Compared]) -> Result<Vec<(String, Option<String>)>> {
        let mut leads = Vec::new();
        for (lead, talked) in compared.iter().filter_map(Compared::lead) {
            let row = self.api.get(&format!("/v1/leads/{lead}")).await?;
            let is = row.get("status").and_then(Value::as_str).unwrap_or("missing").to_owned();
            let expected = if *talked { "contacted" } else { "new" };
            leads.push((lead.clone(), (is != expected).then(|| format!("{lead} is {is}, expected {expected}"))));
        }
        Ok(leads)
    }

    fn lists(&self) -> u64 {
        self.server.with(|double| double.lists_answered())
    }

    async fn until<F>(&self, what: &str, mut is: impl FnMut() -> F) -> Result<()>
    where
        F: Future<Output = Result<bool>>,
    {
        let watch = Stopwatch::start();
        while !is().await? {
            if watch.seconds() > PATIENCE_S {
                bail!("waited {PATIENCE_S} s for {what}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    fn say(&self, tone: Tone, text: &str) -> Result<()> {
        if self.out.is_json() { Ok(()) } else { self.out.line(self.out.paint(tone, text)) }
    }

    fn show(&self, compared: &Compared) -> Result<()> {
        if self.out.is_json() { Ok(()) } else { compared.show(&self.out) }
    }
}

/// How long one waits for anything: many times what it takes.
const PATIENCE_S: f64 = 30.0;
/// How long the legs of a call may differ from it.
const SETTLING_S: f64 = 5.0;
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// A call that was cut off is ended within this time of the reconnect.
const REPAIR_WITHIN_MS: Millis = 2_000;
