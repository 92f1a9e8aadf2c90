//! XML read into a tree, strictly: what is not well-formed fails the test.

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};
use std::collections::BTreeMap;

/// An element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    pub name: String,
    pub attributes: BTreeMap<String, String>,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    /// The root of a document.
    #[track_caller]
    pub fn parse(xml: &str) -> Self {
        Self::try_parse(xml).unwrap_or_else(|error| panic!("{error} in\n{xml}"))
    }

    pub fn try_parse(xml: &str) -> Result<Self, String> {
        // The reader itself is not so strict.
        if let Some(c) =
            xml.chars().find(|c| (*c < ' ' && !"\t\n\r".contains(*c)) || matches!(c, '\u{fffe}' | '\u{ffff}'))
        {
            return Err(format!("XML 1.0 has no {c:?}"));
        }
        let mut reader = Reader::from_str(xml);
        reader.config_mut().check_end_names = true;
        let mut open: Vec<Self> = vec![Self::named("")];
        loop {
            match reader.read_event().map_err(|e| e.to_string())? {
                Event::Start(start) => open.push(Self::started(&start)?),
                Event::Empty(start) => {
                    let element = Self::started(&start)?;
                    open.last_mut().ok_or("nothing is open")?.children.push(element);
                }
                Event::End(_) => {
                    let element = open.pop().ok_or("nothing is open")?;
                    open.last_mut().ok_or("nothing is open")?.children.push(element);
                }
                Event::Text(text) => {
                    let text = text.xml10_content().map_err(|e| e.to_string())?;
                    open.last_mut().ok_or("nothing is open")?.text.push_str(&text);
                }
                Event::GeneralRef(name) => {
                    let name = name.decode().map_err(|e| e.to_string())?;
                    let text =
                        quick_xml::escape::unescape(&format!("&{name};")).map_err(|e| e.to_string())?.into_owned();
                    open.last_mut().ok_or("nothing is open")?.text.push_str(&text);
                }
                Event::Decl(_) => {}
                Event::Eof => break,
                other => return Err(format!("{other:?} has no place in TwiML")),
            }
        }
        match open.as_slice() {
            [document] if document.children.len() == 1 => Ok(document.children[0].clone()),
            _ => Err("there is not one root element".into()),
        }
    }

    fn named(name: &str) -> Self {
        Self { name: name.into(), attributes: BTreeMap::new(), text: String::new(), children: Vec::new() }
    }

    fn started(start: &BytesStart<'_>) -> Result<Self, String> {
        let mut element = Self::named(std::str::from_utf8(start.name().as_ref()).map_err(|e| e.to_string())?);
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|e| e.to_string())?;
            let name = std::str::from_utf8(attribute.key.as_ref()).map_err(|e| e.to_string())?.to_owned();
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|e| e.to_string())?.into_owned();
            element.attributes.insert(name, value);
        }
        Ok(element)
    }

    /// The only child with this name.
    #[track_caller]
    pub fn child(&self, name: &str) -> &Self {
        let found: Vec<&Self> = self.children.iter().filter(|child| child.name == name).collect();
        assert_eq!(found.len(), 1, "{name} in {self:?}");
        found[0]
    }

    /// An attribute that is there.
    #[track_caller]
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).unwrap_or_else(|| panic!("{name} is missing in {self:?}"))
    }

    /// The names of its children, in order.
    pub fn names(&self) -> Vec<&str> {
        self.children.iter().map(|child| child.name.as_str()).collect()
    }
}
