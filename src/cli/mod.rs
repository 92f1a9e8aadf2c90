//! The command line: one tree of commands, stable exit codes, JSON everywhere for programs.
//!
//! Commands that look at or change calls, leads, runs, keys, accounts and tenants work on the configured database directly,
//! beside a running server: there is nothing in the server that they would have to tell.

mod accounts;
mod ami;
mod audit;
mod backfill;
mod calls;
mod check;
mod demo;
mod desk;
mod do_not_call;
mod doctor;
mod exit;
mod healthcheck;
mod identity;
mod import;
mod keys;
mod leads;
mod lint;
mod notifications;
mod out;
mod page;
mod quarantine;
mod replay;
mod report;
mod runs;
mod send;
mod serve;
mod settings;
mod simulate;
mod stats;
mod stuck;
mod sweep;
mod tenants;
mod tokens;
mod verify;
mod view;
mod voice;

pub use exit::Exit;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};
use desk::{Desk, Settings};
use out::Out;
use std::process::ExitCode;

/// Makes every phone call end with the truth: a gateway between Twilio, Asterisk and your CRM
#[derive(Debug, Parser)]
#[command(name = "onhook", version, propagate_version = true, max_term_width = 110, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    settings: Settings,
}

const EXAMPLES: &str = "\
Examples:
  onhook demo                      see it work, with nothing set up
  onhook serve                     start on SQLite in this folder
  onhook calls list --live         what is going on

Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 not found, 4 signature refused, 5 findings, 6 unavailable";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Demo(demo::Demo),
    Replay(replay::Replay),
    Simulate(simulate::Simulate),
    Sweep(sweep::Sweep),
    Stuck(stuck::Stuck),
    Check(check::Check),
    Verify(verify::Verify),
    Lint(lint::Lint),
    Doctor(doctor::Doctor),
    #[command(subcommand)]
    Calls(calls::Calls),
    #[command(subcommand)]
    Leads(leads::Leads),
    #[command(subcommand)]
    Runs(runs::Runs),
    #[command(subcommand)]
    DoNotCall(do_not_call::DoNotCall),
    #[command(subcommand)]
    Tenants(tenants::Tenants),
    #[command(subcommand)]
    Accounts(accounts::Accounts),
    #[command(subcommand)]
    Ami(ami::Ami),
    #[command(subcommand)]
    Keys(keys::Keys),
    #[command(subcommand)]
    Voice(voice::Voice),
    #[command(subcommand)]
    Quarantine(quarantine::Quarantine),
    Stats(stats::Stats),
    #[command(subcommand)]
    Report(report::Report),
    Notifications(notifications::Notifications),
    Audit(audit::Audit),
    Backfill(backfill::BackfillCalls),
    Migrate(settings::Migrate),
    #[command(subcommand)]
    Config(settings::Config),
    Openapi(settings::Openapi),
    Healthcheck(healthcheck::Healthcheck),
    Completions(settings::Completions),
}

/// The whole command line of this process.
pub fn main() -> ExitCode {
    // The TLS of outgoing requests; it can be installed once, and this is the first line of the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match Cli::try_parse() {
        Ok(cli) => run(cli).into(),
        Err(shown) => {
            // Help and version are printed the same way, and are no mistakes.
            let _ = shown.print();
            if shown.use_stderr() { Exit::Usage } else { Exit::Ok }.into()
        }
    }
}

/// The tree of commands, for completions and documentation.
pub fn tree() -> clap::Command {
    Cli::command()
}

fn run(cli: Cli) -> Exit {
    let out = Out::new(cli.settings.json);
    let done = tokio::runtime::Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| {
        let done = runtime.block_on(dispatch(cli, out));
        // A prompt or a file that is still being read must not hold up the end.
        runtime.shutdown_background();
        done
    });
    done.unwrap_or_else(|error| exit::report(&out, &error))
}

async fn dispatch(cli: Cli, out: Out) -> Result<Exit> {
    let settings = cli.settings;
    match cli.command {
        Command::Serve(serve) => serve.run(out, settings).await,
        Command::Demo(demo) => demo.run(out).await,
        Command::Replay(replay) => replay.run(out, settings).await,
        Command::Simulate(simulate) => simulate.run(out, settings).await,
        Command::Sweep(sweep) => sweep.run(Desk::open(out, settings)?).await,
        Command::Stuck(stuck) => stuck.run(Desk::open(out, settings)?).await,
        Command::Check(check) => check.run(Desk::open(out, settings)?).await,
        Command::Verify(verify) => verify.run(Desk::open(out, settings)?).await,
        Command::Lint(lint) => lint.run(Desk::open(out, settings)?).await,
        Command::Doctor(doctor) => doctor.run(Desk::open(out, settings)?).await,
        Command::Calls(calls) => calls.run(Desk::open(out, settings)?).await,
        Command::Leads(leads) => leads.run(Desk::open(out, settings)?).await,
        Command::Runs(runs) => runs.run(Desk::open(out, settings)?).await,
        Command::DoNotCall(list) => list.run(Desk::open(out, settings)?).await,
        Command::Tenants(tenants) => tenants.run(Desk::open(out, settings)?).await,
        Command::Accounts(accounts) => accounts.run(Desk::open(out, settings)?).await,
        Command::Ami(ami) => ami.run(Desk::open(out, settings)?).await,
        Command::Keys(keys) => keys.run(Desk::open(out, settings)?).await,
        Command::Voice(voice) => voice.run(Desk::open(out, settings)?).await,
        Command::Quarantine(quarantine) => quarantine.run(Desk::open(out, settings)?).await,
        Command::Stats(stats) => stats.run(Desk::open(out, settings)?).await,
        Command::Report(report) => report.run(Desk::open(out, settings)?).await,
        Command::Notifications(notifications) => notifications.run(Desk::open(out, settings)?).await,
        Command::Audit(audit) => audit.run(Desk::open(out, settings)?).await,
        Command::Backfill(backfill) => backfill.run(Desk::open(out, settings)?).await,
        Command::Migrate(migrate) => migrate.run(Desk::open(out, settings)?).await,
        Command::Config(config) => config.run(out, settings),
        Command::Openapi(openapi) => openapi.run(out),
        Command::Healthcheck(healthcheck) => healthcheck.run(out, settings).await,
        Command::Completions(completions) => completions.run(),
    }
}
