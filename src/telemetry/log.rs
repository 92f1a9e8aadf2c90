//! How lines are logged, and which.

use crate::domain::words;
use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

words! {
    /// How lines are logged.
    pub enum LogFormat {
        /// `text` on a terminal, else `json`.
        Auto = "auto",
        /// For people.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}

/// Logging cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("read the log filter {filter:?}: {reason}")]
    Filter {
        /// What was written.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something in this process logs already.
    #[error("set up logging: it is set up already")]
    AlreadySet,
}

/// Logs to standard error from here on: what `log` lets through, as `format` says.
pub fn init_tracing(log: &str, format: LogFormat) -> Result<(), TelemetryError> {
    let filter = read_filter(log).map_err(|reason| TelemetryError::Filter { filter: log.to_owned(), reason })?;
    let is_terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = match (format, is_terminal) {
        (LogFormat::Text, false) => lines.with_ansi(false).try_init(),
        // On a terminal the subscriber itself minds NO_COLOR.
        (LogFormat::Text, true) | (LogFormat::Auto, true) => lines.try_init(),
        (LogFormat::Json, _) | (LogFormat::Auto, false) => {
            lines.json().flatten_event(true).with_span_list(false).try_init()
        }
    };
    set.map_err(|_| TelemetryError::AlreadySet)
}

/// Reads a log filter; the error says what is wrong with it.
pub(crate) fn read_filter(log: &str) -> Result<EnvFilter, String> {
    // A word that is no level would be taken for a module, and then nothing but that module is logged: a typo in a
    // level would silence the log.
    let is_plain = !log.contains(['[', '{']);
    let words = log.split(',').map(str::trim).filter(|word| !word.contains('='));
    for word in words.filter(|_| is_plain) {
        if word.parse::<LevelFilter>().is_err() {
            return Err(format!("{word:?} is no level; a module is written with its level, such as onhook=debug"));
        }
    }
    // The server's own lines, about its threads and about clients that speak no HTTP, say nothing to the person on call.
    // Whoever names actix gets them.
    let quiet = if log.contains("actix") { log.to_owned() } else { format!("actix_server=warn,actix_http=off,{log}") };
    EnvFilter::try_new(quiet).map_err(|error| error.to_string())
}
