//! How a command ends: the exit code, what went wrong, and what to do next.

use super::out::Out;
use crate::{
    app::AppError,
    config::ConfigError,
    ingest::SubmitError,
    seal::SealError,
    store::{OpenError, StoreError},
};
use std::{fmt::Display, io, process::ExitCode};

/// Exit codes. Scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It worked.
    Ok = 0,
    /// It failed.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// What was asked for does not exist.
    NotFound = 3,
    /// The gateway refused a signature.
    Refused = 4,
    /// The check found something.
    Findings = 5,
    /// Something that is needed cannot be reached.
    Unavailable = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A failure in the words of the command line: a whole sentence, and the next step.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Stop {
    exit: Exit,
    what: String,
    next: String,
}

impl Stop {
    /// Ends the command with `exit`.
    pub fn with(exit: Exit, what: impl Into<String>, next: impl Into<String>) -> anyhow::Error {
        Self { exit, what: what.into(), next: next.into() }.into()
    }

    /// There is no `what`.
    pub fn not_found(what: impl Display, next: impl Into<String>) -> anyhow::Error {
        Self::with(Exit::NotFound, format!("there is no {what}"), next)
    }
}

/// Says on standard error what went wrong and what to do next.
pub fn report(out: &Out, error: &anyhow::Error) -> Exit {
    // Whoever reads our output has read enough (`onhook calls list | head`).
    if error.chain().any(|e| e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)) {
        return Exit::Ok;
    }
    let exit = exit_of(error);
    // The errors of the house complete the sentence "failed to …"; ours are sentences of their own.
    let what = match error.downcast_ref::<Stop>() {
        Some(stop) => stop.what.clone(),
        None => format!("failed to {error}"),
    };
    out.error(exit as u8, &what, next_of(error).as_deref());
    exit
}

fn exit_of(error: &anyhow::Error) -> Exit {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return stop.exit;
    }
    let is_usage = error.is::<ConfigError>() || matches!(app(error), Some(AppError::Config(_)));
    let unavailable = matches!(error.downcast_ref(), Some(StoreError::Gone(_) | StoreError::Again(_)))
        || matches!(error.downcast_ref(), Some(SubmitError::Full | SubmitError::Unavailable(_) | SubmitError::Stopped))
        || app(error).is_some_and(AppError::is_unavailable);
    match open(error) {
        Some(OpenError::Url(_)) => Exit::Usage,
        Some(_) => Exit::Unavailable,
        None if is_usage => Exit::Usage,
        None if unavailable => Exit::Unavailable,
        None => Exit::Failed,
    }
}

fn next_of(error: &anyhow::Error) -> Option<String> {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return Some(stop.next.clone()).filter(|next| !next.is_empty());
    }
    let next = match (open(error), app(error)) {
        (Some(OpenError::Unreachable { what, .. }), _) if what.starts_with("the file") => {
            "check that the folder exists, that this user may write to it, and that the file is an onhook database; \
             ONHOOK_DATABASE_URL names another one"
        }
        (Some(OpenError::Unreachable { .. }), _) => {
            "check that the server runs, and the host, user and password in ONHOOK_DATABASE_URL"
        }
        (Some(OpenError::Migrate(_)), _) => {
            "check that the database belongs to this or an older version of onhook, and that its user may change the schema"
        }
        (_, Some(AppError::Store(_))) => DATABASE,
        _ if error.is::<StoreError>() => DATABASE,
        (_, Some(AppError::Listen { .. })) => "stop what listens there, or choose another address with --listen",
        (_, Some(AppError::Config(_))) => SETTINGS,
        _ if error.is::<ConfigError>() => SETTINGS,
        _ if error.is::<SealError>() || matches!(app(error), Some(AppError::Seal(_))) => {
            "give the same ONHOOK_SECRET_KEY to every node and every command"
        }
        _ => return None,
    };
    Some(next.to_owned())
}

fn app(error: &anyhow::Error) -> Option<&AppError> {
    error.downcast_ref()
}

fn open(error: &anyhow::Error) -> Option<&OpenError> {
    match app(error) {
        Some(AppError::Open(open)) => Some(open),
        _ => error.downcast_ref(),
    }
}

const DATABASE: &str = "check that the database is there, has space, and can be written to by this user";
const SETTINGS: &str = "`onhook config defaults` shows every setting with what it means";
