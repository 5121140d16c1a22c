//! Daemon and simulator side by side, each a process of its own, on data of their own.
//!
//! The simulator lives as long as the world; the daemon dies and comes back on the same data and addresses.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use actiwapi_dispatcher::store::Store;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::by_hand::executable;
use super::client::{Client, loopback};
use super::process::{LINES_SHOWN, Process};
use super::provider::Provider;
use crate::support::wait::{PATIENCE, until};

/// Worlds at once: their lanes mostly wait, but a machine of two cores has to start and stop them all.
pub(super) static PLACES: Semaphore = Semaphore::const_new(5);

/// Below the ports that the system gives out by itself, so that nobody takes one while the daemon is dead.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Signs receipts and tokens.
pub(super) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Half of the receipts come before the answer to their message.
pub(super) const EARLY_RECEIPTS: &str = "\
[latency]
distribution = \"uniform\"
min_ms = 1.0
max_ms = 60.0
[receipts]
sent_ms = 1.0
delivered_ms = 10.0
read_ms = 80.0
";

/// What a world is made of.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    /// The database; an SQLite file in the world's folder when empty.
    pub(super) store_url: &'a str,
    /// Faults of the provider.
    pub(super) faults: &'a str,
    /// More settings of the daemon, `section.key = value`.
    pub(super) settings: &'a str,
}

/// Both processes and a tenant.
#[derive(Debug)]
pub(super) struct World {
    /// The provider's ledger.
    pub(super) provider: Provider,
    /// The tenant.
    pub(super) client: Client,
    daemon: Daemon,
    store_url: String,
    _simulator: Process,
    _folder: TempDir,
    _place: SemaphorePermit<'static>,
}

/// The daemon, alive or not.
#[derive(Debug)]
pub(super) struct Daemon {
    process: Option<Process>,
    settings: std::path::PathBuf,
    ready_file: std::path::PathBuf,
    /// A file and not a pipe, because that is what fails on a full disk.
    log: std::path::PathBuf,
    admin: String,
    http: reqwest::Client,
}

impl World {
    /// Starts both and registers a tenant; the daemon dies at the `n`th passing of a kill point, if one is given.
    pub(super) async fn start(plan: &Plan<'_>, death: Option<(&str, u64)>) -> Self {
        let place = PLACES.acquire().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (api, admin) = (free_port(), free_port());
        let faults = folder.path().join("faults.toml");
        std::fs::write(&faults, plan.faults).unwrap();
        let (simulator, address) = start_simulator(&faults, &format!("http://127.0.0.1:{api}")).await;

        let store_url = match plan.store_url {
            "" => format!("sqlite:{}", folder.path().join("dispatcher.db").display()),
            url => url.to_owned(),
        };
        let text = format!(
            "{}\nserver.listen = \"127.0.0.1:{api}\"\nserver.admin_listen = \"127.0.0.1:{admin}\"\n\
             store.url = \"{store_url}\"\nauth.jwt_secret = \"{SECRET}\"\nrate_limits.user_per_minute = 0\n\
             billing.trial_days = 0\ngateway.base_url = \"{address}\"\ngateway.linked_url = \"{address}\"\ngateway.app_secret = \"{SECRET}\"\nmedia.url = \"file:{}\"\n",
            plan.settings,
            folder.path().join("media").display(),
        );
        std::fs::write(folder.path().join("dispatcher.toml"), text).unwrap();
        let http = loopback();
        let mut daemon = Daemon::new(folder.path(), "dispatcher", admin, http.clone());
        daemon.launch(death);
        daemon.wait_until_ready().await;
        Self {
            provider: Provider::new(http.clone(), address),
            client: Client::register(http, &format!("http://127.0.0.1:{api}")).await,
            daemon,
            store_url,
            _simulator: simulator,
            _folder: folder,
            _place: place,
        }
    }

    /// Starts the daemon again; it must be dead.
    pub(super) async fn restart(&mut self) {
        self.launch();
        self.daemon.wait_until_ready().await;
    }

    /// Starts the daemon again, to die at a point that it passes before it is ready.
    pub(super) fn launch_to_die_at(&mut self, point: &str) {
        self.daemon.launch(Some((point, 1)));
    }

    /// Starts the daemon again and does not wait for it.
    pub(super) fn launch(&mut self) {
        self.daemon.launch(None);
    }

    /// Returns the daemon's process.
    pub(super) fn daemon(&mut self) -> &mut Process {
        self.daemon.process()
    }

    /// Returns the address of the daemon's database.
    pub(super) fn store_url(&self) -> &str {
        &self.store_url
    }

    /// Kills the daemon as `kill -9` does.
    pub(super) fn kill_daemon(&mut self) {
        self.daemon().kill();
    }

    /// Lets the daemon drain and end, and opens its database.
    pub(super) async fn stop_daemon(&mut self) -> Store {
        self.daemon().terminate();
        let status = self.daemon().end(Duration::from_secs(30)).await;
        assert_eq!(status.code(), Some(0), "the daemon ended with {status}");
        Store::open(&self.store_url, 2).await.unwrap()
    }

    /// Returns what a path of the admin port answers: status and text; none when nobody answers.
    pub(super) async fn admin(&self, path: &str) -> Option<(u16, String)> {
        self.daemon.admin(path).await
    }

    /// Returns a metric by its name with its labels; zero while nothing was counted.
    pub(super) async fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.admin("/metrics").await.unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0.0)
    }
}

/// Starts a simulator that hands its receipts to the front at `api`; returns it with its address.
pub(super) async fn start_simulator(faults: &std::path::Path, api: &str) -> (Process, String) {
    let mut command = Command::new(executable());
    command.args(["simulate", "--stop-with-stdin", "--listen=127.0.0.1:0"]);
    command.arg(format!("--app-secret={SECRET}"));
    command.arg(format!("--callback-url={api}/api/v1/provider/cloud/webhook"));
    command.arg("--faults").arg(faults);
    let simulator = Process::start("simulator", &mut command);
    let listening = |line: &str| {
        let bound: Value = serde_json::from_str(line).ok()?;
        Some(bound["simulator"].as_str()?.to_owned())
    };
    let address = simulator.said("the simulator's address", PATIENCE, listening).await;
    (simulator, address)
}

impl Daemon {
    /// Makes one that is not started yet; its settings are in `NAME.toml` of the folder.
    pub(super) fn new(folder: &std::path::Path, name: &str, admin: u16, http: reqwest::Client) -> Self {
        Self {
            process: None,
            settings: folder.join(format!("{name}.toml")),
            ready_file: folder.join(format!("{name}.ready.json")),
            log: folder.join(format!("{name}.log")),
            admin: format!("http://127.0.0.1:{admin}"),
            http,
        }
    }

    /// Returns its process.
    pub(super) fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    /// Returns what a path of the admin port answers: status and text; none when nobody answers.
    pub(super) async fn admin(&self, path: &str) -> Option<(u16, String)> {
        let answer = self.http.get(format!("{}{path}", self.admin)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    pub(super) fn launch(&mut self, death: Option<(&str, u64)>) {
        if let Some(before) = &mut self.process {
            assert!(before.ended().is_some(), "the daemon still runs");
        }
        if self.ready_file.exists() {
            std::fs::remove_file(&self.ready_file).unwrap();
        }
        // What it ignores here it ignores for good: a file that may not grow is then an error, not the end.
        let script = "trap '' XFSZ; log=$1; shift; exec \"$@\" 2>>\"$log\"";
        let mut command = Command::new("bash");
        command.args(["-c", script, "bash"]).arg(&self.log).arg(executable());
        command.args(["serve", "--stop-with-stdin", "--config"]).arg(&self.settings);
        command.arg("--ready-file").arg(&self.ready_file);
        if let Some((name, nth)) = death {
            command.arg(format!("--die-at={name}")).arg(format!("--die-nth={nth}"));
        }
        self.process = Some(Process::start("daemon", &mut command));
    }

    pub(super) async fn wait_until_ready(&mut self) {
        let (ready_file, process) = (&self.ready_file, self.process.as_mut().unwrap());
        let ready = async || {
            let ended = process.ended();
            assert!(ended.is_none(), "the daemon ended before it was ready: {ended:?}");
            ready_file.exists().then_some(())
        };
        until("the daemon is ready", PATIENCE, ready).await;
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = std::fs::read_to_string(&self.log).unwrap_or_default();
            let from = text.lines().count().saturating_sub(LINES_SHOWN);
            eprintln!("--- the last words of the daemon:");
            text.lines().skip(from).for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Finds a port that nobody listens on and that no other world of this process was given.
pub(super) fn free_port() -> u16 {
    static N_GIVEN: AtomicU16 = AtomicU16::new(0);
    let n_ports = PORTS.end - PORTS.start;
    // Another run at the same time starts elsewhere.
    let first = u16::try_from(std::process::id() * 37 % u32::from(n_ports)).unwrap();
    loop {
        let place = (first + N_GIVEN.fetch_add(1, Ordering::Relaxed)) % n_ports;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, PORTS.start + place)).is_ok() {
            return PORTS.start + place;
        }
    }
}
