//! Messages as deliveries, and what of a signal is filled in here: numbers in full and the users of extensions.

use crate::{
    ami::{
        Message, PROVIDER,
        correlator::{ExtensionChange, Heard},
    },
    domain::{
        id::Leg,
        phone::E164,
        signal::{Field, Signal},
    },
    ingest::{Received, Submission},
    store::{
        Db, StoreError,
        deliveries::DeliveryRow,
        extensions::{self, PbxExtension},
    },
};
use std::{collections::HashMap, sync::Arc};

/// Whose PBX speaks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) tenant: String,
    pub(super) account: String,
}

impl Key {
    pub(super) fn leg(&self, provider_id: &str) -> Leg {
        Leg { provider_id: provider_id.to_owned(), account: self.account.clone() }
    }

    /// What an extension does since then.
    pub(super) fn device(&self, change: ExtensionChange, heard: Heard) -> PbxExtension {
        PbxExtension {
            tenant: self.tenant.clone(),
            account: self.account.clone(),
            extension: change.extension,
            user_id: None,
            device: Some(change.device.as_str().to_owned()),
            device_ms: Some(heard.at_ms.unwrap_or(heard.received_ms)),
        }
    }

    /// Signals without a delivery of their own: what a list or the time says.
    pub(super) fn submission(&self, signal: Signal) -> Submission {
        Submission {
            tenant: self.tenant.clone(),
            provider: PROVIDER,
            delivery: None,
            signals: vec![signal],
            ask: Vec::new(),
            decision: None,
        }
    }

    /// A message with what it says. `stamp` tells apart messages that are equal and were heard at different times.
    pub(super) fn delivered(
        &self,
        message: &Message,
        heard: Heard,
        signals: Vec<Signal>,
        stamp: &str,
        method: &str,
    ) -> Submission {
        let delivery = self.delivery(message, heard, &signals, stamp, method);
        Submission {
            tenant: self.tenant.clone(),
            provider: PROVIDER,
            delivery: Some(delivery),
            signals,
            ask: Vec::new(),
            decision: None,
        }
    }

    fn delivery(&self, message: &Message, heard: Heard, signals: &[Signal], stamp: &str, method: &str) -> DeliveryRow {
        let text = message.text();
        let body = text.as_bytes().get(..BODY_BYTES_MAX).unwrap_or(text.as_bytes());
        let parameters = [stamp.as_bytes(), b"\n", text.as_bytes()].concat();
        let received = Received {
            tenant: &self.tenant,
            account: &self.account,
            provider_id: signals.first().map_or("", |signal| signal.leg.provider_id.as_str()),
            source: SOURCE,
            method,
            query: b"",
            body,
            parameters: &parameters,
            received_ms: heard.received_ms,
            verified: true,
        };
        received.row()
    }
}

/// Whose the extensions of a PBX are.
pub(super) type Users = Arc<HashMap<String, String>>;

/// Reads whose the extensions of a PBX are.
pub(super) async fn load_users(db: &Db, of: &Key) -> Result<Users, StoreError> {
    let mut users = HashMap::new();
    let mut after = String::new();
    for _ in 0..EXTENSION_PAGES_MAX {
        let page = extensions::list_of_pbx(db, (&of.tenant, &of.account), &after, PAGE_ROWS).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.extension);
        let owned = page.into_iter().filter_map(|row| Some((row.extension, row.user_id?)));
        users.extend(owned);
    }
    Ok(Arc::new(users))
}

/// Fills in what the PBX does not know: the user of the extension, and the country of numbers that were dialed without it.
pub(super) fn complete(signal: &mut Signal, users: &HashMap<String, String>, region: Option<&str>) {
    if signal.details.is_empty() {
        return;
    }
    let extension = signal.details.get(&Field::Extension).cloned();
    if let Some(user) = extension.as_ref().and_then(|extension| users.get(extension)) {
        signal.details.entry(Field::UserId).or_insert_with(|| user.clone());
    }
    for field in [Field::From, Field::To] {
        let is_extension = |text: &str| extension.as_deref() == Some(text) || users.contains_key(text);
        let Some(text) = signal.details.get_mut(&field).filter(|text| !is_extension(text)) else { continue };
        if let Some(number) = in_full(text, region) {
            *text = number;
        }
    }
}

/// A number as E.164, if it is a valid one of so many digits that no extension has.
fn in_full(text: &str, region: Option<&str>) -> Option<String> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let is_number = text.bytes().all(|b| b.is_ascii_digit() || b"+ -().".contains(&b));
    if digits < NUMBER_DIGITS_MIN || !is_number {
        return None;
    }
    E164::parse_valid(text, region).map(|number| number.as_str().to_owned())
}

/// The door of its deliveries.
const SOURCE: &str = "asterisk/ami";
/// How a message came: over the socket, or pushed.
pub(super) const AMI: &str = "AMI";
pub(super) const POST: &str = "POST";
/// Of a longer message the beginning is kept; its digest is of all of it.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Extensions have fewer digits, numbers that can be dialed from abroad more.
const NUMBER_DIGITS_MIN: usize = 7;
const PAGE_ROWS: i64 = 1_000;
/// 20,000 extensions of a PBX.
const EXTENSION_PAGES_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        signal::{Claim, Witness},
        state::Live,
    };

    fn signal(details: &[(Field, &str)]) -> Signal {
        Signal {
            leg: Leg { provider_id: "1.1".into(), account: "pbx1".into() },
            witness: Witness::Callback,
            claim: Claim::Live(Live::Initiated),
            at: None,
            sequence: None,
            details: details.iter().map(|(field, text)| (*field, (*text).to_owned())).collect(),
            link: None,
            received_ms: 0,
        }
    }

    fn completed(details: &[(Field, &str)], region: Option<&str>) -> Vec<(Field, String)> {
        let users = HashMap::from([("2001".to_owned(), "ada".to_owned()), ("4155550132".to_owned(), "eve".to_owned())]);
        let mut signal = signal(details);
        complete(&mut signal, &users, region);
        signal.details.into_iter().collect()
    }

    #[test]
    fn an_extension_gets_its_user() {
        let to = |user: &str| vec![(Field::Extension, "2001".to_owned()), (Field::UserId, user.to_owned())];
        assert_eq!(completed(&[(Field::Extension, "2001")], None), to("ada"));
        assert_eq!(completed(&[(Field::Extension, "2001"), (Field::UserId, "bob")], None), to("bob"));
        assert_eq!(completed(&[(Field::Extension, "2002")], None).len(), 1);
    }

    #[test]
    fn numbers_are_written_in_full_and_extensions_are_not() {
        let to = |text: &str, region| completed(&[(Field::To, text)], region).remove(0).1;
        assert_eq!(to("(415) 555-0199", Some("US")), "+14155550199");
        assert_eq!(to("14155550199", Some("US")), "+14155550199");
        assert_eq!(to("011442079460018", Some("US")), "+442079460018");
        assert_eq!(to("02079460018", Some("GB")), "+442079460018");
        assert_eq!(to("02079460018", None), "02079460018", "of which country?");
        assert_eq!(to("+44 20 7946 0018", None), "+442079460018");
        assert_eq!(to("2001", Some("US")), "2001");
        assert_eq!(to("5550199", Some("US")), "5550199", "no valid number without its area");
        assert_eq!(to("4155550132", Some("US")), "4155550132", "somebody's extension");
        assert_eq!(to("sip:4155550199@example.com", Some("US")), "sip:4155550199@example.com");
        let own = [(Field::Extension, "4155550199"), (Field::From, "4155550199")];
        assert_eq!(completed(&own, Some("US")).remove(0), (Field::From, "4155550199".to_owned()));
    }
}
