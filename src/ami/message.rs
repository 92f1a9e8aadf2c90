//! A message of the stream: headers in their order, because some come several times.

/// One message: `Key: Value` lines. Keys are compared without regard to case; they are kept as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    headers: Vec<(String, String)>,
}

impl Message {
    /// A message of these headers.
    pub const fn new(headers: Vec<(String, String)>) -> Self {
        Self { headers }
    }

    /// The first header of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.as_str())
    }

    /// The first header of this name that has a value: `<unknown>` and `(null)` are Asterisk's words for none.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !matches!(*value, "" | "<unknown>" | "(null)"))
    }

    /// Every header of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The name of the event, if it is one. `OriginateResponse` is an event that has a `Response` header, so events come first.
    pub fn event(&self) -> Option<&str> {
        self.get("Event")
    }

    /// How an action was answered, if it is an answer.
    pub fn response(&self) -> Option<&str> {
        if self.event().is_some() { None } else { self.get("Response") }
    }

    /// Which action it belongs to.
    pub fn action_id(&self) -> Option<&str> {
        self.get("ActionID")
    }

    /// The headers in their order.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }
}
