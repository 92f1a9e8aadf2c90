//! Makes one mistake after the other until one gives the signature that came, within a limit.

use super::{
    KnownToken, Mistake, Question, TokenOwner,
    mistake::MistakeKind as Kind,
    target::{Candidate, Variant},
};
use crate::twilio::signature::{hmac_sha1, hmac_sha256};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::borrow::Cow;

/// The signature that came.
pub(super) enum Wanted {
    Sha1(Vec<u8>),
    Sha256(Vec<u8>),
}

impl Wanted {
    /// Also reads one that a proxy or a person changed on its way, and says so.
    pub fn read(text: &str) -> Option<(Self, bool)> {
        let of = |text: &str| match STANDARD.decode(text) {
            Ok(bytes) if bytes.len() == 20 => Some(Self::Sha1(bytes)),
            Ok(bytes) if bytes.len() == 32 => Some(Self::Sha256(bytes)),
            Ok(_) | Err(_) => None,
        };
        if text.len() > SIGNATURE_CHARS_MAX {
            return None;
        }
        let mended = || {
            let plain: Cow<'_, str> = percent_encoding::percent_decode_str(text).decode_utf8().ok()?;
            let plain = plain.trim_matches(['"', '\'', '=']).replace([' ', '-'], "+").replace('_', "/");
            let padding = "=".repeat((4 - plain.len() % 4) % 4);
            of(&(plain + &padding))
        };
        of(text).map(|wanted| (wanted, false)).or_else(|| Some((mended()?, true)))
    }
}

/// What explains the signature.
pub(super) struct Found {
    pub token: String,
    pub url: String,
    pub mistakes: Vec<Mistake>,
}

pub(super) struct Search<'a> {
    question: &'a Question<'a>,
    wanted: Wanted,
    attempts: u32,
    hashed_bytes: usize,
}

impl<'a> Search<'a> {
    pub const fn new(question: &'a Question<'a>, wanted: Wanted) -> Self {
        Self { question, wanted, attempts: 0, hashed_bytes: 0 }
    }

    /// What explains the signature, and how many were computed.
    pub fn run(mut self, received: &Candidate) -> (Option<Found>, u32) {
        (self.find(received), self.attempts)
    }

    fn find(&mut self, received: &Candidate) -> Option<Found> {
        let base = self.question.base(received);
        if let Some(found) = self.attempt(&base, Tokens::All) {
            return Some(found);
        }
        let variants = self.question.variants(received);
        let changed = |variants: &[&Variant<'_>]| {
            let mut candidate = base.clone();
            variants.iter().for_each(|variant| (variant.apply)(&mut candidate));
            candidate
        };
        let named = |found: Found, by: &[&Variant<'_>]| {
            let url_and_body = by.iter().map(|variant| variant.mistake.clone());
            Found { mistakes: url_and_body.chain(found.mistakes).collect(), ..found }
        };
        for variant in &variants {
            if let Some(found) = self.attempt(&changed(&[variant]), Tokens::Own) {
                return Some(named(found, &[variant]));
            }
        }
        let paired: Vec<&Variant<'_>> = variants.iter().filter(|variant| variant.pairs).collect();
        for (n, first) in paired.iter().enumerate() {
            for second in paired.iter().skip(n + 1).filter(|v| v.mistake.kind != first.mistake.kind) {
                if let Some(found) = self.attempt(&changed(&[first, second]), Tokens::Own) {
                    return Some(named(found, &[first, second]));
                }
            }
            if let Some(found) = self.attempt(&changed(&[first]), Tokens::All) {
                return Some(named(found, &[first]));
            }
        }
        None
    }

    fn attempt(&mut self, candidate: &Candidate, tokens: Tokens) -> Option<Found> {
        let mut parameters: Vec<(&[u8], &[u8])> =
            candidate.parameters.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        parameters.sort_unstable();
        parameters.dedup();
        let urls = candidate.urls();
        let bytes: usize = parameters.iter().map(|(name, value)| name.len() + value.len()).sum();
        for token in self.question.tokens.iter().filter(|token| !token.secret.is_empty()) {
            if tokens == Tokens::Own && token.owner != TokenOwner::Account {
                continue;
            }
            for url in &urls {
                if self.attempts >= ATTEMPTS_MAX || self.hashed_bytes > HASHED_BYTES_MAX {
                    return None;
                }
                self.attempts += 1;
                self.hashed_bytes += url.len() + bytes;
                let is_it = match &self.wanted {
                    Wanted::Sha1(wanted) => hmac_sha1(token.secret, url, &parameters).as_slice() == wanted,
                    Wanted::Sha256(wanted) => hmac_sha256(token.secret, url, &parameters).as_slice() == wanted,
                };
                if is_it {
                    let (token, url) = (token_mistake(token, &self.wanted), url.clone());
                    return Some(Found { token: token.0, url, mistakes: token.1 });
                }
            }
        }
        None
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tokens {
    Own,
    All,
}

fn token_mistake(token: &KnownToken<'_>, wanted: &Wanted) -> (String, Vec<Mistake>) {
    let name = token.name;
    let owner = match token.owner {
        TokenOwner::Account => None,
        TokenOwner::Parent => Some((Kind::ParentToken, format!("the parent account's token signed it: {name}"))),
        TokenOwner::Other => Some((Kind::OtherToken, format!("the token of another account signed it: {name}"))),
        TokenOwner::Ended => Some((Kind::EndedToken, format!("an ended token would have verified it: {name}"))),
    };
    let shared = matches!(wanted, Wanted::Sha256(_)).then(|| {
        let what = format!("a shared key signed it, by HMAC_SHA256 instead of the auth token by HMAC_SHA1: {name}");
        (Kind::SharedKey, what)
    });
    let mistakes = owner.into_iter().chain(shared).map(|(kind, what)| Mistake::new(kind, what)).collect();
    (name.to_owned(), mistakes)
}

/// No more signatures are computed than this: some 50 ms.
pub const ATTEMPTS_MAX: u32 = 20_000;
/// Nor is more hashed, whatever the size of the body: some 300 ms.
const HASHED_BYTES_MAX: usize = 128 << 20;
/// A signature has 28 or 44 characters, more if somebody escaped them.
const SIGNATURE_CHARS_MAX: usize = 200;
