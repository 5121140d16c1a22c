//! The settings of the parts, made from those of the daemon.

use std::num::NonZeroU16;
use std::sync::Arc;

use anyhow::Context;
use secrecy::SecretString;

use crate::api::ApiSettings;
use crate::api::rates::{Rate, RateSettings};
use crate::clock::Clock;
use crate::config::{Config, GatewayKind, MailCarrier, MediaPlaceConfig, RateLimit, RetentionConfig, Secret};
use crate::gateway::cloud::{AccessToken, CloudDesk, CloudGateway, CloudProblem, CloudSettings};
use crate::gateway::linked::LinkedSettings;
use crate::mail::{CarrierSettings, MailSettings};
use crate::media::{MediaError, MediaFiles, MediaPlace, S3Place};
use crate::service::access_token::{JwtKey, JwtKeys};
use crate::service::auth::AuthSettings;
use crate::service::billing::BillingSettings;
use crate::service::billing::razorpay::{Razorpay, RazorpaySettings};
use crate::service::password::PasswordCost;
use crate::service::sessions::SessionSettings;
use crate::service::{MediaBounds, MediaSettings, RetentionSettings, ServiceSettings};
use crate::webhooks::{CourierSettings, TIMEOUT};

/// Makes the gateway to the Cloud API, or to what speaks like it.
pub(super) fn cloud_gateway(
    config: &Config,
    access_token: &AccessToken,
    files: MediaFiles,
    clock: Clock,
) -> Result<CloudGateway, CloudProblem> {
    CloudGateway::new(&cloud_settings(config, access_token), files, clock)
}

/// Returns the access token as it is now.
pub(super) fn access_token(config: &Config) -> Result<AccessToken, CloudProblem> {
    AccessToken::new(config.gateway.access_token.expose()).ok_or(CloudProblem::Token)
}

/// Makes what asks the Cloud API about other things than messages.
pub(super) fn cloud_desk(config: &Config, access_token: &AccessToken) -> Result<CloudDesk, CloudProblem> {
    CloudDesk::new(&cloud_settings(config, access_token))
}

fn cloud_settings(config: &Config, access_token: &AccessToken) -> CloudSettings {
    let gateway = &config.gateway;
    CloudSettings {
        base_url: gateway.base_url.clone(),
        api_version: gateway.api_version.clone(),
        access_token: access_token.clone(),
        request_timeout: gateway.request_timeout,
        connect_timeout: gateway.connect_timeout,
    }
}

/// Returns how linked devices are reached; none where there are none.
pub(super) fn linked_settings(config: &Config) -> Option<LinkedSettings> {
    let gateway = &config.gateway;
    Some(LinkedSettings {
        base_url: gateway.linked_url.clone()?,
        access_token: gateway.linked_token.expose().to_owned(),
        request_timeout: gateway.request_timeout,
        connect_timeout: gateway.connect_timeout,
    })
}

/// Opens the place where files are kept.
pub(super) fn media_files(config: &Config) -> Result<MediaFiles, MediaError> {
    let place = match config.media.place.clone() {
        MediaPlaceConfig::Directory(directory) => MediaPlace::Directory(directory),
        MediaPlaceConfig::S3 { name, prefix, region, endpoint, access_key_id, secret_access_key } => {
            let secret_access_key = SecretString::from(secret_access_key.expose());
            MediaPlace::S3(S3Place { name, prefix, region, endpoint, access_key_id, secret_access_key })
        }
    };
    MediaFiles::open(&place)
}

pub(super) fn service_settings(config: &Config, files: MediaFiles) -> anyhow::Result<ServiceSettings> {
    let media = &config.media;
    let bounds = MediaBounds {
        image_bytes_max: media.image_bytes_max,
        video_bytes_max: media.video_bytes_max,
        audio_bytes_max: media.audio_bytes_max,
        document_bytes_max: media.document_bytes_max,
        tenant_bytes_max: media.tenant_bytes_max,
    };
    let secret = config.auth.jwt_secret.as_ref().map_or_else(
        || {
            tracing::warn!("auth.jwt_secret is not set: access tokens end with this process");
            format!("{}{}", uuid::Uuid::new_v4(), uuid::Uuid::new_v4())
        },
        |secret| secret.expose().to_owned(),
    );
    let accepted = config.auth.jwt_accepted_secrets.iter().map(|secret| JwtKey::of(secret.expose().into())).collect();
    Ok(ServiceSettings {
        billing: billing_settings(config)?,
        n_partitions: config.queue.kafka.as_ref().map_or(NonZeroU16::MIN, |kafka| kafka.partitions),
        webhooks_allow_loopback: config.webhooks.allow_loopback,
        media: MediaSettings { files, bounds },
        retention: retention_settings(&config.retention),
        auth: AuthSettings {
            jwt_keys: JwtKeys { current: JwtKey::of(SecretString::from(secret)), accepted },
            access_token_lifetime: config.auth.token_lifetime,
            refresh_token_lifetime: config.auth.refresh_lifetime,
            password_cost: PasswordCost::default(),
        },
        sessions: SessionSettings {
            default_pacing: config.dispatch.default_pacing,
            assigns_phone_number_id: config.gateway.kind == GatewayKind::Simulator
                && config.gateway.linked_url.is_none(),
        },
    })
}

fn billing_settings(config: &Config) -> anyhow::Result<BillingSettings> {
    let razorpay = config.billing.razorpay.as_ref().map(|razorpay| {
        Razorpay::new(RazorpaySettings {
            key_id: razorpay.key_id.clone(),
            key_secret: SecretString::from(razorpay.key_secret.expose()),
            webhook_secret: SecretString::from(razorpay.webhook_secret.expose()),
            base_url: razorpay.base_url.clone(),
            timeout: razorpay.timeout,
        })
    });
    let razorpay = razorpay.transpose().context("set up the way to Razorpay")?.map(Arc::new);
    Ok(BillingSettings { razorpay, trial: config.billing.trial })
}

fn retention_settings(retention: &RetentionConfig) -> RetentionSettings {
    RetentionSettings {
        messages: retention.messages,
        conversations: retention.conversations,
        session_events: retention.session_events,
        webhook_history: retention.webhook_history,
        request_log: retention.request_log,
        idempotency: retention.idempotency,
    }
}

pub(super) fn courier_settings(config: &Config) -> CourierSettings {
    CourierSettings { timeout: TIMEOUT, allows_loopback: config.webhooks.allow_loopback }
}

pub(super) fn mail_settings(config: &Config) -> MailSettings {
    let mail = &config.mail;
    MailSettings {
        from: mail.from.clone(),
        carrier: match &mail.carrier {
            MailCarrier::Nobody => CarrierSettings::Nobody,
            MailCarrier::Directory(path) => CarrierSettings::Directory(path.clone()),
            MailCarrier::Server(url) => CarrierSettings::Server(SecretString::from(url.expose())),
        },
        timeout: mail.timeout,
        app_url: mail.app_url.clone(),
    }
}

pub(super) fn api_settings(config: &Config, n_partitions: NonZeroU16) -> ApiSettings {
    let rate = |limit: RateLimit| Rate { per_minute: limit.per_minute, burst: limit.burst };
    let secret = |secret: &Secret| (!secret.is_empty()).then(|| SecretString::from(secret.expose()));
    ApiSettings {
        webhook_app_secret: secret(&config.gateway.app_secret),
        webhook_verify_token: secret(&config.gateway.verify_token),
        cors_origins: config.server.cors_origins.clone(),
        trusted_proxies: config.server.trusted_proxies.clone(),
        rates: RateSettings {
            key: config.rate_limits.key.map(rate),
            user: config.rate_limits.user.map(rate),
            address: config.rate_limits.address.map(rate),
        },
        timeout: config.server.request_timeout,
        media_bytes_max: usize::try_from(config.media.document_bytes_max).unwrap_or(usize::MAX),
        n_partitions,
        opt_words: Arc::new(config.contacts.opt_words.clone()),
        ..ApiSettings::default()
    }
}
