//! Pages of the API's lists: page and limit in, rows and their total out.
//!
//! Only for people who turn pages. Work pages by key and never counts.

use crate::limits::{PAGE_LIMIT_MAX, PAGE_ROWS_SKIPPED_MAX};

/// Which page of a list is wanted; always within the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    page: u32,
    limit: u32,
}

/// Rows of one page, and how many there are in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows of this page.
    pub items: Vec<T>,
    /// Rows on all pages.
    pub total: u64,
}

impl PageRequest {
    /// Asks for page `page`, counted from 1, of `limit` rows; `None` when out of bounds.
    #[must_use]
    pub fn new(page: u32, limit: u32) -> Option<Self> {
        let request = Self { page, limit };
        let fits = 1 <= page && (1..=PAGE_LIMIT_MAX).contains(&limit);
        (fits && request.offset() <= PAGE_ROWS_SKIPPED_MAX).then_some(request)
    }

    /// Returns which page, counted from 1.
    #[must_use]
    pub fn page(self) -> u32 {
        self.page
    }

    /// Returns the rows on a page.
    #[must_use]
    pub fn limit(self) -> u32 {
        self.limit
    }

    /// Returns the rows before the page.
    #[must_use]
    pub fn offset(self) -> i64 {
        i64::from(self.page - 1) * i64::from(self.limit)
    }
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { page: 1, limit: 20 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_kept() {
        assert_eq!(PageRequest::new(0, 20), None);
        assert_eq!(PageRequest::new(1, 0), None);
        assert_eq!(PageRequest::new(1, PAGE_LIMIT_MAX + 1), None);
        assert_eq!(PageRequest::new(u32::MAX, PAGE_LIMIT_MAX), None);
        assert_eq!(PageRequest::new(3, 20).map(PageRequest::offset), Some(40));
    }
}
