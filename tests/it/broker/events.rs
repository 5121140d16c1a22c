//! The relay of events against a real Kafka, and against one that goes away.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::sync::Arc;

use actiwapi_dispatcher::broker::{Broker, Producer, Record};
use actiwapi_dispatcher::clock::Moment;
use actiwapi_dispatcher::config::{KafkaConfig, TopicNames};
use actiwapi_dispatcher::dispatch::lease::{Lease, Leases};
use actiwapi_dispatcher::domain::attempt::Outcome;
use actiwapi_dispatcher::domain::delivery::DeliveryState;
use actiwapi_dispatcher::domain::event::StateChange;
use actiwapi_dispatcher::domain::failure::Failure;
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId};
use actiwapi_dispatcher::domain::partition::{Fence, PartitionNo};
use actiwapi_dispatcher::domain::receipt::ReceiptKind;
use actiwapi_dispatcher::domain::session::SessionState;
use actiwapi_dispatcher::domain::session_change::{SessionChange, SessionNews};
use actiwapi_dispatcher::events::Relay;
use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::store::events::BatchBounds;
use actiwapi_dispatcher::store::journal::Ended;
use actiwapi_dispatcher::store::session_events::SessionMove;
use actiwapi_dispatcher::telemetry::metrics::Metrics;
use actiwapi_dispatcher::with_writer;
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::mocking::MockCluster;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::asyncapi::{assert_valid, schema};
use super::support::{DEADLINE, Member, admin, config, delete_topics, with_topics};
use crate::support::db::on_sqlite;
use crate::support::journal::{self, Entries};
use crate::support::seed::{self, NOW_MS};
use crate::support::wait::until_so;

const NODE: Uuid = Uuid::from_u128(0xdd);
const STATES: [DeliveryState; 3] = [DeliveryState::Sent, DeliveryState::Delivered, DeliveryState::Read];

fn relay(store: &Store, broker: &Broker) -> Relay {
    Relay {
        store: store.clone(),
        producer: Producer::start(broker).unwrap(),
        topic: broker.topics().events.clone(),
        session_topic: broker.topics().session_events.clone(),
        leases: Leases::new(NonZeroU16::MIN),
        metrics: Metrics::new().unwrap(),
    }
}

/// Moves deliveries through [`STATES`], a transaction each, some of them at once.
async fn record(store: &Store, n_deliveries: u64) -> Vec<DeliveryId> {
    let lane = seed::lane(store).await;
    let campaign_id = CampaignId::generate();
    let ids = seed::admit(store, &seed::job(lane, campaign_id, n_deliveries)).await;
    let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
    for some in ids.chunks(7) {
        journal::begin(store, some.iter().map(|id| entries.begin(*id, 1)).collect()).await;
        journal::end(store, some.iter().map(|id| entries.end(*id, 1, journal::accepted())).collect()).await;
        for kind in [ReceiptKind::Delivered, ReceiptKind::Read] {
            journal::receive(store, some.iter().map(|id| entries.receipt(*id, kind)).collect()).await;
        }
    }
    ids
}

/// Reads the topic of events from its beginning.
async fn read(config: &KafkaConfig, n_records: usize) -> Vec<Record> {
    let topics = TopicNames { jobs: config.topics.events.clone(), ..config.topics.clone() };
    let group = format!("{}.reader", config.group);
    let mut member = Member::join(&Broker::new(KafkaConfig { topics, group, ..config.clone() }).unwrap());
    let records = member.read(n_records).await;
    member.consumer.stop().await;
    records
}

/// Reads what was told of each delivery, after checking every record.
fn told(records: &[Record]) -> BTreeMap<DeliveryId, Vec<DeliveryState>> {
    let schema = schema("StateChange");
    let mut told: BTreeMap<DeliveryId, Vec<DeliveryState>> = BTreeMap::new();
    for record in records {
        let payload = record.payload.as_ref().unwrap();
        assert_valid(&schema, &serde_json::from_slice(payload).unwrap());
        let change = StateChange::decode(payload).unwrap();
        assert_eq!(record.key.as_deref(), Some(change.delivery_id.to_string().as_bytes()));
        told.entry(change.delivery_id).or_default().push(change.state);
    }
    told
}

async fn left(store: &Store) -> i64 {
    store.count_event_batches().await.unwrap()
}

async fn until_none_is_left(store: &Store) {
    until_so("everything is relayed", async || left(store).await == 0).await;
}

#[tokio::test]
async fn every_change_arrives_in_order() {
    on_sqlite(|store| async move {
        let store = store.recording_events(NODE);
        with_topics(3, |config, broker| async move {
            let relay = relay(&store, &broker);
            let metrics = Arc::clone(&relay.metrics);
            let stop = CancellationToken::new();
            let relaying = TaskTracker::new().spawn(relay.run(stop.clone()));
            let ids = record(&store, 100).await;
            until_none_is_left(&store).await;
            stop.cancel();
            relaying.await.unwrap();
            let told = told(&read(&config, 300).await);
            assert_eq!(told, ids.iter().map(|id| (*id, STATES.to_vec())).collect());
            assert_eq!(metrics.events.relayed.get(), 300);
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn what_is_left_at_the_end_is_relayed() {
    on_sqlite(|store| async move {
        let store = store.recording_events(NODE);
        with_topics(1, |config, broker| async move {
            let ids = record(&store, 30).await;
            let stop = CancellationToken::new();
            stop.cancel();
            tokio::time::timeout(DEADLINE, relay(&store, &broker).run(stop)).await.unwrap();
            assert_eq!(left(&store).await, 0);
            assert_eq!(told(&read(&config, 90).await).len(), ids.len());
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_node_that_dies_before_it_removes_repeats_and_loses_nothing() {
    on_sqlite(|store| async move {
        with_topics(3, |config, broker| async move {
            let dead = store.clone().recording_events(NODE);
            let ids = record(&dead, 20).await;
            let some = BatchBounds { n_rows: 4, n_bytes: u32::MAX };
            let batches = dead.event_batches_of(NODE, some).await.unwrap();
            relay(&dead, &broker).publish(&batches).await.unwrap();
            let n_before: usize = batches
                .iter()
                .map(|batch| serde_json::from_str::<Vec<StateChange>>(&batch.events).unwrap().len())
                .sum();

            let heir = Uuid::from_u128(0xee);
            let relay = relay(&store, &broker);
            let all = left(&store).await;
            assert!(!relay.pass(heir).await.unwrap() && !relay.pass_for_others(heir).await.unwrap());
            relay.leases.add(&Lease::new(Fence { partition: PartitionNo::FIRST, number: 1 }, Moment::from_ms(0)));
            assert!(!relay.pass_for_others(heir).await.unwrap(), "they are too young");
            assert_eq!(left(&store).await, all);
            let sql = "UPDATE event_batches SET created_at_ms = created_at_ms - 30001";
            with_writer!(store.pool(), |db| sqlx::query(sql).execute(db).await.map(drop)).unwrap();
            assert!(relay.pass_for_others(heir).await.unwrap());
            assert_eq!(left(&store).await, 0);

            let told = told(&read(&config, 60 + n_before).await);
            assert_eq!(told.keys().copied().collect::<BTreeSet<_>>(), ids.into_iter().collect());
            let repeated = told.values().filter(|states| **states != STATES).count();
            assert_ne!(repeated, 0);
            for states in told.values() {
                let distinct: BTreeSet<&str> = states.iter().map(|state| state.as_str()).collect();
                assert_eq!(distinct, STATES.iter().map(|state| state.as_str()).collect());
                assert!(states.ends_with(&STATES), "the whole stretch again, in order: {states:?}");
            }
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn what_happens_to_sessions_goes_to_its_own_topic() {
    on_sqlite(|store| async move {
        let store = store.recording_events(NODE);
        with_topics(1, |config, broker| async move {
            let lane = seed::lane(&store).await;
            record(&store, 1).await;
            let (from, to) = (SessionState::Connected, SessionState::Banned);
            let news = Some(SessionNews::Banned);
            let step = SessionMove { from, to, news, reason: Some("ACCOUNT_LOCKED"), at_ms: NOW_MS };
            assert!(store.sessions().transition(lane.tenant_id, lane.session_id, &step).await.unwrap());
            while relay(&store, &broker).pass(NODE).await.unwrap() {}
            assert_eq!(told(&read(&config, 3).await).len(), 1);
            let topics = TopicNames { events: config.topics.session_events.clone(), ..config.topics.clone() };
            let group = format!("{}.sessions", config.group);
            let records = read(&KafkaConfig { topics, group, ..config }, 1).await;
            assert_eq!(records[0].key.as_deref(), Some(lane.session_id.to_string().as_bytes()));
            let change = SessionChange::decode(records[0].payload.as_ref().unwrap()).unwrap();
            assert_eq!((change.event, change.reason.as_deref()), (SessionNews::Banned, Some("ACCOUNT_LOCKED")));
        })
        .await;
    })
    .await;
}

/// A cluster inside the client library, whose broker can go away and come back.
struct AwayCluster {
    cluster: MockCluster<'static, rdkafka::producer::DefaultProducerContext>,
    config: KafkaConfig,
}

impl AwayCluster {
    fn start() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        let brokers = vec![cluster.bootstrap_servers()];
        let config = KafkaConfig { brokers, ..config(1) };
        cluster.create_topic(&config.topics.events, 1, 1).unwrap();
        Self { cluster, config }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_away_events_stay_and_then_arrive() {
    on_sqlite(|store| async move {
        let store = store.recording_events(NODE);
        let away = AwayCluster::start();
        away.cluster.broker_down(1).unwrap();
        let relay = relay(&store, &Broker::new(away.config.clone()).unwrap());
        let metrics = Arc::clone(&relay.metrics);
        let stop = CancellationToken::new();
        let relaying = TaskTracker::new().spawn(relay.run(stop.clone()));
        let ids = record(&store, 20).await;
        assert_eq!(left(&store).await, 9, "nothing is removed before the broker has it");
        until_so("the backlog is shown", async || metrics.events.backlog.get() == 9).await;
        away.cluster.broker_up(1).unwrap();
        until_none_is_left(&store).await;
        stop.cancel();
        relaying.await.unwrap();
        let told = told(&read(&away.config, 60).await);
        assert_eq!(told, ids.iter().map(|id| (*id, STATES.to_vec())).collect());
    })
    .await;
}

#[tokio::test]
async fn a_topic_that_refuses_an_event_holds_up_no_other() {
    on_sqlite(|store| async move {
        let store = store.recording_events(NODE);
        let config = config(1);
        let lane = seed::lane(&store).await;
        let ids = seed::admit(&store, &seed::job(lane, CampaignId::DIRECT, 3)).await;
        let entries = Entries { session_id: lane.session_id, campaign_id: CampaignId::DIRECT, at_ms: NOW_MS };
        journal::begin(&store, ids.iter().map(|id| entries.begin(*id, 1)).collect()).await;
        let code = (0..32).map(|_| Uuid::new_v4().simple().to_string()).collect();
        let large = Ended::Outcome(Outcome::Rejected(Failure { provider_code: Some(code), ..journal::limit() }));
        let ended = [journal::accepted(), large, journal::accepted()];
        journal::end(&store, ids.iter().zip(ended).map(|(id, ended)| entries.end(*id, 1, ended)).collect()).await;
        create_narrow_topic(&config.topics.events).await;
        assert!(relay(&store, &Broker::new(config.clone()).unwrap()).pass(NODE).await.unwrap());
        assert_eq!(left(&store).await, 0);
        let told = told(&read(&config, 2).await);
        assert_eq!(told.keys().copied().collect::<BTreeSet<_>>(), [ids[0], ids[2]].into());
        delete_topics(&config.topics).await;
    })
    .await;
}

/// Makes a topic that takes one plain event at a time, about 350 bytes with its frame.
async fn create_narrow_topic(name: &str) {
    let new = NewTopic::new(name, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "500");
    let created = admin().create_topics([&new], &AdminOptions::new()).await.unwrap();
    created[0].as_ref().unwrap();
}
