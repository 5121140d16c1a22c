//! Pages of lists: `page` and `limit` from the query, `pagination` in the answer.
//!
//! Reads no rows; the stores do, with the bounded request made here.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;
use crate::error::Problems;
use crate::limits::{PAGE_LIMIT_MAX, PAGE_ROWS_SKIPPED_MAX};
use crate::store::page::PageRequest;

/// The query of every list, checked by its extractor.
#[derive(Debug, Clone, Copy)]
pub struct Page(pub PageRequest);

/// The query of every list, as it is documented and as it arrives.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Which page, counted from 1.
    #[param(value_type = Option<u32>, default = 1, minimum = 1)]
    page: Option<String>,
    /// Rows of one page.
    #[param(value_type = Option<u32>, default = 20, minimum = 1, maximum = 100)]
    limit: Option<String>,
}

/// Where a page lies in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pagination {
    /// This page, counted from 1.
    #[schema(example = 1)]
    pub page: u32,
    /// Rows of one page.
    #[schema(example = 20)]
    pub limit: u32,
    /// Rows of the whole list.
    #[schema(example = 57)]
    pub total: u64,
    /// Pages of the whole list.
    #[schema(example = 3)]
    pub total_pages: u64,
}

impl Pagination {
    /// Tells where `page` lies in a list of `total` rows.
    #[must_use]
    pub fn new(page: PageRequest, total: u64) -> Self {
        let limit = page.limit();
        Self { page: page.page(), limit, total, total_pages: total.div_ceil(u64::from(limit)) }
    }
}

impl TryFrom<PageQuery> for Page {
    type Error = ApiError;

    fn try_from(query: PageQuery) -> Result<Self, ApiError> {
        let default = PageRequest::default();
        let mut problems = Problems::default();
        let page = whole_number(query.page.as_deref(), default.page());
        if page == 0 {
            problems.push("page", "must be a whole number from 1");
        }
        let limit = whole_number(query.limit.as_deref(), default.limit());
        if !(1..=PAGE_LIMIT_MAX).contains(&limit) {
            problems.push("limit", format!("must be a whole number from 1 to {PAGE_LIMIT_MAX}"));
        }
        problems.check()?;
        PageRequest::new(page, limit)
            .map(Self)
            .ok_or_else(|| ApiError::invalid("page", format!("lies past the first {PAGE_ROWS_SKIPPED_MAX} rows")))
    }
}

/// Reads a number; 0, which no field takes, stands for one that can not be read.
fn whole_number(text: Option<&str>, default: u32) -> u32 {
    text.map_or(default, |text| text.parse().unwrap_or(0))
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::<PageQuery>::try_from_uri(&parts.uri)
            .map_err(|_| ApiError::Malformed("The query can not be read."))?;
        query.0.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(page: Option<&str>, limit: Option<&str>) -> Result<(u32, u32), String> {
        let query = PageQuery { page: page.map(Into::into), limit: limit.map(Into::into) };
        Page::try_from(query).map(|page| (page.0.page(), page.0.limit())).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn defaults_and_bounds() {
        assert_eq!(check(None, None), Ok((1, 20)));
        assert_eq!(check(Some("3"), Some("100")), Ok((3, 100)));
        let problems = check(Some("0"), Some("101")).unwrap_err();
        assert!(problems.contains("page") && problems.contains("from 1 to 100"), "{problems}");
        for page in ["4294967295", "4294967296", "-1", "x", "", "1.0"] {
            assert!(check(Some(page), None).is_err(), "{page}");
        }
    }

    #[test]
    fn pages_are_counted_up() {
        let pages = |total| Pagination::new(PageRequest::default(), total).total_pages;
        assert_eq!((pages(0), pages(1), pages(20), pages(21)), (0, 1, 1, 2));
    }
}
