//! Every capture, played byte for byte by the scripted Asterisk to a real gateway, ends as it did.

use super::expected::CAPTURES;
use crate::support::{database::TestDatabase, patience::until, pbx::PbxStage};
use onhook::{
    clock::ManualClock,
    domain::time::SECOND,
    pbx_double::{Double, Play, Setup, Tape},
};
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::PathBuf};

/// Makes of each capture two tests: `name::sqlite` and `name::postgres`, and says which there are.
macro_rules! captures {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::replay(stringify!($name), &crate::support::database::TestDatabase::sqlite().await).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::replay(stringify!($name), &crate::support::database::TestDatabase::postgres().await).await;
            }
        })+
        const TESTED: &[&str] = &[$(stringify!($name)),+];
    };
}

captures!(
    answered_caller_hangs_up,
    answered_callee_hangs_up,
    busy_486,
    no_answer_timeout,
    unavailable_480,
    congestion_503,
    failed_404,
    failed_unregistered,
    no_such_extension_no_events,
    failed_congestion_app,
    caller_cancels_ringing,
    ivr_then_dial_no_answer,
    parallel_ring_one_answers,
    parallel_ring_no_answer,
    parallel_ring_one_busy_one_answers,
    sequential_ring,
    queue_answered,
    queue_timeout,
    app_echo,
    conference_two,
    userevent,
    hold_unhold,
    blind_transfer_by_callee,
    blind_transfer_ami,
    attended_transfer,
    call_forward_302,
    trunk_out_answered,
    trunk_out_busy,
    trunk_in_answered,
    odd_variable_values,
    hangup_action_answered,
    hangup_action_errors,
    hangup_by_uniqueid,
    originate_click_to_call,
    originate_second_leg_no_answer,
    originate_trunk_answered,
    originate_busy,
    originate_no_answer,
    originate_unregistered,
    originate_errors,
    originate_sync_success,
    originate_local,
    originate_canceled,
    originate_duplicate_channelid,
    local_answer,
    local_ring_answer,
    local_busy,
    local_congestion,
    local_dial_answer,
    local_dial_busy,
    local_dial_parallel,
    login_md5,
    login_fail_bad_secret,
    login_fail_no_user,
    action_before_login,
    login_events_off,
    login_timeout,
    line_too_long,
    long_actionid,
    too_many_headers,
    request_tolerance,
    command_output,
    answered_limited_user,
    answered_filtered_user,
    state_queries_idle,
    coreshowchannels_midcall,
    status_variables_midcall,
    registrations,
    asterisk_frozen_midcall,
    cut_then_call_ended,
    cut_then_call_still_up,
    cut_while_ringing_then_answered,
    asterisk_restart_midcall,
    login_during_boot,
    answered_with_timestamps,
    tls_login,
);

#[test]
fn every_capture_is_tested() {
    let index = fs::read_to_string(file("INDEX.tsv")).unwrap();
    let names: Vec<&str> = index.lines().skip(1).filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(names, TESTED);
    assert_eq!(names, CAPTURES.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    // The index was written by who made the captures: each call it names has its word here.
    for (line, (name, rows)) in index.lines().skip(1).zip(CAPTURES) {
        let word = line.split('\t').nth(1).unwrap().split(['(', ';', ' ', ',']).next().unwrap();
        let none = word.is_empty() || *name == "tls_login";
        let told = rows.iter().any(|row| row.starts_with("call ") && row.contains(&format!(" {word} ")));
        assert!(none == rows.is_empty() && (none || told), "{name}: {line}: {rows:?}");
    }
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/ami").join(name)
}

/// The phone of each channel of a capture, by its id.
fn phones(bytes: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(bytes);
    let phone = |message: &str| {
        let get = |key: &str| message.lines().find_map(|line| line.trim_end().strip_prefix(key)).map(str::to_owned);
        let (channel, id) = (get("Channel: ")?, get("Uniqueid: ")?);
        let phone =
            channel.split_once('/').map_or("", |(_, rest)| rest).rsplit_once('-').map_or("", |(phone, _)| phone);
        Some((id, if channel.starts_with("Local/") { "Local".to_owned() } else { phone.to_owned() }))
    };
    let begins =
        |message: &&str| message.contains("Event: Newchannel\r\n") || message.contains("Event: CoreShowChannel\r\n");
    text.split("\r\n\r\n").filter(begins).filter_map(phone).collect()
}

/// A call as the table writes it.
fn line(call: &Value, phones: &BTreeMap<String, String>) -> String {
    let text = |key: &str| call[key].as_str().unwrap_or("-");
    let kind = if call["parent_id"].is_null() { "call" } else { "leg" };
    let phone = phones.get(text("provider_id")).map_or("?", String::as_str);
    let estimated = if call["estimated"] == true { "~" } else { "" };
    let talk = call["talk_seconds"].as_i64().map_or_else(|| "-".to_owned(), |seconds| seconds.to_string());
    let merged = if call["merged_into"].is_null() { "" } else { " merged" };
    let (status, cause, how) = (text("status"), text("hangup_cause"), text("resolution"));
    format!("{kind} {phone} {status} {cause} {how}{estimated} {talk}{merged}")
}

async fn replay(name: &str, at: &TestDatabase) {
    let bytes = fs::read(file(&format!("{name}.txt"))).unwrap();
    let times = fs::read_to_string(file(&format!("{name}.ts.tsv"))).unwrap();
    let tape = Tape::parse(&bytes, &times).unwrap();
    let (start_ms, second_ms, end_ms) = (tape.start_ms(0).unwrap(), tape.start_ms(1), tape.end_ms().unwrap());
    let logs_in = tape.login().is_some_and(|login| login.get("Response") == Some("Success"));
    let clock = ManualClock::new(start_ms);
    let double = Double::of(Setup::default(), Play::Tape(Box::new(tape)));
    let stage = PbxStage::with(&at.place, &[], double, clock.clone()).await;
    if logs_in {
        stage.in_sync(1).await;
    }
    if let Some(second_ms) = second_ms {
        stage.turn(second_ms - 1).await;
        clock.set(second_ms);
        stage.in_sync(2).await;
    }
    stage.turn(end_ms).await;
    assert!(
        !logs_in || stage.server.with(|double| double.tape().unwrap().is_over()),
        "{name}: not all of it was played"
    );
    // A call is told as ended two seconds after its last leg.
    clock.set(end_ms + 3 * SECOND);
    let phones = phones(&bytes);
    let (_, rows) = CAPTURES.iter().find(|(capture, _)| *capture == name).unwrap();
    let mut expected: Vec<String> = rows.iter().map(|row| (*row).to_owned()).collect();
    expected.sort();
    until(name, || async {
        let calls = stage.calls().await;
        let mut lines: Vec<String> = calls.iter().map(|call| line(call, &phones)).collect();
        lines.sort();
        let shown = || format!("came to\n  {}\nnot\n  {}", lines.join("\n  "), expected.join("\n  "));
        if lines == expected { Ok(()) } else { Err(shown()) }
    })
    .await;
    if !logs_in {
        until("the gateway to have tried", || async {
            let tried = stage.server.with(|double| double.asked().count());
            if tried > 0 { Ok(()) } else { Err("nothing was asked".to_owned()) }
        })
        .await;
    }
    stage.gateway.stop().await;
}
