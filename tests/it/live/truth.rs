//! What the phones know of a call, compared with what the database says of it.

use super::{
    gateway::Gateway,
    line::{PATIENCE, now_ms},
};
use chrono::DateTime;
use serde_json::Value;
use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};
use tokio::time::{sleep, timeout};

/// A call as a whole, or one dialed leg of it.
#[derive(Clone, Debug)]
pub struct Row {
    who: Who,
    status: &'static str,
    answered_ms: Option<i64>,
    end: End,
    talk_ms: Option<i64>,
    cause: Option<&'static str>,
    lead: Option<&'static str>,
    legs: Vec<Row>,
    merged: bool,
}

#[derive(Clone, Debug)]
enum Who {
    /// By the caller's and the called number, and how many such calls came before it.
    Call(String, String, usize),
    /// By its extension (or the number it was dialed by), and how many such legs of the call came before it.
    Leg(String, usize),
}

#[derive(Clone, Debug)]
enum End {
    /// Still going on.
    Live,
    /// We were told.
    Told(i64),
    /// We were not there: it lies somewhere in between.
    Missed(RangeInclusive<i64>),
    /// Either: it ended while somebody was pulling the plug.
    Somehow(i64),
}

/// A call from one number to another.
pub fn call(from: &str, to: &str) -> Row {
    Row::new(Who::Call(from.to_owned(), to.to_owned(), 0))
}

/// A dialed leg.
pub fn leg(extension: &str) -> Row {
    Row::new(Who::Leg(extension.to_owned(), 0))
}

impl Row {
    const fn new(who: Who) -> Self {
        Self {
            who,
            status: "",
            answered_ms: None,
            end: End::Live,
            talk_ms: None,
            cause: None,
            lead: None,
            legs: Vec::new(),
            merged: false,
        }
    }

    /// Not the first of its kind, but the one after so many.
    pub fn after(mut self, count: usize) -> Self {
        match &mut self.who {
            Who::Call(_, _, turn) | Who::Leg(_, turn) => *turn = count,
        }
        self
    }

    pub const fn rings(mut self) -> Self {
        self.status = "ringing";
        self
    }

    pub const fn talks(mut self, answered_ms: i64) -> Self {
        (self.status, self.answered_ms) = ("in-progress", Some(answered_ms));
        self
    }

    /// Was answered, and ended as we were told.
    pub const fn completed(mut self, answered_ms: i64, ended_ms: i64) -> Self {
        (self.status, self.answered_ms, self.end) = ("completed", Some(answered_ms), End::Told(ended_ms));
        (self.talk_ms, self.cause) = (Some(ended_ms - answered_ms), Some("normal"));
        self
    }

    /// Was never answered, and ended as we were told.
    pub const fn ended(mut self, status: &'static str, ended_ms: i64) -> Self {
        (self.status, self.end) = (status, End::Told(ended_ms));
        self
    }

    /// Ended when nobody listened; an answer before that we had heard.
    pub fn missed(mut self, status: &'static str, answered_ms: Option<i64>, between: RangeInclusive<i64>) -> Self {
        (self.status, self.answered_ms, self.end) = (status, answered_ms, End::Missed(between));
        self
    }

    /// Was answered, and ended in the moment when somebody stopped listening.
    pub const fn completed_somehow(mut self, answered_ms: i64, ended_ms: i64) -> Self {
        (self.status, self.answered_ms, self.end) = ("completed", Some(answered_ms), End::Somehow(ended_ms));
        self
    }

    pub const fn cause(mut self, cause: &'static str) -> Self {
        self.cause = Some(cause);
        self
    }

    pub const fn talked(mut self, ms: i64) -> Self {
        self.talk_ms = Some(ms);
        self
    }

    pub const fn lead(mut self, lead: &'static str) -> Self {
        self.lead = Some(lead);
        self
    }

    /// Became part of another call.
    pub const fn merged(mut self) -> Self {
        self.merged = true;
        self
    }

    pub fn legs<const N: usize>(mut self, legs: [Self; N]) -> Self {
        self.legs = legs.into();
        self
    }

    /// What differs in the calls that the gateway knows; the ids of the rows that were found go to `seen`.
    fn differences(&self, calls: &[Value], parent: Option<&str>, seen: &mut BTreeSet<String>) -> Vec<String> {
        let Some(row) = self.find(calls, parent) else { return vec![format!("{:?} is not there", self.who)] };
        seen.insert(text(row, "id").to_owned());
        let mut found = self.compare(row);
        let id = text(row, "provider_id");
        found.extend(self.legs.iter().flat_map(|leg| leg.differences(calls, Some(id), seen)));
        let named: Vec<String> = found.into_iter().map(|what| format!("{:?}: {what}", self.who)).collect();
        named
    }

    fn find<'a>(&self, calls: &'a [Value], parent: Option<&str>) -> Option<&'a Value> {
        let is_it = |row: &&Value| match &self.who {
            Who::Call(from, to, _) => row["parent_id"].is_null() && text(row, "from") == from && text(row, "to") == to,
            Who::Leg(extension, _) => {
                row["parent_id"].as_str() == parent
                    && (text(row, "extension") == extension || text(row, "to") == extension)
            }
        };
        let mut rows: Vec<&Value> = calls.iter().filter(is_it).collect();
        rows.sort_by_key(|row| (moment(row, "created_at"), text(row, "id").to_owned()));
        let (Who::Call(_, _, turn) | Who::Leg(_, turn)) = self.who;
        rows.get(turn).copied()
    }

    fn compare(&self, row: &Value) -> Vec<String> {
        let mut found = Vec::new();
        let mut differ = |what: &str, is: &Value, wanted: String| {
            found.push(format!("{what} is {is}, wanted {wanted}"));
        };
        if self.merged {
            if row["merged_into"].is_null() {
                differ("merged_into", &Value::Null, "another call".to_owned());
            }
            return found;
        }
        if row["status"] != self.status {
            differ("status", &row["status"], self.status.to_owned());
        }
        if !near(moment(row, "answered_at"), self.answered_ms) {
            differ("answered_at", &row["answered_at"], shown(self.answered_ms));
        }
        if let Some(cause) = self.cause.filter(|cause| row["hangup_cause"] != *cause) {
            differ("hangup_cause", &row["hangup_cause"], cause.to_owned());
        }
        if let Some(lead) = self.lead.filter(|lead| row["lead_id"] != *lead) {
            differ("lead_id", &row["lead_id"], lead.to_owned());
        }
        let talk = row["talk_seconds"].as_i64();
        if let Some(wanted) = self.talk_ms.filter(|wanted| !near(talk.map(|s| s * 1000), Some(*wanted))) {
            differ("talk_seconds", &row["talk_seconds"], format!("{wanted} ms"));
        }
        found.extend(self.compare_end(row));
        found
    }

    fn compare_end(&self, row: &Value) -> Vec<String> {
        let (ended, latest) = (moment(row, "ended_at"), moment(row, "ended_at_max"));
        let known = (row["resolution"].as_str(), row["estimated"].as_bool());
        let holds = match &self.end {
            End::Live => ended.is_none() && known.0.is_none(),
            End::Told(at) => near(ended, Some(*at)) && known == (Some("callback"), Some(false)),
            End::Missed(between) => {
                // The truth lies within what is shown, and what is shown within what can be known.
                let earliest =
                    ended.is_some_and(|ms| ms >= between.start() - TOLERANCE_MS && ms <= between.end() + TOLERANCE_MS);
                let bounded =
                    latest.is_some_and(|ms| ms >= between.start() - TOLERANCE_MS && ms <= between.end() + TOLERANCE_MS);
                earliest && bounded && known == (Some("reconciled"), Some(true))
            }
            End::Somehow(at) => ended.is_some_and(|ms| (ms - at).abs() <= TOLERANCE_MS) && known.0.is_some(),
        };
        let is = ["ended_at", "ended_at_max", "resolution", "estimated"].map(|name| format!("{name} {}", row[name]));
        if holds { Vec::new() } else { vec![format!("it ended: {}; wanted {}", is.join(", "), self.end.shown())] }
    }
}

impl End {
    fn shown(&self) -> String {
        match self {
            Self::Live => "a live call".to_owned(),
            Self::Told(at) => format!("told at {}", shown(Some(*at))),
            Self::Missed(between) => {
                format!("estimated from {} to {}", shown(Some(*between.start())), shown(Some(*between.end())))
            }
            Self::Somehow(at) => format!("somehow at {}", shown(Some(*at))),
        }
    }
}

/// Waits until each gateway shows these calls, and no others.
pub async fn compare(gateways: &[Gateway; 2], rows: &[Row]) {
    for gateway in gateways {
        let mut found = vec!["nothing was compared".to_owned()];
        let agreed = timeout(PATIENCE, async {
            while !found.is_empty() {
                sleep(Duration::from_millis(50)).await;
                found = differences(&gateway.calls().await, rows);
            }
        });
        if agreed.await.is_err() {
            fail(gateway, &found).await;
        }
    }
}

/// For how long these calls are not as they should be from now on, in milliseconds; other calls may be there.
pub async fn until_so(gateway: &Gateway, rows: &[Row]) -> i64 {
    let began_ms = now_ms();
    let mut found = Vec::new();
    let agreed = timeout(PATIENCE, async {
        loop {
            let calls = gateway.calls().await;
            found = rows.iter().flat_map(|row| row.differences(&calls, None, &mut BTreeSet::new())).collect();
            if found.is_empty() {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    });
    if agreed.await.is_err() {
        fail(gateway, &found).await;
    }
    now_ms() - began_ms
}

async fn fail(gateway: &Gateway, found: &[String]) -> ! {
    let (calls, log) = (gateway.calls().await, gateway.log());
    let calls: Vec<String> = calls.iter().map(Value::to_string).collect();
    panic!("on {}:\n{}\n\n{}\n\n{log}", gateway.place.url, found.join("\n"), calls.join("\n"));
}

fn differences(calls: &[Value], rows: &[Row]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut found: Vec<String> = rows.iter().flat_map(|row| row.differences(calls, None, &mut seen)).collect();
    let strange = calls.iter().filter(|row| !seen.contains(text(row, "id")));
    found.extend(strange.map(|row| format!("nobody made this call: {row}")));
    found
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or_default()
}

fn moment(row: &Value, name: &str) -> Option<i64> {
    row[name].as_str().map(|text| DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis())
}

fn near(is: Option<i64>, wanted: Option<i64>) -> bool {
    match (is, wanted) {
        (Some(is), Some(wanted)) => (is - wanted).abs() <= TOLERANCE_MS,
        (is, wanted) => is.is_none() && wanted.is_none(),
    }
}

fn shown(ms: Option<i64>) -> String {
    let time = ms.and_then(DateTime::from_timestamp_millis);
    time.map_or_else(|| "none".to_owned(), |time| time.format("%T%.3f").to_string())
}

/// How far the database may be from what the phones saw.
const TOLERANCE_MS: i64 = 1_000;
