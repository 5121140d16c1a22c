//! The pure parts that run once or more per message, with fixed inputs: what one costs without any I/O.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use actiwapi_dispatcher::clock::Moment;
use actiwapi_dispatcher::dispatch::lane::task::Finished;
use actiwapi_dispatcher::dispatch::lane::work::{JobPlan, Work};
use actiwapi_dispatcher::dispatch::lease::Lease;
use actiwapi_dispatcher::dispatch::pacer::{Pacer, ShardTime};
use actiwapi_dispatcher::dispatch::shard::output::{Begin, Output, Release};
use actiwapi_dispatcher::dispatch::shard::state::{Shard, ShardSettings};
use actiwapi_dispatcher::dispatch::shard::{Command, Loaded, Offer, Report};
use actiwapi_dispatcher::domain::attempt::Outcome;
use actiwapi_dispatcher::domain::id::{CampaignId, DeliveryId, JobId, SessionId, TenantId};
use actiwapi_dispatcher::domain::job::TrafficClass;
use actiwapi_dispatcher::domain::message::{MessageSpec, MessageTemplate, Variables};
use actiwapi_dispatcher::domain::pacing::{Pacing, PacingSettings};
use actiwapi_dispatcher::domain::partition::{Fence, PartitionNo};
use actiwapi_dispatcher::domain::recipient::Recipient;
use actiwapi_dispatcher::domain::recipient_csv::RecipientCsv;
use actiwapi_dispatcher::domain::zone::Band;
use actiwapi_dispatcher::gateway::classify::outcome_of_answer;
use actiwapi_dispatcher::store::lanes::LaneRow;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const TEXT: &str = "{Hello|Hi} {{name|there}}, your order {{order}} is on its way. Track it at https://example.com/t.";

fn variables() -> Variables {
    let mut variables = Variables::default();
    for (name, value) in [("name", "Ana"), ("order", "A-10023"), ("city", "Pune")] {
        variables.insert(name, value.to_owned()).expect("a good variable");
    }
    variables
}

fn render(criterion: &mut Criterion) {
    let spec = MessageSpec::Text { text: TEXT.to_owned() };
    let template = MessageTemplate::compile(&spec).expect("a good text");
    let recipient = Recipient::parse("919876543210").expect("a good number");
    let variables = variables();
    let mut seed = 0;
    criterion.bench_function("message/render", |bench| {
        bench.iter(|| {
            seed += 1;
            template.render(black_box(&variables), black_box(&recipient), seed)
        });
    });
}

fn parse(criterion: &mut Criterion) {
    Recipient::prepare();
    criterion.bench_function("recipient/parse", |bench| bench.iter(|| Recipient::parse(black_box("+91 98765 43210"))));
    let stored = "919876543210";
    criterion.bench_function("recipient/from_stored", |bench| bench.iter(|| Recipient::from_stored(black_box(stored))));
}

fn csv(criterion: &mut Criterion) {
    let lines = (0..1_000).map(|n| format!("9198{n:08},Ana,A-{n}\n"));
    let file: String = std::iter::once("phone,name,order\n".to_owned()).chain(lines).collect();
    let mut group = criterion.benchmark_group("recipient_csv");
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("1000 rows", |bench| {
        bench.iter_batched(
            RecipientCsv::new,
            |mut csv| {
                let mut n_rows = 0;
                csv.feed(black_box(file.as_bytes()), &mut |_| n_rows += 1).expect("a good file");
                csv.finish(&mut |_| n_rows += 1).expect("a good file");
                n_rows
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn pace(criterion: &mut Criterion) {
    let time = ShardTime::default();
    let start = Moment::from_ms(1_700_000_000_000);
    time.set(start);
    let pacing = Pacing::new(60_000.0, 1).expect("a good pacing");
    let pacer = Pacer::new(pacing, None, &time);
    let mut n = 0;
    criterion.bench_function("pacer/take", |bench| {
        bench.iter(|| {
            n += 1;
            time.set(start + Duration::from_millis(n));
            black_box(pacer.take())
        });
    });
}

/// Lanes of the shard under test; all are due in every round.
const N_LANES: usize = 10_000;

/// Lanes that send in bursts, and how many messages they send at once.
const N_BURST_LANES: usize = 20;
const BURST: usize = 10;

/// A shard with connected lanes, one campaign, and as many heads as its lanes hold.
struct Lanes {
    shard: Shard,
    now: Moment,
    plan: Arc<JobPlan>,
    campaign_id: CampaignId,
}

impl Lanes {
    fn new(n_lanes: usize, settings: &PacingSettings) -> Self {
        let pacing = Pacing::new(60.0, 1).expect("a good pacing");
        let mut shard = Shard::new(ShardSettings { default_pacing: pacing, n_places: N_LANES * 8 }, Arc::default());
        let (now, campaign_id) = (Moment::from_ms(1_800_000_000_000), CampaignId::generate());
        let fence = Fence { partition: PartitionNo::FIRST, number: 1 };
        let lease = Lease::new(fence, Moment(u64::MAX));
        for _ in 0..n_lanes {
            let session_id = SessionId::generate();
            let row = LaneRow { pacing: settings.clone(), ..LaneRow::plain(session_id, TenantId::generate()) };
            shard.command(Command::Session(Box::new(row), Arc::clone(&lease)), now);
            let traffic_class = TrafficClass::Bulk;
            let offer = Offer { session_id, campaign_id, band: Band(0), zone: None, traffic_class, done_below_seq: 1 };
            shard.command(Command::Offer(offer), now);
        }
        let spec = MessageSpec::Text { text: TEXT.to_owned() };
        let plan = Arc::new(JobPlan {
            template: MessageTemplate::compile(&spec).ok(),
            ..JobPlan::plain(JobId::generate(), TrafficClass::Bulk)
        });
        Self { shard, now, plan, campaign_id }
    }

    fn load(&mut self, out: &mut Output) {
        loop {
            let mut loads = Vec::new();
            self.shard.take_loads(&mut loads);
            if loads.is_empty() {
                return;
            }
            let loaded = loads.into_iter().map(|(lane, _, load)| {
                let works: Vec<_> = (1..).take(load.limit).map(|n| self.work(load.after_seq + n)).collect();
                Loaded { lane, load, n_rows: works.len(), last_seq: works.last().map(|work| work.seq), works }
            });
            let loaded = loaded.collect();
            self.shard.report(Report::Loaded(loaded), self.now, out);
        }
    }

    fn work(&self, seq: i64) -> Box<Work> {
        Box::new(Work {
            delivery_id: DeliveryId::generate(),
            campaign_id: self.campaign_id,
            band: Band(0),
            seq,
            recipient: Recipient::from_stored("919876543210").expect("a stored number"),
            variables: variables(),
            n_attempts: 0,
            n_attempts_before: 0,
            ready_at: self.now,
            capped_until: None,
            plan: Arc::clone(&self.plan),
        })
    }

    /// One message of every lane, or one burst: begun, durable, let go, answered; returns how many.
    fn round(&mut self) -> usize {
        let (lead, mut out) = (Duration::from_millis(10), Output::default());
        self.now = self.now + Duration::from_secs(1);
        self.load(&mut out);
        self.shard.run(self.now, lead, &mut out);
        for Begin { lane, work, content, .. } in std::mem::take(&mut out.begins) {
            self.shard.report(Report::Begun(lane, work, content), self.now, &mut out);
        }
        self.shard.run(self.now, lead, &mut out);
        let releases = std::mem::take(&mut out.releases);
        let lanes: Vec<_> = releases.iter().map(|release| release.lane).collect();
        let n_released = lanes.len();
        for Release { lane, prepared, .. } in releases {
            let outcome = Outcome::Accepted { provider_message_id: String::new() };
            let (released_at, ended_at) = (self.now, self.now);
            let finished =
                Finished { lane, work: prepared.work, outcome, released_at, left_at: Some(self.now), ended_at };
            self.shard.report(Report::Finished(finished), self.now, &mut out);
        }
        self.shard.report(Report::Written(lanes), self.now, &mut out);
        n_released
    }
}

fn lanes(criterion: &mut Criterion) {
    let mut plain = Lanes::new(N_LANES, &PacingSettings::default());
    let caps = serde_json::from_str(r#"{"jitter": 0.0, "hourlyCap": 100000, "dailyCap": 1000000}"#);
    let mut capped = Lanes::new(N_LANES, &caps.expect("good settings"));
    let bursts = r#"{"jitter": 0.0, "hourlyCap": 100000, "dailyCap": 1000000, "ratePerMinute": 600, "burst": 10}"#;
    let mut bursting = Lanes::new(N_BURST_LANES, &serde_json::from_str(bursts).expect("good settings"));
    let mut group = criterion.benchmark_group("lanes");
    group.throughput(Throughput::Elements(u64::try_from(N_LANES).expect("a small number")));
    group.sample_size(20);
    for (name, lanes) in [("one message of each of 10,000", &mut plain), ("the same with caps", &mut capped)] {
        group.bench_function(name, |bench| {
            bench.iter(|| assert!(N_LANES <= lanes.round() + N_LANES / 10, "most lanes were due"));
        });
    }
    group.throughput(Throughput::Elements(u64::try_from(N_BURST_LANES * BURST).expect("a small number")));
    group.bench_function("ten messages of each of 20 with caps", |bench| {
        bench.iter(|| assert_eq!(bursting.round(), N_BURST_LANES * BURST));
    });
}

fn classify(criterion: &mut Criterion) {
    let accepted =
        br#"{"messaging_product":"whatsapp","contacts":[{"input":"1","wa_id":"1"}],"messages":[{"id":"wamid.1"}]}"#;
    let refused = br#"{"error":{"message":"(#131056) x","type":"OAuthException","code":131056,"fbtrace_id":"A"}}"#;
    criterion
        .bench_function("classify/accepted", |bench| bench.iter(|| outcome_of_answer(200, black_box(accepted), None)));
    criterion
        .bench_function("classify/refused", |bench| bench.iter(|| outcome_of_answer(400, black_box(refused), None)));
}

criterion_group!(benches, render, parse, csv, pace, lanes, classify);
criterion_main!(benches);
