//! onhook: a gateway that makes every phone call end with the truth.
//!
//! A provider sends a **delivery** (raw, as received), it is read as a **signal** (what happened, provider-neutral),
//! the call answers with a **step**, the step is written to the **timeline**, and what is owed to the outside goes to
//! the outbox as an **effect**. The modules stand in dependency order; `docs/architecture.md` is the plan of the house.

pub mod domain;

pub mod clock;
pub mod fields;
pub mod provider;
pub mod table;
pub mod telemetry;

pub mod config;
pub mod story;
pub mod twilio;

pub mod ami;

pub mod double;
pub mod pbx_double;

pub mod store;
pub mod transaction;

pub mod audit;

pub mod runs;
pub mod seal;

pub mod directory;

pub mod event_batch;
pub mod explain;
pub mod health;
pub mod housekeeping;
pub mod ingest;
pub mod leads;
pub mod pbx;
pub mod quarantine;
pub mod report;
pub mod sweep;
pub mod voice;

pub mod check;

pub mod http;

pub mod app;
pub mod cli;
