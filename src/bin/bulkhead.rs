//! The OCI runtime's command line.

fn main() -> std::process::ExitCode {
    bulkhead::cli::main()
}
