//! An SMTP server that answers as the test wants and keeps what it took.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::task::TaskTracker;

/// How mails are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// They are taken.
    Takes,
    /// Their recipient is refused with this answer.
    Refuses(&'static str),
    /// Name and password are refused.
    KnowsNobody,
    /// Nothing is answered after the greeting.
    Hangs,
    /// They are taken, and the connection breaks before that is said.
    TakesAndBreaks,
}

/// A mail that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    /// As it came, without the dots that SMTP puts in front of dots.
    pub(super) text: String,
}

impl Taken {
    /// Returns the one run of 64 hex digits, whatever the mail's encoding has cut it into.
    pub(super) fn token(&self) -> String {
        super::token_in(&self.text)
    }

    /// Returns the headers of one name.
    pub(super) fn headers(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap();
        let start = format!("{}: ", name.to_lowercase());
        let is_it = |line: &&str| line.to_lowercase().starts_with(&start);
        head.lines().filter(is_it).map(|line| &line[start.len()..]).collect()
    }
}

/// A server, until it is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    shared: Arc<Mutex<(Mood, Vec<Taken>)>>,
    serving: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    pub(super) async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub(super) async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new((Mood::Takes, Vec::new())));
        let ours = Arc::clone(&shared);
        let serving = async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(converse(stream, Arc::clone(&ours)));
            }
        };
        Self { address, shared, serving: TaskTracker::new().spawn(serving) }
    }

    /// Takes the server away.
    pub(super) async fn stop(mut self) {
        self.serving.abort();
        assert!((&mut self.serving).await.unwrap_err().is_cancelled());
    }

    pub(super) fn set(&self, mood: Mood) {
        self.shared.lock().unwrap().0 = mood;
    }

    pub(super) fn taken(&self) -> Vec<Taken> {
        self.shared.lock().unwrap().1.clone()
    }
}

/// One connection, to its end; a client that does something else than a client of SMTP breaks the test.
async fn converse(stream: TcpStream, shared: Arc<Mutex<(Mood, Vec<Taken>)>>) -> Option<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    writer.write_all(b"220 test ESMTP\r\n").await.ok()?;
    let mut mail = Taken { from: String::new(), to: vec![], text: String::new() };
    loop {
        let line = lines.next_line().await.ok()??;
        let mood = shared.lock().unwrap().0;
        let (command, rest) = line.split_once([' ', ':']).unwrap_or((&line, ""));
        let answer = match (command, mood) {
            (_, Mood::Hangs) => std::future::pending().await,
            ("EHLO", _) => "250-test\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 AUTH PLAIN",
            // Name and password are `ana` and `s3cret`.
            ("AUTH", Mood::KnowsNobody) => "535 5.7.8 no such ana@example.com",
            ("AUTH", _) if rest == "PLAIN AGFuYQBzM2NyZXQ=" => "235 ok",
            ("MAIL", _) => {
                mail.from = between(rest);
                "250 ok"
            }
            ("RCPT", Mood::Refuses(answer)) => answer,
            ("RCPT", _) => {
                mail.to.push(between(rest));
                "250 ok"
            }
            ("DATA", _) => {
                writer.write_all(b"354 go on\r\n").await.ok()?;
                loop {
                    let line = lines.next_line().await.ok()??;
                    if line == "." {
                        break;
                    }
                    mail.text += line.strip_prefix('.').unwrap_or(&line);
                    mail.text += "\r\n";
                }
                shared.lock().unwrap().1.push(mail.clone());
                if mood == Mood::TakesAndBreaks {
                    return None;
                }
                "250 taken"
            }
            ("QUIT", _) => "221 bye",
            _ => "502 what is that",
        };
        writer.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
        if command == "QUIT" {
            return Some(());
        }
    }
}

fn between(text: &str) -> String {
    text.split_once('<').unwrap().1.split_once('>').unwrap().0.to_owned()
}
