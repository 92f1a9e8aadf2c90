//! Numbers that no run dials.

use super::{column, expect_problem, request, runs::make, runs::told, send, wrong_fields};
use crate::support::gateway::{Gateway, START_MS, on_both_gateways};
use onhook::domain::time::rfc3339;
use reqwest::Method;
use serde_json::json;

on_both_gateways!(
    a_number_is_put_on_the_list_and_taken_off,
    what_is_no_number_is_refused,
    many_numbers_are_imported,
    numbers_come_in_pages,
    a_number_on_the_list_is_not_handed_out,
);

async fn a_number_is_put_on_the_list_and_taken_off(gateway: Gateway) {
    let path = "/v1/do-not-call/+14155550101";
    let put = async |body: &str| {
        let request = request(&gateway, Method::PUT, path);
        send(if body.is_empty() {
            request
        } else {
            request.header("content-type", "application/json").body(body.to_owned())
        })
        .await
    };
    let created = put("").await;
    let expected = json!({"number": "+14155550101", "reason": null, "created_at": rfc3339(START_MS)});
    assert_eq!((created.status.as_u16(), &created.body), (201, &expected), "{created:?}");
    let again = put("{\"reason\":\"asked\"}").await;
    assert_eq!((again.status.as_u16(), &again.body["reason"]), (200, &json!("asked")), "{again:?}");
    assert_eq!(gateway.get("/v1/do-not-call").await["data"][0], again.body);
    let spelled = send(request(&gateway, Method::DELETE, "/v1/do-not-call/%2B1%20415%20555%200101")).await;
    assert_eq!(spelled.status, 204, "however it is spelled: {spelled:?}");
    expect_problem(&send(request(&gateway, Method::DELETE, path)).await, 404, "not-found");
    let audit = gateway.get("/v1/audit").await;
    let text = audit.to_string();
    assert!(text.contains("do_not_call.added") && text.contains("do_not_call.removed"), "{text}");
    assert!(!text.contains("4155550101"), "the number is masked: {text}");
}

async fn what_is_no_number_is_refused(gateway: Gateway) {
    for number in ["ann", "4155550101", "%00", "client:ann"] {
        let path = format!("/v1/do-not-call/{number}");
        assert_eq!(wrong_fields(&send(request(&gateway, Method::PUT, &path)).await), ["number"], "{number}");
        expect_problem(&send(request(&gateway, Method::DELETE, &path)).await, 404, "not-found");
    }
    let put = async |body: &str| {
        let request = request(&gateway, Method::PUT, "/v1/do-not-call/+14155550101");
        send(request.header("content-type", "application/json").body(body.to_owned())).await
    };
    assert_eq!(wrong_fields(&put(&json!({"reason": "x".repeat(501)}).to_string()).await), ["reason"]);
    assert_eq!(wrong_fields(&put("{\"reason\":7}").await), ["reason"]);
    assert_eq!(wrong_fields(&put("{\"why\":\"x\"}").await), ["why"]);
    expect_problem(&put("{").await, 400, "unreadable");
    let plain = request(&gateway, Method::PUT, "/v1/do-not-call/+14155550101").header("content-type", "text/plain");
    expect_problem(&send(plain.body("x")).await, 415, "unsupported-media-type");
    assert_eq!(gateway.get("/v1/do-not-call").await["data"], json!([]));
}

async fn many_numbers_are_imported(gateway: Gateway) {
    let import = async |media: &str, body: String| {
        send(request(&gateway, Method::POST, "/v1/do-not-call/import").header("content-type", media).body(body)).await
    };
    let table =
        "\u{feff}number,reason\r\n+14155550101,\"asked, twice\"\r\nann,\r\n+14155550102,\r\n+14155550101,again\r\n";
    let first = import("text/csv", table.into()).await;
    let (created, failed) = (&first.body["created"], &first.body["failed"]);
    assert_eq!((created, failed, &first.body["errors"][0]["line"]), (&json!(2), &json!(1), &json!(3)), "{first:?}");
    let again =
        import("application/x-ndjson", "{\"number\":\"+14155550102\"}\n{\"number\":\"+14155550103\"}\n".into()).await;
    assert_eq!(again.body, json!({"created": 1, "existing": 1, "failed": 0, "errors": []}), "{again:?}");
    let listed = gateway.get("/v1/do-not-call").await;
    assert_eq!(column(&listed, "number"), ["+14155550101", "+14155550102", "+14155550103"]);
    assert_eq!(listed["data"][0]["reason"], "again", "the later row has the last word");
    assert_eq!(wrong_fields(&import("text/csv", "phone\n+14155550101\n".into()).await), ["phone"]);
    assert_eq!(wrong_fields(&import("text/csv", "reason\nx\n".into()).await), ["number"]);
    expect_problem(&import("text/plain", "number\n".into()).await, 415, "unsupported-media-type");
    expect_problem(&import("application/x-ndjson", "\n".repeat(1_000_001)).await, 413, "too-large");
    let many: String = (0..1_201).map(|n| format!("+1415666{n:04}\n")).collect();
    assert_eq!(import("text/csv", format!("number\n{many}")).await.body["created"], 1_201);
}

async fn numbers_come_in_pages(gateway: Gateway) {
    for n in [3, 1, 2] {
        send(request(&gateway, Method::PUT, &format!("/v1/do-not-call/+1415555010{n}"))).await;
    }
    let page = gateway.get("/v1/do-not-call?limit=2").await;
    assert_eq!(column(&page, "number"), ["+14155550101", "+14155550102"]);
    let next = format!("/v1/do-not-call?limit=2&cursor={}", page["next_cursor"].as_str().unwrap());
    let last = gateway.get(&next).await;
    assert_eq!((column(&last, "number"), &last["next_cursor"]), (vec!["+14155550103"], &json!(null)));
    expect_problem(&send(request(&gateway, Method::GET, "/v1/do-not-call?cursor=x")).await, 400, "bad-cursor");
    expect_problem(&send(request(&gateway, Method::GET, "/v1/do-not-call?number=x")).await, 400, "bad-filter");
}

async fn a_number_on_the_list_is_not_handed_out(gateway: Gateway) {
    send(request(&gateway, Method::PUT, "/v1/do-not-call/+14155550000")).await;
    let run = make(&gateway, json!({}), 3).await;
    // One that comes on the list after the run was made.
    send(request(&gateway, Method::PUT, "/v1/do-not-call/+14155550001")).await;
    told(&gateway, &run, "start", json!({})).await;
    let claimed = told(&gateway, &run, "claim", json!({"worker": "dialer-1", "max": 10})).await;
    let numbers: Vec<&str> =
        claimed["jobs"].as_array().unwrap().iter().map(|job| job["to"].as_str().unwrap()).collect();
    assert_eq!(numbers, ["+14155550002"], "{claimed}");
    let jobs = gateway.get(&format!("/v1/runs/{}/jobs?state=cancelled", run["id"].as_str().unwrap())).await;
    assert_eq!(column(&jobs, "to"), ["+14155550000", "+14155550001"]);
    assert!(column(&jobs, "error").iter().all(|why| why.contains("not")), "{jobs}");
}
