//! The document: it is complete, it is the committed one, and what it says about keys is so.

use super::{expect_problem, send};
use crate::support::gateway::{Gateway, on_both_gateways};
use onhook::http::openapi::document;
use reqwest::Method;
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path};

on_both_gateways!(
    without_a_key_every_path_answers_401,
    what_needs_no_key_answers,
    every_path_names_its_methods_when_asked_for_another,
);

fn as_json() -> Value {
    serde_json::from_str(&document().to_json().unwrap()).unwrap()
}

/// Every operation: method and path.
fn operations() -> BTreeSet<(String, String)> {
    let document = as_json();
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |m| (m.to_uppercase(), path.clone())))
        .collect()
}

/// Every route of the table in `src/http/mod.rs`.
fn routes() -> BTreeSet<(String, String)> {
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/mod.rs")).unwrap();
    let table = source.split("pub fn routes(").nth(1).unwrap();
    let mut routes = BTreeSet::new();
    for resource in table.split("at(\"").skip(1) {
        let (path, rest) = resource.split_once('"').unwrap();
        for route in rest.split(".route(").skip(1) {
            let method = route.split('(').next().unwrap();
            routes.insert((method.to_uppercase(), path.replace(":.*}", "}")));
        }
    }
    assert!(routes.len() > 20, "{routes:?}");
    routes
}

#[test]
fn every_route_is_in_the_document() {
    assert_eq!(routes(), operations());
}

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let committed = fs::read_to_string(path).unwrap_or_default();
    let made = document().to_pretty_json().unwrap();
    assert!(committed.trim_end() == made, "docs/openapi.json is out of date: cargo run -- openapi > docs/openapi.json");
}

#[test]
fn the_document_speaks_the_words_of_the_wire() {
    let document = as_json();
    let words = |schema: &str| document["components"]["schemas"][schema]["enum"].clone();
    assert_eq!(words("Status")[3], "in-progress");
    assert_eq!(words("Scope"), serde_json::json!(["read", "write", "ingest", "admin", "operator"]));
    let parameters = document["paths"]["/v1/calls"]["get"]["parameters"].to_string();
    for word in ["limit", "cursor", "in-progress", "critical", "date-time"] {
        assert!(parameters.contains(&format!("\"{word}\"")), "{word}: {parameters}");
    }
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let ids: Vec<&str> = operations.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
}

#[test]
fn every_operation_says_what_can_go_wrong_and_how() {
    let document = as_json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(document["components"]["securitySchemes"]["key"]["scheme"], "bearer");
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let what = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|s| s.len() > 5), "{what} says nothing");
            let responses = operation["responses"].as_object().unwrap();
            for (status, response) in responses.iter().filter(|(s, _)| s.starts_with(['4', '5'])) {
                let problem = &response["content"]["application/problem+json"]["schema"]["$ref"];
                let ready = path == "/readyz";
                assert!(ready || problem == "#/components/schemas/Problem", "{what} {status}: {response}");
            }
            if path.starts_with("/v1/") {
                let scopes = operation["security"][0]["key"].as_array().unwrap();
                assert_eq!(scopes.len(), 1, "{what} names its scope");
                for status in ["401", "403", "500", "503"] {
                    assert!(responses.contains_key(status), "{what} lacks {status}");
                }
                let idempotent = operation["parameters"].to_string().contains("Idempotency-Key");
                // A dialer's claims, heartbeats and reports are answered by how it stands now, never by what was kept.
                let of_a_dialer = ["/claim", "/heartbeat", "/jobs/{job}"].iter().any(|end| path.ends_with(end));
                assert_eq!(idempotent, method == "post" && !of_a_dialer, "{what}");
            }
        }
    }
}

/// Whatever the document refers to is in it.
#[test]
fn every_reference_leads_somewhere() {
    fn walk<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|v| walk(v, found));
            }
            Value::Array(values) => values.iter().for_each(|v| walk(v, found)),
            _ => {}
        }
    }
    let document = as_json();
    let mut found = Vec::new();
    walk(&document, &mut found);
    assert!(found.len() > 30);
    for reference in found {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}

async fn without_a_key_every_path_answers_401(gateway: Gateway) {
    let mut asked_for = 0;
    for (method, path) in operations().into_iter().filter(|(_, path)| path.starts_with("/v1/") || path == "/metrics") {
        let path = path.replace("{id}", "x");
        for body in ["", "{", "{\"id\":\"x\"}"] {
            let request = gateway.client.request(
                Method::from_bytes(method.as_bytes()).unwrap(),
                format!("{}{path}?nonsense=1", gateway.address),
            );
            let asked = send(request.header("idempotency-key", "bad key").body(body)).await;
            expect_problem(&asked, 401, "unauthorized");
        }
        asked_for += 1;
    }
    assert!(asked_for >= 18, "{asked_for}");
}

async fn what_needs_no_key_answers(gateway: Gateway) {
    let get = async |path: &str| gateway.client.get(format!("{}{path}", gateway.address)).send().await.unwrap();
    let served: Value = get("/openapi.json").await.json().await.unwrap();
    assert_eq!(served, as_json());
    assert_eq!(get("/healthz").await.status(), 200);
    assert_eq!(get("/readyz").await.status(), 200);
    let docs = get("/docs").await;
    assert_eq!((docs.status().as_u16(), &docs.headers()["location"]), (308, &"docs/".parse().unwrap()));
    let page = get("/docs/").await;
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    let page = page.text().await.unwrap();
    assert!(
        !page.contains("http://") && !page.contains("https://") && !page.contains("<script>"),
        "nothing from elsewhere, nothing inline: {page}"
    );
    let files: Vec<&str> = page.split(['"']).filter(|part| part.ends_with(".js") || part.ends_with(".css")).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let response = get(&format!("/docs/{}", file.trim_start_matches("./"))).await;
        assert_eq!(response.status(), 200, "{file}");
        if file.ends_with("initializer.js") {
            let text = response.text().await.unwrap();
            assert!(text.contains("../openapi.json") && !text.contains("petstore"), "{text}");
        }
    }
    for missing in ["/docs/nothing.js", "/docs/../mod.rs", "/docs/%2e%2e/x"] {
        assert_eq!(get(missing).await.status(), 404, "{missing}");
    }
}

async fn every_path_names_its_methods_when_asked_for_another(gateway: Gateway) {
    let document = gateway.get("/openapi.json").await;
    for (path, methods) in document["paths"].as_object().unwrap() {
        // Also taken by the path of a lead called `import`.
        if path == "/v1/leads/import" {
            continue;
        }
        let url = format!("{}{}", gateway.address, path.replace("{id}", "x").replace("{file}", "x"));
        let answer = gateway.client.request(reqwest::Method::TRACE, url).send().await.unwrap();
        assert_eq!(answer.status(), 405, "{path}");
        let allowed: BTreeSet<String> =
            answer.headers()["allow"].to_str().unwrap().split(", ").map(str::to_lowercase).collect();
        let documented: BTreeSet<String> = methods.as_object().unwrap().keys().cloned().collect();
        assert_eq!(allowed, documented, "{path}");
    }
}
