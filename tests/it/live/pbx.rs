//! An Asterisk of the test's own: started, killed, frozen and asked for things over its AMI.

use super::line::{PATIENCE, now_ms, token};
use std::{
    collections::BTreeMap,
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::{sleep, timeout},
};

/// A running Asterisk. Killed with the value.
pub struct Pbx {
    folder: PathBuf,
    process: Child,
    booted_ms: i64,
    /// Ports of AMI, plain and with TLS.
    pub ami: u16,
    pub amis: u16,
    /// Where phones register.
    pub sip: SocketAddr,
}

impl Pbx {
    /// One with a folder of this name, booted.
    pub async fn start(name: &str) -> Self {
        let all = env::var_os("ONHOOK_TEST_ASTERISK_DIR").expect(
            "there is no Asterisk to test with (ONHOOK_TEST_ASTERISK_DIR is not set): run scripts/test, which brings one",
        );
        let folder = Path::new(&all).join(name);
        let (ami, amis) = (free_port(), free_port());
        let sip = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let process = run(&folder, ami, amis, sip.port());
        let mut pbx = Self { folder, process, booted_ms: 0, ami, amis, sip };
        pbx.until_booted().await;
        pbx
    }

    /// Waits until a restart could be told from its clock: it says for how many whole seconds it runs, so two boots within
    /// three seconds look like one.
    pub async fn until_boots_differ(&self) {
        let left_ms = self.booted_ms + 4_000 - now_ms();
        sleep(Duration::from_millis(left_ms.try_into().unwrap_or(0))).await;
    }

    /// Pulls its plug.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again after [`Self::kill`], with everything as it was but the calls.
    pub async fn start_again(&mut self) {
        self.process = run(&self.folder, self.ami, self.amis, self.sip.port());
        self.until_booted().await;
    }

    /// Stops it where it stands; [`Self::thaw`] lets it go on.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success(), "kill {signal} failed");
    }

    /// Asks for something as a user with every right; the headers of the answer, which must not be an error.
    pub async fn ask(&self, action: &str, fields: &[(&str, &str)]) -> BTreeMap<String, String> {
        let asked = timeout(PATIENCE, async {
            let mut session = Session::login(self.ami).await?;
            session.ask(action, fields).await
        });
        let answer = asked.await.expect("Asterisk does not answer").expect("Asterisk closed the connection");
        let refused = answer.get("Response").is_none_or(|word| word == "Error");
        assert!(!refused, "{action} {fields:?} was refused: {answer:?}");
        answer
    }

    async fn until_booted(&mut self) {
        let booted = timeout(PATIENCE, async {
            while !Session::has_booted(self.ami).await {
                if let Some(status) = self.process.try_wait().unwrap() {
                    panic!("Asterisk ended with {status}:\n{}", self.log());
                }
                sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(booted.await.is_ok(), "Asterisk did not boot:\n{}", self.log());
        self.booted_ms = now_ms();
    }

    fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        format!("{}{}", read("out"), read("log/messages"))
    }
}

impl Drop for Pbx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(folder: &Path, ami: u16, amis: u16, sip: u16) -> Child {
    fs::create_dir_all(folder).unwrap();
    let out = fs::File::create(folder.join("out")).unwrap();
    // The script becomes Asterisk, so that the child that is killed is the PBX itself.
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/asterisk"))
        .arg("run")
        .arg(folder)
        .args(["--ami", &ami.to_string(), "--amis", &amis.to_string(), "--sip", &sip.to_string()])
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .spawn()
        .unwrap()
}

/// A connection of the test's own: one question, then it is over.
struct Session {
    lines: BufReader<TcpStream>,
}

impl Session {
    async fn login(port: u16) -> std::io::Result<Self> {
        let mut session = Self { lines: BufReader::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?) };
        session.lines.read_line(&mut String::new()).await?;
        let fields = [("Username", "tests"), ("Secret", "of-the-tests"), ("Events", "system")];
        session.ask("Login", &fields).await?;
        Ok(session)
    }

    /// A PBX that is still loading takes logins, but says when it is done.
    async fn has_booted(port: u16) -> bool {
        let booted = timeout(Duration::from_secs(1), async {
            let mut session = Self::login(port).await?;
            while session.message().await?.get("Event").is_none_or(|name| name != "FullyBooted") {}
            std::io::Result::Ok(())
        });
        matches!(booted.await, Ok(Ok(())))
    }

    async fn ask(&mut self, action: &str, fields: &[(&str, &str)]) -> std::io::Result<BTreeMap<String, String>> {
        let id = token();
        let mut text = format!("Action: {action}\r\nActionID: {id}\r\n");
        for (name, value) in fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        self.lines.get_mut().write_all(format!("{text}\r\n").as_bytes()).await?;
        loop {
            let message = self.message().await?;
            if message.contains_key("Response") && message.get("ActionID") == Some(&id) {
                return Ok(message);
            }
        }
    }

    async fn message(&mut self) -> std::io::Result<BTreeMap<String, String>> {
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) => {
                    headers.insert(name.to_owned(), value.to_owned());
                }
                None if line.trim_end().is_empty() && !headers.is_empty() => return Ok(headers),
                None => {}
            }
        }
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
