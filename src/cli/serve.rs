//! The command `serve`: settings, log and signals around the daemon.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::settings::prepare_folder;
use super::{ConfigArgs, Outcome, block_on};
use crate::config::Config;
use crate::shutdown::{ReadyFile, Shutdown};
use crate::{daemon, telemetry};

/// Runs the daemon: REST front, intake, lanes, receipts, and the admin port.
///
/// Reads built-in defaults, then config/default.toml when it is in the working folder, then --config, then
/// the environment (DISPATCHER__SECTION__KEY); `check-config` shows what comes out. The first SIGTERM or
/// Ctrl-C drains: no new sends, those on the wire finish, everything is recorded. The second ends the
/// process at once; what was on the wire is then `unknown` and is never sent again unasked.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Writes one line of JSON with the bound addresses to this file once everything is ready.
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
    /// Drains when standard input ends, so that the daemon does not outlive the process that started it.
    #[arg(long)]
    stop_with_stdin: bool,
    #[cfg(feature = "kill-points")]
    #[command(flatten)]
    death: DeathArgs,
}

/// Where the process dies, for tests; see [`mod@crate::kill_point`].
#[cfg(feature = "kill-points")]
#[derive(Debug, Args)]
struct DeathArgs {
    /// The kill point.
    #[arg(long, hide = true, value_name = "NAME")]
    die_at: Option<String>,
    /// How often it is passed until then, this time included.
    #[arg(long, hide = true, value_name = "N", default_value_t = 1)]
    die_nth: u64,
}

impl ServeArgs {
    pub(super) fn run(self) -> Outcome {
        #[cfg(feature = "kill-points")]
        self.death.choose()?;
        let config = self.config.load()?;
        telemetry::logging::init(&config.telemetry).context("set up the log")?;
        prepare_folder(&config.store.url)?;
        let shutdown = Shutdown::new();
        if self.stop_with_stdin {
            shutdown.follow_standard_input().context("watch standard input")?;
        }
        block_on(Box::pin(serve(config, shutdown, ReadyFile::new(self.ready_file))))??;
        Ok(())
    }
}

#[cfg(feature = "kill-points")]
impl DeathArgs {
    fn choose(&self) -> anyhow::Result<()> {
        let Some(name) = &self.die_at else { return Ok(()) };
        anyhow::ensure!(crate::kill_point::choose(name, self.die_nth), "no kill point is called {name}");
        Ok(())
    }
}

/// Runs the daemon until it has drained, or until the second request to stop drops it.
async fn serve(config: Config, shutdown: Shutdown, ready: ReadyFile) -> anyhow::Result<()> {
    let followed = shutdown.clone();
    tokio::select! {
        ended = daemon::run(config, shutdown, ready) => ended,
        listened = followed.follow_signals() => {
            listened.context("listen for signals")?;
            anyhow::bail!("ended at once, as asked twice")
        }
    }
}
