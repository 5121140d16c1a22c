//! How the process is asked to stop, and how it says that it is ready.
//!
//! The first SIGTERM or Ctrl-C drains: stop taking, finish what is on the wire, hand back the rest. The
//! second ends the process at once; what was on the wire is then unknown, which the next start settles.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A request to stop, seen by all parts; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    now: CancellationToken,
}

impl Shutdown {
    /// Makes one that nobody has asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks to stop: the first time to drain, the second time to end at once.
    pub fn ask(&self) {
        if self.drain.is_cancelled() {
            self.now.cancel();
        }
        self.drain.cancel();
    }

    /// Returns what is cancelled when the drain begins.
    #[must_use]
    pub fn drain(&self) -> &CancellationToken {
        &self.drain
    }

    /// Returns what is cancelled when the process must end at once.
    #[must_use]
    pub fn now(&self) -> &CancellationToken {
        &self.now
    }

    /// Asks at each SIGTERM and Ctrl-C; returns after the one that ends the process.
    ///
    /// # Errors
    /// When the system refuses to tell about signals.
    pub async fn follow_signals(&self) -> std::io::Result<()> {
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        while !self.now.is_cancelled() {
            let word = tokio::select! {
                _ = terminated.recv() => "SIGTERM",
                _ = interrupted.recv() => "SIGINT",
                () = self.now.cancelled() => break,
            };
            self.ask();
            tracing::info!(signal = word, at_once = self.now.is_cancelled(), "asked to stop");
        }
        Ok(())
    }

    /// Asks to drain when standard input ends, which it does when the parent process is gone.
    ///
    /// # Errors
    /// When the thread that reads can not be started.
    pub fn follow_standard_input(&self) -> std::io::Result<()> {
        let drain = self.drain.clone();
        let read_to_end = move || {
            // A broken input has ended too.
            std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()).ok();
            drain.cancel();
        };
        std::thread::Builder::new().name("parent watch".into()).spawn(read_to_end).map(drop)
    }
}

/// Tells whoever started the process that it is ready, and where it listens.
#[derive(Debug, Default)]
pub struct ReadyFile {
    path: Option<PathBuf>,
}

impl ReadyFile {
    /// Makes one that writes to `path`, or nowhere.
    #[must_use]
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { path }
    }

    /// Writes `{"api":"http://…","admin":"http://…"}` as one line; a reader sees all of it or nothing.
    ///
    /// # Errors
    /// When the file can not be written.
    pub fn tell(&self, api: SocketAddr, admin: SocketAddr) -> std::io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let line = format!("{{\"api\":\"http://{api}\",\"admin\":\"http://{admin}\"}}\n");
        let half_written = path.with_extension("part");
        std::fs::write(&half_written, line)?;
        std::fs::rename(half_written, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_request_ends_at_once() {
        let shutdown = Shutdown::new();
        shutdown.ask();
        assert!(shutdown.drain().is_cancelled() && !shutdown.now().is_cancelled());
        shutdown.ask();
        assert!(shutdown.now().is_cancelled());
    }

    #[test]
    fn the_ready_file_names_both_addresses() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("ready.json");
        let address = |text: &str| text.parse().expect("an address");
        ReadyFile::new(Some(path.clone())).tell(address("127.0.0.1:1"), address("[::1]:2")).expect("written");
        let text = std::fs::read_to_string(path).expect("there");
        assert_eq!(text, "{\"api\":\"http://127.0.0.1:1\",\"admin\":\"http://[::1]:2\"}\n");
        ReadyFile::new(None).tell(address("127.0.0.1:1"), address("127.0.0.1:2")).expect("nothing to do");
    }
}
