//! What stands in for the parts around the front: a gateway, and the process that it runs in.

use std::sync::Mutex;

use actiwapi_dispatcher::api::process::{KeptRecord, Process, Replayed};
use actiwapi_dispatcher::domain::dead_letter::DeadCause;
use actiwapi_dispatcher::domain::partition::PartitionNo;
use actiwapi_dispatcher::domain::recipient::Recipient;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::gateway::by_number::ByNumber;
use actiwapi_dispatcher::gateway::connector::{ChatGroup, Connection, Connector, Link, PairingCode, Refusal};
use futures::future::BoxFuture;

/// The number id that the provider does not know.
pub(super) const UNKNOWN_NUMBER_ID: &str = "999999999999999";

/// The Cloud API, but for one number.
#[derive(Debug, Default)]
pub(super) struct AlwaysConnects(ByNumber);

impl Connector for AlwaysConnects {
    fn connect<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<Connection, Refusal>> {
        if link.phone_number_id.as_deref() == Some(UNKNOWN_NUMBER_ID) {
            let why = "The provider does not know this number.";
            return Box::pin(async move { Err(Refusal::Refused(why.into())) });
        }
        self.0.connect(link)
    }

    fn disconnect<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<(), Refusal>> {
        self.0.disconnect(link)
    }

    fn log_out<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<(), Refusal>> {
        self.0.log_out(link)
    }

    fn mark_read<'a>(&'a self, link: &'a Link, message_id: &'a str, types: bool) -> BoxFuture<'a, Result<(), Refusal>> {
        self.0.mark_read(link, message_id, types)
    }

    fn pairing_code<'a>(&'a self, link: &'a Link, phone: &'a Recipient) -> BoxFuture<'a, Result<PairingCode, Refusal>> {
        self.0.pairing_code(link, phone)
    }

    fn check_number<'a>(&'a self, link: &'a Link, phone: &'a Recipient) -> BoxFuture<'a, Result<bool, Refusal>> {
        self.0.check_number(link, phone)
    }

    fn groups<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<Vec<ChatGroup>, Refusal>> {
        self.0.groups(link)
    }
}

/// A process that notes what operators ask, with one record that could not be admitted and one that was cut.
#[derive(Debug, Default)]
pub(super) struct TestProcess {
    pub(super) is_draining: std::sync::atomic::AtomicBool,
    pub(super) replayed: Mutex<Vec<String>>,
}

impl Process for TestProcess {
    fn node(&self) -> &str {
        "node-1"
    }

    fn drain(&self) {
        self.is_draining.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    fn dead_letters(&self) -> BoxFuture<'_, Result<Vec<KeptRecord>, Error>> {
        let record = |id: &str, is_truncated| KeptRecord {
            id: id.to_owned(),
            cause: DeadCause::UnknownSession,
            detail: "there is no such session".to_owned(),
            source_topic: "campaign.jobs".to_owned(),
            source_partition: PartitionNo(5),
            source_offset: 4_711,
            at: time::OffsetDateTime::UNIX_EPOCH,
            n_bytes: 1_834,
            is_truncated,
            is_replayed: self.replayed.lock().unwrap().contains(&id.to_owned()),
        };
        let records = vec![record("0:18", true), record("0:17", false)];
        Box::pin(async move { Ok(records) })
    }

    fn replay<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Replayed, Error>> {
        let replayed = match id {
            "0:17" => Replayed::Done,
            "0:18" => Replayed::Truncated,
            _ => Replayed::NotThere,
        };
        if replayed == Replayed::Done {
            self.replayed.lock().unwrap().push(id.to_owned());
        }
        Box::pin(async move { Ok(replayed) })
    }
}
