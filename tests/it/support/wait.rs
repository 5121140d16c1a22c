//! Waiting for a condition, never for a time alone.

use std::time::Duration;

use tokio::time::Instant;

/// Longest wait for anything that happens at all, on a machine that others use too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks until there is an answer.
///
/// # Panics
/// When there is none within `patience`.
pub(crate) async fn until<T>(what: &str, patience: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = look().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Looks until it is so.
///
/// # Panics
/// When it is not within [`PATIENCE`].
pub(crate) async fn until_so(what: &str, mut look: impl AsyncFnMut() -> bool) {
    until(what, PATIENCE, async || look().await.then_some(())).await;
}
