//! Measures whether a run keeps to its pace: a gateway and a Twilio double in this process dial a list for a minute, in real
//! time. `bench/pace` runs it; `bench/README.md` explains it.

use anyhow::{Context, Result, ensure};
use onhook::{
    app::App,
    clock::{SharedClock, SystemClock},
    config::{Config, Sources},
    double::{
        Account, Double, Fate, Setup, Shared,
        courier::{Courier, WhenIdle},
        server,
    },
};
use rand::{SeedableRng, rngs::StdRng};
use reqwest::Client;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::{env, net::TcpListener, process, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const TOKEN: &str = "a-token-of-the-benchmark";
const KEY: &str = "the-key-of-the-benchmark";
const PUBLIC_URL: &str = "https://calls.example.com";
/// From the first call to the second one and on until the pace is steady: not measured.
const WARM_UP_MS: i64 = 2_000;
/// How far from the pace a minute may be, in percent.
const OFF_MAX: f64 = 5.0;

#[actix_web::main]
async fn main() -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let of = |name: &str, default: &str| env::var(format!("BENCH_{name}")).unwrap_or_else(|_| default.to_owned());
    let (rate, seconds): (f64, i64) = (of("RATE", "10").parse()?, of("SECONDS", "60").parse()?);
    ensure!(rate > 0.0 && seconds > 0, "BENCH_RATE and BENCH_SECONDS are above 0");
    println!("a run at {rate} calls/s for {seconds} s; off by at most {OFF_MAX} %\n");
    println!("{:<10} {:>7} {:>9} {:>7} {:>12} {:>12}", "", "calls", "calls/s", "off %", "gap p99 ms", "most in 1 s");
    let mut worst = 0.0_f64;
    for database in of("DATABASES", "sqlite,postgres").split(',') {
        let figures = measure(database, rate, seconds).await?;
        let off = (figures.rate / rate - 1.0) * 100.0;
        println!(
            "{database:<10} {:>7} {:>9.3} {off:>+7.2} {:>12.0} {:>12}",
            figures.calls, figures.rate, figures.gap_p99_ms, figures.most
        );
        worst = worst.max(off.abs());
    }
    ensure!(worst <= OFF_MAX, "the pace was not kept: off by {worst:.2} %");
    Ok(())
}

struct Figures {
    calls: usize,
    rate: f64,
    gap_p99_ms: f64,
    most: usize,
}

async fn measure(database: &str, rate: f64, seconds: i64) -> Result<Figures> {
    let place = Place::make(database).await?;
    let (double, clock): (_, SharedClock) = (double(), Arc::new(SystemClock));
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let twilio = format!("http://{}", listener.local_addr()?);
    let api = server::serve(listener, double.clone(), clock.clone())?;
    let handle = api.handle();
    tokio::spawn(api);

    let app = App::build(config(&place.url, &twilio)?, clock.clone(), StdRng::seed_from_u64(7)).await?;
    let base = format!("http://{}", app.address());
    let stop = CancellationToken::new();
    let running = tokio::spawn(app.run(stop.clone()));
    let courier = Courier::new(double.clone(), clock)?.via(PUBLIC_URL, &base);
    let told = stop.clone();
    let callbacks = tokio::spawn(async move { courier.run(WhenIdle::Wait, &told).await });

    // Some more than are measured, so that the list does not end.
    let jobs = (rate * (seconds as f64 + 10.0)).ceil() as usize;
    let run = start(&base, rate, jobs).await?;
    tokio::time::sleep(Duration::from_millis(u64::try_from(seconds * 1_000 + 2 * WARM_UP_MS)?)).await;
    let placed: Vec<i64> =
        double.with(|double| double.calls().iter().filter_map(|call| Some(call.changes.first()?.0)).collect());
    ask(&base, &format!("{run}/force-cancel"), &json!({})).await?;
    stop.cancel();
    callbacks.await?;
    running.await??;
    handle.stop(false).await;
    place.remove().await?;
    figures(placed, seconds * 1_000)
}

/// Of the calls that were placed in the time that is measured.
fn figures(mut placed: Vec<i64>, span_ms: i64) -> Result<Figures> {
    placed.sort_unstable();
    let from = placed.first().context("no call was placed")? + WARM_UP_MS;
    let measured: Vec<i64> = placed.into_iter().filter(|at| (from..=from + span_ms).contains(at)).collect();
    let (Some(first), Some(last)) = (measured.first(), measured.last()) else { anyhow::bail!("no call was placed") };
    ensure!(last > first, "fewer than two calls were placed");
    let mut gaps: Vec<i64> = measured.iter().zip(measured.iter().skip(1)).map(|(one, next)| next - one).collect();
    gaps.sort_unstable();
    let within = |at: &i64| measured.iter().filter(|other| (*at..*at + 1_000).contains(other)).count();
    Ok(Figures {
        calls: measured.len(),
        rate: (measured.len() - 1) as f64 / ((last - first) as f64 / 1_000.0),
        gap_p99_ms: gaps.get(gaps.len() * 99 / 100).copied().unwrap_or(0) as f64,
        most: measured.iter().map(within).max().unwrap_or(0),
    })
}

/// Makes a run and starts it; answers its path.
async fn start(base: &str, rate: f64, jobs: usize) -> Result<String> {
    let jobs: Vec<Value> = (0..jobs).map(|n| json!({ "to": format!("+1415{:07}", 5_551_000 + n) })).collect();
    let run = json!({
        "account": ACCOUNT, "from": "+14155550100", "twiml": "<Response><Pause length=\"1\"/></Response>",
        "timeout_seconds": 5, "calls_per_second": rate, "calls_at_once": 1000, "jobs": jobs,
    });
    let made = ask(base, "/v1/runs", &run).await?;
    let path = format!("/v1/runs/{}", made.pointer("/run/id").and_then(|id| id.as_str()).context("the run has an id")?);
    ask(base, &format!("{path}/start"), &Value::Null).await?;
    Ok(path)
}

async fn ask(base: &str, path: &str, body: &Value) -> Result<Value> {
    let mut request = Client::new().post(format!("{base}{path}")).bearer_auth(KEY);
    if !body.is_null() {
        request = request.json(body);
    }
    let response = request.send().await?;
    let status = response.status();
    let text = response.text().await?;
    ensure!(status.is_success(), "{path} was answered {status}: {text}");
    Ok(serde_json::from_str(&text)?)
}

/// A Twilio that takes calls as fast as they come; each lasts a few seconds.
fn double() -> Shared {
    let setup = Setup { calls_per_second: 1_000, fate: Some(Fate::Answered { talk_s: 1 }), ..Setup::default() };
    let mut double = Double::new(setup, 7);
    double.add_account(Account::new(ACCOUNT, TOKEN));
    Shared::new(double)
}

fn config(database_url: &str, twilio: &str) -> Result<Config> {
    let settings = [
        ("ONHOOK_DATABASE_URL", database_url),
        ("ONHOOK_LISTEN", "127.0.0.1:0"),
        ("ONHOOK_PUBLIC_URL", PUBLIC_URL),
        ("ONHOOK_API_KEY", KEY),
        ("ONHOOK_SECRET_KEY", "c2l4dGVlbiBieXRlcyBvciB0aGlydHkgdHdvIG9uZXM="),
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("TWILIO_AUTH_TOKEN", TOKEN),
        ("ONHOOK_TWILIO_API_BASE", twilio),
        ("ONHOOK_TWILIO_REQUESTS_PER_SECOND", "1000"),
        ("ONHOOK_RUN_ACCOUNT_CALLS_MAX", "1000"),
        ("ONHOOK_RUN_TENANT_CALLS_MAX", "1000"),
    ];
    let env = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Ok(Config::load(Sources { env, ..Sources::default() })?.config)
}

/// A database of its own.
struct Place {
    url: String,
    /// The server's URL and the database's name; none for a file.
    server: Option<(String, String)>,
    _folder: TempDir,
}

impl Place {
    async fn make(database: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        if database == "sqlite" {
            let url = format!("sqlite://{}", folder.path().join("onhook.db").display());
            return Ok(Self { url, server: None, _folder: folder });
        }
        let server = env::var("ONHOOK_TEST_POSTGRES_URL").context("bench/pace sets ONHOOK_TEST_POSTGRES_URL")?;
        let name = format!("onhook_bench_pace_{}", process::id());
        let mut url: url::Url = server.parse()?;
        url.set_path(&name);
        let place = Self { url: url.into(), server: Some((server, name)), _folder: folder };
        place.on_server("CREATE DATABASE", "").await?;
        Ok(place)
    }

    async fn remove(&self) -> Result<()> {
        self.on_server("DROP DATABASE", "WITH (FORCE)").await
    }

    async fn on_server(&self, verb: &str, rest: &str) -> Result<()> {
        let Some((server, name)) = &self.server else { return Ok(()) };
        PgConnection::connect(server).await?.execute(AssertSqlSafe(format!("{verb} {name} {rest}"))).await?;
        Ok(())
    }
}
