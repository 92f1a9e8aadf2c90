//! What an account says of itself: its numbers, applications and calls, and the parameters of a new call.

use super::*;

fn number(fields: Value) -> Vec<Finding> {
    let number: PhoneNumber = serde_json::from_value(fields).unwrap();
    lint::number(&number, &expect())
}

#[test]
fn phone_numbers_and_applications_are_judged_by_what_reports_their_end() {
    let with = |url: Value, method: &str| {
        number(
            json!({ "sid": "PN1", "phone_number": "+14155550100", "status_callback": url, "status_callback_method": method }),
        )
    };
    assert_eq!(with(json!(PUT), "POST"), []);
    let empty = with(json!(""), "POST");
    assert_eq!(
        (rules(&empty), empty[0].put.as_str()),
        (vec![Rule::StatusCallbackMissing], &*format!("StatusCallback={PUT}"))
    );
    assert!(empty[0].subject.contains("+14155550100") && empty[0].line.is_none());
    assert_eq!(rules(&with(Value::Null, "POST")), [Rule::StatusCallbackMissing]);
    assert_eq!(rules(&with(json!(PUT), "GET")), [Rule::MethodGet]);
    assert_eq!(rules(&with(json!("https://calls.example.com/webhooks/twilio/status"), "POST")), [Rule::NoOverrides]);
    assert_eq!(rules(&with(json!("https://other.example/x#rc=5&rp=all"), "POST")), [Rule::UrlForeign]);
    assert_eq!(
        rules(&with(json!("http://a_b.example/x#rc=5&rp=all"), "POST")),
        [Rule::UrlHttp, Rule::UrlUnderscore, Rule::UrlForeign]
    );
    assert_eq!(
        rules(&with(json!("/relative#rc=5&rp=all"), "POST")),
        [Rule::UrlMalformed],
        "REST takes absolute ones only"
    );

    let overruled = number(json!({ "sid": "PN1", "voice_application_sid": "AP1", "status_callback": PUT }));
    assert_eq!((rules(&overruled), overruled[0].level), (vec![Rule::ApplicationInstead], Level::Note));
    assert_eq!(number(json!({ "sid": "PN1", "voice_application_sid": "AP1", "status_callback": "" })), []);
    assert_eq!(
        rules(&number(json!({ "sid": "PN1", "trunk_sid": "TK1", "status_callback": PUT }))),
        [Rule::TrunkInstead]
    );

    let application: Application =
        serde_json::from_value(json!({ "sid": "AP1", "friendly_name": "desk", "status_callback": null })).unwrap();
    let found = lint::application(&application, &expect());
    assert_eq!(
        (rules(&found), found[0].subject.as_str()),
        (vec![Rule::StatusCallbackMissing], "application desk (AP1)")
    );
}

#[test]
fn the_parameters_of_a_new_call_are_judged() {
    let of = |text: &str| lint::create_call(&form(text), &expect());
    let callback = "To=%2B14155550100&StatusCallback=https%3A%2F%2Fcalls.example.com%2Fwebhooks%2Ftwilio%2Fstatus%23rc%3D5%26rp%3Dall";
    let all = "StatusCallbackEvent=initiated&StatusCallbackEvent=ringing&StatusCallbackEvent=answered&StatusCallbackEvent=completed";
    assert_eq!(of(&format!("{callback}&{all}")), []);
    for joined in
        ["initiated+ringing+answered+completed", "initiated,ringing,answered,completed", "answered%20completed"]
    {
        let found = of(&format!("{callback}&StatusCallbackEvent={joined}"));
        assert_eq!((rules(&found), found[0].put.as_str()), (vec![Rule::EventsJoined], all), "{joined}");
    }
    assert_eq!(rules(&of(&format!("{callback}&StatusCallbackEvent[]=answered"))), [Rule::NoCompleted]);
    assert_eq!(
        rules(&of(&format!("{callback}&StatusCallbackEvent=hangup&StatusCallbackEvent=completed"))),
        [Rule::EventUnknown]
    );
    assert_eq!(rules(&of(callback)), [Rule::EventsDefault]);
    assert_eq!(rules(&of(&format!("To=1&{all}"))), [Rule::EventsWithoutCallback]);
    assert_eq!(rules(&of("To=1")), [Rule::StatusCallbackMissing]);
    assert_eq!(rules(&of(&format!("{callback}&{all}&StatusCallbackMethod=GET"))), [Rule::MethodGet]);
    let inside =
        of(&format!("{callback}&{all}&Twiml=%3CResponse%3E%3CDial%3E%2B14155550101%3C%2FDial%3E%3C%2FResponse%3E"));
    assert_eq!(rules(&inside), [Rule::DialWithoutAction, Rule::StatusCallbackMissing]);
    assert_eq!((inside[0].subject.as_str(), inside[0].line), ("Twiml <Dial>", Some(1)));
    let amd = "AsyncAmdStatusCallback=https%3A%2F%2Fcalls.example.com%2Fwebhooks%2Ftwilio%2Fstatus%23rc%3D5%26rp%3Dall";
    assert_eq!(rules(&of(&format!("{callback}&{all}&{amd}"))), [Rule::UrlOtherDoor]);
    let disabled = of(&format!("{callback}&{all}&ApplicationSid=AP1"));
    assert_eq!((rules(&disabled), disabled[0].level), (vec![Rule::ApplicationInstead], Level::Finding));
}

#[test]
fn the_callbacks_of_a_call_are_judged_by_what_was_answered() {
    let call = |status: &str| -> Call {
        serde_json::from_value(json!({ "sid": "CA1", "status": status, "to": "+14155550100" })).unwrap()
    };
    let sent = |status: &str, code: Value| -> CallRequest {
        serde_json::from_value(json!({
            "request": { "url": "https://calls.example.com/x", "parameters": { "call_status": status, "callback_source": "call-progress-events" } },
            "response": { "response_code": code },
        }))
        .unwrap()
    };
    let of = |status: &str, requests: &[CallRequest]| lint::call(&call(status), Some(requests), &expect());
    assert_eq!(of("completed", &[sent("ringing", json!(204)), sent("completed", json!(200))]), []);
    assert_eq!(rules(&of("busy", &[sent("busy", json!(500))])), [Rule::AnswerRefused]);
    assert_eq!(rules(&of("busy", &[sent("busy", json!("403"))])), [Rule::AnswerRefused]);
    assert_eq!(rules(&of("busy", &[sent("busy", json!(301))])), [Rule::Redirect]);
    assert_eq!(rules(&of("busy", &[sent("busy", Value::Null)])), [Rule::Unanswered]);
    assert_eq!(rules(&of("completed", &[sent("ringing", json!(204))])), [Rule::NeverCalledBack]);
    assert_eq!(rules(&of("in-progress", &[sent("ringing", json!(204))])), []);
    assert_eq!(lint::call(&call("completed"), None, &expect()), [], "what is not known yet is no finding");
    let none = of("completed", &[]);
    assert_eq!(rules(&none), [Rule::NeverCalledBack]);
    assert!(none[0].subject.contains("**00") && !none[0].subject.contains("4155550100"), "{}", none[0].subject);
}

#[test]
fn what_a_url_answers_is_judged() {
    assert_eq!(lint::answer("https://a.example/x", 200, "text/xml; charset=utf-8"), None);
    assert_eq!(lint::answer("https://a.example/x", 200, "application/XML"), None);
    assert_eq!(lint::answer("https://a.example/x", 200, "application/json").unwrap().rule, Rule::ContentType);
    assert_eq!(lint::answer("https://a.example/x", 403, "text/xml").unwrap().rule, Rule::AnswerRefused);
    let redirect = lint::redirect("http://a.example/x", 301, "https://a.example/x");
    assert_eq!((redirect.rule, redirect.put.as_str()), (Rule::Redirect, "https://a.example/x"));
}
