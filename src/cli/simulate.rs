//! The command `simulate`: the provider simulator as a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::{Failure, Outcome, block_on, print};
use crate::shutdown::Shutdown;
use crate::simulator::{self, Faults, Options};

/// Runs a simulated provider that speaks Meta's Cloud API and keeps a ledger of what arrives.
///
/// Accepts POST /vNN.N/{phone-number-id}/messages as Meta's Cloud API does, reports what became of each
/// message to --callback-url, and shows in GET /ledger every request that arrived, duplicates, and
/// violations of a given pace (?ratePerSecond=2&burst=1); GET /ledger/numbers counts by number and account.
/// POST /inbound lets a recipient write. Keeps nothing on disk.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  dispatcher simulate --listen 127.0.0.1:8090 --callback-url http://127.0.0.1:8080/api/v1/provider/cloud/webhook
  curl -s 'http://127.0.0.1:8090/ledger?ratePerSecond=1&burst=1'")]
pub(super) struct SimulateArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Where receipts are posted to; without it there are none.
    #[arg(long, value_name = "URL")]
    callback_url: Option<String>,
    /// Signs the receipts; must be gateway.app_secret of the daemon.
    #[arg(long, value_name = "TEXT", default_value = "simulator")]
    app_secret: String,
    /// What goes wrong, as TOML: latency, limits, errors, outages, resets, hangs, bad receipts.
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Milliseconds that every answer takes, whatever the fault file says.
    #[arg(long, value_name = "MS")]
    latency_ms: Option<u64>,
    /// Where all chance comes from; the same seed gives the same faults.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Posts no receipts.
    #[arg(long)]
    no_receipts: bool,
    /// Stops when standard input ends, so that it does not outlive the process that started it.
    #[arg(long)]
    stop_with_stdin: bool,
}

impl SimulateArgs {
    pub(super) fn run(self) -> Outcome {
        let faults = self.faults.as_deref().map(read_faults).transpose()?.unwrap_or_default();
        let faults = match self.latency_ms {
            Some(latency_ms) => faults.with_latency(Duration::from_millis(latency_ms)),
            None => faults,
        };
        let shutdown = Shutdown::new();
        if self.stop_with_stdin {
            shutdown.follow_standard_input().context("watch standard input")?;
        }
        let options = Options {
            listen: self.listen,
            callback_url: self.callback_url,
            app_secret: self.app_secret,
            seed: self.seed,
            faults,
            receipts: !self.no_receipts,
        };
        block_on(simulate(options, shutdown))?
    }
}

async fn simulate(options: Options, shutdown: Shutdown) -> Outcome {
    let simulator = simulator::bind(options).await.map_err(anyhow::Error::new)?;
    print(format!("{{\"simulator\":\"http://{}\"}}\n", simulator.address).as_bytes())?;
    let stop = shutdown.drain().clone();
    tokio::select! {
        () = simulator.run(stop) => Ok(()),
        listened = shutdown.follow_signals() => Ok(listened.context("listen for signals")?),
    }
}

/// Reads a fault file.
pub(super) fn read_faults(path: &Path) -> Result<Faults, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|problem| Failure::Usage(format!("{} can not be read: {problem}", path.display())))?;
    Faults::from_toml(&text).map_err(|problems| {
        Failure::Usage(format!("{} mistakes in {}:\n{}", problems.len(), path.display(), problems.join("\n")))
    })
}
