//! Of many news of one subject the last, and of very many the first.
//!
//! Pure: knows no time.

use std::collections::HashMap;

use uuid::Uuid;

use crate::domain::realtime::RealtimeEvent;
use crate::store::realtime::RealtimeNews;

/// Returns the last news of each subject, in the order in which the subjects came up, at most `n_max` of them.
pub(super) fn coalesced(news: Vec<RealtimeNews>, n_max: usize) -> Vec<RealtimeNews> {
    let mut places: HashMap<(RealtimeEvent, Uuid), usize> = HashMap::new();
    let mut last: Vec<RealtimeNews> = Vec::new();
    for news in news {
        match places.get(&(news.event, news.subject_id)) {
            Some(&place) => last[place] = news,
            None if last.len() < n_max => {
                places.insert((news.event, news.subject_id), last.len());
                last.push(news);
            }
            None => {}
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_of_each_subject_counts() {
        let news =
            |event, subject, data: i64| RealtimeNews { event, subject_id: Uuid::from_u128(subject), data: json!(data) };
        let (message, session) = (RealtimeEvent::MessageStatus, RealtimeEvent::SessionStatus);
        let all = vec![
            news(message, 1, 1),
            news(message, 2, 2),
            news(session, 1, 3),
            news(message, 1, 4),
            news(message, 3, 5),
            news(message, 2, 6),
        ];
        let kept = |n_max| coalesced(all.clone(), n_max).iter().map(|of| of.data.as_i64().unwrap()).collect::<Vec<_>>();
        assert_eq!(kept(10), [4, 6, 3, 5]);
        assert_eq!(kept(2), [4, 6]);
        assert_eq!(kept(0), [] as [i64; 0]);
    }
}
