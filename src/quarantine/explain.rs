//! Why a delivery was refused, in the words of the person who has to mend it.

use super::{
    Reason, Redrive,
    judge::{Judged, is_set_aside},
};
use crate::{
    directory::Unavailable,
    store::quarantine::{QuarantineRow, Whose},
    twilio::{
        diagnose::{Diagnosis, KnownToken, Mistake, Question, TokenOwner, diagnose},
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
        let origins = match self.public_url {
            Some(url) => Origins::of_public_url(url),
            None => Origins::of_host_header(row.host.as_deref().unwrap_or_default()),
        };
        let tried = origins.iter().map(|origin| format!("{origin}{}", row.path_and_query)).collect();
        let (reason, detail) = match self.judge(whose, row).await? {
            Judged::Good(_) => {
                let what = format!("it was refused ({}), and would be let in now", row.reason);
                let next = format!("`onhook quarantine redrive {}`, or POST /v1/quarantine/redrive", row.id);
                return Ok(Explanation { reason: None, what, tried, next, diagnosis: None });
            }
            Judged::Bad(reason, detail) => (reason, detail),
        };
        let of_signature =
            matches!(reason, Reason::SignatureMismatch | Reason::SignatureMalformed | Reason::BodyHashMismatch);
        // What proves an event is of its whole batch, which is not here.
        let alone = of_signature && is_set_aside(row);
        let diagnosis = if of_signature && !alone { self.diagnose(row).await? } else { None };
        let account = row.account.as_deref().unwrap_or("the account");
        let (mut what, mut next) = (what(reason, &detail), next(reason, account));
        if alone {
            next = format!(
                "mend the token or the public URL for the batches to come; to take this one unproved: `onhook accounts \
                 verify {account} observe --for 1h`, the same for the account of the sink, then redrive",
            );
        }
        if let Some(diagnosis) = diagnosis.as_ref().filter(|d| !d.mistakes.is_empty()) {
            let join = |part: fn(&Mistake) -> &String| {
                diagnosis.mistakes.iter().map(|mistake| part(mistake).as_str()).collect::<Vec<_>>().join("; ")
            };
            (what, next) = (join(|mistake| &mistake.what), format!("{}; then redrive", join(|mistake| &mistake.fix)));
        }
        Ok(Explanation { reason: Some(reason), what, tried, next, diagnosis })
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

fn next(reason: Reason, account: &str) -> String {
    match reason {
        Reason::UnknownAccount => {
            format!("if {account} is yours: `onhook accounts add --sid {account}`, then redrive; else drop it")
        }
        Reason::SignatureMissing | Reason::SignatureMalformed => {
            "look at the proxies in front of the gateway: X-Twilio-Signature must pass unchanged".to_owned()
        }
        Reason::SignatureMismatch => format!(
            "compare ONHOOK_PUBLIC_URL with the URL that Twilio was told, and the stored tokens with the primary auth \
             token of {account} (a sub-account has its own): `onhook accounts rotate {account}` adds one; then redrive",
        ),
        Reason::BodyHashMismatch => {
            "look at the proxies in front of the gateway: bodies must pass unchanged".to_owned()
        }
        Reason::Unreadable | Reason::BadEntry => {
            "look at its body; a newer version of the gateway may read it: then redrive, else drop it".to_owned()
        }
    }
}
