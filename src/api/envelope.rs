//! The form of every successful answer: `success`, `data`, and a `pagination` beside lists.
//!
//! Failures have their own form in [`super::error`].

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::ApiError;
use super::page::{Page, Pagination};
use crate::store::page::Page as Rows;

/// What a handler answers.
pub type ApiResult<T> = Result<Reply<Envelope<T>>, ApiError>;
/// What a handler of a list answers.
pub type ListResult<T> = Result<Reply<Paged<T>>, ApiError>;

/// A successful answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Envelope<T> {
    /// Always `true`.
    #[schema(example = true)]
    pub success: bool,
    /// What was asked for.
    pub data: T,
}

/// A successful answer with one page of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Paged<T> {
    /// Always `true`.
    #[schema(example = true)]
    pub success: bool,
    /// The rows of this page.
    pub data: Vec<T>,
    /// Where this page lies in the list.
    pub pagination: Pagination,
}

/// The one thing that was removed.
#[derive(Debug, Serialize, ToSchema)]
pub struct RemovedView {
    /// Its id.
    pub id: Uuid,
}

/// A body with its status.
#[derive(Debug, Clone)]
pub struct Reply<B> {
    status: StatusCode,
    body: B,
}

/// Answers 200 with `data`.
///
/// # Errors
/// Never; the type is that of the handlers.
pub fn ok<T>(data: T) -> ApiResult<T> {
    Ok(Reply { status: StatusCode::OK, body: Envelope { success: true, data } })
}

/// Answers 201 with `data`.
///
/// # Errors
/// Never; the type is that of the handlers.
pub fn created<T>(data: T) -> ApiResult<T> {
    Ok(Reply { status: StatusCode::CREATED, body: Envelope { success: true, data } })
}

/// Answers 200 with the rows of one page, each shown as a `T`.
///
/// # Errors
/// Never; the type is that of the handlers.
pub fn paged<R, T: From<R>>(page: Page, rows: Rows<R>) -> ListResult<T> {
    let pagination = Pagination::new(page.0, rows.total);
    let data = rows.items.into_iter().map(T::from).collect();
    Ok(Reply { status: StatusCode::OK, body: Paged { success: true, data, pagination } })
}

impl<B: Serialize> IntoResponse for Reply<B> {
    fn into_response(self) -> Response {
        (self.status, axum::Json(self.body)).into_response()
    }
}
