//! Whether a webhook is Twilio's: the same question when it comes, when it is explained, and when it is taken out of
//! quarantine.

use super::{
    door::{Method, Parameters},
    signature::{Origins, Request, Verdict},
};
use url::Url;

/// A webhook with what proves it.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// Its parameters, decoded.
    pub parameters: &'a Parameters,
    /// Path and query from the request line, raw.
    pub path_and_query: &'a str,
    /// The `Host` header, for gateways without a public URL.
    pub host: Option<&'a str>,
    /// The `X-Twilio-Signature` header.
    pub signature: Option<&'a str>,
}

impl Signed<'_> {
    /// The URLs that may have been signed, without path and query, the likeliest first.
    pub fn origins(&self, public_url: Option<&Url>) -> Origins {
        match public_url {
            Some(url) => Origins::of_public_url(url),
            None => Origins::of_host_header(self.host.unwrap_or_default()),
        }
    }

    /// Checks the signature against every token and every spelling.
    pub fn verify<T: AsRef<[u8]>>(&self, origins: &Origins, tokens: impl IntoIterator<Item = T>) -> Verdict {
        let form = match self.parameters.method {
            Method::Post => Some(&self.parameters.body),
            Method::Get => None,
        };
        Request { origins, path_and_query: self.path_and_query, form }.verify(tokens, self.signature)
    }
}

impl Verdict {
    /// What is wrong, for the person on call; `None` if nothing is.
    pub const fn fault(self) -> Option<&'static str> {
        match self {
            Self::Verified => None,
            Self::Missing => Some("there is no X-Twilio-Signature"),
            Self::Malformed => Some("X-Twilio-Signature is not base64 of 20 bytes"),
            Self::Mismatch => Some("X-Twilio-Signature is of another URL, body or token"),
        }
    }
}
