//! Signatures against Twilio's own SDKs for Python and Node, both ways, in one process of each for all cases.

use super::form;
use onhook::twilio::{
    form::Form,
    signature::{BodyHash, Origins, Request, Verdict, body_sha256, sign},
};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};
use url::Url;

const CASES: usize = 400;
/// Printed with every failure, so that it can be repeated.
const SEED: u64 = 20_261_120;

/// A webhook as it is received: the URL that was signed is one of its spellings.
#[derive(Clone, Debug)]
struct Case {
    token: String,
    /// As configured.
    public: String,
    /// As signed: scheme, host, perhaps a port, prefix.
    origin: String,
    target: String,
    /// The form of a POST; `None` for a GET and where `json` is the body.
    body: Option<String>,
    /// A body that is no form; its hash is in the query.
    json: Option<String>,
    signature: String,
}

impl Case {
    fn url(&self) -> String {
        format!("{}{}", self.origin, self.target)
    }

    fn form(&self) -> Option<Form> {
        self.body.as_deref().map(form)
    }

    fn question(&self) -> Value {
        let Self { token, body, json, signature, .. } = self;
        json!({ "token": token, "url": self.url(), "body": body, "json": json, "signature": signature })
    }

    /// Whether it verifies here, and the body is the one that was signed.
    fn is_valid(&self) -> bool {
        let origins = Origins::of_public_url(&Url::parse(&self.public).unwrap());
        let form = self.form();
        let signed = Request { origins: &origins, path_and_query: &self.target, form: form.as_ref() };
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let has_body = match &self.json {
            Some(json) => body_sha256(query, json.as_bytes()).unwrap() == BodyHash::Same,
            None => true,
        };
        signed.verify([&self.token], Some(&self.signature)) == Verdict::Verified && has_body
    }
}

#[test]
fn the_official_sdk_for_python_agrees() {
    agree(python("twilio_oracle.py"));
}

/// A script of `tests/oracle` with Twilio's SDK for Python.
pub fn python(name: &str) -> Command {
    let missing =
        "ONHOOK_TEST_PYTHON is not set: run the tests with scripts/test, which installs Twilio's SDK for Python";
    let python = std::env::var_os("ONHOOK_TEST_PYTHON").expect(missing);
    let mut oracle = Command::new(python);
    oracle.arg(script(name));
    oracle
}

#[test]
fn the_official_sdk_for_node_agrees() {
    let missing =
        "ONHOOK_TEST_NODE_MODULES is not set: run the tests with scripts/test, which installs Twilio's SDK for Node";
    let modules = std::env::var_os("ONHOOK_TEST_NODE_MODULES").expect(missing);
    let mut oracle = Command::new("node");
    oracle.arg(script("twilio_oracle.js")).env("NODE_PATH", modules);
    agree(oracle);
}

fn script(name: &str) -> OsString {
    format!("{}/tests/oracle/{name}", env!("CARGO_MANIFEST_DIR")).into()
}

/// What we sign verifies there, what is signed there verifies here, and what is changed by one character in neither.
fn agree(oracle: Command) {
    let mut rng = StdRng::seed_from_u64(SEED);
    let mut cases: Vec<Case> = (0..CASES).map(|_| case(&mut rng)).collect();
    for case in &mut cases {
        case.signature = sign(&case.token, &case.url(), case.form().as_ref());
    }
    let mutants: Vec<(&str, Case)> = cases.iter().flat_map(|case| mutations(case, &mut rng)).collect();
    let kinds = |of: fn(&Case) -> bool| cases.iter().filter(|case| of(case)).count();
    assert!(kinds(|c| c.json.is_some()) > 40 && kinds(|c| c.body.is_some()) > 200 && mutants.len() > 3 * CASES);
    let questions = cases.iter().chain(mutants.iter().map(|(_, case)| case)).map(Case::question);
    let mut answers = ask(oracle, questions.collect()).into_iter();

    for case in &mut cases {
        let answer = answers.next().unwrap();
        assert_eq!(answer["valid"], true, "ours must verify there (seed {SEED}): {case:?}");
        case.signature = answer["computed"].as_str().unwrap().to_owned();
        assert!(case.is_valid(), "theirs must verify here (seed {SEED}): {case:?}");
    }
    for (changed, case) in mutants {
        let answer = answers.next().unwrap();
        assert_eq!(answer["valid"], false, "a changed {changed} must fail there (seed {SEED}): {case:?}");
        assert!(!case.is_valid(), "a changed {changed} must fail here (seed {SEED}): {case:?}");
    }
}

/// Asks the SDK everything at once.
pub fn ask(mut oracle: Command, questions: Vec<Value>) -> Vec<Value> {
    let mut oracle = oracle.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start the oracle");
    let (mut stdin, stdout) = (oracle.stdin.take().unwrap(), oracle.stdout.take().unwrap());
    let count = questions.len();
    let asking = std::thread::spawn(move || {
        for question in questions {
            writeln!(stdin, "{question}").expect("the oracle listens");
        }
    });
    let answers: Vec<Value> =
        BufReader::new(stdout).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    asking.join().unwrap();
    assert!(oracle.wait().unwrap().success(), "the oracle failed; its message is above");
    assert_eq!(answers.len(), count);
    answers
}

fn case(rng: &mut StdRng) -> Case {
    let (scheme, default) = *[("https", 443), ("http", 80)].choose(rng).unwrap();
    let host = *["hook.example", "a.b-c.example", "192.0.2.7", "localhost"].choose(rng).unwrap();
    let port = *["", ":8443", ":8080", ":1"].choose(rng).unwrap();
    let prefix = *["", "", "/prefix", "/calls/in"].choose(rng).unwrap();
    let signed_port = [String::new(), port.to_owned(), format!(":{default}")].choose(rng).unwrap().clone();
    let target = format!("/webhooks/twilio/status{}", query(rng));
    let json = rng.random_bool(0.2).then(|| json_body(rng));
    let hash = json.as_ref().map(|json| {
        let mark = if target.contains('?') { '&' } else { '?' };
        format!("{mark}bodySHA256={}", hex::encode(Sha256::digest(json)))
    });
    Case {
        token: word(rng, b"0123456789abcdef", 32..=32),
        public: format!("{scheme}://{host}{port}{prefix}"),
        origin: format!("{scheme}://{host}{signed_port}{prefix}"),
        target: target + &hash.unwrap_or_default(),
        body: (json.is_none() && rng.random_bool(0.85)).then(|| body(rng)),
        json,
        signature: String::new(),
    }
}

/// A batch of CloudEvents, as Event Streams sends them; written with spaces or without.
fn json_body(rng: &mut StdRng) -> String {
    let entry = |rng: &mut StdRng| {
        let text = word(rng, "aZ09 +&=%\"'/é日😀\n".chars().collect::<Vec<_>>().as_slice(), 0..=20);
        json!({ "specversion": "1.0", "id": rng.random_range(0..1_000), "data": { "text": text } })
    };
    let entries: Vec<Value> = (0..rng.random_range(0..4)).map(|_| entry(rng)).collect();
    if rng.random_bool(0.5) { json!(entries).to_string() } else { serde_json::to_string_pretty(&entries).unwrap() }
}

fn query(rng: &mut StdRng) -> String {
    match rng.random_range(0..4) {
        0 => String::new(),
        1 => "?lead_id=lead-42&job_id=7".to_owned(),
        _ => format!("?q={}", word(rng, b"abcXYZ019-._~!$&'()*+,;=:@/?%", 0..=30)),
    }
}

fn body(rng: &mut StdRng) -> String {
    let names = ["CallSid", "From", "To", "Sid", "SidAccount", "Reason", "ReasonConferenceEnded", "a", "A", "é", "x y"];
    let values =
        ["", " ", "+14155550100", "São Paulo", "a&b=c", "100%", "%41", "日本語", "\"'<>", " padded ", "1\n2", "😀"];
    let pairs = (0..rng.random_range(0..25)).map(|_| {
        let value = match rng.random_bool(0.5) {
            true => (*values.choose(rng).unwrap()).to_owned(),
            false => word(rng, b"abcdefghijklmnop 0123456789+%&=", 0..=40),
        };
        format!("{}={}", encode(names.choose(rng).unwrap(), rng), encode(&value, rng))
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// Encodes as anybody might: a space as `+` or `%20`, hex digits in either case, more escaped than must be.
fn encode(text: &str, rng: &mut StdRng) -> String {
    let byte = |b: u8| match b {
        b' ' if rng.random_bool(0.5) => "+".to_owned(),
        b if b.is_ascii_alphanumeric() && rng.random_bool(0.9) => char::from(b).to_string(),
        b if rng.random_bool(0.5) => format!("%{b:02x}"),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn word<T: Copy>(rng: &mut StdRng, alphabet: &[T], length: std::ops::RangeInclusive<usize>) -> String
where
    char: From<T>,
{
    let length = rng.random_range(length);
    (0..length).map(|_| char::from(*alphabet.choose(rng).unwrap())).collect()
}

/// The case with one character changed: of the body, of the URL, of the token, of the signature.
fn mutations(case: &Case, rng: &mut impl Rng) -> Vec<(&'static str, Case)> {
    let mut mutants = Vec::new();
    // A literal letter or digit, so that the change is one of meaning and not of spelling.
    if let Some(body) = case.body.as_deref().and_then(|body| changed(body, 0, rng)) {
        mutants.push(("body", Case { body: Some(body), ..case.clone() }));
    }
    if let Some(json) = &case.json {
        mutants.push(("body", Case { json: Some(format!("{json} ")), ..case.clone() }));
    }
    let target = changed(&case.target, 1, rng).unwrap();
    mutants.push(("URL", Case { target, ..case.clone() }));
    let token = changed(&case.token, 0, rng).unwrap();
    mutants.push(("token", Case { token, ..case.clone() }));
    let (head, tail) = case.signature.split_at(26);
    let signature = changed(head, 0, rng).unwrap() + tail;
    mutants.push(("signature", Case { signature, ..case.clone() }));
    mutants
}

/// The text with one ASCII letter or digit, outside of escapes, replaced by another. `None` if it has none.
fn changed(text: &str, from: usize, rng: &mut impl Rng) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let in_escape = |at: usize| bytes[at.saturating_sub(2)..at].contains(&b'%');
    let places: Vec<usize> =
        (from..bytes.len()).filter(|at| bytes[*at].is_ascii_alphanumeric() && !in_escape(*at)).collect();
    let at = *places.choose(rng)?;
    bytes[at] = if bytes[at] == b'Q' { b'R' } else { b'Q' };
    Some(String::from_utf8(bytes).unwrap())
}
