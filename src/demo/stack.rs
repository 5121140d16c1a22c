//! Simulator and daemon side by side: free ports, settings, readiness, and their end.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use tokio::time::Instant;

use super::Plan;
use super::child::Child;
use super::observed::{CpuTimes, DaemonFigures, cpu_of_process, cpu_of_tree};
use crate::config::KafkaConfig;

/// How often both are started again on other ports when somebody took one in between.
const STARTS_MAX: u32 = 3;

/// How long a process may take until it answers; a fresh PostgreSQL schema takes the longest.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long a process may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// The ports that the documentation uses: API, admin, simulator.
const USUAL_PORTS: [u16; 3] = [8080, 9090, 8090];

/// What both processes are started with.
#[derive(Debug)]
pub(super) struct StackPlan {
    folder: PathBuf,
    store_url: String,
    faults: Option<PathBuf>,
    latency: Option<Duration>,
    queue: Option<KafkaConfig>,
    usual_ports: bool,
}

/// Both processes, running and ready.
#[derive(Debug)]
pub(super) struct Stack {
    /// `http://ADDRESS:PORT` of the REST front.
    pub(super) api: String,
    /// The same of the admin port.
    pub(super) admin: String,
    /// The same of the simulator.
    pub(super) simulator: String,
    /// Settings, logs and the database.
    pub(super) folder: PathBuf,
    daemon: Child,
    provider: Child,
}

impl StackPlan {
    /// Makes it from the plan of a run; paths become absolute, because the processes run in the folder.
    pub(super) fn new(plan: &Plan) -> anyhow::Result<Self> {
        let absolute = |path: &PathBuf| path.canonicalize().with_context(|| format!("find {}", path.display()));
        let folder = absolute(&plan.folder)?;
        let file = folder.join("dispatcher.db");
        let store_url = match &plan.store_url {
            Some(url) => url.clone(),
            None if file.exists() => bail!(
                "{} is from an earlier run, and its messages would be counted too: name another --data-dir",
                file.display()
            ),
            None => format!("sqlite:{}", file.display()),
        };
        let faults = plan.faults.as_ref().map(absolute).transpose()?;
        Ok(Self {
            folder,
            store_url,
            faults,
            latency: plan.provider_latency,
            queue: plan.queue.clone(),
            usual_ports: plan.usual_ports,
        })
    }

    fn daemon_settings(&self, ports: [u16; 3], secret: &str) -> anyhow::Result<String> {
        let [api, admin, simulator] = ports;
        let settings = toml::toml! {
            [server]
            [store]
            [auth]
            [rate_limits]
            [gateway]
            [billing]
            [queue]
        };
        let mut settings = settings;
        let mut set = |section: &str, key: &str, value: toml::Value| {
            if let Some(toml::Value::Table(section)) = settings.get_mut(section) {
                section.insert(key.to_owned(), value);
            }
        };
        set("server", "listen", format!("127.0.0.1:{api}").into());
        set("server", "admin_listen", format!("127.0.0.1:{admin}").into());
        set("store", "url", self.store_url.clone().into());
        set("auth", "jwt_secret", format!("{secret}{secret}").into());
        // One client does everything here, as fast as it can.
        set("rate_limits", "user_per_minute", 0.into());
        // It has more sessions than trials have.
        set("billing", "trial_days", 0.into());
        set("gateway", "kind", "simulator".into());
        set("gateway", "base_url", format!("http://127.0.0.1:{simulator}").into());
        set("gateway", "app_secret", secret.into());
        if let Some(kafka) = &self.queue {
            let topics = &kafka.topics;
            set("queue", "kind", "kafka".into());
            set("queue", "brokers", kafka.brokers.clone().into());
            set("queue", "partitions", i64::from(kafka.partitions.get()).into());
            set("queue", "group", kafka.group.clone().into());
            set("queue", "jobs_topic", topics.jobs.clone().into());
            set("queue", "control_topic", topics.control.clone().into());
            set("queue", "events_topic", topics.events.clone().into());
            set("queue", "session_events_topic", topics.session_events.clone().into());
            set("queue", "dead_topic", topics.dead.clone().into());
        }
        toml::to_string(&settings).context("write the daemon's settings")
    }

    fn simulator_arguments(&self, ports: [u16; 3], secret: &str) -> Vec<String> {
        let [api, _, simulator] = ports;
        let mut arguments = vec![
            "simulate".to_owned(),
            "--stop-with-stdin".to_owned(),
            format!("--listen=127.0.0.1:{simulator}"),
            format!("--callback-url=http://127.0.0.1:{api}/api/v1/provider/cloud/webhook"),
            format!("--app-secret={secret}"),
        ];
        arguments.extend(self.faults.iter().map(|path| format!("--faults={}", path.display())));
        arguments.extend(self.latency.map(|latency| format!("--latency-ms={}", latency.as_millis())));
        arguments
    }
}

impl Stack {
    /// Starts both on free ports and waits until they answer.
    pub(super) async fn start(plan: &StackPlan) -> anyhow::Result<Self> {
        let mut starts = 1;
        loop {
            let ports = free_ports(plan.usual_ports && starts == 1)?;
            match Self::start_on(plan, ports).await {
                // The port was free when we looked; whoever took it since did so by chance.
                Err(problem) if starts < STARTS_MAX && format!("{problem:#}").contains("ddress already in use") => {
                    starts += 1
                }
                other => return other,
            }
        }
    }

    async fn start_on(plan: &StackPlan, ports: [u16; 3]) -> anyhow::Result<Self> {
        let [api, admin, simulator] = ports.map(|port| format!("http://127.0.0.1:{port}"));
        let secret = uuid::Uuid::new_v4().simple().to_string();
        let folder = plan.folder.clone();
        let mut provider = Child::start("simulator", &folder, &plan.simulator_arguments(ports, &secret))?;
        wait_until_ready(&mut provider, async || answers(&format!("{simulator}/health")).await).await?;

        let (settings, ready) = (folder.join("dispatcher.toml"), folder.join("ready.json"));
        std::fs::write(&settings, plan.daemon_settings(ports, &secret)?).context("write the daemon's settings")?;
        if ready.exists() {
            std::fs::remove_file(&ready).context("remove an old ready file")?;
        }
        let path = |path: &Path| path.display().to_string();
        let arguments = [
            "serve".to_owned(),
            "--stop-with-stdin".to_owned(),
            format!("--config={}", path(&settings)),
            format!("--ready-file={}", path(&ready)),
        ];
        let mut daemon = Child::start("daemon", &folder, &arguments)?;
        wait_until_ready(&mut daemon, async || ready.exists()).await?;
        let bound = std::fs::read_to_string(&ready).context("read the ready file")?;
        let bound: Bound = serde_json::from_str(&bound).context("read the ready file")?;
        if bound.api != api || bound.admin != admin {
            bail!("the daemon listens on {} and {}, asked were {api} and {admin}", bound.api, bound.admin);
        }
        Ok(Self { api, admin, simulator, folder, daemon, provider })
    }

    /// Fails when either has ended.
    pub(super) fn fail_if_ended(&mut self) -> anyhow::Result<()> {
        self.daemon.fail_if_ended()?;
        self.provider.fail_if_ended()
    }

    /// Names the files to look into when something failed.
    pub(super) fn where_the_logs_are(&self) -> String {
        format!("the logs are {} and {}", self.daemon.log().display(), self.provider.log().display())
    }

    /// Reads the processor time of both, and of the database when it runs on this machine.
    pub(super) fn cpu_times(&self, database_pid: Option<u32>) -> CpuTimes {
        CpuTimes {
            daemon: self.daemon.pid().and_then(cpu_of_process),
            database: database_pid.and_then(cpu_of_tree),
            simulator: self.provider.pid().and_then(cpu_of_process),
        }
    }

    /// Reads the daemon's own figures: metrics and memory.
    pub(super) async fn observe_daemon(&self) -> anyhow::Result<DaemonFigures> {
        DaemonFigures::read(&self.admin, self.daemon.pid()).await
    }

    /// Ends both at once, and waits until they are gone.
    pub(super) async fn kill(self) {
        self.daemon.stop(Duration::ZERO).await;
        self.provider.stop(Duration::ZERO).await;
    }

    /// Stops the daemon, then the simulator.
    pub(super) async fn stop(self) {
        self.daemon.stop(STOP_WITHIN).await;
        self.provider.stop(STOP_WITHIN).await;
    }
}

/// What the daemon writes when it is ready.
#[derive(Debug, Deserialize)]
struct Bound {
    api: String,
    admin: String,
}

async fn wait_until_ready(child: &mut Child, ready: impl AsyncFn() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    while !ready().await {
        child.fail_if_ended()?;
        if deadline <= Instant::now() {
            bail!("not ready within {} s, see {}", READY_WITHIN.as_secs(), child.log().display());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn answers(url: &str) -> bool {
    reqwest::get(url).await.is_ok_and(|answer| answer.status().is_success())
}

/// Finds three ports that are free now; the usual ones when asked for and free.
fn free_ports(usual: bool) -> anyhow::Result<[u16; 3]> {
    let listen = |port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let mut listeners = Vec::new();
    for port in USUAL_PORTS {
        let listener = if usual { listen(port).or_else(|_| listen(0)) } else { listen(0) };
        // All are held until all are found, so that none is found twice.
        listeners.push(listener.context("find a free port")?);
    }
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr().context("find a free port")?.port();
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    fn plan(folder: &Path) -> StackPlan {
        StackPlan {
            folder: folder.to_owned(),
            store_url: "sqlite:x.db".into(),
            faults: Some("/f.toml".into()),
            latency: Some(Duration::from_millis(7)),
            queue: None,
            usual_ports: true,
        }
    }

    #[test]
    fn busy_ports_are_passed_over() {
        let taken: Vec<_> = USUAL_PORTS.iter().map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port))).collect();
        let ports = free_ports(true).expect("free ports");
        for (port, usual) in ports.into_iter().zip(USUAL_PORTS) {
            assert!(port != 0 && port != usual, "{port} is busy");
        }
        drop(taken);
    }

    #[test]
    fn the_daemon_can_read_its_settings() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("dispatcher.toml");
        let text = plan(folder.path()).daemon_settings([1, 2, 3], "0123456789abcdef").expect("settings");
        std::fs::write(&path, text).expect("written");
        let config = Config::load(&Sources { files: vec![path], environment: Vec::new() }).expect("no problems");
        assert_eq!(config.server.admin_listen.port(), 2);
        assert_eq!(config.gateway.base_url, "http://127.0.0.1:3");
        assert_eq!(config.gateway.app_secret.expose(), "0123456789abcdef");
    }

    #[test]
    fn the_daemon_is_told_its_topics() {
        use crate::config::{ClientSettings, TopicNames};
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("dispatcher.toml");
        let name = |name: &str| format!("run.{name}");
        let (jobs, control, events, dead) = (name("jobs"), name("control"), name("events"), name("dead"));
        let queue = KafkaConfig {
            brokers: vec!["a:1".into(), "b:2".into()],
            topics: TopicNames { jobs, control, events, session_events: name("session-events"), dead },
            partitions: std::num::NonZeroU16::new(5).expect("5 is not zero"),
            replication: std::num::NonZeroU16::MIN,
            create_topics: true,
            group: name("group"),
            instance_id: None,
            session_timeout: Duration::from_secs(45),
            client: ClientSettings::default(),
        };
        let plan = StackPlan { queue: Some(queue.clone()), ..plan(folder.path()) };
        let text = plan.daemon_settings([1, 2, 3], "0123456789abcdef").expect("settings");
        std::fs::write(&path, text).expect("written");
        let config = Config::load(&Sources { files: vec![path], environment: Vec::new() }).expect("no problems");
        let read = config.queue.kafka.expect("a broker");
        let told = |config: &KafkaConfig| {
            (config.brokers.clone(), config.topics.clone(), config.partitions, config.group.clone())
        };
        assert_eq!(told(&read), told(&queue));
        assert!(read.create_topics);
        assert_eq!((read.session_timeout, read.replication), (queue.session_timeout, queue.replication));
    }

    #[test]
    fn the_simulator_is_told_everything() {
        let arguments = plan(Path::new("/")).simulator_arguments([1, 2, 3], "s");
        insta::assert_snapshot!(arguments.join("\n"), @r#"
        simulate
        --stop-with-stdin
        --listen=127.0.0.1:3
        --callback-url=http://127.0.0.1:1/api/v1/provider/cloud/webhook
        --app-secret=s
        --faults=/f.toml
        --latency-ms=7
        "#);
    }
}
