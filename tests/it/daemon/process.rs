//! One child process: started, signalled, waited for; killed when dropped, its log shown when the test fails.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::wait::until;

/// Lines of a log that a failing test shows.
pub(super) const LINES_SHOWN: usize = 60;

/// A running process.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts it with an empty environment; it is to stop when its standard input ends.
    ///
    /// Its output goes through pipes into memory.
    pub(super) fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|problem| panic!("start the {name}: {problem}"));
        let log = Arc::new(Mutex::new(Vec::new()));
        follow(child.stdout.take().unwrap(), &log);
        follow(child.stderr.take().unwrap(), &log);
        Self { name: name.to_owned(), child, log }
    }

    /// Returns its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns a line of its output that `wanted` takes something from.
    pub(super) async fn said<T>(&self, what: &str, patience: Duration, wanted: impl Fn(&str) -> Option<T>) -> T {
        let look = async || self.log.lock().unwrap().iter().find_map(|line| wanted(line));
        until(what, patience, look).await
    }

    /// Returns how it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub(super) async fn end(&mut self, patience: Duration) -> ExitStatus {
        let what = format!("the end of the {}", self.name);
        until(&what, patience, async || self.ended()).await
    }

    /// Ends it as `kill -9` does.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "the {} had ended before: {status}", self.name);
    }

    /// Asks it to stop.
    pub(super) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, name: &str) {
        run("bash", &["-c", &format!("kill -{name} {}", self.pid())]);
    }
}

/// Runs a command to its end.
pub(super) fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

fn follow(output: impl std::io::Read + Send + 'static, log: &Arc<Mutex<Vec<String>>>) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            log.lock().unwrap().push(line);
        }
    });
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already, which is what is wanted.
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            let log = self.log.lock().unwrap();
            let shown = &log[log.len().saturating_sub(LINES_SHOWN)..];
            eprintln!("--- the last words of the {}:\n{}", self.name, shown.join("\n"));
        }
    }
}
