//! `onhook ami doctor`: is a PBX set up so that its calls can be followed, and for no more than that?

use super::{
    conf,
    examine::examine,
    known::{Known, Which, all},
};
use crate::{
    ami::{
        client::{Down, DownKind},
        doctor::{Judged, Weight, judge},
    },
    cli::{
        desk::Desk,
        exit::Exit,
        out::{Out, Tone, printable},
    },
};
use anyhow::Result;
use clap::Args;
use rand::{SeedableRng, rngs::StdRng};
use serde::Serialize;
use serde_json::json;
use std::time::Duration;

/// Check the rights and settings of a PBX, and print the manager.conf that should be there; exit code 5 on findings
///
/// It logs in with a connection of its own, asks what its user may do (write=), whether channel lists, CDR variables and
/// event times can be had, compares the clocks, and listens for a while which events come (read=). It changes nothing and
/// takes no lease. What is too much counts as a finding too: with system, config or command in write= every secret of the
/// PBX can be read. Exit code 6: nobody answers there.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook ami doctor
  onhook ami doctor pbx1 --listen 30s
  onhook ami doctor --url amis://pbx --user onhook --secret-file s.txt --ca-file ca.pem")]
pub struct Doctor {
    #[command(flatten)]
    which: Which,
    /// How long to listen for events, from 0s to 10m
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = listen)]
    listen: Duration,
}

/// What was found of one PBX.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Report {
    /// Its name, or its address.
    pub account: String,
    /// What was looked at.
    pub checks: Vec<Judged>,
    /// Whether nobody answers there.
    pub unavailable: bool,
    /// What should be in its manager.conf, if something is to be changed there.
    pub manager_conf: Option<String>,
}

impl Doctor {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let known = self.which.find(desk).await?;
        let reports = look_at(desk, &known, self.listen).await;
        let count = |weight| reports.iter().flat_map(|r| &r.checks).filter(|check| check.weight == weight).count();
        let (findings, unknown) = (count(Weight::Finding), count(Weight::Unknown));
        let value = json!({ "pbxs": reports, "findings": findings, "unknown": unknown });
        desk.out.show(&value, || text(&desk.out, &reports, (findings, unknown)))?;
        Ok(match (reports.iter().any(|report| report.unavailable), findings) {
            (true, _) => Exit::Unavailable,
            (false, 0) => Exit::Ok,
            (false, _) => Exit::Findings,
        })
    }
}

/// Every PBX of the tenant that is connected to, for `onhook doctor`.
pub(in crate::cli) async fn examine_all(desk: &mut Desk, tenant: &str, listen: Duration) -> Result<Vec<Report>> {
    let known = all(desk, tenant).await?;
    Ok(look_at(desk, &known, listen).await)
}

async fn look_at(desk: &mut Desk, known: &[Known], listen: Duration) -> Vec<Report> {
    let mut reports = Vec::new();
    for one in known {
        let rng = StdRng::from_rng(&mut desk.rng);
        let (checks, unavailable) = match examine(&one.line, listen, desk.clock.clone(), rng).await {
            Ok(found) => (judge(&found), false),
            Err(down) => (vec![no_connection(&down, one)], down.kind == DownKind::Unreachable),
        };
        let wrong = checks.iter().any(|check| check.weight == Weight::Finding);
        let manager_conf = wrong.then(|| conf::for_line(&one.line, &mut desk.rng));
        reports.push(Report { account: one.name.clone(), checks, unavailable, manager_conf });
    }
    reports
}

fn no_connection(down: &Down, known: &Known) -> Judged {
    let address = &known.line.address;
    let next = match down.kind {
        DownKind::Unreachable => format!(
            "see that Asterisk runs, that manager.conf has enabled = yes and a bindaddr that is reached from here, and that \
             the firewall lets port {} through from this machine only",
            address.port
        ),
        DownKind::Refused => format!(
            "see that [{}] is in manager.conf with this secret, and that its permit= names this machine; Asterisk says the \
             same of all three (its log has more), and after a change wants `asterisk -rx \"manager reload\"`",
            known.line.user
        ),
        DownKind::Tls => {
            "give the certificate of the CA (ca_pem, --ca-file, ONHOOK_AMI_CA_FILE) that signed that of the PBX, and \
                          write its host in url as the certificate has it"
                .to_owned()
        }
        DownKind::Garbage => format!("see what listens at {address}: it is no manager port; TLS is amis://, port 5039"),
        DownKind::Closed | DownKind::Silent | DownKind::Behind | DownKind::Stopped => {
            "try again; if it stays so, look at the log of Asterisk for the user and at the network between".to_owned()
        }
    };
    let what = format!("{address}: failed to {}", down.detail);
    Judged { name: "connection", weight: Weight::Finding, what, next }
}

fn text(out: &Out, reports: &[Report], (findings, unknown): (usize, usize)) -> String {
    let mut lines = Vec::new();
    for report in reports {
        lines.push(out.paint(Tone::Strong, &printable(&report.account)));
        for check in &report.checks {
            let (mark, tone) = match check.weight {
                Weight::Good => ("✓", Tone::Good),
                Weight::Finding => ("✗", Tone::Bad),
                Weight::Unknown => ("?", Tone::Strong),
            };
            lines.push(format!("{} {}: {}", out.paint(tone, mark), check.name, printable(&check.what)));
            if !check.next.is_empty() {
                lines.push(format!("    next: {}", printable(&check.next)));
            }
        }
        if let Some(conf) = &report.manager_conf {
            lines.push(format!("\nThis should be in manager.conf:\n\n{conf}"));
        }
    }
    lines.push(match (findings, unknown) {
        (0, 0) => "all is well".to_owned(),
        (findings, unknown) => format!("findings: {findings}, could not be checked: {unknown}"),
    });
    lines.join("\n")
}

fn listen(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).ok().filter(|span| *span <= LISTEN_MAX);
    span.ok_or_else(|| "a time from 0s to 10m is allowed, such as 30s".to_owned())
}

const LISTEN_MAX: Duration = Duration::from_secs(600);
