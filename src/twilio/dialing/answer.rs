//! The TwiML of each request.

use super::{
    Settings, TIMEOUT_SECONDS,
    request::{Origin, VoiceRequest},
    target::{Refusal, Target},
};
use crate::{
    domain::{phone::E164, words},
    twilio::{
        callback_url::CallbackUrls,
        door::{Door, Parameters},
        twiml::{
            Amd, Client, Dial, LegCallbacks, Method, NOUNS_MAX, Noun, Number, Progress, Record, RecordingProgress,
            Response, Say, Sip, TwimlError, Verb,
        },
    },
};

/// What a request for TwiML is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The TwiML.
    pub twiml: String,
    /// What it comes to.
    pub outcome: Outcome,
    /// Who is not dialed, and why.
    pub refused: Vec<Refused>,
}

words! {
    /// What a request for TwiML comes to.
    pub enum Outcome {
        /// Somebody is dialed.
        Dialed = "dialed",
        /// Whoever should have been dialed is refused: the caller is told so.
        Refused = "refused",
        /// Nobody is there to be dialed: the caller is told so.
        Nobody = "nobody",
    }
}

/// Somebody who is not dialed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// As it was written.
    pub target: String,
    /// Why not.
    pub why: Refusal,
}

/// Answers a call. `region` is the country of numbers that are written without a country code.
pub fn answer(
    request: &VoiceRequest,
    settings: &Settings,
    urls: &CallbackUrls,
    region: Option<&str>,
) -> Result<Answer, TwimlError> {
    let wanted = request.wanted(settings);
    let nobody = wanted.is_empty();
    let (targets, refused) = choose(request, settings, &wanted, region);
    if targets.is_empty() {
        let (outcome, text) = if nobody { (Outcome::Nobody, NOBODY) } else { (Outcome::Refused, REFUSED) };
        return Ok(Answer { twiml: spoken(ours(text)).render()?, outcome, refused });
    }
    let twiml = match dialing(request, settings, (urls, urls), &targets).render() {
        Err(TwimlError::TooLarge { .. }) => {
            // Ten targets, each with three URLs that carry five long values: the status callbacks keep them.
            dialing(request, settings, (urls, &urls.without_correlation()), &targets).render()?
        }
        written => written?,
    };
    Ok(Answer { twiml, outcome: Outcome::Dialed, refused })
}

/// Answers what came of a `<Dial>`: the call ends, after a word to a caller whom nobody took.
pub fn after_dial(parameters: &Parameters, settings: &Settings) -> Result<String, TwimlError> {
    let twilio = parameters.of_twilio();
    let is = |name: &str, word: &str| twilio.first(name).is_some_and(|value| value == word);
    // `answered` is said of a conference, and means that it is over. Not bridged: the whisper was not listened to.
    let taken = (is("DialCallStatus", "completed") || is("DialCallStatus", "answered")) && !is("DialBridged", "false");
    match &settings.unanswered {
        Some(text) if !taken => spoken(say(settings, text)).render(),
        Some(_) | None => Response { verbs: vec![Verb::Hangup] }.render(),
    }
}

/// What the called party hears before it is connected; nothing where nothing is set.
pub fn whisper(settings: &Settings) -> Result<String, TwimlError> {
    Response { verbs: settings.whisper.iter().map(|text| say(settings, text)).collect() }.render()
}

/// Which number's settings a whisper is of, as the URL says that we wrote; `None`: the tenant's.
pub fn whispers_for(parameters: &Parameters) -> Option<E164> {
    parameters.own().first(NUMBER).and_then(|number| E164::of_address(&number))
}

/// Who of those wanted is dialed, and who not.
fn choose(
    request: &VoiceRequest,
    settings: &Settings,
    wanted: &[&str],
    region: Option<&str>,
) -> (Vec<Target>, Vec<Refused>) {
    let mut targets: Vec<Target> = Vec::new();
    let mut refused = Vec::new();
    for text in wanted {
        let judged = Target::parse(text, region).and_then(|target| {
            settings.policy.judge(&target, request.named_by())?;
            match &target {
                target if request.is_party(target) => Err(Refusal::Loop),
                target if request.lacks_caller_id(settings, target) => Err(Refusal::NoCallerId),
                _ if targets.len() >= NOUNS_MAX && !targets.contains(&target) => Err(Refusal::TooMany),
                _ => Ok(target),
            }
        });
        match judged {
            Ok(target) if targets.contains(&target) => {}
            Ok(target) => targets.push(target),
            Err(why) => refused.push(Refused { target: (*text).to_owned(), why }),
        }
    }
    (targets, refused)
}

/// The numbers that a call is put through to, as far as the request and the settings say.
pub fn numbers(request: &VoiceRequest, settings: &Settings, region: Option<&str>) -> Vec<E164> {
    let (targets, _) = choose(request, settings, &request.wanted(settings), region);
    let number = |target| match target {
        Target::Number(number) => Some(number),
        Target::Client(_) | Target::Sip(_) => None,
    };
    targets.into_iter().filter_map(number).collect()
}

/// `urls`: those of the status callbacks, and those of everything else.
fn dialing(
    request: &VoiceRequest,
    settings: &Settings,
    (urls, others): (&CallbackUrls, &CallbackUrls),
    targets: &[Target],
) -> Response {
    let records = settings.record.is_some_and(|record| record != Record::Not);
    // What we placed is with its party already, and a device's user knows whom it dialed.
    let greeting = settings.greeting.as_ref().filter(|_| request.origin == Origin::Network);
    let dial = Dial {
        action: Some(others.to(Door::Dial.path())),
        method: Some(Method::Post),
        timeout_seconds: Some(settings.timeout_seconds.unwrap_or(TIMEOUT_SECONDS)),
        time_limit_seconds: settings.time_limit_seconds,
        caller_id: request.caller_id(settings, targets),
        record: settings.record,
        recording_status_callback: records.then(|| others.to(Door::Recording.path())),
        recording_status_callback_method: records.then_some(Method::Post),
        recording_status_callback_event: if records { RecordingProgress::ALL.to_vec() } else { Vec::new() },
        // A caller whom nobody has greeted goes on hearing it ring until somebody answers, and is not charged for it.
        answer_on_bridge: (request.ringing && greeting.is_none()).then_some(true),
        nouns: targets.iter().map(|target| noun(target, request, settings, (urls, others))).collect(),
    };
    let greeting = greeting.map(|text| say(settings, text));
    Response { verbs: greeting.into_iter().chain([Verb::Dial(Box::new(dial))]).collect() }
}

fn noun(
    target: &Target,
    request: &VoiceRequest,
    settings: &Settings,
    (urls, others): (&CallbackUrls, &CallbackUrls),
) -> Noun {
    let whisper = settings.whisper.as_ref().map(|_| match request.own_number() {
        Some(number) => others.to_with(Door::Whisper.path(), NUMBER, number.as_str()),
        None => others.to(Door::Whisper.path()),
    });
    let leg = LegCallbacks {
        method: whisper.as_ref().map(|_| Method::Post),
        url: whisper,
        status_callback: Some(urls.to(Door::Status.path())),
        status_callback_method: Some(Method::Post),
        status_callback_event: Progress::ALL.to_vec(),
    };
    match target {
        Target::Number(number) => {
            let amd = settings.machine_detection.map(|detection| Amd {
                machine_detection: Some(detection),
                amd_status_callback: Some(others.to(Door::Amd.path())),
                amd_status_callback_method: Some(Method::Post),
            });
            let number = number.as_str().to_owned();
            Noun::Number(Number { number, leg, amd: amd.unwrap_or_default() })
        }
        Target::Client(identity) => Noun::Client(Client { identity: identity.clone(), leg }),
        Target::Sip(address) => Noun::Sip(Sip { address: address.clone(), leg, ..Sip::default() }),
    }
}

/// In the voice and the language of the settings.
fn say(settings: &Settings, text: &str) -> Verb {
    let (voice, language) = (settings.voice.clone(), settings.language.clone());
    Verb::Say(Say { text: text.to_owned(), voice, language })
}

/// In English, so in Twilio's own voice.
fn ours(text: &str) -> Verb {
    Verb::Say(Say { text: text.to_owned(), ..Say::default() })
}

fn spoken(say: Verb) -> Response {
    Response { verbs: vec![say, Verb::Hangup] }
}

/// Which number's settings a whisper is of: a parameter of its URL.
const NUMBER: &str = "number";
/// Said where nobody is set to take calls.
const NOBODY: &str = "Nobody can take your call at the moment. Please try again later. Goodbye.";
/// Said where whoever should be dialed must not be.
const REFUSED: &str = "This number cannot be called from here. Goodbye.";
