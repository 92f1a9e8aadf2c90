//! Answers under an Idempotency-Key.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::idempotency::{self, IdempotencyRow, Stored};

on_both! { the_first_answer_stands, of_two_at_once_one_is_new, old_answers_are_forgotten_in_portions, an_expired_answer_makes_room }

fn answer(key: &str, body: &[u8], created_ms: i64) -> IdempotencyRow {
    IdempotencyRow {
        tenant: "acme".into(),
        key: key.into(),
        request: vec![1, 2, 3],
        status: 201,
        body: body.to_vec(),
        created_ms,
    }
}

async fn the_first_answer_stands(at: TestDatabase) {
    let first = answer("k", b"\x00\xff{}", 1);
    assert_eq!(commit!(at, |tx| idempotency::insert(tx, &first)), Stored::New);
    let again = commit!(at, |tx| idempotency::insert(tx, &answer("k", b"other", 2)));
    assert_eq!(again, Stored::Existing(first.clone()));
    assert_eq!(idempotency::find(&at.db, "acme", "k").await.unwrap(), Some(first));
    assert_eq!(idempotency::find(&at.db, "other", "k").await.unwrap(), None);
    let theirs = IdempotencyRow { tenant: "other".into(), ..answer("k", b"theirs", 3) };
    assert_eq!(commit!(at, |tx| idempotency::insert(tx, &theirs)), Stored::New);
}

async fn of_two_at_once_one_is_new(at: TestDatabase) {
    let mut faster = at.db.begin().await.unwrap();
    assert_eq!(idempotency::insert(&mut faster, &answer("k", b"faster", 1)).await.unwrap(), Stored::New);
    let db = at.db.clone();
    let slower = tokio::spawn(async move {
        let mut tx = db.begin().await.unwrap();
        idempotency::insert(&mut tx, &answer("k", b"slower", 1)).await.unwrap()
    });
    if at.db.kind() == "postgres" {
        at.place.until_waiting(1).await;
    }
    faster.commit().await.unwrap();
    assert_eq!(slower.await.unwrap(), Stored::Existing(answer("k", b"faster", 1)));
}

async fn old_answers_are_forgotten_in_portions(at: TestDatabase) {
    for (key, created_ms) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        commit!(at, |tx| idempotency::insert(tx, &answer(key, b"", created_ms)));
    }
    assert_eq!(commit!(at, |tx| idempotency::delete_older(tx, 4, 2)), 2);
    assert_eq!(commit!(at, |tx| idempotency::delete_older(tx, 4, 2)), 1);
    assert_eq!(commit!(at, |tx| idempotency::delete_older(tx, 4, 2)), 0);
    assert!(idempotency::find(&at.db, "acme", "d").await.unwrap().is_some());
}

async fn an_expired_answer_makes_room(at: TestDatabase) {
    for key in ["a", "b"] {
        commit!(at, |tx| idempotency::insert(tx, &answer(key, b"old", 5)));
    }
    assert_eq!(commit!(at, |tx| idempotency::delete_expired(tx, "acme", "a", 4)), 0);
    assert_eq!(commit!(at, |tx| idempotency::delete_expired(tx, "other", "a", 5)), 0);
    assert_eq!(commit!(at, |tx| idempotency::delete_expired(tx, "acme", "a", 5)), 1);
    assert_eq!(commit!(at, |tx| idempotency::insert(tx, &answer("a", b"new", 6))), Stored::New);
    assert_eq!(idempotency::find(&at.db, "acme", "b").await.unwrap(), Some(answer("b", b"old", 5)));
}
