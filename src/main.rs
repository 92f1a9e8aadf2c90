//! onhook
fn main() {}
