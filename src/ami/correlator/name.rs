//! What a channel's name and a dial string say: `PJSIP/2001-00000007`, `Local/2003@ring-0000002a;1`, `15557654321@trunk`.

/// A channel's name, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChannelName<'n> {
    /// `PJSIP`, `SIP`, `IAX2`, `Local` …
    pub tech: &'n str,
    /// Whose phone or trunk it is; for a Local channel what it dials.
    pub endpoint: &'n str,
}

impl<'n> ChannelName<'n> {
    /// Reads a name. Endpoints may hold `-` (`SIP/9170-12-0000003c`), so only the last one divides.
    pub(super) fn read(name: &'n str) -> Self {
        let (tech, rest) = name.split_once('/').unwrap_or(("", name));
        let rest = rest.strip_suffix(";1").or_else(|| rest.strip_suffix(";2")).unwrap_or(rest);
        let endpoint = match rest.rsplit_once('-') {
            Some((endpoint, number)) if is_number(number) && !endpoint.is_empty() => endpoint,
            Some(_) | None => rest,
        };
        Self { tech, endpoint }
    }

    /// Whether it can be somebody's phone: what announces and records in conferences is none, though it has their number.
    pub(super) fn is_phone(self) -> bool {
        !self.is_local() && !INSIDE.iter().any(|tech| self.tech.eq_ignore_ascii_case(tech))
    }

    /// Whether it is half of a Local channel: a wire inside Asterisk, no party.
    pub(super) fn is_local(self) -> bool {
        self.tech.eq_ignore_ascii_case("Local")
    }
}

/// The running number of a channel: eight hex digits, of DAHDI a call number.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 8 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether this can be an extension: what people dial inside. A trunk is often named by its number, which is longer.
pub(super) fn is_extension(text: &str) -> bool {
    (2..=EXTENSION_DIGITS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// The number that a dial string names: `2002`, `15557654321@trunk`, `PJSIP/2003`, `trunk/15551234567`,
/// `2001/sip:2001@10.0.0.7:5060`. None: it names a device.
pub(super) fn dialed_number(dial_string: &str) -> Option<&str> {
    let before = dial_string.split_once("/sip:").map_or(dial_string, |(before, _)| before);
    let before = before.split_once('@').map_or(before, |(number, _)| number);
    let number = before.rsplit_once('/').map_or(before, |(_, number)| number);
    is_dialable(number).then_some(number)
}

/// Whether it can be dialed: digits, `+`, `*`, `#`.
pub(super) fn is_dialable(text: &str) -> bool {
    let is_digits = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'*' | b'#'));
    is_digits && (1..=NUMBER_BYTES_MAX).contains(&text.len())
}

/// The dialed extension of a caller's channel; `s`, `i`, `h`, `t` are places of the dialplan that nobody dials.
pub(super) fn dialed_exten(exten: &str) -> Option<&str> {
    (!matches!(exten, "" | "s" | "i" | "h" | "t" | "o" | "a" | "T" | "e" | "failed")).then_some(exten)
}

/// Channels that Asterisk makes for itself (`CBAnn/100` of the conference 100).
const INSIDE: [&str; 4] = ["CBAnn", "CBRec", "Announcer", "Recorder"];
/// Longer digits are a telephone number, not an extension.
const EXTENSION_DIGITS_MAX: usize = 8;
/// No number is longer.
const NUMBER_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conference_is_nobodys_phone() {
        let is_phone = |name| ChannelName::read(name).is_phone();
        assert!(is_phone("PJSIP/2001") && is_phone("SCCP/2001-00000001"));
        assert!(!is_phone("CBAnn/100") && !is_phone("CBRec/conf-100-uid-1") && !is_phone("Local/2001@internal"));
    }

    #[test]
    fn names_are_taken_apart() {
        let cases = [
            ("PJSIP/2001-00000007", "PJSIP", "2001", false),
            ("SIP/9170-12-0000003c", "SIP", "9170-12", false),
            ("Local/2003@from-internal-00000003;1", "Local", "2003@from-internal", true),
            ("local/ring-all@queue-0000000a;2", "local", "ring-all@queue", true),
            ("DAHDI/1-1", "DAHDI", "1", false),
            ("PJSIP/trunk", "PJSIP", "trunk", false),
            ("PJSIP/my-trunk", "PJSIP", "my-trunk", false),
            ("PJSIP/-00000001", "PJSIP", "-00000001", false),
            ("Surrogate", "", "Surrogate", false),
            ("", "", "", false),
        ];
        for (name, tech, endpoint, local) in cases {
            let read = ChannelName::read(name);
            assert_eq!((read.tech, read.endpoint, read.is_local()), (tech, endpoint, local), "{name}");
        }
    }

    #[test]
    fn extensions_are_short_digits() {
        assert!(is_extension("2001") && is_extension("12345678"));
        assert!(!is_extension("trunk") && !is_extension("15551234567") && !is_extension("1") && !is_extension(""));
    }

    #[test]
    fn dial_strings_name_numbers() {
        let cases = [
            ("2002", Some("2002")),
            ("15557654321@trunk", Some("15557654321")),
            ("PJSIP/2003", Some("2003")),
            ("trunk/+15551234567", Some("+15551234567")),
            ("2001/sip:2001@10.0.0.7:5060", Some("2001")),
            ("2003@from-internal", Some("2003")),
            ("ringanswer@lab", None),
            ("", None),
        ];
        for (string, number) in cases {
            assert_eq!(dialed_number(string), number, "{string}");
        }
        assert_eq!((dialed_exten("2002"), dialed_exten("s"), dialed_exten("")), (Some("2002"), None, None));
    }
}
