//! Sending one message, and what is told of it.
//!
//! Whether a message left is known by its error, and by the count of frames that the client wrote: keys are asked for before
//! the message is written, so that an error of such a question, or one without a frame, means that nothing left. Where that
//! is not sure, nobody knows, and the same name on the wire keeps a second attempt from being a second message.

use std::time::Duration;

use tokio::sync::oneshot;
use whatsapp_rust::prelude::*;
use whatsapp_rust::wacore::download::MediaType;

use super::Session;
use super::session::{locked, within};
use crate::clock::now_ms;
use crate::limits::{ACK_WAIT, FILE_BYTES_MAX, TYPING_MAX, WRITE_WAIT};
use crate::message::{self, FileMessage, Ready};
use crate::wire::{Outcome, SendRequest, Why};

/// Who waits for the server's word about a message; no longer, once this is dropped.
struct Waiting<'a> {
    session: &'a Session,
    id: &'a str,
    word: oneshot::Receiver<Option<i64>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        locked(&self.session.waiting).remove(self.id);
    }
}

impl<'a> Waiting<'a> {
    /// Begins to wait; none when somebody waits for the same message.
    fn begin(session: &'a Session, id: &'a str) -> Option<Self> {
        let mut waiting = locked(&session.waiting);
        if waiting.contains_key(id) {
            return None;
        }
        let (tell, word) = oneshot::channel();
        waiting.insert(id.to_owned(), tell);
        Some(Self { session, id, word })
    }
}

impl Session {
    /// Writes a message and waits for the server's word.
    pub async fn send(&self, request: SendRequest) -> Outcome {
        let deadline_ms = now_ms().saturating_add(i64::try_from(request.within_ms).unwrap_or(i64::MAX));
        let Some(to) = recipient(&request.to) else { return self.not_sent(Why::Unsupported) };
        let Some(ready) = message::read(request.message) else { return self.not_sent(Why::Unsupported) };
        let Ok(_room) = self.sends.try_acquire() else { return self.not_sent(Why::Busy) };
        let Some(mut waiting) = Waiting::begin(self, &request.id) else { return self.not_sent(Why::Busy) };
        let turn = self.writing.lock().await;
        if let Err(why) = self.write(&to, ready, &request.id, deadline_ms, request.typing_ms).await {
            return why;
        }
        drop(turn);
        match tokio::time::timeout(ACK_WAIT, &mut waiting.word).await {
            Ok(Ok(None)) => Outcome::Accepted,
            Ok(Ok(Some(code))) => Outcome::Refused { code, expires_in_ms: None },
            Ok(Err(_)) | Err(_) => Outcome::Unknown,
        }
    }

    fn not_sent(&self, reason: Why) -> Outcome {
        Outcome::NotSent { reason, code: self.shown().1.code }
    }

    async fn write(&self, to: &Jid, ready: Ready, id: &str, deadline_ms: i64, typing_ms: u64) -> Result<(), Outcome> {
        let not_sent = |why| self.not_sent(why);
        if deadline_ms <= now_ms() {
            return Err(not_sent(Why::Deadline));
        }
        let client = self.sender().ok_or_else(|| not_sent(Why::NotConnected))?;
        // whatsapp-rust writes to who has no devices as to anybody; what a look-up has told already keeps that from happening.
        if self.shared.checks.get(&to.user) == Some(false) {
            return Err(not_sent(Why::Unsupported));
        }
        let message = match ready {
            Ready::Message(message) => *message,
            Ready::File(file) => self.upload(&client, file).await.map_err(not_sent)?,
        };
        show_typing(&client, to, deadline_ms, typing_ms).await;
        // Looked at last: what took time may have taken too much.
        if deadline_ms <= now_ms() {
            return Err(not_sent(Why::Deadline));
        }
        let before = client.stats().frames_sent;
        let options = SendOptions::default().with_message_id(id);
        let wrote = within(WRITE_WAIT, client.send_message_with_options(to, message, options)).await;
        let wrote_nothing = client.stats().frames_sent == before;
        match wrote {
            Some(Ok(_)) => Ok(()),
            Some(Err(SendError::InvalidRequest(_))) => Err(not_sent(Why::Unsupported)),
            Some(Err(error)) if wrote_nothing || is_before_writing(&error) => Err(not_sent(Why::NotConnected)),
            None if wrote_nothing => Err(not_sent(Why::NotConnected)),
            Some(Err(_)) | None => Err(Outcome::Unknown),
        }
    }

    async fn upload(&self, client: &Client, file: FileMessage) -> Result<wa::Message, Why> {
        let Ok(_room) = self.shared.files.acquire().await else { return Err(Why::Busy) };
        let about = tokio::fs::metadata(file.path()).await.map_err(|_| Why::Unsupported)?;
        if !about.is_file() || FILE_BYTES_MAX < about.len() {
            return Err(Why::Unsupported);
        }
        let bytes = tokio::fs::read(file.path()).await.map_err(|_| Why::Unsupported)?;
        let kind: MediaType = file.kind();
        let upload = client.upload(bytes, kind, whatsapp_rust::UploadOptions::default());
        let upload = within(WRITE_WAIT, upload).await.and_then(Result::ok).ok_or(Why::NotConnected)?;
        Ok(file.finish(upload))
    }
}

/// Shows "is typing" for a while, as long as there is time.
async fn show_typing(client: &Client, to: &Jid, deadline_ms: i64, typing_ms: u64) {
    let left_ms = u64::try_from(deadline_ms.saturating_sub(now_ms())).unwrap_or(0);
    let typing = Duration::from_millis(typing_ms.min(left_ms)).min(TYPING_MAX);
    if typing.is_zero() {
        return;
    }
    let chat = client.chatstate();
    // Nothing depends on it.
    if chat.send_composing(to).await.is_ok() {
        tokio::time::sleep(typing).await;
        drop(chat.send_paused(to).await);
    }
}

/// Tells whether an error is one of those that come before the message is written.
fn is_before_writing(error: &SendError) -> bool {
    match error {
        SendError::NotLoggedIn | SendError::Iq(_) => true,
        SendError::Client(error) => {
            matches!(error, ClientError::NotConnected | ClientError::NotLoggedIn | ClientError::Iq(_))
        }
        _ => false,
    }
}

/// Reads the number that a message goes to.
fn recipient(to: &str) -> Option<Jid> {
    let is_number = (5..=15).contains(&to.len()) && to.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Jid::pn(to))
}
