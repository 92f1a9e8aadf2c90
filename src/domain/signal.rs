//! A signal: one thing a provider, a timer or an operator tells a call, free of any provider's wire format.

use super::{
    id::Leg,
    state::{HangupCause, Live, Outcome},
    time::{DAY, MINUTE, Millis},
    words,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

words! {
    /// Who says it. The order is that of trust in details: the first one is believed most.
    pub enum Witness {
        /// The provider told us by itself.
        Callback = "callback",
        /// The provider answered when asked.
        Reconciled = "reconciled",
        /// The PBX's channel list lacks the call, or the PBX restarted.
        Absent = "absent",
        /// An operator, or an import of the user's own rows.
        Manual = "manual",
        /// Nobody could be asked.
        Inferred = "inferred",
    }
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// The call has come this far.
    Live(Live),
    /// The call is listed as live; how far it has come is not said.
    Alive,
    /// The provider says that it ended.
    Ended(Told),
    /// It is taken as ended although the provider never said so.
    GivenUp(Weak),
    /// A recording; it is in the details.
    Recording,
    /// Who or what answered; it is in the details.
    AnsweredBy,
    /// Whose call it is; it is in the link.
    Link,
    /// A status word nobody knows, kept as it came. Moves nothing.
    Unknown(String),
}

/// An ending in the provider's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// How it ended.
    pub outcome: Outcome,
    /// Seconds of conversation as the provider counts them (Twilio `CallDuration`, never `Duration`, which is billed minutes).
    pub seconds: Option<i64>,
    /// Why it ended.
    pub cause: HangupCause,
}

/// An ending nobody told us. Outcome and end are not stored: they are read from what is known of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Weak {
    /// When it was decided. A sign of life after this moment voids it.
    pub decided_ms: Millis,
    /// The call was certainly alive at this moment, if known (Asterisk: last byte before the cut).
    pub floor_ms: Option<Millis>,
    /// Why it was decided.
    pub cause: HangupCause,
    /// What an answered call then is: `completed`, or `failed` by setting.
    pub if_answered: Outcome,
    /// The end an operator stated.
    pub stated_end_ms: Option<Millis>,
}

words! {
    /// A fact about a call that is not its state.
    pub enum Field {
        /// The parent leg's provider id.
        ParentId = "parent_id",
        /// The younger of two merged Linkedids points to the older.
        MergedInto = "merged_into",
        /// See `state::Direction`; kept as the provider wrote it.
        Direction = "direction",
        /// The caller's address.
        From = "from",
        /// The called address.
        To = "to",
        /// The extension it belongs to.
        Extension = "extension",
        /// The user it belongs to.
        UserId = "user_id",
        /// The job of an outbound run that placed it.
        JobId = "job_id",
        /// The attempt of that job.
        Attempt = "attempt",
        /// What answered: `human`, `machine_start`, `fax` …
        AnsweredBy = "answered_by",
        /// Where the recording is.
        RecordingUrl = "recording_url",
        /// Length of the recording in seconds.
        RecordingSeconds = "recording_seconds",
        /// `false`: the callee picked up but was never bridged (Twilio `DialBridged`).
        Bridged = "bridged",
    }
}

words! {
    /// How a call was tied to a lead. The first is the best.
    pub enum LinkRank {
        /// `lead_id` on the signed callback URL.
        Url = "url",
        /// The call was announced beforehand.
        Announced = "announced",
        /// The job that placed the call is the lead's.
        Job = "job",
        /// The far end's number is the lead's.
        Number = "number",
    }
}

/// Ties a call to a lead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// How it was found.
    pub rank: LinkRank,
    /// The user's own id of the lead.
    pub lead_id: String,
}

/// What is said of one leg, by whom, with which times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// The leg it speaks of.
    pub leg: Leg,
    /// Who says it.
    pub witness: Witness,
    /// What is said.
    pub claim: Claim,
    /// The provider's own time of it; `None` if it gave none that can be believed (see [`believable`]).
    pub at: Option<Millis>,
    /// The provider's sequence number (Twilio counts the subscribed callbacks of a leg from 0).
    pub sequence: Option<i64>,
    /// Facts that came with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<Field, String>,
    /// The lead it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Link>,
    /// When it first reached us. Not part of its identity.
    #[serde(default)]
    pub received_ms: Millis,
}

/// The identity of a signal: all of it but the time it was received, hashed to 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity(#[serde(with = "hex_bytes")] [u8; 16]);

impl Identity {
    /// Lower-case hex, 32 characters.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// Reads what [`Identity::to_hex`] wrote.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl Signal {
    /// The time this signal counts for: the provider's, else when it was received.
    pub fn effective_ms(&self) -> Millis {
        self.at.unwrap_or(self.received_ms)
    }

    /// See [`Identity`]. The leg is included: two legs never share a signal.
    pub fn identity(&self) -> Identity {
        let said = (&self.leg, self.witness, &self.claim, self.at, self.sequence, &self.details, &self.link);
        // Serializing plain structs to memory cannot fail; an empty text would only make the identity coarser.
        let text = serde_json::to_vec(&said).unwrap_or_default();
        let digest = Sha256::digest(&text);
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(digest) {
            *to = from;
        }
        Identity(bytes)
    }

    /// Whether it says nothing but that the call was alive when the provider was asked. A later one says all of it.
    pub fn is_sign_of_life(&self) -> bool {
        let Self { witness, claim, sequence, details, link, .. } = self;
        let is_bare = sequence.is_none() && details.is_empty() && link.is_none();
        is_bare && *witness == Witness::Reconciled && *claim == Claim::Alive
    }

    /// The word of the claim in timelines; `None` for a status nobody knows.
    pub const fn claim_word(&self) -> Option<&'static str> {
        match &self.claim {
            Claim::Live(live) => Some(live.as_str()),
            Claim::Alive => Some("alive"),
            Claim::Ended(_) | Claim::GivenUp(_) => Some("ended"),
            Claim::Recording => Some("recording"),
            Claim::AnsweredBy => Some("answered_by"),
            Claim::Link => Some("link"),
            Claim::Unknown(_) => None,
        }
    }
}

/// A provider's time if it can be believed: from seven days before to five minutes after it was received.
/// Anything else (a broken clock, a hostile value) counts as untold.
pub fn believable(at: Option<Millis>, received_ms: Millis) -> Option<Millis> {
    at.filter(|at| (received_ms.saturating_sub(PAST_MAX)..=received_ms.saturating_add(FUTURE_MAX)).contains(at))
}

/// How old a provider's time may be when it arrives.
pub const PAST_MAX: Millis = 7 * DAY;
/// How far ahead of us a provider's clock may be.
pub const FUTURE_MAX: Millis = 5 * MINUTE;

mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 16], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<[u8; 16], D::Error> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(String::deserialize(d)?, &mut bytes).map_err(D::Error::custom)?;
        Ok(bytes)
    }
}
