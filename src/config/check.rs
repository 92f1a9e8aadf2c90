//! What no single setting can know: values that are each allowed, but not together.

use super::kind::span_text;
use super::{Config, ConfigError, DatabaseUrl, Fault, SweepConfig};

impl Config {
    /// What serving needs beyond what `load` has checked, because other commands can do without.
    pub fn check_serving(&self) -> Result<(), ConfigError> {
        let DatabaseUrl::Postgres { .. } = self.database_url else { return Ok(()) };
        let needed = [("ONHOOK_API_KEY", &self.api_key), ("ONHOOK_SECRET_KEY", &self.secret_key)];
        let missing = needed.into_iter().filter(|(_, value)| value.is_none());
        let faults: Vec<_> = missing.map(|(name, _)| Fault::NeededOnPostgres { name }).collect();
        if faults.is_empty() { Ok(()) } else { Err(ConfigError::new(faults)) }
    }

    /// Every pair of settings that contradict each other.
    pub(super) fn disagreements(&self) -> Vec<Fault> {
        let SweepConfig { check_after: check, stuck_after: stuck, give_up_after: give_up, .. } = &self.sweep;
        let no_longer_than = [
            ("sweep.stuck_after.warn", stuck.warn_ms, "sweep.stuck_after.critical", stuck.critical_ms),
            (
                "sweep.stuck_after.ringing_warn",
                stuck.ringing_warn_ms,
                "sweep.stuck_after.ringing_critical",
                stuck.ringing_critical_ms,
            ),
            ("sweep.check_after.queued", check.queued_ms, "sweep.give_up_after.queued", give_up.queued_ms),
            ("sweep.check_after.ringing", check.ringing_ms, "sweep.give_up_after.ringing", give_up.ringing_ms),
            ("sweep.check_after.answered", check.answered_ms, "sweep.give_up_after.answered", give_up.answered_ms),
        ];
        let broken = no_longer_than.into_iter().filter(|(_, value, _, limit)| value > limit);
        let faults = broken.map(|(key, value, than, limit)| Fault::LongerThan {
            key,
            value: span_text(value),
            than,
            limit: span_text(limit),
        });
        faults
            .chain(self.no_time_to_take_over())
            .chain(self.halves())
            .chain(self.key_of_nobody())
            .chain(self.certificates_for_nothing())
            .collect()
    }

    /// A run that fails as soon as it is stale is never taken over.
    fn no_time_to_take_over(&self) -> Option<Fault> {
        let (stale_ms, fail_ms) = (self.run.stale_after_ms, self.run.fail_after_ms);
        let (value, limit) = (span_text(fail_ms), span_text(stale_ms));
        let fault = Fault::NotLonger { key: "run.fail_after", value, than: "run.stale_after", limit };
        (fail_ms <= stale_ms).then_some(fault)
    }

    /// Settings that need each other.
    fn halves(&self) -> impl Iterator<Item = Fault> {
        let twilio = &self.twilio;
        let pairs = [
            ("TWILIO_ACCOUNT_SID", twilio.account_sid.is_some(), "TWILIO_AUTH_TOKEN", twilio.auth_token.is_some()),
            ("TWILIO_API_KEY", twilio.api_key.is_some(), "TWILIO_API_SECRET", twilio.api_secret.is_some()),
        ];
        pairs.into_iter().filter_map(|(one, has_one, other, has_other)| match (has_one, has_other) {
            (true, false) => Some(Fault::Half { set: one, missing: other }),
            (false, true) => Some(Fault::Half { set: other, missing: one }),
            (true, true) | (false, false) => None,
        })
    }

    /// Whoever gives certificates wants TLS, and must not go without it unnoticed.
    fn certificates_for_nothing(&self) -> Option<Fault> {
        let is_tls = self.ami_url.as_ref().is_some_and(|url| url.address.tls);
        let fault = Fault::Needs { set: "ONHOOK_AMI_CA", missing: "an ONHOOK_AMI_URL that begins with amis://" };
        (self.ami_ca.is_some() && !is_tls).then_some(fault)
    }

    /// An API key does not say whose it is.
    fn key_of_nobody(&self) -> Option<Fault> {
        let (twilio, set, missing) = (&self.twilio, "TWILIO_API_KEY", "TWILIO_ACCOUNT_SID");
        (twilio.key().is_some() && twilio.account_sid.is_none()).then_some(Fault::Needs { set, missing })
    }
}
