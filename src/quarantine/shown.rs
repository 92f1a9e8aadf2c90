//! A refused body as it is shown to people: not all of it, and no phone numbers.

use crate::domain::phone;

/// The beginning of a body as text. Bytes that are no text are replaced, and numbers are masked.
pub fn body_shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..BYTES_MAX).unwrap_or(body)).into_owned();
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let more = if body.len() > BYTES_MAX { format!(" … ({} bytes in all)", body.len()) } else { String::new() };
    masked(&plain) + &more
}

/// Runs of digits that may be a number are masked; those within an id such as a CallSid are none.
fn masked(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
        let (run, after) = from.split_at(end);
        out.push_str(before);
        // `%2B` and `%3A` hang together with the digits after them.
        let stuck = !ends_escaped(&out) && out.ends_with(|c: char| c.is_ascii_alphanumeric());
        let is_number = run.len() >= DIGITS_MIN && !stuck && !after.starts_with(|c: char| c.is_ascii_alphanumeric());
        out.push_str(&if is_number { phone::mask(run) } else { run.to_owned() });
        rest = after;
    }
    out + rest
}

/// Whether a percent escape that ends with a letter is the last thing.
fn ends_escaped(text: &str) -> bool {
    let mut last = text.bytes().rev();
    let (letter, digit, percent) = (last.next(), last.next(), last.next());
    [letter, digit].iter().all(|b| b.is_some_and(|b| b.is_ascii_hexdigit())) && percent == Some(b'%')
}

/// So much of a body is shown.
const BYTES_MAX: usize = 2 * 1024;
/// The shortest international numbers in use have 7.
const DIGITS_MIN: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_masked_and_ids_are_not() {
        let sid = "CA00000000000000000000000000000001";
        for (body, shown) in [
            ("To=%2B14155550101&From=+14155550102", "To=%2B*********01&From=+*********02"),
            ("{\"to\":\"sip:14155550101@example.com\"}", "{\"to\":\"sip:*********01@example.com\"}"),
            ("From=client%3A14155550101&n=12345", "From=client%3A*********01&n=12345"),
            ("4155550101", "********01"),
        ] {
            assert_eq!(body_shown(body.as_bytes()), shown);
        }
        assert_eq!(body_shown(format!("CallSid={sid}\n").as_bytes()), format!("CallSid={sid} "));
        let long = body_shown(&[b'x'; 3_000]);
        assert!(long.len() < 2_100 && long.ends_with("(3000 bytes in all)"), "{long}");
        assert_eq!(body_shown(&[255, b'a']), "\u{fffd}a");
    }
}
