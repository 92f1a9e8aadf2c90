//! Values of filters in a query string.

use serde::{Deserialize, Deserializer, de::Error};

/// A word to compare with. Not every database can take a NUL.
#[derive(Clone, Debug)]
pub(super) struct Word(pub(super) String);

/// A phone number or another address. In a query string an unescaped `+` means a space; in front of a number it was
/// meant as it stands.
#[derive(Clone, Debug)]
pub(super) struct Number(pub(super) String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        if text.len() > WORD_BYTES_MAX {
            return Err(D::Error::custom(format!("has {} bytes; up to {WORD_BYTES_MAX} are allowed", text.len())));
        }
        if text.contains('\0') {
            return Err(D::Error::custom("holds a NUL"));
        }
        Ok(Self(text))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let Word(text) = Word::deserialize(d)?;
        Ok(Self(match text.strip_prefix(' ') {
            Some(rest) => format!("+{}", rest.trim_start()),
            None => text,
        }))
    }
}

/// The longest value that is stored anywhere fits.
const WORD_BYTES_MAX: usize = 500;
