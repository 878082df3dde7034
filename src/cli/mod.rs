//! One file per command.

/// The whole program: parses, runs, prints, and says with which code to exit.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
