//! The manager port of an Asterisk, as far as logging in, being asked and telling events goes.

use md5::{Digest, Md5};
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::broadcast,
    task::JoinHandle,
};

/// It runs until it is dropped.
pub struct Asterisk {
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    events: broadcast::Sender<String>,
    running: JoinHandle<()>,
}

/// How it is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub secret: &'static str,
    /// The lines of `ListCommands`.
    pub commands: &'static str,
    /// An event that is told after each login.
    pub event: &'static str,
}

pub const LEAST: &str = "Redirect: Redirect.  (Priv: call,all)\r\nCoreSettings: x  (Priv: system,reporting,all)\r\n\
    CoreShowChannels: x  (Priv: system,reporting,all)\r\nDeviceStateList: x  (Priv: call,reporting,all)\r\n\
    ExtensionStateList: x  (Priv: call,reporting,all)\r\nHangup: x  (Priv: system,call,all)\r\n\
    Originate: x  (Priv: originate,all)\r\nStatus: x  (Priv: system,call,reporting,all)\r\n";
const CHALLENGE: &str = "622055135";
pub const NEWCHANNEL: &str = "Event: Newchannel\r\nPrivilege: call,all\r\nTimestamp: 1767323045.000000\r\n\
    Channel: PJSIP/2001-00000001\r\nChannelState: 4\r\nCallerIDNum: 4155550132\r\nExten: 2002\r\n\
    Uniqueid: 1767323045.1\r\nLinkedid: 1767323045.1\r\n";

impl Asterisk {
    /// With the least rights, and an event of a call after each login.
    pub async fn start(secret: &'static str) -> Self {
        Self::with(Setup { secret, commands: LEAST, event: NEWCHANNEL }).await
    }

    pub async fn with(setup: Setup) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, events) = (Arc::new(Mutex::new(Vec::new())), broadcast::channel(100).0);
        let (noted, told) = (asked.clone(), events.clone());
        let running = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, setup, noted.clone(), told.subscribe()));
            }
        });
        Self { port, asked, events, running }
    }

    pub fn url(&self) -> String {
        format!("ami://127.0.0.1:{}", self.port)
    }

    /// The names of the actions that were asked for.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Tells an event to everybody who listens; answers how many that are.
    pub fn tell(&self, event: &str) -> usize {
        self.events.send(event.to_owned()).unwrap_or_default()
    }
}

impl Drop for Asterisk {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn serve(
    stream: TcpStream,
    setup: Setup,
    asked: Arc<Mutex<Vec<String>>>,
    mut events: broadcast::Receiver<String>,
) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let _ = write.write_all(b"Asterisk Call Manager/5.0.4\r\n").await;
    let (mut headers, mut is_in) = (Vec::<(String, String)>::new(), false);
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line,
            event = events.recv() => {
                if let (Ok(event), true) = (event, is_in) {
                    let _ = write.write_all(format!("{event}\r\n").as_bytes()).await;
                }
                continue;
            }
        };
        let Ok(Some(line)) = line else { return };
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.to_owned(), value.trim().to_owned()));
            continue;
        }
        let of = |name: &str| headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
        let action = of("Action").to_owned();
        asked.lock().unwrap().push(action.clone());
        let is_right = of("Secret") == setup.secret || of("Key") == digest(setup.secret);
        let answer = answer(&action, &setup, is_right, is_in);
        is_in |= action == "Login" && is_right;
        let id = format!("ActionID: {}\r\n", of("ActionID"));
        let told = answer.replace("{id}", &id);
        let _ = write.write_all(told.as_bytes()).await;
        if action == "Login" && is_in {
            let _ = write.write_all(format!("{}\r\n", setup.event).as_bytes()).await;
        }
        if action == "Logoff" || action == "Login" && !is_in {
            return;
        }
        headers.clear();
    }
}

fn digest(secret: &str) -> String {
    hex::encode(Md5::digest(format!("{CHALLENGE}{secret}")))
}

/// What an action is answered; `{id}` stands for its ActionID.
fn answer(action: &str, setup: &Setup, is_right: bool, is_in: bool) -> String {
    let list = |name: &str| {
        format!(
            "Response: Success\r\n{{id}}EventList: start\r\n\r\nEvent: {name}Complete\r\n{{id}}EventList: Complete\r\nListItems: 0\r\n\r\n"
        )
    };
    match action {
        "Login" if is_right => "Response: Success\r\n{id}Message: Authentication accepted\r\n\r\n\
            Event: FullyBooted\r\nPrivilege: system,all\r\nUptime: 60\r\nLastReload: 60\r\n\r\n"
            .to_owned(),
        "Challenge" => format!("Response: Success\r\n{{id}}Challenge: {CHALLENGE}\r\n\r\n"),
        "Login" => "Response: Error\r\n{id}Message: Authentication failed\r\n\r\n".to_owned(),
        _ if !is_in => "Response: Error\r\n{id}Message: Permission denied\r\n\r\n".to_owned(),
        "Ping" => "Response: Success\r\n{id}Ping: Pong\r\n\r\n".to_owned(),
        "ListCommands" => format!("Response: Success\r\n{{id}}{}\r\n", setup.commands),
        "CoreSettings" => {
            "Response: Success\r\n{id}AMIversion: 5.0.4\r\nAsteriskVersion: 16.28.0\r\nCoreCDRenabled: Yes\r\n\r\n"
                .to_owned()
        }
        "CoreShowChannels" | "Status" | "DeviceStateList" | "ExtensionStateList" => list(action),
        "Logoff" => "Response: Goodbye\r\n{id}Message: Thanks for all the fish.\r\n\r\n".to_owned(),
        _ => "Response: Success\r\n{id}\r\n".to_owned(),
    }
}
