//! The program `dispatcher-web`: reads its command line, opens its data, serves until it is told to stop.

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use dispatcher_web::data::{Data, Key};
use dispatcher_web::limits::STOP_WAIT;
use dispatcher_web::server::{Server, VERSION};
use dispatcher_web::sessions::{Sessions, Ways};
use dispatcher_web::transport::{Opener, WHATSAPP_URL};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Holds linked-device WhatsApp sessions for the dispatcher.
#[derive(Debug, Parser)]
#[command(name = "dispatcher-web", version = VERSION)]
struct Arguments {
    /// The Unix socket to listen at; its mode is 0600.
    #[arg(long, env = "DISPATCHER_WEB_SOCKET")]
    socket: PathBuf,
    /// The folder of the sessions' keys; its mode is 0700, and one worker has it at a time.
    #[arg(long, env = "DISPATCHER_WEB_DATA")]
    data: PathBuf,
    /// How many sessions there may be.
    #[arg(long, env = "DISPATCHER_WEB_SESSIONS_MAX", default_value_t = 200)]
    sessions_max: usize,
    /// A file with the token that requests must bear; without one, who can open the socket may ask.
    #[arg(long, env = "DISPATCHER_WEB_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// A file with the key of the databases: 32 bytes, or 64 digits, sixteen to a place. Without one they are not encrypted.
    #[arg(long, env = "DISPATCHER_WEB_KEY_FILE")]
    key_file: Option<PathBuf>,
    /// The address of a stand-in for WhatsApp.
    #[cfg(feature = "fake-server")]
    #[arg(long)]
    server_url: Option<String>,
}

impl Arguments {
    fn ways(&self) -> Ways {
        let ways =
            Ways { opener: Opener::new(WHATSAPP_URL), version: None, n_keys: None, sessions_max: self.sessions_max };
        #[cfg(feature = "fake-server")]
        if let Some(url) = &self.server_url {
            return Ways { opener: Opener::new(url), version: Some((2, 3_000, 0)), n_keys: Some(10), ..ways };
        }
        ways
    }
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().json().with_env_filter(filter()).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(arguments))
}

fn filter() -> tracing_subscriber::EnvFilter {
    tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into())
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut ends = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = match &arguments.token_file {
        Some(path) => Some(std::fs::read_to_string(path).context("the token file")?.trim().as_bytes().to_vec()),
        None => None,
    };
    anyhow::ensure!(token.as_ref().is_none_or(|token| !token.is_empty()), "the token file is empty");
    let key = arguments.key_file.as_deref().map(Key::read).transpose()?;
    if key.is_none() {
        tracing::warn!("the keys of sessions are not encrypted: whoever reads the folder of data can be these devices");
    }
    let data = Data::open(&arguments.data, key)?;
    data.prune().await?;
    let sessions = Sessions::open(data, arguments.ways()).await?;
    let listener = Server::bind(&arguments.socket).await.context("the socket")?;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let watched = sessions.clone();
    let watch_stop = stop.clone();
    tasks.spawn(async move { watched.watch(watch_stop).await });
    let started = sessions.clone();
    let start_stop = stop.clone();
    tasks.spawn(async move { started.start_again(start_stop).await });
    tasks.spawn(Server::new(sessions.clone(), token, stop.clone()).serve(listener));
    tracing::info!(version = VERSION, sessions = sessions.count().0, "serving");
    tokio::select! {
        _ = ends.0.recv() => {}
        _ = ends.1.recv() => {}
    }
    tracing::info!("stopping");
    stop.cancel();
    tasks.close();
    // Clients first: whoever waits for a word about a message is told that there is none.
    let stopped = tokio::time::timeout(STOP_WAIT, async {
        sessions.stop().await;
        tasks.wait().await;
    });
    if stopped.await.is_err() {
        tracing::warn!("not everything was closed in time");
    }
    if let Err(error) = std::fs::remove_file(&arguments.socket) {
        tracing::warn!(%error, "the socket is left behind");
    }
    Ok(())
}
