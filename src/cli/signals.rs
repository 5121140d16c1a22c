//! Ctrl-C and SIGTERM, for commands that end on their own terms.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

/// Ctrl-C and SIGTERM.
#[derive(Debug)]
pub(super) struct Signals {
    terminated: Signal,
    interrupted: Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(Self { terminated: listen(SignalKind::terminate())?, interrupted: listen(SignalKind::interrupt())? })
    }

    /// Waits until somebody asks to stop.
    pub(super) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminated.recv() => (),
            _ = self.interrupted.recv() => (),
        }
    }
}
