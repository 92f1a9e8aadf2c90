//! Why a delivery was refused, in the words of the person who has to mend it.

use super::{Reason, Redrive, judge::Judged};
use crate::{
    config::VerifyMode,
    directory::Unavailable,
    store::quarantine::{QuarantineRow, Whose},
    twilio::{
        diagnose::{Diagnosis, KnownToken, Mistake, Question, TokenOwner, diagnose},
        door::Door,
        signature::Origins,
    },
};
use serde::Serialize;
use url::Url;
use utoipa::ToSchema;

/// Why a delivery is refused, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Explanation {
    /// Why it would be refused today; null: it would be let in.
    pub reason: Option<Reason>,
    /// The same in a sentence.
    pub what: String,
    /// The URLs that its signature was compared with.
    pub tried: Vec<String>,
    /// What to do.
    pub next: String,
    /// Which mistake would explain its signature; null where the signature is not what is wrong.
    pub diagnosis: Option<Diagnosis>,
}

impl Redrive<'_> {
    /// Explains a row with today's tokens and settings, which may be better than those it was refused with.
    pub async fn explain(&self, whose: Whose<'_>, row: &QuarantineRow) -> Result<Explanation, Unavailable> {
        let (reason, detail) = match self.judge(whose, row, false).await? {
            Judged::Good(_) => {
                let what = format!("it was refused ({}), and would be let in now", row.reason);
                let next = format!("`onhook quarantine redrive {}`, or POST /v1/quarantine/redrive", row.id);
                return Ok(Explanation { reason: None, what, tried: Vec::new(), next, diagnosis: None });
            }
            Judged::Bad(reason, detail) => (reason, detail),
        };
        let of_signature =
            matches!(reason, Reason::SignatureMismatch | Reason::SignatureMalformed | Reason::BodyHashMismatch);
        // What proves an event is of its whole batch, which is not here.
        let alone = row.entry && (of_signature || reason == Reason::SignatureMissing);
        let diagnosis = if of_signature && !alone { self.diagnose(row).await? } else { None };
        let (mut what, mut next) = (what(reason, &detail), self.next(reason, row).await?);
        if alone {
            let account = row.account.as_deref().unwrap_or("the account");
            next = format!(
                "mend the token or the public URL for the batches to come; to take this one unproved: `onhook accounts \
                 verify {account} observe --for 1h`, the same for the account of the sink, then redrive with `--unverified`",
            );
        }
        if let Some(diagnosis) = diagnosis.as_ref().filter(|d| !d.mistakes.is_empty()) {
            let join = |part: fn(&Mistake) -> &String| {
                diagnosis.mistakes.iter().map(|mistake| part(mistake).as_str()).collect::<Vec<_>>().join("; ")
            };
            (what, next) = (join(|mistake| &mistake.what), format!("{}; then redrive", join(|mistake| &mistake.fix)));
        }
        if of_signature && self.is_observed(row).await? {
            next += "; its account is in observe: `--unverified` (\"unverified\": true) redrives it as it is, marked";
        }
        let tried = if reason == Reason::SignatureMismatch { self.tried(row) } else { Vec::new() };
        Ok(Explanation { reason: Some(reason), what, tried, next, diagnosis })
    }

    fn tried(&self, row: &QuarantineRow) -> Vec<String> {
        let origins = match self.public_url {
            Some(url) => Origins::of_public_url(url),
            None => Origins::of_host_header(row.host.as_deref().unwrap_or_default()),
        };
        origins.iter().map(|origin| format!("{origin}{}", row.path_and_query)).collect()
    }

    async fn is_observed(&self, row: &QuarantineRow) -> Result<bool, Unavailable> {
        let account = self.directory.account(row.account.as_deref().unwrap_or_default()).await?;
        Ok(account.is_some_and(|account| account.verify(self.clock.now_ms(), self.verify) == VerifyMode::Observe))
    }

    /// What to do.
    async fn next(&self, reason: Reason, row: &QuarantineRow) -> Result<String, Unavailable> {
        let said = match reason {
            Reason::UnknownAccount => match row.account.as_deref().filter(|account| !account.is_empty()) {
                Some(account) => {
                    format!("if {account} is yours: `onhook accounts add --sid {account}`, then redrive; else drop it")
                }
                None if row.source == Door::Events.as_str() => {
                    "add `?account=AC…` to the URL of the sink, with the account that owns it; what came without it \
                     cannot be verified: drop it"
                        .to_owned()
                }
                None => "AccountSid is missing in it, which Twilio always sends: drop it, or look at what is in \
                         between if it is Twilio's"
                    .to_owned(),
            },
            Reason::SignatureMissing | Reason::SignatureMalformed => {
                "look at the proxies in front of the gateway: X-Twilio-Signature must pass unchanged".to_owned()
            }
            Reason::SignatureMismatch => self.compare(row.account.as_deref().unwrap_or_default()).await?,
            Reason::BodyHashMismatch => {
                "look at the proxies in front of the gateway: bodies must pass unchanged".to_owned()
            }
            Reason::Unreadable | Reason::BadEntry => {
                "look at its body; a newer version of the gateway may read it: then redrive, else drop it".to_owned()
            }
        };
        Ok(said)
    }

    /// What to compare where the signature is of something else.
    async fn compare(&self, account: &str) -> Result<String, Unavailable> {
        let configured = self.directory.configured(account).is_some();
        let known = self.directory.account(account).await?;
        let live = known.map_or(0, |known| known.token_bytes(self.clock.now_ms()).count());
        let (add, rotate) = (
            format!("`onhook accounts token add {account}` adds one that is missing here"),
            format!("`onhook accounts rotate {account}` takes one that was renewed at Twilio"),
        );
        let token = match (configured, live) {
            (true, _) => format!(
                "TWILIO_AUTH_TOKEN with the primary auth token of {account}: change it and restart, or store the \
                 account too (`onhook accounts add --sid {account}`; if it is stored already, {add}, {rotate})",
            ),
            (false, 0) => return Ok(format!("no token of {account} is good now: {add}; then redrive")),
            (false, _) => format!(
                "the stored tokens with the primary auth token of {account} (a sub-account has its own): {add}, {rotate}"
            ),
        };
        Ok(format!("compare ONHOOK_PUBLIC_URL with the URL that Twilio was told, and {token}; then redrive"))
    }

    /// Tries the likely mistakes, with the account's tokens and its parent's.
    async fn diagnose(&self, row: &QuarantineRow) -> Result<Option<Diagnosis>, Unavailable> {
        let Some(account) = self.directory.account(row.account.as_deref().unwrap_or_default()).await? else {
            return Ok(None);
        };
        let parent = match account.parent.as_deref() {
            Some(parent) => self.directory.account(parent).await?.filter(|parent| parent.tenant == account.tenant),
            None => None,
        };
        let now_ms = self.clock.now_ms();
        let own = account.token_bytes(now_ms).map(|secret| (account.id.as_str(), TokenOwner::Account, secret));
        let parents = parent.iter().flat_map(|parent| {
            parent.token_bytes(now_ms).map(|secret| (parent.id.as_str(), TokenOwner::Parent, secret))
        });
        let tokens: Vec<KnownToken<'_>> =
            own.chain(parents).map(|(name, owner, secret)| KnownToken { name, owner, secret }).collect();
        let headers =
            [("X-Twilio-Signature", &row.signature), ("Host", &row.host), ("Content-Type", &row.content_type)];
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        let headers: Vec<(String, String)> = headers.collect();
        let Ok(method) = row.method.parse() else { return Ok(None) };
        let public_url = self.public_url.map(Url::as_str);
        let question = Question {
            url: &row.path_and_query,
            method,
            headers: &headers,
            body: &row.body,
            public_url,
            tokens: &tokens,
        };
        Ok(Some(diagnose(&question)))
    }
}

fn what(reason: Reason, detail: &str) -> String {
    let plain = match reason {
        Reason::UnknownAccount => "nobody here has the account that it claims to be of",
        Reason::SignatureMissing => {
            "it is not signed: it is not Twilio's, or something between Twilio and here takes headers away"
        }
        Reason::SignatureMalformed => "its signature is cut or changed, or was never one",
        Reason::SignatureMismatch => {
            "it was signed for another URL or with another token, or something between Twilio and here changed it"
        }
        Reason::BodyHashMismatch => {
            "its body is not the one that was signed: something between Twilio and here changed it"
        }
        Reason::Unreadable => "it may be let in, but says nothing that can be read",
        Reason::BadEntry => "one entry of its batch says nothing that can be read; the others were taken",
    };
    format!("{plain} ({detail})")
}
