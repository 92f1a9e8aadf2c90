//! Twilio as a dialer: how an order is placed, what is found of one whose answer was lost, and who can be reached.

use crate::support::{
    database::TestDatabase,
    gateway::{ACCOUNT, Gateway, PUBLIC_URL, START_MS, TOKEN, config, on_both_gateways},
    twilio::Twilio,
};
use onhook::{
    app::{self, Fuses},
    clock::ManualClock,
    domain::{
        run::Settings,
        signal::{Claim, Field, Witness},
        state::{Live, Outcome},
        time::{MINUTE, SECOND},
    },
    double::{Change, Fate, Outage, Outbound, Reception, Setup},
    ingest::{Ingest, Parts},
    provider::{Dialer, Exchange, Found, Order, Placed, Reach, TroubleKind},
    runs::{TwilioDialer, TwilioParts},
    store::calls,
    telemetry::Metrics,
    twilio::client::{Client, Credentials, Patience},
};
use rand::{SeedableRng, rngs::StdRng};
use std::{sync::Arc, time::Duration};

on_both_gateways!(a_call_is_placed_connected_and_told_with_its_job);

const NUMBER: &str = "+14155550100";
const CUSTOMER: &str = "+14155550101";

fn double() -> Twilio {
    Twilio::start(Setup { calls_per_second: 100, ..Setup::default() }, &ManualClock::new(START_MS))
}

fn parts(twilio: &Twilio, timeout: Duration) -> TwilioParts {
    let patience = Patience {
        timeout,
        retries: 0,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(1),
    };
    let credentials = Credentials { sid: ACCOUNT.into(), secret: TOKEN.into() };
    let client = Client::new(&twilio.address.parse().unwrap(), credentials, patience, 7).unwrap();
    TwilioParts {
        account: ACCOUNT.into(),
        client: Arc::new(client),
        clock: twilio.clock.shared(),
        public_url: Some(PUBLIC_URL.parse().unwrap()),
        timeout,
    }
}

fn dialer(twilio: &Twilio) -> TwilioDialer {
    TwilioDialer::new(parts(twilio, Duration::from_secs(10)))
}

fn order(settings: Settings, placing_ms: i64) -> Order {
    let settings = Settings { from: Some(NUMBER.into()), ..settings };
    Order {
        job_id: "01JOB".into(),
        attempt: 2,
        to: CUSTOMER.into(),
        lead_id: Some("lead 7&x".into()),
        user_id: Some("ann@example.com".into()),
        settings,
        placing_ms,
    }
}

fn speaking() -> Settings {
    Settings { twiml: Some("<Response><Say>Hello</Say></Response>".into()), ..Settings::default() }
}

/// The parameters of the request that placed the first call.
fn placed_with(twilio: &Twilio) -> Vec<(String, String)> {
    twilio.with(|double| double.calls()[0].exchanges[0].parameters.clone())
}

fn given<'a>(form: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    form.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str()).collect()
}

#[tokio::test]
async fn a_call_names_its_job_in_every_url_of_ours() {
    let twilio = double();
    let settings = Settings {
        connect: vec!["+14155550109".into(), "client:ann".into()],
        machine_detection: Some("Enable".into()),
        timeout_seconds: Some(25),
        time_limit_seconds: Some(900),
        ..Settings::default()
    };
    let order = order(settings, START_MS);
    let Placed::Accepted(sid) = dialer(&twilio).place(&order).await else { panic!() };
    assert!(twilio.with(|double| double.call(&sid).is_some()));
    let form = placed_with(&twilio);
    let query = "lead_id=lead%207%26x&job_id=01JOB&attempt=2&user_id=ann%40example.com";
    let url = |door: &str, more: &str| format!("{PUBLIC_URL}/webhooks/twilio/{door}?{query}{more}#rc=5&rp=all");
    for (name, value) in [
        ("StatusCallback", url("status", "")),
        ("AsyncAmdStatusCallback", url("amd", "")),
        ("Url", url("voice", "&connect=%2B14155550109&connect=client%3Aann")),
        ("AsyncAmd", "true".into()),
        ("Timeout", "25".into()),
        ("TimeLimit", "900".into()),
    ] {
        assert_eq!(given(&form, name), [value], "{name}");
    }
    assert_eq!(given(&form, "StatusCallbackEvent"), ["initiated", "ringing", "answered", "completed"]);
    twilio.was_asked_well();
}

#[tokio::test]
async fn what_the_user_has_set_comes_as_it_is_and_waits_for_the_detection() {
    for (settings, name, value) in [
        (speaking(), "Twiml", "<Response><Say>Hello</Say></Response>"),
        (
            Settings { url: Some("https://app.example.com/x?y=1".into()), ..speaking() },
            "Url",
            "https://app.example.com/x?y=1",
        ),
    ] {
        let twilio = double();
        let settings = Settings { machine_detection: Some("DetectMessageEnd".into()), ..settings };
        let placed = dialer(&twilio).place(&order(settings, START_MS)).await;
        assert!(matches!(placed, Placed::Accepted(_)), "{placed:?}");
        let form = placed_with(&twilio);
        assert_eq!((given(&form, name), given(&form, "MachineDetection")), (vec![value], vec!["DetectMessageEnd"]));
        assert_eq!(form.iter().filter(|(name, _)| ["Url", "Twiml"].contains(&name.as_str())).count(), 1);
        assert!(given(&form, "AsyncAmd").is_empty(), "it is asked for TwiML when it is known who answered");
    }
}

#[tokio::test]
async fn without_a_public_url_a_caller_or_instructions_no_call_is_placed() {
    let twilio = double();
    let deaf = TwilioDialer::new(TwilioParts { public_url: None, ..parts(&twilio, Duration::from_secs(10)) });
    let anonymous = Order { settings: speaking(), ..order(speaking(), START_MS) };
    for (dialer, order, named) in [
        (&deaf, order(speaking(), START_MS), "ONHOOK_PUBLIC_URL"),
        (&dialer(&twilio), anonymous, "`from`"),
        (&dialer(&twilio), order(Settings::default(), START_MS), "`connect`, `url` and `twiml`"),
    ] {
        let Placed::NotNow(trouble) = dialer.place(&order).await else { panic!("{named}") };
        assert_eq!(trouble.kind, TroubleKind::Refused);
        assert!(trouble.detail.contains(named), "{trouble}");
    }
    assert_eq!(twilio.with(|double| double.asked().requests), 0);
}

#[tokio::test]
async fn each_way_to_be_received_is_told_for_what_it_is() {
    let twilio = double();
    let quick = TwilioDialer::new(parts(&twilio, Duration::from_millis(300)));
    assert_eq!(quick.timeout(), Duration::from_millis(300));
    let order = order(speaking(), START_MS);
    let mut calls = 0;
    for (reception, expected, more) in [
        (Reception::Good, "accepted", 1),
        (Reception::TooMany { retry_after_s: Some(9) }, "too-many", 0),
        (Reception::Refused { status: 400, code: 21211 }, "refused", 0),
        (Reception::Broken { status: 500, done: true }, "lost", 1),
        (Reception::Broken { status: 503, done: false }, "lost", 0),
        (Reception::Cut { done: true }, "lost", 1),
        (Reception::Late { by_ms: 1_000 }, "lost", 1),
        (Reception::Late { by_ms: 1 }, "accepted", 1),
    ] {
        twilio.with(|double| double.receive_as(CUSTOMER, [reception]));
        let before = twilio.with(|double| double.asked().requests);
        let told = match quick.place(&order).await {
            Placed::Accepted(_) => "accepted".to_owned(),
            Placed::Refused(why) => {
                assert!(!why.contains("4155550101"), "{why}");
                "refused".to_owned()
            }
            Placed::NotNow(trouble) => trouble.kind.to_string(),
            Placed::Lost(_) => "lost".to_owned(),
        };
        calls += more;
        assert_eq!(told, expected, "{reception:?}");
        assert_eq!(twilio.with(|double| double.placed().get(CUSTOMER).copied().unwrap_or_default()), calls);
        assert_eq!(twilio.with(|double| double.asked().requests) - before, 1, "{reception:?} is asked once");
    }
}

/// A call to the customer that somebody placed, created then; queued ones have no date at REST.
fn placed_at(twilio: &Twilio, at_ms: i64, rings: bool) -> String {
    let changes = [(at_ms, Change::Queued), (at_ms + 1, Change::Initiated)];
    let changes = changes.into_iter().take(if rings { 2 } else { 1 }).collect();
    twilio.with(|double| double.add_call(onhook::double::Order::new(ACCOUNT, NUMBER, CUSTOMER), changes))
}

async fn find(twilio: &Twilio, claimed: &[&str]) -> Result<Option<String>, TroubleKind> {
    let order = order(speaking(), START_MS);
    match dialer(twilio).find(&order, &|sid| claimed.contains(&sid)).await {
        Ok(Found::Call(signal)) => Ok(Some(signal.leg.provider_id)),
        Ok(Found::Unclear(why)) => {
            assert!(!why.contains("4155550101"), "{why}");
            Ok(None)
        }
        Err(trouble) => Err(trouble.kind),
    }
}

#[tokio::test]
async fn a_lost_call_is_found_if_it_is_the_only_one_of_its_time() {
    let twilio = double();
    twilio.with(|double| double.expect_fate(CUSTOMER, Fate::Busy));
    twilio.with(|double| double.receive_as(CUSTOMER, [Reception::Broken { status: 500, done: true }]));
    let order = order(speaking(), START_MS);
    assert!(matches!(dialer(&twilio).place(&order).await, Placed::Lost(_)));
    let sid = twilio.with(|double| double.calls()[0].sid.clone());
    let of = async || match dialer(&twilio).find(&order, &|_| false).await {
        Ok(Found::Call(signal)) => *signal,
        other => panic!("{other:?}"),
    };
    let queued = of().await;
    assert_eq!((queued.leg.provider_id.as_str(), queued.leg.account.as_str()), (sid.as_str(), ACCOUNT));
    assert_eq!((&queued.claim, queued.witness), (&Claim::Live(Live::Queued), Witness::Reconciled));
    assert_eq!(queued.details.get(&Field::To).map(String::as_str), Some(CUSTOMER));
    twilio.pass(2 * MINUTE).await;
    assert!(matches!(of().await.claim, Claim::Ended(told) if told.outcome == Outcome::Busy), "ended meanwhile");
    twilio.was_asked_well();
}

#[tokio::test]
async fn none_several_and_others_are_not_taken_for_it() {
    let at = async |moments: &[(i64, bool)]| {
        let twilio = double();
        let sids: Vec<String> =
            moments.iter().map(|(at_ms, rings)| placed_at(&twilio, START_MS + at_ms, *rings)).collect();
        twilio.clock.set(START_MS + 10 * MINUTE);
        (find(&twilio, &[]).await.unwrap().map(|sid| sids.iter().position(|other| *other == sid)), twilio, sids)
    };
    let found = async |moments: &[(i64, bool)]| at(moments).await.0.flatten();
    assert_eq!(found(&[]).await, None);
    // The window: some seconds before it was marked, to a minute after the time-out of ten seconds.
    assert_eq!(found(&[(-11 * SECOND, true), (71 * SECOND, true)]).await, None);
    assert_eq!(found(&[(-9 * SECOND, true), (-3_600 * SECOND, true)]).await, Some(0));
    assert_eq!(found(&[(-3_600 * SECOND, true), (69 * SECOND, true)]).await, Some(1));
    // One without a date could be it, also beside one with a date.
    assert_eq!(found(&[(2 * SECOND, false)]).await, Some(0));
    assert_eq!(found(&[(SECOND, true), (2 * SECOND, false)]).await, None, "either could be it");
    assert_eq!(found(&[(SECOND, true), (2 * SECOND, true)]).await, None, "two runs called it at once");
    let (_, twilio, sids) = at(&[(SECOND, true), (2 * SECOND, true)]).await;
    assert_eq!(find(&twilio, &[&sids[0]]).await.unwrap(), Some(sids[1].clone()), "the other is another job's");
    assert_eq!(find(&twilio, &[&sids[0], &sids[1]]).await.unwrap(), None);

    let elsewhere = double();
    let add = |from: &str, to: &str| {
        let changes = vec![(START_MS, Change::Queued), (START_MS + 1, Change::Initiated)];
        elsewhere.with(|double| double.add_call(onhook::double::Order::new(ACCOUNT, from, to), changes))
    };
    add(NUMBER, "+14155550102");
    let dialed = add(NUMBER, CUSTOMER);
    elsewhere.with(|double| {
        double.call_mut(&dialed).unwrap().direction = onhook::domain::state::Direction::OutboundDial;
    });
    add("+14155550199", CUSTOMER);
    assert_eq!(find(&elsewhere, &[]).await.unwrap(), None, "another number, another caller, a dialed leg");
    elsewhere.with(|double| double.set_outage(Some(Outage::Status(503))));
    assert_eq!(find(&elsewhere, &[]).await, Err(TroubleKind::Unreachable));
    elsewhere.with(|double| double.set_outage(Some(Outage::Status(429))));
    assert_eq!(find(&elsewhere, &[]).await, Err(TroubleKind::TooMany));
}

#[tokio::test]
async fn a_call_is_hung_up_once() {
    let twilio = double();
    let dialer = dialer(&twilio);
    let Placed::Accepted(sid) = dialer.place(&order(speaking(), START_MS)).await else { panic!() };
    assert_eq!(dialer.hang_up(&sid).await, Ok(true));
    assert_eq!(dialer.hang_up(&sid).await, Ok(false), "it is over");
    let unknown = dialer.hang_up("CA00000000000000000000000000000099").await.unwrap_err();
    assert_eq!(unknown.kind, TroubleKind::Blind, "{unknown}");
}

/// Through our own voice door to the people who are named, each leg told with the job.
async fn a_call_is_placed_connected_and_told_with_its_job(gateway: Gateway) {
    let setup = Setup { calls_per_second: 100, outbound: Outbound::ByTwiml, ..Setup::default() };
    let twilio = Twilio::beside(&gateway, setup);
    twilio.with(|double| {
        double.expect_fate(CUSTOMER, Fate::Answered { talk_s: 40 });
        double.expect_fate("+14155550109", Fate::Answered { talk_s: 20 });
        // Its callbacks come before the answer does.
        double.receive_as(CUSTOMER, [Reception::Late { by_ms: 200 }]);
    });
    let settings = Settings {
        connect: vec!["+14155550109".into()],
        machine_detection: Some("Enable".into()),
        ..Settings::default()
    };
    let (dialer, order) = (dialer(&twilio), order(settings, START_MS));
    let (placed, ()) = tokio::join!(dialer.place(&order), async {
        while twilio.with(|double| double.calls().is_empty()) {
            tokio::task::yield_now().await;
        }
        twilio.pass(5 * SECOND).await;
    });
    let Placed::Accepted(sid) = placed else { panic!("{placed:?}") };
    assert_ne!(gateway.get(&format!("/v1/calls/{sid}")).await["status"], "queued", "it was told of before the answer");
    twilio.pass(5 * MINUTE).await;
    let call = gateway.get(&format!("/v1/calls/{sid}")).await;
    let job = async |sid: &str| {
        let rows = calls::find(&gateway.db, "default", sid, None).await.unwrap();
        rows.first().and_then(|row| row.job_id.clone())
    };
    assert_eq!(job(&sid).await.as_deref(), Some("01JOB"));
    assert_eq!((&call["status"], &call["lead_id"]), (&"completed".into(), &"lead 7&x".into()), "{call}");
    assert_eq!((&call["user_id"], &call["answered_by"]), (&"ann@example.com".into(), &"human".into()), "{call}");
    let children: Vec<(String, String)> = twilio.with(|double| {
        let legs = double.calls().iter().filter(|call| call.parent_sid.as_deref() == Some(sid.as_str()));
        legs.map(|leg| (leg.sid.clone(), leg.to.clone())).collect()
    });
    let [(agent, to)] = &children[..] else { panic!("{children:?}") };
    assert_eq!(to, "+14155550109");
    let leg = gateway.get(&format!("/v1/calls/{agent}")).await;
    assert_eq!((&leg["status"], &leg["parent_id"]), (&"completed".into(), &sid.into()), "{leg}");
    assert_eq!(job(agent).await.as_deref(), Some("01JOB"));
}

#[tokio::test]
async fn accounts_are_reached_where_their_credentials_are() {
    let twilio = double();
    let at = TestDatabase::sqlite().await;
    let settings = [("ONHOOK_TWILIO_API_BASE", twilio.address.as_str()), ("ONHOOK_RUN_STALE_AFTER", "6s")];
    let config = config(&at.place.url, &settings);
    let (clock, mut rng, metrics) = (twilio.clock.shared(), StdRng::seed_from_u64(7), Metrics::new());
    let db = app::open_store(&config).await.unwrap();
    let directory = Arc::new(app::directory(&config, db.clone(), clock.clone(), &mut rng).unwrap());
    let (ingest, _writer) = Ingest::new(Parts {
        db: db.clone(),
        clock: clock.clone(),
        rng: StdRng::seed_from_u64(8),
        rules: app::rules(&config),
        metrics: metrics.clone(),
    });
    let fuses = Fuses { db, clock, directory, ingest, metrics };
    let pbxs = app::pbxs(&config, fuses.clone(), &mut rng);
    let exchange: Arc<dyn Exchange> = app::exchange(&config, fuses, pbxs, &mut rng).unwrap();
    let Reach::Here(dialer) = exchange.reach("default", "twilio", ACCOUNT).await.unwrap() else { panic!() };
    assert_eq!(dialer.timeout(), Duration::from_secs(2), "a third of what a lease lasts");
    assert!(matches!(dialer.place(&order(speaking(), START_MS)).await, Placed::Accepted(_)));
    for (tenant, account) in [("other", ACCOUNT), ("default", "AC00000000000000000000000000000099")] {
        let trouble = exchange.reach(tenant, "twilio", account).await.unwrap_err();
        assert_eq!(trouble.kind, TroubleKind::Refused, "{tenant} {account}: {trouble}");
    }
}
