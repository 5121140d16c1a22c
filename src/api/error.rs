//! How every failure is answered: the table of causes, in one `match`.
//!
//! Handlers return [`ApiError`] and never name a status. What a 5xx was caused by goes to the log, once, and
//! never to the client.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use crate::domain::plan::Meter;
use crate::error::{Error, Problem, chain};
use crate::store::StoreError;

/// When a client may come again after something of ours was not there.
const COME_AGAIN: Duration = Duration::from_secs(5);

/// Requests left now.
pub(super) const RATE_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
/// Seconds until requests are taken as before.
pub(super) const RATE_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A body, a query or a path that can not be read at all; says what.
    #[error("{0}")]
    Malformed(&'static str),
    /// A body that is not JSON, with the place where reading stopped.
    #[error("The body is not valid JSON (line {line}, column {column}).")]
    NotJson {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// There is no such operation.
    #[error("there is nothing at this path")]
    NoRoute,
    /// The operations of this path have other methods.
    #[error("this path does not take this method")]
    MethodNotAllowed,
    /// The body has more bytes than the operation takes.
    #[error("the body is larger than this operation takes")]
    TooLarge,
    /// The body is of a form that the operation does not take; names those it takes.
    #[error("The body must be {0}.")]
    UnsupportedMediaType(&'static str),
    /// The handler did not end in time.
    #[error("the request took too long")]
    TimedOut,
    /// The handler panicked.
    #[error("a handler panicked")]
    Panicked,
    /// Parts of the daemon can not work; names each and says why.
    #[error("parts are not ready")]
    NotReady(Vec<(&'static str, &'static str)>),
    /// A service refused or failed.
    #[error(transparent)]
    Service(#[from] Error),
}

impl ApiError {
    /// Makes the refusal of one field.
    pub fn invalid(field: impl Into<Cow<'static, str>>, problem: impl Into<Cow<'static, str>>) -> Self {
        Self::Service(Error::invalid(field, problem))
    }

    /// Decides how the failure is answered.
    fn answer(self) -> Answer {
        use Code as C;
        match self {
            Self::Malformed(_) | Self::NotJson { .. } => Answer::new(400, C::ValidationError, self.to_string()),
            Self::Service(Error::Validation(problems)) => {
                Answer { problems, ..Answer::new(400, C::ValidationError, "Some fields are not valid.") }
            }
            Self::Service(Error::Unauthorized) => {
                Answer::new(401, C::Unauthorized, "The credentials are missing, wrong or expired.")
            }
            Self::Service(Error::Forbidden) => Answer::new(403, C::Forbidden, "Your role does not allow this."),
            Self::Service(Error::ScopeMissing(scope)) => {
                Answer::new(403, C::Forbidden, format!("The key lacks the scope `{}`.", scope.as_str()))
            }
            Self::Service(Error::AddressRefused) => {
                Answer::new(403, C::Forbidden, "The key is not to be used from this address.")
            }
            Self::Service(Error::SubscriptionInactive) => {
                Answer::new(403, C::SubscriptionInactive, "The subscription is not active.")
            }
            Self::Service(Error::LimitExceeded(meter)) => {
                let answer = Answer::new(403, C::LimitExceeded, spent(meter));
                Answer { reason: Some(meter.reason().as_str()), ..answer }
            }
            Self::Service(Error::NotFound(kind)) => Answer::new(404, C::NotFound, format!("There is no such {kind}.")),
            Self::NoRoute => Answer::new(404, C::NotFound, "There is nothing at this path."),
            Self::MethodNotAllowed => Answer::new(405, C::MethodNotAllowed, "This path does not take this method."),
            Self::Service(Error::Conflict { message, field }) => {
                let problem = field.map(|field| Problem { field: field.into(), problem: message.clone() });
                Answer { problems: problem.into_iter().collect(), ..Answer::new(409, C::Conflict, message) }
            }
            Self::TooLarge => Answer::new(413, C::PayloadTooLarge, "The body is larger than this operation takes."),
            Self::UnsupportedMediaType(_) => Answer::new(415, C::UnsupportedMediaType, self.to_string()),
            Self::Service(Error::RateLimited { retry_after }) => {
                Answer::new(429, C::RateLimited, "Too many requests.").retry_after(retry_after)
            }
            Self::Service(Error::WhatsappUnavailable(message)) => Answer::new(502, C::WhatsappUnavailable, message),
            Self::TimedOut => {
                Answer::new(503, C::ServiceUnavailable, "The request took too long.").retry_after(COME_AGAIN)
            }
            Self::NotReady(parts) => {
                let problems = parts
                    .into_iter()
                    .map(|(part, problem)| Problem { field: part.into(), problem: problem.into() })
                    .collect();
                let answer =
                    Answer::new(503, C::ServiceUnavailable, "Some parts are not ready.").retry_after(COME_AGAIN);
                Answer { problems, ..answer }
            }
            Self::Service(ref error) if error.is_outage() => {
                Answer::new(503, C::ServiceUnavailable, "The service is not available now.").retry_after(COME_AGAIN)
            }
            Self::Panicked | Self::Service(Error::Store(_) | Error::Internal { .. } | Error::Unavailable(_)) => {
                Answer::new(500, C::InternalError, "Something went wrong on our side.")
            }
        }
    }

    /// Writes what a 5xx was caused by to the log: an outage is passing, everything else is a defect.
    fn log(&self) {
        match self {
            Self::Panicked | Self::TimedOut => tracing::error!(error = %self, "request failed"),
            Self::Service(error) if error.is_outage() => tracing::warn!(error = chain(error), "request put off"),
            Self::Service(error @ (Error::Store(_) | Error::Internal { .. })) => {
                tracing::error!(error = chain(error), "request failed");
            }
            _ => {}
        }
    }
}

/// Marks a 5xx that is certain to have changed nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct NothingChanged;

impl From<StoreError> for ApiError {
    fn from(source: StoreError) -> Self {
        Self::Service(source.into())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let changed_nothing = matches!(&self, Self::Service(error) if error.changed_nothing());
        let Answer { status, code, message, reason, problems, retry_after } = self.answer();
        let errors = problems.into_iter().map(|Problem { field, problem }| (field.into(), problem.into())).collect();
        let body = FailureBody { success: false, code, reason, message: message.into(), errors };
        let mut response = (status, axum::Json(body)).into_response();
        if changed_nothing {
            response.extensions_mut().insert(NothingChanged);
        }
        if let Some(wait) = retry_after {
            let seconds = wait.as_secs() + u64::from(0 < wait.subsec_nanos());
            let seconds = HeaderValue::from(seconds.max(1));
            if status == StatusCode::TOO_MANY_REQUESTS {
                response.headers_mut().insert(RATE_REMAINING, HeaderValue::from(0));
                response.headers_mut().insert(RATE_RESET, seconds.clone());
            }
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// One row of the table.
struct Answer {
    status: StatusCode,
    code: Code,
    message: Cow<'static, str>,
    reason: Option<&'static str>,
    problems: Vec<Problem>,
    retry_after: Option<Duration>,
}

impl Answer {
    fn new(status: u16, code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let status = StatusCode::from_u16(status).expect("the table holds known statuses only");
        let message = message.into();
        Self { status, code, message, reason: None, problems: Vec::new(), retry_after: None }
    }

    fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }
}

/// Says what of a plan is used up.
fn spent(meter: Meter) -> &'static str {
    match meter {
        Meter::Messages => "The messages of your plan are used up.",
        Meter::Sessions => "You have as many sessions as your plan allows.",
        Meter::ApiRequests => "The requests of your plan are used up.",
        Meter::Campaigns => "The campaigns of your plan are used up.",
        Meter::Contacts => "You have as many contacts as your plan allows.",
    }
}

/// The words of a failure that programs may branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// 400: body, query or path failed validation.
    ValidationError,
    /// 401: missing or invalid credentials.
    Unauthorized,
    /// 403: role or scope missing.
    Forbidden,
    /// 403: the subscription is not active.
    SubscriptionInactive,
    /// 403: the plan has no more of it.
    LimitExceeded,
    /// 404: not there, or not in your tenant.
    NotFound,
    /// 405: the path has other methods.
    MethodNotAllowed,
    /// 409: a duplicate, or the state refuses.
    Conflict,
    /// 413: the body is too large.
    PayloadTooLarge,
    /// 415: the body is of another form.
    UnsupportedMediaType,
    /// 429: too many requests.
    RateLimited,
    /// 500: unexpected.
    InternalError,
    /// 502: the session is disconnected, or the provider failed.
    WhatsappUnavailable,
    /// 503: something of ours is not there at the moment.
    ServiceUnavailable,
}

/// The body of every failure.
#[derive(Debug, Serialize, ToSchema)]
pub struct FailureBody {
    /// Always `false`.
    #[schema(example = false)]
    pub success: bool,
    /// For programs.
    pub code: Code,
    /// Which limit of the plan was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "PLAN_SESSIONS")]
    pub reason: Option<&'static str>,
    /// For people.
    #[schema(example = "Some fields are not valid.")]
    pub message: String,
    /// Which field breaks which rule.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"phone": "Valid phone number is required"}))]
    pub errors: BTreeMap<String, String>,
}

/// What can go wrong with every operation.
#[derive(IntoResponses)]
pub enum Failures {
    /// Body, query or path failed validation.
    #[response(status = 400)]
    Validation(FailureBody),
    /// More requests than allowed; `Retry-After` says when to come again.
    #[response(status = 429)]
    RateLimited(FailureBody),
    /// Unexpected; the message is constant.
    #[response(status = 500)]
    Internal(FailureBody),
    /// Something of ours is not there at the moment; `Retry-After` says when to come again.
    #[response(status = 503)]
    Unavailable(FailureBody),
}

/// What can go wrong with operations that need credentials.
#[derive(IntoResponses)]
pub enum Guarded {
    /// Missing, wrong or expired credentials.
    #[response(status = 401)]
    Unauthorized(FailureBody),
    /// The role or the key does not allow it, the plan has no more of it, or the subscription is not active.
    #[response(status = 403)]
    Forbidden(FailureBody),
}

/// What can go wrong with operations that hand out credentials.
#[derive(IntoResponses)]
pub enum Refused {
    /// The given credentials do not hold.
    #[response(status = 401)]
    Unauthorized(FailureBody),
}

/// What can go wrong with operations that ask the provider.
#[derive(IntoResponses)]
pub enum OfProvider {
    /// The session is disconnected, or the provider refused.
    #[response(status = 502)]
    Unavailable(FailureBody),
}

/// What can go wrong with operations on one thing.
#[derive(IntoResponses)]
pub enum OfOne {
    /// Not there, or not in your tenant.
    #[response(status = 404)]
    NotFound(FailureBody),
}

/// What can go wrong with operations that depend on a state.
#[derive(IntoResponses)]
pub enum OfState {
    /// A duplicate, or the state refuses.
    #[response(status = 409)]
    Conflict(FailureBody),
}

/// What can go wrong with operations that take a body.
#[derive(IntoResponses)]
pub enum OfBody {
    /// The body has more bytes than this operation takes.
    #[response(status = 413)]
    TooLarge(FailureBody),
    /// The body is of a form that this operation does not take.
    #[response(status = 415)]
    UnsupportedMediaType(FailureBody),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::api_key::Scope;

    fn causes() -> Vec<(&'static str, ApiError)> {
        let row = || StoreError::Corrupt { table: "t", column: "c", row: "r".into() };
        let pool = StoreError::Database { doing: "read", source: sqlx::Error::PoolTimedOut };
        vec![
            ("unreadable", ApiError::Malformed("The query can not be read.")),
            ("not JSON", ApiError::NotJson { line: 1, column: 7 }),
            ("fields", ApiError::invalid("phone", "Valid phone number is required")),
            ("credentials", Error::Unauthorized.into()),
            ("role", Error::Forbidden.into()),
            ("scope", Error::ScopeMissing(Scope::MessagesSend).into()),
            ("address", Error::AddressRefused.into()),
            ("subscription", Error::SubscriptionInactive.into()),
            ("plan", Error::LimitExceeded(Meter::Sessions).into()),
            ("not there", Error::NotFound("campaign").into()),
            ("no route", ApiError::NoRoute),
            ("method", ApiError::MethodNotAllowed),
            ("state", Error::conflict("The campaign is paused").into()),
            ("duplicate", Error::Conflict { message: "It is taken".into(), field: Some("email") }.into()),
            ("size", ApiError::TooLarge),
            ("form", ApiError::UnsupportedMediaType("application/json")),
            ("rate", Error::RateLimited { retry_after: Duration::from_millis(1_500) }.into()),
            ("panic", ApiError::Panicked),
            ("corrupt row", row().into()),
            ("fault", Error::internal("sign a token")("secret detail").into()),
            ("provider", Error::WhatsappUnavailable("The session is disconnected".into()).into()),
            ("overload", Error::Unavailable("password hashing").into()),
            ("database away", pool.into()),
            ("not ready", ApiError::NotReady(vec![("database", "does not answer")])),
            ("time", ApiError::TimedOut),
        ]
    }

    /// The table of causes, as clients see it.
    #[tokio::test]
    async fn golden_table() {
        let mut table = String::new();
        for (cause, error) in causes() {
            let response = error.into_response();
            let status = response.status().as_u16();
            let retry =
                response.headers().get(header::RETRY_AFTER).map_or("-", |value| value.to_str().unwrap()).to_owned();
            let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["success"], false);
            let (code, message) = (body["code"].as_str().unwrap(), body["message"].as_str().unwrap());
            table += &format!("{cause:14} {status} {code:22} {retry:2} {message} {}\n", body["errors"]);
        }
        insta::assert_snapshot!(table, @r#"
        unreadable     400 VALIDATION_ERROR       -  The query can not be read. null
        not JSON       400 VALIDATION_ERROR       -  The body is not valid JSON (line 1, column 7). null
        fields         400 VALIDATION_ERROR       -  Some fields are not valid. {"phone":"Valid phone number is required"}
        credentials    401 UNAUTHORIZED           -  The credentials are missing, wrong or expired. null
        role           403 FORBIDDEN              -  Your role does not allow this. null
        scope          403 FORBIDDEN              -  The key lacks the scope `messages:send`. null
        address        403 FORBIDDEN              -  The key is not to be used from this address. null
        subscription   403 SUBSCRIPTION_INACTIVE  -  The subscription is not active. null
        plan           403 LIMIT_EXCEEDED         -  You have as many sessions as your plan allows. null
        not there      404 NOT_FOUND              -  There is no such campaign. null
        no route       404 NOT_FOUND              -  There is nothing at this path. null
        method         405 METHOD_NOT_ALLOWED     -  This path does not take this method. null
        state          409 CONFLICT               -  The campaign is paused null
        duplicate      409 CONFLICT               -  It is taken {"email":"It is taken"}
        size           413 PAYLOAD_TOO_LARGE      -  The body is larger than this operation takes. null
        form           415 UNSUPPORTED_MEDIA_TYPE -  The body must be application/json. null
        rate           429 RATE_LIMITED           2  Too many requests. null
        panic          500 INTERNAL_ERROR         -  Something went wrong on our side. null
        corrupt row    500 INTERNAL_ERROR         -  Something went wrong on our side. null
        fault          500 INTERNAL_ERROR         -  Something went wrong on our side. null
        provider       502 WHATSAPP_UNAVAILABLE   -  The session is disconnected null
        overload       503 SERVICE_UNAVAILABLE    5  The service is not available now. null
        database away  503 SERVICE_UNAVAILABLE    5  The service is not available now. null
        not ready      503 SERVICE_UNAVAILABLE    5  Some parts are not ready. {"database":"does not answer"}
        time           503 SERVICE_UNAVAILABLE    5  The request took too long. null
        "#);
    }

    #[test]
    fn the_log_gets_the_whole_chain() {
        let error = Error::internal("sign a token")("the cause");
        assert_eq!(chain(&error), "could not sign a token: the cause");
    }
}
