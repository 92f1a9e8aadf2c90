//! The sweeper: looks after live calls whose next webhook is overdue. It asks the provider before it decides anything, and
//! submits what the provider said through the one door; only what nobody can say is inferred.

mod report;
mod source;
mod twilio;

pub use report::{Change, Chosen, Report, Request, Skipped};
pub use source::{SourceParts, Sources};
pub use twilio::{LISTED_MAX, TwilioSource};
