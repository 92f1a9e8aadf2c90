//! It executes TwiML: inbound calls are answered, dialed on, connected, recorded, and every leg is reported where its own
//! noun says.

use crate::support::gateway::{ACCOUNT, START_MS, TOKEN};
use onhook::{
    domain::state::{Direction, Status},
    double::{
        Account, Application, Call, Caller, Double, Fate, Hook, Line, Order, PhoneNumber, Purpose, Reply, Setup, Voice,
        Webhook, twiml::Twiml,
    },
    twilio::{form::Form, signature},
};

const NUMBER: &str = "+14155550100";
const CALLER: &str = "+14155550190";
const CUSTOMER: &str = "+14155550101";
const APP: &str = "AP00000000000000000000000000000001";

/// A double whose webhooks are answered from a table: the end of the URL's path, and the TwiML (or a status).
struct Stage {
    double: Double,
    sent: Vec<Webhook>,
}

impl Stage {
    fn new(fates: &[(&str, Fate)]) -> Self {
        let mut double = Double::new(Setup::default(), 3);
        double.add_account(Account::new(ACCOUNT, TOKEN));
        let hooks = Voice {
            voice: Some(Hook::post("https://calls.example.com/hook/voice?x=1")),
            fallback: Some(Hook::post("https://calls.example.com/hook/fallback")),
            status_callback: Some(Hook::post("https://calls.example.com/hook/ended")),
        };
        double.add_number(PhoneNumber {
            sid: "PN00000000000000000000000000000001".to_owned(),
            account_sid: ACCOUNT.to_owned(),
            phone_number: NUMBER.to_owned(),
            friendly_name: String::new(),
            hooks: hooks.clone(),
            voice_application_sid: None,
        });
        let (sid, account_sid) = (APP.to_owned(), ACCOUNT.to_owned());
        double.add_application(Application { sid, account_sid, friendly_name: String::new(), hooks });
        fates.iter().for_each(|(to, fate)| double.expect_fate(to, *fate));
        Self { double, sent: Vec::new() }
    }

    fn call_in(&mut self, stays_s: Option<u32>) -> String {
        let line = Line::Number(NUMBER.to_owned());
        let caller = Caller { account_sid: ACCOUNT.to_owned(), from: CALLER.to_owned(), line, stays_s };
        self.double.call_in(caller, START_MS).unwrap()
    }

    /// Lets everything happen.
    fn play(&mut self, answers: &[(&str, &str)]) {
        while let Some(at_ms) = self.double.next_due_ms() {
            for webhook in self.double.due(at_ms) {
                let path = webhook.url.split('?').next().unwrap();
                let twiml = answers.iter().find(|(end, _)| path.ends_with(end)).map(|(_, twiml)| *twiml);
                let reply = |status, content_type: Option<&str>, body: &str| Reply::Answered {
                    status,
                    content_type: content_type.map(str::to_owned),
                    body: body.to_owned(),
                };
                let reply = match (webhook.purpose, twiml) {
                    (Purpose::Status | Purpose::Recording | Purpose::Amd, _) => reply(204, None, ""),
                    (_, Some("silence")) => Reply::TimedOut,
                    (_, Some(twiml)) => reply(200, Some("text/xml"), twiml),
                    (_, None) => reply(404, None, "nothing here"),
                };
                self.double.replied(webhook.id, reply, 5, at_ms);
                self.sent.push(webhook);
            }
        }
    }

    /// `voice ringing`, `status child completed`, …: who was asked and told what.
    fn said(&self) -> Vec<String> {
        let said = |webhook: &Webhook| {
            let file = webhook.url.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
            let status = match webhook.purpose {
                Purpose::Recording => webhook.parameter("RecordingStatus"),
                Purpose::Action => webhook.parameter("DialCallStatus"),
                Purpose::Amd => webhook.parameter("AnsweredBy"),
                Purpose::Status | Purpose::Twiml => webhook.parameter("CallStatus"),
            };
            format!("{file} {status}")
        };
        self.sent.iter().map(said).collect()
    }

    fn one(&self, file: &str, status: &str) -> &Webhook {
        let wanted = format!("{file} {status}");
        let at = self.said().iter().position(|said| *said == wanted);
        &self.sent[at.unwrap_or_else(|| panic!("there is no {wanted} in {:?}", self.said()))]
    }

    fn children(&self) -> Vec<&Call> {
        self.double.calls().iter().filter(|call| call.direction == Direction::OutboundDial).collect()
    }

    fn status(&self, sid: &str) -> Status {
        self.double.call(sid).unwrap().status()
    }
}

const TWO_LEGS: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Response>
  <Say>One moment please</Say>
  <Dial action="/hook/action?lead_id=42#rc=5&amp;rp=all" timeout="20" callerId="+14155550100" record="record-from-answer"
        recordingStatusCallback="https://calls.example.com/hook/recording" answerOnBridge="false">
    <Number statusCallback="https://calls.example.com/hook/status?lead_id=42#rc=5&amp;rp=all"
            statusCallbackEvent="initiated ringing answered completed">+14155550101</Number>
  </Dial>
</Response>"#;

#[test]
fn a_dialed_call_has_two_legs_and_each_is_reported_in_its_place() {
    let mut stage = Stage::new(&[(CUSTOMER, Fate::Answered { talk_s: 40 })]);
    let parent = stage.call_in(None);
    stage.play(&[("voice", TWO_LEGS), ("action", "<Response><Hangup/></Response>")]);
    let wanted = [
        "voice ringing",
        "status initiated",
        "status ringing",
        "status in-progress",
        "action completed",
        "status completed",
        "ended completed",
        "recording completed",
    ];
    assert_eq!(stage.said(), wanted);

    let voice = &stage.sent[0];
    assert!(voice.parameters.is_sorted(), "requests for TwiML come sorted");
    assert_eq!((voice.parameter("From"), voice.parameter("To")), (CALLER, NUMBER));
    assert_eq!((voice.parameter("Direction"), voice.parameter("CallbackSource")), ("inbound", ""));
    let form = Form::parse(voice.body().as_bytes()).unwrap();
    assert_eq!(voice.signature, signature::sign(TOKEN, "https://calls.example.com/hook/voice?x=1", Some(&form)));

    let child = stage.children()[0];
    let completed = stage.one("status", "completed");
    assert_eq!((completed.parameter("CallSid"), completed.parameter("ParentCallSid")), (&*child.sid, &*parent));
    assert_eq!((completed.parameter("CallDuration"), completed.parameter("SequenceNumber")), ("40", "3"));
    assert_eq!((completed.parameter("Duration"), completed.parameter("SipResponseCode")), ("", ""), "not of a noun");
    assert_eq!((completed.parameter("From"), completed.parameter("Direction")), (NUMBER, "outbound-dial"));

    let action = stage.one("action", "completed");
    assert_eq!(action.url, "https://calls.example.com/hook/action?lead_id=42", "relative to the TwiML's URL");
    assert_eq!((action.parameter("CallSid"), action.parameter("CallStatus")), (&*parent, "in-progress"));
    assert_eq!((action.parameter("DialCallSid"), action.parameter("DialCallDuration")), (&*child.sid, "40"));
    assert_eq!(action.parameter("DialBridged"), "true");
    let recording = stage.one("recording", "completed");
    assert_eq!((recording.parameter("CallSid"), recording.parameter("RecordingSource")), (&*parent, "DialVerb"));
    assert_eq!((recording.parameter("RecordingDuration"), recording.parameter("CallStatus")), ("40", ""));
    assert_eq!(action.parameter("RecordingUrl"), recording.parameter("RecordingUrl"));

    let ended = stage.one("ended", "completed");
    assert_eq!((ended.parameter("CallSid"), ended.parameter("SequenceNumber")), (&*parent, "0"), "only its end");
    assert!(ended.parameter("CallDuration").parse::<i64>().unwrap() > 40);
    assert_eq!(stage.double.call(&parent).unwrap().warnings, [""; 0]);
}

#[test]
fn a_status_callback_on_dial_does_nothing() {
    let mut stage = Stage::new(&[(CUSTOMER, Fate::Busy)]);
    let parent = stage.call_in(None);
    let twiml = r#"<Response><Dial statusCallback="https://calls.example.com/hook/status"
        statusCallbackEvent="completed"><Number>+14155550101</Number></Dial></Response>"#;
    stage.play(&[("voice", twiml)]);
    assert_eq!(stage.said(), ["voice ringing", "ended completed"], "nobody is told of the child");
    let warnings = &stage.double.call(&parent).unwrap().warnings;
    assert_eq!(warnings[0], "<Dial> has no attribute statusCallback: it does nothing");
    assert_eq!(stage.status(&stage.children()[0].sid), Status::Busy);
}

#[test]
fn without_an_answer_the_action_hears_why() {
    for (fate, status) in [(Fate::Busy, "busy"), (Fate::NoAnswer, "no-answer"), (Fate::Failed { sip: 404 }, "failed")] {
        let mut stage = Stage::new(&[(CUSTOMER, fate)]);
        stage.call_in(None);
        let sorry = "<Response><Say>Nobody is there</Say></Response>";
        stage.play(&[("voice", TWO_LEGS), ("action", sorry)]);
        let action = stage.one("action", status);
        assert_eq!((action.parameter("DialBridged"), action.parameter("DialCallDuration")), ("false", ""));
        assert_eq!(stage.said().last().unwrap(), "ended completed", "the apology is heard, then it is over");
    }
}

#[test]
fn whoever_does_not_pass_the_whisper_is_not_connected() {
    let dial = |whisper: &str| {
        let mut stage = Stage::new(&[(CUSTOMER, Fate::Answered { talk_s: 60 })]);
        stage.call_in(None);
        let twiml = r#"<Response><Dial action="/hook/action" answerOnBridge="true">
            <Number url="/hook/whisper">+14155550101</Number></Dial></Response>"#;
        stage.play(&[("voice", twiml), ("whisper", whisper), ("action", "<Response/>")]);
        stage
    };
    let refused = dial("<Response><Say>A lead</Say><Hangup/></Response>");
    let action = refused.one("action", "completed");
    assert_eq!((action.parameter("DialBridged"), action.parameter("CallStatus")), ("false", "ringing"));
    let whisper = refused.one("whisper", "in-progress");
    assert_eq!(whisper.parameter("CallSid"), refused.children()[0].sid);
    let connected = dial("<Response><Say>A lead</Say></Response>");
    let action = connected.one("action", "completed");
    assert_eq!((action.parameter("DialBridged"), action.parameter("CallStatus")), ("true", "in-progress"));
}

#[test]
fn with_answer_on_bridge_the_caller_hears_it_ring() {
    let answered_after = |answer_on_bridge: &str| {
        let mut stage = Stage::new(&[(CUSTOMER, Fate::Answered { talk_s: 60 })]);
        let parent = stage.call_in(None);
        let twiml = format!(r#"<Response><Dial answerOnBridge="{answer_on_bridge}">+14155550101</Dial></Response>"#);
        stage.play(&[("voice", &twiml)]);
        let answered_ms = |sid: &str| stage.double.call(sid).unwrap().truth().unwrap().answered_ms.unwrap();
        answered_ms(&stage.children()[0].sid) - answered_ms(&parent)
    };
    assert_eq!(answered_after("true"), 0, "both are answered at once");
    assert!(answered_after("false") > 1_000, "the caller's leg is answered before anybody is there");
}

#[test]
fn of_several_the_first_is_connected_and_the_others_are_taken_back() {
    let fates = [(CUSTOMER, Fate::Answered { talk_s: 30 }), ("client:bob", Fate::NoAnswer)];
    let mut stage = Stage::new(&[&fates[..], &[("sip:bob@example.com", Fate::NoAnswer)]].concat());
    stage.call_in(None);
    let twiml = r#"<Response><Dial action="/hook/action"><Number>+14155550101</Number>
        <Client statusCallback="/hook/status"><Identity>bob</Identity></Client><Sip>sip:bob@example.com</Sip></Dial></Response>"#;
    stage.play(&[("voice", twiml), ("action", "<Response/>")]);
    let statuses: Vec<(&str, Status)> = stage.children().iter().map(|c| (c.to.as_str(), c.status())).collect();
    let wanted =
        [(CUSTOMER, Status::Completed), ("client:bob", Status::Canceled), ("sip:bob@example.com", Status::Canceled)];
    assert_eq!(statuses, wanted);
    assert_eq!(stage.one("action", "completed").parameter("DialCallSid"), stage.children()[0].sid);
    assert_eq!(stage.one("status", "canceled").parameter("To"), "client:bob");
}

#[test]
fn who_hangs_up_ends_both_legs() {
    let mut stage = Stage::new(&[(CUSTOMER, Fate::Answered { talk_s: 600 })]);
    let parent = stage.call_in(Some(60));
    stage.play(&[("voice", TWO_LEGS), ("action", "<Response/>")]);
    let (child, ended) = (stage.one("status", "completed"), stage.one("ended", "completed"));
    assert!(child.parameter("CallDuration").parse::<u32>().unwrap() < 60);
    assert_eq!(ended.parameter("CallSid"), parent);
    assert!(!stage.said().iter().any(|said| said.starts_with("action")), "nobody is left to be told what to do");

    let mut stage = Stage::new(&[(CUSTOMER, Fate::NoAnswer)]);
    let parent = stage.call_in(Some(8));
    stage.play(&[("voice", TWO_LEGS)]);
    assert_eq!((stage.status(&parent), stage.status(&stage.children()[0].sid)), (Status::Completed, Status::Canceled));
}

#[test]
fn a_browser_calls_through_an_application() {
    let mut stage = Stage::new(&[(CUSTOMER, Fate::Answered { talk_s: 5 })]);
    let parameters = vec![("To".to_owned(), CUSTOMER.to_owned()), ("lead_id".to_owned(), "42".to_owned())];
    let line = Line::Application { sid: APP.to_owned(), parameters };
    let caller = Caller { account_sid: ACCOUNT.to_owned(), from: "client:ann".to_owned(), line, stays_s: None };
    stage.double.call_in(caller, START_MS).unwrap();
    stage.play(&[("voice", "<Response><Redirect>/hook/more</Redirect></Response>"), ("more", TWO_LEGS)]);
    for file in ["voice", "more"] {
        let request = stage.sent.iter().find(|w| w.url.contains(&format!("/{file}"))).unwrap();
        assert_eq!((request.parameter("From"), request.parameter("To")), ("client:ann", CUSTOMER));
        assert_eq!((request.parameter("lead_id"), request.parameters.is_sorted()), ("42", true));
    }
    let ended = stage.one("ended", "completed");
    assert_eq!((ended.parameter("From"), ended.parameter("To"), ended.parameter("lead_id")), ("client:ann", "", ""));
    assert_eq!(stage.said()[1], "more in-progress", "a redirect answers the call");
}

#[test]
fn a_call_that_was_placed_follows_its_url() {
    let mut stage =
        Stage::new(&[("client:ann", Fate::Answered { talk_s: 300 }), (CUSTOMER, Fate::Machine { talk_s: 12 })]);
    let url = "https://calls.example.com/hook/voice?connect=%2B14155550101";
    let order =
        Order::new(ACCOUNT, NUMBER, "client:ann").telling("https://calls.example.com/hook/agent").following(url);
    let agent = stage.double.place(order, START_MS);
    let twiml = r#"<Response><Dial><Number machineDetection="Enable" amdStatusCallback="/hook/amd"
        statusCallback="/hook/status">+14155550101</Number></Dial></Response>"#;
    stage.play(&[("voice", twiml)]);
    let wanted = [
        "agent initiated",
        "agent ringing",
        "voice in-progress",
        "agent in-progress",
        "amd machine_start",
        "agent completed",
        "status completed",
    ];
    let mut said = stage.said();
    said.sort_by_key(|line| wanted.iter().position(|wanted| wanted == line));
    assert_eq!(said, wanted, "as soon as the customer's leg is over there is nothing left to do");
    let amd = stage.one("amd", "machine_start");
    assert_eq!((amd.parameter("CallSid"), amd.parameter("CallStatus")), (&*stage.children()[0].sid, ""));
    assert_eq!(stage.one("voice", "in-progress").parameter("Direction"), "outbound-api");
    assert_eq!(stage.children()[0].parent_sid.as_deref(), Some(&*agent));
    assert_eq!(stage.one("status", "completed").parameter("AnsweredBy"), "machine_start");
}

#[test]
fn verbs_do_what_they_say() {
    let end = |twiml: &str| {
        let mut stage = Stage::new(&[]);
        let parent = stage.call_in(None);
        stage.play(&[("voice", twiml)]);
        let seen = stage.double.call(&parent).unwrap().truth().unwrap();
        (seen.status, seen.seconds(), stage.said().last().unwrap().clone())
    };
    let ended = |status: Status, seconds| (status, seconds, format!("ended {status}"));
    assert_eq!(end("<Response><Reject/></Response>"), ended(Status::NoAnswer, 0));
    assert_eq!(end(r#"<Response><Reject reason="busy"/></Response>"#), ended(Status::Busy, 0));
    assert_eq!(end("<Response/>"), ended(Status::Completed, 0));
    assert_eq!(end(""), ended(Status::Completed, 0), "an empty answer is an empty document");
    assert_eq!(end(r#"<Response><Say>Hi</Say><Pause length="7"/><Hangup/></Response>"#), ended(Status::Completed, 8));
    let pause_first = r#"<Response><Pause length="3"/><Reject/></Response>"#;
    assert_eq!(end(pause_first), ended(Status::NoAnswer, 0), "a pause does not answer");
    assert_eq!(end("<Response><Say>Hi</Say><Reject/></Response>").0, Status::Completed, "too late to reject");
    assert_eq!(end("<Response><Dial/></Response>").0, Status::Completed);
}

#[test]
fn what_is_no_twiml_is_asked_for_elsewhere_and_then_apologised_for() {
    for broken in ["silence", "<Response", "<Answer/>", "plain text"] {
        let mut stage = Stage::new(&[]);
        let parent = stage.call_in(None);
        stage.play(&[("voice", broken), ("fallback", "<Response><Reject/></Response>")]);
        assert_eq!(stage.said(), ["voice ringing", "fallback ringing", "ended no-answer"], "{broken}");
        let fallback = stage.one("fallback", "ringing");
        assert_eq!((fallback.parameter("ErrorCode"), fallback.parameter("ErrorUrl")), ("11200", &*stage.sent[0].url));
        assert!(stage.double.call(&parent).unwrap().warnings[0].starts_with("failed to "));
    }
    let mut stage = Stage::new(&[]);
    stage.call_in(None);
    stage.play(&[]);
    assert_eq!(stage.said(), ["voice ringing", "fallback ringing", "ended completed"]);
    assert_eq!(stage.one("ended", "completed").parameter("CallDuration"), "4", "an application error has occurred");
}

#[test]
fn a_document_is_read_as_twilio_reads_it() {
    let text = r#"<Response><!-- hello --><Gather/><Dial timeout="soon"><Conference>room</Conference>
        <Number statusCallback="s" statusCallbackEvent="answered,completed">+14155550101</Number></Dial></Response>"#;
    let twiml = Twiml::parse(text, "https://calls.example.com/a/voice?x=1").unwrap();
    let wanted = [
        "<Gather> is no verb that the double executes",
        "<Conference> is no noun that the double dials",
        "\"answered,completed\" is no event of a call",
        "timeout=\"soon\" is no whole number",
    ];
    assert_eq!(twiml.warnings, wanted);
    assert_eq!(twiml.verbs.len(), 1);
    let text = format!("{:?}", twiml.verbs);
    assert!(text.contains("https://calls.example.com/a/s"), "relative to the TwiML: {text}");
}
