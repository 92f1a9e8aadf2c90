//! The words TwiML attributes take, each a closed list of Twilio's documentation.

use crate::domain::words;

words! {
    /// How Twilio asks or tells.
    pub enum Method {
        /// Everything is in the query string.
        Get = "GET",
        /// Its parameters are in the body.
        Post = "POST",
    }
}

words! {
    /// What a status callback of a dialed leg tells (`voice/twiml/number`).
    pub enum Progress {
        /// Dialing begins.
        Initiated = "initiated",
        /// It rings.
        Ringing = "ringing",
        /// It was answered.
        Answered = "answered",
        /// It is over, however it ended.
        Completed = "completed",
    }
}

words! {
    /// What a callback about a recording tells (`voice/twiml/dial`).
    pub enum RecordingProgress {
        /// It has begun.
        InProgress = "in-progress",
        /// It can be fetched.
        Completed = "completed",
        /// There is none after all.
        Absent = "absent",
    }
}

words! {
    /// Whether and how a dialed call is recorded (`voice/twiml/dial`).
    pub enum Record {
        /// It is not.
        Not = "do-not-record",
        /// From the answer, both parties on one channel.
        FromAnswer = "record-from-answer",
        /// From ringing, both parties on one channel.
        FromRinging = "record-from-ringing",
        /// From the answer, each party on a channel of its own.
        FromAnswerDual = "record-from-answer-dual",
        /// From ringing, each party on a channel of its own.
        FromRingingDual = "record-from-ringing-dual",
    }
}

words! {
    /// How a machine that answers is found out (`voice/answering-machine-detection`).
    pub enum MachineDetection {
        /// Told as soon as it is known what answered.
        Enable = "Enable",
        /// Told when a machine's greeting is over.
        DetectMessageEnd = "DetectMessageEnd",
    }
}
