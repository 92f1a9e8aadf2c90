//! A double in the hands of several: its server, its courier, and whoever watches.

use super::Double;
use std::sync::{Arc, Mutex, PoisonError};

/// Clones are the same double.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Mutex<Double>>);

impl Shared {
    /// Shares it.
    pub fn new(double: Double) -> Self {
        Self(Arc::new(Mutex::new(double)))
    }

    /// Uses it; nobody else does meanwhile.
    pub fn with<T>(&self, act: impl FnOnce(&mut Double) -> T) -> T {
        // A panic in a test's closure is that test's failure; the double itself is still usable.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
