//! Why a signature does not verify: the likely mistakes are made on purpose, one at a time, then two together, until one
//! gives the signature that came. Then it is certain: nobody meets an HMAC by chance.
//!
//! Order and escaping of the body's parameters are not tried. They are undone before signing and cannot be the reason.

mod mistake;
mod parameters;
mod search;
mod target;

pub use mistake::{Mistake, MistakeKind};
pub use search::ATTEMPTS_MAX;

use super::{
    door::Method,
    signature::{BODY_SHA256, BodyHash, body_sha256},
};
use crate::domain::words;
use mistake::MistakeKind as Kind;
use search::{Search, Wanted};
use serde::Serialize;
use sha2::{Digest, Sha256};
use target::{Candidate, Variant, host_and_port};
use utoipa::ToSchema;

/// A webhook that was, or would be, refused.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The URL as it was received or configured. Where there is a public URL, the gateway verifies that with the path
    /// and the query of this one. It may be a path with its query; without a public URL the header `Host` by HTTPS is
    /// put before it.
    pub url: &'a str,
    /// How it came.
    pub method: Method,
    /// Names in any case. Read are the signature, the content type, `Host` and what proxies add.
    pub headers: &'a [(String, String)],
    /// As it came.
    pub body: &'a [u8],
    /// What the gateway thinks it is called: whatever the URL says, it checks signatures of this one only.
    pub public_url: Option<&'a str>,
    /// Every token that could have signed it.
    pub tokens: &'a [KnownToken<'a>],
}

/// A token with a name that may be shown.
#[derive(Clone, Copy)]
pub struct KnownToken<'a> {
    /// What people call it: never the token itself.
    pub name: &'a str,
    /// Whose it is.
    pub owner: TokenOwner,
    /// The token.
    pub secret: &'a [u8],
}

impl std::fmt::Debug for KnownToken<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KnownToken({}, {:?})", self.name, self.owner)
    }
}

/// Whose token it is, seen from the account of the webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenOwner {
    /// The account's own: it should have signed.
    Account,
    /// Its parent account's.
    Parent,
    /// Some other account's.
    Other,
    /// The account's own once: it has ended, and verifies nothing.
    Ended,
}

words! {
    /// What became of the question.
    pub enum Answer {
        /// It verifies.
        Verified = "verified",
        /// It would have verified without the mistakes that are named.
        Explained = "explained",
        /// No likely mistake explains it.
        Unexplained = "unexplained",
        /// It has no signature.
        Unsigned = "unsigned",
        /// What it has cannot be a signature.
        Malformed = "malformed",
        /// The URL cannot be read.
        UnreadableUrl = "unreadable_url",
        /// There is no token to verify with.
        NoToken = "no_token",
    }
}

/// The answer with its reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Diagnosis {
    /// What became of it.
    pub answer: Answer,
    /// The name of the token that signed it.
    pub token: Option<String>,
    /// The URL that was signed.
    pub signed_url: Option<String>,
    /// What has to be mended; more than one if they come together.
    pub mistakes: Vec<Mistake>,
    /// What to look at next, where it is not certain.
    pub hints: Vec<String>,
    /// How many signatures were computed.
    pub attempts: u32,
}

/// Says whether a webhook verifies and, if not, which mistake explains it.
pub fn diagnose(question: &Question<'_>) -> Diagnosis {
    let Some(signature) = question.header("x-twilio-signature") else {
        return Diagnosis::of(Answer::Unsigned).hinting(UNSIGNED);
    };
    let Some(received) = question.received() else { return Diagnosis::of(Answer::UnreadableUrl).hinting(UNREADABLE) };
    if question.tokens.iter().all(|token| token.secret.is_empty()) {
        return Diagnosis::of(Answer::NoToken).hinting(NO_TOKEN);
    }
    let Some((wanted, altered)) = Wanted::read(signature) else {
        return Diagnosis::of(Answer::Malformed).hinting(MALFORMED);
    };
    let (found, attempts) = Search::new(question, wanted).run(&received);
    let Some(found) = found else {
        return Diagnosis { attempts, hints: hints(question, &received), ..Diagnosis::of(Answer::Unexplained) };
    };
    let mut mistakes = found.mistakes;
    if altered {
        let what = "the signature in the header was changed: plus signs, equals signs or spaces of its base64";
        mistakes.push(Mistake::new(Kind::SignatureAltered, what));
    }
    // The hash is proved by the signature; whether it is the body's is a second question.
    mistakes.extend(question.hash_mistake(&received));
    let answer = if mistakes.is_empty() { Answer::Verified } else { Answer::Explained };
    Diagnosis { token: Some(found.token), signed_url: Some(found.url), mistakes, attempts, ..Diagnosis::of(answer) }
}

impl Diagnosis {
    fn of(answer: Answer) -> Self {
        Self { answer, token: None, signed_url: None, mistakes: Vec::new(), hints: Vec::new(), attempts: 0 }
    }

    fn hinting(self, hint: &str) -> Self {
        Self { hints: vec![hint.to_owned()], ..self }
    }

    /// The same with the account's sid in the commands that it names.
    #[must_use]
    pub fn naming(mut self, account: &str) -> Self {
        for mistake in self.mistakes.iter_mut().filter(|_| !account.is_empty()) {
            mistake.fix = mistake.fix.replace("AC…", account);
        }
        self
    }
}

impl Question<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    fn received(&self) -> Option<Candidate> {
        if !self.url.starts_with('/') {
            let written = Candidate::parse(self.url)?;
            let public = self.public_url.and_then(Candidate::parse);
            return Some(public.map_or_else(|| written.clone(), |public| written.below(&public)));
        }
        match (self.public_url, self.header("host")) {
            (Some(public), _) => Candidate::parse(&format!("{}{}", public.trim_end_matches('/'), self.url)),
            (None, Some(host)) => Candidate::parse(&format!("https://{host}{}", self.url)),
            (None, None) => None,
        }
    }

    /// Whether the body is a form, whose parameters are signed; otherwise its hash is in the query.
    fn has_form(&self, received: &Candidate) -> bool {
        let declared = self.header("content-type").map(str::to_ascii_lowercase);
        match declared {
            Some(media) => media.starts_with("application/x-www-form-urlencoded"),
            None => {
                let has_hash = received.query.as_ref().is_some_and(|query| query.contains(BODY_SHA256));
                !has_hash && !self.body.trim_ascii_start().starts_with(b"{") && !self.body.starts_with(b"[")
            }
        }
    }

    /// What is verified, before anything is changed.
    fn base(&self, received: &Candidate) -> Candidate {
        let signs_form = self.method == Method::Post && self.has_form(received);
        let parameters = if signs_form { parameters::pairs_of(self.body) } else { Vec::new() };
        Candidate { userinfo: String::new(), fragment: String::new(), parameters, ..received.clone() }
    }

    fn hash_mistake(&self, received: &Candidate) -> Option<Mistake> {
        if self.method == Method::Get || self.body.is_empty() || self.has_form(received) {
            return None;
        }
        let query = received.query.as_deref().unwrap_or_default();
        match body_sha256(query, self.body) {
            Ok(BodyHash::Same) => None,
            Ok(BodyHash::Missing) | Err(_) => {
                let what = "the URL verifies, but it has no bodySHA256, so nothing proves the body";
                Some(Mistake::new(Kind::BodyHashMissing, what))
            }
            Ok(BodyHash::Different) => {
                let newline = body_sha256(query, self.body.trim_ascii_end()) == Ok(BodyHash::Same);
                let what = if newline { HASH_NEWLINE } else { HASH_WRONG };
                let kind = if newline { Kind::BodyNewline } else { Kind::BodyHashWrong };
                Some(Mistake::new(kind, what))
            }
        }
    }

    fn variants(&self, received: &Candidate) -> Vec<Variant<'static>> {
        let hosts: Vec<&str> = HOSTS.iter().filter_map(|name| self.header(name)).collect();
        let mut ports: Vec<String> = hosts.iter().filter_map(|host| host_and_port(host).1).map(str::to_owned).collect();
        ports.extend(self.header("x-forwarded-port").map(str::to_owned));
        let public = self.public_url.and_then(Candidate::parse);
        ports.extend(public.as_ref().and_then(|public| public.port.clone()));

        let written = Some(self.url).filter(|url| !url.starts_with('/')).and_then(Candidate::parse);
        let mut found: Vec<_> =
            written.and_then(|written| target::as_written(received, &written)).into_iter().collect();
        found.extend(target::of_authority(received, &ports));
        found.extend(public.into_iter().flat_map(|public| target::of_origin("ONHOOK_PUBLIC_URL", public)));
        for (name, host) in HOSTS.iter().filter_map(|name| Some((name, self.header(name)?))) {
            let scheme = self.header("x-forwarded-proto").unwrap_or("https");
            let prefix = self.header("x-forwarded-prefix").unwrap_or_default();
            let origin = Candidate::parse(&format!("{scheme}://{host}{prefix}"));
            found.extend(origin.into_iter().flat_map(|o| target::of_origin(&format!("the header {name}"), o)));
        }
        for (name, target) in TARGETS.iter().filter_map(|name| Some((name, self.header(name)?))) {
            let Some(told) = Candidate::parse(&format!("https://host{target}")) else { continue };
            let what = format!("Twilio signed {target}, which the header {name} says");
            found.push(Variant::new(Kind::Target, what, move |c| {
                c.path.clone_from(&told.path);
                c.query.clone_from(&told.query);
            }));
        }
        found.extend(target::of_path(received));
        found.extend(target::of_query(received));
        found.extend(self.body_variants(received));
        found
    }

    fn body_variants(&self, received: &Candidate) -> Vec<Variant<'static>> {
        let query = received.query.as_deref();
        match self.method {
            Method::Get => query.map(parameters::of_query).unwrap_or_default(),
            Method::Post if self.has_form(received) => parameters::of_body(self.body, query),
            Method::Post => {
                let hash = hex::encode(Sha256::digest(self.body));
                let add = move |c: &mut Candidate| {
                    let before = c.query.take().map(|query| format!("{query}&")).unwrap_or_default();
                    c.query = Some(format!("{before}{BODY_SHA256}={hash}"));
                };
                vec![Variant::new(Kind::BodyHashMissing, "the query lost its bodySHA256", add)]
            }
        }
    }
}

fn hints(question: &Question<'_>, received: &Candidate) -> Vec<String> {
    let mut hints = Vec::new();
    if let Some(settings) = question.header("x-twilio-webhooks-signature-settings") {
        // The header names the key and the algorithm; neither is secret.
        hints.push(format!("{SHARED} ({})", settings.chars().take(SETTINGS_CHARS_SHOWN_MAX).collect::<String>()));
    }
    let parameters = match question.method {
        Method::Get => received.query.as_deref().unwrap_or_default().as_bytes(),
        Method::Post => question.body,
    };
    let has_twilios = parameters::pairs_of(parameters).iter().any(|(name, _)| name == b"AccountSid");
    if question.method == Method::Get && !has_twilios {
        hints.push(REDIRECTED.to_owned());
    }
    if question.method == Method::Post && question.body.is_empty() {
        hints.push(EMPTY_BODY.to_owned());
    }
    if received.query.is_none() {
        hints.push(NO_QUERY.to_owned());
    }
    hints.extend([TOKEN, IRRELEVANT].map(str::to_owned));
    hints
}

const HOSTS: &[&str] = &["host", "x-forwarded-host", "x-original-host"];
const TARGETS: &[&str] = &["x-original-uri", "x-original-url", "x-forwarded-uri", "x-rewrite-url"];
const UNSIGNED: &str = "there is no X-Twilio-Signature: either it is not from Twilio, or a proxy takes the header away";
const MALFORMED: &str = "X-Twilio-Signature is not base64 of 20 bytes (HMAC_SHA1) or 32 bytes (HMAC_SHA256)";
const UNREADABLE: &str =
    "the URL begins neither with http:// nor with https://, and for a path alone there is no public URL and no Host";
const NO_TOKEN: &str = "no token of the account is known: add it with `onhook accounts add`, or give it in a file";
const HASH_NEWLINE: &str = "the URL verifies, and the body would without the line break at its end";
const HASH_WRONG: &str = "the URL verifies, but the body is not the one whose SHA-256 is in bodySHA256";
const SHARED: &str = "the header X-Twilio-Webhooks-Signature-Settings says that a shared key may have signed it; \
     give its secret as a token to find out";
const REDIRECTED: &str = "it is a GET without AccountSid: a redirect (http to https, or a slash at the end) makes a GET \
     without parameters of Twilio's POST; give Twilio the URL that the redirect leads to";
const EMPTY_BODY: &str = "the body is empty: something read it before it was verified, or did not pass it on";
const NO_QUERY: &str = "if the URL at Twilio has a query such as ?lead_id=…, it is signed and was lost on the way";
const TOKEN: &str = "the likeliest reason left is the token: Twilio signs with the primary auth token of the account in \
     AccountSid, never with an API key's secret or a secondary token that is not promoted yet";
const IRRELEVANT: &str = "order and escaping of the body's parameters do not matter and were not tried; a changed, added \
     or missing value does";
const SETTINGS_CHARS_SHOWN_MAX: usize = 200;
