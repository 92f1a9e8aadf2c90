//! What is known of a call, in sentences for people: why a live one is silent and what comes next ([`live`]), and the whole
//! story of one ([`story`]). It only reads; numbers in sentences are masked.

mod ending;
mod lead;
pub mod live;
pub mod story;
mod told;
