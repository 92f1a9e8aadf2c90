//! The decoder against the captured streams, cut everywhere, and against streams that are none.

use super::*;
use std::{fs, path::PathBuf};

type Parsed = (Vec<Frame>, Option<String>);

/// Feeds the pieces one by one, as a socket would, and takes out what there is after each.
fn fed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Parsed {
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

fn whole(text: &[u8]) -> Parsed {
    fed([text])
}

/// The connections of each capture: some hold two, one after the other.
fn captures() -> Vec<(String, Vec<Vec<u8>>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/ami");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with(".txt") || name.ends_with(".sent.txt") {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let banner = b"Asterisk Call Manager/";
        let mut starts: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(banner)).collect();
        starts.push(bytes.len());
        let parts = starts.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect();
        found.push((name, parts));
    }
    found.sort();
    assert!(found.len() > 60, "only {} captures", found.len());
    found
}

/// Cuts a stream the slow and obvious way.
fn plainly(bytes: &[u8]) -> Vec<Vec<(String, String)>> {
    let text = String::from_utf8_lossy(bytes);
    let mut messages = vec![Vec::new()];
    for line in text.split('\n').skip(1) {
        match line.trim_end_matches('\r') {
            "" => messages.push(Vec::new()),
            line => {
                let (key, value) = line.split_once(':').unwrap_or(("", line));
                let value = value.strip_prefix(' ').filter(|_| !key.is_empty()).unwrap_or(value);
                messages.last_mut().unwrap().push((key.to_owned(), value.to_owned()));
            }
        }
    }
    // What follows the last empty line was cut off.
    messages.pop();
    messages.retain(|message| !message.is_empty());
    messages
}

#[test]
fn every_capture_is_read_as_it_stands() {
    let mut count = 0;
    for (name, connections) in captures() {
        for bytes in connections {
            let (frames, error) = whole(&bytes);
            assert_eq!(error, None, "{name}");
            assert!(matches!(&frames[0], Frame::Banner(version) if version == "5.0.4"), "{name}");
            let read: Vec<Vec<(String, String)>> = frames[1..]
                .iter()
                .map(|frame| match frame {
                    Frame::Banner(_) => panic!("{name}: a second banner"),
                    Frame::Message(m) => m.headers().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
                })
                .collect();
            let expected = plainly(&bytes);
            assert_eq!(read.len(), expected.len(), "{name}");
            assert_eq!(read, expected, "{name}");
            count += read.len();
        }
    }
    assert_eq!(count, 4_932);
}

#[test]
fn it_does_not_matter_where_a_stream_is_cut() {
    for (name, connections) in captures() {
        for bytes in connections {
            let expected = whole(&bytes);
            assert_eq!(fed(bytes.chunks(1)), expected, "{name}, byte by byte");
            assert_eq!(fed(bytes.chunks(7)), expected, "{name}, by seven");
            // Each cut reads the whole again, so the long ones are cut in their first bytes only.
            let few = if bytes.len() <= 1_500 { &bytes[..] } else { &bytes[..700] };
            let expected = whole(few);
            for cut in 0..few.len() {
                let (left, right) = few.split_at(cut);
                assert_eq!(fed([left, right]), expected, "{name}, cut at {cut}");
            }
        }
    }
}

const BANNER: &[u8] = b"Asterisk Call Manager/5.0.4\r\n";

fn after_banner(rest: &[u8]) -> Parsed {
    let both = [BANNER, rest].concat();
    let (mut frames, error) = whole(&both);
    assert_eq!(fed(both.chunks(1)), (frames.clone(), error.clone()), "byte by byte it is another stream");
    assert_eq!(frames.remove(0), Frame::Banner("5.0.4".to_owned()));
    (frames, error)
}

#[test]
fn bare_line_feeds_stray_empty_lines_and_odd_bytes_are_harmless() {
    let (frames, error) = after_banner(
        b"\r\n\nEvent: A\nName: caf\xe9: x\nNul: a\0b\n\n\r\n--END COMMAND--\r\n\r\nEvent: B\r\n\r\n\r\nEvent: half",
    );
    assert_eq!(error, None);
    let messages: Vec<&Message> =
        frames.iter().map(|f| if let Frame::Message(m) = f { m } else { panic!("{f:?}") }).collect();
    assert_eq!(messages.len(), 3);
    assert_eq!(messages[0].get("name"), Some("caf\u{fffd}: x"));
    assert_eq!(messages[0].get("nul"), Some("a\u{fffd}b"), "PostgreSQL takes no NUL");
    assert_eq!(messages[1].headers().collect::<Vec<_>>(), [("", "--END COMMAND--")]);
    assert_eq!((messages[2].event(), messages[2].text()), (Some("B"), "Event: B\r\n"));
}

#[test]
fn glued_headers_do_not_end_the_stream() {
    let (_, connections) = captures().into_iter().find(|(name, _)| name == "long_actionid.txt").unwrap();
    let (frames, error) = whole(&connections[0]);
    assert_eq!(error, None);
    let lists = |f: &&Frame| matches!(f, Frame::Message(m) if m.event().is_some_and(|e| e.ends_with("Complete")));
    assert!(frames.iter().filter(lists).count() > 5);
}

#[test]
fn who_does_not_speak_ami_is_told_so() {
    for (sent, said) in [
        (&b"SSH-2.0-OpenSSH_9.2p1\r\n"[..], "find Asterisk there: it begins with \"SSH-2.0-OpenSSH_9.2p1\""),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "find Asterisk there: it begins with \"HTTP/1.1 400 Bad Request\""),
        (b"Asterisk Call Manager\r\n", "find Asterisk there"),
        (b"Asterisk Call Manager/five\n", "find Asterisk there"),
        (b"Asterisk Call Manager/1.1\r\n", "understand it: it speaks AMI 1.1, 2.0 or newer is needed"),
        (b"Asterisk Call Manager/1.4\n", "understand it: it speaks AMI 1.4"),
        (b"\r\n", "find Asterisk there: it begins with \"\""),
        (b"\x15\x03\x01\x00\x02\x02\x16\n", "find Asterisk there"),
    ] {
        let (frames, error) = whole(sent);
        assert_eq!((frames, fed(sent.chunks(1)).0), (vec![], vec![]));
        let error = error.unwrap();
        assert!(error.starts_with(said), "{error}");
        assert!(error.len() < 300, "{error}");
    }
    assert_eq!(whole(b"Asterisk Call Manager/12.0.0\n").0, [Frame::Banner("12.0.0".to_owned())]);
}

#[test]
fn an_endless_first_line_ends_it() {
    let endless = vec![b'x'; BANNER_BYTES_MAX + 2];
    assert_eq!(fed(endless[..BANNER_BYTES_MAX + 1].chunks(1)), (vec![], None));
    assert!(fed(endless.chunks(1)).1.unwrap().starts_with("find Asterisk there"));
}

#[test]
fn the_longest_line_passes_and_one_byte_more_ends_it() {
    let line = |length: usize| [&b"Key: "[..], &vec![b'x'; length - 5]].concat();
    let (frames, error) = after_banner(&[&line(LINE_BYTES_MAX)[..], b"\r\n\r\n"].concat());
    assert_eq!((frames.len(), error), (1, None));
    for end in [&b"\r\n\r\n"[..], b"\n\n", b"xx"] {
        let (frames, error) = after_banner(&[&line(LINE_BYTES_MAX + 1)[..], end].concat());
        assert_eq!((frames, error.as_deref()), (vec![], Some("read a line: it has over 65536 bytes")));
    }
}

#[test]
fn the_longest_message_passes_and_one_byte_more_ends_it() {
    let lines = b"Key: 0123456789012345678901234567890123456789012345678901234567\n".repeat(MESSAGE_BYTES_MAX / 64);
    assert_eq!(lines.len(), MESSAGE_BYTES_MAX);
    // So many short lines are too many headers; long ones are not.
    let long = [&vec![b'x'; 32_767][..], b"\n"].concat().repeat(32);
    assert_eq!(long.len(), MESSAGE_BYTES_MAX);
    assert_eq!(after_banner(&[&long[..], b"\n"].concat()).0.len(), 1);
    let (frames, error) = after_banner(&[&b"a\n"[..], &long, b"\n"].concat());
    assert_eq!((frames, error.as_deref()), (vec![], Some("read a message: it has over 1048576 bytes")));
}

#[test]
fn the_most_headers_pass_and_one_more_ends_it() {
    let headers = |count: usize| [&b"Variable: a=b\r\n".repeat(count)[..], b"\r\n"].concat();
    assert_eq!(after_banner(&headers(HEADERS_MAX)).0.len(), 1);
    let (frames, error) = after_banner(&headers(HEADERS_MAX + 1));
    assert_eq!((frames, error.as_deref()), (vec![], Some("read a message: it has over 4096 lines")));
}

#[test]
fn half_a_message_at_the_end_is_let_go() {
    let (mut frames, mut bytes) =
        (Frames::default(), BytesMut::from(&b"Asterisk Call Manager/5.0.4\r\nEvent: A\r\nX"[..]));
    assert!(frames.decode_eof(&mut bytes).unwrap().is_some());
    assert_eq!((frames.decode_eof(&mut bytes).unwrap(), bytes.len()), (None, 0));
}
