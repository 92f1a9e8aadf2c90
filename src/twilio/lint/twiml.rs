//! TwiML: what is written on `<Dial>` and its nouns, with the line of each finding.

use super::{
    Expect, Finding, Level, Rule,
    callback::{self, EVENTS_IN_TWIML, Problem, Purpose},
};
use crate::twilio::{
    door::Door,
    twiml::attributes::{self, Noun},
};
use roxmltree::{Attribute, Document, Node, ParsingOptions};

/// Everything by which this document loses callbacks, in the order of the text.
pub fn twiml(text: &str, expect: &Expect) -> Vec<Finding> {
    let mut found = Vec::new();
    if text.len() > TWIML_BYTES_MAX {
        let what = format!("the document has {} bytes", text.len());
        found.push(Finding::new(Rule::TooLarge, "document", what, ""));
    }
    if text.len() > PARSED_BYTES_MAX {
        return found;
    }
    let options = ParsingOptions { nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document = match Document::parse_with_options(text, options) {
        Ok(document) => document,
        Err(error) => {
            let at = error.pos();
            let finding = Finding::new(Rule::NotXml, "document", error.to_string(), "");
            found.push(Finding { line: Some(at.row), column: Some(at.col), ..finding });
            return found;
        }
    };
    let mut lint = Lint { document: &document, expect, found };
    lint.run();
    lint.found.sort_by_key(|finding| (finding.line, finding.column));
    lint.found
}

struct Lint<'a> {
    document: &'a Document<'a>,
    expect: &'a Expect,
    found: Vec<Finding>,
}

impl<'a> Lint<'a> {
    fn run(&mut self) {
        let root = self.document.root_element();
        if root.tag_name().name() != "Response" {
            let what = format!("the root is <{}>", root.tag_name().name());
            self.add(root.range().start, Rule::NotTwiml, &root, what, "<Response>…</Response>");
        }
        for node in root.descendants().filter(Node::is_element) {
            match node.tag_name().name() {
                "Dial" => self.dial(node),
                name => {
                    let in_dial = node.parent_element().is_some_and(|parent| parent.tag_name().name() == "Dial");
                    if let Some(noun) = attributes::NOUNS.iter().find(|noun| noun.name == name && in_dial) {
                        self.noun(node, noun);
                    }
                }
            }
        }
    }

    fn add(&mut self, at: usize, rule: Rule, node: &Node<'_, '_>, what: impl Into<String>, put: impl Into<String>) {
        let position = self.document.text_pos_at(at);
        let finding = Finding::new(rule, format!("<{}>", node.tag_name().name()), what, put);
        self.found.push(Finding { line: Some(position.row), column: Some(position.col), ..finding });
    }

    fn add_all(&mut self, node: &Node<'_, '_>, attribute: &Attribute<'_, '_>, problems: Vec<Problem>) {
        for (rule, what, put) in problems {
            let put = if put.is_empty() { put } else { format!("{}=\"{}\"", attribute.name(), escaped(&put)) };
            self.add(attribute.range().start, rule, node, format!("{}: {what}", attribute.name()), put);
        }
    }

    fn dial(&mut self, dial: Node<'a, 'a>) {
        let complete = self.complete();
        for attribute in dial.attributes() {
            let name = attribute.name();
            if name.to_ascii_lowercase().starts_with("statuscallback") {
                let what = format!("<Dial> has no attribute {name}");
                let put = format!("<Number {complete}> (or <Client>, <Sip>), and nothing on <Dial>");
                self.add(attribute.range().start, Rule::StatusCallbackOnDial, &dial, what, put);
            } else {
                self.known(&dial, &attribute, attributes::DIAL);
            }
        }
        self.urls(&dial);
        match dial.attribute_node("action") {
            // An empty one means the document's own URL.
            Some(action) => {
                let problems = callback::other_url(action.value(), Purpose::Action, self.expect);
                self.add_all(&dial, &action, problems);
            }
            None => self.without_action(&dial),
        }
        let text =
            dial.children().filter(|child| child.is_text() && child.text().is_some_and(|t| !t.trim().is_empty()));
        for child in text.collect::<Vec<_>>() {
            let number = child.text().unwrap_or_default().trim();
            let at = child.range().start + child.text().unwrap_or_default().find(number).unwrap_or_default();
            let put = format!("<Number {complete}>{}</Number>", escaped(number));
            let what = "what stands in <Dial> itself cannot have a statusCallback";
            self.add(at, Rule::StatusCallbackMissing, &dial, what, put);
        }
    }

    /// An action decides how the call goes on. Where the document goes on by itself, ours would end the call.
    fn without_action(&mut self, dial: &Node<'a, 'a>) {
        let follows = dial.next_siblings().skip(1).any(|next| next.is_element());
        let room = dial.children().any(|noun| ["Conference", "Queue"].contains(&noun.tag_name().name()));
        let at = dial.range().start;
        if !follows && !room {
            let put = format!("action=\"{}\"", escaped(&self.expect.url_of(Door::Dial)));
            return self.add(at, Rule::DialWithoutAction, dial, "<Dial> has no action", put);
        }
        let why = if follows { "verbs follow it" } else { "it leads to a room or a queue" };
        let what = format!(
            "<Dial> has no action, and {why}: this gateway's {} answers <Hangup/>, so send the outcome to an action of your \
             own, which may post it on to there",
            Door::Dial.path()
        );
        self.add(at, Rule::DialWithoutAction, dial, what, "");
        self.found.last_mut().into_iter().for_each(|finding| finding.level = Level::Note);
    }

    fn noun(&mut self, node: Node<'a, 'a>, noun: &Noun) {
        for attribute in node.attributes() {
            self.known(&node, &attribute, noun.attributes);
        }
        self.urls(&node);
        if !noun.reports_a_call {
            return;
        }
        let (status, events) = (node.attribute_node("statusCallback"), node.attribute_node("statusCallbackEvent"));
        match status {
            Some(status) => self.add_all(&node, &status, callback::status_callback(status.value(), self.expect, true)),
            None => {
                let what = format!("<{}> has no statusCallback", noun.name);
                self.add(node.range().start, Rule::StatusCallbackMissing, &node, what, self.complete());
            }
        }
        match events {
            Some(events) if status.is_none() => {
                let what = "events are chosen, but there is no statusCallback".to_owned();
                let at = events.range().start;
                self.add(at, Rule::EventsWithoutCallback, &node, what, self.complete());
            }
            Some(events) => {
                let words: Vec<&str> = events.value().split_whitespace().collect();
                self.add_all(&node, &events, callback::events(&words, EVENTS_IN_TWIML));
            }
            None if status.is_some() => {
                let put = format!("statusCallbackEvent=\"{EVENTS_IN_TWIML}\"");
                self.add(node.range().start, Rule::EventsDefault, &node, "no events are chosen", put);
            }
            None => {}
        }
        if let Some(method) = node.attribute_node("statusCallbackMethod")
            && method.value().eq_ignore_ascii_case("GET")
        {
            self.add_all(&node, &method, vec![(Rule::MethodGet, "it is GET".to_owned(), "POST".to_owned())]);
        }
    }

    /// The other URLs of an element: whether Twilio can call them.
    fn urls(&mut self, node: &Node<'a, 'a>) {
        for (name, purpose) in OTHER_CALLBACKS {
            if let Some(attribute) = node.attribute_node(*name) {
                let value = attribute.value();
                let of = |purpose| callback::other_url(value, purpose, self.expect);
                let problems = purpose.map_or_else(|| callback::any_url(value), of);
                self.add_all(node, &attribute, problems);
            }
        }
    }

    fn known(&mut self, node: &Node<'_, '_>, attribute: &Attribute<'_, '_>, names: &[&str]) {
        let name = attribute.name();
        if names.contains(&name) {
            return;
        }
        let distance =
            |known: &&str| strsim::damerau_levenshtein(&known.to_ascii_lowercase(), &name.to_ascii_lowercase());
        let near = names.iter().copied().min_by_key(distance).filter(|known| distance(known) <= DISTANCE_MAX);
        let put = near.map(|known| format!("{known}=\"{}\"", escaped(attribute.value()))).unwrap_or_default();
        let what = format!("<{}> has no attribute {name}", node.tag_name().name());
        self.add(attribute.range().start, Rule::AttributeUnknown, node, what, put);
    }

    fn complete(&self) -> String {
        let url = escaped(&self.expect.status_callback());
        format!("statusCallback=\"{url}\" statusCallbackEvent=\"{EVENTS_IN_TWIML}\" statusCallbackMethod=\"POST\"")
    }
}

/// A value as it stands in an attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The other URLs, and what they are for; a transfer is no business of ours.
const OTHER_CALLBACKS: &[(&str, Option<Purpose>)] = &[
    ("recordingStatusCallback", Some(Purpose::Recording)),
    ("amdStatusCallback", Some(Purpose::Amd)),
    ("url", Some(Purpose::Whisper)),
    ("referUrl", None),
];
/// What Twilio reads.
pub const TWIML_BYTES_MAX: usize = 64 * 1024;
/// What is read here, so that one document takes no more than milliseconds.
const PARSED_BYTES_MAX: usize = 1024 * 1024;
const NODES_MAX: u32 = 100_000;
/// How far a misspelled attribute may be from the one that was meant.
const DISTANCE_MAX: usize = 3;
