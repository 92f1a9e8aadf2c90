//! onhook: a gateway that makes every phone call end with the truth. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    onhook::cli::main()
}
