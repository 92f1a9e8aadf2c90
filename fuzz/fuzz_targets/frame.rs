//! Any bytes, cut anywhere, give the same messages and the same error as in one piece, and never more is kept than the
//! limits allow.
//!
//! An input is: how often the stream is repeated (to reach the limits), how many cuts there are (its top bit: begin with a
//! good first line), the lengths of the pieces, the stream.
#![no_main]

use ami::frame::{Frame, Frames, LINE_BYTES_MAX, MESSAGE_BYTES_MAX};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use tokio_util::codec::Decoder;

#[path = "../../src/ami"]
#[allow(dead_code)]
mod ami {
    pub mod frame;
    pub mod message;
    pub use message::Message;
}

type Parsed = (Vec<Frame>, Option<String>);

fn fed<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Parsed {
    let (mut frames, mut bytes, mut found) = (Frames::default(), BytesMut::new(), Vec::new());
    for piece in pieces {
        bytes.extend_from_slice(piece);
        loop {
            match frames.decode(&mut bytes) {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(e) => return (found, Some(e.to_string())),
            }
        }
        assert!(bytes.len() <= MESSAGE_BYTES_MAX + LINE_BYTES_MAX + 2, "{} bytes are kept", bytes.len());
    }
    (found, None)
}

fn cut<'a>(mut stream: &'a [u8], lengths: &[u8], unit: usize) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for length in lengths.iter().cycle() {
        let (left, right) = stream.split_at(stream.len().min((usize::from(*length) + 1) * unit));
        pieces.push(left);
        stream = right;
        if stream.is_empty() {
            break;
        }
    }
    pieces
}

fuzz_target!(|input: &[u8]| {
    let [repeats, cuts, rest @ ..] = input else { return };
    let (lengths, stream) = rest.split_at(rest.len().min(usize::from(cuts & 15) + 1));
    if lengths.is_empty() {
        return;
    }
    let banner: &[u8] = if cuts & 128 > 0 { b"Asterisk Call Manager/5.0.4\r\n" } else { b"" };
    // Rarely: a stream of a megabyte takes a thousand times as long. Its pieces are longer too.
    let times = if *repeats == 255 { 512 } else { 1 };
    let stream = [banner, &stream.repeat(times)].concat();
    let (whole, error) = fed(std::iter::once(&stream[..]));
    let (pieces, cut_error) = fed(cut(&stream, lengths, times).into_iter());
    assert_eq!(whole.len(), pieces.len(), "another number of messages");
    assert!(whole == pieces, "other messages");
    // In one piece and in many the garbage before the first line end is shown to another length.
    assert_eq!(error.is_some(), cut_error.is_some());
    for frame in &whole {
        if let Frame::Message(message) = frame {
            assert!(!message.is_empty() && message.len() <= ami::frame::HEADERS_MAX);
            let read_again = ami::Message::parse(message.text().to_owned());
            assert!(read_again == *message);
        }
    }
});
