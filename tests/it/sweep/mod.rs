//! Every call ends: what the sweeper makes of calls whose webhooks are lost.

mod figures;
mod late;
mod outage;
mod races;
mod repair;
mod scene;
mod unknown;
