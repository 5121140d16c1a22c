//! The access token of the Cloud API: the one there is now, which may be replaced while messages are under way.

use std::sync::{Arc, PoisonError, RwLock};

use hyper::header::HeaderValue;

use crate::gateway::http::bearer;

/// An access token, as a header; cheap to clone, and all clones see the same one.
#[derive(Clone)]
pub struct AccessToken(Arc<RwLock<HeaderValue>>);

impl AccessToken {
    /// Takes a token; none when it has characters that no header may have.
    #[must_use]
    pub fn new(token: &str) -> Option<Self> {
        Some(Self(Arc::new(RwLock::new(bearer(token)?))))
    }

    /// Puts another one in its place, for every request from now on; tells whether it is another one.
    ///
    /// One with characters that no header may have changes nothing.
    #[must_use]
    pub fn replace(&self, token: &str) -> bool {
        let Some(new) = bearer(token) else { return false };
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_other = *current != new;
        *current = new;
        is_other
    }

    /// Returns the header.
    pub(in crate::gateway) fn header(&self) -> HeaderValue {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_see_the_one_that_is_there_now() {
        let token = AccessToken::new("old").unwrap();
        let other = token.clone();
        assert!(!token.replace("old"));
        assert!(token.replace("new"));
        assert_eq!(other.header(), "Bearer new");
        assert!(!token.replace("a\nb"), "no header may have a line break");
        assert_eq!(other.header(), "Bearer new");
        assert!(AccessToken::new("a\nb").is_none());
        assert_eq!(format!("{token:?} {:?}", token.header()), "AccessToken Sensitive");
    }
}
