//! Section `queue`: where jobs come from.

use serde::{Deserialize, Serialize};

use super::problems::Problems;

/// Where jobs come from.
#[derive(Debug, Clone)]
pub struct QueueConfig {
    /// Which queue.
    pub kind: QueueKind,
}

/// The queues there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueKind {
    /// The outbox is drained inside the process; needs no broker.
    Local,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct QueueFile {
    kind: String,
}

impl Default for QueueFile {
    fn default() -> Self {
        Self { kind: "local".into() }
    }
}

impl QueueFile {
    pub(super) fn check(self, problems: &mut Problems) -> Option<QueueConfig> {
        let kind = problems.one_of("queue.kind", &self.kind, &[("local", QueueKind::Local)])?;
        Some(QueueConfig { kind })
    }
}
