//! The network between gateway and PBX is cut, goes silent, or is slow; calls go on, end and begin meanwhile.

use super::{
    gateway::Gateway,
    line::{Line, now_ms},
    network::Weather,
    pbx::Pbx,
    phone::{Phone, answers_after, never_answers},
    truth::{Row, call, compare, leg, until_so},
};
use std::{ops::RangeInclusive, time::Duration};
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_while_the_line_was_cut_is_found_out() {
    listening_stops("cut", Weather::Cut).await;
}

/// Nobody tells the gateway that nothing arrives any more: it has to ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_while_the_line_was_silent_is_found_out() {
    listening_stops("silent", Weather::Silent).await;
}

async fn listening_stops(name: &str, weather: Weather) {
    let pbx = Pbx::start(name).await;
    let gateways = Gateway::both(&pbx).await;
    let cast = Cast::begin(&pbx).await;
    let heard_ms = now_ms();
    compare(&gateways, &cast.before()).await;

    for gateway in &gateways {
        gateway.network.set(weather);
    }
    let played = cast.play().await;
    for gateway in &gateways {
        gateway.until_lost().await;
    }
    let mended_ms = now_ms();
    for gateway in &gateways {
        gateway.network.set(Weather::Fair);
    }
    for gateway in &gateways {
        gateway.until_in_step().await;
        let rows = played.found(heard_ms..=now_ms());
        until_so(gateway, &rows).await;
        let back_ms = gateway.network.until_passed_after(mended_ms).await;
        let took_ms = now_ms() - back_ms;
        assert!(took_ms <= 2_000, "{took_ms} ms from the reconnect until every call was right");
    }
    let found = heard_ms..=now_ms();
    compare(&gateways, &played.found(found.clone())).await;
    compare(&gateways, &played.end(found).await).await;
    for gateway in &gateways {
        gateway.assert_checked();
    }
}

/// What arrives late, but arrives, is told with its own times, and nothing is guessed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_late_is_told_with_its_own_times() {
    let pbx = Pbx::start("late").await;
    let gateways = Gateway::both(&pbx).await;
    let near = Phone::register(pbx.sip, "2001", never_answers()).await;
    let far = Phone::register(pbx.sip, "2002", never_answers()).await;
    let line = near.call("2002");
    let ringing = far.rung().await;
    ringing.ringing().await;
    compare(&gateways, &[call("2001", "2002").rings().legs([leg("2002").rings()])]).await;

    for gateway in &gateways {
        gateway.network.set(Weather::Silent);
    }
    ringing.answer();
    let up = line.up().await.up_ms.unwrap();
    sleep(Duration::from_millis(1_500)).await;
    line.hang_up();
    let over = ringing.over().await.ended_ms.unwrap();
    sleep(Duration::from_millis(1_500)).await;
    for gateway in &gateways {
        gateway.network.set(Weather::Fair);
    }
    compare(&gateways, &[call("2001", "2002").completed(up, over).legs([leg("2002").completed(up, over)])]).await;
}

/// Calls under way, each of which something else happens to while nobody listens.
pub struct Cast {
    ends: Pair,
    stays: Pair,
    is_answered: Pair,
    is_given_up: Pair,
    /// Is answered and ends.
    comes_and_goes: Pair,
    /// Ends, and the same phones talk again.
    is_repeated: Pair,
}

/// Two phones with a call between them.
struct Pair {
    numbers: [&'static str; 2],
    near: Phone,
    far: Phone,
    line: Line,
    end: Line,
}

impl Cast {
    pub async fn begin(pbx: &Pbx) -> Self {
        let (ends, stays, is_answered, is_given_up, comes_and_goes, is_repeated) = tokio::join!(
            Pair::talking(pbx, ["2001", "2002"]),
            Pair::talking(pbx, ["2003", "2004"]),
            Pair::ringing(pbx, ["2005", "2006"]),
            Pair::ringing(pbx, ["2007", "2008"]),
            Pair::ringing(pbx, ["2009", "2010"]),
            Pair::talking(pbx, ["2011", "2012"]),
        );
        Self { ends, stays, is_answered, is_given_up, comes_and_goes, is_repeated }
    }

    /// How things stand before.
    pub fn before(&self) -> Vec<Row> {
        let talking = [&self.ends, &self.stays, &self.is_repeated].map(|pair| pair.row(|row| row.talks(pair.up_ms())));
        let ringing = [&self.is_answered, &self.is_given_up, &self.comes_and_goes].map(|pair| pair.row(Row::rings));
        talking.into_iter().chain(ringing).collect()
    }

    /// What happens meanwhile.
    pub async fn play(self) -> Played {
        let first_up_ms = self.is_repeated.up_ms();
        sleep(Duration::from_millis(500)).await;
        self.is_given_up.line.cancel();
        self.is_answered.end.answer();
        self.comes_and_goes.end.answer();
        self.ends.line.hang_up();
        self.is_repeated.line.hang_up();
        self.is_repeated.end.over().await;
        let Pair { numbers, near, far, .. } = self.is_repeated;
        far.set_policy(answers_after(100));
        let again = Pair::of(numbers, near, far).await;
        again.line.up().await;
        self.comes_and_goes.line.up().await;
        self.comes_and_goes.line.hang_up();
        self.is_given_up.end.over().await;
        self.is_answered.line.up().await;
        let (ends, stays, answered) = (self.ends, self.stays, self.is_answered);
        let never = [self.is_given_up, self.comes_and_goes];
        Played { ends, stays, answered, never, first_up_ms, again }
    }
}

/// The calls after it.
pub struct Played {
    ends: Pair,
    stays: Pair,
    answered: Pair,
    never: [Pair; 2],
    first_up_ms: i64,
    again: Pair,
}

impl Played {
    /// What can be known of it, if nobody listened for this time.
    pub fn found(&self, away: RangeInclusive<i64>) -> Vec<Row> {
        let live = [&self.stays, &self.answered].map(|pair| pair.row(|row| row.talks(pair.up_ms())));
        let again = self.again.row(|row| row.talks(self.again.up_ms())).after(1);
        self.ended(&away).into_iter().chain(live).chain([again]).collect()
    }

    /// The calls that still live end, and somebody listens again.
    pub async fn end(&self, away: RangeInclusive<i64>) -> Vec<Row> {
        let mut rows = self.ended(&away);
        for (pair, turn) in [(&self.stays, 0), (&self.answered, 0), (&self.again, 1)] {
            pair.line.hang_up();
            let over = pair.end.over().await.ended_ms.unwrap();
            rows.push(pair.row(|row| row.completed(pair.up_ms(), over)).after(turn));
        }
        rows
    }

    fn ended(&self, away: &RangeInclusive<i64>) -> Vec<Row> {
        let missed = |row: Row, status, up_ms| row.missed(status, up_ms, away.clone()).cause(AWAY);
        let completed = [(&self.ends, self.ends.up_ms()), (&self.again, self.first_up_ms)];
        let completed = completed.map(|(pair, up_ms)| pair.row(|row| missed(row, "completed", Some(up_ms))));
        // Nobody can say whether they were answered: that they were is never made up.
        let never = self.never.each_ref().map(|pair| pair.row(|row| missed(row, "no-answer", None)));
        completed.into_iter().chain(never).collect()
    }
}

impl Pair {
    async fn talking(pbx: &Pbx, numbers: [&'static str; 2]) -> Self {
        let [near, far] = numbers;
        let near = Phone::register(pbx.sip, near, never_answers()).await;
        let far = Phone::register(pbx.sip, far, answers_after(200)).await;
        let pair = Self::of(numbers, near, far).await;
        pair.line.up().await;
        pair
    }

    async fn ringing(pbx: &Pbx, numbers: [&'static str; 2]) -> Self {
        let [near, far] = numbers;
        let near = Phone::register(pbx.sip, near, never_answers()).await;
        let far = Phone::register(pbx.sip, far, never_answers()).await;
        let pair = Self::of(numbers, near, far).await;
        pair.line.ringing().await;
        pair
    }

    async fn of(numbers: [&'static str; 2], near: Phone, far: Phone) -> Self {
        // Earlier calls are not waited for again.
        let line = near.call(numbers[1]);
        let end = far.rung().await;
        Self { numbers, near, far, line, end }
    }

    fn up_ms(&self) -> i64 {
        self.line.facts().up_ms.unwrap()
    }

    /// Both its rows.
    fn row(&self, of: impl Fn(Row) -> Row) -> Row {
        of(call(self.numbers[0], self.numbers[1])).legs([of(leg(self.numbers[1]))])
    }
}

const AWAY: &str = "ended_while_disconnected";
