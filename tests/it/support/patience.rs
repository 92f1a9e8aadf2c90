//! The only place where a test waits by looking again.

use std::{future::Future, time::Duration};

/// Looks again and again until it is so; fails with what it saw last when that takes too long.
pub async fn until<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let mut seen = String::new();
    for _ in 0..LOOKS {
        match look().await {
            Ok(value) => return value,
            Err(now) => seen = now,
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("waited {:?} for {what}; in the end:\n{seen}", PAUSE * LOOKS);
}

const PAUSE: Duration = Duration::from_millis(5);
const LOOKS: u32 = 6_000;
