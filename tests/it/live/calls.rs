//! How calls end when everybody listens.

use super::{
    gateway::Gateway,
    pbx::Pbx,
    phone::{Phone, Policy, Then, answers_after, never_answers, refuses, talks_for},
    truth::{Row, call, compare, leg},
};
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_end_as_the_phones_saw_them() {
    let pbx = Pbx::start("calls").await;
    let gateways = Gateway::both(&pbx).await;
    for gateway in &gateways {
        for (lead, phone) in [
            ("lead-of-number", "+14155550123"),
            ("lead-that-calls", "+14155550124"),
            ("lead-of-variable", "+14155550125"),
            ("lead-of-userevent", "+14155550126"),
            ("lead-that-is-busy", "+14155550127"),
        ] {
            gateway.put(&format!("/v1/leads/{lead}"), json!({"phone": phone})).await;
        }
    }

    let carrier = Phone::register(pbx.sip, "trunk", talks_for(300, 600)).await;
    let (one, two, three, four) = tokio::join!(
        async { tokio::join!(caller_hangs_up(&pbx), callee_hangs_up(&pbx), held(&pbx), two_at_once(&pbx)) },
        async {
            tokio::join!(
                refused(&pbx, "2005", "2006", "486 Busy Here", "busy", "busy"),
                refused(&pbx, "2011", "2012", "404 Not Found", "failed", "unreachable"),
                refused(&pbx, "2013", "2014", "503 Service Unavailable", "failed", "failed"),
                refused(&pbx, "2038", "2039", "603 Decline", "failed", "rejected"),
                refused(&pbx, "2040", "2041", "480 Temporarily Unavailable", "no-answer", "no_answer"),
            )
        },
        async {
            tokio::join!(nobody_answers(&pbx), canceled(&pbx), group(&pbx), ivr(&pbx), queue(&pbx), nobody_there(&pbx))
        },
        async {
            tokio::join!(
                originated(&pbx),
                dialed_by_variable(&pbx, "52044", "2043", "2044", "lead-of-variable"),
                dialed_by_variable(&pbx, "62046", "2045", "2046", "lead-of-userevent"),
                lead_is_called(&pbx),
                lead_calls(&pbx, &carrier),
                forwarded(&pbx),
            )
        },
    );
    let (a, b, c, d) = (one, two, three, four);
    let rows = [
        a.0, a.1, a.2, a.3.0, a.3.1, b.0, b.1, b.2, b.3, b.4, c.0, c.1, c.2, c.3, c.4, c.5, d.0, d.1, d.2, d.3, d.4,
        d.5,
    ];
    compare(&gateways, &rows).await;

    for gateway in &gateways {
        for lead in ["lead-of-number", "lead-of-variable", "lead-of-userevent"] {
            let lead = gateway.get(&format!("/v1/leads/{lead}")).await;
            assert_eq!((&lead["status"], &lead["contact_count"]), (&json!("contacted"), &json!(1)), "{lead}");
        }
        let busy = gateway.get("/v1/leads/lead-that-is-busy").await;
        assert_eq!((&busy["status"], &busy["contact_count"]), (&json!("new"), &json!(0)), "{busy}");
        gateway.assert_checked();
    }
}

async fn caller_hangs_up(pbx: &Pbx) -> Row {
    let (near, far) = phones(pbx, ["2001", "2002"], answers_after(300)).await;
    let line = near.call("2002");
    line.up().await;
    sleep(TALK).await;
    line.hang_up();
    let truth = far.rung().await;
    let (up, over) = (truth.up().await.up_ms.unwrap(), truth.over().await.ended_ms.unwrap());
    call("2001", "2002").completed(up, over).legs([leg("2002").completed(up, over)])
}

async fn callee_hangs_up(pbx: &Pbx) -> Row {
    let (near, _far) = phones(pbx, ["2003", "2004"], talks_for(300, 800)).await;
    let truth = near.call("2004").over().await;
    let (up, over) = (truth.up_ms.unwrap(), truth.ended_ms.unwrap());
    call("2003", "2004").completed(up, over).legs([leg("2004").completed(up, over)])
}

async fn refused(
    pbx: &Pbx,
    near: &str,
    far: &str,
    with: &'static str,
    status: &'static str,
    cause: &'static str,
) -> Row {
    let (near_phone, _far) = phones(pbx, [near, far], refuses(with)).await;
    let over = near_phone.call(far).over().await.ended_ms.unwrap();
    let row = |row: Row| row.ended(status, over).cause(cause);
    row(call(near, far)).legs([row(leg(far))])
}

async fn nobody_answers(pbx: &Pbx) -> Row {
    let (near, _far) = phones(pbx, ["2007", "2008"], never_answers()).await;
    let over = near.call("12008").over().await.ended_ms.unwrap();
    let row = |row: Row| row.ended("no-answer", over).cause("no_answer");
    row(call("2007", "12008")).legs([row(leg("2008"))])
}

async fn canceled(pbx: &Pbx) -> Row {
    let (near, far) = phones(pbx, ["2009", "2010"], never_answers()).await;
    let line = near.call("2010");
    line.ringing().await;
    sleep(RING).await;
    line.cancel();
    let over = far.rung().await.over().await.ended_ms.unwrap();
    line.over().await;
    let row = |row: Row| row.ended("canceled", over).cause("canceled");
    row(call("2009", "2010")).legs([row(leg("2010"))])
}

/// The dialed phone is registered nowhere: there is no leg.
async fn nobody_there(pbx: &Pbx) -> Row {
    let near = Phone::register(pbx.sip, "2059", never_answers()).await;
    let over = near.call("2060").over().await.ended_ms.unwrap();
    call("2059", "2060").ended("failed", over)
}

/// Two phones ring together; one is faster.
async fn group(pbx: &Pbx) -> Row {
    let near = Phone::register(pbx.sip, "2015", never_answers()).await;
    let slow = Phone::register(pbx.sip, "2016", never_answers()).await;
    let fast = Phone::register(pbx.sip, "2017", talks_for(600, 500)).await;
    let line = near.call("32016");
    let truth = fast.rung().await.over().await;
    let (up, over) = (truth.up_ms.unwrap(), truth.ended_ms.unwrap());
    let gone = slow.rung().await.over().await.ended_ms.unwrap();
    line.over().await;
    call("2015", "32016")
        .completed(up, over)
        .legs([leg("2016").ended("canceled", gone), leg("2017").completed(up, over)])
}

/// The caller was connected all the time, and yet nobody answered.
async fn ivr(pbx: &Pbx) -> Row {
    let (near, far) = phones(pbx, ["2018", "2019"], never_answers()).await;
    let line = near.call("22019");
    let gone = far.rung().await.over().await.ended_ms.unwrap();
    let over = line.over().await.ended_ms.unwrap();
    call("2018", "22019").ended("no-answer", over).cause("no_answer").legs([leg("2019").ended("no-answer", gone)])
}

async fn queue(pbx: &Pbx) -> Row {
    let near = Phone::register(pbx.sip, "2020", never_answers()).await;
    let idle = Phone::register(pbx.sip, "2021", never_answers()).await;
    let agent = Phone::register(pbx.sip, "2022", talks_for(700, 500)).await;
    let line = near.call("queue");
    let truth = agent.rung().await.over().await;
    let (up, over) = (truth.up_ms.unwrap(), truth.ended_ms.unwrap());
    let gone = idle.rung().await.over().await.ended_ms.unwrap();
    line.over().await;
    call("2020", "queue")
        .completed(up, over)
        .legs([leg("2021").ended("canceled", gone), leg("2022").completed(up, over)])
}

/// Hold is talk.
async fn held(pbx: &Pbx) -> Row {
    let (near, far) = phones(pbx, ["2023", "2024"], answers_after(200)).await;
    let line = near.call("2024");
    let up = line.up().await.up_ms.unwrap();
    sleep(RING).await;
    line.hold();
    sleep(TALK).await;
    line.resume();
    sleep(RING).await;
    line.hang_up();
    let over = far.rung().await.over().await.ended_ms.unwrap();
    call("2023", "2024").completed(up, over).legs([leg("2024").completed(up, over)])
}

/// Two calls between the same phones at the same time are two calls.
async fn two_at_once(pbx: &Pbx) -> (Row, Row) {
    let (near, far) = phones(pbx, ["2033", "2034"], answers_after(200)).await;
    let first = near.call("2034");
    let far_first = far.rung().await;
    let second = near.call("2034");
    let far_second = far.rung().await;
    let ups = (first.up().await.up_ms.unwrap(), second.up().await.up_ms.unwrap());
    sleep(RING).await;
    first.hang_up();
    let first_over = far_first.over().await.ended_ms.unwrap();
    sleep(2 * TALK).await;
    second.hang_up();
    let second_over = far_second.over().await.ended_ms.unwrap();
    let row = |up, over| call("2033", "2034").completed(up, over).legs([leg("2034").completed(up, over)]);
    (row(ups.0, first_over), row(ups.1, second_over).after(1))
}

/// Asked for by a program: one phone rings, and who answers it is put through to the other.
async fn originated(pbx: &Pbx) -> Row {
    let (agent, customer) = phones(pbx, ["2031", "2032"], answers_after(300)).await;
    let fields = [
        ("Channel", "PJSIP/2031"),
        ("Exten", "2032"),
        ("Context", "phones"),
        ("Priority", "1"),
        ("CallerID", "Click <2031>"),
        ("ChannelId", "click-1"),
        ("Async", "true"),
    ];
    pbx.ask("Originate", &fields).await;
    let (agent, customer) = (agent.rung().await, customer.rung().await);
    let (agent_up, up) = (agent.up().await.up_ms.unwrap(), customer.up().await.up_ms.unwrap());
    sleep(TALK).await;
    customer.hang_up();
    let over = agent.over().await.ended_ms.unwrap();
    // The whole is the agent's, whom nobody called, and answered when the agent answers; the customer's leg says when the
    // conversation began.
    call("", "2031").completed(agent_up, over).talked(over - up).legs([leg("2032").completed(up, over)])
}

/// The dialplan says which lead is called.
async fn dialed_by_variable(pbx: &Pbx, number: &str, near: &str, far: &str, lead: &'static str) -> Row {
    let (near_phone, far_phone) = phones(pbx, [near, far], talks_for(200, 500)).await;
    let line = near_phone.call(number);
    let truth = far_phone.rung().await.over().await;
    line.over().await;
    let (up, over) = (truth.up_ms.unwrap(), truth.ended_ms.unwrap());
    call(near, number).completed(up, over).lead(lead).legs([leg(far).completed(up, over)])
}

/// A lead's number is dialed through the carrier: the leg to it is the lead's.
async fn lead_is_called(pbx: &Pbx) -> Row {
    let near = Phone::register(pbx.sip, "2036", never_answers()).await;
    let truth = near.call("+14155550123").over().await;
    let (up, over) = (truth.up_ms.unwrap(), truth.ended_ms.unwrap());
    let legs = [leg("+14155550123").completed(up, over).lead("lead-of-number")];
    call("2036", "+14155550123").completed(up, over).legs(legs)
}

/// A lead calls, and the phone is busy: that is no contact.
async fn lead_calls(pbx: &Pbx, carrier: &Phone) -> Row {
    let _phone = Phone::register(pbx.sip, "2037", refuses("486 Busy Here")).await;
    let identity = "P-Asserted-Identity: <sip:+14155550127@127.0.0.1>\r\n";
    let over = carrier.call_as("+14155552037", identity).over().await.ended_ms.unwrap();
    let row = |row: Row| row.ended("busy", over).cause("busy");
    row(call("+14155550127", "+14155552037")).lead("lead-that-is-busy").legs([row(leg("2037"))])
}

/// The dialed phone sends its callers to another one.
async fn forwarded(pbx: &Pbx) -> Row {
    let near = Phone::register(pbx.sip, "2047", never_answers()).await;
    let away = Policy { ring: None, then: Then::Forward("2049") };
    let _away = Phone::register(pbx.sip, "2048", away).await;
    let instead = Phone::register(pbx.sip, "2049", talks_for(200, 500)).await;
    let line = near.call("2048");
    let truth = instead.rung().await.over().await;
    line.over().await;
    let (up, over) = (truth.up_ms.unwrap(), truth.ended_ms.unwrap());
    let forwarding = leg("2048").ended("canceled", truth.began_ms);
    call("2047", "2048").completed(up, over).legs([forwarding, leg("2049").completed(up, over)])
}

/// The first calls, the second does what it is told.
pub async fn phones(pbx: &Pbx, numbers: [&str; 2], policy: Policy) -> (Phone, Phone) {
    let [near, far] = numbers;
    tokio::join!(Phone::register(pbx.sip, near, policy.clone()), Phone::register(pbx.sip, far, policy))
}

/// Long enough to be seen in whole seconds or not, as it happens.
const TALK: Duration = Duration::from_millis(900);
const RING: Duration = Duration::from_millis(300);
