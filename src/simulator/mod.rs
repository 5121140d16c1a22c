//! The provider simulator: a real HTTP server that speaks Meta's Cloud API on loopback, with scripted faults and its own ledger.
//!
//! The way of one message: [`server`] reads the head and notes the time of arrival, [`request`] reads and checks the body,
//! [`decide`] says what becomes of it, [`ledger`] records that, [`receipts`] plans what the provider reports later, and the
//! answer goes out (or the connection is cut, or nothing happens at all). [`posting`] delivers the receipts, signed and batched.
//! Tests ask for the ledger, and let recipients write, at the [`desk`]. Linked [`devices`] are paired at the [`device_desk`].
//!
//! It shares no code with the parts that it tests, apart from the clock: what it says of the wire comes from Meta's
//! documentation, not from our gateway. It keeps nothing on disk, and knows no templates; of files it knows names and hashes ([`media`]).

mod answer;
mod codes;
mod content;
mod decide;
mod desk;
mod device_desk;
mod devices;
mod dice;
mod envelope;
pub mod faults;
mod interactive;
pub mod ledger;
mod linked;
mod media;
mod numbers;
mod policy;
mod posting;
mod receipts;
mod request;
mod server;
mod throttle;
mod wire;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, Moment};

pub use faults::Faults;

/// Connections held at once; one more than that waits in the kernel's own queue.
///
/// A sender keeps at most a few hundred; hung requests hold one each until their sender gives up. At about 10 KiB each this
/// is 160 MiB at worst.
const CONNECTIONS_MAX: usize = 16_384;

/// Bytes of one request body; Meta's own longest text is 4,096 characters and a template a few KiB.
const REQUEST_BYTES_MAX: usize = 256 * 1024;

/// Entries of the ledger; at about 100 bytes each (entry and identity) this is 2 GB at worst. Further sends are refused.
const LEDGER_ENTRIES_MAX: usize = 20_000_000;

/// Entries that `GET /ledger?entries=true` returns at once, as the interface says.
const LEDGER_PAGE_MAX: usize = 10_000;

/// Sending numbers known at once; at about 500 bytes each this is 500 MB at worst.
const NUMBERS_MAX: usize = 1_000_000;

/// Files known at once; at about 300 bytes each this is 300 MB at worst.
const MEDIA_MAX: usize = 1_000_000;

/// Receipts that wait for their time or for the receiver; at about 120 bytes each this is 240 MB at worst.
///
/// 2,000,000 are three receipts of each of 650,000 messages, a minute at the aimed-at 10,000 messages a second. What comes on
/// top is dropped, counted in the ledger's `receiptsDropped`, so that nothing is lost in silence.
const RECEIPTS_WAITING_MAX: usize = 2_000_000;

/// Updates of one post to the receiver (Meta: webhooks overview, "batches of up to 1,000 updates").
const RECEIPTS_PER_POST_MAX: usize = 1_000;

/// Posts under way at once; four posts of 1,000 at a receiver that needs 50 ms for one make 80,000 receipts a second.
const POSTS_IN_FLIGHT_MAX: usize = 4;

/// What the simulator is to do.
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where receipts are posted to, a plain `http://` address; without one there are no receipts.
    pub callback_url: Option<String>,
    /// Key of the signature over each post.
    pub app_secret: String,
    /// Where all randomness comes from.
    pub seed: u64,
    /// What goes wrong.
    pub faults: Faults,
    /// Whether receipts are posted at all.
    pub receipts: bool,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { listen, callback_url, app_secret: _, seed, faults, receipts } = self;
        f.debug_struct("Options")
            .field("listen", listen)
            .field("callback_url", callback_url)
            .field("app_secret", &"***")
            .field("seed", seed)
            .field("faults", faults)
            .field("receipts", receipts)
            .finish()
    }
}

/// Why the simulator could not start.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The address is taken or not ours.
    #[error("could not listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The address for receipts is none, or not plain HTTP.
    #[error("the callback address must be an http:// address with a host, but is `{given}`")]
    CallbackUrl {
        /// The address given.
        given: String,
    },
}

/// A simulator that listens; requests wait until [`Running::run`] is called.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    listener: TcpListener,
    provider: Arc<server::Provider>,
    posting: Option<posting::Posting>,
}

/// Opens the listening socket and makes everything ready to run.
///
/// # Errors
/// When the address cannot be listened on, or the callback address is not a plain HTTP one.
pub async fn bind(options: Options) -> Result<Running, SimulatorError> {
    let Options { listen, callback_url, app_secret, seed, faults, receipts } = options;
    let callback = callback_url.as_deref().map(posting::parse_callback).transpose()?;
    let failed = |source| SimulatorError::Listen { address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let clock = Clock::system();
    let backlog = Arc::new(receipts::Backlog::new(RECEIPTS_WAITING_MAX));
    let posting = callback
        .filter(|_| receipts)
        .map(|callback| posting::Posting::new(callback, &app_secret, Arc::clone(&backlog), clock.clone()));
    let backlog = posting.is_some().then_some(backlog);
    let provider = Arc::new(server::Provider::new(clock, seed, faults, backlog));
    Ok(Running { address, listener, provider, posting })
}

impl Running {
    /// Serves until `stop` is cancelled; requests that hang are dropped then, and receipts not yet delivered are lost.
    pub async fn run(self, stop: CancellationToken) {
        let tracker = TaskTracker::new();
        if let Some(posting) = self.posting {
            tracker.spawn(posting.run(stop.clone(), tracker.clone()));
        }
        server::serve(self.listener, self.provider, &tracker, &stop).await;
        tracker.close();
        tracker.wait().await;
    }
}

/// Returns whole microseconds since the epoch, never negative.
fn micros(moment: Moment) -> u64 {
    moment.0 / 1_000
}
