//! Every call ends: what the sweeper makes of calls whose webhooks are lost.

mod figures;
mod repair;
