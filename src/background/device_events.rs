//! Receipts of linked devices, on their way to the deliveries.
//!
//! Every node asks for all of them: what is noted twice changes nothing. They are numbered on the other side, which keeps
//! them for a day, so a node that starts anew begins at the beginning.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::gateway::linked::LinkedDevices;
use crate::receipts::ReceiptSink;

/// Rest after a question that was not answered, or receipts that were not taken.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Hands receipts on.
pub struct DeviceEvents {
    /// Whom to ask.
    pub devices: LinkedDevices,
    /// Who keeps them.
    pub sink: Arc<dyn ReceiptSink>,
}

impl DeviceEvents {
    /// Works until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut after = 0;
        loop {
            let taken = match stop.run_until_cancelled(self.devices.events(after)).await {
                None => return,
                Some(Ok((_, receipts)))
                    if !receipts.is_empty() && self.sink.submit(receipts.clone()).await.is_err() =>
                {
                    None
                }
                Some(Ok((next, _))) => Some(next),
                Some(Err(_)) => None,
            };
            match taken {
                Some(next) if next != after => after = next,
                _ if stop.run_until_cancelled(tokio::time::sleep(ASK_AGAIN_AFTER)).await.is_none() => return,
                _ => {}
            }
        }
    }
}
