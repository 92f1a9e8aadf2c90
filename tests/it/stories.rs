//! Every fixture story through the real gateway on both databases: as told, and in any order with duplicates.

use crate::support::{
    gateway::{ACCOUNT, Gateway, PUBLIC_URL, START_MS, TOKEN, on_both_gateways},
    stage::{Stage, on_both_stages},
};
use onhook::{
    story::{Play, Request, Story, disorder, embedded, expected::Expected},
    twilio::door::Method,
};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

on_both_gateways!(every_story_ends_as_told, order_and_duplicates_do_not_matter);
on_both_stages!(what_was_lost_is_asked_for);

async fn every_story_ends_as_told(gateway: Gateway) {
    let stories = embedded().unwrap();
    assert!(stories.len() >= 29, "there are {} stories", stories.len());
    for story in &stories {
        let play = Play { start_ms: START_MS, account_sid: ACCOUNT, salt: "" };
        know_the_lead(&gateway, story, play).await;
        for request in story.requests(play) {
            gateway.clock.set(START_MS + request.after_ms);
            send(&gateway, &request).await;
        }
        compare(&gateway, story, &story.expected, play, true).await;
    }
}

/// The convergence law through the public surface: the row is the same whatever the order, the timeline need not be.
async fn order_and_duplicates_do_not_matter(gateway: Gateway) {
    // A time that was never told counts from its receipt, so everything is received at once here.
    for seed in 0..8 {
        let mut rng = StdRng::seed_from_u64(seed);
        let salt = format!("seed-{seed}");
        for story in &embedded().unwrap() {
            let play = Play { start_ms: START_MS, account_sid: ACCOUNT, salt: &salt };
            know_the_lead(&gateway, story, play).await;
            gateway.clock.set(START_MS + story.length_ms());
            let mut requests = story.requests(play);
            disorder::duplicate(&mut requests, &mut rng);
            disorder::shuffle(&mut requests, &mut rng);
            for request in &requests {
                send(&gateway, request).await;
            }
            compare(&gateway, story, &story.expected, play, false).await;
        }
    }
}

/// A story of which the end was lost comes out as Twilio knows it, once its time is up.
async fn what_was_lost_is_asked_for(stage: Stage) {
    let stories = embedded().unwrap();
    let lost: Vec<(&Story, &Expected)> = stories.iter().filter_map(|s| Some((s, s.repaired.as_ref()?))).collect();
    assert_eq!(lost.len(), 2);
    for (story, repaired) in lost {
        let play = Play { start_ms: stage.twilio.now_ms(), account_sid: ACCOUNT, salt: "" };
        know_the_lead(&stage.gateway, story, play).await;
        stage.twilio.with(|double| {
            story.truth(play).into_iter().for_each(|call| double.add_call_as(&call.sid, call.order, call.changes));
        });
        for request in story.requests(play) {
            stage.twilio.clock.set(play.start_ms + request.after_ms);
            send(&stage.gateway, &request).await;
        }
        compare(&stage.gateway, story, &story.expected, play, true).await;
        stage.twilio.clock.set(play.start_ms + 90_000);
        stage.sweep().await;
        compare(&stage.gateway, story, repaired, play, true).await;
    }
}

async fn know_the_lead(gateway: &Gateway, story: &Story, play: Play<'_>) {
    let Some(id) = story.lead_id(play.salt) else { return };
    let body = json!({"name": "Lead of a story", "status": "new"});
    let (status, answer) = gateway.ask(reqwest::Method::PUT, &format!("/v1/leads/{id}"), Some(body)).await;
    assert!(status.is_success(), "{answer}");
}

async fn send(gateway: &Gateway, request: &Request) {
    let (url, signature) = request.signed(PUBLIC_URL, TOKEN).unwrap();
    let url = url.replace(PUBLIC_URL, &gateway.address);
    let client = &gateway.client;
    let sent = match request.method {
        Method::Get => client.get(url),
        Method::Post => client.post(url).header("content-type", request.content_type()).body(request.body.clone()),
    };
    let response = sent.header("x-twilio-signature", signature).send().await.unwrap();
    assert_eq!(response.status().as_u16(), request.answer(), "{}", response.text().await.unwrap());
}

async fn compare(gateway: &Gateway, story: &Story, told: &Expected, play: Play<'_>, timeline: bool) {
    let name = &story.name;
    for expected in &told.calls {
        let sid = story.sid(&expected.leg, play.salt);
        let call = gateway.get(&format!("/v1/calls/{sid}")).await;
        assert_includes(&call, &expected.row(story, play), &format!("{name}: {}", expected.leg));
        if timeline {
            let rows = gateway.get(&format!("/v1/calls/{sid}/timeline")).await;
            let rows = rows["data"].as_array().unwrap();
            let wanted = expected.timeline_rows();
            assert_eq!(rows.len(), wanted.len(), "{name}: {}: {rows:#?}", expected.leg);
            for (row, wanted) in rows.iter().zip(&wanted) {
                assert_includes(row, wanted, &format!("{name}: timeline of {}", expected.leg));
            }
        }
    }
    if let Some(lead) = &told.lead {
        let id = story.lead_id(play.salt).unwrap();
        assert_includes(&gateway.get(&format!("/v1/leads/{id}")).await, &lead.row(story, play), name);
    }
}

fn assert_includes(actual: &Value, wanted: &Value, what: &str) {
    for (key, value) in wanted.as_object().unwrap() {
        assert_eq!(&actual[key], value, "{what}: {key} of {actual:#}");
    }
}
