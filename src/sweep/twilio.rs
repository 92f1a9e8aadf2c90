//! Twilio as somebody who knows what became of the calls of one account.

use crate::{
    clock::SharedClock,
    domain::signal::Signal,
    provider::{Trouble, TroubleKind, Truth},
    telemetry::{Metrics, ProviderAnswer, ProviderRequest},
    twilio::{
        asked,
        client::{CallFilter, Client, ClientError},
        rest::Call,
        sid,
    },
};
use std::{collections::BTreeMap, sync::Arc};

/// Twilio, asked about one account with the credentials it had when this was made.
#[derive(Debug)]
pub struct TwilioSource {
    account: String,
    fingerprint: String,
    client: Arc<Client>,
    clock: SharedClock,
    metrics: Metrics,
}

impl TwilioSource {
    /// `fingerprint` is a digest of the credentials of `client`.
    pub(super) fn new(
        account: String,
        fingerprint: String,
        client: Client,
        clock: SharedClock,
        metrics: Metrics,
    ) -> Self {
        let client = Arc::new(client);
        Self { account, fingerprint, client, clock, metrics }
    }

    /// The account that is asked about.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Where it is asked, without a slash at the end.
    pub fn base(&self) -> &str {
        self.client.base()
    }

    /// A digest of the credentials: another one means that somebody changed them.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// For other questions about the same account.
    pub const fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Counts how a request was answered.
    pub(super) fn count<T>(&self, request: ProviderRequest, answered: &Result<T, ClientError>) {
        let answer = match answered {
            Ok(_) => ProviderAnswer::Ok,
            Err(ClientError::NotFound { .. }) => ProviderAnswer::NotFound,
            Err(ClientError::Unauthorized { .. }) => ProviderAnswer::Refused,
            Err(ClientError::TooMany { .. }) => ProviderAnswer::TooMany,
            Err(ClientError::Unavailable { .. }) => ProviderAnswer::Unreachable,
            Err(ClientError::Malformed { .. }) => ProviderAnswer::Malformed,
        };
        self.metrics.sweep().provider_request(request, answer);
    }

    /// What another account or none answers is not what was asked for: it must not reach the calls of this one.
    pub(super) fn check(&self, call: &Call) -> Result<(), Trouble> {
        let is_ours = call.account_sid.is_empty() || call.account_sid == self.account;
        if is_ours && sid::CALL.fits(&call.sid) {
            return Ok(());
        }
        let detail = "read what Twilio says of a call: it is of another account, or has no sid of a call".to_owned();
        Err(Trouble { kind: TroubleKind::Malformed, detail })
    }
}

impl Truth for TwilioSource {
    /// At most 20,000 of them, the newest of each state first: what is absent is to be asked singly.
    async fn live(&self) -> Result<Vec<Signal>, Trouble> {
        let mut live = BTreeMap::new();
        // In the order in which a call goes through them: one that moves on meanwhile is found again in the next list, and
        // that one is right.
        for status in ["queued", "ringing", "in-progress"] {
            let room = LISTED_MAX.saturating_sub(live.len());
            if room == 0 {
                break;
            }
            let filter = CallFilter { status: Some(status.to_owned()), ..CallFilter::default() };
            let asked_ms = self.clock.now_ms();
            let listed = self.client.list_calls(&self.account, &filter, room).await;
            self.count(ProviderRequest::List, &listed);
            for call in listed.map_err(|error| error.trouble(&self.account))?.entries {
                self.check(&call)?;
                // The list may lag behind its own entries.
                if let Some(signal) = asked::read_live(&call, &self.account, asked_ms) {
                    live.insert(call.sid, signal);
                }
            }
        }
        Ok(live.into_values().collect())
    }

    async fn look(&self, provider_id: &str) -> Result<Option<Signal>, Trouble> {
        let asked_ms = self.clock.now_ms();
        let loaded = self.client.load_call(&self.account, provider_id).await;
        self.count(ProviderRequest::Call, &loaded);
        match loaded {
            Ok(told) if told.value.sid != provider_id => {
                let detail = "read what Twilio says of a call: it speaks of another one".to_owned();
                Err(Trouble { kind: TroubleKind::Malformed, detail })
            }
            Ok(told) => {
                self.check(&told.value)?;
                Ok(Some(asked::read(&told.value, &self.account, asked_ms)))
            }
            Err(ClientError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.trouble(&self.account)),
        }
    }
}

/// So many live calls are listed at a time: some 20 MB of memory and twenty requests.
pub const LISTED_MAX: usize = 20_000;
