//! Placing a call, and what the answer says of it.
//!
//! `POST /Calls` has no key by which Twilio would know the same request again. So it is sent once, and the answer is read by
//! one question: may there be a call? Only where there is none may it be placed again, and only where that is certain is it
//! said.

use super::{
    Client, ClientError, Told, path,
    wire::{Failed, malformed},
};
use crate::{
    provider::{Placed, Trouble, TroubleKind},
    twilio::{rest::Call, sid},
};

/// A call that is to be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateCall {
    /// Whom to call.
    pub to: String,
    /// The number that is shown.
    pub from: String,
    /// What is done once it is answered.
    pub instructions: Instructions,
    /// Who is told of all four moments.
    pub status_callback: String,
    /// For how long it rings.
    pub timeout_seconds: Option<u32>,
    /// After how long it is cut off.
    pub time_limit_seconds: Option<u32>,
    /// Whether machines are told from people.
    pub detection: Option<Detection>,
}

/// What is done with an answered call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instructions {
    /// This.
    Twiml(String),
    /// What this URL answers to a POST.
    Url(String),
}

/// How machines are told from people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detection {
    /// `Enable` or `DetectMessageEnd`.
    pub mode: String,
    /// The call goes on meanwhile, and this URL is told. `None`: the call waits, and whoever is asked for TwiML is told.
    pub meanwhile: Option<String>,
}

impl CreateCall {
    /// The parameters, named as in `voice/api/call-resource#create-a-call`.
    fn form(&self) -> Vec<(&'static str, String)> {
        let mut form = vec![("To", self.to.clone()), ("From", self.from.clone())];
        match &self.instructions {
            Instructions::Twiml(twiml) => form.push(("Twiml", twiml.clone())),
            Instructions::Url(url) => form.extend([("Url", url.clone()), ("Method", "POST".to_owned())]),
        }
        form.extend([("StatusCallback", self.status_callback.clone()), ("StatusCallbackMethod", "POST".to_owned())]);
        // A parameter for each: several in one are none, and then the end only is reported.
        form.extend(MOMENTS.map(|moment| ("StatusCallbackEvent", moment.to_owned())));
        form.extend(self.timeout_seconds.map(|seconds| ("Timeout", seconds.to_string())));
        form.extend(self.time_limit_seconds.map(|seconds| ("TimeLimit", seconds.to_string())));
        if let Some(Detection { mode, meanwhile }) = &self.detection {
            form.push(("MachineDetection", mode.clone()));
            let url = meanwhile.iter().cloned();
            form.extend(url.flat_map(|url| [("AsyncAmd", "true".to_owned()), ("AsyncAmdStatusCallback", url)]));
            form.extend(meanwhile.iter().map(|_| ("AsyncAmdStatusCallbackMethod", "POST".to_owned())));
        }
        form
    }
}

impl Client {
    /// Places a call. The answer is there within the time of one request, and the request is never repeated once it may
    /// have been taken.
    pub async fn create_call(&self, account: &str, call: &CreateCall) -> Placed {
        let form = call.form();
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        match self.wire.ask_once::<Call>((&path(account, "Calls.json"), WHAT), &form).await {
            Ok(told) => accepted(told, account),
            Err(failed) => refused(failed),
        }
    }
}

fn accepted(told: Told<Call>, account: &str) -> Placed {
    let Call { sid, account_sid, .. } = told.value;
    if sid::CALL.fits(&sid) && (account_sid.is_empty() || account_sid == account) {
        return Placed::Accepted(sid);
    }
    Placed::Lost(malformed(WHAT, "it is of another account, or has no sid of a call").to_string())
}

fn refused(failed: Failed) -> Placed {
    let Failed { error, status, code, may_be_done, is_waiting, retry_after, .. } = failed;
    let detail = match (&error, retry_after) {
        (ClientError::NotFound { .. }, _) => format!("{error}: is this the region of the account?"),
        (_, Some(wait)) => format!("{error}; it asks to wait {} s", wait.as_secs()),
        (_, None) => error.to_string(),
    };
    if may_be_done {
        return Placed::Lost(detail);
    }
    let not_now = |kind| Placed::NotNow(Trouble { kind, detail: detail.clone() });
    match (code.map(about), status) {
        (Some(About::TheCall), _) => Placed::Refused(reason(&error)),
        (Some(About::Everything(kind)), _) => not_now(kind),
        (_, None) if is_waiting => not_now(TroubleKind::TooMany),
        (_, None) => not_now(TroubleKind::Unreachable),
        (_, Some(401 | 403)) => not_now(TroubleKind::Refused),
        (_, Some(429)) => not_now(TroubleKind::TooMany),
        // Each refusal of Twilio's has a code: this is somebody in between, who would refuse the other calls too.
        (None, Some(_)) => not_now(TroubleKind::Malformed),
        // It is new to us. There is no call; and were it about all of them, each would be told so.
        (Some(About::Unknown), Some(_)) => Placed::Refused(reason(&error)),
    }
}

/// What is said of a call that was refused.
fn reason(error: &ClientError) -> String {
    match error {
        ClientError::Malformed { why, .. } => format!("Twilio refused it: {why}"),
        ClientError::Unauthorized { message, .. } => format!("Twilio refused it: it answers {message}"),
        ClientError::NotFound { .. } | ClientError::TooMany { .. } | ClientError::Unavailable { .. } => {
            format!("Twilio refused it: failed to {error}")
        }
    }
}

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// Whom it calls: the next call may be taken.
    TheCall,
    /// The account, the caller's number, our URLs or the settings: no call will be taken before that is mended.
    Everything(TroubleKind),
    /// Nobody knows.
    Unknown,
}

/// By Twilio's dictionary: <https://www.twilio.com/docs/api/errors>, each code below it.
const fn about(code: u32) -> About {
    const MEND: About = About::Everything(TroubleKind::Refused);
    match code {
        10001 | 20005 => MEND,                            // the account is not active
        10002 => MEND,                                    // not for trial accounts
        10004 => About::Everything(TroubleKind::TooMany), // as many calls at once as the account may have
        10005 => MEND,                                    // voice is disabled for the account
        13223 | 13224 => About::TheCall,                  // no number that can be called
        13225 => About::TheCall,                          // a forbidden number
        13226 => About::TheCall,                          // no such country
        13227 | 21215 => About::TheCall,                  // the country is not allowed (geo permissions)
        20001 | 21200 => MEND,                            // a parameter of the request, all but `To` being the run's
        20003 | 20006 => MEND,                            // the credentials
        20004 => MEND,                                    // the method is not allowed
        20008 => MEND,                                    // test credentials
        20404 => About::Everything(TroubleKind::Blind),   // no such account, at this host
        20429 => About::Everything(TroubleKind::TooMany), // too many requests
        21201 | 21211 | 21217 | 21401 => About::TheCall,  // `To` is missing or no number
        21202 | 21203 => About::TheCall,                  // a premium number; abroad
        21205 => MEND,                                    // `Url`
        21206..=21209 => MEND,                            // settings of the call
        21210 | 21212 | 21213 => MEND,                    // `From` is not verified, no number, missing
        21214 => About::TheCall,                          // it cannot be reached
        21216 => About::TheCall,                          // blocked by Twilio
        21218 => MEND,                                    // the application
        21219 | 573_005 => About::TheCall,                // not verified, of a trial account
        21609 => MEND,                                    // `StatusCallback`
        573_002 => About::TheCall,                        // `From` is not the one a trial account has for this `To`
        _ => About::Unknown,
    }
}

const WHAT: &str = "a new call";
const MOMENTS: [&str; 4] = ["initiated", "ringing", "answered", "completed"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_about_the_call_or_about_all_of_them() {
        for code in [13224, 13227, 21211, 21214, 21215, 21216, 21219, 573_005] {
            assert_eq!(about(code), About::TheCall, "{code}");
        }
        for code in [10001, 20003, 20005, 20008, 21205, 21210, 21212, 21213] {
            let About::Everything(kind) = about(code) else { panic!("{code}") };
            assert!(kind.is_ours_to_mend(), "{code}: {kind:?}");
        }
        for code in [10004, 20429] {
            assert_eq!(about(code), About::Everything(TroubleKind::TooMany), "{code}");
        }
        assert_eq!(about(20404), About::Everything(TroubleKind::Blind));
        assert_eq!(about(99_999), About::Unknown);
    }
}
