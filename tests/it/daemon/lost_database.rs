//! PostgreSQL goes away in the middle of a campaign and comes back.
//!
//! Between daemon and server stands a proxy of the test's own, which drops every connection at will.

use std::net::SocketAddr;
use std::time::Duration;

use actiwapi_dispatcher::store::scratch::ScratchDatabase;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::{NewSession, Problem, phone};
use super::judge::{Asked, Faults, assert_attempts_are_durable, assert_nothing_is_left, judge, wait_for_the_end};
use super::world::{Plan, World};
use crate::support::wait::{PATIENCE, until};

const N_SESSIONS: u64 = 40;
const N_RECIPIENTS: u64 = 600;
const RATE_PER_SECOND: f64 = 1.0;
const CUT_FOR: Duration = Duration::from_secs(4);
/// Attempts durable before the cut may still leave: they wait for their moment at most a quarter of a second.
const LAST_LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// Stands between the daemon and its database.
struct Proxy {
    address: SocketAddr,
    is_open: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_open, opened) = watch::channel(true);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (mut opened, server) = (opened.clone(), server.clone());
                connections.spawn(async move {
                    if *opened.borrow() {
                        tokio::select! {
                            () = forward(client, &server) => {}
                            _ = opened.wait_for(|open| !open) => {}
                        }
                    }
                });
            }
        });
        Self { address, is_open, _tasks: tasks }
    }

    fn set_open(&self, is_open: bool) {
        self.is_open.send_replace(is_open);
    }
}

async fn forward(mut client: TcpStream, server: &str) {
    let mut server = TcpStream::connect(server).await.unwrap();
    // Either side may hang up as it likes.
    copy_bidirectional(&mut client, &mut server).await.ok();
}

/// Splits `postgres://USER@HOST:PORT/DATABASE` around its server.
fn server_of(url: &str) -> (String, String, String) {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap();
    let (user, server) = authority.rsplit_once('@').map_or(("", authority), |(user, server)| (user, server));
    let user = if user.is_empty() { String::new() } else { format!("{user}@") };
    (format!("{scheme}://{user}"), server.to_owned(), format!("/{path}"))
}

fn now_us() -> u64 {
    let now = actiwapi_dispatcher::clock::Clock::system().now();
    u64::try_from(now.as_us()).unwrap()
}

#[tokio::test]
async fn a_lost_database_stops_sending() {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL names a PostgreSQL where tests may create databases");
    let scratch = ScratchDatabase::create(&url).await.unwrap();
    let (before, server, after) = server_of(scratch.url());
    let proxy = Proxy::start(server).await;
    let store_url = format!("{before}{}{after}", proxy.address);
    let mut world = World::start(&Plan { store_url: &store_url, ..Plan::default() }, None).await;
    let sessions: Vec<_> = (0..N_SESSIONS)
        .map(|n| NewSession { phone_number_id: format!("{}", 1_000 + n), rate_per_second: RATE_PER_SECOND, burst: 1 })
        .collect();
    let sessions = world.client.connect(&sessions).await;
    let campaign = world.client.draft(&sessions, 0..N_RECIPIENTS).await;
    world.client.start(&campaign).await.unwrap();
    // In the pause between two rounds of all lanes, so that attempts are what comes next.
    let between_rounds = async || {
        let sums = world.provider.sums(RATE_PER_SECOND).await;
        let whole_rounds = sums.received.is_multiple_of(N_SESSIONS) && N_RECIPIENTS / 4 <= sums.received;
        (whole_rounds && sums.receipts_waiting == 0).then_some(())
    };
    until("a quarter has arrived", PATIENCE, between_rounds).await;

    let cut_at = (Instant::now(), now_us());
    proxy.set_open(false);
    let not_ready = async || (world.admin("/readyz").await?.0 == 503).then_some(());
    until("the daemon is not ready", CUT_FOR, not_ready).await;
    let refused = world.client.send_text(&sessions[0], &phone(N_RECIPIENTS)).await;
    assert!(matches!(refused, Err(Problem::Refused(500..=599, _))), "taken without a database: {refused:?}");
    tokio::time::sleep_until(cut_at.0 + CUT_FOR).await;
    assert_attempts_are_durable(&world, scratch.url()).await;
    let open_again_us = now_us();
    proxy.set_open(true);
    let ready = async || (world.admin("/readyz").await?.0 == 200).then_some(());
    until("the daemon is ready again", PATIENCE, ready).await;

    let asked = Asked {
        campaigns: vec![(campaign, N_RECIPIENTS)],
        n_unanswered: 1,
        rate_per_second: RATE_PER_SECOND,
        ..Asked::default()
    };
    wait_for_the_end(&world, &asked).await;
    let silent_from = cut_at.1 + u64::try_from(LAST_LEAVE_WITHIN.as_micros()).unwrap();
    let entries = world.provider.entries().await;
    let n_between = |from: u64, until: u64| entries.iter().filter(|e| (from..until).contains(&e.at_us)).count();
    let (n_last, n_silent) = (n_between(cut_at.1, silent_from), n_between(silent_from, open_again_us));
    eprintln!("{n_last} left in the second after the cut, {n_silent} in the rest of it");
    assert_eq!(n_silent, 0, "sent without a database");
    assert!(0 < n_between(open_again_us, u64::MAX), "the campaign was over before the cut ended");
    let findings = judge(&world, &asked, Faults::None).await;
    findings.assert_kept();
    // The process lived on, so it knows what became of everything.
    assert_eq!(findings.n_unknown(), 0, "{findings:?}");
    assert_nothing_is_left(&mut world).await;
    drop(world);
    scratch.drop().await.unwrap();
}
