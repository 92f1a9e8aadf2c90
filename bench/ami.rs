//! Measures the Asterisk side: what an event costs to read and put together, whether a gateway keeps up with 200 calls in
//! ten seconds, and how soon it is in step again with 500 live channels. `bench/ami` runs it; `bench/README.md` explains it.

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use onhook::{
    ami::{
        correlator::{Correlator, Heard, Rules},
        frame::{Frame, Frames},
    },
    clock::{Clock, Stopwatch, SystemClock},
    domain::state::Outcome,
};
use reqwest::Client;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    env, fs,
    net::TcpListener as StdListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Mutex, broadcast, watch},
    time::{sleep, timeout},
};
use tokio_util::codec::Decoder;

const CAPTURE: &str = include_str!("../fixtures/ami/answered_caller_hangs_up.txt");
const KEY: &str = "the-key-of-the-benchmark";
const CALLS: usize = 200;
const SECONDS: f64 = 10.0;
/// Messages of a call: what the capture has, and as many of its `VarSet` again as are missing.
const MESSAGES: usize = 110;
/// The ending of the whole call is told so long after its last leg's.
const HOLD_SECONDS: f64 = 2.0;
const LIVE_CALLS: usize = 250;
const RUNS: usize = 5;

#[tokio::main]
async fn main() -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tape = Tape::of(CAPTURE)?;
    println!("a call has {} messages, {} bytes", tape.messages.len(), tape.bytes());
    parse_and_correlate(&tape)?;
    println!("\n{CALLS} calls in {SECONDS} s; {} live channels at a reconnect", 2 * LIVE_CALLS);
    println!("| database | messages | lag: median | p99 | greatest | peak RSS | connected again | every row written |");
    println!("|---|---|---|---|---|---|---|---|");
    for database in env::var("BENCH_DATABASES").as_deref().unwrap_or("sqlite,postgres").split(',') {
        let place = Place::make(database, "load")?;
        let load = load(&place, &tape).await.context(database.to_owned())?;
        let place = Place::make(database, "reconnect")?;
        let (step_ms, whole_ms) = reconnect(&place).await.context(database.to_owned())?;
        let [middle, p99, most] = load.lags_ms;
        println!(
            "| {database} | {} | {middle:.0} ms | {p99:.0} ms | {most:.0} ms | {:.1} MB | {step_ms} ms | {whole_ms} ms |",
            load.messages, load.peak_mb
        );
    }
    Ok(())
}

/// CPU of one thread for each message, from bytes to signals.
fn parse_and_correlate(tape: &Tape) -> Result<()> {
    let bytes = tape.interleaved(CALLS).concat().into_bytes();
    let (mut reading, mut both) = (Vec::new(), Vec::new());
    let mut counted = (0, 0);
    for _ in 0..=RUNS {
        counted = (0, 0);
        let mut correlator = Correlator::new(Rules { account: "pbx".to_owned(), if_answered: Outcome::Completed });
        correlator.connected(0);
        let _ = correlator.resync(&Default::default(), Default::default());
        let before = cpu_ns()?;
        let messages = cut(&bytes)?;
        let cut_ns = cpu_ns()?;
        for (at, message) in messages.iter().enumerate() {
            let ms = 1_800_000_000_000 + i64::try_from(at)?;
            let signals = correlator.absorb(message, Heard { received_ms: ms, at_ms: Some(ms) });
            counted = (counted.0 + 1, counted.1 + signals.len());
        }
        let end_ns = cpu_ns()?;
        reading.push((cut_ns - before) / f64::from(u32::try_from(messages.len())?) / 1e3);
        both.push((end_ns - before) / f64::from(u32::try_from(messages.len())?) / 1e3);
    }
    // The first one fills caches and is not counted.
    let (reading, both) = (share(&mut reading, 1, 0.5), share(&mut both, 1, 0.5));
    println!(
        "parse + correlate, no store, one thread: {both:.2} µs CPU a message, {reading:.2} of them to read it \
         (median of {RUNS}; {} messages, {} signals)",
        counted.0, counted.1
    );
    Ok(())
}

fn cut(bytes: &[u8]) -> Result<Vec<onhook::ami::Message>> {
    let mut frames = Frames::default();
    let mut waiting = BytesMut::from(&b"Asterisk Call Manager/5.0.4\r\n"[..]);
    let mut messages = Vec::new();
    // As much as a socket gives at once.
    for part in bytes.chunks(16_384) {
        waiting.extend_from_slice(part);
        while let Some(frame) = frames.decode(&mut waiting)? {
            if let Frame::Message(message) = frame {
                messages.push(message);
            }
        }
    }
    Ok(messages)
}

/// What a gateway under load did.
struct Load {
    messages: usize,
    /// From when an event was sent until the API shows it: median, 99th percentile, greatest.
    lags_ms: [f64; 3],
    peak_mb: f64,
}

/// When what was sent that must be seen: by the id of the channel, in seconds.
#[derive(Default)]
struct Sent {
    begun: BTreeMap<String, f64>,
    ended: BTreeMap<String, f64>,
}

async fn load(place: &Place, tape: &Tape) -> Result<Load> {
    let peer = Peer::listen(String::new()).await?;
    let gateway = Gateway::start(place, peer.port)?;
    gateway.until_connected().await?;
    let (sent, began) = (Arc::new(Mutex::new(Sent::default())), Arc::new(Stopwatch::start()));
    let over = Arc::new(AtomicBool::new(false));
    let watching = tokio::spawn(gateway.watching().lags(sent.clone(), began.clone(), over.clone()));
    let all = tape.interleaved(CALLS);
    let messages = all.len();
    for (at, message) in all.into_iter().enumerate() {
        let due = f64::from(u32::try_from(at)?) / f64::from(u32::try_from(messages)?) * SECONDS;
        if due > began.seconds() + 0.005 {
            sleep(Duration::from_secs_f64(due - began.seconds())).await;
        }
        if let Some((id, event)) = header(&message, "Uniqueid: ").zip(header(&message, "Event: ")) {
            let mut sent = sent.lock().await;
            let _ = match event.as_str() {
                "Newchannel" => sent.begun.insert(id, began.seconds()),
                "Hangup" => {
                    // The whole call ends with the last of its legs.
                    let whole = header(&message, "Linkedid: ").context("the call of a channel")?;
                    sent.ended.insert(whole, began.seconds());
                    sent.ended.insert(id, began.seconds())
                }
                _ => None,
            };
        }
        let _ = peer.world.send(message.into_bytes());
    }
    gateway.until("completed", 2 * CALLS).await?;
    over.store(true, Ordering::Relaxed);
    let mut lags = watching.await??;
    ensure!(lags.len() == 4 * CALLS, "{} beginnings and endings were seen, not {}", lags.len(), 4 * CALLS);
    let lags_ms = [0.5, 0.99, 1.0].map(|of| 1e3 * share(&mut lags, 0, of));
    Ok(Load { messages, lags_ms, peak_mb: gateway.peak_mb()? })
}

/// From the accepted connection until it says it is connected, and until every live call is in the database.
async fn reconnect(place: &Place) -> Result<(i64, i64)> {
    let peer = Peer::listen(listed(LIVE_CALLS)).await?;
    peer.weather.send_replace(false);
    let gateway = Gateway::start(place, peer.port)?;
    gateway.until_ready().await?;
    let before = peer.accepted.load(Ordering::Relaxed);
    peer.weather.send_replace(true);
    while peer.accepted.load(Ordering::Relaxed) == before {
        sleep(Duration::from_millis(1)).await;
    }
    let back = Stopwatch::start();
    gateway.until_connected().await?;
    let step_ms = millis(&back);
    gateway.until("in-progress", 2 * LIVE_CALLS).await?;
    Ok((step_ms, millis(&back)))
}

/// The messages of one captured call.
struct Tape {
    messages: Vec<String>,
    ids: [String; 2],
}

impl Tape {
    fn of(capture: &str) -> Result<Self> {
        let all: Vec<&str> = capture.split("\r\n\r\n").collect();
        let first = all.iter().position(|message| message.contains("Event: Newchannel")).context("a call")?;
        let id = header(all.get(first).context("a call")?, "Uniqueid: ").context("an id")?;
        let (stem, number) = id.rsplit_once('.').context("an id with a number")?;
        let next: u64 = number.parse::<u64>()? + 1;
        let ids = [id.clone(), format!("{stem}.{next}")];
        let messages = all.iter().skip(first).filter(|message| !message.trim().is_empty());
        let messages = messages.filter(|message| message.starts_with("Event") && !message.contains("ActionID"));
        let all: Vec<String> = messages.map(|message| format!("{message}\r\n\r\n")).collect();
        let (mut missing, mut messages) = (MESSAGES.saturating_sub(all.len()), Vec::new());
        for message in all {
            if missing > 0 && message.contains("Event: VarSet") {
                missing -= 1;
                messages.push(message.clone());
            }
            messages.push(message);
        }
        Ok(Self { messages, ids })
    }

    fn bytes(&self) -> usize {
        self.messages.iter().map(String::len).sum()
    }

    /// The messages of so many calls, each a little later than the one before, with ids of their own.
    fn interleaved(&self, calls: usize) -> Vec<String> {
        let last = self.messages.len() - 1;
        let step = 7;
        let mut out = Vec::new();
        for turn in 0..=(calls - 1) * step + last {
            for call in 0..calls {
                let Some(message) = turn.checked_sub(call * step).and_then(|at| self.messages.get(at)) else {
                    continue;
                };
                out.push(self.numbered(message, call));
            }
        }
        out
    }

    fn numbered(&self, message: &str, call: usize) -> String {
        let [near, far] = &self.ids;
        message
            .replace(far, &format!("bench-1800000000.{}", 2 * call + 1))
            .replace(near, &format!("bench-1800000000.{}", 2 * call))
            .replace("-0000000", &format!("-{call:06x}"))
            .replace("BridgeUniqueid: ", &format!("BridgeUniqueid: {call:06x}"))
    }
}

fn header(message: &str, name: &str) -> Option<String> {
    message.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
}

/// What `CoreShowChannels` lists: so many calls of two channels that talk.
fn listed(calls: usize) -> String {
    let mut items = String::new();
    for call in 0..calls {
        for (leg, exten) in [(0, "2001"), (1, "2002")] {
            let (uniqueid, linkedid) = (2 * call + leg, 2 * call);
            let application = if leg == 0 { "Dial" } else { "AppDial" };
            items.push_str(&format!(
                "Event: CoreShowChannel\r\nActionID: @\r\nChannel: PJSIP/{exten}-{uniqueid:08x}\r\nChannelState: 6\r\n\
                 ChannelStateDesc: Up\r\nCallerIDNum: {exten}\r\nCallerIDName: Phone\r\nConnectedLineNum: 2002\r\n\
                 Context: phones\r\nExten: 2002\r\nPriority: 1\r\nUniqueid: bench-1800000000.{uniqueid}\r\n\
                 Linkedid: bench-1800000000.{linkedid}\r\nApplication: {application}\r\nDuration: 00:01:00\r\n\
                 BridgeId: bridge-{call}\r\n\r\n"
            ));
        }
    }
    format!(
        "Response: Success\r\nActionID: @\r\nEventList: start\r\nMessage: Channels will follow\r\n\r\n{items}\
         Event: CoreShowChannelsComplete\r\nActionID: @\r\nEventList: Complete\r\nListItems: {}\r\n\r\n",
        2 * calls
    )
}

/// A PBX that says what it is told to.
struct Peer {
    port: u16,
    world: broadcast::Sender<Vec<u8>>,
    /// Whether it takes connections.
    weather: watch::Sender<bool>,
    accepted: Arc<AtomicUsize>,
}

impl Peer {
    async fn listen(channels: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (world, _) = broadcast::channel(100_000);
        let weather = watch::Sender::new(true);
        let accepted = Arc::new(AtomicUsize::new(0));
        let (sender, watched, count) = (world.clone(), weather.subscribe(), accepted.clone());
        let channels: Arc<str> = channels.into();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                if *watched.borrow() {
                    count.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(talk(socket, sender.subscribe(), channels.clone()));
                }
            }
        });
        Ok(Self { port, world, weather, accepted })
    }
}

async fn talk(socket: TcpStream, mut world: broadcast::Receiver<Vec<u8>>, channels: Arc<str>) -> Result<()> {
    socket.set_nodelay(true)?;
    let (read, mut write) = socket.into_split();
    write.write_all(b"Asterisk Call Manager/5.0.4\r\n").await?;
    let mut lines = BufReader::new(read).lines();
    let (mut action, mut hears) = (Vec::new(), false);
    loop {
        tokio::select! {
            line = lines.next_line() => match line?.context("closed")? {
                line if line.is_empty() => {
                    hears |= action.iter().any(|line: &String| line.starts_with("Events: ") && !line.ends_with("off"));
                    write.write_all(answer(&std::mem::take(&mut action), &channels).as_bytes()).await?;
                }
                line => action.push(line),
            },
            message = world.recv() => if hears { write.write_all(&message?).await?; } else { message?; },
        }
    }
}

fn answer(action: &[String], channels: &str) -> String {
    let of = |name: &str| action.iter().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let now = SystemClock.now_ms();
    let id = of("ActionID: ");
    let head = format!("Response: Success\r\nActionID: {id}\r\n");
    match of("Action: ") {
        "Challenge" => format!("{head}Challenge: 123456789\r\n\r\n"),
        "Login" => format!(
            "{head}Message: Authentication accepted\r\n\r\nEvent: FullyBooted\r\nPrivilege: system,all\r\n\
             Uptime: 100000\r\nLastReload: 100000\r\nStatus: Fully Booted\r\n\r\n"
        ),
        "Ping" => format!("{head}Ping: Pong\r\nTimestamp: {}.{:03}000\r\n\r\n", now / 1000, now % 1000),
        "CoreSettings" => format!(
            "{head}AMIversion: 5.0.4\r\nAsteriskVersion: 16.28.0\r\nSystemName: bench\r\nCoreCDRenabled: Yes\r\n\r\n"
        ),
        "CoreStatus" => format!("{head}CoreCurrentCalls: 0\r\n\r\n"),
        "CoreShowChannels" if !channels.is_empty() => channels.replace('@', id),
        name => {
            let name = match name {
                "CoreShowChannels" => "CoreShowChannelsComplete",
                "Status" => "StatusComplete",
                "DeviceStateList" => "DeviceStateListComplete",
                "ExtensionStateList" => "ExtensionStateListComplete",
                _ => return format!("Response: Error\r\nActionID: {id}\r\nMessage: Permission denied\r\n\r\n"),
            };
            format!(
                "{head}EventList: start\r\nMessage: List will follow\r\n\r\n\
                 Event: {name}\r\nActionID: {id}\r\nEventList: Complete\r\nListItems: 0\r\nItems: 0\r\n\r\n"
            )
        }
    }
}

/// A database of its own for each measurement; it goes with it.
struct Place {
    url: String,
    folder: Option<tempfile::TempDir>,
    on_server: Option<(String, String)>,
}

impl Place {
    fn make(database: &str, what: &str) -> Result<Self> {
        if database == "sqlite" {
            let folder = tempfile::tempdir()?;
            let url = format!("sqlite://{}", folder.path().join("onhook.db").display());
            return Ok(Self { url, folder: Some(folder), on_server: None });
        }
        let server = env::var("ONHOOK_TEST_POSTGRES_URL").context("bench/ami sets ONHOOK_TEST_POSTGRES_URL")?;
        let name = format!("onhook_bench_ami_{}_{what}", std::process::id());
        let mut url: url::Url = server.parse()?;
        url.set_path(&name);
        psql(&server, &format!("CREATE DATABASE {name}"))?;
        Ok(Self { url: url.into(), folder: None, on_server: Some((server, name)) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((server, name)) = &self.on_server {
            let _ = psql(server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
        drop(self.folder.take());
    }
}

fn psql(server: &str, sql: &str) -> Result<()> {
    let done = Command::new("psql").args(["-q", server, "-c", sql]).status().context("psql")?;
    ensure!(done.success(), "psql failed at {sql}");
    Ok(())
}

/// `onhook serve` as it runs, so that its memory is its own.
struct Gateway {
    process: Child,
    port: u16,
    client: Client,
}

struct Watching {
    port: u16,
    client: Client,
}

impl Gateway {
    fn start(place: &Place, ami: u16) -> Result<Self> {
        let port = StdListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let binary: PathBuf = env::current_exe()?.parent().and_then(|p| p.parent()).context("a folder")?.join("onhook");
        let process = Command::new(binary)
            .arg("serve")
            .env_clear()
            .envs([
                ("ONHOOK_DATABASE_URL", place.url.as_str()),
                ("ONHOOK_LISTEN", &format!("127.0.0.1:{port}")),
                ("ONHOOK_API_KEY", KEY),
                ("ONHOOK_SECRET_KEY", "c2l4dGVlbiBieXRlcyBvciB0aGlydHkgdHdvIG9uZXM="),
                ("ONHOOK_AMI_URL", &format!("ami://gateway:secret@127.0.0.1:{ami}")),
                ("ONHOOK_LOG", "warn"),
            ])
            .stdout(Stdio::null())
            .spawn()
            .context("onhook is not built beside this program")?;
        Ok(Self { process, port, client: Client::new() })
    }

    fn watching(&self) -> Watching {
        Watching { port: self.port, client: self.client.clone() }
    }

    async fn until_ready(&self) -> Result<()> {
        self.wait("be ready", |this| async move { Ok(this.get("/v1/accounts/pbx").await.is_ok()) }).await
    }

    async fn until_connected(&self) -> Result<()> {
        self.wait("connect", |this| async move {
            let account = this.get("/v1/accounts/pbx").await.unwrap_or_default();
            Ok(account.pointer("/connection/state").is_some_and(|state| state == "connected"))
        })
        .await
    }

    /// Waits until so many calls and legs have this status.
    async fn until(&self, status: &str, calls: usize) -> Result<()> {
        let status = status.to_owned();
        self.wait("tell every call", move |this| {
            let status = status.clone();
            async move { Ok(this.count(&status).await? >= calls) }
        })
        .await
    }

    async fn wait<F: Future<Output = Result<bool>>>(
        &self,
        what: &str,
        mut done: impl FnMut(Watching) -> F,
    ) -> Result<()> {
        let waited = timeout(Duration::from_secs(60), async {
            while !done(self.watching()).await? {
                sleep(Duration::from_millis(5)).await;
            }
            Ok::<(), anyhow::Error>(())
        });
        waited.await.with_context(|| format!("the gateway did not {what} within a minute"))?
    }

    /// The most resident memory it ever had.
    fn peak_mb(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Watching {
    async fn get(&self, path: &str) -> Result<Value> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        Ok(self.client.get(url).bearer_auth(KEY).send().await?.error_for_status()?.json().await?)
    }

    /// How many calls and legs have this status.
    async fn count(&self, status: &str) -> Result<usize> {
        let (mut count, mut cursor) = (0, String::new());
        loop {
            let page = self.get(&format!("/v1/calls?status={status}&limit=200{cursor}")).await?;
            count += page.get("data").and_then(Value::as_array).context("rows")?.len();
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(count),
            }
        }
    }

    /// How long after it was sent each beginning and each ending is seen, in seconds; looks every 50 ms.
    async fn lags(self, sent: Arc<Mutex<Sent>>, clock: Arc<Stopwatch>, over: Arc<AtomicBool>) -> Result<Vec<f64>> {
        let mut lags = Vec::new();
        loop {
            let is_last = over.load(Ordering::Relaxed);
            let page = self.get("/v1/calls?limit=200").await?;
            let (now, mut sent) = (clock.seconds(), sent.lock().await);
            for row in page.get("data").and_then(Value::as_array).context("rows")? {
                let id = row.get("provider_id").and_then(Value::as_str).context("an id")?;
                lags.extend(sent.begun.remove(id).map(|at| now - at));
                if row.get("status").is_some_and(|status| status == "completed") {
                    let hold = if row.get("parent_id").is_none_or(Value::is_null) { HOLD_SECONDS } else { 0.0 };
                    lags.extend(sent.ended.remove(id).map(|at| now - at - hold));
                }
            }
            drop(sent);
            if is_last {
                return Ok(lags);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// What this thread has used of its processor.
fn cpu_ns() -> Result<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().context("a figure")?.parse()?)
}

/// The value below which this share of them lies; the first few are not counted.
fn share(values: &mut Vec<f64>, but_first: usize, of: f64) -> f64 {
    values.drain(..but_first);
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * of) as usize).copied().unwrap_or(f64::NAN)
}

fn millis(watch: &Stopwatch) -> i64 {
    (watch.seconds() * 1e3) as i64
}
