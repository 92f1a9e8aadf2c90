//! Every call ends: what the sweeper makes of calls whose webhooks are lost.

mod clock;
mod figures;
mod late;
mod nobody;
mod nodes;
mod outage;
mod races;
mod random;
mod repair;
mod scene;
mod simulation;
mod unknown;
