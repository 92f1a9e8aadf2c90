//! Measures the sweeper: a gateway in this process, a Twilio that lists every live call, and databases with few and with
//! many stored calls of which the same number is live and due. `bench/sweep` runs it; `bench/README.md` explains it.

use actix_web::{App as Web, HttpResponse, HttpServer, web};
use anyhow::{Context, Result, ensure};
use onhook::{
    app::App,
    clock::{ManualClock, Stopwatch},
    config::{Config, Sources},
    sweep::Sweeper,
    twilio::{form::Form, signature},
};
use rand::{SeedableRng, rngs::StdRng};
use reqwest::Client;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use std::{
    collections::{BTreeMap, HashMap},
    env,
    path::Path,
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const TOKEN: &str = "a-token-of-the-benchmark";
const PUBLIC_URL: &str = "https://calls.example.com";
const START_MS: i64 = 1_767_323_045_000;
/// The number in the sid of the first live call, and of the first one that has ended.
const LIVE: u64 = 0x1000_0000;
const ENDED: u64 = 0x2000_0000;
const PAGE: u64 = 1_000;
/// Longer than a call that was found alive is left alone.
const NEXT_MS: i64 = 31_000;

#[actix_web::main]
async fn main() -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let wanted = Wanted::read()?;
    let twilio = twilio(wanted.due).await?;
    let mut table: BTreeMap<(String, u64), Figures> = BTreeMap::new();
    println!("{} live calls due; medians of {} sweeps; webhooks at {}/s\n", wanted.due, wanted.runs, wanted.rate);
    println!(
        "{:<10} {:>10} {:>9} {:>14} {:>16} {:>16}",
        "", "stored", "sweep s", "nothing due ms", "p99 ms, no sweep", "p99 ms, sweeping"
    );
    for database in &wanted.databases {
        for &stored in &wanted.stored {
            let figures = measure(&wanted, database, stored, &twilio).await?;
            println!(
                "{database:<10} {stored:>10} {:>9.2} {:>14.2} {:>16.1} {:>16.1}",
                figures.sweep_s, figures.nothing_ms, figures.alone_ms, figures.beside_ms
            );
            table.insert((database.clone(), stored), figures);
        }
    }
    println!("\nratios (targets: at most 2)");
    for database in &wanted.databases {
        let of = |stored: Option<&u64>| table.get(&(database.clone(), *stored?));
        let (Some(few), Some(many)) = (of(wanted.stored.first()), of(wanted.stored.last())) else { continue };
        println!("  {database}: sweep, most / fewest stored {:>30.2}", many.sweep_s / few.sweep_s);
        println!("  {database}: nothing due, most / fewest stored {:>24.2}", many.nothing_ms / few.nothing_ms);
        for (stored, it) in wanted.stored.iter().zip([few, many]) {
            println!(
                "  {database}: webhook p99 sweeping / not, {stored:>9} stored {:>14.2}",
                it.beside_ms / it.alone_ms
            );
        }
    }
    Ok(())
}

/// What is measured; from the environment, which `bench/sweep` sets.
struct Wanted {
    stored: Vec<u64>,
    due: u64,
    runs: usize,
    rate: u64,
    databases: Vec<String>,
    folder: String,
}

impl Wanted {
    fn read() -> Result<Self> {
        let of = |name: &str, default: &str| env::var(format!("BENCH_{name}")).unwrap_or_else(|_| default.to_owned());
        let numbers = |text: String| text.split(',').map(str::parse).collect::<Result<Vec<u64>, _>>();
        let wanted = Self {
            stored: numbers(of("STORED", "10000,1000000"))?,
            due: of("DUE", "10000").parse()?,
            runs: of("RUNS", "5").parse()?,
            rate: of("RATE", "100").parse()?,
            databases: of("DATABASES", "sqlite,postgres").split(',').map(str::to_owned).collect(),
            folder: of("FOLDER", "/tmp"),
        };
        ensure!(
            wanted.stored.iter().all(|stored| *stored >= wanted.due),
            "BENCH_STORED counts those that are due, too"
        );
        ensure!(wanted.runs > 0 && wanted.rate > 0, "BENCH_RUNS and BENCH_RATE are at least 1");
        Ok(wanted)
    }
}

struct Figures {
    sweep_s: f64,
    nothing_ms: f64,
    alone_ms: f64,
    beside_ms: f64,
}

/// A Twilio whose lists name every live call.
async fn twilio(due: u64) -> Result<String> {
    let pages: Arc<Vec<String>> = Arc::new((0..due.div_ceil(PAGE)).map(|page| listed(page, due)).collect());
    let make = move || {
        let pages = pages.clone();
        let list = move |query: web::Query<HashMap<String, String>>| {
            let page = query.get("Page").and_then(|page| page.parse::<usize>().ok()).unwrap_or(0);
            let is_live = query.get("Status").is_some_and(|status| status == "in-progress");
            let body = pages.get(page).filter(|_| is_live).cloned();
            let body = body.unwrap_or_else(|| r#"{"calls":[],"next_page_uri":null}"#.to_owned());
            async move { HttpResponse::Ok().content_type("application/json").body(body) }
        };
        Web::new().route("/2010-04-01/Accounts/{account}/Calls.json", web::get().to(list))
    };
    let server = HttpServer::new(make).workers(1).disable_signals().bind("127.0.0.1:0")?;
    let address = server.addrs().first().copied().context("no address")?;
    tokio::spawn(server.run());
    Ok(format!("http://{address}"))
}

fn listed(page: u64, due: u64) -> String {
    let moment = "Fri, 02 Jan 2026 03:04:05 +0000";
    let calls: Vec<_> = (page * PAGE..due.min((page + 1) * PAGE))
        .map(|n| {
            serde_json::json!({
                "sid": sid(LIVE + n), "account_sid": ACCOUNT, "status": "in-progress", "direction": "outbound-api",
                "from": "+14155550100", "to": "+14155550101", "date_created": moment, "date_updated": moment,
                "start_time": moment, "end_time": null, "duration": null, "parent_call_sid": null,
            })
        })
        .collect();
    let next = (due > (page + 1) * PAGE).then(|| {
        format!("/2010-04-01/Accounts/{ACCOUNT}/Calls.json?Status=in-progress&PageSize={PAGE}&Page={}", page + 1)
    });
    serde_json::json!({ "calls": calls, "next_page_uri": next }).to_string()
}

fn sid(n: u64) -> String {
    format!("CA{n:032x}")
}

async fn measure(wanted: &Wanted, database: &str, stored: u64, twilio: &str) -> Result<Figures> {
    let place = Place::make(database, &wanted.folder).await?;
    let clock = ManualClock::new(START_MS);
    let app = App::build(config(&place.url, twilio)?, clock.shared(), StdRng::seed_from_u64(1)).await?;
    let (address, sweeper) = (format!("http://{}", app.address()), app.gateway().sweeper.clone());
    let stop = CancellationToken::new();
    let running = tokio::spawn(app.run(stop.clone()));

    let posts = Posts { client: Client::new(), url: address, number: AtomicU64::new(0x3000_0000) };
    posts.post(LIVE, "in-progress").await?;
    posts.post(ENDED, "completed").await?;
    place.fill(LIVE, wanted.due - 1).await?;
    place.fill(ENDED, stored.saturating_sub(wanted.due + 1)).await?;
    place.settle().await?;
    let figures = passes(wanted, &sweeper, &clock, Arc::new(posts)).await;

    stop.cancel();
    running.await??;
    place.remove().await?;
    figures
}

async fn passes(wanted: &Wanted, sweeper: &Sweeper, clock: &ManualClock, posts: Arc<Posts>) -> Result<Figures> {
    // The first one fills caches and is not counted.
    clock.advance(NEXT_MS * 3);
    sweep(wanted, sweeper).await?;
    let (mut sweeps, mut nothings) = (Vec::new(), Vec::new());
    for _ in 0..wanted.runs {
        let watch = Stopwatch::start();
        ensure!(sweeper.tick().await?.looked == 0, "something was due that should not be");
        nothings.push(watch.seconds() * 1e3);
        clock.advance(NEXT_MS);
        sweeps.push(sweep(wanted, sweeper).await?);
    }
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let middle = median(&mut sweeps.clone());
    // In turn, so that what the machine does meanwhile hits both.
    for _ in 0..wanted.runs {
        let over = Arc::new(AtomicBool::new(false));
        let load = tokio::spawn(load(posts.clone(), wanted.rate, over.clone()));
        tokio::time::sleep(Duration::from_secs_f64(middle.max(1.0))).await;
        over.store(true, Ordering::Relaxed);
        alone.extend(load.await??);

        clock.advance(NEXT_MS);
        let over = Arc::new(AtomicBool::new(false));
        let load = tokio::spawn(self::load(posts.clone(), wanted.rate, over.clone()));
        sweep(wanted, sweeper).await?;
        over.store(true, Ordering::Relaxed);
        beside.extend(load.await??);
    }
    Ok(Figures {
        sweep_s: middle,
        nothing_ms: median(&mut nothings),
        alone_ms: p99(&mut alone),
        beside_ms: p99(&mut beside),
    })
}

/// A sweep that finds every live call alive, in seconds.
async fn sweep(wanted: &Wanted, sweeper: &Sweeper) -> Result<f64> {
    let watch = Stopwatch::start();
    let report = sweeper.tick().await?;
    let seconds = watch.seconds();
    ensure!(report.looked == wanted.due && report.alive == wanted.due, "the sweep did something else: {report:?}");
    Ok(seconds)
}

/// Webhooks at a rate until it is over; how long each took from when it was to be sent, in milliseconds.
async fn load(posts: Arc<Posts>, rate: u64, over: Arc<AtomicBool>) -> Result<Vec<f64>> {
    let mut turns = tokio::time::interval(Duration::from_micros(1_000_000 / rate));
    turns.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = JoinSet::new();
    while !over.load(Ordering::Relaxed) {
        turns.tick().await;
        let (posts, watch) = (posts.clone(), Stopwatch::start());
        sent.spawn(async move {
            let number = posts.number.fetch_add(1, Ordering::Relaxed);
            posts.post(number, "completed").await.map(|()| watch.seconds() * 1e3)
        });
    }
    sent.join_all().await.into_iter().collect()
}

/// Posts status callbacks as Twilio does.
struct Posts {
    client: Client,
    url: String,
    number: AtomicU64,
}

impl Posts {
    async fn post(&self, number: u64, status: &str) -> Result<()> {
        let parameters = [
            ("CallSid", sid(number)),
            ("AccountSid", ACCOUNT.to_owned()),
            ("CallStatus", status.to_owned()),
            ("Direction", "outbound-api".to_owned()),
            ("From", "+14155550100".to_owned()),
            ("To", "+14155550101".to_owned()),
            ("SequenceNumber", "2".to_owned()),
        ];
        let body = serde_urlencoded::to_string(parameters)?;
        let form = Form::parse(body.as_bytes()).ok().context("a form")?;
        let signature = signature::sign(TOKEN, &format!("{PUBLIC_URL}/webhooks/twilio/status"), Some(&form));
        let request = self.client.post(format!("{}/webhooks/twilio/status", self.url)).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.header("x-twilio-signature", signature).send().await?;
        ensure!(answer.status() == 204, "a webhook was answered {}", answer.status());
        Ok(())
    }
}

fn config(database_url: &str, twilio: &str) -> Result<Config> {
    let settings = [
        ("ONHOOK_DATABASE_URL", database_url),
        ("ONHOOK_LISTEN", "127.0.0.1:0"),
        ("ONHOOK_PUBLIC_URL", PUBLIC_URL),
        ("ONHOOK_API_KEY", "the-key-of-the-benchmark"),
        ("ONHOOK_SECRET_KEY", "c2l4dGVlbiBieXRlcyBvciB0aGlydHkgdHdvIG9uZXM="),
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("TWILIO_AUTH_TOKEN", TOKEN),
        ("ONHOOK_TWILIO_API_BASE", twilio),
        ("ONHOOK_TWILIO_REQUESTS_PER_SECOND", "1000"),
        ("ONHOOK_SWEEP_INTERVAL", "0"),
    ];
    let env = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Ok(Config::load(Sources { env, ..Sources::default() })?.config)
}

/// A database of its own.
struct Place {
    url: String,
    /// The server's URL and the database's name; none for a file.
    server: Option<(String, String)>,
    file: String,
}

impl Place {
    async fn make(database: &str, folder: &str) -> Result<Self> {
        let file = format!("{folder}/onhook-bench-sweep-{}.db", process::id());
        if database == "sqlite" {
            let place = Self { url: format!("sqlite://{file}"), server: None, file };
            place.remove().await?;
            return Ok(place);
        }
        let server = env::var("ONHOOK_TEST_POSTGRES_URL").context("bench/sweep sets ONHOOK_TEST_POSTGRES_URL")?;
        let name = format!("onhook_bench_sweep_{}", process::id());
        let mut url: url::Url = server.parse()?;
        url.set_path(&name);
        let place = Self { url: url.into(), server: Some((server, name.clone())), file };
        place.remove().await?;
        place.on_server(format!("CREATE DATABASE {name}")).await?;
        Ok(place)
    }

    /// Copies of the call with this number, under the numbers that follow.
    async fn fill(&self, from: u64, copies: u64) -> Result<()> {
        let mut done = 0;
        while done < copies {
            let next = copies.min(done + 100_000);
            let (first, last) = (from + done + 1, from + next);
            self.copy(from, first, last).await?;
            done = next;
        }
        Ok(())
    }

    async fn copy(&self, from: u64, first: u64, last: u64) -> Result<()> {
        let template = sid(from);
        if self.server.is_none() {
            let mut on = SqliteConnection::connect(&self.url).await?;
            let names = sqlx::query_scalar("SELECT name FROM pragma_table_info('call')").fetch_all(&mut on).await?;
            let (names, values) = columns(&names, "'CA' || printf('%032x', s.n)");
            on.execute(AssertSqlSafe(format!(
                "PRAGMA busy_timeout = 60000; PRAGMA synchronous = OFF;
                 WITH RECURSIVE s(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last})
                 INSERT INTO call ({names}) SELECT {values} FROM s, call AS t WHERE t.provider_id = '{template}'"
            )))
            .await?;
            return Ok(());
        }
        let mut on = PgConnection::connect(&self.url).await?;
        let all = "SELECT column_name::text FROM information_schema.columns
                   WHERE table_schema = 'onhook' AND table_name = 'call'";
        let names = sqlx::query_scalar(all).fetch_all(&mut on).await?;
        let (names, values) = columns(&names, "'CA' || lpad(to_hex(s.n), 32, '0')");
        on.execute(AssertSqlSafe(format!(
            "INSERT INTO onhook.call ({names}) SELECT {values} FROM generate_series({first}::bigint, {last}::bigint) AS s(n),
             onhook.call AS t WHERE t.provider_id = '{template}'"
        )))
        .await?;
        Ok(())
    }

    /// What a database does by itself after a while.
    async fn settle(&self) -> Result<()> {
        if self.server.is_none() {
            SqliteConnection::connect(&self.url).await?.execute("PRAGMA wal_checkpoint(TRUNCATE)").await?;
        } else {
            let mut on = PgConnection::connect(&self.url).await?;
            on.execute("VACUUM ANALYZE onhook.call").await?;
            on.execute("CHECKPOINT").await?;
        }
        Ok(())
    }

    async fn remove(&self) -> Result<()> {
        if let Some((_, name)) = &self.server {
            return self.on_server(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        }
        for end in ["", "-wal", "-shm", ".key"] {
            let path = format!("{}{end}", self.file);
            if Path::new(&path).exists() {
                std::fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    async fn on_server(&self, statement: String) -> Result<()> {
        let Some((server, _)) = &self.server else { return Ok(()) };
        PgConnection::connect(server).await?.execute(AssertSqlSafe(statement)).await?;
        Ok(())
    }
}

/// The columns of a copy, and what is in them.
fn columns(names: &[String], sid: &str) -> (String, String) {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let values = names.iter().map(|name| match name.as_str() {
        "provider_id" => sid.to_owned(),
        "id" => "'call_bench_' || s.n".to_owned(),
        _ => format!("t.\"{name}\""),
    });
    (quoted.join(", "), values.collect::<Vec<_>>().join(", "))
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn p99(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() * 99 / 100).copied().unwrap_or(f64::NAN)
}
