//! Checks of the database: reachable, schema, durability, its clock against ours, who owns the partitions.

use std::collections::BTreeMap;

use super::check::{Check, in_time};
use crate::clock::Clock;
use crate::config::Config;
use crate::error::chain;
use crate::store::Store;
use crate::store::health::SchemaState;
use crate::store::partitions::PartitionRow;

/// Difference of the clocks from which it is worth a word, and from which it is wrong, microseconds.
const CLOCK_WARN_US: i64 = 250_000;
const CLOCK_FAIL_US: i64 = 2_000_000;

/// Partitions that are named one by one.
const PARTITIONS_NAMED_MAX: usize = 8;

const REACH: &str = "start the database, or correct store.url";

pub(super) async fn examine(config: &Config) -> Vec<Check> {
    let url = &config.store.url;
    let rest = ["schema", "durability", "clock", "partitions"];
    let missing = |reached, because| {
        std::iter::once(reached).chain(rest.map(|name| Check::not_looked_at(name, because))).collect()
    };
    if url.sqlite_path().is_some_and(|path| !path.exists()) {
        let reached =
            Check::warn("database", format!("{url} is not there yet"), "run migrate, or serve, which makes it");
        return missing(reached, "there is no database yet");
    }
    let mut store = None;
    let reach = async {
        let opened = match Store::knock(url.expose()).await {
            Ok(()) => Store::open(url.expose(), 1).await,
            Err(problem) => Err(problem),
        };
        match opened {
            Ok(opened) => store = Some(opened),
            Err(problem) => return Check::fail("database", format!("{url}: {}", chain(&problem)), REACH),
        }
        Check::ok("database", format!("{url} answers"))
    };
    let reached = in_time("database", REACH, reach).await;
    let Some(store) = store else { return missing(reached, "the database does not answer") };
    let checks = vec![
        reached,
        in_time("schema", REACH, schema(&store)).await,
        in_time("durability", REACH, durability(&store)).await,
        in_time("clock", REACH, clock(&store)).await,
        in_time("partitions", REACH, partitions(&store, config.queue.partitions.get())).await,
    ];
    store.close().await;
    checks
}

async fn schema(store: &Store) -> Check {
    let migrate = "run dispatcher migrate (serve does it at its start)";
    match store.schema_state().await {
        Err(problem) => Check::fail("schema", chain(&problem), REACH),
        Ok(SchemaState { n_failed: 1.., n_missing, .. }) => Check::fail(
            "schema",
            format!("a step failed half-way, {n_missing} are missing"),
            "restore a backup, or mend it",
        ),
        Ok(SchemaState { n_unknown: n @ 1.., .. }) => {
            Check::fail("schema", format!("{n} step(s) newer than this program"), "install the newer dispatcher")
        }
        Ok(SchemaState { n_missing: n @ 1.., .. }) => {
            Check::fail("schema", format!("{n} step(s) are missing"), migrate)
        }
        Ok(_) => Check::ok("schema", "up to date"),
    }
}

async fn durability(store: &Store) -> Check {
    let settings = match store.durability().await {
        Ok(settings) => settings,
        Err(problem) => return Check::fail("durability", chain(&problem), REACH),
    };
    let shown: Vec<String> = settings.iter().map(|setting| format!("{} = {}", setting.name, setting.value)).collect();
    let shown = shown.join(", ");
    if settings.iter().all(|setting| setting.is_durable) {
        return Check::ok("durability", shown);
    }
    Check::fail("durability", shown, "turn it on: without it a crash can lose attempts, and then repeat messages")
}

async fn clock(store: &Store) -> Check {
    let clock = Clock::system();
    let before_us = clock.now().as_us();
    match store.now_us().await {
        Ok(theirs_us) => {
            let ours_us = before_us.midpoint(clock.now().as_us());
            judge_clock(theirs_us - ours_us)
        }
        Err(problem) => Check::fail("clock", chain(&problem), REACH),
    }
}

/// Judges by how far the database's clock is ahead of ours.
pub(super) fn judge_clock(ahead_us: i64) -> Check {
    let detail = format!("this machine and the database are {} ms apart", ahead_us.abs() / 1_000);
    let advice = "synchronise both clocks (NTP)";
    match ahead_us.abs() {
        CLOCK_FAIL_US.. => Check::fail("clock", detail, advice),
        CLOCK_WARN_US.. => Check::warn("clock", detail, advice),
        _ => Check::ok("clock", detail),
    }
}

async fn partitions(store: &Store, n_partitions: u16) -> Check {
    match store.partitions().await {
        Ok(rows) => judge_partitions(&rows, n_partitions),
        Err(problem) => Check::fail("partitions", chain(&problem), "run dispatcher migrate"),
    }
}

/// Judges by who holds the leases.
pub(super) fn judge_partitions(rows: &[PartitionRow], n_partitions: u16) -> Check {
    let mut owned: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unowned: Vec<u16> = (0..n_partitions).collect();
    for row in rows.iter().filter(|row| 0 < row.lease_left_ms) {
        if let (Some(owner), Ok(place)) = (&row.owner_name, unowned.binary_search(&row.partition.0)) {
            *owned.entry(owner).or_default() += 1;
            unowned.remove(place);
        }
    }
    let owners: Vec<String> = owned.iter().map(|(owner, n)| format!("{owner} ({n})")).collect();
    let advice = "start a daemon, or wait for leases to be claimed";
    if unowned.is_empty() {
        return Check::ok("partitions", format!("{n_partitions} owned by {}", owners.join(", ")));
    }
    if owners.is_empty() {
        return Check::warn("partitions", format!("nobody owns any of the {n_partitions}"), advice);
    }
    let mut named: Vec<String> = unowned.iter().take(PARTITIONS_NAMED_MAX).map(u16::to_string).collect();
    if PARTITIONS_NAMED_MAX < unowned.len() {
        named.push("...".to_owned());
    }
    let (n_unowned, named, owners) = (unowned.len(), named.join(", "), owners.join(", "));
    let detail = format!("{n_unowned} of {n_partitions} owned by nobody ({named}); the others by {owners}");
    Check::warn("partitions", detail, advice)
}
