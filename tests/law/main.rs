//! The law of `domain`: a call is a product of registers, so any order and any duplication of the same signals ends
//! in the same row. Needs nothing but `domain`, so that `scripts/mutations` can try wrong readings of the law quickly.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod algebra;
mod build;
mod contact;
mod effects;
mod reading;
mod signals;
mod steps;
mod stories;
mod universe;
mod vectors;
