//! TwiML as the double reads it: the verbs it executes, and a warning for everything else, as Twilio's schema validation
//! gives one (12200, <https://www.twilio.com/docs/api/errors/12200>) and goes on.

use super::{
    Hook,
    call::{Callback, Moment},
};
use crate::twilio::{door::Method, twiml::attributes};
use roxmltree::{Document, Node};
use std::collections::BTreeSet;
use url::Url;

/// What one verb asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Speak; how long that takes.
    Say {
        /// In milliseconds.
        takes_ms: i64,
    },
    /// Wait.
    Pause {
        /// Whole seconds.
        length_s: u32,
    },
    /// End the call.
    Hangup,
    /// Do not answer it, if it is not answered yet.
    Reject {
        /// Whether the caller hears the busy tone.
        busy: bool,
    },
    /// Ask for other TwiML.
    Redirect(Hook),
    /// Call somebody and connect the two.
    Dial(Dial),
}

/// `<Dial>`. It has no `statusCallback`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Who is called, all at once.
    pub nouns: Vec<Noun>,
    /// Asked when it is over.
    pub action: Option<Hook>,
    /// How long it may ring.
    pub timeout_s: u32,
    /// How long it may last.
    pub time_limit_s: u32,
    /// What the called party sees.
    pub caller_id: Option<String>,
    /// Whether the caller's leg stays unanswered until somebody is connected.
    pub answer_on_bridge: bool,
    /// Whether it is recorded.
    pub record: bool,
    /// Told of the recording.
    pub recording_callback: Option<Hook>,
}

/// `<Number>`, `<Client>` or `<Sip>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noun {
    /// As in `To`: a number, `client:…`, `sip:…`.
    pub address: String,
    /// Asked for TwiML that the called party hears alone, before the two are connected.
    pub url: Option<Hook>,
    /// Told of the leg.
    pub callback: Option<Callback>,
    /// Whether answering machines are told from people.
    pub detect_machines: bool,
    /// Told what was found, while the call goes on.
    pub amd_callback: Option<Hook>,
}

/// A document that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Twiml {
    /// In order.
    pub verbs: Vec<Verb>,
    /// What was not understood, each in one line. It is executed without that.
    pub warnings: Vec<String>,
}

/// Why a text is not executed: Twilio's 12100.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read the TwiML: {0}")]
pub struct TwimlError(String);

impl Twiml {
    /// Reads a document that came from `base`, which relative URLs are relative to.
    pub fn parse(text: &str, base: &str) -> Result<Self, TwimlError> {
        let document = Document::parse(text).map_err(|error| TwimlError(error.to_string()))?;
        let root = document.root_element();
        if root.tag_name().name() != "Response" {
            return Err(TwimlError(format!("its root is <{}>, not <Response>", root.tag_name().name())));
        }
        let mut reader = Reader { base, warnings: Vec::new() };
        let verbs = elements(root).filter_map(|node| reader.verb(node)).collect();
        Ok(Self { verbs, warnings: reader.warnings })
    }
}

/// Reads nodes and notes what it does not know.
struct Reader<'a> {
    base: &'a str,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn verb(&mut self, node: Node<'_, '_>) -> Option<Verb> {
        let known: &[&str] = match node.tag_name().name() {
            "Say" => &["voice", "language", "loop"],
            "Pause" => &["length"],
            "Hangup" => &[],
            "Reject" => &["reason"],
            "Redirect" => &["method"],
            "Dial" => attributes::DIAL,
            other => {
                self.warnings.push(format!("<{other}> is no verb that the double executes"));
                return None;
            }
        };
        self.check(node, known);
        Some(match node.tag_name().name() {
            "Say" => Verb::Say { takes_ms: spoken_ms(&text(node)) },
            "Pause" => Verb::Pause { length_s: self.number(node, "length", 1) },
            "Hangup" => Verb::Hangup,
            "Reject" => Verb::Reject { busy: node.attribute("reason") == Some("busy") },
            "Redirect" => Verb::Redirect(self.hook(&text(node), node.attribute("method"))),
            _ => Verb::Dial(self.dial(node)),
        })
    }

    fn dial(&mut self, node: Node<'_, '_>) -> Dial {
        let mut nouns: Vec<Noun> = elements(node).filter_map(|noun| self.noun(noun)).collect();
        let bare = text(node);
        if nouns.is_empty() && !bare.is_empty() {
            // A number may stand in <Dial> itself; then there is no place for its callbacks.
            let (url, callback, amd_callback) = (None, None, None);
            nouns.push(Noun { address: bare, url, callback, detect_machines: false, amd_callback });
        }
        let record = node.attribute("record").is_some_and(|how| !["do-not-record", "false"].contains(&how));
        Dial {
            nouns,
            action: self.hook_of(node, "action", "method"),
            timeout_s: self.number(node, "timeout", 30),
            time_limit_s: self.number(node, "timeLimit", 4 * 60 * 60),
            caller_id: node.attribute("callerId").map(str::to_owned),
            answer_on_bridge: node.attribute("answerOnBridge") == Some("true"),
            record,
            recording_callback: self.hook_of(node, "recordingStatusCallback", "recordingStatusCallbackMethod"),
        }
    }

    fn noun(&mut self, node: Node<'_, '_>) -> Option<Noun> {
        let address = text(node);
        let name = node.tag_name().name();
        let address = match name {
            "Number" | "Sip" => address,
            // The identity may stand in an element of its own, beside parameters for the client.
            "Client" => {
                let identity = elements(node).find(|n| n.tag_name().name() == "Identity").map(text);
                format!("client:{}", identity.unwrap_or(address))
            }
            other => {
                self.warnings.push(format!("<{other}> is no noun that the double dials"));
                return None;
            }
        };
        let noun = attributes::NOUNS.iter().find(|noun| noun.name == name);
        self.check(node, noun.map(|noun| noun.attributes).unwrap_or_default());
        Some(Noun {
            address,
            url: self.hook_of(node, "url", "method"),
            callback: self.callback(node),
            detect_machines: node.attribute("machineDetection").is_some(),
            amd_callback: self.hook_of(node, "amdStatusCallback", "amdStatusCallbackMethod"),
        })
    }

    fn callback(&mut self, node: Node<'_, '_>) -> Option<Callback> {
        let hook = self.hook_of(node, "statusCallback", "statusCallbackMethod")?;
        let said = node.attribute("statusCallbackEvent").unwrap_or_default();
        let mut moments = BTreeSet::new();
        for word in said.split_whitespace() {
            match word.parse::<Moment>() {
                Ok(moment) => drop(moments.insert(moment)),
                Err(_) => self.warnings.push(format!("{word:?} is no event of a call")),
            }
        }
        Some(if moments.is_empty() { Callback::end_only(hook) } else { Callback { hook, moments } })
    }

    /// Notes attributes that an element does not have.
    fn check(&mut self, node: Node<'_, '_>, known: &[&str]) {
        let element = node.tag_name().name();
        for attribute in node.attributes().filter(|attribute| !known.contains(&attribute.name())) {
            self.warnings.push(format!("<{element}> has no attribute {}: it does nothing", attribute.name()));
        }
    }

    fn number(&mut self, node: Node<'_, '_>, name: &str, usual: u32) -> u32 {
        let Some(said) = node.attribute(name) else { return usual };
        said.trim().parse().unwrap_or_else(|_| {
            self.warnings.push(format!("{name}={said:?} is no whole number"));
            usual
        })
    }

    fn hook_of(&mut self, node: Node<'_, '_>, name: &str, method: &str) -> Option<Hook> {
        let url = node.attribute(name).filter(|url| !url.trim().is_empty())?;
        Some(self.hook(url, node.attribute(method)))
    }

    /// An absolute URL stays as it is written; a relative one is completed.
    fn hook(&mut self, url: &str, method: Option<&str>) -> Hook {
        let url = url.trim();
        let absolute = url.starts_with("https://") || url.starts_with("http://");
        let joined = || Url::parse(self.base).and_then(|base| base.join(url)).map(String::from);
        let url = if absolute { url.to_owned() } else { joined().unwrap_or_else(|_| url.to_owned()) };
        Hook { url, method: if method == Some("GET") { Method::Get } else { Method::Post } }
    }
}

fn elements<'a, 'input>(node: Node<'a, 'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(Node::is_element)
}

/// The text that stands in an element itself.
fn text(node: Node<'_, '_>) -> String {
    node.children().filter_map(|child| child.text().filter(|_| child.is_text())).collect::<String>().trim().to_owned()
}

/// Some 150 words a minute.
fn spoken_ms(text: &str) -> i64 {
    let words = i64::try_from(text.split_whitespace().count()).unwrap_or_default();
    words * 400 + 600
}
