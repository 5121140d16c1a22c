//! A database of its own for every test, on PostgreSQL and on SQLite.
//!
//! PostgreSQL copies a template that is migrated once per schema; SQLite migrates a new file.
//! Fills nothing in: see [`super::seed`].

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use actiwapi_dispatcher::store::{Pool, Store, migrate};
use futures::FutureExt;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor};

/// Makes tests `NAME::postgres` and `NAME::sqlite` of async functions that take a [`Store`].
macro_rules! store_contract {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn postgres() {
                crate::support::db::on_postgres(super::$name).await;
            }

            #[tokio::test]
            async fn sqlite() {
                crate::support::db::on_sqlite(super::$name).await;
            }
        }
    )*};
}
pub(crate) use store_contract;

/// Connections of one test's pool: more than the writers that any contract runs at once.
const CONNECTIONS_MAX: u32 = 6;

/// Any number that nobody else locks on.
const TEMPLATE_LOCK: i64 = 7_120_417_335;

/// Runs a contract on a new PostgreSQL database and drops it, also when the contract fails.
pub(crate) async fn on_postgres<C, F>(contract: C)
where
    C: FnOnce(Store) -> F,
    F: Future<Output = ()>,
{
    let server = server();
    let name = format!("contract_{}", unique());
    let template = template(&server).await;
    execute(&server, &format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS_MAX);
    let pool = pool.connect_with(server.clone().database(&name)).await.expect("connect to the new database");
    let store = Store::from_pool(Pool::Postgres(pool));
    let outcome = AssertUnwindSafe(contract(store.clone())).catch_unwind().await;
    store.close().await;
    execute(&server, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    outcome.unwrap_or_else(|panic| resume_unwind(panic));
}

/// Runs a contract on a new SQLite file and removes it, also when the contract fails.
pub(crate) async fn on_sqlite<C, F>(contract: C)
where
    C: FnOnce(Store) -> F,
    F: Future<Output = ()>,
{
    let folder: PathBuf = std::env::temp_dir().join(format!("contract_{}", unique()));
    std::fs::create_dir_all(&folder).expect("make a folder for the database");
    let url = format!("sqlite:{}", folder.join("store.db").display());
    let store = Store::open(&url, CONNECTIONS_MAX).await.expect("open a new SQLite file");
    store.migrate().await.expect("migrate a new SQLite file");
    let outcome = AssertUnwindSafe(contract(store.clone())).catch_unwind().await;
    store.close().await;
    std::fs::remove_dir_all(&folder).expect("remove the folder of the database");
    outcome.unwrap_or_else(|panic| resume_unwind(panic));
}

/// Returns where tests may create databases.
fn server() -> PgConnectOptions {
    let url = std::env::var("DATABASE_URL")
        .expect("DATABASE_URL must name a PostgreSQL where tests may create databases, postgres://USER@HOST:PORT/DB");
    PgConnectOptions::from_str(&url).expect("DATABASE_URL must be a postgres:// address").disable_statement_logging()
}

fn unique() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Returns the name of a migrated database, made by whichever process comes first.
async fn template(server: &PgConnectOptions) -> String {
    let sums: Vec<u8> = migrate::POSTGRES.iter().flat_map(|step| step.checksum.iter().copied()).collect();
    let name = format!("contract_template_{:016x}", fnv(&sums));
    let mut connection = server.connect().await.expect("connect to the PostgreSQL of DATABASE_URL");
    sqlx::query("SELECT pg_advisory_lock($1)").bind(TEMPLATE_LOCK).execute(&mut connection).await.expect("lock");
    let found = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1").bind(&name);
    if found.fetch_optional(&mut connection).await.expect("look for the template").is_none() {
        make_template(server, &mut connection, &name).await;
    }
    connection.close().await.expect("close, which unlocks");
    name
}

async fn make_template(server: &PgConnectOptions, connection: &mut PgConnection, name: &str) {
    let unfinished = format!("{name}_unfinished");
    run(connection, &format!("DROP DATABASE IF EXISTS {unfinished}")).await;
    run(connection, &format!("CREATE DATABASE {unfinished}")).await;
    let mut inside = server.clone().database(&unfinished).connect().await.expect("connect to the template");
    migrate::POSTGRES.run(&mut inside).await.expect("migrate the template");
    inside.close().await.expect("leave the template");
    run(connection, &format!("ALTER DATABASE {unfinished} RENAME TO {name}")).await;
}

async fn execute(server: &PgConnectOptions, statement: &str) {
    let mut connection = server.connect().await.expect("connect to the PostgreSQL of DATABASE_URL");
    run(&mut connection, statement).await;
    connection.close().await.expect("close the connection");
}

async fn run(connection: &mut PgConnection, statement: &str) {
    let outcome = connection.execute(sqlx::AssertSqlSafe(statement)).await;
    outcome.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
