//! Ending a call: the one thing that is changed at Twilio.

use super::{Client, ClientError, escaped, path, wire::Question};
use crate::twilio::rest::Call;

/// Which calls are to be hung up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HangUp {
    /// Whatever it is doing.
    Any,
    /// Only if nobody has answered it.
    Unanswered,
}

/// What came of hanging up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HungUp {
    /// It is being ended; how it ended is told by a callback, or by asking.
    Done,
    /// It had ended before.
    EndedAlready,
    /// It was answered before, and goes on: it was to be hung up only unanswered.
    Answered,
}

impl Client {
    /// Ends a call. Repeated only if Twilio surely did nothing, so an error may also mean that it was hung up.
    pub async fn hang_up(&self, account: &str, call: &str, which: HangUp) -> Result<HungUp, ClientError> {
        let status = match which {
            // Also ends calls that are queued or ringing.
            HangUp::Any => "completed",
            HangUp::Unanswered => "canceled",
        };
        let (uri, what) = (path(account, &format!("Calls/{}.json", escaped(call))), format!("the end of call {call}"));
        let question = Question { uri: &uri, what: &what, form: Some(&[("Status", status)]), sent: None };
        match self.wire.ask::<Call>(question).await {
            Ok(told) if which == HangUp::Unanswered && told.value.status == "in-progress" => Ok(HungUp::Answered),
            Ok(_) => Ok(HungUp::Done),
            Err(failed) if failed.code == Some(CALL_IS_OVER) => Ok(HungUp::EndedAlready),
            Err(failed) => Err(failed.error),
        }
    }
}

/// `Invalid call state`, <https://www.twilio.com/docs/api/errors/21220>.
const CALL_IS_OVER: u32 = 21220;
