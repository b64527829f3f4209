//! Requests for a decision: who is asked, by which message, and what becomes of it.
//!
//! The states and the steps between them are functions of the database (`migrations/0011_workflow.sql`), so that each answer and what
//! follows from it is one transaction, whichever way it came in.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::message_type::names;

names! {
    /// Whose answers decide.
    #[derive(Default)]
    Mode {
        /// The first answer.
        #[default]
        Any = "any",
        /// One refusal, or the last approval.
        All = "all",
    }
}
names! {
    /// What happens when nobody has decided in time.
    #[derive(Default)]
    OnTimeout {
        /// It ends without a decision.
        #[default]
        Expire = "expire",
        /// It counts as approved.
        Approve = "approve",
        /// It counts as refused.
        Refuse = "refuse",
        /// Others are asked, who have as much time; then it expires.
        Ask = "ask",
    }
}
names! {
    /// How an authorisation stands.
    Status {
        /// Answers are waited for.
        Pending = "pending",
        /// It was approved.
        Approved = "approved",
        /// It was refused.
        Refused = "refused",
        /// Nobody answered in time.
        Expired = "expired",
        /// Who asked took it back.
        Withdrawn = "withdrawn",
        /// There was nobody to ask.
        Failed = "failed",
    }
}

/// A record's key as people write it: a number, a JSON list for a key of several columns, or else a text.
pub fn key_of(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(key @ (Value::Number(_) | Value::Array(_))) => key,
        _ => Value::String(text.to_owned()),
    }
}

/// Who is asked: all who are named in one way or another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approvers {
    /// Usernames.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Everybody who has this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Where usernames stand on the record, or on one that is related to it: `customer.account_manager`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// What a workflow asks for. The same fields by the same names in Rust, JSON and SQL (`herald.request_authorisation`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAuthorisation {
    /// The model of the record that it is about: it is the sender of the messages.
    pub model: String,
    /// The record's key: a number or text, or a list of these where the model's key has several columns.
    pub model_key: Value,
    /// The username of who asks, and so cannot decide.
    pub requester: String,
    /// Who is asked.
    pub approvers: Approvers,
    /// Whose answers decide.
    #[serde(default)]
    pub mode: Mode,
    /// A reply type with choices (absent: `REPLY-YESNO`), or an action type that a callback completes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_type: Option<String>,
    /// What approvers read; with a `template` it comes from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_text: Option<String>,
    /// What e-mail and SMS carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_message: Option<String>,
    /// The subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The template that makes the texts, over the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Scalars for the action's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_parameters: Option<Vec<Value>>,
    /// The replies that approve; absent: the first choice. Any other refuses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approving: Vec<String>,
    /// Until when; absent: without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<DateTime<Utc>>,
    /// What happens then.
    #[serde(default)]
    pub on_timeout: OnTimeout,
    /// Who is asked then, with `on_timeout` `ask`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then_ask: Option<Approvers>,
    /// Where the decision goes: `webhook:NAME`, `stream:NAME` or `notify`; absent: it is kept for who looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_to: Option<String>,
}
