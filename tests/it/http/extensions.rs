//! Extensions over REST, and what a second call on one means for the first.

use super::{callback, column, expect_problem, key_of, keyed, request, send, sid};
use crate::support::gateway::{Gateway, START_MS, on_both_gateways};
use onhook::{
    directory::Scope,
    domain::time::{DAY, rfc3339},
};
use reqwest::Method;
use serde_json::{Value, json};

on_both_gateways!(
    extensions_are_free_ringing_or_busy,
    a_second_call_makes_the_first_due,
    other_extensions_are_left_alone,
    two_in_one_batch_make_the_first_due,
    another_tenants_extensions_are_not_there,
);

async fn due_at(gateway: &Gateway, n: u32) -> Value {
    gateway.get(&format!("/v1/calls/{}", sid(n))).await["due_at"].clone()
}

async fn extensions_are_free_ringing_or_busy(gateway: Gateway) {
    assert_eq!(gateway.get("/v1/extensions").await, json!({"data": [], "next_cursor": null}));
    callback(&gateway, &sid(1), "ringing", "extension=7&user_id=ann", &[]).await;
    callback(&gateway, &sid(2), "completed", "extension=8&user_id=bob", &[]).await;
    callback(&gateway, &sid(3), "ringing", "", &[]).await;
    let page = gateway.get("/v1/extensions").await;
    let ringing = gateway.get(&format!("/v1/calls/{}", sid(1))).await;
    let expected = json!([
        {"extension": "7", "state": "ringing", "call": ringing, "calls": 1, "user_id": "ann", "device": null, "pbxs": []},
        {"extension": "8", "state": "free", "call": null, "calls": 0, "user_id": "bob", "device": null, "pbxs": []},
    ]);
    assert_eq!(page["data"], expected);
    callback(&gateway, &sid(4), "in-progress", "extension=7&user_id=cid", &[]).await;
    callback(&gateway, &sid(5), "ringing", "extension=7", &[]).await;
    let busy = &gateway.get("/v1/extensions").await["data"][0];
    assert_eq!((&busy["state"], &busy["calls"], &busy["user_id"]), (&json!("busy"), &json!(3), &json!("cid")));
    assert_eq!(busy["call"]["provider_id"], sid(4));
    // In pages, by name.
    let first = gateway.get("/v1/extensions?limit=1").await;
    assert_eq!(column(&first, "extension"), ["7"]);
    let rest = gateway.get(&format!("/v1/extensions?limit=1&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    assert_eq!((column(&rest, "extension"), &rest["next_cursor"]), (vec!["8"], &Value::Null));
    // What lives is there however old it is, what is free is forgotten after a week.
    gateway.clock.advance(7 * DAY + 1);
    assert_eq!(column(&gateway.get("/v1/extensions").await, "extension"), ["7"]);
    for (query, kind) in [("limit=0", "bad-filter"), ("state=free", "bad-filter"), ("cursor=x", "bad-cursor")] {
        expect_problem(&send(request(&gateway, Method::GET, &format!("/v1/extensions?{query}"))).await, 400, kind);
    }
}

async fn a_second_call_makes_the_first_due(gateway: Gateway) {
    callback(&gateway, &sid(1), "in-progress", "extension=7", &[]).await;
    let first_due = due_at(&gateway, 1).await;
    assert_eq!(first_due, rfc3339(START_MS + 60_000));
    gateway.clock.advance(5_000);
    // One that only rings changes nothing.
    callback(&gateway, &sid(2), "ringing", "extension=7", &[]).await;
    assert_eq!(due_at(&gateway, 1).await, first_due);
    gateway.clock.advance(5_000);
    callback(&gateway, &sid(2), "in-progress", "extension=7", &[]).await;
    let now = rfc3339(START_MS + 10_000);
    assert_eq!((due_at(&gateway, 1).await, due_at(&gateway, 2).await), (json!(now), json!(rfc3339(START_MS + 70_000))));
    // Saying it again changes nothing, neither does what comes late.
    gateway.clock.advance(5_000);
    callback(&gateway, &sid(2), "in-progress", "extension=7", &[("SequenceNumber", "9")]).await;
    callback(&gateway, &sid(1), "ringing", "extension=7", &[]).await;
    assert_eq!((due_at(&gateway, 1).await, due_at(&gateway, 2).await), (json!(now), json!(rfc3339(START_MS + 70_000))));
    // Nothing was ended.
    assert_eq!(gateway.get("/v1/calls?live=true").await["data"].as_array().unwrap().len(), 2);
}

async fn other_extensions_are_left_alone(gateway: Gateway) {
    callback(&gateway, &sid(1), "in-progress", "extension=7", &[]).await;
    callback(&gateway, &sid(2), "in-progress", "extension=8", &[]).await;
    callback(&gateway, &sid(3), "in-progress", "", &[]).await;
    callback(&gateway, &sid(4), "ringing", "extension=7", &[]).await;
    callback(&gateway, &sid(5), "completed", "extension=7", &[]).await;
    let due: Vec<Value> = [due_at(&gateway, 1).await, due_at(&gateway, 2).await, due_at(&gateway, 3).await].into();
    gateway.clock.advance(5_000);
    callback(&gateway, &sid(6), "in-progress", "extension=9", &[]).await;
    callback(&gateway, &sid(7), "in-progress", "", &[]).await;
    assert_eq!([due_at(&gateway, 1).await, due_at(&gateway, 2).await, due_at(&gateway, 3).await].as_slice(), due);
    let ringing = due_at(&gateway, 4).await;
    callback(&gateway, &sid(8), "in-progress", "extension=7", &[]).await;
    assert_eq!(
        (due_at(&gateway, 4).await, due_at(&gateway, 5).await),
        (ringing, Value::Null),
        "only those in progress"
    );
    assert_eq!(due_at(&gateway, 1).await, rfc3339(START_MS + 5_000));
    assert_eq!(due_at(&gateway, 2).await, due[1]);
}

/// Requests that arrive together are one batch, or two writers: either way the extension has two calls in progress, and
/// at least one of them is due at once.
async fn two_in_one_batch_make_the_first_due(gateway: Gateway) {
    for round in 0..8_u32 {
        let extension = format!("extension={round}");
        let (one, two) = (sid(2 * round), sid(2 * round + 1));
        tokio::join!(
            callback(&gateway, &one, "in-progress", &extension, &[]),
            callback(&gateway, &two, "in-progress", &extension, &[]),
        );
        let due = [due_at(&gateway, 2 * round).await, due_at(&gateway, 2 * round + 1).await];
        let now = due.iter().filter(|due| **due == rfc3339(START_MS)).count();
        assert_eq!(now, 1, "{round}: {due:?}");
    }
}

async fn another_tenants_extensions_are_not_there(gateway: Gateway) {
    callback(&gateway, &sid(1), "in-progress", "extension=7", &[]).await;
    let (_, acme) = key_of(&gateway, "acme", Scope::ALL, None).await;
    let own = send(keyed(&gateway, &acme, Method::GET, "/v1/extensions")).await;
    assert_eq!((own.status.as_u16(), &own.body["data"]), (200, &json!([])));
    let (_, writer) = key_of(&gateway, "default", &[Scope::Write], None).await;
    expect_problem(&send(keyed(&gateway, &writer, Method::GET, "/v1/extensions")).await, 403, "scope-missing");
}
