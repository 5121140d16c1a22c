//! A stand-in for WhatsApp: web sockets, Noise, binary stanzas, and keys that real sessions are made with.
//!
//! Pairs by a code that its phone reads, logs in what was paired, answers questions about numbers and keys, and does with
//! messages what a test says. Decrypts nothing: what a message says is nobody's business here.

mod answers;
mod noise;
mod phone;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use whatsapp_rust::buffa::Message as _;
use whatsapp_rust::prelude::wa;
use whatsapp_rust::wacore_binary::Node;
use whatsapp_rust::wacore_binary::builder::NodeBuilder;

use self::noise::{Line, ServerKeys};

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is taken, delivered and read.
    Taken,
    /// It is refused with a code.
    Refused(u16),
    /// Nothing is ever heard of it.
    Silent,
}

/// What becomes of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    /// It succeeds.
    Welcome,
    /// It is refused with a code.
    Refused(u16),
    /// It is refused for a time: a ban of so many seconds.
    Banned(u32),
}

/// What is said to a client.
#[derive(Debug)]
pub(crate) enum Say {
    Node(Node),
    Hang,
}

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Came {
    pub(crate) from: String,
    pub(crate) id: String,
    pub(crate) to: String,
}

#[derive(Default)]
pub(crate) struct World {
    /// Who waits to be paired, by what the code begins with.
    pairing: HashMap<String, mpsc::Sender<Say>>,
    /// Who is connected, by number.
    lines: HashMap<String, mpsc::Sender<Say>>,
    pub(crate) logins: HashMap<String, Login>,
    pub(crate) fates: HashMap<String, Fate>,
    pub(crate) came: Vec<Came>,
    /// How each connection shook hands.
    pub(crate) handshakes: Vec<&'static str>,
    pub(crate) n_codes: usize,
    /// Whether it gives out no codes, as when all of them have run out.
    pub(crate) has_no_codes: bool,
    /// How many questions about numbers came.
    pub(crate) n_checks: usize,
}

/// The stand-in; gone when this is dropped.
pub(crate) struct FakeServer {
    pub(crate) url: String,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

pub(crate) struct Shared {
    world: Mutex<World>,
    keys: ServerKeys,
    next: AtomicU64,
}

impl Shared {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::SeqCst)
    }
}

impl FakeServer {
    /// Starts one at a port of this machine.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/ws/chat", listener.local_addr().unwrap());
        let shared =
            Arc::new(Shared { world: Mutex::default(), keys: ServerKeys::generate(), next: AtomicU64::new(1) });
        let mut tasks = JoinSet::new();
        let serving = Arc::clone(&shared);
        tasks.spawn(async move {
            let mut conversations = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                conversations.spawn(async move {
                    // A client that goes away in the middle is no news.
                    drop(converse(stream, &shared).await);
                });
            }
        });
        Self { url, shared, _tasks: tasks }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world()
    }

    /// Says something to who is connected under a number.
    pub(crate) fn say(&self, number: &str, node: Node) {
        let line = self.world().lines.get(number).cloned().expect("a line");
        line.try_send(Say::Node(node)).expect("room");
    }

    /// Says it and hangs up.
    pub(crate) fn say_last(&self, number: &str, node: Node) {
        self.say(number, node);
        let line = self.world().lines.get(number).cloned().expect("a line");
        line.try_send(Say::Hang).expect("room");
    }

    /// Breaks the connection of a number.
    pub(crate) fn hang_up(&self, number: &str) {
        let line = self.world().lines.get(number).cloned().expect("a line");
        line.try_send(Say::Hang).expect("room");
    }

    /// Reads a code off a screen and pairs it with the phone of a number.
    pub(crate) fn scan(&self, code: &str, number: &str) {
        let reference =
            code.split(',').next().expect("a reference").rsplit('#').next().expect("a reference").to_owned();
        let line = self.world().pairing.remove(&reference).expect("somebody waits to be paired");
        line.try_send(Say::Node(phone::paired(code, number, self.shared.next()))).expect("room");
    }
}

async fn converse(stream: TcpStream, shared: &Shared) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let (_, socket) = tokio_websockets::ServerBuilder::new().accept(stream).await?;
    let (mut line, handshake, payload) = Line::shake_hands(socket, &shared.keys).await?;
    shared.world().handshakes.push(handshake);
    let (say, mut said) = mpsc::channel(1_024);
    let payload = wa::ClientPayload::decode_from_slice(&payload)?;
    let number = payload.username.map(|number| number.to_string());
    match &number {
        None => line.send(&codes(shared, &say)).await?,
        Some(number) => {
            let login = shared.world().logins.get(number).copied().unwrap_or(Login::Welcome);
            line.send(&welcome(login, number)).await?;
            if login != Login::Welcome {
                return line.close().await;
            }
            shared.world().lines.insert(number.clone(), say);
        }
    }
    loop {
        tokio::select! {
            heard = line.hear() => {
                let Some(node) = heard? else { return Ok(()) };
                for answer in answers::answer(shared, number.as_deref(), &node) {
                    line.send(&answer).await?;
                }
                if is_signed(&node) {
                    line.send(&NodeBuilder::new("stream:error").attr("code", "515").build()).await?;
                    return line.close().await;
                }
            }
            say = said.recv() => match say {
                Some(Say::Node(node)) => line.send(&node).await?,
                Some(Say::Hang) | None => return line.close().await,
            },
        }
    }
}

/// Tells whether this is the end of a pairing.
fn is_signed(node: &Node) -> bool {
    node.tag == "iq" && node.get_optional_child("pair-device-sign").is_some()
}

fn codes(shared: &Shared, say: &mpsc::Sender<Say>) -> Node {
    let first = shared.next();
    let references: Vec<String> = (0..6).map(|nth| format!("2@fake-{first}-{nth}")).collect();
    let mut world = shared.world();
    world.n_codes += 1;
    let references: Vec<String> = references.into_iter().filter(|_| !world.has_no_codes).collect();
    for reference in &references {
        world.pairing.insert(reference.clone(), say.clone());
    }
    let references =
        references.into_iter().map(|reference| NodeBuilder::new("ref").bytes(reference.into_bytes()).build());
    NodeBuilder::new("iq")
        .attr("from", "s.whatsapp.net")
        .attr("type", "set")
        .attr("id", format!("pair-{first}"))
        .attr("xmlns", "md")
        .children([NodeBuilder::new("pair-device").children(references).build()])
        .build()
}

fn welcome(login: Login, number: &str) -> Node {
    match login {
        Login::Welcome => NodeBuilder::new("success")
            .attr("t", answers::now_s())
            .attr("lid", format!("7{number}@lid"))
            .attr("location", "fake")
            .build(),
        Login::Refused(code) => NodeBuilder::new("failure").attr("reason", code.to_string()).build(),
        Login::Banned(seconds) => NodeBuilder::new("failure")
            .attr("reason", "402")
            .attr("code", "101")
            .attr("expire", seconds.to_string())
            .build(),
    }
}
