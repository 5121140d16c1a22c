//! Commands about settings, schema and documents: `check-config`, `migrate`, `openapi`, `asyncapi`, `metrics`.

use std::path::Path;

use anyhow::Context;

use super::{ConfigArgs, Failure, Outcome, block_on, print, wrong_settings};
use crate::config::{Config, DatabaseUrl, Sources};
use crate::store::Store;
use crate::telemetry::metrics::catalogue;

/// Prints the settled values, secrets as `***`, or every mistake.
pub(super) fn check_config(file: Option<&Path>) -> Outcome {
    let (_, text) = Config::load_with_text(&Sources::of_process(file)).map_err(|problems| wrong_settings(&problems))?;
    print(text.as_bytes())
}

/// Brings the schema up to date.
pub(super) fn migrate(args: &ConfigArgs) -> Outcome {
    let config = args.load()?;
    prepare_folder(&config.store.url)?;
    block_on(async {
        let store = Store::open(config.store.url.expose(), 1).await.context("open the database")?;
        let done = store.migrate().await.context("bring the schema up to date");
        store.close().await;
        done
    })??;
    print(format!("the schema of {} is up to date\n", config.store.url).as_bytes())
}

/// Prints the OpenAPI document.
pub(super) fn print_openapi() -> Outcome {
    let text = crate::api::document().to_pretty_json().context("write the OpenAPI document")?;
    print(format!("{text}\n").as_bytes())
}

/// Prints the AsyncAPI document.
pub(super) fn print_asyncapi() -> Outcome {
    print(crate::broker::ASYNCAPI_DOCUMENT.as_bytes())
}

/// Prints the list of metrics.
pub(super) fn print_metrics(json: bool) -> Outcome {
    if json {
        let text = serde_json::to_string_pretty(&catalogue::catalogue()).context("write the list of metrics")?;
        return print(format!("{text}\n").as_bytes());
    }
    print(catalogue::page().as_bytes())
}

/// Makes the folder of an SQLite file.
pub(super) fn prepare_folder(url: &DatabaseUrl) -> Result<(), Failure> {
    let Some(folder) = url.sqlite_path().and_then(Path::parent) else {
        return Ok(());
    };
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    std::fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
    Ok(())
}
