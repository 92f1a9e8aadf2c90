//! Holds the PBXs: exactly one process of all nodes listens to each (`store::pbx` has the lease), feeds its correlator and
//! submits what that says through the one door.
