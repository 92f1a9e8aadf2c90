//! What we ask of a PBX, and how it is written: no value from outside can become a header of its own.

use bytes::{BufMut, BytesMut};

/// An action with its headers, in their order. The ActionID is given to it when it is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Action {
    name: &'static str,
    headers: Vec<(&'static str, String)>,
}

/// Why an action cannot be sent. The fragments complete "failed to …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// A value holds a line end or NUL: the rest of it would be read as headers of its own.
    #[error("send {action}: {field} holds a line break or NUL; take it out")]
    LineBreak {
        /// The action.
        action: &'static str,
        /// The header.
        field: &'static str,
    },
    /// Asterisk refuses lines of over 1,024 bytes.
    #[error(
        "send {action}: {field} makes a line of {line_bytes} bytes, {LINE_BYTES_MAX} are allowed; shorten or split it"
    )]
    TooLong {
        /// The action.
        action: &'static str,
        /// The header.
        field: &'static str,
        /// How long its line is.
        line_bytes: usize,
    },
    /// Asterisk refuses messages of over 128 lines.
    #[error("send {action}: it has {count} headers, {HEADERS_MAX} are allowed")]
    TooMany {
        /// The action.
        action: &'static str,
        /// How many headers it has, Action and ActionID included.
        count: usize,
    },
    /// An ActionID that Asterisk would not give back whole.
    #[error("send {action}: its ActionID must have 1 to {ACTION_ID_BYTES_MAX} characters of A-Z a-z 0-9 . _ -")]
    ActionId {
        /// The action.
        action: &'static str,
    },
}

/// The longest line of an action, its line end not counted.
pub const LINE_BYTES_MAX: usize = 1_022;
/// The most lines of an action.
pub const HEADERS_MAX: usize = 128;
/// The longest ActionID: from about 140 bytes on Asterisk loses the line end behind it.
pub const ACTION_ID_BYTES_MAX: usize = 63;

impl Action {
    /// An action without headers.
    pub const fn new(name: &'static str) -> Self {
        Self { name, headers: Vec::new() }
    }

    /// The same with one more header; the same name may come several times (`Variable`).
    #[must_use]
    pub fn with(mut self, field: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((field, value.into()));
        self
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The first header of this name.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(field)).map(|(_, value)| value.as_str())
    }

    /// Says what is wrong with it before it is sent.
    pub fn check(&self) -> Result<(), ActionError> {
        let action = self.name;
        let count = self.headers.len().saturating_add(2);
        if count > HEADERS_MAX {
            return Err(ActionError::TooMany { action, count });
        }
        for (field, value) in &self.headers {
            if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
                return Err(ActionError::LineBreak { action, field });
            }
            let line_bytes = field.len().saturating_add(2).saturating_add(value.len());
            if line_bytes > LINE_BYTES_MAX {
                return Err(ActionError::TooLong { action, field, line_bytes });
            }
        }
        Ok(())
    }

    /// Writes it behind what is in `out`, or nothing if something is wrong with it.
    pub fn write(&self, action_id: &str, out: &mut BytesMut) -> Result<(), ActionError> {
        self.check()?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if !(1..=ACTION_ID_BYTES_MAX).contains(&action_id.len()) || !action_id.bytes().all(plain) {
            return Err(ActionError::ActionId { action: self.name });
        }
        let own = [("Action", self.name), ("ActionID", action_id)];
        for (key, value) in own.into_iter().chain(self.headers.iter().map(|(key, value)| (*key, value.as_str()))) {
            for part in [key, ": ", value, "\r\n"] {
                out.put_slice(part.as_bytes());
            }
        }
        out.put_slice(b"\r\n");
        Ok(())
    }
}

/// Its name only: a login holds a secret, others hold numbers of people.
impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Action({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(action: &Action, id: &str) -> Result<String, ActionError> {
        let mut out = BytesMut::new();
        let done = action.write(id, &mut out);
        assert_eq!(done.is_err(), out.is_empty(), "half of an action was written");
        done.map(|()| String::from_utf8(out.to_vec()).unwrap())
    }

    #[test]
    fn an_action_is_lines_and_an_empty_line() {
        let action = Action::new("Hangup").with("Channel", "PJSIP/2001-00000007").with("Cause", "16");
        let expected = "Action: Hangup\r\nActionID: l1-7\r\nChannel: PJSIP/2001-00000007\r\nCause: 16\r\n\r\n";
        assert_eq!(written(&action, "l1-7").unwrap(), expected);
    }

    #[test]
    fn no_value_becomes_a_header() {
        for bad in ["x\r\nAction: Logoff", "x\ny", "x\r", "\0"] {
            let refused = written(&Action::new("Hangup").with("Channel", bad), "1");
            assert_eq!(refused, Err(ActionError::LineBreak { action: "Hangup", field: "Channel" }), "{bad:?}");
        }
    }

    #[test]
    fn lines_and_headers_have_limits_and_the_error_names_the_field() {
        let of = |length: usize| Action::new("Originate").with("Variable", "x".repeat(length));
        let most = LINE_BYTES_MAX - "Variable: ".len();
        assert!(written(&of(most), "1").is_ok());
        let error = written(&of(most + 1), "1").unwrap_err();
        assert_eq!(
            error.to_string(),
            "send Originate: Variable makes a line of 1023 bytes, 1022 are allowed; shorten or split it"
        );
        let many = (0..126).fold(Action::new("Originate"), |action, _| action.with("Variable", "a=b"));
        assert!(written(&many, "1").is_ok());
        assert_eq!(
            written(&many.with("Variable", "a=b"), "1"),
            Err(ActionError::TooMany { action: "Originate", count: 129 })
        );
    }

    #[test]
    fn an_action_id_is_short_and_plain() {
        let long = "a".repeat(64);
        for bad in ["", "a b", "a\r\n", "ä", long.as_str()] {
            assert_eq!(written(&Action::new("Ping"), bad), Err(ActionError::ActionId { action: "Ping" }), "{bad:?}");
        }
        assert!(written(&Action::new("Ping"), &"a".repeat(63)).is_ok());
    }
}
