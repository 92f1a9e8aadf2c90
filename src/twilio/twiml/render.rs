//! TwiML as XML.
//!
//! The values are people's texts and URLs, so each is escaped, and a character that XML 1.0 cannot carry even escaped
//! is replaced: an answer that is not well-formed would end the call.

use super::{
    Amd, BYTES_MAX, Client, Dial, LegCallbacks, NOUNS_MAX, Noun, Number, Response, SAY_CHARS_MAX, Say, Sip, TwimlError,
    Verb,
};
use quick_xml::{
    Writer,
    escape::escape,
    events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event},
};
use std::borrow::Cow;

impl Response {
    /// The answer as XML.
    pub fn render(&self) -> Result<String, TwimlError> {
        let mut xml = Xml(Writer::new(Vec::new()));
        xml.write(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        xml.element("Response", &Attributes::default(), |xml| self.verbs.iter().try_for_each(|verb| verb.write(xml)))?;
        let bytes = xml.0.into_inner();
        if bytes.len() >= BYTES_MAX {
            return Err(TwimlError::TooLarge { bytes: bytes.len() });
        }
        String::from_utf8(bytes).map_err(|_| TwimlError::Writer)
    }
}

impl Verb {
    fn write(&self, xml: &mut Xml) -> Result<(), TwimlError> {
        match self {
            Self::Say(say) => say.write(xml),
            Self::Dial(dial) => dial.write(xml),
            Self::Hangup => xml.empty("Hangup", &Attributes::default()),
        }
    }
}

impl Say {
    fn write(&self, xml: &mut Xml) -> Result<(), TwimlError> {
        let chars = self.text.chars().count();
        if chars > SAY_CHARS_MAX {
            return Err(TwimlError::SayTooLong { chars });
        }
        let attributes =
            Attributes::default().given("voice", self.voice.as_ref()).given("language", self.language.as_ref());
        xml.with_text("Say", &attributes, &self.text)
    }
}

impl Dial {
    fn write(&self, xml: &mut Xml) -> Result<(), TwimlError> {
        if self.nouns.len() > NOUNS_MAX {
            return Err(TwimlError::TooManyNouns { nouns: self.nouns.len() });
        }
        let attributes = Attributes::default()
            .given("action", self.action.as_ref())
            .given("method", self.method)
            .given("timeout", self.timeout_seconds)
            .given("timeLimit", self.time_limit_seconds)
            .given("callerId", self.caller_id.as_ref())
            .given("record", self.record)
            .given("recordingStatusCallback", self.recording_status_callback.as_ref())
            .given("recordingStatusCallbackMethod", self.recording_status_callback_method)
            .list("recordingStatusCallbackEvent", &self.recording_status_callback_event)
            .given("answerOnBridge", self.answer_on_bridge);
        xml.element("Dial", &attributes, |xml| self.nouns.iter().try_for_each(|noun| noun.write(xml)))
    }
}

impl Noun {
    fn write(&self, xml: &mut Xml) -> Result<(), TwimlError> {
        let own = Attributes::default();
        match self {
            Self::Number(Number { number, leg, amd }) => xml.with_text("Number", &own.leg(leg).amd(amd), number),
            Self::Client(Client { identity, leg }) => xml.with_text("Client", &own.leg(leg), identity),
            Self::Sip(Sip { address, leg, amd }) => xml.with_text("Sip", &own.leg(leg).amd(amd), address),
        }
    }
}

/// Names and values, as they are meant.
#[derive(Default)]
struct Attributes(Vec<(&'static str, String)>);

impl Attributes {
    fn given<T: ToString>(mut self, name: &'static str, value: Option<T>) -> Self {
        self.0.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// Several words in one attribute are separated by spaces.
    fn list<T: ToString>(self, name: &'static str, words: &[T]) -> Self {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        self.given(name, (!words.is_empty()).then(|| words.join(" ")))
    }

    fn leg(self, leg: &LegCallbacks) -> Self {
        self.given("url", leg.url.as_ref())
            .given("method", leg.method)
            .given("statusCallback", leg.status_callback.as_ref())
            .given("statusCallbackMethod", leg.status_callback_method)
            .list("statusCallbackEvent", &leg.status_callback_event)
    }

    fn amd(self, amd: &Amd) -> Self {
        self.given("machineDetection", amd.machine_detection)
            .given("amdStatusCallback", amd.amd_status_callback.as_ref())
            .given("amdStatusCallbackMethod", amd.amd_status_callback_method)
    }
}

/// The XML while it is written.
struct Xml(Writer<Vec<u8>>);

impl Xml {
    fn write(&mut self, what: Event<'_>) -> Result<(), TwimlError> {
        self.0.write_event(what).map_err(|_| TwimlError::Writer)
    }

    fn empty(&mut self, name: &'static str, attributes: &Attributes) -> Result<(), TwimlError> {
        self.write(Event::Empty(start(name, attributes)))
    }

    fn element(
        &mut self,
        name: &'static str,
        attributes: &Attributes,
        inside: impl FnOnce(&mut Self) -> Result<(), TwimlError>,
    ) -> Result<(), TwimlError> {
        self.write(Event::Start(start(name, attributes)))?;
        inside(self)?;
        self.write(Event::End(BytesEnd::new(name)))
    }

    fn with_text(&mut self, name: &'static str, attributes: &Attributes, text: &str) -> Result<(), TwimlError> {
        let text = expressible(text);
        // A bare carriage return would be read as a line feed.
        let escaped = escape(text.as_ref()).replace('\r', "&#13;");
        self.element(name, attributes, |xml| xml.write(Event::Text(BytesText::from_escaped(escaped))))
    }
}

fn start(name: &'static str, attributes: &Attributes) -> BytesStart<'static> {
    let mut start = BytesStart::new(name);
    for (name, value) in &attributes.0 {
        let value = expressible(value);
        // In an attribute white space would be read as plain spaces.
        let escaped = escape(value.as_ref()).replace('\t', "&#9;").replace('\n', "&#10;").replace('\r', "&#13;");
        start.push_attribute((name.as_bytes(), escaped.as_bytes()));
    }
    start
}

/// The text with U+FFFD where XML 1.0 has no way to write a character (its production `Char`).
fn expressible(text: &str) -> Cow<'_, str> {
    let fits = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    if text.chars().all(fits) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if fits(c) { c } else { '\u{fffd}' }).collect())
}
