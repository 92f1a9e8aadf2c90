//! A gateway whose clock is set: forth and back, by an hour, a day, a year.

use super::scene::{Scene, is_in_order, on_both_scenes};
use crate::support::stage::INTERVAL_MS;
use onhook::{
    domain::{
        state::Outcome,
        time::{DAY, HOUR, MINUTE},
    },
    store::calls,
};

on_both_scenes!(a_clock_that_is_set_ends_no_call_and_forgets_none, a_deadline_of_a_wrong_clock_is_mended);

const JUMPS_MS: [i64; 6] = [HOUR, -HOUR, DAY, -DAY, 365 * DAY, -365 * DAY];

async fn a_clock_that_is_set_ends_no_call_and_forgets_none(scene: Scene) {
    for (n, jump_ms) in (0..).zip(JUMPS_MS) {
        let before = scene.in_progress("").await;
        scene.pass(MINUTE).await;
        scene.sweep().await;
        scene.clock.advance(jump_ms);
        // One that is new while the clock is wrong.
        let meanwhile = scene.in_progress("").await;
        scene.sweep().await;
        scene.sweep_for(3).await;
        for sid in [&before, &meanwhile] {
            assert_eq!(scene.status(sid).await, "in-progress", "jump {n}");
        }
        if n % 2 == 0 {
            scene.end(&meanwhile, Outcome::Completed);
        }
        scene.clock.advance(-jump_ms);
        scene.sweep().await;
        scene.sweep_for(2).await;
        assert_eq!(scene.status(&before).await, "in-progress", "jump {n}");
        scene.end(&before, Outcome::Busy);
        scene.sweep_for(3).await;
        assert_eq!(scene.status(&before).await, "busy", "jump {n}");
        if n % 2 == 1 {
            scene.end(&meanwhile, Outcome::Completed);
            scene.sweep_for(3).await;
        }
        assert_eq!(scene.status(&meanwhile).await, "completed", "jump {n}");
        assert_eq!(
            (scene.owed(&before).await, scene.owed(&meanwhile).await),
            (vec!["call.repaired".to_owned()], vec!["call.repaired".to_owned()])
        );
    }
    is_in_order(&scene.gateway).await;
}

async fn a_deadline_of_a_wrong_clock_is_mended(scene: Scene) {
    scene.clock.advance(365 * DAY);
    let sid = scene.in_progress("").await;
    scene.clock.advance(-365 * DAY);
    let due_ms = async || calls::find(&scene.gateway.db, "default", &sid, None).await.unwrap()[0].due_at_ms.unwrap();
    assert!(due_ms().await > scene.twilio.now_ms() + 364 * DAY);
    scene.sweep().await;
    assert!(due_ms().await <= scene.twilio.now_ms() + INTERVAL_MS);
}
