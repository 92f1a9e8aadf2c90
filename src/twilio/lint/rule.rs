//! The rules, and why each of them is one. Numbers in brackets are of Twilio's error dictionary.

use crate::domain::words;

words! {
    /// Whether something is lost.
    pub enum Level {
        /// Callbacks are lost, or will be.
        Finding = "finding",
        /// It works, and is worth knowing.
        Note = "note",
    }
}

words! {
    /// What is broken.
    pub enum Rule {
        /// The text is not XML.
        NotXml = "not_xml",
        /// The document is not TwiML.
        NotTwiml = "not_twiml",
        /// The document is larger than Twilio reads.
        TooLarge = "too_large",
        /// The answer is not XML by its content type.
        ContentType = "content_type",
        /// A status callback on `<Dial>`.
        StatusCallbackOnDial = "status_callback_on_dial",
        /// Nothing is called back.
        StatusCallbackMissing = "status_callback_missing",
        /// Events are chosen, but nothing is called back.
        EventsWithoutCallback = "events_without_callback",
        /// No events are chosen, so only the end is reported.
        EventsDefault = "events_default",
        /// Events are joined in a way Twilio does not read.
        EventsJoined = "events_joined",
        /// An event that does not exist.
        EventUnknown = "event_unknown",
        /// The end is not reported.
        NoCompleted = "no_completed",
        /// An attribute that does not exist.
        AttributeUnknown = "attribute_unknown",
        /// The outcome of `<Dial>` is not reported.
        DialWithoutAction = "dial_without_action",
        /// The callback is sent by GET.
        MethodGet = "method_get",
        /// What should be a URL is none.
        UrlMalformed = "url_malformed",
        /// The URL is not encrypted.
        UrlHttp = "url_http",
        /// The host name has an underscore.
        UrlUnderscore = "url_underscore",
        /// The URL is relative.
        UrlRelative = "url_relative",
        /// The URL is not one of this gateway's.
        UrlForeign = "url_foreign",
        /// The outcome of `<Dial>` goes elsewhere.
        ActionForeign = "action_foreign",
        /// The URL is this gateway's, but another door's, or none at all.
        UrlOtherDoor = "url_other_door",
        /// Twilio is not told to try again.
        NoOverrides = "no_overrides",
        /// Twilio is told to try again, but not when it matters.
        OverridesWeak = "overrides_weak",
        /// Twilio cannot read how it should try again.
        OverridesMalformed = "overrides_malformed",
        /// The application's URLs count, not these.
        ApplicationInstead = "application_instead",
        /// A trunk reports nothing.
        TrunkInstead = "trunk_instead",
        /// The URL answers with a redirect.
        Redirect = "redirect",
        /// A request was not answered with success.
        AnswerRefused = "answer_refused",
        /// A request was not answered at all.
        Unanswered = "unanswered",
        /// A call ended, and Twilio never called back.
        NeverCalledBack = "never_called_back",
    }
}

impl Rule {
    /// Whether something is lost.
    pub const fn level(self) -> Level {
        match self {
            Self::UrlRelative
            | Self::ActionForeign
            | Self::EventsDefault
            | Self::OverridesWeak
            | Self::ApplicationInstead => Level::Note,
            _ => Level::Finding,
        }
    }

    /// What comes of it, and where Twilio says so.
    pub const fn why(self) -> &'static str {
        match self {
            Self::NotXml => "Twilio cannot read the document and ends the call (error 12100, document parse failure)",
            Self::NotTwiml => "Twilio reads documents whose root is <Response> (error 12100)",
            Self::TooLarge => "Twilio reads at most 64 KB of TwiML (error 11750)",
            Self::ContentType => "Twilio wants text/xml (error 12300, invalid content type)",
            Self::StatusCallbackOnDial => {
                "<Dial> has no such attribute: it is ignored with warning 12200, and nothing is called back. It belongs on the \
                 noun (docs voice/twiml/dial, voice/twiml/number)"
            }
            Self::StatusCallbackMissing => {
                "nothing is reported of this leg, so nobody learns when it ends (docs usage/webhooks/voice-webhooks)"
            }
            Self::EventsWithoutCallback => "events without a statusCallback are never sent (docs voice/twiml/number)",
            Self::EventsDefault => {
                "without events only the end is reported: no ringing, no answer (docs voice/api/call-resource#statuscallbackevent)"
            }
            Self::EventsJoined => {
                "TwiML takes events separated by spaces in one attribute; POST /Calls takes one StatusCallbackEvent parameter \
                 per event. What is joined otherwise is no event (docs voice/twiml/number, voice/api/call-resource)"
            }
            Self::EventUnknown => {
                "the events are initiated, ringing, answered and completed; others are never sent (docs voice/twiml/number)"
            }
            Self::NoCompleted => "without `completed` the end of the call is never reported (docs voice/twiml/number)",
            Self::AttributeUnknown => "Twilio ignores it (warning 12200, schema validation; docs voice/twiml/dial)",
            Self::DialWithoutAction => {
                "without `action` the outcome of the dialing (DialCallStatus, DialBridged) is never sent (docs voice/twiml/dial)"
            }
            Self::MethodGet => {
                "by GET every parameter is in the URL and signed as written there; proxies and frameworks that encode or sort \
                 the query break the signature (docs usage/security)"
            }
            Self::UrlMalformed => "Twilio cannot call it (error 11210 or 21609)",
            Self::UrlHttp => {
                "numbers and names travel unencrypted, and a redirect to https turns the POST into a GET without parameters \
                 (docs usage/webhooks/webhooks-security)"
            }
            Self::UrlUnderscore => {
                "Twilio refuses host names with an underscore (error 11210, bad host name; docs voice/api/call-resource)"
            }
            Self::UrlRelative => "it is taken relative to the URL of this document; over REST it would be refused",
            Self::UrlForeign => "it does not lead to this gateway's public URL, so this gateway learns nothing from it",
            Self::ActionForeign => {
                "the outcome of the dialing (DialCallStatus, DialBridged) goes there; this gateway learns it if that place posts \
                 it on to its /webhooks/twilio/dial"
            }
            Self::UrlOtherDoor => {
                "each door of the gateway reads one kind of webhook: at another it is refused or misread, where there is none it \
                 is answered 404"
            }
            Self::NoOverrides => {
                "by default Twilio tries a callback once more, and only if it could not connect: a restart or an answer 500 loses \
                 it (docs usage/webhooks/webhooks-connection-overrides)"
            }
            Self::OverridesWeak => {
                "rc=5&rp=all tries five times more, also after 4xx, 5xx and timeouts (docs usage/webhooks/webhooks-connection-overrides)"
            }
            Self::OverridesMalformed => {
                "Twilio does not read it (errors 11240 to 11243; docs usage/webhooks/webhooks-connection-overrides)"
            }
            Self::ApplicationInstead => {
                "the URLs of the TwiML application count and these are ignored (docs phone-numbers/api/incomingphonenumber-resource, \
                 voice/api/call-resource)"
            }
            Self::TrunkInstead => "calls of an Elastic SIP trunk have no status callback",
            Self::Redirect => {
                "Twilio follows it, but a POST becomes a GET without its parameters (docs usage/webhooks; error 11215 after ten)"
            }
            Self::AnswerRefused => {
                "Twilio takes anything but 2xx as a failure (errors 11200, 11217, 15003) and may not try again"
            }
            Self::Unanswered => "Twilio could not connect or had no answer in time (errors 11200, 11205, 15002)",
            Self::NeverCalledBack => "the call ended and no status callback was sent for it",
        }
    }
}
