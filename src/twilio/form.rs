//! `application/x-www-form-urlencoded`, decoded exactly once, to bytes.
//!
//! Twilio signs the decoded bytes of every parameter, so nothing here may be lost: invalid UTF-8 stays as it came,
//! repeated names are all kept, a stray percent sign is itself (as WHATWG's parser reads it). `serde_urlencoded`
//! replaces what is not UTF-8, and a signature over the replacement would not verify. Text is made only on lookup.

use std::borrow::Cow;

/// The parameters of a query string or a body, in the order they came.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// Every name and value, decoded, one after the other: two allocations for a form of any size.
    decoded: Vec<u8>,
    spans: Vec<Span>,
}

/// Where a pair lies in `Form::decoded`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Span {
    name: usize,
    value: usize,
    end: usize,
}

/// Why bytes are not read as a form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// See [`FORM_PARAMETERS_MAX`].
    #[error("read the form: it has {seen} parameters, {limit} are allowed")]
    TooManyParameters {
        /// How many there are.
        seen: usize,
        /// How many are allowed.
        limit: usize,
    },
}

impl Form {
    /// Decodes a query string or a body. Any bytes are a form; only their number of parameters is limited.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        let pieces = || bytes.split(|b| *b == b'&').filter(|piece| !piece.is_empty());
        let seen = pieces().count();
        if seen > FORM_PARAMETERS_MAX {
            return Err(FormError::TooManyParameters { seen, limit: FORM_PARAMETERS_MAX });
        }
        let mut form = Self { decoded: Vec::with_capacity(bytes.len()), spans: Vec::with_capacity(seen) };
        for piece in pieces() {
            let mut halves = piece.splitn(2, |b| *b == b'=');
            let name = form.decoded.len();
            form.decode(halves.next().unwrap_or_default());
            let value = form.decoded.len();
            form.decode(halves.next().unwrap_or_default());
            form.spans.push(Span { name, value, end: form.decoded.len() });
        }
        Ok(form)
    }

    /// Appends one name or value with `+` and `%XX` undone.
    fn decode(&mut self, encoded: &[u8]) {
        let mut rest = encoded;
        while let Some((byte, tail)) = rest.split_first() {
            rest = tail;
            let plain = match byte {
                b'+' => b' ',
                b'%' => match Self::escaped(tail) {
                    Some((byte, tail)) => {
                        rest = tail;
                        byte
                    }
                    None => b'%',
                },
                other => *other,
            };
            self.decoded.push(plain);
        }
    }

    /// The byte that two hex digits stand for, and what follows them.
    fn escaped(tail: &[u8]) -> Option<(u8, &[u8])> {
        let (digits, tail) = tail.split_first_chunk::<2>()?;
        let mut byte = [0];
        hex::decode_to_slice(digits, &mut byte).ok()?;
        let [byte] = byte;
        Some((byte, tail))
    }

    /// Every name with its value, in the order they came, repeated names included.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        let part = |from: usize, to: usize| self.decoded.get(from..to).unwrap_or_default();
        self.spans.iter().map(move |span| (part(span.name, span.value), part(span.value, span.end)))
    }

    /// The first value of a name as text. What is not UTF-8, and NUL, which no database keeps in a text, are U+FFFD.
    pub fn first(&self, name: &str) -> Option<Cow<'_, str>> {
        let (_, value) = self.pairs().find(|(n, _)| *n == name.as_bytes())?;
        Some(match String::from_utf8_lossy(value) {
            text if text.contains('\0') => Cow::Owned(text.replace('\0', "\u{fffd}")),
            text => text,
        })
    }

    /// The parameters that stand before the first one whose name is such a one.
    #[must_use]
    pub fn before(&self, is_such: impl Fn(&[u8]) -> bool) -> Self {
        let count = self.pairs().take_while(|(name, _)| !is_such(name)).count();
        Self { decoded: self.decoded.clone(), spans: self.spans.iter().take(count).copied().collect() }
    }

    /// Whether there are no parameters at all.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

/// Callbacks carry people's numbers and names: only the count is shown.
impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Form({} parameters)", self.spans.len())
    }
}

/// Twilio sends some thirty parameters. Who sends ten thousand wants to make us sort them.
pub const FORM_PARAMETERS_MAX: usize = 1_000;
