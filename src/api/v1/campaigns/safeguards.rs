//! The canary and the budget of a campaign, as clients write and see them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::safeguards::{Canary, Guardrails};

/// The recipients who go first, alone: `first` or `percent`. The others follow when all of them are settled, receipts
/// had their time, and the rates are inside the guardrails.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CanaryBody {
    /// So many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 100)]
    first: Option<u32>,
    /// So many of a hundred, more than 0 and less than 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    percent: Option<f64>,
}

/// A budget: a campaign that goes beyond it pauses itself. Rates are 0 to 1; one that is missing is not looked at.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GuardrailsBody {
    /// Failures among the messages that were tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 0.05)]
    max_failure_rate: Option<f64>,
    /// Messages without a receipt in time among those that the provider took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 0.5)]
    max_no_receipt_rate: Option<f64>,
    /// Recipients who have opted out, before the campaign or by their answer to it, among the messages that were tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 0.01)]
    max_opt_out_rate: Option<f64>,
    /// Messages that must have been tried before a rate says anything; 50 when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 50)]
    min_sample: Option<u32>,
    /// How long the canary waits for receipts, seconds; 60 when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 60)]
    no_receipt_after_seconds: Option<u32>,
}

impl From<CanaryBody> for Canary {
    fn from(body: CanaryBody) -> Self {
        Self { first: body.first, percent: body.percent }
    }
}

impl From<Canary> for CanaryBody {
    fn from(canary: Canary) -> Self {
        Self { first: canary.first, percent: canary.percent }
    }
}

impl From<GuardrailsBody> for Guardrails {
    fn from(body: GuardrailsBody) -> Self {
        let default = Self::default();
        Self {
            max_failure_rate: body.max_failure_rate,
            max_no_receipt_rate: body.max_no_receipt_rate,
            max_opt_out_rate: body.max_opt_out_rate,
            min_sample: body.min_sample.unwrap_or(default.min_sample),
            no_receipt_after_seconds: body.no_receipt_after_seconds.unwrap_or(default.no_receipt_after_seconds),
        }
    }
}

impl From<Guardrails> for GuardrailsBody {
    fn from(guardrails: Guardrails) -> Self {
        Self {
            max_failure_rate: guardrails.max_failure_rate,
            max_no_receipt_rate: guardrails.max_no_receipt_rate,
            max_opt_out_rate: guardrails.max_opt_out_rate,
            min_sample: Some(guardrails.min_sample),
            no_receipt_after_seconds: Some(guardrails.no_receipt_after_seconds),
        }
    }
}
