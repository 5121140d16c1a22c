//! Both dialects end with the same tables, and PostgreSQL keeps its HOT updates.

use std::collections::BTreeMap;

use actiwapi_dispatcher::store::{Pool, Store, migrate};

use crate::support::db::{on_postgres, on_sqlite};

/// Columns of each table: name, type, whether it may be empty, place in the primary key.
type Schema = BTreeMap<String, Vec<(String, String, bool)>>;

#[tokio::test]
async fn both_dialects_have_the_same_columns() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    on_postgres(async |store: Store| sender.send(postgres_schema(&store).await).unwrap()).await;
    let postgres: Schema = receiver.await.unwrap();
    assert!(postgres.contains_key("deliveries"));
    on_sqlite(async |store: Store| {
        let sqlite = sqlite_schema(&store).await;
        assert_eq!(postgres.keys().collect::<Vec<_>>(), sqlite.keys().collect::<Vec<_>>());
        for (table, columns) in &postgres {
            assert_eq!(columns, &sqlite[table], "{table}");
        }
    })
    .await;
}

#[test]
fn both_dialects_have_the_same_steps() {
    let steps = |migrator: &sqlx::migrate::Migrator| {
        migrator.iter().map(|step| (step.version, step.description.to_string())).collect::<Vec<_>>()
    };
    assert!(!steps(&migrate::POSTGRES).is_empty());
    assert_eq!(steps(&migrate::POSTGRES), steps(&migrate::SQLITE));
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    on_postgres(async |store: Store| store.migrate().await.unwrap()).await;
    on_sqlite(async |store: Store| store.migrate().await.unwrap()).await;
}

/// An index on a changing column, or with one in its condition, costs PostgreSQL its HOT updates
/// and a third of the throughput. The place of a delivery changes only when an unknown one is put
/// back in line, which is no part of the usual life.
#[tokio::test]
async fn no_index_of_the_message_path_has_a_column_that_changes() {
    const FIXED: [(&str, &[&str]); 8] = [
        (
            "deliveries",
            &[
                "delivery_id",
                "tenant_id",
                "session_id",
                "campaign_id",
                "job_id",
                "band",
                "seq",
                "recipient",
                "variables",
                "created_at_ms",
            ],
        ),
        ("campaign_counters", &["campaign_id"]),
        ("lanes", &["session_id"]),
        ("usage", &["tenant_id"]),
        ("request_usage", &["tenant_id"]),
        ("tier_accounts", &["account_id"]),
        ("tier_recipients", &["account_id", "recipient", "counted_at_ms"]),
        ("tier_uses", &["account_id", "slot_no"]),
    ];
    on_postgres(async |store: Store| {
        let Pool::Postgres(pool) = store.pool() else { unreachable!() };
        for (table, fixed) in FIXED {
            let indexed: Vec<(String, String)> = sqlx::query_as(
                "SELECT i.indexrelid::regclass::text, a.attname::text FROM pg_index i \
                 JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid \
                      AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid > 0 \
                 JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = d.refobjsubid \
                 WHERE i.indrelid = $1::regclass \
                 UNION SELECT i.indexrelid::regclass::text, a.attname::text FROM pg_index i \
                 JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) \
                 WHERE i.indrelid = $1::regclass",
            )
            .bind(table)
            .fetch_all(pool)
            .await
            .unwrap();
            assert!(!indexed.is_empty(), "{table} has no index at all");
            for (index, column) in indexed {
                assert!(fixed.contains(&column.as_str()), "{index} has {table}.{column}, which changes");
            }
        }
    })
    .await;
}

/// The updates of a whole life are HOT.
#[tokio::test]
async fn the_life_of_a_delivery_is_hot() {
    use crate::support::journal::{self, Entries};
    use crate::support::seed::{self, NOW_MS};
    use actiwapi_dispatcher::domain::id::CampaignId;
    use actiwapi_dispatcher::domain::receipt::ReceiptKind;

    on_postgres(async |store: Store| {
        let lane = seed::lane(&store).await;
        let campaign_id = CampaignId::generate();
        let ids = seed::admit(&store, &seed::job(lane, campaign_id, 500)).await;
        let entries = Entries { session_id: lane.session_id, campaign_id, at_ms: NOW_MS };
        let Pool::Postgres(pool) = store.pool() else { unreachable!() };
        journal::begin(&store, ids.iter().map(|id| entries.begin(*id, 1)).collect()).await;
        until_nobody_sees_the_past(pool).await;
        let ends = ids.iter().map(|id| entries.end(*id, 1, journal::accepted()));
        journal::end(&store, ends.collect()).await;
        until_nobody_sees_the_past(pool).await;
        let receipts = ids.iter().map(|id| entries.receipt(*id, ReceiptKind::Delivered));
        journal::receive(&store, receipts.collect()).await;
        let mut connection = pool.acquire().await.unwrap();
        // The counts reach the view when a backend is idle; this asks the one asked to send its own.
        let (all, hot) = loop {
            sqlx::query("SELECT pg_stat_force_next_flush()").execute(&mut *connection).await.unwrap();
            let sql = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'deliveries'";
            let (all, hot): (i64, i64) = sqlx::query_as(sql).fetch_one(&mut *connection).await.unwrap();
            if 1_500 <= all {
                break (all, hot);
            }
        };
        assert!(all * 8 <= hot * 10, "{hot} of {all} updates are HOT");
    })
    .await;
}

/// Waits for transactions that began earlier, in whatever database of the server: while they run,
/// old versions of rows keep their room.
async fn until_nobody_sees_the_past(pool: &sqlx::PgPool) {
    let sql = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
    let now: i64 = sqlx::query_scalar(sql).fetch_one(pool).await.unwrap();
    let sql = "SELECT $1 <= pg_snapshot_xmin(pg_current_snapshot())::text::bigint";
    while !sqlx::query_scalar::<_, bool>(sql).bind(now).fetch_one(pool).await.unwrap() {
        tokio::task::yield_now().await;
    }
}

async fn postgres_schema(store: &Store) -> Schema {
    let Pool::Postgres(pool) = store.pool() else { unreachable!() };
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(
        "SELECT table_name::text, column_name::text, data_type::text, is_nullable::text \
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations' \
         ORDER BY table_name, ordinal_position",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut schema = Schema::new();
    for (table, column, kind, nullable) in rows {
        // What each type of PostgreSQL is on SQLite.
        let kind = match kind.as_str() {
            "uuid" | "bytea" => "BLOB",
            "bigint" | "integer" | "boolean" => "INTEGER",
            "double precision" => "REAL",
            "text" => "TEXT",
            other => panic!("{table}.{column} has the type {other}, which has no counterpart"),
        };
        schema.entry(table).or_default().push((column, kind.to_owned(), nullable == "YES"));
    }
    schema
}

async fn sqlite_schema(store: &Store) -> Schema {
    let Pool::Sqlite { reader, .. } = store.pool() else { unreachable!() };
    let rows: Vec<(String, String, String, bool)> = sqlx::query_as(
        "SELECT t.name, c.name, c.type, c.\"notnull\" = 0 AND c.pk = 0 FROM sqlite_schema t, pragma_table_info(t.name) c \
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> '_sqlx_migrations' \
         ORDER BY t.name, c.cid",
    )
    .fetch_all(reader)
    .await
    .unwrap();
    let mut schema = Schema::new();
    for (table, column, kind, nullable) in rows {
        schema.entry(table).or_default().push((column, kind, nullable));
    }
    schema
}
