//! A request body that notes when it was written out, and is not written out after its deadline.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::clock::{Clock, Deadline, Moment};

/// When a body was written out; shared with whoever waits for the answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Stamp(Arc<AtomicU64>);

impl Stamp {
    /// Returns the moment; `None` while nothing was written.
    pub(super) fn get(&self) -> Option<Moment> {
        let at = self.0.load(Ordering::Relaxed);
        (at != 0).then_some(Moment(at))
    }
}

/// A body of one piece, stamped when the connection takes it, which is right before its bytes go
/// to the system.
#[derive(Debug)]
pub(super) struct StampedBody {
    /// What is sent.
    pub(super) bytes: Option<Bytes>,
    /// Where the moment is noted.
    pub(super) stamp: Stamp,
    /// The time.
    pub(super) clock: Clock,
    /// Until when it may go.
    pub(super) deadline: Deadline,
}

/// The deadline of a body had passed when the connection wanted it.
#[derive(Debug, thiserror::Error)]
#[error("the deadline of the request has passed")]
pub(super) struct Lapsed;

impl Body for StampedBody {
    type Data = Bytes;
    type Error = Lapsed;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Lapsed>>> {
        let bytes = self.bytes.take();
        if bytes.is_some() {
            let now = self.clock.now();
            if self.deadline.has_passed(now) {
                return Poll::Ready(Some(Err(Lapsed)));
            }
            self.stamp.0.store(now.0, Ordering::Relaxed);
        }
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
    }
}

/// Tells whether a request was given up by its own body.
pub(super) fn has_lapsed(error: &dyn std::error::Error) -> bool {
    std::iter::successors(error.source(), |error| error.source()).any(|error| error.is::<Lapsed>())
}
