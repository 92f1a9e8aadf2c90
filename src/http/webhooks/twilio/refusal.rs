//! What the log says of a webhook that is refused: one line for each, with what it was, whether it is kept, and what to do.

use crate::{
    http::Problem,
    quarantine::{Kept, Reason, Refused},
    twilio::{
        door::{Carries, Door, Parameters},
        form::Form,
        sid,
    },
};

/// One line.
pub(super) struct Line {
    door: Door,
    reason: &'static str,
    detail: String,
    call: Option<String>,
    account: Option<String>,
    client: String,
    tried: Option<String>,
    advice: String,
}

impl Line {
    /// Of what is quarantined.
    pub(super) fn of(refused: &Refused, call: Option<String>) -> Self {
        let account = refused.account.as_deref().map(shown);
        Self {
            door: refused.door,
            reason: refused.reason.as_str(),
            detail: refused.detail.clone(),
            call,
            advice: advice(refused.reason, refused.door, account.as_deref()),
            account,
            client: refused.client.clone().unwrap_or_else(|| "unknown".to_owned()),
            tried: None,
        }
    }

    /// Of what could not even be decoded: nobody knows whose it is, so it is not kept.
    pub(super) fn of_undecoded(door: Door, raw_query: &str, client: &str, (problem, advice): (&Problem, &str)) -> Self {
        let query = if door.carries() == Carries::Events { Form::parse(raw_query.as_bytes()).ok() } else { None };
        let account = query.and_then(|query| query.first("account").map(|sid| shown(&sid)));
        Self {
            door,
            reason: problem.kind().as_str(),
            detail: problem.detail().to_owned(),
            call: None,
            account,
            client: client.to_owned(),
            tried: None,
            advice: advice.to_owned(),
        }
    }

    /// The URLs its signature was compared with.
    pub(super) fn tried(self, tried: String) -> Self {
        Self { tried: Some(tried), ..self }
    }

    /// Writes it; `kept` is what became of it.
    pub(super) fn write(self, what: &str, kept: &Kept) {
        let (quarantine, kept) = match kept {
            Kept::Durable(id) => (Some(id.as_str()), "yes"),
            Kept::Waits => (None, "waits to be kept"),
            Kept::Lost => (None, "no"),
        };
        let Self { door, reason, detail, call, account, client, tried, advice } = self;
        let door = door.as_str();
        tracing::warn!(door, reason, detail, call, account, client, tried, quarantine, kept, advice, "{what}");
    }
}

/// The call a webhook says it is about.
pub(super) fn call_of(parameters: &Parameters) -> Option<String> {
    parameters.of_twilio().first("CallSid").filter(|call| sid::CALL.fits(call)).map(|call| call.into_owned())
}

/// A wrong SID may be anything.
pub(super) fn shown(sid: &str) -> String {
    sid.chars().filter(|c| !c.is_control()).take(SID_CHARS_SHOWN_MAX).collect()
}

/// What to do about it.
fn advice(reason: Reason, door: Door, account: Option<&str>) -> String {
    match (reason, account) {
        (Reason::UnknownAccount, Some(account)) => format!(
            "if {account} is yours: `onhook accounts add --sid {account}` (or TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN), \
             then `onhook quarantine redrive`",
        ),
        (Reason::UnknownAccount, None) if door.carries() == Carries::Events => {
            "write the URL of the sink with account= and the SID of the account that owns it".to_owned()
        }
        (Reason::UnknownAccount, None) => {
            "Twilio always sends AccountSid: it is not Twilio, or a proxy takes the parameters away (a redirected POST \
             becomes a GET without any)"
                .to_owned()
        }
        (Reason::SignatureMissing, _) => {
            "it is not Twilio, or a proxy in front of the gateway takes X-Twilio-Signature away".to_owned()
        }
        (Reason::SignatureMalformed, _) => {
            "it is not Twilio, or a proxy in front of the gateway changes X-Twilio-Signature".to_owned()
        }
        (Reason::SignatureMismatch, account) => format!(
            "compare ONHOOK_PUBLIC_URL with the URL that Twilio was told, and the stored tokens with the auth token of {}; \
             `onhook quarantine explain` finds the likely mistake; then `onhook quarantine redrive`",
            account.unwrap_or("the account"),
        ),
        (Reason::BodyHashMismatch, _) => {
            "a proxy in front of the gateway changes the body: let it pass unchanged".to_owned()
        }
        (Reason::Unreadable | Reason::BadEntry, _) => {
            "the detail names the field; look at it with `onhook quarantine explain`".to_owned()
        }
    }
}

/// How much of a wrong SID is shown.
const SID_CHARS_SHOWN_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ProblemKind;
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(line: Line, kept: &Kept) -> String {
        let page = Page::default();
        let to = page.clone();
        let log = tracing_subscriber::fmt().json().with_writer(move || to.clone()).finish();
        tracing::subscriber::with_default(log, || line.write("refused a webhook", kept));
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn refused(reason: Reason, account: Option<&str>) -> Refused {
        Refused {
            tenant: None,
            account: account.map(str::to_owned),
            door: Door::Events,
            method: "POST".into(),
            path_and_query: "/".into(),
            host: None,
            content_type: None,
            signature: None,
            body: Vec::new(),
            entry: false,
            client: Some("192.0.2.1".into()),
            verified: false,
            reason,
            detail: "the detail".into(),
            received_ms: 0,
        }
    }

    #[test]
    fn each_refusal_is_one_line_with_what_to_do() {
        for (reason, account, advice) in [
            (Reason::UnknownAccount, Some("AC1"), "accounts add --sid AC1"),
            (Reason::UnknownAccount, None, "account="),
            (Reason::SignatureMissing, Some("AC1"), "takes X-Twilio-Signature away"),
            (Reason::SignatureMalformed, Some("AC1"), "changes X-Twilio-Signature"),
            (Reason::SignatureMismatch, Some("AC1"), "auth token of AC1"),
            (Reason::BodyHashMismatch, Some("AC1"), "changes the body"),
            (Reason::Unreadable, Some("AC1"), "names the field"),
            (Reason::BadEntry, Some("AC1"), "names the field"),
        ] {
            let line = Line::of(&refused(reason, account), Some("CA1".into())).tried("https://a.example".into());
            let text = written(line, &Kept::Durable("qua_1".into()));
            assert_eq!(text.lines().count(), 1, "{text}");
            let log: serde_json::Value = serde_json::from_str(&text).unwrap();
            let fields = &log["fields"];
            assert_eq!(log["level"], "WARN");
            assert!(fields["advice"].as_str().unwrap().contains(advice), "{reason}: {text}");
            assert_eq!((&fields["reason"], &fields["detail"]), (&reason.as_str().into(), &"the detail".into()));
            assert_eq!((&fields["account"], &fields["call"]), (&account.into(), &"CA1".into()), "{text}");
            assert_eq!((&fields["quarantine"], &fields["kept"]), (&"qua_1".into(), &"yes".into()), "{text}");
            assert_eq!((&fields["client"], &fields["door"]), (&"192.0.2.1".into(), &"twilio/events".into()));
            assert_eq!(fields["tried"], "https://a.example");
        }
    }

    #[test]
    fn what_could_not_be_decoded_is_told_too() {
        let problem = Problem::new(ProblemKind::TooLarge, "the body has more than 7 bytes");
        let line = Line::of_undecoded(Door::Events, "account=AC1%0A", "192.0.2.1", (&problem, "send less"));
        let log: serde_json::Value = serde_json::from_str(&written(line, &Kept::Lost)).unwrap();
        let fields = &log["fields"];
        assert_eq!((&fields["reason"], &fields["account"]), (&"too-large".into(), &"AC1".into()), "{log}");
        assert_eq!((&fields["kept"], &fields["advice"]), (&"no".into(), &"send less".into()), "{log}");
        assert_eq!(fields["quarantine"], serde_json::Value::Null);
    }
}
