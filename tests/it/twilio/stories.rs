//! The fixture stories, played through the form, the signature, the reading and the call: no server, no database.

use onhook::{
    domain::{
        call::Call,
        lead::{ContactPolicy, Contacts, LegView, Written},
        signal::{Field, Signal},
        time::{Millis, rfc3339},
    },
    story::{Play, Request, Story, StoryError, disorder, embedded},
    twilio::{
        door::{self, Door, Method, Parameters, Said},
        event_stream,
        signature::{self, Origins, Verdict},
    },
};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use url::Url;

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const PLAY: Play<'_> = Play { start_ms: 1_795_169_472_000, account_sid: ACCOUNT, salt: "" };

/// What the domain makes of a story: a call for each leg, and what each signal did to it.
#[derive(Default)]
struct Told {
    calls: BTreeMap<String, Call>,
    timelines: BTreeMap<String, Vec<Value>>,
    known: BTreeSet<onhook::domain::signal::Identity>,
}

impl Told {
    fn of(requests: &[Request]) -> Self {
        let mut told = Self::default();
        for request in requests {
            for signal in read(request, PLAY.start_ms + request.after_ms).signals {
                told.absorb(&signal);
            }
        }
        told
    }

    fn absorb(&mut self, signal: &Signal) {
        let id = &signal.leg.provider_id;
        let from = self.calls.get(id).map(|call| call.read().status);
        let call = self.calls.entry(id.clone()).or_default();
        let step = if self.known.insert(signal.identity()) { call.absorb(signal).as_str() } else { "repeated" };
        let row = json!({"claim": signal.claim_word(), "step": step, "from": from, "to": call.read().status});
        self.timelines.entry(id.clone()).or_default().push(row);
    }

    fn row(&self, id: &str) -> Value {
        let call = &self.calls[id];
        let row = call.read();
        let moment = |at: Option<Millis>| at.map(rfc3339);
        json!({
            "provider": "twilio",
            "account": ACCOUNT,
            "provider_id": id,
            "parent_id": call.detail(Field::ParentId),
            "lead_id": row.link.map(|link| link.lead_id),
            "direction": call.detail(Field::Direction),
            "status": row.status,
            "resolution": row.resolution,
            "hangup_cause": row.hangup_cause,
            "answered_by": call.detail(Field::AnsweredBy),
            "talk_seconds": row.talk_seconds,
            "initiated_at": moment(row.initiated_at_ms),
            "ringing_at": moment(row.ringing_at_ms),
            "answered_at": moment(row.answered_at_ms),
            "ended_at": moment(row.ended_at_ms),
            "estimated": row.estimated,
            "recording": call.detail(Field::RecordingUrl).map(|url| {
                let seconds = call.detail(Field::RecordingSeconds).map(|s| s.parse::<i64>().unwrap());
                json!({"url": url, "duration_seconds": seconds})
            }),
        })
    }

    /// The lead of the conversations, as its contacts make it.
    fn lead(&self, id: Option<String>) -> Value {
        let root = |call: &Call, own: &str| call.detail(Field::ParentId).unwrap_or(own).to_owned();
        let mut conversations: BTreeMap<String, Vec<LegView>> = BTreeMap::new();
        for (own, call) in &self.calls {
            conversations.entry(root(call, own)).or_default().push(LegView::read(own, call));
        }
        let judged = conversations.values().filter_map(|legs| ContactPolicy::default().judge(legs));
        let moments: Vec<Millis> = judged
            .inspect(|verdict| assert_eq!(Some(&verdict.lead_id), id.as_ref()))
            .filter_map(|verdict| verdict.contacted_ms)
            .collect();
        let contacts = Contacts { count: i64::try_from(moments.len()).unwrap(), last_ms: moments.into_iter().max() };
        let written = Written { status: "new".to_owned(), status_written_ms: None, last_contacted_ms: None };
        json!({
            "id": id,
            "status": written.status(&contacts),
            "contact_count": contacts.count,
            "last_contacted_at": written.last_contacted_ms(&contacts).map(rfc3339),
        })
    }
}

fn parameters(request: &Request) -> Parameters {
    let form = if request.door() == Door::Events { &[][..] } else { &request.body };
    Parameters::parse(request.method, request.query.as_bytes(), form).unwrap()
}

/// What the gateway reads: of a batch of events, what the only one says.
fn read(request: &Request, received_ms: Millis) -> Said {
    let body = match request.door() {
        Door::Events => event_stream::split(&request.body).unwrap()[0].get().as_bytes(),
        _ => &request.body,
    };
    let (door, method, query) = (request.door(), request.method, request.query.as_bytes());
    let said = door::read_stored(door, method, query, body, received_ms).unwrap();
    assert_eq!(said.noted, [] as [&str; 0], "{request:?}");
    said
}

/// What is expected is there, whatever else is.
fn assert_includes(actual: &Value, wanted: &Value, what: &str) {
    for (key, value) in wanted.as_object().unwrap() {
        assert_eq!(&actual[key], value, "{what}: {key}");
    }
}

/// Every story, played in its own order, ends as it says it does: rows, timelines, lead.
#[test]
fn stories_in_the_domain() {
    for story in embedded().unwrap() {
        let told = Told::of(&story.requests(PLAY));
        assert_eq!(told.calls.len(), story.expected.calls.len(), "{}", story.name);
        for call in &story.expected.calls {
            let id = story.sid(&call.leg, PLAY.salt);
            assert_includes(&told.row(&id), &call.row(&story, PLAY), &format!("{}: {}", story.name, call.leg));
            assert_eq!(told.timelines[&id], call.timeline_rows(), "{}: {}", story.name, call.leg);
        }
        let lead = told.lead(story.lead_id(PLAY.salt));
        match &story.expected.lead {
            Some(expected) => assert_includes(&lead, &expected.row(&story, PLAY), &story.name),
            None => {
                assert_eq!(lead["id"], Value::Null, "{} has a lead and does not say what becomes of it", story.name)
            }
        }
    }
}

/// In any order and with any repetition the rows and the lead are the same; only the timeline tells.
#[test]
fn disorder_changes_no_ending() {
    for story in embedded().unwrap() {
        for seed in 0..50 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut requests = story.requests(PLAY);
            disorder::duplicate(&mut requests, &mut rng);
            disorder::shuffle(&mut requests, &mut rng);
            assert!(requests.is_sorted_by_key(|request| request.after_ms));
            let told = Told::of(&requests);
            for call in &story.expected.calls {
                let id = story.sid(&call.leg, PLAY.salt);
                assert_includes(&told.row(&id), &call.row(&story, PLAY), &format!("{} with seed {seed}", story.name));
            }
            if let Some(expected) = &story.expected.lead {
                let lead = told.lead(story.lead_id(PLAY.salt));
                assert_includes(&lead, &expected.row(&story, PLAY), &format!("{} with seed {seed}", story.name));
            }
        }
    }
}

#[test]
fn disorder_repeats_with_its_seed() {
    let stories = embedded().unwrap();
    let story = stories.iter().find(|story| story.name == "answered").unwrap();
    let told = story.requests(PLAY);
    let disordered = |seed| {
        let mut requests = told.clone();
        let mut rng = StdRng::seed_from_u64(seed);
        disorder::duplicate(&mut requests, &mut rng);
        disorder::shuffle(&mut requests, &mut rng);
        requests
    };
    assert_eq!(disordered(1), disordered(1));
    assert!((2..20).any(|seed| disordered(seed) != disordered(1)));
    assert!((0..20).any(|seed| disordered(seed).len() > told.len()));

    // A repetition comes after what it repeats.
    for seed in 0..50 {
        let mut repeated = told.clone();
        disorder::duplicate(&mut repeated, &mut StdRng::seed_from_u64(seed));
        let mut first = repeated.clone();
        first.retain({
            let mut seen = BTreeSet::new();
            move |request| seen.insert(request.status())
        });
        assert_eq!(first, told, "seed {seed}");
        assert!(repeated.is_sorted_by_key(|request| request.after_ms), "seed {seed}");
    }

    let mut lossy = told.clone();
    disorder::lose(&mut lossy, "completed");
    assert_eq!(lossy, told[..3]);
    assert_eq!(
        told.iter().map(Request::status).collect::<Vec<_>>(),
        ["initiated", "ringing", "in-progress", "completed"]
    );
}

/// What the player signs, the gateway verifies: by POST and by GET, forms and events, under a prefix.
#[test]
fn every_request_verifies_and_says_whose_it_is() {
    let base = "https://hook.example/calls/";
    let origins = Origins::of_public_url(&Url::parse(base).unwrap());
    let mut doors = BTreeSet::new();
    for story in embedded().unwrap() {
        for request in story.requests(PLAY) {
            let (url, signature) = request.signed(base, "token").unwrap();
            assert!(url.starts_with(&format!("https://hook.example/calls{}", request.door().path())), "{url}");
            let parameters = parameters(&request);
            let signed = signature::Request {
                origins: &origins,
                path_and_query: &request.path_and_query(),
                form: (request.method == Method::Post).then_some(&parameters.body),
            };
            assert_eq!(signed.verify(["token"], Some(&signature)), Verdict::Verified, "{}", story.name);
            if request.door() == Door::Events {
                assert_eq!(event_stream::body_fault(&request.query, &request.body), None);
                assert_eq!(parameters.query.first("account").as_deref(), Some(ACCOUNT));
            } else {
                assert_eq!(parameters.account_sid().as_deref(), Some(ACCOUNT));
            }
            doors.insert(request.door());
        }
    }
    assert_eq!(doors.len(), Door::ALL.len(), "every door is in a story: {doors:?}");
}

/// Bodies look like Twilio's: its parameters, no `+` for a space, nothing unfilled.
#[test]
fn bodies_are_such_as_twilio_sends() {
    let base = ["CallSid", "AccountSid", "From", "Caller", "Called", "To", "CallStatus", "ApiVersion", "Direction"];
    for story in embedded().unwrap() {
        for request in story.requests(PLAY) {
            let more: &[&str] = match request.door() {
                Door::Status => &["Timestamp", "CallbackSource", "SequenceNumber"],
                Door::Dial => &["DialCallStatus", "DialCallSid", "DialCallDuration", "DialBridged"],
                Door::Voice | Door::Whisper => &[],
                // They have other parameters, or none.
                Door::Recording | Door::Amd | Door::Debugger | Door::Events => continue,
            };
            let Parameters { query, body, .. } = parameters(&request);
            let (raw, form) = match request.method {
                Method::Post => (String::from_utf8(request.body.clone()).unwrap(), body),
                Method::Get => (request.query.clone(), query),
            };
            assert!(!raw.contains(['+', '{', '}', '\n', ' ']), "{}: {raw}", story.name);
            for name in base.iter().chain(more) {
                assert!(form.first(name).is_some(), "{}: {name} is missing in {raw}", story.name);
            }
            let source = (request.door() == Door::Status).then_some("call-progress-events");
            assert_eq!(form.first("CallbackSource").as_deref(), source);
        }
        let heard: BTreeSet<String> = story.requests(PLAY).into_iter().map(|request| request.leg).collect();
        assert_eq!(heard.len(), story.expected.calls.len(), "{}: a leg without a callback", story.name);
    }
}

#[test]
fn every_folder_of_stories_is_carried_along_and_no_number_is_anybodys() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/stories");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let folders: BTreeSet<String> = std::fs::read_dir(root).unwrap().map(name).collect();
    let carried: BTreeSet<String> = embedded().unwrap().into_iter().map(|story| story.name).collect();
    assert_eq!(folders, carried);
    for folder in folders {
        let text = std::fs::read_to_string(format!("{root}/{folder}/story.toml")).unwrap();
        for number in text.split(|c: char| !c.is_ascii_digit()).filter(|digits| digits.len() >= 7) {
            assert!(number.starts_with("141555501"), "{folder}: {number}");
        }
    }
}

#[test]
fn a_salt_makes_another_call_and_another_lead() {
    let stories = embedded().unwrap();
    let story = stories.iter().find(|story| story.name == "dialed-child").unwrap();
    let salted = Play { salt: "b7", ..PLAY };
    assert_eq!(story.sid("agent", ""), story.sid("agent", ""));
    let ids: BTreeSet<String> =
        ["", "b7"].iter().flat_map(|salt| [story.sid("agent", salt), story.sid("customer", salt)]).collect();
    assert_eq!(ids.len(), 4);
    assert_eq!(story.lead_id("").as_deref(), Some("lead-gus"));
    assert_eq!(story.lead_id("b7").as_deref(), Some("lead-gus-b7"));
    let requests = story.requests(salted);
    let child = read(&requests[0], PLAY.start_ms).signals.remove(0);
    assert_eq!(child.leg.provider_id, story.sid("customer", "b7"));
    assert_eq!(child.details[&Field::ParentId], story.sid("agent", "b7"));
    assert_eq!(child.link.unwrap().lead_id, "lead-gus-b7");
    assert_eq!(child.details[&Field::UserId], "ann");
    assert_eq!(child.at, Some(PLAY.start_ms + 1_000));
    assert_eq!(story.length_ms(), 49_000);
}

#[test]
fn nothing_arrives_before_it_happened_or_before_what_is_listed_above_it() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/stories/answered/story.toml"));
    let late = text.unwrap().replace(", at = \"+2s\"", ", at = \"+2s\", arrives = \"+12s 250ms\"");
    let story = Story::parse("late", &late).unwrap();
    let arrivals: Vec<_> = story.requests(PLAY).iter().map(|request| request.after_ms).collect();
    assert_eq!(arrivals, [0, 12_250, 12_250, 26_000]);
}

#[test]
fn a_broken_story_says_what_is_wrong() {
    let stories = embedded().unwrap();
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/stories/answered/story.toml")).unwrap();
    assert_eq!(Story::parse("answered", &text).unwrap().title, stories[0].title);
    let broken = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Story::parse("x", &text.replace(from, to)).unwrap_err()
    };
    let unknown_leg = broken("[[expect.calls]]\nleg = \"customer\"", "[[expect.calls]]\nleg = \"nobody\"");
    assert!(matches!(unknown_leg, StoryError::UnknownLeg { ref leg, .. } if leg == "nobody"), "{unknown_leg}");
    let message = broken("{sid}", "{sid:nobody}").to_string();
    assert_eq!(message, "read story x: the leg \"customer\" has the placeholder {sid:nobody}, which nothing fills");
    for (from, to, says) in [
        ("+9s", "9s", "write +3s"),
        ("+9s", "+soon", "write +3s"),
        ("title", "titel", "unknown field `titel`"),
        ("step = \"moved\"", "step = \"jumped\"", "unknown variant `jumped`"),
        ("status = \"completed\"", "status = \"answered\"", "unknown variant `answered`"),
    ] {
        let message = broken(from, to).to_string();
        assert!(message.starts_with("read story x: ") && message.contains(says), "{message}");
    }
}
