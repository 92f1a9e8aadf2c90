//! Reads a secret from a file, from standard input, or from a person who types it unseen.

use crate::cli::{
    exit::{Exit, Stop},
    out::Out,
    tokens,
};
use anyhow::{Context, Result};
use secrecy::{SecretString, zeroize::Zeroizing};
use std::{
    fs::File,
    io::{self, BufRead, IsTerminal, Read, Write},
    path::Path,
    process::{Command, Stdio},
};

/// The secret: the first line of `file`, else of standard input; on a terminal it is asked for.
pub fn read(out: &Out, file: Option<&Path>, prompt: &str) -> Result<SecretString> {
    let mut line = Zeroizing::new(String::new());
    match file {
        Some(path) => {
            let read = File::open(path).and_then(|file| first_line(file, &mut line));
            read.map_err(|error| tokens::unreadable(path, &error))?;
        }
        None if io::stdin().is_terminal() => {
            let _ = write!(io::stderr(), "{prompt}").and_then(|()| io::stderr().flush());
            let hidden = Unseen::begin();
            first_line(io::stdin(), &mut line).context("read the token")?;
            drop(hidden);
            out.note("");
        }
        None => first_line(io::stdin(), &mut line).context("read the token from standard input")?,
    }
    let token = line.trim();
    if token.is_empty() {
        let next = "write it to a file and name that with --token-file, or pipe it in";
        return Err(Stop::with(Exit::Usage, "the token is empty", next));
    }
    Ok(token.into())
}

fn first_line(from: impl Read, to: &mut String) -> io::Result<()> {
    io::BufReader::new(from.take(SECRET_BYTES_MAX)).read_line(to).map(drop)
}

/// While it lives, a terminal does not show what is typed.
struct Unseen;

impl Unseen {
    fn begin() -> Self {
        echo("-echo");
        Self
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        echo("echo");
    }
}

/// `stty` is wherever there is a terminal of the kind that echoes; without it what is typed is seen.
fn echo(mode: &str) {
    let _ = Command::new("stty").arg(mode).stdin(Stdio::inherit()).stderr(Stdio::null()).status();
}

/// Longer than any token.
const SECRET_BYTES_MAX: u64 = 4_096;
