//! Outbound runs: what people do to them, who may dial them, how they are dialed, and who ends them.

mod desk;
mod dialing;
mod faults;
mod following;
mod following_stories;
mod forgetting;
mod handing_out;
mod hanging_up;
mod import;
mod leases;
mod office;
mod reaper;
mod reports;
mod resolving;
mod said;
mod scene;
mod stage;
mod stopping;
mod twilio;
mod worker;
