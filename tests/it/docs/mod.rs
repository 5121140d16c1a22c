//! Pages that the program prints are the pages in `docs/`.

use std::path::Path;

use actiwapi_dispatcher::telemetry::metrics::catalogue;

/// A page changes only with the code: run with `UPDATE_GOLDEN=1` to accept, and read the difference.
fn assert_page(path: &str, printed: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, printed).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == printed, "{path} is not what the program prints; run this test with UPDATE_GOLDEN=1");
}

#[test]
fn the_page_of_metrics_is_the_catalogue() {
    assert_page("docs/metrics.md", &catalogue::page());
}
