//! Who this process is, among the nodes that share a database.
//!
//! An id is drawn at each start, so that a process never takes its predecessor's leases for its own.

use std::fmt;
use std::fs;

use uuid::Uuid;

/// One process of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Drawn at the start of the process.
    pub id: Uuid,
    /// For people: the instance id of the settings, or host and process number.
    pub name: String,
    /// The process as the machine knows it; empty where that can not be told.
    pub process: String,
}

impl Node {
    /// Describes this process; `name` is what the settings call it, if anything.
    #[must_use]
    pub fn of_process(name: Option<&str>) -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let own_name = || format!("{}:{}", host.trim(), std::process::id());
        Self {
            id: Uuid::now_v7(),
            name: name.map_or_else(own_name, str::to_owned),
            process: ProcessKey::of(std::process::id()).map(|key| key.to_string()).unwrap_or_default(),
        }
    }
}

/// Tells whether a process that [`Node::process`] described is certainly gone: it ran on this machine,
/// since its last start and among the processes we can see, and is not there any more.
#[must_use]
pub fn process_is_gone(process: &str) -> bool {
    let Some(key) = ProcessKey::parse(process) else { return false };
    let Some(own) = ProcessKey::of(std::process::id()) else { return false };
    let same_machine = (key.boot, key.namespace) == (own.boot.as_str(), own.namespace.as_str());
    // Where other users' processes are hidden, the first one is too, and nothing can be told.
    let sees_all = started_at(1).is_some();
    same_machine && sees_all && started_at(key.pid).is_none_or(|at| at != key.started_at)
}

/// What tells a process from all others: boot of the machine, its view of processes, number, time of start.
struct ProcessKey<Text> {
    boot: Text,
    namespace: Text,
    pid: u32,
    started_at: u64,
}

impl ProcessKey<String> {
    fn of(pid: u32) -> Option<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
        Some(Self {
            boot: boot.trim().to_owned(),
            namespace: namespace.to_str()?.to_owned(),
            pid,
            started_at: started_at(pid)?,
        })
    }
}

impl<'a> ProcessKey<&'a str> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut words = text.split(' ');
        let (boot, namespace) = (words.next()?, words.next()?);
        let (pid, started_at) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { boot, namespace, pid, started_at })
    }
}

impl fmt::Display for ProcessKey<String> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.boot, self.namespace, self.pid, self.started_at)
    }
}

/// Reads when a process was started, in ticks since the boot; `None` when there is no such process.
fn started_at(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything; the start is the 20th field behind it (proc(5)).
    let behind_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = behind_name.split_ascii_whitespace();
    // A zombie has ended and only waits to be noticed.
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_is_not_gone() {
        assert!(!process_is_gone(&Node::of_process(None).process));
    }

    #[test]
    fn an_ended_process_is_gone() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = ProcessKey::of(child.id()).unwrap().to_string();
        assert!(!process_is_gone(&process));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(process_is_gone(&process));
    }

    #[test]
    fn a_number_that_was_given_again_is_another_process() {
        let own = Node::of_process(None).process;
        let (head, _) = own.rsplit_once(' ').unwrap();
        assert!(process_is_gone(&format!("{head} 1")));
    }

    #[test]
    fn nothing_is_said_of_other_machines() {
        let own = Node::of_process(None).process;
        let (_, rest) = own.split_once(' ').unwrap();
        for process in ["", "nonsense", &format!("another-boot {rest}")] {
            assert!(!process_is_gone(process), "{process}");
        }
    }
}
