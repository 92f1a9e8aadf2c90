//! The mistakes that make a good signature fail, each in words and with what to change.

use crate::domain::words;
use serde::Serialize;
use utoipa::ToSchema;

words! {
    /// Which mistake it is.
    pub enum MistakeKind {
        /// `http` and `https` were mixed up.
        Scheme = "scheme",
        /// Another port was signed.
        Port = "port",
        /// Another host was signed.
        Host = "host",
        /// The host was signed with other capitals.
        HostCase = "host_case",
        /// Another scheme, host, port or prefix altogether: what a header or the public URL says.
        Origin = "origin",
        /// Another path and query: what a header of the proxy says.
        Target = "target",
        /// The path lost or gained its first segments.
        PathPrefix = "path_prefix",
        /// The path lost or gained a slash at its end.
        TrailingSlash = "trailing_slash",
        /// Two slashes became one, or one became two.
        DoubleSlash = "double_slash",
        /// The query was decoded or encoded again.
        QueryEncoding = "query_encoding",
        /// The query was sorted.
        QueryOrder = "query_order",
        /// The query, or a part of it, was not there when Twilio signed.
        QueryAdded = "query_added",
        /// The fragment was signed, which Twilio does not do.
        Fragment = "fragment",
        /// User name and password were signed, which Twilio does not do for calls.
        Userinfo = "userinfo",
        /// A plus sign in the body stands for itself.
        BodyPlus = "body_plus",
        /// The body has a line break at its end.
        BodyNewline = "body_newline",
        /// The body was decoded twice.
        BodyDecodedTwice = "body_decoded_twice",
        /// The body was signed without being decoded.
        BodyUndecoded = "body_undecoded",
        /// The body was converted to another character set.
        BodyCharset = "body_charset",
        /// Parameters without a value were left out.
        EmptyLeftOut = "empty_left_out",
        /// Spaces around a value were taken away.
        ValueTrimmed = "value_trimmed",
        /// The parameters of the body were not signed, as for a GET.
        ParametersUnsigned = "parameters_unsigned",
        /// Query and body were merged.
        QueryInParameters = "query_in_parameters",
        /// The parameters of the body stand in the query.
        ParametersInQuery = "parameters_in_query",
        /// The query has no `bodySHA256`, and the body is not a form.
        BodyHashMissing = "body_hash_missing",
        /// The body is not the one whose hash was signed.
        BodyHashWrong = "body_hash_wrong",
        /// The token of another account signed it.
        OtherToken = "other_token",
        /// The parent account's token signed it.
        ParentToken = "parent_token",
        /// A token of the account that has ended signed it.
        EndedToken = "ended_token",
        /// A shared key signed it.
        SharedKey = "shared_key",
        /// The signature itself was changed on its way.
        SignatureAltered = "signature_altered",
    }
}

/// What went wrong, and what to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Mistake {
    /// Which mistake.
    pub kind: MistakeKind,
    /// What differs between what Twilio signed and what is verified, as a sentence.
    pub what: String,
    /// What to change, as a sentence.
    pub fix: String,
}

impl Mistake {
    /// A mistake whose remedy is always the same.
    pub(super) fn new(kind: MistakeKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), fix: fix_of(kind).to_owned() }
    }
}

const fn fix_of(kind: MistakeKind) -> &'static str {
    use MistakeKind as M;
    match kind {
        M::Scheme | M::Port | M::Host | M::Origin => {
            "set ONHOOK_PUBLIC_URL to exactly what Twilio is configured with (scheme, host, port, prefix), or configure that URL at Twilio"
        }
        M::HostCase => "write the host in small letters at Twilio",
        M::Target => "let the proxy pass path and query on unchanged",
        M::PathPrefix => {
            "write the prefix that the proxy takes away into ONHOOK_PUBLIC_URL (https://host/prefix), and none that it leaves"
        }
        M::TrailingSlash | M::DoubleSlash => {
            "let the proxy pass the path on as it comes, and configure at Twilio the path without the extra slash"
        }
        M::QueryEncoding => "let the proxy and the framework pass the query on as bytes, and verify over the raw query",
        M::QueryOrder => {
            "let the proxy and the framework leave the order of the query alone, or use POST, where few parameters are in it"
        }
        M::QueryAdded => "keep the proxy from adding parameters to the query, or write them into the URL at Twilio",
        M::Fragment => {
            "cut the URL at `#` before verifying; Twilio reads overrides such as `#rc=5` and does not sign them"
        }
        M::Userinfo => "leave `user:password@` out of the URL when verifying",
        M::BodyPlus => {
            "send the body as it was received, byte for byte; a plus sign of a number is written %2B in a form"
        }
        M::BodyNewline => {
            "give the body without the line break that an editor or `echo` added (`printf %s '…' > body.txt`)"
        }
        M::BodyDecodedTwice => "decode the form once; the value of CallToken stays percent-encoded",
        M::BodyUndecoded => "decode names and values of the form once before signing",
        M::BodyCharset => "keep the body as bytes; it is UTF-8",
        M::EmptyLeftOut => {
            "keep parameters without a value when reading the form (in Python: parse_qsl(…, keep_blank_values=True))"
        }
        M::ValueTrimmed => "do not trim values; spaces are signed",
        M::ParametersUnsigned => {
            "make the method at Twilio and at the gateway the same: with POST the parameters are in the body and signed, with GET they are in the URL"
        }
        M::QueryInParameters => "verify with the parameters of the body only; the query counts as part of the URL",
        M::ParametersInQuery => {
            "do not redirect and do not rewrite the method; Twilio sent a POST with these parameters in its body"
        }
        M::BodyHashMissing => {
            "let the proxy pass the query on unchanged; without bodySHA256 nothing says which body was signed"
        }
        M::BodyHashWrong => "pass the body on byte for byte; parsing and writing JSON anew changes it",
        M::OtherToken => {
            "give the account its own auth token: `onhook accounts token add AC…`; AccountSid says which account that is"
        }
        M::ParentToken => {
            "give the sub-account its own auth token: `onhook accounts token add AC…`; if it is the parent's webhook, add the parent with `onhook accounts add`"
        }
        M::EndedToken => {
            "a token that has ended verifies nothing: if Twilio still signs with it, add it again: `onhook accounts token add AC…`"
        }
        M::SharedKey => {
            "turn the shared key off for this webhook at Twilio, so that the auth token signs again; onhook verifies HMAC_SHA1 with auth tokens"
        }
        M::SignatureAltered => "pass the header X-Twilio-Signature on unchanged; it is base64, not part of a URL",
    }
}
