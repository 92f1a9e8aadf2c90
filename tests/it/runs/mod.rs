//! Outbound runs.

mod dialing;
mod faults;
mod hanging_up;
mod resolving;
mod scene;
mod stopping;
mod twilio;
mod following;
mod following_stories;
mod stage;
