//! Files brought to the simulated provider: once, not while a message waits, and again when they are forgotten.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::domain::failure::{Handling, Reason};
use crate::domain::id::{MediaId, TenantId};
use crate::domain::media::{MediaKey, MediaKind, MediaType};
use crate::domain::message::{MediaContent, MediaSource};
use crate::gateway::cloud::{AccessToken, CloudGateway, CloudSettings};
use crate::media::{MediaFiles, MediaPlace};
use crate::simulator::{self, Faults, Options};

struct World {
    gateway: CloudGateway,
    clock: ManualClock,
    files: MediaFiles,
    http: reqwest::Client,
    address: String,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
    _tasks: TaskTracker,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    async fn start() -> Self {
        // Refused when another test was faster.
        rustls::crypto::ring::default_provider().install_default().ok();
        let (folder, stop, tasks) = (tempfile::tempdir().unwrap(), CancellationToken::new(), TaskTracker::new());
        let options = Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            callback_url: None,
            app_secret: "a secret".to_owned(),
            seed: 1,
            faults: Faults::default(),
            receipts: false,
        };
        let simulator = simulator::bind(options).await.unwrap();
        let address = format!("http://{}", simulator.address);
        tasks.spawn(simulator.run(stop.clone()));
        let files = MediaFiles::open(&MediaPlace::Directory(folder.path().to_owned())).unwrap();
        let clock = ManualClock::at(Moment::from_ms(1_800_000_000_000));
        let settings = CloudSettings {
            base_url: address.clone(),
            api_version: "v25.0".to_owned(),
            access_token: AccessToken::new("a token").unwrap(),
            request_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
        };
        let gateway = CloudGateway::new(&settings, files.clone(), Clock::Manual(clock.clone())).unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { gateway, clock, files, http, address, stop, _folder: folder, _tasks: tasks }
    }

    async fn file(&self) -> MediaKey {
        let key = MediaKey { tenant_id: TenantId::generate(), media_id: MediaId::generate() };
        let mut writer = self.files.create(key, MediaType::by_extension("png").unwrap()).await.unwrap();
        writer.write(Bytes::from_static(b"\x89PNG\r\n\x1a\n")).await.unwrap();
        writer.finish().await.unwrap();
        key
    }

    async fn send(&self, source: MediaSource, is_single: bool) -> Answer {
        let content = MediaContent { kind: MediaKind::Image, source, caption: Some("Hi".to_owned()), filename: None };
        let request = SendRequest {
            sender: Sender::Number("1000".into()),
            recipient: Recipient::parse("919876543210").unwrap(),
            content: Content::Media(content),
            token: DeliveryId::generate(),
            is_single,
            deadline: Deadline::at(Moment(u64::MAX)),
        };
        self.gateway.send(request).await
    }

    /// Sends until the file is no longer on its way.
    async fn settled(&self, key: MediaKey) -> Answer {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let answer = self.send(MediaSource::Stored(key), true).await;
            if !is_uploading(&answer) {
                return answer;
            }
            assert!(answer.left_at.is_none() && tokio::time::Instant::now() < deadline, "{answer:?}");
            tokio::task::yield_now().await;
        }
    }

    async fn n_media(&self) -> usize {
        let answer = self.http.get(format!("{}/media", self.address)).send().await.unwrap();
        answer.json::<Vec<serde_json::Value>>().await.unwrap().len()
    }
}

fn is_uploading(answer: &Answer) -> bool {
    failure(answer).is_some_and(|failure| failure.reason == Reason::MediaUploading)
}

fn failure(answer: &Answer) -> Option<&crate::domain::failure::Failure> {
    answer.outcome.as_ref()?.failure()
}

#[tokio::test]
async fn a_file_is_brought_once_and_no_message_waits_for_it() {
    let world = World::start().await;
    let key = world.file().await;
    let first = world.send(MediaSource::Stored(key), false).now_or_never().expect("nothing is waited for");
    let failure = failure(&first).unwrap();
    assert_eq!((failure.handling, failure.reason), (Handling::HoldStream, Reason::MediaUploading));
    let single = world.send(MediaSource::Stored(key), true).now_or_never().expect("nothing is waited for");
    assert_eq!(self::failure(&single).unwrap().handling, Handling::RetryMessage);
    assert!(first.left_at.is_none() && single.left_at.is_none());
    for _ in 0..3 {
        let answer = world.settled(key).await;
        assert!(matches!(answer.outcome, Some(Outcome::Accepted { .. })) && answer.left_at.is_some(), "{answer:?}");
    }
    assert_eq!(world.n_media().await, 1);
    let link = world.send(MediaSource::Link("https://a.example/x.png".into()), true).await;
    assert!(matches!(link.outcome, Some(Outcome::Accepted { .. })), "{link:?}");
}

#[tokio::test]
async fn a_file_that_the_provider_forgot_is_brought_again() {
    let world = World::start().await;
    let key = world.file().await;
    world.settled(key).await;
    world.http.post(format!("{}/media/forget", world.address)).send().await.unwrap();
    let fresh = world.settled(key).await;
    assert!(matches!(fresh.outcome, Some(Outcome::Rejected(_))), "it was there a moment ago: {fresh:?}");
    world.clock.advance(Duration::from_secs(61));
    let forgotten = world.send(MediaSource::Stored(key), true).await;
    assert!(is_uploading(&forgotten) && forgotten.left_at.is_some(), "{forgotten:?}");
    assert!(matches!(world.settled(key).await.outcome, Some(Outcome::Accepted { .. })));
    world.clock.advance(Duration::from_secs(30 * 86_400));
    assert!(is_uploading(&world.send(MediaSource::Stored(key), true).await), "its time is over");
    assert!(matches!(world.settled(key).await.outcome, Some(Outcome::Accepted { .. })));
    assert_eq!(world.n_media().await, 2);
}

#[tokio::test]
async fn a_file_that_is_not_there_fails_its_message() {
    let world = World::start().await;
    let file = world.file().await;
    let others = MediaKey { tenant_id: TenantId::generate(), ..file };
    let answer = world.settled(others).await;
    let failure = failure(&answer).unwrap();
    assert_eq!((failure.handling, failure.provider_code.as_deref()), (Handling::FailMessage, Some("media:missing")));
    assert!(answer.left_at.is_none());
    assert_eq!(world.n_media().await, 0);
}
