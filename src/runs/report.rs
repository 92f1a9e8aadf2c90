//! What came of placing a job: told by a dialer of the user's own, or by ours.

use super::{Desk, Lease, RunError};
use crate::{
    domain::time::Millis,
    ingest::Submission,
    provider::Order,
    store::{jobs::JobRow, runs::RunRow},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a dialer of the user's own says of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ReportWrite, description = "What a dialer of your own says of a job.")]
#[serde(deny_unknown_fields)]
pub struct ReportText {
    /// The token of its lease.
    #[schema(example = 7)]
    pub token: Option<i64>,
    /// `placing`: it is about to ask the provider; `placed`: the provider has the call; `failed`: there is no call.
    #[schema(example = "placed")]
    pub state: Option<String>,
    /// The provider's id of the call; needed for `placed`.
    #[schema(example = "CA00000000000000000000000000000001", max_length = 200)]
    pub provider_id: Option<String>,
    /// Why it failed, up to 500 bytes.
    #[schema(example = "the trunk is down", max_length = 500)]
    pub error: Option<String>,
}

/// A report that was taken.
#[derive(Clone, Debug)]
pub struct Reported {
    /// The job as it is now.
    pub job: JobRow,
    /// What is to be submitted through the one door, so that its call is followed.
    pub submission: Option<Submission>,
}

/// Where a call was placed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedFrom<'a> {
    /// Whose call it is.
    pub tenant: &'a str,
    /// `twilio` or `asterisk`.
    pub provider: &'a str,
    /// From which account.
    pub account: &'a str,
}

impl Lease {
    /// Where its calls are placed from.
    pub fn placed_from(&self) -> PlacedFrom<'_> {
        PlacedFrom { tenant: &self.tenant, provider: &self.provider, account: &self.account }
    }
}

impl Desk {
    /// What a dialer of the user's own says of a job of its lease.
    pub async fn report(
        &self,
        _tenant: &str,
        _run_id: &str,
        _job_id: &str,
        _text: &ReportText,
    ) -> Result<Reported, RunError> {
        todo!()
    }

    /// The provider takes no calls for now: there is no call of this attempt, and the job waits again as if it had not been
    /// taken. `false`: the job was not being placed any more.
    pub async fn give_back(
        &self,
        _lease: &Lease,
        _job_id: &str,
        _attempt: i64,
        _why: &str,
    ) -> Result<bool, RunError> {
        todo!()
    }

    /// The provider refused the call of this attempt for good: the job has failed. Holds whoever has the lease by now.
    /// `false`: the job was not being placed any more.
    pub async fn refuse(
        &self,
        _tenant: &str,
        _job_id: &str,
        _attempt: i64,
        _token: i64,
        _why: &str,
    ) -> Result<bool, RunError> {
        todo!()
    }

    /// The provider's answer is lost: whether there is a call is to be found out. Holds whoever has the lease by now.
    /// `false`: the job was not being placed any more.
    pub async fn lose(
        &self,
        _tenant: &str,
        _job_id: &str,
        _attempt: i64,
        _token: i64,
        _why: &str,
    ) -> Result<bool, RunError> {
        todo!()
    }

    /// It cannot be found out whether there was a call: the job is unknown, and is never dialed again by itself.
    /// `false`: the job was not being placed any more.
    pub async fn settle_unknown(
        &self,
        _tenant: &str,
        _job_id: &str,
        _attempt: i64,
        _why: &str,
    ) -> Result<bool, RunError> {
        todo!()
    }

    /// The run of a job that is being placed, and its order: for whoever looks for its call. `None`: the run is gone.
    pub async fn order_of(&self, _job: &JobRow) -> Result<Option<(RunRow, Order)>, RunError> {
        todo!()
    }
}

/// The provider has the call of an order: what is submitted through the one door, where the job then follows it.
pub fn tell_placed(_from: PlacedFrom<'_>, _order: &Order, _provider_id: &str, _now_ms: Millis) -> Submission {
    todo!()
}
