//! The other side of Noise: XX for who comes first, IK for who knows our key.

use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_websockets::{Message, WebSocketStream};
use wacore_noise::framing::{FrameDecoder, encode_frame};
use wacore_noise::test_util::build_cert_chain_bytes;
use wacore_noise::{NoiseCipher, NoiseHandshake};
use whatsapp_rust::buffa::{Message as _, MessageField};
use whatsapp_rust::prelude::wa;
use whatsapp_rust::wacore::libsignal::protocol::KeyPair;
use whatsapp_rust::wacore_binary::Node;
use whatsapp_rust::wacore_binary::consts::{NOISE_PATTERN_IK, NOISE_PATTERN_XX, WA_CONN_HEADER};
use whatsapp_rust::wacore_binary::marshal::{marshal, unmarshal_ref};
use whatsapp_rust::wacore_binary::util::unpack;

/// What the server is known by.
pub(crate) struct ServerKeys {
    pair: KeyPair,
    chain: Vec<u8>,
}

impl ServerKeys {
    pub(crate) fn generate() -> Self {
        let pair = KeyPair::generate(&mut rand::rng());
        let chain = build_cert_chain_bytes(&public(&pair));
        Self { pair, chain }
    }
}

fn public(pair: &KeyPair) -> [u8; 32] {
    pair.public_key.public_key_bytes().try_into().unwrap()
}

/// A line to one client, past the handshake.
pub(crate) struct Line {
    socket: WebSocketStream<TcpStream>,
    frames: FrameDecoder,
    write: NoiseCipher,
    read: NoiseCipher,
    n_written: u32,
    n_read: u32,
}

struct Raw {
    socket: WebSocketStream<TcpStream>,
    frames: FrameDecoder,
    began: bool,
}

impl Raw {
    async fn frame(&mut self) -> anyhow::Result<Vec<u8>> {
        loop {
            if let Some(frame) = self.frames.decode_frame() {
                return Ok(frame.to_vec());
            }
            let message = self.socket.next().await.ok_or_else(|| anyhow::anyhow!("gone"))??;
            let bytes = message.into_payload();
            let bytes: &[u8] = &bytes;
            let bytes = if self.began { bytes } else { bytes.strip_prefix(&WA_CONN_HEADER[..]).unwrap_or(bytes) };
            self.began = true;
            self.frames.feed(bytes);
        }
    }

    async fn send(&mut self, message: &wa::HandshakeMessage) -> anyhow::Result<()> {
        let frame = encode_frame(&message.encode_to_vec(), None)?;
        Ok(self.socket.send(Message::binary(frame)).await?)
    }
}

impl Line {
    /// Shakes hands; returns how, and what the client says of itself.
    pub(crate) async fn shake_hands(
        socket: WebSocketStream<TcpStream>,
        keys: &ServerKeys,
    ) -> anyhow::Result<(Self, &'static str, Vec<u8>)> {
        let mut raw = Raw { socket, frames: FrameDecoder::new(), began: false };
        let hello = wa::HandshakeMessage::decode_from_slice(&raw.frame().await?)?;
        let hello = hello.client_hello.into_option().ok_or_else(|| anyhow::anyhow!("no hello"))?;
        let theirs: [u8; 32] = hello.ephemeral.unwrap_or_default().try_into().map_err(|_| anyhow::anyhow!("no key"))?;
        let ours = KeyPair::generate(&mut rand::rng());
        let is_ik = hello.r#static.is_some();
        let mut noise = NoiseHandshake::new(if is_ik { NOISE_PATTERN_IK } else { NOISE_PATTERN_XX }, &WA_CONN_HEADER)?;
        let mut payload = Vec::new();
        let mut client_static = [0; 32];
        if is_ik {
            noise.authenticate(&public(&keys.pair));
        }
        noise.authenticate(&theirs);
        if is_ik {
            noise.mix_shared_secret(keys.pair.private_key.serialize(), &theirs)?;
            let opened = noise.decrypt(&hello.r#static.unwrap_or_default())?;
            client_static = opened.try_into().map_err(|_| anyhow::anyhow!("no key"))?;
            noise.mix_shared_secret(keys.pair.private_key.serialize(), &client_static)?;
            payload = noise.decrypt(&hello.payload.unwrap_or_default())?;
        }
        noise.authenticate(&public(&ours));
        noise.mix_shared_secret(ours.private_key.serialize(), &theirs)?;
        let sealed = if is_ik {
            noise.mix_shared_secret(ours.private_key.serialize(), &client_static)?;
            None
        } else {
            let sealed = noise.encrypt(&public(&keys.pair))?;
            noise.mix_shared_secret(keys.pair.private_key.serialize(), &theirs)?;
            Some(sealed)
        };
        let chain = noise.encrypt(&keys.chain)?;
        let answer = wa::handshake_message::ServerHello {
            ephemeral: Some(public(&ours).to_vec()),
            r#static: sealed,
            payload: Some(chain),
            ..Default::default()
        };
        raw.send(&wa::HandshakeMessage { server_hello: MessageField::some(answer), ..Default::default() }).await?;
        if !is_ik {
            let finish = wa::HandshakeMessage::decode_from_slice(&raw.frame().await?)?;
            let finish = finish.client_finish.into_option().ok_or_else(|| anyhow::anyhow!("no finish"))?;
            let opened = noise.decrypt(&finish.r#static.unwrap_or_default())?;
            let client_static: [u8; 32] = opened.try_into().map_err(|_| anyhow::anyhow!("no key"))?;
            noise.mix_shared_secret(ours.private_key.serialize(), &client_static)?;
            payload = noise.decrypt(&finish.payload.unwrap_or_default())?;
        }
        // What the client writes with, we read with.
        let (read, write) = noise.finish()?;
        let Raw { socket, frames, .. } = raw;
        let line = Self { socket, frames, write, read, n_written: 0, n_read: 0 };
        Ok((line, if is_ik { "IK" } else { "XX" }, payload))
    }

    pub(crate) async fn send(&mut self, node: &Node) -> anyhow::Result<()> {
        let sealed = self.write.encrypt_with_counter(self.n_written, &marshal(node)?)?;
        self.n_written += 1;
        Ok(self.socket.send(Message::binary(encode_frame(&sealed, None)?)).await?)
    }

    /// Hears a stanza; none when the client went away.
    ///
    /// May be dropped while it waits: what came stays in the decoder of frames.
    pub(crate) async fn hear(&mut self) -> anyhow::Result<Option<Node>> {
        loop {
            if let Some(frame) = self.frames.decode_frame() {
                let mut opened = frame.to_vec();
                self.read.decrypt_in_place_with_counter(self.n_read, &mut opened)?;
                self.n_read += 1;
                return Ok(Some(unmarshal_ref(&unpack(&opened)?)?.to_owned()));
            }
            let Some(message) = self.socket.next().await else { return Ok(None) };
            let message = message?;
            if message.is_close() {
                return Ok(None);
            }
            self.frames.feed(&message.into_payload());
        }
    }

    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        Ok(self.socket.close().await?)
    }
}
