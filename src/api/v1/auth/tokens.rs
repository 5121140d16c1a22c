//! The ways to a pair of tokens: registration, log-in, refresh.
//!
//! All three answer the same body, as documented.

use std::time::Duration;

use axum::extract::State;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use utoipa::ToSchema;

use super::profile::UserView;
use crate::api::Shared;
use crate::api::audit::CallNote;
use crate::api::envelope::{ApiResult, Envelope, created, ok};
use crate::api::error::{Failures, OfBody, OfState, Refused};
use crate::api::extract::{Fields, FromFields, Json};
use crate::api::throttle::Visitor;
use crate::service::auth::{LoggedIn, Registration};

/// A business that wants to begin.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct RegisterBody {
    /// What the owner is called.
    #[schema(example = "Ana Rao")]
    name: String,
    /// Address to log in with.
    #[schema(example = "ana@example.com", format = Email)]
    email: String,
    /// 8 to 128 characters.
    #[schema(example = "correct horse battery", format = Password)]
    password: String,
    /// The name of the business.
    #[schema(example = "Rao Textiles")]
    business_name: String,
}

/// Who logs in.
#[derive(ToSchema)]
pub struct LoginBody {
    /// Address given at registration.
    #[schema(example = "ana@example.com", format = Email)]
    email: String,
    /// Password given at registration.
    #[schema(example = "correct horse battery", format = Password)]
    password: String,
}

/// A refresh token.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct RefreshBody {
    /// From the last answer; good for one exchange.
    #[schema(example = "rt_3q2…")]
    refresh_token: String,
}

/// A pair of tokens and whose they are.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokensView {
    /// Goes into `Authorization: Bearer …`.
    #[schema(example = "eyJhbGciOiJIUzI1NiJ9.…")]
    access_token: String,
    /// Good for one exchange against the next pair.
    #[schema(example = "rt_3q2…")]
    refresh_token: String,
    /// How long the access token is good.
    #[schema(example = "7d")]
    expires_in: String,
    /// Whose tokens these are.
    user: UserView,
}

/// Registers a business and its owner, and logs the owner in.
///
/// A mail to verify the owner's address follows.
#[utoipa::path(post, path = "/auth/register", tag = "auth", request_body = RegisterBody,
    responses((status = 201, body = Envelope<TokensView>), Failures, OfBody, OfState))]
pub(super) async fn register(
    State(front): State<Shared>,
    visitor: Visitor,
    note: CallNote,
    Json(body): Json<RegisterBody>,
) -> ApiResult<TokensView> {
    front.throttle.admit(visitor)?;
    let logged_in = front.services.auth.register(body.into()).await?;
    note.by_user(logged_in.user.tenant_id, logged_in.user.id);
    created(logged_in.into())
}

/// Logs a person in.
///
/// An unknown address and a wrong password are answered alike. Tries at one account are spaced; 429 says in `Retry-After`
/// when the next one is taken.
#[utoipa::path(post, path = "/auth/login", tag = "auth", request_body = LoginBody,
    responses((status = 200, body = Envelope<TokensView>), Failures, OfBody, Refused))]
pub(super) async fn login(
    State(front): State<Shared>,
    visitor: Visitor,
    note: CallNote,
    Json(body): Json<LoginBody>,
) -> ApiResult<TokensView> {
    front.throttle.admit_login(&body.email, visitor)?;
    let logged_in = front.services.auth.login(&body.email, &body.password.into()).await?;
    front.throttle.logged_in(&body.email, visitor);
    note.by_user(logged_in.user.tenant_id, logged_in.user.id);
    ok(logged_in.into())
}

/// Exchanges a refresh token for the next pair; a second use ends all tokens that came from it.
#[utoipa::path(post, path = "/auth/refresh", tag = "auth", request_body = RefreshBody,
    responses((status = 200, body = Envelope<TokensView>), Failures, OfBody, Refused))]
pub(super) async fn refresh(
    State(front): State<Shared>,
    visitor: Visitor,
    Json(body): Json<RefreshBody>,
) -> ApiResult<TokensView> {
    front.throttle.admit(visitor)?;
    ok(front.services.auth.refresh(&body.token()).await?.into())
}

impl RefreshBody {
    /// Returns the token.
    pub(super) fn token(self) -> SecretString {
        self.refresh_token.into()
    }
}

impl FromFields for RegisterBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let name = fields.required("name");
        let email = fields.required("email");
        let password = fields.required("password");
        let business_name = fields.required("businessName");
        Some(Self { name: name?, email: email?, password: password?, business_name: business_name? })
    }
}

impl FromFields for LoginBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let email = fields.required("email");
        let password = fields.required("password");
        Some(Self { email: email?, password: password? })
    }
}

impl FromFields for RefreshBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { refresh_token: fields.required("refreshToken")? })
    }
}

impl From<RegisterBody> for Registration {
    fn from(body: RegisterBody) -> Self {
        let RegisterBody { name, email, password, business_name } = body;
        Self { name, email, password: SecretString::from(password), business_name }
    }
}

impl From<LoggedIn> for TokensView {
    fn from(logged_in: LoggedIn) -> Self {
        Self {
            access_token: logged_in.access_token.expose_secret().to_owned(),
            refresh_token: logged_in.refresh_token.expose_secret().to_owned(),
            expires_in: in_words(logged_in.expires_in),
            user: logged_in.user.into(),
        }
    }
}

/// Writes a duration in its largest whole unit: `7d`, `36h`, `90s`.
fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [("d", 86_400), ("h", 3_600), ("m", 60)];
    let whole = units.into_iter().find(|(_, unit)| 0 < seconds && seconds.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{seconds}s"), |(word, unit)| format!("{}{word}", seconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_in_their_largest_unit() {
        let check = |seconds| in_words(Duration::from_secs(seconds));
        assert_eq!(
            [check(7 * 86_400), check(36 * 3_600), check(900), check(90), check(0)],
            ["7d", "36h", "15m", "90s", "0s"]
        );
    }
}
