//! The public states of a call and the words around them.
//!
//! ```text
//!            live                                   ended
//!  queued → initiated → ringing → in-progress      completed | failed | busy | no-answer | canceled
//!     └────────┴───────────┴───────────┴────────▶  (from any live state)
//! ```
//!
//! Nothing here moves a call: `call::Call` is a product of registers and its status is a read of them.
//! A weak ending (nobody told us) may turn out wrong, so an ended call can be corrected; a told one never is undone.

use super::words;

words! {
    /// The status of a call, in Twilio's words.
    pub enum Status {
        /// Accepted by the provider, not dialed yet.
        Queued = "queued",
        /// Taken from the queue, being dialed. Exists only in callbacks, not in Twilio's REST answers.
        Initiated = "initiated",
        /// The far end rings. May never be reported.
        Ringing = "ringing",
        /// Answered. Twilio's `answered` event arrives under this word.
        InProgress = "in-progress",
        /// Connected and over; says nothing about who answered.
        Completed = "completed",
        /// The far end was busy.
        Busy = "busy",
        /// Nobody answered.
        NoAnswer = "no-answer",
        /// Given up by the caller or by request before an answer.
        Canceled = "canceled",
        /// Could not be connected, or is known to be over without having been answered.
        Failed = "failed",
    }
}

words! {
    /// What a live claim says. The order is the rank: a higher one is further along.
    pub enum Live {
        /// Waiting to be dialed.
        Queued = "queued",
        /// Being dialed.
        Initiated = "initiated",
        /// Ringing.
        Ringing = "ringing",
        /// Answered.
        Answered = "answered",
    }
}

words! {
    /// How a call ended. The order settles contradictory endings that are equal in everything else.
    pub enum Outcome {
        /// See [`Status::Canceled`].
        Canceled = "canceled",
        /// See [`Status::NoAnswer`].
        NoAnswer = "no-answer",
        /// See [`Status::Busy`].
        Busy = "busy",
        /// See [`Status::Failed`].
        Failed = "failed",
        /// See [`Status::Completed`].
        Completed = "completed",
    }
}

words! {
    /// How the ending of a call is known.
    pub enum Resolution {
        /// The provider told us by itself.
        Callback = "callback",
        /// The provider answered when asked (or its channel list no longer has the call).
        Reconciled = "reconciled",
        /// An operator ended it.
        Manual = "manual",
        /// Nobody could be asked until the limit was reached.
        Inferred = "inferred",
    }
}

words! {
    /// Why a call ended.
    pub enum HangupCause {
        /// Hung up after a conversation.
        Normal = "normal",
        /// The far end was busy.
        Busy = "busy",
        /// Nobody answered.
        NoAnswer = "no_answer",
        /// The far end or its network refused the call.
        Rejected = "rejected",
        /// No way to the far end: unknown, unassigned or switched off.
        Unreachable = "unreachable",
        /// Given up before an answer.
        Canceled = "canceled",
        /// Failed for another reason.
        Failed = "failed",
        /// The sweeper gave up: the limit passed and nobody could be asked.
        TimeoutCleanup = "timeout_cleanup",
        /// A newer call took over the extension.
        Superseded = "superseded",
        /// Ended while the connection to the PBX was down.
        EndedWhileDisconnected = "ended_while_disconnected",
        /// The PBX restarted; its calls are gone.
        PbxRestart = "pbx_restart",
        /// An operator ended it.
        Manual = "manual",
    }
}

words! {
    /// Where a call comes from, in Twilio's words.
    pub enum Direction {
        /// Somebody called us.
        Inbound = "inbound",
        /// Placed by the API: the root of an outbound conversation.
        OutboundApi = "outbound-api",
        /// Dialed on behalf of another call.
        OutboundDial = "outbound-dial",
        /// From an elastic SIP trunk.
        TrunkingOriginating = "trunking-originating",
        /// Towards an elastic SIP trunk.
        TrunkingTerminating = "trunking-terminating",
    }
}

words! {
    /// What an extension is doing.
    pub enum ExtensionState {
        /// No call lives on it.
        Free = "free",
        /// A call is on its way to it or from it, and none is answered.
        Ringing = "ringing",
        /// Somebody speaks.
        Busy = "busy",
    }
}

words! {
    /// How long a live call has shown no sign of life.
    pub enum Stuck {
        /// Longer than is usual.
        Warn = "warn",
        /// So long that somebody should look.
        Critical = "critical",
    }
}

impl Resolution {
    /// Whether the provider said it, by itself or when it was asked.
    pub const fn is_told(self) -> bool {
        match self {
            Self::Callback | Self::Reconciled => true,
            Self::Manual | Self::Inferred => false,
        }
    }
}

impl Status {
    /// Whether the call is over in this status.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Busy | Self::NoAnswer | Self::Canceled | Self::Failed)
    }
}

impl From<Live> for Status {
    fn from(live: Live) -> Self {
        match live {
            Live::Queued => Self::Queued,
            Live::Initiated => Self::Initiated,
            Live::Ringing => Self::Ringing,
            Live::Answered => Self::InProgress,
        }
    }
}

impl From<Outcome> for Status {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Canceled => Self::Canceled,
            Outcome::NoAnswer => Self::NoAnswer,
            Outcome::Busy => Self::Busy,
            Outcome::Failed => Self::Failed,
            Outcome::Completed => Self::Completed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip_and_name_what_is_allowed() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse::<Status>(), Ok(*status));
            assert_eq!(serde_json::to_string(status).unwrap(), format!("\"{status}\""));
        }
        let error = "answered".parse::<Status>().unwrap_err();
        assert!(error.contains("\"answered\"") && error.contains("in-progress"), "{error}");
    }

    #[test]
    fn live_words_map_to_live_statuses_and_outcomes_to_ended_ones() {
        assert!(Live::ALL.iter().all(|l| !Status::from(*l).is_ended()));
        assert!(Outcome::ALL.iter().all(|o| Status::from(*o).is_ended()));
        assert_eq!(Status::from(Live::Answered), Status::InProgress);
        for outcome in Outcome::ALL {
            assert_eq!(Status::from(*outcome).as_str(), outcome.as_str());
        }
    }
}
