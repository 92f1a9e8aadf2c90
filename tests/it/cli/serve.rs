//! `serve` with nothing set up.

use super::{Ran, Shell};
use crate::support::{
    database::Place,
    gateway::{ACCOUNT, TOKEN},
};
use onhook::twilio::{form::Form, signature};
use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
};

/// A running `onhook serve`; killed with the value if it was not stopped.
struct Serving {
    child: Child,
    lines: Vec<String>,
}

impl Serving {
    /// Starts it on a free port and reads what it announces.
    fn start(shell: &Shell, args: &[&str]) -> Self {
        let mut command = shell.command(&[&["serve", "--listen", "127.0.0.1:0"], args].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        // It ends with what is missing for production: these gateways always lack something.
        let lines = lines.by_ref().take_while(|line| !line.is_empty());
        let mut announced = Vec::new();
        for line in lines {
            let last = line.starts_with("missing");
            announced.push(line);
            if last {
                break;
            }
        }
        Self { child, lines: announced }
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| line.strip_prefix(name)).map(str::trim)
    }

    /// Tells it to stop as systems do.
    fn stop(mut self, signal: &str) -> Ran {
        let told = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        Ran { code, stdout: String::new(), stderr }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_needs_nothing_and_prints_a_key_that_works() {
    let shell = Shell::new();
    let serving = Serving::start(&shell, &[]);
    let api = serving.value("API").unwrap().to_owned();
    let key = serving.value("key").unwrap().to_owned();
    let missing = serving.value("missing for production:").unwrap();
    assert!(missing.contains("ONHOOK_PUBLIC_URL") && missing.contains("TWILIO_ACCOUNT_SID"), "{missing}");
    assert!(serving.value("docs").unwrap().ends_with("/docs"));
    let client = reqwest_client();
    let listed = client.get(format!("{api}/calls")).bearer_auth(&key).send().await.unwrap();
    assert_eq!(listed.status(), 200);
    let healthy = |url: &str| shell.run(&["healthcheck", "--url", url]);
    healthy(api.trim_end_matches("/v1")).expect(0);
    let ran = serving.stop("-TERM").expect(0);
    assert!(!ran.stderr.contains(&key), "the key is not logged:\n{}", ran.stderr);

    let again = Serving::start(&shell, &["--public-url", "https://calls.example.com"]);
    assert_eq!(again.value("key"), None, "shown once: {:?}", again.lines);
    let missing = again.value("missing for production:").unwrap();
    assert!(!missing.contains("ONHOOK_PUBLIC_URL") && missing.contains("TWILIO_ACCOUNT_SID"), "{missing}");
    again.stop("-INT").expect(0);
}

/// Whoever is on call learns which call it was and what to do, and nobody's number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_dialed_is_logged_without_the_number() {
    let place = Place::sqlite();
    let shell = Shell::on(&place).with("ONHOOK_LOG_FORMAT", "json");
    let serving = Serving::start(&shell, &[]);
    let base = serving.value("API").unwrap().trim_end_matches("/v1").to_owned();
    let call = "CA00000000000000000000000000000042";
    for (from, to) in [("client:ann", "+19005550100"), ("+14155550199", "+14155550177")] {
        let parameters =
            [("CallSid", call), ("AccountSid", ACCOUNT), ("CallStatus", "ringing"), ("From", from), ("To", to)];
        let body = serde_urlencoded::to_string(parameters).unwrap();
        let signed = format!("{}/webhooks/twilio/voice", base.replace("http://", "https://"));
        let signature = signature::sign(TOKEN, &signed, Some(&Form::parse(body.as_bytes()).unwrap()));
        let request = reqwest_client().post(format!("{base}/webhooks/twilio/voice")).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.header("x-twilio-signature", signature).send().await.unwrap();
        assert!(answer.text().await.unwrap().contains("<Hangup/>"));
    }
    let ran = serving.stop("-TERM").expect(0);
    let find = |message: &str| {
        let lines = ran.stderr.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut found = lines.filter(|line| line["message"].as_str().is_some_and(|text| text.contains(message)));
        found.next_back().unwrap_or_else(|| panic!("{message:?} is missing in\n{}", ran.stderr))
    };
    let refused = find("refused to dial");
    assert_eq!(
        (&refused["level"], &refused["call"], &refused["why"]),
        (&"WARN".into(), &call.into(), &"premium".into())
    );
    assert_eq!(refused["whom"], "+1900*******", "where it was to go, and not who");
    assert!(refused["advice"].as_str().unwrap().contains("allow_prefixes"), "{refused}");
    assert!(find("nobody is set")["message"].as_str().unwrap().contains("onhook voice set --connect"));
    for number in ["9005550100", "4155550177", "4155550199"] {
        assert!(!ran.stderr.contains(number), "{number} is in\n{}", ran.stderr);
    }
}

/// Whoever reads the log later learns what ran, and of webhooks that no door took.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_tells_what_started_and_where_nothing_is() {
    let place = Place::sqlite();
    let shell = Shell::on(&place).with("ONHOOK_LOG_FORMAT", "json");
    let serving = Serving::start(&shell, &["--public-url", "http://calls.example.com/hook"]);
    let base = serving.value("API").unwrap().trim_end_matches("/v1").to_owned();
    let lost = format!("{base}/hook/webhooks/twilio/status/{}", "x".repeat(500));
    let answer = reqwest_client().post(lost).send().await.unwrap();
    assert_eq!(answer.status(), 404);
    let problem = answer.text().await.unwrap();
    assert!(problem.contains("must strip") && problem.contains("ONHOOK_PUBLIC_URL"), "{problem}");
    let elsewhere = reqwest_client().get(format!("{base}/favicon.ico")).send().await.unwrap();
    assert!(!elsewhere.text().await.unwrap().contains("strip"));
    let ran = serving.stop("-TERM").expect(0);
    let lines = || ran.stderr.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let started: Vec<_> = lines().filter(|line| line["message"] == "serving").collect();
    let [started] = &started[..] else { panic!("{}", ran.stderr) };
    assert_eq!((&started["level"], &started["version"]), (&"INFO".into(), &env!("CARGO_PKG_VERSION").into()));
    assert_eq!((&started["database"], &started["accounts"]), (&"sqlite".into(), &1.into()));
    assert_eq!(started["public_url"], "http://calls.example.com/hook");
    assert!(base.ends_with(started["address"].as_str().unwrap()), "{started}");
    let missed: Vec<_> = lines().filter(|line| line["level"] == "WARN" && line["path"].is_string()).collect();
    let [missed] = &missed[..] else { panic!("{}", ran.stderr) };
    let path = missed["path"].as_str().unwrap();
    assert!(path.starts_with("/hook/webhooks/twilio/status/x") && path.len() == 200, "{missed}");
    assert!(missed["message"].as_str().unwrap().contains("strip the prefix"), "{missed}");
}

/// People's numbers are in the database: a new one is its owner's only.
#[cfg(unix)]
#[test]
fn a_new_database_is_closed_to_others() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let place = Place::sqlite();
    let path = std::path::PathBuf::from(place.url.strip_prefix("sqlite://").unwrap());
    let modes = || {
        let folder = std::fs::read_dir(path.parent().unwrap()).unwrap().map(Result::unwrap);
        let ours = folder
            .filter(|file| file.file_name().to_str().unwrap().starts_with(path.file_name().unwrap().to_str().unwrap()));
        ours.filter(|file| !file.file_name().to_str().unwrap().ends_with(".key"))
            .map(|file| file.metadata().unwrap().mode() & 0o777)
            .collect::<Vec<_>>()
    };
    let shell = Shell::on(&place);
    let serving = Serving::start(&shell, &[]);
    assert_eq!(modes(), [0o600; 3], "the database, its log and its index");
    let doctor = shell.run(&["doctor", "--json"]).json();
    let checks = doctor["checks"].as_array().unwrap();
    let of_file: Vec<_> = checks.iter().filter(|check| check["name"] == "database file").collect();
    assert!(matches!(&of_file[..], [check] if check["state"] == "ok"), "{doctor}");
    serving.stop("-TERM").expect(0);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    shell.run(&["voice", "show"]).expect(0);
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o640, "what is there stays as it is");
}

#[test]
fn programs_get_the_announcement_as_json() {
    let shell = Shell::new();
    let mut command = shell.command(&["serve", "--listen", "127.0.0.1:0", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stream =
        serde_json::Deserializer::from_reader(child.stdout.take().unwrap()).into_iter::<serde_json::Value>();
    let announced = stream.next().unwrap().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(announced["first_key"].as_str().unwrap().starts_with("ohk_"), "{announced}");
    assert_eq!(announced["missing"].as_array().unwrap().len(), 2, "{announced}");
}

fn reqwest_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}
