//! Several daemons on one PostgreSQL and one Kafka, behind a balancer, beside one simulator.
//!
//! The balancer is the test's own: it hands each connection to a node that takes it, so that client and
//! provider need not know which nodes are alive.

use std::process::ExitStatus;
use std::time::Duration;

use actiwapi_dispatcher::store::scratch::ScratchDatabase;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::SemaphorePermit;
use tokio::task::JoinSet;

use crate::daemon::client::{Client, loopback};
use crate::daemon::judge::{Observed, OwnLedger};
use crate::daemon::process::{Process, run};
use crate::daemon::provider::{Provider, TRANSIT_MAX_MS};
use crate::daemon::world::{Daemon, PLACES, SECRET, free_port, start_simulator};
use crate::support::wait::{PATIENCE, until};

/// Partitions of the job topic.
const N_PARTITIONS: u16 = 12;

/// How long the group waits for a node, and how long a lease holds without being renewed.
pub(super) const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
const LEASE: Duration = Duration::from_secs(3);

/// The servers that a cluster stands on.
#[derive(Debug, Clone)]
pub(super) struct Servers {
    database_url: String,
    /// Where Kafka is.
    pub(super) brokers: String,
    postgres_control: String,
    kafka_control: String,
}

impl Servers {
    /// Those that no test disturbs.
    pub(super) fn calm() -> Self {
        Self::named("")
    }

    /// Those that tests restart; to be used by one test at a time.
    pub(super) fn of_chaos() -> Self {
        Self::named("CHAOS_")
    }

    fn named(prefix: &str) -> Self {
        let variable = |name: &str| {
            let name = format!("{prefix}{name}");
            std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: scripts/test starts the servers"))
        };
        let control = |name: &str| if prefix.is_empty() { String::new() } else { variable(name) };
        Self {
            database_url: variable("DATABASE_URL"),
            brokers: variable("KAFKA_BROKERS"),
            postgres_control: control("POSTGRES_CONTROL"),
            kafka_control: control("KAFKA_CONTROL"),
        }
    }

    /// A test that failed may have left a server of chaos behind that is not running.
    async fn start_if_stopped(&self) {
        if !self.kafka_control.is_empty() {
            self.postgres("start").await;
            self.kafka("start").await;
        }
    }

    /// Does something to PostgreSQL: `restart-immediate`, `stop-immediate`, `start`.
    pub(super) async fn postgres(&self, what: &'static str) {
        control(self.postgres_control.clone(), what).await;
    }

    /// Does something to Kafka: `kill`, `stop`, `start`.
    pub(super) async fn kafka(&self, what: &'static str) {
        control(self.kafka_control.clone(), what).await;
    }
}

async fn control(script: String, what: &'static str) {
    tokio::task::spawn_blocking(move || run(&script, &[what])).await.unwrap();
}

/// A record that somebody else writes.
#[derive(Debug, Clone, Default)]
pub(super) struct Foreign {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

/// Daemons, simulator and a tenant.
pub(super) struct Cluster {
    /// The tenant.
    pub(super) client: Client,
    /// The provider's ledger.
    pub(super) provider: Provider,
    /// The servers.
    pub(super) servers: Servers,
    /// Ends every topic's name.
    pub(super) suffix: String,
    nodes: Vec<Daemon>,
    group: String,
    scratch: Option<ScratchDatabase>,
    _balancer: JoinSet<()>,
    _simulator: Process,
    folder: TempDir,
    _place: SemaphorePermit<'static>,
}

impl Cluster {
    /// Starts all of it; `settings` are more settings of every node, `section.key = value`.
    pub(super) async fn start(n_nodes: usize, servers: Servers, faults: &str, settings: &str) -> Self {
        let place = PLACES.acquire().await.unwrap();
        servers.start_if_stopped().await;
        let folder = tempfile::tempdir().unwrap();
        let scratch = ScratchDatabase::create(&servers.database_url).await.unwrap();
        let ports: Vec<(u16, u16)> = (0..n_nodes).map(|_| (free_port(), free_port())).collect();
        let (balancer, front) = balance(ports.iter().map(|(api, _)| *api).collect()).await;
        let faults_file = folder.path().join("faults.toml");
        std::fs::write(&faults_file, faults).unwrap();
        let (simulator, provider) = start_simulator(&faults_file, &front).await;
        let suffix = uuid::Uuid::new_v4().simple().to_string();
        let http = loopback();
        let mut nodes = Vec::new();
        for (n, (api, admin)) in ports.into_iter().enumerate() {
            let text = node_settings(n, &servers, &suffix)
                + &format!(
                    "server.listen = \"127.0.0.1:{api}\"\nserver.admin_listen = \"127.0.0.1:{admin}\"\n\
                     store.url = \"{}\"\ngateway.base_url = \"{provider}\"\n{settings}",
                    scratch.url()
                );
            let name = format!("node-{n}");
            std::fs::write(folder.path().join(format!("{name}.toml")), text).unwrap();
            nodes.push(Daemon::new(folder.path(), &name, admin, http.clone()));
        }
        for node in &mut nodes {
            node.launch(None);
            node.wait_until_ready().await;
        }
        let cluster = Self {
            client: Client::register(http.clone(), &front).await,
            provider: Provider::new(http, provider).tolerating(TRANSIT_MAX_MS),
            servers,
            group: format!("group.{suffix}"),
            suffix,
            nodes,
            scratch: Some(scratch),
            _balancer: balancer,
            _simulator: simulator,
            folder,
            _place: place,
        };
        cluster.wait_until_owned().await;
        cluster
    }

    /// Returns how many nodes there are.
    pub(super) fn n_nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Kills a node as `kill -9` does.
    pub(super) fn kill(&mut self, node: usize) {
        self.nodes[node].process().kill();
    }

    /// Sends a node a signal.
    pub(super) fn signal(&mut self, node: usize, name: &str) {
        self.nodes[node].process().signal(name);
    }

    /// Starts a node again; it must be dead.
    pub(super) async fn launch(&mut self, node: usize) {
        self.nodes[node].launch(None);
        self.nodes[node].wait_until_ready().await;
    }

    /// Lets a node drain and end.
    pub(super) async fn stop(&mut self, node: usize) {
        self.signal(node, "TERM");
        let status = self.nodes[node].process().end(PATIENCE).await;
        assert_eq!(status.code(), Some(0), "node {node} ended with {status}");
    }

    /// Returns the value of a node's metric; none when the node does not answer.
    pub(super) async fn metric(&self, node: usize, name: &str) -> Option<f64> {
        let (_, text) = self.nodes[node].admin("/metrics").await?;
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// Waits until every partition is owned, with all its lanes, by nodes that answer.
    pub(super) async fn wait_until_owned(&self) {
        let owned = async || {
            let mut n_owned = 0.0;
            for node in 0..self.nodes.len() {
                n_owned += self.metric(node, "dispatcher_ownership_partitions ").await.unwrap_or(0.0);
            }
            (n_owned == f64::from(N_PARTITIONS)).then_some(())
        };
        until("every partition is owned", PATIENCE, owned).await;
    }

    /// Waits until the provider has seen so many requests.
    pub(super) async fn wait_for_arrivals(&self, n: u64) {
        let reached = async || (n <= self.provider.n_received().await).then_some(());
        until("so many messages have arrived", PATIENCE * 5, reached).await;
    }

    /// Lets all nodes join another group, which reads the topic from its beginning; they must be dead.
    pub(super) fn regroup(&mut self, n: u32) {
        let group = format!("again-{n}.{}", self.suffix);
        for node in 0..self.nodes.len() {
            self.rewrite(node, &self.group, &group);
        }
        self.group = group;
    }

    /// Takes a node's name in the group away, so that it leaves the group when it ends.
    pub(super) fn forget_name(&self, node: usize) {
        self.rewrite(node, &format!("queue.instance_id = \"node-{node}\""), "");
    }

    fn rewrite(&self, node: usize, before: &str, after: &str) {
        let file = self.folder.path().join(format!("node-{node}.toml"));
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(before));
        std::fs::write(file, text.replace(before, after)).unwrap();
    }

    /// Starts a node again and does not wait for it.
    pub(super) fn start_process(&mut self, node: usize) {
        self.nodes[node].launch(None);
    }

    /// Starts a node again, to die at the first passing of a kill point.
    pub(super) fn launch_to_die_at(&mut self, node: usize, point: &str) {
        self.nodes[node].launch(Some((point, 1)));
    }

    /// Waits for the end of a node that ends by itself.
    pub(super) async fn end_of(&mut self, node: usize) -> ExitStatus {
        self.nodes[node].process().end(PATIENCE).await
    }

    /// Returns the word that a node's admin port answers about its readiness.
    pub(super) async fn readiness(&self, node: usize) -> Option<String> {
        let (_, text) = self.nodes[node].admin("/readyz").await?;
        Some(text.trim().to_owned())
    }

    /// Returns the address of the database.
    pub(super) fn store_url(&self) -> &str {
        self.scratch.as_ref().unwrap().url()
    }

    /// Returns the sum of a metric over all nodes.
    pub(super) async fn sum(&self, name: &str) -> f64 {
        let mut sum = 0.0;
        for node in 0..self.nodes.len() {
            sum += self.metric(node, name).await.unwrap_or(0.0);
        }
        sum
    }

    /// Writes records to the job topic as a client of its own kind; returns when all are durable.
    pub(super) async fn produce(&self, records: Vec<Foreign>) {
        let mut config = ClientConfig::new();
        // One by one: the broker's bound is on a batch.
        config.set("bootstrap.servers", &self.servers.brokers).set("acks", "all").set("batch.num.messages", "1");
        config.set("message.max.bytes", "2000000");
        let producer: FutureProducer = config.create().unwrap();
        let topic = self.topic("jobs");
        let written = records.iter().map(|record| {
            let mut headers = OwnedHeaders::new();
            for (key, value) in &record.headers {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            let out = FutureRecord::to(&topic).key(&record.key).payload(&record.value).headers(headers);
            producer.send(out, PATIENCE)
        });
        for result in futures::future::join_all(written).await {
            result.unwrap();
        }
    }

    /// Returns the name of a topic.
    pub(super) fn topic(&self, kind: &str) -> String {
        format!("{kind}.{}", self.suffix)
    }

    /// Returns the settings of the cluster's queue, for commands beside it.
    pub(super) fn queue_environment(&self) -> Vec<(String, String)> {
        let settings = node_settings(0, &self.servers, &self.suffix);
        let lines = settings.lines().filter_map(|line| line.strip_prefix("queue.")?.split_once(" = "));
        lines
            .map(|(key, value)| {
                let value = value.trim_matches(|c| matches!(c, '"' | '[' | ']')).replace('"', "");
                (format!("DISPATCHER__QUEUE__{}", key.to_uppercase()), value)
            })
            .collect()
    }

    /// Drains all nodes and removes what they leave on the servers.
    pub(super) async fn end(mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].process().ended().is_none() {
                self.stop(node).await;
            }
        }
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.servers.brokers).create().unwrap();
        let topics = ["jobs", "control", "events", "dead"].map(|kind| self.topic(kind));
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        admin.delete_topics(&topics, &AdminOptions::new()).await.unwrap();
        if let Some(scratch) = self.scratch.take() {
            scratch.drop().await.unwrap();
        }
    }
}

impl Observed for Cluster {
    fn client(&self) -> &Client {
        &self.client
    }

    fn provider(&self) -> &Provider {
        &self.provider
    }

    async fn own_ledger(&self) -> OwnLedger {
        for node in &self.nodes {
            if let Some((200, text)) = node.admin("/ledger").await {
                return serde_json::from_str(&text).unwrap();
            }
        }
        panic!("no node answers");
    }
}

fn node_settings(n: usize, servers: &Servers, suffix: &str) -> String {
    let topics: String = ["jobs", "control", "events", "dead"]
        .map(|kind| format!("queue.{kind}_topic = \"{kind}.{suffix}\"\n"))
        .concat();
    format!(
        "queue.kind = \"kafka\"\nqueue.brokers = [\"{}\"]\nqueue.partitions = {N_PARTITIONS}\n{topics}\
         queue.group = \"group.{suffix}\"\nqueue.session_timeout_ms = {}\nqueue.instance_id = \"node-{n}\"\n\
         dispatch.lease_ms = {}\nauth.jwt_secret = \"{SECRET}\"\nrate_limits.user_per_minute = 0\n\
         billing.trial_days = 0\ngateway.app_secret = \"{SECRET}\"\n",
        servers.brokers,
        SESSION_TIMEOUT.as_millis(),
        LEASE.as_millis(),
    )
}

/// Hands each connection to a node that takes it, in turns; returns where it listens.
async fn balance(ports: Vec<u16>) -> (JoinSet<()>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        let mut turn = 0;
        while let Ok((client, _)) = listener.accept().await {
            turn += 1;
            let mut in_turn = ports.clone();
            in_turn.rotate_left(turn % ports.len());
            connections.spawn(forward(client, in_turn));
            while connections.try_join_next().is_some() {}
        }
    });
    (tasks, address)
}

async fn forward(mut client: TcpStream, ports: Vec<u16>) {
    for port in ports {
        if let Ok(mut node) = TcpStream::connect(("127.0.0.1", port)).await {
            // Either side may hang up as it likes.
            copy_bidirectional(&mut client, &mut node).await.ok();
            return;
        }
    }
}
