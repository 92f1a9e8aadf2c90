//! What a PBX says of the phones of its extensions.

use super::heard::Key;
use crate::{
    ami::{Message, correlator::Heard},
    store::extensions::PbxExtension,
};

/// Reads a message about a phone. `DeviceStateChange` tells the state of `PJSIP/2001`, `ExtensionStatus` that of a hint.
/// None: it is another message, or speaks of something that is no extension.
pub(super) fn read(of: &Key, message: &Message, heard: Heard) -> Option<PbxExtension> {
    let (extension, device) = match message.event()? {
        "DeviceStateChange" => {
            let (tech, name) = message.value("Device")?.split_once('/')?;
            let is_phone = TECHS.iter().any(|known| known.eq_ignore_ascii_case(tech));
            (is_phone.then_some(name)?, device_word(message.value("State")?))
        }
        "ExtensionStatus" => (message.value("Exten")?, hint_word(message.value("Status")?)),
        _ => return None,
    };
    let is_extension = (2..=DIGITS_MAX).contains(&extension.len()) && extension.bytes().all(|b| b.is_ascii_digit());
    is_extension.then(|| PbxExtension {
        tenant: of.tenant.clone(),
        account: of.account.clone(),
        extension: extension.to_owned(),
        user_id: None,
        device: Some(device.to_owned()),
        device_ms: Some(heard.at_ms.unwrap_or(heard.received_ms)),
    })
}

/// `ast_devstate_str` of main/devicestate.c.
fn device_word(state: &str) -> &'static str {
    match state {
        "NOT_INUSE" => AVAILABLE,
        "INUSE" | "BUSY" => IN_USE,
        "RINGING" | "RINGINUSE" => RINGING,
        "ONHOLD" => ON_HOLD,
        "UNAVAILABLE" | "INVALID" => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// `enum ast_extension_states` of pbx.h: 0 idle, and bits: 1 in use, 2 busy, 4 unavailable, 8 ringing, 16 on hold.
fn hint_word(status: &str) -> &'static str {
    match status.parse::<i32>() {
        Ok(0) => AVAILABLE,
        Ok(bits) if bits < 0 => UNKNOWN,
        Ok(bits) if bits & 8 != 0 => RINGING,
        Ok(bits) if bits & 16 != 0 => ON_HOLD,
        Ok(bits) if bits & 3 != 0 => IN_USE,
        Ok(4) => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// Technologies whose devices are phones named by their extension.
const TECHS: &[&str] = &["PJSIP", "SIP", "IAX2", "SCCP", "Custom"];
/// Longer digits are a telephone number.
const DIGITS_MAX: usize = 8;
const AVAILABLE: &str = "available";
const IN_USE: &str = "in-use";
const RINGING: &str = "ringing";
const ON_HOLD: &str = "on-hold";
const UNAVAILABLE: &str = "unavailable";
const UNKNOWN: &str = "unknown";

#[cfg(test)]
mod tests {
    use super::*;

    fn said(headers: &[(&str, &str)]) -> Option<(String, String)> {
        let headers = headers.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let of = Key { tenant: "acme".into(), account: "pbx1".into() };
        let read = read(&of, &Message::new(headers), Heard { received_ms: 7, at_ms: None })?;
        assert_eq!((read.account.as_str(), read.device_ms), ("pbx1", Some(7)));
        Some((read.extension, read.device?))
    }

    #[test]
    fn phones_are_read_by_device_and_by_hint() {
        let device = |device, state| said(&[("Event", "DeviceStateChange"), ("Device", device), ("State", state)]);
        let is = |extension: &str, word: &str| Some((extension.to_owned(), word.to_owned()));
        assert_eq!(device("PJSIP/2001", "NOT_INUSE"), is("2001", "available"));
        assert_eq!(device("SIP/2001", "RINGINUSE"), is("2001", "ringing"));
        assert_eq!(device("PJSIP/2001", "a new word"), is("2001", "unknown"));
        assert_eq!(device("PJSIP/trunk", "INUSE"), None);
        assert_eq!(device("Queue:sales", "INUSE"), None);
        assert_eq!(device("Local/2001", "INUSE"), None);
        let hint = |status| said(&[("Event", "ExtensionStatus"), ("Exten", "2001"), ("Status", status)]);
        assert_eq!(hint("0"), is("2001", "available"));
        assert_eq!(hint("1"), is("2001", "in-use"));
        assert_eq!(hint("9"), is("2001", "ringing"));
        assert_eq!(hint("17"), is("2001", "on-hold"));
        assert_eq!(hint("4"), is("2001", "unavailable"));
        assert_eq!(hint("-1"), is("2001", "unknown"));
        assert_eq!(said(&[("Event", "Newchannel"), ("Exten", "2001")]), None);
    }
}
