//! The one integration binary. Its modules mirror the rooms of the house.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod config;
mod directory;
mod durability;
mod ingest;
mod stories;
mod store;
mod support;
mod tidy;
mod twilio;
mod webhooks;
