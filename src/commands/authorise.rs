//! Requests for a decision.

use std::str::FromStr as _;

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use herald_jobs::authorisation::{Approvers, Mode, NewAuthorisation, OnTimeout, Status, key_of};
use herald_jobs::store;
use herald_jobs::store::authorisations::{Authorisation, AuthorisationFilter};
use uuid::Uuid;

use crate::commands::{connect, one_line, print_json};
use crate::config::Config;

/// `herald authorise`
#[derive(Subcommand)]
pub enum Authorise {
    /// Asks people for a decision on a record, and prints the authorisation's id.
    Request(Box<Request>),
    /// Shows one, with who was asked and what they answered.
    Show {
        /// What `request` printed.
        id: Uuid,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lists them, newest first.
    List(List),
    /// Withdraws a request: nobody needs to answer any more.
    Withdraw {
        /// What `request` printed.
        id: Uuid,
        /// What those are told who were asked.
        #[arg(long)]
        reason: Option<String>,
    },
}

/// `herald authorise request`
#[derive(Args)]
pub struct Request {
    /// The model of the record.
    model: String,
    /// The record's key: a number, a text, or a JSON list for a key of several columns.
    key: String,
    /// The username of who asks, and so cannot decide.
    #[arg(long = "for")]
    requester: String,
    /// A username to ask; repeat it for more.
    #[arg(long = "ask")]
    users: Vec<String>,
    /// Asks all who have this role.
    #[arg(long = "ask-role")]
    role: Option<String>,
    /// Asks those whose names stand there on the record, as in customer.account_manager.
    #[arg(long = "ask-path")]
    path: Option<String>,
    /// any: the first answer decides; all: one refusal does, or the last approval.
    #[arg(long, default_value = "any", value_parser = Mode::from_str)]
    mode: Mode,
    /// A reply type with choices, or an action type that a callback completes.
    #[arg(long = "type")]
    message_type: Option<String>,
    /// What those read who are asked.
    #[arg(long)]
    text: Option<String>,
    /// The template that makes what they read, over the record.
    #[arg(long)]
    template: Option<String>,
    /// The subject.
    #[arg(long)]
    subject: Option<String>,
    /// A reply that approves; without it, the first choice. Repeat it for more.
    #[arg(long)]
    approving: Vec<String>,
    /// Until when, as in 2026-03-01T09:00:00Z.
    #[arg(long)]
    due: Option<DateTime<Utc>>,
    /// What happens then: expire, approve, refuse or ask.
    #[arg(long, default_value = "expire", value_parser = OnTimeout::from_str)]
    on_timeout: OnTimeout,
    /// A username to ask then; repeat it for more.
    #[arg(long)]
    then_ask: Vec<String>,
    /// Asks all who have this role then.
    #[arg(long)]
    then_ask_role: Option<String>,
    /// Where the decision goes: webhook:NAME, stream:NAME or notify.
    #[arg(long)]
    answer_to: Option<String>,
    /// The same key and request again ask nobody anew.
    #[arg(long)]
    idempotency_key: Option<String>,
}

/// `herald authorise list`
#[derive(Args)]
pub struct List {
    /// Only those on records of this model.
    #[arg(long)]
    model: Option<String>,
    /// Only those on this record of the model: a JSON list for a key of several columns.
    #[arg(long, requires = "model")]
    key: Option<String>,
    /// Only those that are older than this one, which ended the page before.
    #[arg(long)]
    after: Option<Uuid>,
    /// Only those that are pending, approved, refused, expired, withdrawn or failed.
    #[arg(long, value_parser = Status::from_str)]
    status: Option<Status>,
    /// How many at most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Authorise {
    /// Asks, shows, lists or withdraws.
    ///
    /// # Errors
    /// An argument is at fault, there is no such authorisation, or it was decided.
    pub async fn run(self, config: Config) -> Result<()> {
        let wiring = connect(config)?;
        let producer = wiring.producer();
        match self {
            Self::Request(request) => {
                let key = request.idempotency_key.clone();
                let request = request.request();
                println!("{}", producer.request_authorisation(&request, key.as_deref()).await?.id);
            }
            Self::Show { id, json } => {
                let it = producer.authorisation(id).await?;
                let it = it.with_context(|| format!("there is no authorisation {id}"))?;
                if json {
                    return print_json(&it);
                }
                show(&it);
            }
            Self::List(List { model, key, after, status, limit, json }) => {
                let model_key = key.as_deref().map(key_of);
                let filter = AuthorisationFilter {
                    model,
                    model_key,
                    status,
                    before: after,
                    ..AuthorisationFilter::default()
                };
                let all = store::authorisations::list(&wiring.pool, &filter, limit).await?;
                if json {
                    return print_json(&all);
                }
                for it in all {
                    println!("{}  {}  {}  {}", it.id, time(it.created_at), it.status, subject(&it));
                }
            }
            Self::Withdraw { id, reason } => {
                if !producer.withdraw_authorisation(id, reason.as_deref()).await? {
                    bail!("{id} was withdrawn before");
                }
                println!("withdrawn");
            }
        }
        Ok(())
    }
}

impl Request {
    fn request(self) -> NewAuthorisation {
        let then = Approvers { users: self.then_ask, role: self.then_ask_role, path: None };
        NewAuthorisation {
            model: self.model,
            model_key: key_of(&self.key),
            requester: self.requester,
            approvers: Approvers { users: self.users, role: self.role, path: self.path },
            mode: self.mode,
            message_type: self.message_type,
            message_text: self.text,
            template: self.template,
            subject: self.subject,
            approving: self.approving,
            due_at: self.due,
            on_timeout: self.on_timeout,
            then_ask: (then != Approvers::default()).then_some(then),
            answer_to: self.answer_to,
            ..NewAuthorisation::default()
        }
    }
}

fn show(it: &Authorisation) {
    println!("authorisation  {}", it.id);
    println!("about          {}", subject(it));
    println!("asked by       {} at {}", one_line(&it.requester), time(it.created_at));
    println!("status         {}", it.status);
    if let (Some(reply), Some(by), Some(at)) = (&it.reply_value, &it.decided_by, it.decided_at) {
        println!("decided        {} by {} at {}", one_line(reply), one_line(by), time(at));
    }
    if let Some(reason) = &it.reason {
        println!("reason         {}", one_line(reason));
    }
    if let Some(due) = it.due_at {
        println!("due            {}, then {}", time(due), it.on_timeout);
    }
    for approver in &it.approvers {
        let reply = approver.reply_value.as_deref().map_or(String::new(), |it| format!(": {}", one_line(it)));
        println!("{}  {} {}{reply}", approver.message_id, approver.username, approver.state);
    }
}

fn subject(it: &Authorisation) -> String {
    one_line(&format!("{} {}", it.model, it.model_key))
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}
