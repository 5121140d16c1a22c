//! One process of our own executable, which never outlives us: it ends with its standard input, and is killed
//! when its handle is dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::process::{ChildStdin, Command};

/// A running process.
#[derive(Debug)]
pub(super) struct Child {
    name: &'static str,
    process: tokio::process::Child,
    /// Held open; its end tells the process to stop.
    input: Option<ChildStdin>,
    log: PathBuf,
}

impl Child {
    /// Starts `dispatcher ARGUMENTS` in `folder` with an empty environment; its output goes to `NAME.log`.
    pub(super) fn start(name: &'static str, folder: &Path, arguments: &[String]) -> anyhow::Result<Self> {
        let executable = std::env::current_exe().context("find our own executable")?;
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("write {}", log.display()))?;
        let errors = output.try_clone().context("share the log file")?;
        let mut process = Command::new(executable)
            .args(arguments)
            .env_clear()
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            // Ctrl-C is ours: we stop them in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start the {name}"))?;
        let input = process.stdin.take();
        Ok(Self { name, process, input, log })
    }

    /// Returns its process id while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Returns the file with its output.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Fails when it has ended, with its last words.
    pub(super) fn fail_if_ended(&mut self) -> anyhow::Result<()> {
        match self.process.try_wait().with_context(|| format!("ask for the {}", self.name))? {
            None => Ok(()),
            Some(status) => Err(anyhow::anyhow!("the {} ended with {status}: {}", self.name, self.last_words())),
        }
    }

    /// Asks it to stop and waits; kills it when it takes longer than `patience`.
    pub(super) async fn stop(mut self, patience: Duration) {
        drop(self.input.take());
        if tokio::time::timeout(patience, self.process.wait()).await.is_err() {
            // It may have ended in between; it is gone either way.
            self.process.kill().await.ok();
        }
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}
