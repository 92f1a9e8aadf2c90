//! Refusals have one shape through every door, and each kind is explained.

use super::{expect_problem, request, send, wrong_fields};
use crate::support::gateway::{Gateway, on_both_gateways};
use onhook::http::ProblemKind;
use reqwest::Method;
use serde_json::json;
use std::{fs, path::Path};

on_both_gateways!(paths_and_methods_that_are_not_there_are_problems, bodies_that_cannot_be_read_are_problems,);

async fn paths_and_methods_that_are_not_there_are_problems(gateway: Gateway) {
    for path in [
        "/",
        "/v1",
        "/v2/calls",
        "/v1/calls/",
        "/v1/calls/x/nothing",
        "/v1/leads/a/b/c",
        "//v1/calls",
        "/webhooks/twilio/nothing",
    ] {
        for method in [Method::GET, Method::POST] {
            expect_problem(&send(request(&gateway, method, path)).await, 404, "not-found");
        }
    }
    for (method, path) in [
        (Method::PATCH, "/v1/leads/lead-1"),
        (Method::PUT, "/v1/calls"),
        (Method::DELETE, "/v1/calls/x"),
        (Method::GET, "/v1/calls/import"),
        (Method::POST, "/healthz"),
        (Method::DELETE, "/webhooks/twilio/status"),
        (Method::from_bytes(b"BREW").unwrap(), "/v1/leads"),
    ] {
        expect_problem(&send(request(&gateway, method, path)).await, 405, "method-not-allowed");
    }
}

async fn bodies_that_cannot_be_read_are_problems(gateway: Gateway) {
    let sent = async |method: Method, path: &str, media: Option<&str>, body: &[u8]| {
        let mut request = request(&gateway, method, path).body(body.to_vec());
        if let Some(media) = media {
            request = request.header("content-type", media);
        }
        send(request).await
    };
    for (method, path) in [
        (Method::POST, "/v1/leads"),
        (Method::PUT, "/v1/leads/lead-1"),
        (Method::POST, "/v1/calls"),
        (Method::POST, "/v1/keys"),
        (Method::POST, "/v1/calls/import"),
    ] {
        for media in
            [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/json-patch+json")]
        {
            expect_problem(&sent(method.clone(), path, media, b"{}").await, 415, "unsupported-media-type");
        }
        let json = Some("application/json; charset=utf-8");
        for body in [&b""[..], b"{", b"{} {}", b"\xff", b"nul", b"{\"\\ud800\": 1}", &b"[".repeat(10_000)] {
            expect_problem(&sent(method.clone(), path, json, body).await, 400, "unreadable");
        }
        for body in ["7", "null", "\"x\"", "{\"no such field\": 1}"] {
            wrong_fields(&sent(method.clone(), path, json, body.as_bytes()).await);
        }
    }
    let asked = sent(
        Method::POST,
        "/v1/leads",
        Some("application/json"),
        json!({"id": "a", "name": {"first": "x"}}).to_string().as_bytes(),
    )
    .await;
    assert_eq!(wrong_fields(&asked), ["name"]);
}

#[test]
fn every_kind_of_problem_is_explained() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/problems.md");
    let text = fs::read_to_string(path).unwrap();
    let explained: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let kinds: Vec<String> =
        ProblemKind::ALL.iter().map(|kind| format!("`{kind}` ({})", kind.status().as_u16())).collect();
    assert_eq!(explained, kinds, "docs/problems.md has one `## ` entry per kind, in the order of ProblemKind");
    for section in text.split("\n## ").skip(1) {
        assert!(section.lines().skip(1).any(|line| line.len() > 40), "says little: {section}");
    }
}
