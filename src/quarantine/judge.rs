//! What is thought of a refused delivery today: the same questions in the same order as when it came.

use super::{Reason, Redrive, Refused, reason_of};
use crate::{
    config::VerifyMode,
    directory::{Account, Unavailable},
    event_batch::{Batch, SortError, Today},
    ingest::{Received, Submission},
    store::quarantine::{QuarantineRow, Whose},
    twilio::{
        door::{self, Carries, Door, Method, Parameters},
        event_stream,
        signature::canonical,
        verification::Signed,
    },
};
use std::{collections::BTreeMap, sync::Arc};

/// What is thought of a row.
#[derive(Debug)]
pub(super) enum Judged {
    /// It may be applied.
    Good(Good),
    /// It is refused, for this reason.
    Bad(Reason, String),
}

/// A row that may be applied.
#[derive(Debug, Default)]
pub(super) struct Good {
    /// What is to be submitted, with the time it first came.
    pub submissions: Vec<Submission>,
    /// Entries of a batch that still cannot be read, as rows of their own.
    pub aside: Vec<QuarantineRow>,
}

impl Good {
    /// How much work it is.
    pub(super) fn events(&self) -> usize {
        1 + self.submissions.len() + self.aside.len()
    }
}

/// Why a row is refused.
type Refusal = (Reason, String);

impl Redrive<'_> {
    /// Judges a row as if it had just come; what does not verify is let in only where `unverified` is asked for and the
    /// account is in `observe`.
    pub(super) async fn judge(
        &self,
        whose: Whose<'_>,
        row: &QuarantineRow,
        unverified: bool,
    ) -> Result<Judged, Unavailable> {
        let (door, parameters) = match parse(row) {
            Ok(parsed) => parsed,
            Err((reason, detail)) => return Ok(Judged::Bad(reason, detail)),
        };
        let unknown = |why: &str| Ok(Judged::Bad(Reason::UnknownAccount, why.to_owned()));
        let Some(sid) = door.account_sid(&parameters) else { return unknown("it names no account") };
        let account = match self.directory.account(&sid).await? {
            Some(account) if account.provider == "twilio" => account,
            _ => return unknown("the account is unknown here"),
        };
        // An operator may help others; everybody else redrives what is his own.
        if matches!(whose, Whose::Tenant(tenant) if tenant != account.tenant) {
            return unknown("the account is not yours");
        }
        let verified = match self.verify(&account, door, &parameters, row, unverified) {
            Ok(verified) => verified,
            Err((reason, detail)) => return Ok(Judged::Bad(reason, detail)),
        };
        if door.carries() == Carries::Events {
            return self.judge_batch(&account, row, verified).await;
        }
        Ok(match read(row, door, &account, &parameters, verified) {
            Ok(submission) => Judged::Good(Good { submissions: vec![submission], aside: Vec::new() }),
            Err((reason, detail)) => Judged::Bad(reason, detail),
        })
    }

    /// A batch of Event Streams, or one entry of it.
    async fn judge_batch(
        &self,
        account: &Arc<Account>,
        row: &QuarantineRow,
        verified: bool,
    ) -> Result<Judged, Unavailable> {
        let (query, received_ms) = (query(row), row.received_ms);
        let today = Today { now_ms: self.clock.now_ms(), verify: self.verify };
        let batch = Batch { account, query, body: &row.body, verified, received_ms, today };
        let sorted = match batch.sort(self.directory).await {
            Ok(sorted) => sorted,
            Err(SortError::Accounts(error)) => return Err(error),
            Err(error @ SortError::Batch(_)) => {
                return Ok(Judged::Bad(Reason::Unreadable, format!("failed to {error}")));
            }
        };
        if let Some(bad) = sorted.bad.first().filter(|_| row.entry) {
            return Ok(Judged::Bad(bad.reason, bad.detail.clone()));
        }
        let aside = sorted.bad.iter().filter_map(|bad| Refused::entry_of(row, bad, verified)).map(Refused::row);
        let aside: BTreeMap<String, QuarantineRow> = aside.map(|row| (row.id.clone(), row)).collect();
        let submissions = sorted.good.into_iter().map(|good| batch.submission(good)).collect();
        Ok(Judged::Good(Good { submissions, aside: aside.into_values().collect() }))
    }

    /// Whether it is signed with what is known today; in `observe` what is not may be let in, and is marked then.
    fn verify(
        &self,
        account: &Account,
        door: Door,
        parameters: &Parameters,
        row: &QuarantineRow,
        unverified: bool,
    ) -> Result<bool, Refusal> {
        if row.entry && row.verified {
            // The hash that was signed is of the whole batch, which verified when it came.
            return Ok(true);
        }
        let now_ms = self.clock.now_ms();
        let signed = Signed {
            parameters,
            path_and_query: &row.path_and_query,
            host: row.host.as_deref(),
            signature: row.signature.as_deref(),
        };
        let verdict = signed.verify(&signed.origins(self.public_url), account.token_bytes(now_ms));
        let body_fault = match door.carries() {
            Carries::Form => None,
            Carries::Events if row.entry => Some("the batch it was in did not verify when it came, and is not kept"),
            Carries::Events => event_stream::body_fault(query(row), &row.body),
        };
        let signature = reason_of(verdict).zip(verdict.fault());
        let observed = unverified && account.verify(now_ms, self.verify) == VerifyMode::Observe;
        match signature.or(body_fault.map(|why| (Reason::BodyHashMismatch, why))) {
            None => Ok(true),
            Some(_) if observed => Ok(false),
            Some((reason, why)) => Err((reason, why.to_owned())),
        }
    }
}

fn parse(row: &QuarantineRow) -> Result<(Door, Parameters), Refusal> {
    let (door, method): (Door, Method) = match (row.source.parse(), row.method.parse()) {
        (Ok(door), Ok(method)) => (door, method),
        (Err(why), _) | (_, Err(why)) => return Err(unreadable(&format!("know the door or the method: {why}"))),
    };
    let form: &[u8] = if door.carries() == Carries::Form { &row.body } else { &[] };
    let parameters = Parameters::parse(method, query(row).as_bytes(), form).map_err(|error| unreadable(&error))?;
    Ok((door, parameters))
}

/// The same submission that would have been made when it came.
fn read(
    row: &QuarantineRow,
    door: Door,
    account: &Account,
    parameters: &Parameters,
    verified: bool,
) -> Result<Submission, Refusal> {
    let said = door::read(door, parameters, row.received_ms).map_err(|error| unreadable(&error))?;
    let received = Received {
        tenant: &account.tenant,
        account: &account.id,
        provider_id: &said.provider_id,
        source: door.as_str(),
        method: parameters.method.as_str(),
        query: query(row).as_bytes(),
        body: &row.body,
        parameters: &canonical(&parameters.body),
        received_ms: row.received_ms,
        verified,
    };
    let delivery = Some(received.row());
    let tenant = account.tenant.clone();
    Ok(Submission { tenant, provider: "twilio", delivery, signals: said.signals, ask: said.ask, decision: None })
}

fn query(row: &QuarantineRow) -> &str {
    row.path_and_query.split_once('?').map_or("", |(_, query)| query)
}

fn unreadable(error: &dyn std::fmt::Display) -> Refusal {
    (Reason::Unreadable, format!("failed to {error}"))
}
