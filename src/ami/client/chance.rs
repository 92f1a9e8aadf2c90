//! What decides whether a question is sent when whoever asks may give up.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// The one chance to send something. Whoever takes it first decides: who sends takes it right before, and who gives up takes
/// it so that nothing is sent later. Clones are the same chance.
#[derive(Clone, Debug, Default)]
pub struct Chance(Arc<AtomicBool>);

impl Chance {
    /// Takes it; `false`: it is taken.
    pub fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// Takes it when the value ends, whatever ends it.
    pub fn taken_at_the_end(&self) -> impl Drop + use<> {
        TakesAtTheEnd(self.clone())
    }
}

struct TakesAtTheEnd(Chance);

impl Drop for TakesAtTheEnd {
    fn drop(&mut self) {
        self.0.take();
    }
}
