//! `onhook simulate`: a Twilio of our own places calls and reports them to a gateway over a bad network; then what the
//! gateway says of each call is compared with what became of it.

mod gateway;
mod leads;
mod outcome;
mod pace;
mod patience;
mod verdict;

use super::{
    desk::{Settings, system_rng},
    exit::{Exit, Stop},
    identity::{Identity, Settled},
    out::{Out, Tone},
    replay, send, serve, tokens,
};
use crate::{
    clock::{Clock, SharedClock, SystemClock},
    domain::time::{DAY, Millis, SECOND},
    double::{
        Account, Double, Faults, Limits, Order, Outage, Setup, Shared,
        courier::{Courier, WhenIdle},
        server,
    },
    twilio::{STATUS_PATH, callback_url::OVERRIDES},
};
use anyhow::{Context, Result};
use clap::Args;
use gateway::Gateway;
use leads::{LEADS_MAX, Lead, Leads};
use outcome::Outcome;
use pace::FastClock;
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use url::Url;
use verdict::Known;

/// Be a Twilio with a bad network, and see whether the gateway gets every call right
///
/// Places calls that are answered, busy, not answered, …, posts their signed status callbacks to the gateway, of which
/// some are lost, late, overtaken, doubled or slow, and then asks the gateway about each call. With --listen the gateway
/// can ask, too: it is given time to find out how the calls ended whose end was lost. Exit code 5 if it says anything
/// wrong of a call or a lead, or holds a call for live of which it was told the end, or could have asked for it. The same
/// seed makes the same calls and the same faults; the identifiers are new in each run, unless the same salt is given, too.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook simulate --to http://127.0.0.1:8080 --lose 5% --reorder 10% --duplicate 5% --late 5%
  onhook simulate --to http://127.0.0.1:8080 --key-file key.txt --seed 7
  onhook simulate --to http://127.0.0.1:8080 --lose 10% --listen 127.0.0.1:4010 --leads 100

The gateway asks there if ONHOOK_TWILIO_API_BASE=http://127.0.0.1:4010 says so; docs/simulate.md has it step by step.")]
pub struct Simulate {
    /// The gateway
    #[arg(long, value_name = "URL")]
    to: Url,
    /// How many calls
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=CALLS_MAX))]
    calls: u32,
    /// How many calls are placed per second
    #[arg(long, value_name = "R", default_value_t = 20.0, value_parser = rate)]
    rate: f64,
    /// How fast the time of a call passes; the 15 seconds that Twilio takes to try again pass as fast
    #[arg(long, value_name = "FACTOR", default_value = "60x", value_parser = replay::speed)]
    speed: f64,
    /// How many callbacks never arrive
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = percent)]
    lose: f64,
    /// How many are 20 to 90 seconds late
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = percent)]
    late: f64,
    /// How many are overtaken by the next one of their call
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = percent)]
    reorder: f64,
    /// How many arrive twice
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = percent)]
    duplicate: f64,
    /// How many are under way for 1 to 5 seconds
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = percent)]
    slow: f64,
    /// Repeat the same calls and faults [default: drawn]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Makes the identifiers of the calls of this run its own; the same seed and salt repeat it exactly [default: drawn]
    #[arg(long, value_name = "TEXT")]
    salt: Option<String>,
    /// A file with a key of the gateway's API, scope read, with --leads also write [default: ONHOOK_API_KEY]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Answer Twilio's REST API for these calls there: the gateway can ask for what it was not told
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// With --listen: how long the gateway is given, once all calls are over, to find out what it was not told
    #[arg(long, value_name = "SPAN", default_value = "5m", value_parser = span)]
    wait: Duration,
    /// With --listen: in the middle of the simulation the REST API answers 503 for so long (of the gateway's time)
    #[arg(long, value_name = "SPAN", requires = "listen", value_parser = span)]
    outage: Option<Duration>,
    /// Create so many leads for these calls in the gateway, and compare their contacts, too
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=LEADS_MAX))]
    leads: u32,
    #[command(flatten)]
    identity: Identity,
}

/// A simulation that is set up.
struct Stage {
    double: Shared,
    clock: SharedClock,
    gateway: Gateway,
    courier: Courier,
    leads: Leads,
    drawn: Drawn,
}

/// What repeats a run.
#[derive(Clone, Debug)]
struct Drawn {
    /// Fates and faults.
    seed: u64,
    /// Identifiers.
    salt: String,
}

/// As it is given on the command line.
impl std::fmt::Display for Drawn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "--seed {} --salt '{}'", self.seed, self.salt)
    }
}

impl Drawn {
    /// Nothing for an empty text: the identifiers are those of the seed alone.
    fn salt(&self) -> u128 {
        if self.salt.is_empty() { 0 } else { self.digest() }
    }

    fn digest(&self) -> u128 {
        let digest = Sha256::digest(self.salt.as_bytes());
        digest.iter().take(16).fold(0, |salt, byte| (salt << 8) | u128::from(*byte))
    }
}

impl Simulate {
    /// Runs it to its verdict, or until it is told to stop.
    pub async fn run(self, out: Out, settings: Settings) -> Result<Exit> {
        let stage = self.set_up(settings).await?;
        let stop = CancellationToken::new();
        tokio::spawn(serve::cancel_when_told(stop.clone()));
        let api = match self.listen {
            None => None,
            Some(address) => Some(self.answer_rest(address, &stage, &out)?),
        };
        out.note(format!("{}: {} calls, told to {}", stage.drawn, self.calls, stage.gateway.base()));
        tokio::select! {
            ((), ()) = async { tokio::join!(stage.courier.run(WhenIdle::Return, &stop), self.break_rest(&out, &stage)) } => {}
            () = stop.cancelled() => {}
            () = show_progress(&out, &stage) => {}
        }
        if api.is_some() && !self.wait.is_zero() {
            patience::wait(&out, &stage, self.wait, &stop).await?;
        }
        if stop.is_cancelled() {
            let what = format!("the simulation was stopped, {}", progress(&stage));
            return Err(Stop::with(Exit::Failed, what, format!("{} repeats it", stage.drawn)));
        }
        let exit = self.conclude(&out, &stage).await?;
        if let Some(api) = &api {
            api.stop(false).await;
        }
        Ok(exit)
    }

    async fn set_up(&self, settings: Settings) -> Result<Stage> {
        let Settled { account, token, public_url, api_key } = self.identity.clone().settle(settings)?;
        let account = account.ok_or_else(|| {
            let next = "give --account, or set TWILIO_ACCOUNT_SID; the gateway must know it";
            Stop::with(Exit::Usage, "the calls need an account to be of", next)
        })?;
        let seed = self.seed.unwrap_or_else(|| system_rng().next_u64());
        let salt = self.salt.clone().unwrap_or_else(|| format!("{:08x}", system_rng().next_u32()));
        if salt.len() > SALT_BYTES_MAX {
            let what = format!("--salt has {} bytes", salt.len());
            return Err(Stop::with(Exit::Usage, what, format!("up to {SALT_BYTES_MAX} are allowed")));
        }
        let drawn = Drawn { seed, salt };
        let span_ms = self.span_ms()?;
        let base = send::base(&self.to);
        let gateway = Gateway::new(base.clone(), self.key(api_key)?)?;
        gateway.check().await?;
        let mut leads = Leads::create(self.leads, &drawn, &gateway).await?;
        // From here on time passes.
        let clock: SharedClock = Arc::new(FastClock::new(SystemClock.now_ms(), span_ms, self.speed));
        let public = send::base(public_url.as_ref().unwrap_or(&self.to));
        let mut double = self.double(&drawn, &account, &token);
        self.place(&mut double, &account, &public, clock.now_ms(), &mut leads);
        let double = Shared::new(double);
        let courier = Courier::new(double.clone(), clock.clone()).context("set up an HTTP client")?.via(&public, &base);
        Ok(Stage { double, clock, gateway, courier, leads, drawn })
    }

    /// A Twilio without calls.
    fn double(&self, drawn: &Drawn, account: &str, token: &SecretString) -> Double {
        let faults = Faults {
            lost: self.lose,
            late: self.late,
            reordered: self.reorder,
            duplicated: self.duplicate,
            slow: self.slow,
        };
        // The rate is ours to keep, so nobody waits in the queue.
        let setup = Setup { calls_per_second: QUEUE_PER_SECOND, faults, salt: drawn.salt(), ..Setup::default() };
        let mut double = Double::new(setup, drawn.seed);
        double.add_account(Account::new(account, token.expose_secret()));
        double
    }

    /// Places all calls, each at its time.
    fn place(&self, double: &mut Double, account: &str, public: &str, begin_ms: Millis, leads: &mut Leads) {
        // Whether somebody was reached is known only if machines are told from people.
        let limits = Limits { detect_machines: self.leads > 0, ..Limits::default() };
        for n in 0..self.calls {
            #[expect(clippy::cast_possible_truncation, reason = "less than `SPAN_MAX_MS`")]
            let after_ms = (f64::from(n) / self.rate * self.speed * 1_000.0) as Millis;
            let (lead, to, query) = match leads.turn(n) {
                Some((lead, Lead { phone, .. }, query)) => (Some(lead), phone.clone(), query),
                // Numbers for documentation; an area has a hundred of them.
                None => (None, format!("+141555501{:02}", 1 + n % 99), None),
            };
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            let order = Order::new(account, "+14155550100", &to);
            let order = order.telling(format!("{public}{STATUS_PATH}{query}{OVERRIDES}"));
            let sid = double.place(Order { limits, ..order }, begin_ms + after_ms);
            if let Some(lead) = lead {
                leads.called(sid, lead);
            }
        }
    }

    /// In the middle of the calls nobody can ask Twilio, for as long as was asked for.
    async fn break_rest(&self, out: &Out, stage: &Stage) {
        let Some(outage) = self.outage else { return };
        let middle_s = f64::from(self.calls) / self.rate / 2.0;
        tokio::time::sleep(Duration::from_secs_f64(middle_s)).await;
        stage.double.with(|double| double.set_outage(Some(Outage::Status(503))));
        out.note(format!("Twilio's REST API is out of order for {}", humantime::format_duration(outage)));
        tokio::time::sleep(outage).await;
        stage.double.with(|double| double.set_outage(None));
        out.note("Twilio's REST API is in order again");
    }

    /// How long all of it takes in the time of the calls. It is told in the past, so that nothing in it is ahead of the
    /// gateway's clock.
    fn span_ms(&self) -> Result<Millis> {
        let placing = f64::from(self.calls) / self.rate * self.speed * 1_000.0;
        #[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates")]
        let span_ms = (placing as Millis).saturating_add(LAST_CALL_MS);
        if span_ms <= SPAN_MAX_MS {
            return Ok(span_ms);
        }
        let days = SPAN_MAX_MS / DAY;
        let what = format!("{} calls take more than {days} days of calls' time at this rate and speed", self.calls);
        Err(Stop::with(Exit::Usage, what, "raise --rate, or lower --speed"))
    }

    fn key(&self, configured: Option<SecretString>) -> Result<SecretString> {
        if let Some(path) = &self.key_file {
            let text = std::fs::read_to_string(path).map_err(|error| tokens::unreadable(path, &error))?;
            return Ok(SecretString::from(text.trim()));
        }
        configured.ok_or_else(|| {
            let next = "give --key-file, or set ONHOOK_API_KEY; `onhook keys create --scopes read` makes one";
            Stop::with(Exit::Usage, "the gateway is asked about each call, and that needs a key", next)
        })
    }

    fn answer_rest(&self, address: SocketAddr, stage: &Stage, out: &Out) -> Result<server::Handle> {
        let listener = TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
        let at = serve::base_url(listener.local_addr()?);
        let server = server::serve(listener, stage.double.clone(), stage.clock.clone())?;
        let handle = server.handle();
        tokio::spawn(server);
        out.note(format!("Twilio's REST API is at {at} (ONHOOK_TWILIO_API_BASE)"));
        Ok(handle)
    }

    async fn conclude(&self, out: &Out, stage: &Stage) -> Result<Exit> {
        let tally = stage.double.with(|double| double.tally());
        if tally.refused > 0 {
            let what = format!("{} of {} signatures were refused", tally.refused, tally.sent);
            let next = "check that the gateway knows the account and this token, and that it is called by the URL signed \
                        for (--public-url); its log says why";
            return Err(Stop::with(Exit::Refused, what, next));
        }
        let could_ask = self.listen.is_some();
        let calls = verdict::judge(Known::all(&stage.double, could_ask), &stage.gateway).await?;
        let leads = stage.leads.judge(&calls, &stage.gateway).await?;
        let asked = could_ask.then(|| stage.double.with(|double| double.asked()));
        let outcome = Outcome { calls, leads, tally, asked };
        outcome.show(out, &stage.drawn)?;
        Ok(if outcome.passed() { Exit::Ok } else { Exit::Findings })
    }
}

/// Says now and then how far it is; for ever.
async fn show_progress(out: &Out, stage: &Stage) {
    loop {
        tokio::time::sleep(PROGRESS_EVERY).await;
        if !out.is_json() {
            out.note(out.paint(Tone::Faint, &progress(stage)));
        }
    }
}

fn progress(stage: &Stage) -> String {
    let now_ms = stage.clock.now_ms();
    stage.double.with(|double| {
        let seen = double.calls().iter().filter_map(|call| call.seen(now_ms));
        let (mut placed, mut over) = (0, 0);
        for seen in seen {
            placed += 1;
            over += u64::from(seen.ended_ms.is_some());
        }
        let tally = double.tally();
        format!("{placed} calls placed, {over} over, {} callbacks sent, {} lost", tally.sent, tally.lost)
    })
}

/// Reads `5%`, `0.5%` or `0.05`.
fn percent(text: &str) -> Result<f64, String> {
    let wrong = || format!("{text:?} is no share: write a percentage from 0% to 100%, such as 5%");
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| wrong());
    let share = match text.strip_suffix('%') {
        Some(percent) => number(percent)? / 100.0,
        None => number(text)?,
    };
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(wrong()) }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (RATE_MIN..=RATE_MAX).contains(rate));
    rate.ok_or_else(|| format!("write calls per second from {RATE_MIN} to {RATE_MAX}"))
}

fn span(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).ok().filter(|span| *span <= SPAN_LONGEST);
    span.ok_or_else(|| format!("{text:?} is no span: write a time such as 30s or 5m, up to 24h"))
}

/// How long one waits for the gateway, and how long Twilio is out of order, at most.
const SPAN_LONGEST: Duration = Duration::from_hours(24);
/// As many calls as one machine keeps in memory and asks about in reasonable time.
const CALLS_MAX: i64 = 50_000;
/// How long a salt is at most.
const SALT_BYTES_MAX: usize = 100;
const RATE_MIN: f64 = 0.01;
const RATE_MAX: f64 = 1_000.0;
/// The gateway believes times of the last seven days.
const SPAN_MAX_MS: Millis = 6 * DAY;
/// From the placing of the last call to its last callback, faults included.
const LAST_CALL_MS: Millis = 400 * SECOND;
const QUEUE_PER_SECOND: u32 = 1_000;
const PROGRESS_EVERY: Duration = Duration::from_secs(2);
