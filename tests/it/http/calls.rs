//! One call and what belongs to it; announcing calls.

use super::{Asked, add_account, callback, column, expect_problem, request, send, sid, wrong_fields};
use crate::support::gateway::{ACCOUNT, Gateway, START_MS, on_both_gateways};
use onhook::domain::time::rfc3339;
use reqwest::Method;
use serde_json::{Value, json};

on_both_gateways!(
    a_call_is_shown_as_the_contract_says,
    a_call_is_found_by_either_id,
    the_parts_of_a_call_come_in_pages,
    two_accounts_with_one_provider_id_are_ambiguous,
    a_silent_call_is_stuck,
    an_announced_call_is_known_at_once,
    a_call_can_be_announced_before_it_has_an_id,
    a_wrong_announcement_names_its_fields,
    an_announcement_without_an_account_needs_a_single_one,
);

async fn announce(gateway: &Gateway, body: Value) -> Asked {
    send(request(gateway, Method::POST, "/v1/calls").json(&body)).await
}

async fn a_call_is_shown_as_the_contract_says(gateway: Gateway) {
    let call = sid(1);
    let at = |seconds: i64| {
        ("Timestamp", chrono::DateTime::from_timestamp_millis(START_MS + seconds * 1_000).unwrap().to_rfc2822())
    };
    let said =
        |at: (&'static str, String), sequence: &'static str| [(at.0, at.1), ("SequenceNumber", sequence.to_owned())];
    for (seconds, status, sequence) in [(0, "initiated", "0"), (2, "ringing", "1"), (3, "in-progress", "2")] {
        let more = said(at(seconds), sequence);
        let more: Vec<(&str, &str)> = more.iter().map(|(n, v)| (*n, v.as_str())).collect();
        callback(&gateway, &call, status, "lead_id=lead-42", &more).await;
    }
    let live = gateway.get(&format!("/v1/calls/{call}")).await;
    assert_eq!((live["status"].as_str(), live["resolution"].is_null()), (Some("in-progress"), true));
    assert_eq!(live["due_at"], rfc3339(START_MS + 60_000));
    let more = said(at(20), "3");
    let mut more: Vec<(&str, &str)> = more.iter().map(|(n, v)| (*n, v.as_str())).collect();
    more.extend([
        ("CallDuration", "17"),
        ("AnsweredBy", "human"),
        ("RecordingUrl", "https://api.twilio.com/RE1"),
        ("RecordingDuration", "15"),
    ]);
    callback(&gateway, &call, "completed", "lead_id=lead-42", &more).await;

    let response = request(&gateway, Method::GET, &format!("/v1/calls/{call}")).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    let text = response.text().await.unwrap();
    let shown: Value = serde_json::from_str(&text).unwrap();
    let id = shown["id"].as_str().unwrap();
    assert!(id.starts_with("call_"));
    // The order of the fields is the contract's.
    let second = |n: i64| rfc3339(START_MS + n * 1_000);
    let expected = format!(
        r#"{{"id":"{id}","provider":"twilio","account":"{ACCOUNT}","provider_id":"{call}","parent_id":null,"merged_into":null,"direction":"outbound-api","from":"+14155550100","to":"+14155550101","extension":null,"user_id":null,"lead_id":"lead-42","run_id":null,"status":"completed","resolution":"callback","estimated":false,"ended_at_max":null,"hangup_cause":"normal","created_at":"{}","initiated_at":"{}","ringing_at":"{}","answered_at":"{}","ended_at":"{}","duration_seconds":20,"talk_seconds":17,"answered_by":"human","recording":{{"url":"https://api.twilio.com/RE1","duration_seconds":15}},"stuck":null,"due_at":null,"last_signal_at":"{}","deliveries":4,"verified":true}}"#,
        second(0),
        second(0),
        second(2),
        second(3),
        second(20),
        second(0),
    );
    assert_eq!(text, expected);
}

async fn a_call_is_found_by_either_id(gateway: Gateway) {
    callback(&gateway, &sid(1), "ringing", "", &[]).await;
    let shown = gateway.get(&format!("/v1/calls/{}", sid(1))).await;
    let by_ours = gateway.get(&format!("/v1/calls/{}", shown["id"].as_str().unwrap())).await;
    assert_eq!(shown, by_ours);
    assert_eq!(gateway.get(&format!("/v1/calls/{}?account={ACCOUNT}", sid(1))).await, shown);
    let missing = [
        sid(2),
        "call_00000000000000000000000000".into(),
        "%00".into(),
        "a%0Ab".into(),
        "%FF".into(),
        "x".repeat(5_000),
    ];
    for missing in missing {
        for part in ["", "/timeline", "/deliveries", "/legs"] {
            let asked = send(request(&gateway, Method::GET, &format!("/v1/calls/{missing}{part}"))).await;
            expect_problem(&asked, 404, "not-found");
        }
    }
    let of_nobody = send(request(&gateway, Method::GET, &format!("/v1/calls/{}?account=AC0", sid(1)))).await;
    expect_problem(&of_nobody, 404, "not-found");
    assert!(gateway.metrics.render().contains("tenant_crossing"), "counted only for what another tenant has");
}

async fn the_parts_of_a_call_come_in_pages(gateway: Gateway) {
    let root = sid(1);
    for status in ["initiated", "ringing", "in-progress", "completed"] {
        gateway.clock.advance(1_000);
        callback(&gateway, &root, status, "", &[]).await;
    }
    for leg in 2..=4 {
        callback(&gateway, &sid(leg), "ringing", "", &[("ParentCallSid", &root)]).await;
    }
    let walk = async |part: &str, field: &str| {
        let (mut seen, mut cursor): (Vec<String>, Option<String>) = (Vec::new(), None);
        loop {
            let next = cursor.map(|c| format!("&cursor={c}")).unwrap_or_default();
            let page = gateway.get(&format!("/v1/calls/{root}/{part}?limit=1{next}")).await;
            let rows = page["data"].as_array().unwrap();
            assert!(rows.len() <= 1);
            seen.extend(rows.iter().map(|row| row[field].as_str().unwrap().to_owned()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return seen,
            }
        }
    };
    assert_eq!(walk("timeline", "to").await, ["initiated", "ringing", "in-progress", "completed"]);
    assert_eq!(walk("deliveries", "method").await, ["POST"; 4]);
    assert_eq!(walk("legs", "provider_id").await, [sid(1), sid(2), sid(3), sid(4)]);

    let timeline = gateway.get(&format!("/v1/calls/{root}/timeline")).await;
    let deliveries = gateway.get(&format!("/v1/calls/{root}/deliveries")).await;
    let first = &timeline["data"][0];
    assert_eq!(first["delivery_id"], deliveries["data"][0]["id"]);
    let row = (&first["claim"], &first["witness"], &first["step"], &first["from"], &first["at"]);
    assert_eq!(row, (&json!("initiated"), &json!("callback"), &json!("moved"), &Value::Null, &Value::Null));
    assert_eq!(first["received_at"], rfc3339(START_MS + 1_000));
    assert_eq!(timeline["data"][3]["from"], "in-progress");

    let delivery = &deliveries["data"][0];
    assert!(delivery["body"].as_str().unwrap().contains("CallStatus=initiated"));
    let rest = (
        &delivery["body_encoding"],
        &delivery["source"],
        &delivery["state"],
        &delivery["reason"],
        &delivery["attempts"],
    );
    assert_eq!(rest, (&json!("utf-8"), &json!("twilio/status"), &json!("applied"), &Value::Null, &json!(0)));
}

async fn two_accounts_with_one_provider_id_are_ambiguous(gateway: Gateway) {
    let other = "AC00000000000000000000000000000002";
    add_account(&gateway, "default", other).await;
    for account in [ACCOUNT, other] {
        let asked = announce(&gateway, json!({"provider_id": sid(1), "account": account, "lead_id": account})).await;
        assert_eq!(asked.status, 201, "{asked:?}");
        assert_eq!(asked.body["account"], account);
    }
    for part in ["", "/timeline", "/deliveries", "/legs"] {
        let asked = send(request(&gateway, Method::GET, &format!("/v1/calls/{}{part}", sid(1)))).await;
        expect_problem(&asked, 409, "ambiguous-call");
        assert!(asked.body["detail"].as_str().unwrap().contains("?account="));
        gateway.get(&format!("/v1/calls/{}{part}?account={other}", sid(1))).await;
    }
    let one = gateway.get(&format!("/v1/calls/{}?account={other}", sid(1))).await;
    assert_eq!(one["lead_id"], other);
}

async fn a_silent_call_is_stuck(gateway: Gateway) {
    for (call, status) in [(1, "ringing"), (2, "in-progress"), (3, "completed")] {
        gateway.clock.advance(1);
        callback(&gateway, &sid(call), status, "", &[]).await;
    }
    let mut turned_minutes = 0;
    for (minutes, ringing, answered) in [
        (9, Value::Null, Value::Null),
        (10, json!("warn"), Value::Null),
        (30, json!("critical"), json!("warn")),
        (60, json!("critical"), json!("critical")),
    ] {
        gateway.clock.advance((minutes - turned_minutes) * 60_000);
        turned_minutes = minutes;
        for (call, stuck) in [(1, &ringing), (2, &answered), (3, &Value::Null)] {
            assert_eq!(gateway.get(&format!("/v1/calls/{}", sid(call))).await["stuck"], *stuck, "{minutes} {call}");
        }
        // Each filter finds exactly the calls that show what it asks for.
        for filter in ["true", "false", "warn", "critical"] {
            let fits = |call: u32, stuck: &Value| {
                let fits = match filter {
                    "true" => !stuck.is_null(),
                    "false" => stuck.is_null(),
                    word => stuck == word,
                };
                fits.then(|| sid(call))
            };
            let expected: Vec<String> =
                [fits(3, &Value::Null), fits(2, &answered), fits(1, &ringing)].into_iter().flatten().collect();
            let page = gateway.get(&format!("/v1/calls?stuck={filter}")).await;
            assert_eq!(column(&page, "provider_id"), expected, "{minutes} min, stuck={filter}");
        }
    }
}

async fn an_announced_call_is_known_at_once(gateway: Gateway) {
    let body = json!({"provider_id": sid(1), "to": "+1 (415) 555-0101", "from": "sip:pbx@example.com", "lead_id": "lead-42", "user_id": "ann", "extension": "101"});
    let asked = announce(&gateway, body.clone()).await;
    assert_eq!(asked.status, 201, "{asked:?}");
    let shown = &asked.body;
    let given =
        (&shown["to"], &shown["from"], &shown["lead_id"], &shown["user_id"], &shown["extension"], &shown["account"]);
    assert_eq!(
        given,
        (
            &json!("+14155550101"),
            &json!("sip:pbx@example.com"),
            &json!("lead-42"),
            &json!("ann"),
            &json!("101"),
            &json!(ACCOUNT)
        )
    );
    assert_eq!(
        (&shown["status"], &shown["deliveries"], &shown["verified"]),
        (&json!("queued"), &json!(0), &json!(true))
    );
    assert_eq!(gateway.get(&format!("/v1/calls/{}", sid(1))).await, *shown);

    gateway.clock.advance(5_000);
    assert_eq!(announce(&gateway, body).await.body["id"], shown["id"], "announcing it again is harmless");
    callback(&gateway, &sid(1), "completed", "", &[("CallDuration", "9")]).await;
    let ended = gateway.get(&format!("/v1/calls/{}", sid(1))).await;
    assert_eq!(
        (&ended["id"], &ended["status"], &ended["lead_id"]),
        (&shown["id"], &json!("completed"), &json!("lead-42"))
    );
}

async fn a_call_can_be_announced_before_it_has_an_id(gateway: Gateway) {
    let asked = announce(&gateway, json!({"to": "+14155550101", "lead_id": "lead-42"})).await;
    assert_eq!(asked.status, 201, "{asked:?}");
    let expected = &asked.body["expected"];
    assert!(expected["id"].as_str().unwrap().starts_with("exp_"));
    assert_eq!(
        (&expected["account"], &expected["to"], &expected["from"]),
        (&json!(ACCOUNT), &json!("+14155550101"), &Value::Null)
    );
    assert_eq!(expected["expires_at"], rfc3339(START_MS + 600_000));
    gateway.clock.advance(599_000);
    callback(&gateway, &sid(1), "initiated", "", &[]).await;
    assert_eq!(gateway.get(&format!("/v1/calls/{}", sid(1))).await["lead_id"], "lead-42");

    announce(&gateway, json!({"to": "+14155550101", "lead_id": "lead-43"})).await;
    gateway.clock.advance(600_000);
    callback(&gateway, &sid(2), "initiated", "", &[]).await;
    assert!(gateway.get(&format!("/v1/calls/{}", sid(2))).await["lead_id"].is_null(), "ten minutes are over");
}

async fn a_wrong_announcement_names_its_fields(gateway: Gateway) {
    let long = "x".repeat(201);
    let cases = [
        (json!({}), vec!["to"]),
        (json!({"to": "ann"}), vec!["to"]),
        (json!({"to": "555 0101"}), vec!["to"]),
        (json!({"to": "client:"}), vec!["to"]),
        (
            json!({"to": "+14155550101", "from": "\u{0}", "lead_id": "", "user_id": long, "extension": "a\nb"}),
            vec!["from", "lead_id", "user_id", "extension"],
        ),
        (json!({"to": "+14155550101", "lead_id": "x".repeat(10_000)}), vec!["lead_id"]),
        (json!({"provider_id": "CA 1"}), vec!["provider_id"]),
        (json!({"provider_id": ""}), vec!["provider_id"]),
        (json!({"provider_id": sid(1), "account": "AC-of-somebody"}), vec!["account"]),
        (json!({"to": 7}), vec!["to"]),
        (json!({"to": "+14155550101", "leed_id": "x"}), vec!["leed_id"]),
        (json!([]), vec!["body"]),
    ];
    for (body, fields) in cases {
        let asked = announce(&gateway, body.clone()).await;
        assert_eq!(wrong_fields(&asked), fields, "{body}");
    }
    assert_eq!(column(&gateway.get("/v1/calls").await, "id"), Vec::<&str>::new(), "nothing was made of any");
}

async fn an_announcement_without_an_account_needs_a_single_one(gateway: Gateway) {
    add_account(&gateway, "default", "AC00000000000000000000000000000002").await;
    let asked = announce(&gateway, json!({"provider_id": sid(1)})).await;
    assert_eq!(wrong_fields(&asked), ["account"]);
    assert!(asked.body["errors"][0]["message"].as_str().unwrap().contains("AC00000000000000000000000000000002"));
}
