//! Phone numbers: E.164 where they can be read as such, and masked whenever they are shown.

use phonenumber::Mode;

/// A number in E.164 (`+` and up to 15 digits). Its `Debug` shows the last two digits only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct E164(String);

impl E164 {
    /// Reads a number a person wrote. `region` (ISO 3166, such as `US`) is used where the country code is missing;
    /// without it only international numbers are read. `None` if it is no valid number.
    pub fn parse(text: &str, region: Option<&str>) -> Option<Self> {
        if text.len() > NUMBER_BYTES_MAX {
            return None;
        }
        let region = region.and_then(|r| r.parse().ok());
        let number = phonenumber::parse(region, text.trim()).ok()?;
        Some(Self(number.format().mode(Mode::E164).to_string()))
    }

    /// The same, if it is a number that can exist: its country has such numbers.
    pub fn parse_valid(text: &str, region: Option<&str>) -> Option<Self> {
        if text.len() > NUMBER_BYTES_MAX {
            return None;
        }
        let region = region.and_then(|r| r.parse().ok());
        let number = phonenumber::parse(region, text.trim()).ok().filter(phonenumber::PhoneNumber::is_valid)?;
        Some(Self(number.format().mode(Mode::E164).to_string()))
    }

    /// Takes an address a provider reported (`+14155550101`) if it already has the form of E.164.
    /// Client and SIP addresses, withheld callers and short codes are not numbers.
    pub fn of_address(address: &str) -> Option<Self> {
        let digits = address.strip_prefix('+')?;
        let plausible = (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        plausible.then(|| Self(address.to_owned()))
    }

    /// The number with its `+`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for E164 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&mask(&self.0))
    }
}

/// An address as it may appear in a log: digits become `*`, but for the last two.
pub fn mask(address: &str) -> String {
    let digits = address.chars().filter(char::is_ascii_digit).count();
    let mut seen = 0;
    address
        .chars()
        .map(|c| {
            if !c.is_ascii_digit() {
                return c;
            }
            seen += 1;
            if seen + 2 > digits { c } else { '*' }
        })
        .collect()
}

/// An address as it may appear in the log of a refusal: country code and the next three digits of its number stay, which
/// tell whose network was to be dialed; the digits after them become `*`. Short numbers are nobody's, and stay.
pub fn mask_end(address: &str) -> String {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).count();
    let number: String = address.chars().skip_while(|c| *c != '+').take_while(|c| !"@;".contains(*c)).collect();
    let code = phonenumber::parse(None, &number).map_or(0, |read| digits(&read.code().value().to_string()));
    let shown = code + SHOWN_DIGITS;
    let mut seen = 0;
    let mask = |c: char| {
        seen += usize::from(c.is_ascii_digit());
        if c.is_ascii_digit() && seen > shown { '*' } else { c }
    };
    address.chars().map(mask).collect()
}

/// A sentence as it may appear in a log: whatever in it could be a phone number is masked as [`mask`] does. Ids keep their
/// digits, which stand behind letters.
pub fn mask_numbers(sentence: &str) -> String {
    let mut masked = String::with_capacity(sentence.len());
    let mut rest = sentence;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
        let (digits, after) = from.split_at(end);
        masked.push_str(before);
        let is_number = digits.len() >= DIGITS_MIN && !masked.ends_with(|c: char| c.is_ascii_alphanumeric());
        masked.push_str(&if is_number { mask(digits) } else { digits.to_owned() });
        rest = after;
    }
    masked.push_str(rest);
    masked
}

/// How many digits after the country code [`mask_end`] shows.
const SHOWN_DIGITS: usize = 3;
/// Longer texts are no phone numbers; the parser never sees them.
const NUMBER_BYTES_MAX: usize = 64;
/// E.164 allows 15 digits; the shortest international numbers in use have 7.
const DIGITS_MIN: usize = 7;
const DIGITS_MAX: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_masked_where_it_names_numbers() {
        let id = "CA00000000000000000000000000000001";
        for (sentence, masked) in [
            ("the number +14155550132, is not valid.", "the number +*********32, is not valid."),
            ("4155550132", "********32"),
            ("400, error 21211: see 2026 and 573005", "400, error 21211: see 2026 and 573005"),
            (id, id),
            ("é 14155550132é", "é *********32é"),
            ("", ""),
        ] {
            assert_eq!(mask_numbers(sentence), masked);
        }
    }

    #[test]
    fn reads_what_people_write() {
        let parse = |text: &str, region| E164::parse(text, region).map(|n| n.as_str().to_owned());
        assert_eq!(parse("+1 (415) 555-0132", None).as_deref(), Some("+14155550132"));
        assert_eq!(parse("415 555 0132", Some("US")).as_deref(), Some("+14155550132"));
        assert_eq!(parse("415 555 0132", None), None);
        assert_eq!(parse("not a number", Some("US")), None);
        assert_eq!(parse(&"1".repeat(200), Some("US")), None);
        let padded = |bytes| format!("{:>bytes$}", "+14155550132");
        assert!(parse(&padded(NUMBER_BYTES_MAX), None).is_some());
        assert_eq!(parse(&padded(NUMBER_BYTES_MAX + 1), None), None);
    }

    #[test]
    fn addresses_are_taken_only_in_the_form_of_e164() {
        assert!(E164::of_address("+14155550132").is_some());
        assert!(E164::of_address("+1234567").is_some());
        assert!(E164::of_address("+123456789012345").is_some());
        for other in [
            "14155550132",
            "client:ann",
            "sip:a@b",
            "anonymous",
            "+123456",
            "+1234567890123456",
            "+1415555x132",
            "+",
            "",
        ] {
            assert_eq!(E164::of_address(other), None, "{other}");
        }
    }

    #[test]
    fn what_was_refused_keeps_its_beginning() {
        for (address, shown) in [
            ("+19005550100", "+1900*******"),
            ("+449061234567", "+44906*******"),
            ("+88213300655", "+882133*****"),
            ("4155550199", "415*******"),
            ("911", "911"),
            ("sip:+19005550100@10.0.0.1", "sip:+1900*******@**.*.*.*"),
            ("client:ann", "client:ann"),
            ("+", "+"),
            ("", ""),
        ] {
            assert_eq!(mask_end(address), shown);
        }
    }

    #[test]
    fn shown_numbers_keep_two_digits() {
        assert_eq!(mask("+14155550132"), "+*********32");
        assert_eq!(mask("client:ann"), "client:ann");
        assert_eq!(mask("7"), "7");
        assert_eq!(format!("{:?}", E164::of_address("+14155550132").unwrap()), "+*********32");
    }
}
