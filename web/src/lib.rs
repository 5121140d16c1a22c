//! Holds linked-device WhatsApp sessions and is asked about them over a socket.
//!
//! A program of its own, so that the daemon never links what is linked here: README.md says why. One process owns its folder
//! of data and every session in it; it sends what it is told, keeps no campaign and decides no pace.
//!
//! A message travels: [`server`] reads the request, [`sessions`] finds who holds the session, [`sessions::Session::send`]
//! writes it and waits for the server's word. What comes back later, receipts and answers, is numbered and kept by [`data`]
//! until the daemon has asked for it.

pub mod clock;
pub mod data;
pub mod limits;
pub mod message;
pub mod server;
pub mod sessions;
pub mod transport;
pub mod wire;
