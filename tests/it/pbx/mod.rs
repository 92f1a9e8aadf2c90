//! PBXs that are held: who listens, what is written, and what is known after a gap.

mod leases;
mod scene;
mod troubles;
