//! SIP as far as the tests' phones need it: a message read and written, and the body that offers sound.

use std::{fmt::Write, net::SocketAddr};

/// A request or an answer.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The first line.
    pub start: String,
    /// What follows the empty line.
    pub body: String,
    headers: Vec<(String, String)>,
}

impl Packet {
    /// Reads a datagram; None if it is no SIP (such as the bytes of a keep-alive).
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start = lines.next().filter(|line| line.contains("SIP/2.0"))?.to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (full(name.trim()), value.trim().to_owned()))
            .collect();
        Some(Self { start, body: body.to_owned(), headers })
    }

    /// The status of an answer; None for a request.
    pub fn code(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// The method of a request, or of the request that is answered.
    pub fn method(&self) -> &str {
        match self.code() {
            Some(_) => self.get("cseq").split(' ').nth(1).unwrap_or_default(),
            None => self.start.split(' ').next().unwrap_or_default(),
        }
    }

    /// A header's value, empty if it has none of that name (in lower case).
    pub fn get(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// The number of its request.
    pub fn number(&self) -> u32 {
        self.get("cseq").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or_default()
    }

    /// The address in its Contact.
    pub fn target(&self) -> Option<String> {
        let contact = self.get("contact");
        let uri = contact.split_once('<').map_or(contact, |(_, rest)| rest).split('>').next()?;
        (!uri.is_empty()).then(|| uri.to_owned())
    }

    /// The answer to this request. `tag` marks our side of the dialog.
    pub fn answer(&self, status: &str, tag: &str, contact: &str, body: &str) -> String {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for (name, value) in &self.headers {
            match name.as_str() {
                "to" if !value.contains("tag=") => write!(text, "To: {value};tag={tag}\r\n").unwrap(),
                "via" | "from" | "to" | "call-id" | "cseq" | "record-route" => {
                    write!(text, "{name}: {value}\r\n").unwrap();
                }
                _ => {}
            }
        }
        write!(text, "Contact: <{contact}>\r\nAllow: {ALLOW}\r\nSupported: replaces\r\n").unwrap();
        close(text, body)
    }
}

/// What a request of ours consists of.
pub struct Request<'a> {
    pub method: &'a str,
    pub uri: &'a str,
    pub from: &'a str,
    pub to: &'a str,
    pub call_id: &'a str,
    pub number: u32,
    /// Marks the transaction: an ACK of a refusal and a CANCEL have that of their INVITE.
    pub branch: &'a str,
    /// Whole lines.
    pub more: &'a str,
    pub body: &'a str,
}

impl Request<'_> {
    /// As text, sent by the phone at this address.
    pub fn text(&self, user: &str, at: SocketAddr) -> String {
        let Self { method, uri, from, to, call_id, number, branch, more, body } = self;
        let head = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch={branch};rport\r\nMax-Forwards: 70\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {number} {method}\r\n\
             Contact: <sip:{user}@{at}>\r\nAllow: {ALLOW}\r\n{more}"
        );
        close(head, body)
    }
}

/// The tag in a From or To.
pub fn tag(header: &str) -> &str {
    header.split_once("tag=").map_or("", |(_, rest)| rest.split([';', '>', ' ']).next().unwrap_or(rest))
}

/// An offer of sound that never comes: nobody listens. On hold it is only sent.
pub fn sound(at: SocketAddr, version: u32, direction: &str) -> String {
    let (ip, port) = (at.ip(), at.port());
    format!(
        "v=0\r\no=- 1 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\na={direction}\r\n"
    )
}

fn close(mut head: String, body: &str) -> String {
    if !body.is_empty() {
        head.push_str("Content-Type: application/sdp\r\n");
    }
    write!(head, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    head
}

/// The name in lower case and in full.
fn full(name: &str) -> String {
    match name.to_ascii_lowercase().as_str() {
        "f" => "from".to_owned(),
        "t" => "to".to_owned(),
        "i" => "call-id".to_owned(),
        "v" => "via".to_owned(),
        "m" => "contact".to_owned(),
        other => other.to_owned(),
    }
}

const ALLOW: &str = "INVITE,ACK,BYE,CANCEL,OPTIONS,REFER,NOTIFY";
