//! The pure parts that run once or more per message, with fixed inputs: what one costs without any I/O.

use std::hint::black_box;
use std::time::Duration;

use actiwapi_dispatcher::clock::Moment;
use actiwapi_dispatcher::dispatch::pacer::{Pacer, ShardTime};
use actiwapi_dispatcher::domain::message::{MessageSpec, MessageTemplate, Variables};
use actiwapi_dispatcher::domain::pacing::Pacing;
use actiwapi_dispatcher::domain::recipient::Recipient;
use actiwapi_dispatcher::domain::recipient_csv::RecipientCsv;
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

criterion_group!(benches, render, parse, csv, pace);
criterion_main!(benches);
