//! Sessions of the Cloud API, and of linked devices where there is a way to them.
//!
//! A number of the Cloud API needs no connection and has no phone to pair; what it can not do is said in a sentence.

use futures::future::{BoxFuture, FutureExt, ready};

use super::cloud::{CloudDesk, CloudGateway};
use super::connector::{ChatGroup, Connection, Connector, Link, PairingCode, Refusal};
use super::linked::{LinkedDevices, LinkedGateway};
use super::{Answer, Gateway, SendRequest, Sender};
use crate::domain::recipient::Recipient;

/// Asks the side that a session belongs to.
#[derive(Debug, Default)]
pub struct ByNumber {
    /// The way to linked devices, if there is one.
    pub linked: Option<LinkedDevices>,
    /// The Cloud API, where it is asked.
    pub cloud: Option<CloudDesk>,
}

impl ByNumber {
    /// Returns the way to the session's device, unless it is a number of the Cloud API.
    fn device(&self, link: &Link) -> Option<&LinkedDevices> {
        self.linked.as_ref().filter(|_| link.phone_number_id.is_none())
    }

    /// Returns the same, or says in a sentence what the Cloud API can not do.
    fn device_or(&self, link: &Link, cannot: &'static str) -> Result<&LinkedDevices, Refusal> {
        self.device(link).ok_or(Refusal::NotOffered(cannot.into()))
    }
}

/// Sends by the Cloud API, and by linked devices where there is a way to them.
#[derive(Debug)]
pub struct SendByNumber {
    /// The Cloud API.
    pub cloud: CloudGateway,
    /// The way to linked devices, if there is one.
    pub linked: Option<LinkedGateway>,
}

impl Gateway for SendByNumber {
    fn send(&self, request: SendRequest) -> BoxFuture<'_, Answer> {
        match (&request.sender, &self.linked) {
            (&Sender::Device { session_id, .. }, Some(linked)) => {
                async move { linked.send(session_id, &request).await }.boxed()
            }
            _ => self.cloud.send(request),
        }
    }
}

impl Connector for ByNumber {
    fn connect<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<Connection, Refusal>> {
        match self.device(link) {
            Some(devices) => devices.connect(link),
            None if link.phone_number_id.is_some() => ready(Ok(Connection::Connected { phone_number: None })).boxed(),
            None => ready(Err(Refusal::Refused(
                "The session has no phoneNumberId: set it to the number's id at the provider.".into(),
            )))
            .boxed(),
        }
    }

    fn disconnect<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<(), Refusal>> {
        self.device(link).map_or_else(|| ready(Ok(())).boxed(), |devices| devices.disconnect(link))
    }

    fn log_out<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<(), Refusal>> {
        self.device(link).map_or_else(|| ready(Ok(())).boxed(), |devices| devices.log_out(link))
    }

    fn pairing_code<'a>(&'a self, link: &'a Link, phone: &'a Recipient) -> BoxFuture<'a, Result<PairingCode, Refusal>> {
        match self.device_or(link, "The session is a number of the Cloud API, which needs no pairing: connect it.") {
            Ok(devices) => devices.pairing_code(link, phone),
            Err(refusal) => ready(Err(refusal)).boxed(),
        }
    }

    fn check_number<'a>(&'a self, link: &'a Link, phone: &'a Recipient) -> BoxFuture<'a, Result<bool, Refusal>> {
        match self.device_or(link, "The Cloud API can not tell whether a number is on WhatsApp; a linked device can.") {
            Ok(devices) => devices.check_number(link, phone),
            Err(refusal) => ready(Err(refusal)).boxed(),
        }
    }

    fn mark_read<'a>(&'a self, link: &'a Link, message_id: &'a str, types: bool) -> BoxFuture<'a, Result<(), Refusal>> {
        match (&link.phone_number_id, &self.cloud) {
            (Some(number), Some(cloud)) => cloud.mark_read(number, message_id, types).boxed(),
            _ => ready(Err(Refusal::NotOffered("Only numbers of the Cloud API mark messages as read.".into()))).boxed(),
        }
    }

    fn groups<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<Vec<ChatGroup>, Refusal>> {
        match self.device_or(link, "A number of the Cloud API has no list of group chats; a linked device has.") {
            Ok(devices) => devices.groups(link),
            Err(refusal) => ready(Err(refusal)).boxed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::SessionId;

    fn link(phone_number_id: Option<&str>) -> Link {
        Link { session_id: SessionId::generate(), phone_number_id: phone_number_id.map(str::to_owned) }
    }

    #[tokio::test]
    async fn a_number_is_enough_to_be_connected() {
        let by_number = ByNumber::default();
        let connected = by_number.connect(&link(Some("106540352242922"))).await;
        assert!(matches!(connected, Ok(Connection::Connected { phone_number: None })), "{connected:?}");
        let refused = by_number.connect(&link(None)).await;
        assert!(matches!(refused, Err(Refusal::Refused(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn what_the_cloud_api_can_not_do_is_said() {
        let (by_number, link) = (ByNumber::default(), link(Some("106540352242922")));
        let phone = Recipient::parse("919876543210").expect("a number");
        assert!(matches!(by_number.pairing_code(&link, &phone).await, Err(Refusal::NotOffered(_))));
        assert!(matches!(by_number.check_number(&link, &phone).await, Err(Refusal::NotOffered(_))));
        assert!(matches!(by_number.groups(&link).await, Err(Refusal::NotOffered(_))));
        assert_eq!(by_number.disconnect(&link).await, Ok(()));
        assert_eq!(by_number.log_out(&link).await, Ok(()));
    }
}
