//! A message of the stream: headers in their order, because some come several times.

use std::fmt;

/// One message: `Key: Value` lines. Keys are compared without regard to case; they are kept as they were written.
///
/// It is one text with marks in it, not a string per header: a busy PBX sends thousands of headers a second.
#[derive(Clone, Default)]
pub struct Message {
    /// The lines as they came, line ends included; without the empty line that ended the message.
    text: String,
    marks: Vec<Mark>,
}

/// Where a header stands in the text. A line without a colon is a value without a key.
#[derive(Clone, Copy)]
struct Mark {
    key: (u32, u32),
    value: (u32, u32),
}

impl Message {
    /// A message of these headers. Line breaks in them become spaces: what was pushed as one header stays one.
    pub fn new(headers: Vec<(String, String)>) -> Self {
        let mut made = Self::default();
        for (key, value) in headers {
            let from = made.text.len();
            made.text.extend(key.chars().map(unbroken));
            let key_to = made.text.len();
            made.text.push_str(if key.is_empty() { "" } else { ": " });
            let value_from = made.text.len();
            made.text.extend(value.chars().map(unbroken));
            let mark = Mark::new((from, key_to), (value_from, made.text.len()));
            made.text.push_str("\r\n");
            made.marks.extend(mark);
        }
        made
    }

    /// Reads lines, each ended by LF or CR LF. Never fails: what is no header is kept as a value without a key.
    pub fn parse(text: String) -> Self {
        // A header has some twenty bytes.
        let mut marks = Vec::with_capacity(text.len() / 20 + 1);
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', text.as_bytes()).chain([text.len()]) {
            if let Some(line) = text.get(start..end)
                && let Some(mark) = Mark::of(line.strip_suffix('\r').unwrap_or(line), start)
            {
                marks.push(mark);
            }
            start = end.saturating_add(1);
        }
        Self { text, marks }
    }

    /// The first header of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The first header of this name that has a value: `<unknown>` and `(null)` are Asterisk's words for none.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !matches!(*value, "" | "<unknown>" | "(null)"))
    }

    /// Every header of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
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

    /// The headers in their order. A line that had no colon comes as a value with an empty key.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let part = |(from, to): (u32, u32)| self.text.get(from as usize..to as usize).unwrap_or_default();
        self.marks.iter().map(move |mark| (part(mark.key), part(mark.value)))
    }

    /// How many headers it has.
    pub const fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether it has no headers at all.
    pub const fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// The bytes of memory it takes, or nearly so: lines of a letter or two take more for their marks than for their text.
    pub const fn bytes(&self) -> usize {
        let marks = self.marks.capacity().saturating_mul(size_of::<Mark>());
        size_of::<Self>().saturating_add(self.text.capacity()).saturating_add(marks)
    }

    /// The lines as they came.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Mark {
    /// None beyond 4 GiB.
    fn new(key: (usize, usize), value: (usize, usize)) -> Option<Self> {
        let part = |(from, to): (usize, usize)| Some((u32::try_from(from).ok()?, u32::try_from(to).ok()?));
        Some(Self { key: part(key)?, value: part(value)? })
    }

    fn of(line: &str, start: usize) -> Option<Self> {
        let at = |offset: usize| start.saturating_add(offset);
        if line.is_empty() {
            return None;
        }
        let (key_end, value_from) = match memchr::memchr(b':', line.as_bytes()) {
            None => (0, 0),
            Some(colon) => {
                let space = usize::from(line.as_bytes().get(colon.saturating_add(1)) == Some(&b' '));
                (colon, colon.saturating_add(1).saturating_add(space))
            }
        };
        Self::new((start, at(key_end)), (at(value_from), at(line.len())))
    }
}

const fn unbroken(c: char) -> char {
    match c {
        '\r' | '\n' => ' ',
        c => c,
    }
}

/// Two messages are equal if they have the same headers in the same order, whatever ended their lines.
impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.marks.len() == other.marks.len() && self.headers().eq(other.headers())
    }
}

impl Eq for Message {}

/// What it is and which headers it has; not their values: they hold numbers of people.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = self.headers().map(|(key, _)| key).collect();
        write!(f, "Message({} {keys:?})", self.event().or_else(|| self.response()).unwrap_or("?"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_follows_the_first_colon_less_one_space() {
        let text = "Event: Newchannel\r\nAppData:  a: b=c \r\nEmpty:\nalso: \r\nno colon\r\nappdata: two\r\n";
        let message = Message::parse(text.to_owned());
        let headers: Vec<_> = message.headers().collect();
        assert_eq!(
            headers,
            [
                ("Event", "Newchannel"),
                ("AppData", " a: b=c "),
                ("Empty", ""),
                ("also", ""),
                ("", "no colon"),
                ("appdata", "two")
            ]
        );
        assert_eq!((message.get("APPDATA"), message.get("no colon")), (Some(" a: b=c "), None));
        assert_eq!(message.all("AppData").collect::<Vec<_>>(), [" a: b=c ", "two"]);
        assert_eq!((message.len(), message.text()), (6, text));
    }

    #[test]
    fn the_words_for_nothing_are_no_values() {
        let message = Message::parse("a: <unknown>\nb: (null)\nc: \nd: x".to_owned());
        let values: Vec<_> = ["a", "b", "c", "d", "e"].map(|name| message.value(name)).to_vec();
        assert_eq!(values, [None, None, None, Some("x"), None]);
    }

    #[test]
    fn an_event_with_a_response_header_is_an_event() {
        let message = Message::parse("Event: OriginateResponse\r\nResponse: Failure\r\n".to_owned());
        assert_eq!((message.event(), message.response()), (Some("OriginateResponse"), None));
    }

    #[test]
    fn headers_make_a_message_that_reads_back() {
        let pairs = vec![("Event".to_owned(), "Hangup".to_owned()), (String::new(), "odd".to_owned())];
        let message = Message::new(pairs.clone());
        assert_eq!(message.text(), "Event: Hangup\r\nodd\r\n");
        assert_eq!(message, Message::parse("Event:Hangup\nodd\n".to_owned()));
        assert_eq!(message.headers().map(|(k, v)| (k.to_owned(), v.to_owned())).collect::<Vec<_>>(), pairs);
        let forged = Message::new(vec![("Event".to_owned(), "a\r\nLinkedid: 7".to_owned())]);
        assert_eq!((forged.len(), forged.get("Linkedid"), forged.text()), (1, None, "Event: a  Linkedid: 7\r\n"));
        assert_eq!(format!("{message:?}"), r#"Message(Hangup ["Event", ""])"#);
    }
}
