//! `X-Twilio-Signature`: base64(HMAC-SHA1(auth token, URL + every parameter of the body)).
//!
//! The parameters are sorted by name as bytes; the values of a repeated name are deduplicated and sorted. That is what
//! Twilio's own SDKs for Python and Node do, and they are the oracle of the tests. The fragment is not signed; a GET
//! and the query string of a POST count only as part of the URL, byte for byte as they came on the request line.
//!
//! What stands between scheme and path is the part nobody agrees on: Twilio drops the port of voice callbacks over
//! HTTPS and keeps it over HTTP, and a proxy changes what we see of either. So every spelling in [`Origins`] is tried.

use super::form::{Form, FormError};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use url::Url;

/// The beginnings a signed URL may have: scheme, host, with and without a port, and the public path prefix.
/// Made once from the configuration, or per request from the `Host` header. Never more than six.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<String>);

/// What Twilio signed, as we received it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The spellings to try.
    pub origins: &'a Origins,
    /// Path and query from the request line, raw: never decoded, sorted or encoded again.
    pub path_and_query: &'a str,
    /// The body of a POST; `None` for a GET, whose parameters are in the query.
    pub form: Option<&'a Form>,
}

/// What became of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Twilio signed exactly this with one of the tokens.
    Verified,
    /// There is no signature.
    Missing,
    /// It cannot be a signature: not base64, or not of 20 bytes.
    Malformed,
    /// It is of another URL, another body or another token.
    Mismatch,
}

impl Origins {
    /// The spellings of the URL that Twilio was given: without a port, with the configured one, with the scheme's
    /// default. A user name and password are never signed; a path is put before the path of each request.
    pub fn of_public_url(url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        let port = url.port().map(|port| port.to_string());
        Self(Self::spellings(url.scheme(), host, port.as_deref(), url.path().trim_end_matches('/')))
    }

    /// Where no public URL is configured, what the `Host` header can stand for: HTTPS and HTTP, each without a port,
    /// with the received one, with the default. None at all if it is no host. The header proves nothing and need not:
    /// a wrong host only makes the signature fail.
    pub fn of_host_header(host: &str) -> Self {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
        if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.bytes().all(allowed) {
            return Self::default();
        }
        // An IPv6 address has colons of its own, inside brackets.
        let numeric = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if numeric(port) => (name, Some(port)),
            _ => (host, None),
        };
        let of_scheme = |scheme| Self::spellings(scheme, name, port, "");
        Self(["https", "http"].into_iter().flat_map(of_scheme).collect())
    }

    fn spellings(scheme: &str, host: &str, port: Option<&str>, prefix: &str) -> Vec<String> {
        let default = if scheme == "https" { "443" } else { "80" };
        let mut spellings = vec![format!("{scheme}://{host}{prefix}")];
        if let Some(port) = port.filter(|port| *port != default) {
            spellings.push(format!("{scheme}://{host}:{port}{prefix}"));
        }
        spellings.push(format!("{scheme}://{host}:{default}{prefix}"));
        spellings
    }

    /// The spellings, the likeliest first.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl Request<'_> {
    /// Checks the `X-Twilio-Signature` header against every token and every spelling, each in constant time.
    /// An empty token verifies nothing: with it anybody could sign.
    pub fn verify<T: AsRef<[u8]>>(&self, tokens: impl IntoIterator<Item = T>, header: Option<&str>) -> Verdict {
        let Some(header) = header else { return Verdict::Missing };
        // One byte more than a signature has, so that base64's own estimate of the size fits.
        let mut room = [0; SIGNATURE_BYTES + 1];
        let signature = match STANDARD.decode_slice(header, &mut room) {
            Ok(SIGNATURE_BYTES) => room.get(..SIGNATURE_BYTES).unwrap_or_default(),
            Ok(_) | Err(_) => return Verdict::Malformed,
        };
        let parameters = self.form.map(sorted).unwrap_or_default();
        for token in tokens {
            if token.as_ref().is_empty() {
                continue;
            }
            let key = keyed(token.as_ref());
            for origin in self.origins.iter() {
                let mac = feed(key.clone(), &[origin, self.path_and_query], &parameters);
                if mac.verify_slice(signature).is_ok() {
                    return Verdict::Verified;
                }
            }
        }
        Verdict::Mismatch
    }
}

/// The signature Twilio would send: `url` without its fragment, `form` for a POST only.
pub fn sign(token: &str, url: &str, form: Option<&Form>) -> String {
    let parameters = form.map(sorted).unwrap_or_default();
    STANDARD.encode(feed(keyed(token.as_bytes()), &[url], &parameters).finalize().into_bytes())
}

/// Whether a body is the one that was signed, where it is not a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyHash {
    /// The query has no [`BODY_SHA256`]: nothing says which body was signed.
    Missing,
    /// The body is the one whose hash is in the query.
    Same,
    /// It is another body, or what stands there is no SHA-256.
    Different,
}

/// Compares a body that is not a form, such as JSON, with the hash that Twilio adds to the query of such a webhook.
/// The signature covers the URL and with it the hash, so both have to be checked: [`Request::verify`] with `form: None`,
/// and this. `query` is the raw query string without its question mark; of several hashes the first counts, as in
/// Twilio's SDKs.
pub fn body_sha256(query: &str, body: &[u8]) -> Result<BodyHash, FormError> {
    let query = Form::parse(query.as_bytes())?;
    let Some((_, told)) = query.pairs().find(|(name, _)| *name == BODY_SHA256.as_bytes()) else {
        return Ok(BodyHash::Missing);
    };
    let mut hash = [0; 32];
    let is_same = hex::decode_to_slice(told, &mut hash).is_ok() && hash == *Sha256::digest(body);
    Ok(if is_same { BodyHash::Same } else { BodyHash::Different })
}

/// By name, not by name and value joined: `Sid=CA1` comes before `SidAccount=AC1` whatever the values are.
fn sorted(form: &Form) -> Vec<(&[u8], &[u8])> {
    let mut pairs: Vec<_> = form.pairs().collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// What a signature covers of a form, in one spelling: two bodies that only differ in the order or the encoding of their
/// parameters verify alike, so they count as one.
pub fn canonical(form: &Form) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, value) in sorted(form) {
        for part in [name, value] {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part);
        }
    }
    text
}

/// The signature of a URL and of parameters that are sorted and without repetitions.
pub(super) fn hmac_sha1(key: &[u8], url: &str, parameters: &[(&[u8], &[u8])]) -> Vec<u8> {
    feed(keyed(key), &[url], parameters).finalize().into_bytes().to_vec()
}

/// The same by the algorithm of Twilio's shared keys (beta), which the gateway does not take: it tells what one would be.
pub(super) fn hmac_sha256(key: &[u8], url: &str, parameters: &[(&[u8], &[u8])]) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "HMAC is defined for keys of any length")]
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    feed(mac, &[url], parameters).finalize().into_bytes().to_vec()
}

fn keyed(token: &[u8]) -> Hmac<Sha1> {
    #[expect(clippy::expect_used, reason = "HMAC is defined for keys of any length")]
    Hmac::new_from_slice(token).expect("a key of any length")
}

fn feed<M: Mac>(mut mac: M, url: &[&str], parameters: &[(&[u8], &[u8])]) -> M {
    for part in url {
        mac.update(part.as_bytes());
    }
    for (name, value) in parameters {
        mac.update(name);
        mac.update(value);
    }
    mac
}

/// The query parameter with the hexadecimal SHA-256 of a body that is not a form.
pub const BODY_SHA256: &str = "bodySHA256";
/// SHA-1 makes 20 bytes.
const SIGNATURE_BYTES: usize = 20;
/// A host name of 253 bytes, a colon and a port.
const HOST_BYTES_MAX: usize = 259;
