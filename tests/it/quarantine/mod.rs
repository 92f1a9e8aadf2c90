//! Refused deliveries: kept within bounds, whoever sends them, and applied later as if they had come in time.

mod bounds;
mod redrive;
mod verify;
