//! What a command prints: tables and sentences for people, JSON for programs. Results go to standard output,
//! everything else to standard error.

use anyhow::Result;
use comfy_table::{Cell, ContentArrangement, Table, presets};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// Where and how a command prints.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    json: bool,
    color: bool,
}

/// What a text is.
#[derive(Clone, Copy, Debug)]
pub enum Tone {
    /// As expected.
    Good,
    /// Not as expected.
    Bad,
    /// Less important than the rest.
    Faint,
    /// A heading, or what to look at first.
    Strong,
}

impl Out {
    /// Prints JSON if asked to, and colours only on a terminal that wants them (<https://no-color.org>).
    pub fn new(json: bool) -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { json, color: !json && !is_set("NO_COLOR") && !dumb && io::stdout().is_terminal() }
    }

    /// Whether JSON was asked for.
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a line for people.
    pub fn line(&self, text: impl AsRef<str>) -> Result<()> {
        let mut to = io::stdout().lock();
        writeln!(to, "{}", text.as_ref())?;
        Ok(to.flush()?)
    }

    /// Prints a value for programs.
    pub fn json(&self, value: &impl Serialize) -> Result<()> {
        self.line(serde_json::to_string_pretty(value)?)
    }

    /// Prints JSON or, for people, what `text` says.
    pub fn show(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        if self.json { self.json(value) } else { self.line(text()) }
    }

    /// Prints something beside the result.
    pub fn note(&self, text: impl AsRef<str>) {
        // Nothing can be done about a standard error that is closed.
        let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
    }

    /// Prints what went wrong.
    pub fn error(&self, exit: u8, what: &str, next: Option<&str>) {
        if self.json {
            return self.note(serde_json::json!({ "error": what, "next": next, "exit": exit }).to_string());
        }
        self.note(format!("error: {what}"));
        if let Some(next) = next {
            self.note(format!(" next: {next}"));
        }
    }

    /// A text in a tone.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// A table for people: a header, no frame; one line per row, however wide, so that `grep` finds whole rows.
    pub fn table(&self, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        // Painted by ourselves; the crate's own colours do not know NO_COLOR.
        table.force_no_tty();
        table.set_header(header.iter().map(|name| Cell::new(name.to_uppercase())));
        for row in rows {
            table.add_row(row.iter().map(|text| printable(text)));
        }
        // The preset pads on both sides, also where there is no neighbour.
        let mut lines: Vec<String> =
            table.trim_fmt().lines().map(|l| l.strip_prefix(' ').unwrap_or(l).to_owned()).collect();
        if let Some(header) = lines.first_mut() {
            *header = self.paint(Tone::Faint, header);
        }
        lines.join("\n")
    }

    /// Names and values for people, one per line.
    pub fn sheet(&self, rows: &[(&str, String)]) -> String {
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let line = |(name, value): &(&str, String)| {
            format!("{}  {}", self.paint(Tone::Faint, &format!("{name:<width$}")), printable(value))
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// A text from outside without what could steer the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A value that may be missing.
pub fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
