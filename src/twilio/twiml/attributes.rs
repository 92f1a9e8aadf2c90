//! The attributes that `<Dial>` and its nouns have: what the linter and the double know.

/// What can be dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noun {
    /// The element.
    pub name: &'static str,
    /// Whether its statusCallback reports a call; that of a conference reports the conference.
    pub reports_a_call: bool,
    /// What it takes.
    pub attributes: &'static [&'static str],
}

/// The attributes of `<Dial>` in Twilio's documentation and of the types in its SDK for Node.
pub const DIAL: &[&str] = &[
    "action",
    "answerOnBridge",
    "callReason",
    "callerId",
    "events",
    "hangupOnStar",
    "method",
    "passports",
    "record",
    "recordingConfigurationId",
    "recordingStatusCallback",
    "recordingStatusCallbackEvent",
    "recordingStatusCallbackMethod",
    "recordingTrack",
    "referMethod",
    "referUrl",
    "ringTone",
    "sequential",
    "timeLimit",
    "timeout",
    "trim",
];
/// The same of the nouns.
pub const NOUNS: &[Noun] = &[
    Noun {
        name: "Number",
        reports_a_call: true,
        attributes: &[
            "amdStatusCallback",
            "amdStatusCallbackMethod",
            "byoc",
            "machineDetection",
            "machineDetectionSilenceTimeout",
            "machineDetectionSpeechEndThreshold",
            "machineDetectionSpeechThreshold",
            "machineDetectionTimeout",
            "method",
            "sendDigits",
            "statusCallback",
            "statusCallbackEvent",
            "statusCallbackMethod",
            "url",
        ],
    },
    Noun {
        name: "Client",
        reports_a_call: true,
        attributes: &["method", "statusCallback", "statusCallbackEvent", "statusCallbackMethod", "url"],
    },
    Noun {
        name: "Sip",
        reports_a_call: true,
        attributes: &[
            "amdStatusCallback",
            "amdStatusCallbackMethod",
            "machineDetection",
            "machineDetectionSilenceTimeout",
            "machineDetectionSpeechEndThreshold",
            "machineDetectionSpeechThreshold",
            "machineDetectionTimeout",
            "method",
            "password",
            "statusCallback",
            "statusCallbackEvent",
            "statusCallbackMethod",
            "url",
            "username",
        ],
    },
    Noun {
        name: "WhatsApp",
        reports_a_call: true,
        attributes: &["method", "statusCallback", "statusCallbackEvent", "statusCallbackMethod", "url"],
    },
    Noun {
        name: "Application",
        reports_a_call: true,
        attributes: &[
            "copyParentTo",
            "customerId",
            "method",
            "statusCallback",
            "statusCallbackEvent",
            "statusCallbackMethod",
            "url",
        ],
    },
    Noun {
        name: "Conference",
        reports_a_call: false,
        attributes: &[
            "beep",
            "coach",
            "endConferenceOnExit",
            "eventCallbackUrl",
            "jitterBufferSize",
            "maxParticipants",
            "muted",
            "participantLabel",
            "record",
            "recordingConfigurationId",
            "recordingStatusCallback",
            "recordingStatusCallbackEvent",
            "recordingStatusCallbackMethod",
            "region",
            "startConferenceOnEnter",
            "statusCallback",
            "statusCallbackEvent",
            "statusCallbackMethod",
            "trim",
            "waitMethod",
            "waitUrl",
        ],
    },
];
