//! The one integration binary. Its modules mirror the rooms of the house.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod alerts;
mod ami;
mod app;
mod asking;
mod callbacks_page;
mod cli;
mod config;
mod directory;
mod docs;
mod double;
mod durability;
mod forget;
mod health;
mod http;
mod ingest;
mod live;
mod merged;
mod pbx;
mod pbx_double;
mod quarantine;
mod recipe;
mod retention;
mod runs;
mod soak;
mod store;
mod stories;
mod support;
mod sweep;
mod tidy;
mod twilio;
mod voice;
mod webhooks;
