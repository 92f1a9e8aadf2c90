//! The channel list: what the PBX says is live, asked for after every connect and as an audit.

use crate::domain::time::Millis;

/// One channel of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Channel {
    /// Its name, such as `PJSIP/2001-00000007`.
    pub name: String,
    /// The id of the leg.
    pub uniqueid: String,
    /// The call it belongs to now.
    pub linkedid: String,
    /// 0 Down … 6 Up: Asterisk's number of its state.
    pub state: u8,
    /// The bridge it is in, if it is in one.
    pub bridge: Option<String>,
    /// The application it runs.
    pub application: Option<String>,
    /// `CallerIDNum` and `ConnectedLineNum`, where they are known.
    pub caller: Option<String>,
    /// See `caller`.
    pub connected: Option<String>,
    /// The dialed extension of its dialplan.
    pub exten: Option<String>,
    /// The number it dialed (`DNID`). Only a caller has one.
    pub dialed: Option<String>,
    /// For how long it exists.
    pub age_ms: Option<Millis>,
    /// When it was answered, by the CDR (`CDR(answer,u)`), in the PBX's time corrected to ours.
    pub answered_ms: Option<Millis>,
    /// The lead named by its variable `ONHOOK_LEAD`.
    pub lead_id: Option<String>,
}

/// The channel list at one moment. Only a complete one is ever made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// When it was asked for.
    pub asked_ms: Millis,
    /// When its last line arrived.
    pub listed_ms: Millis,
    /// Every channel.
    pub channels: Vec<Channel>,
}
