//! Refused deliveries: kept within bounds, whoever sends them, and applied later as if they had come in time.

mod batches;
mod bounds;
mod redrive;
mod verify;
