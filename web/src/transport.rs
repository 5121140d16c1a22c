//! The web socket under a session: as whatsapp-rust opens it, and with TCP_NODELAY.
//!
//! Without that option the kernel keeps a message back until the one before was acknowledged: 44 ms each, measured.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::net::TcpStream;
use tokio_websockets::ClientBuilder;
use whatsapp_rust::async_channel::Receiver;
use whatsapp_rust::transport::{Transport, TransportEvent, TransportFactory};
use whatsapp_rust_tokio_transport::{default_tls_connector, from_websocket};

/// Where WhatsApp is.
pub const WHATSAPP_URL: &str = "wss://web.whatsapp.com/ws/chat";
const ORIGIN: &str = "https://web.whatsapp.com";

/// Opens web sockets.
#[derive(Debug, Clone)]
pub struct Opener {
    url: Arc<str>,
}

impl Opener {
    /// Opens them to `url`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self { url: url.into() }
    }
}

#[async_trait]
impl TransportFactory for Opener {
    async fn create_transport(&self) -> anyhow::Result<(Arc<dyn Transport>, Receiver<TransportEvent>)> {
        let uri: hyper::Uri = self.url.parse()?;
        let host = uri.host().ok_or_else(|| anyhow::anyhow!("an address without a host"))?.to_owned();
        let is_plain = uri.scheme_str() == Some("ws");
        let port = uri.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        stream.set_nodelay(true)?;
        let origin = hyper::header::HeaderValue::from_static(ORIGIN);
        let builder = ClientBuilder::from_uri(uri).add_header(hyper::header::ORIGIN, origin)?;
        if is_plain {
            let (socket, _) = builder.connect_on(stream).await?;
            return Ok(from_websocket(socket));
        }
        let connector = default_tls_connector();
        let stream = connector.wrap(&host, stream).await?;
        let (socket, _) = builder.connect_on(stream).await?;
        Ok(from_websocket(socket))
    }
}
