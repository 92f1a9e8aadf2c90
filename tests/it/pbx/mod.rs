//! PBXs that are held: who listens, what is written, and what is known after a gap.

mod calls;
mod dialing;
mod hanging_up;
mod leases;
mod pushes;
mod scene;
mod sweeping;
mod told;
mod troubles;
