//! Nudges from services to the daemon: something changed in the database, go and look.
//!
//! The database stays the truth. A notice may be lost when the queue is full; the reader is then
//! told to look at everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use crate::domain::id::{CampaignId, SessionId, TenantId};
use crate::limits::NOTICES_MAX;

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The outbox has new rows.
    OutboxWritten,
    /// The state of a campaign changed.
    CampaignChanged(CampaignId),
    /// The state or the pacing of a session changed.
    SessionChanged(SessionId),
    /// What holds for all lanes of a tenant changed.
    TenantChanged(TenantId),
    /// What holds for all lanes changed.
    LanesChanged,
    /// Notices were lost: look at everything.
    Everything,
}

/// The writing end; cheap to clone.
#[derive(Debug, Clone)]
pub struct Notices {
    sender: mpsc::Sender<Notice>,
    lost: Arc<AtomicBool>,
}

/// The reading end.
#[derive(Debug)]
pub struct NoticeReader {
    receiver: mpsc::Receiver<Notice>,
    lost: Arc<AtomicBool>,
}

/// Makes a queue of notices.
#[must_use]
pub fn notices() -> (Notices, NoticeReader) {
    let (sender, receiver) = mpsc::channel(NOTICES_MAX);
    let lost = Arc::new(AtomicBool::new(false));
    (Notices { sender, lost: Arc::clone(&lost) }, NoticeReader { receiver, lost })
}

impl Notices {
    /// Leaves a notice; never waits.
    pub fn tell(&self, notice: Notice) {
        if self.sender.try_send(notice).is_err() {
            self.lost.store(true, Ordering::Release);
        }
    }
}

impl NoticeReader {
    /// Waits for the next notice; `None` when nobody can send one any more.
    pub async fn next(&mut self) -> Option<Notice> {
        if self.lost.swap(false, Ordering::AcqRel) {
            return Some(Notice::Everything);
        }
        self.receiver.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lost_notices_become_one_full_look() {
        let (notices, mut reader) = notices();
        for _ in 0..=NOTICES_MAX {
            notices.tell(Notice::OutboxWritten);
        }
        assert_eq!(reader.next().await, Some(Notice::Everything));
        assert_eq!(reader.next().await, Some(Notice::OutboxWritten));
    }
}
