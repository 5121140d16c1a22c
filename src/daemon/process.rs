//! This process as operators ask it over the API.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Base;
use crate::api::process::{KeptRecord, Process, Replayed};
use crate::broker::{Broker, BrokerError, DeadLetter, DeadLetters, Producer};
use crate::config::KafkaConfig;
use crate::error::{Error, Result, chain};
use crate::limits::DEAD_LETTER_READS_MAX;

/// This process.
pub(super) struct ThisProcess {
    node: String,
    drain: CancellationToken,
    kafka: Option<KafkaConfig>,
    reading: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl ThisProcess {
    /// Describes it; `drain` is what begins to stop it.
    pub(super) fn of(base: &Base, drain: CancellationToken) -> Self {
        Self {
            node: base.node.name.clone(),
            drain,
            kafka: base.config.queue.kafka.clone(),
            reading: Arc::new(Semaphore::new(DEAD_LETTER_READS_MAX)),
            tasks: base.tasks.clone(),
        }
    }

    /// Works on the dead letters on a task of its own, which holds its place until it has ended; none without a broker.
    async fn with_dead_letters<T, F>(&self, work: impl FnOnce(DeadLetters) -> F + Send + 'static) -> Result<Option<T>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, BrokerError>> + Send,
    {
        let Some(kafka) = self.kafka.clone() else { return Ok(None) };
        let place = Arc::clone(&self.reading).try_acquire_owned();
        let place = place.map_err(|_| Error::Unavailable("a place to read dead letters"))?;
        let worked = self.tasks.spawn(async move {
            let broker = Broker::new(kafka)?;
            let producer = Producer::start(&broker)?;
            let worked = work(DeadLetters::new(broker, producer.clone())).await;
            producer.close().await;
            drop(place);
            worked
        });
        let worked = worked.await.map_err(Error::internal("read dead letters"))?;
        worked.map(Some).map_err(|error| {
            tracing::warn!(error = chain(&error), "dead letters were not read");
            Error::Unavailable("the broker")
        })
    }
}

impl Process for ThisProcess {
    fn node(&self) -> &str {
        &self.node
    }

    fn drain(&self) {
        self.drain.cancel();
    }

    fn dead_letters(&self) -> BoxFuture<'_, Result<Vec<KeptRecord>>> {
        async move {
            let letters = self.with_dead_letters(async |letters| letters.list().await).await?.unwrap_or_default();
            Ok(letters.into_iter().rev().map(kept).collect())
        }
        .boxed()
    }

    fn replay<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Replayed>> {
        async move {
            let id = id.to_owned();
            let replayed = self.with_dead_letters(async move |letters| match letters.replay(&id).await {
                Ok(Some(_)) => Ok(Replayed::Done),
                Ok(None) => Ok(Replayed::NotThere),
                Err(BrokerError::Refused(_)) => Ok(Replayed::Truncated),
                Err(error) => Err(error),
            });
            Ok(replayed.await?.unwrap_or(Replayed::NotThere))
        }
        .boxed()
    }
}

fn kept(letter: DeadLetter) -> KeptRecord {
    KeptRecord {
        id: letter.id,
        cause: letter.cause,
        detail: letter.detail,
        source_topic: letter.source_topic,
        source_partition: letter.source_partition,
        source_offset: letter.source_offset,
        at: letter.at,
        n_bytes: letter.n_payload_bytes,
        is_truncated: letter.is_truncated,
        is_replayed: letter.replayed,
    }
}
