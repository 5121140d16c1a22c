//! Arguments in, exit code out; everything else is the library.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Refused only when somebody chose a provider before, and nobody runs before us.
    rustls::crypto::ring::default_provider().install_default().ok();
    actiwapi_dispatcher::cli::run(std::env::args_os())
}
