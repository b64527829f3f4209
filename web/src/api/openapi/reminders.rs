//! Of reminder rules and periodic jobs.

use herald_jobs::reminder::ReminderRule;
use herald_jobs::store::reminders::Standing;
use herald_producers::reminders::{Checked, DryRun};
use schemars::SchemaGenerator;
use serde_json::json;

use super::{JSON, Operation};
use crate::api::page::Listed;
use crate::api::periodic::{Asked, Jobs};
use crate::api::reminders::{DryRunRequest, EnableRequest, History, RunAnswer};

/// What can be asked.
pub(super) fn operations(of: &mut SchemaGenerator) -> Vec<Operation> {
    let one = "/api/v1/reminder-rules/{code}";
    let rule = json!({
        "model": "purchase_order", "initial": "submitted_at", "status": "status", "unchanged": ["submitted"],
        "interval": "3 days", "repeat": "2 days", "maximum": 5, "recipient": "approver",
        "contacts": [{"path": "customer.contact_person.email", "mode": "Cc"}],
        "message_type": "VIEW-NORMAL", "template": "PO-REMINDER",
    });
    vec![
        Operation::new("get", "/api/v1/reminder-rules", "Lists the reminder rules, and how they stand")
            .paged()
            .answers::<Listed<Standing>>(of, 200, JSON, "A page."),
        Operation::new("get", one, "Shows a reminder rule")
            .known()
            .answers::<ReminderRule>(of, 200, JSON, "It."),
        Operation::new("put", one, "Adds a reminder rule, or replaces it")
            .expecting()
            .adding()
            .takes::<ReminderRule>(of, JSON, &rule)
            .answers::<ReminderRule>(of, 200, JSON, "It, as it is kept now.")
            .answers::<ReminderRule>(of, 201, JSON, "It is new."),
        Operation::new("delete", one, "Deletes a reminder rule, and what it has recorded").expecting().done(),
        Operation::new("post", "/api/v1/reminder-rules/{code}/check", "Says what a reminder rule comes to")
            .answers::<Checked>(of, 200, JSON, "It can be used."),
        Operation::new(
            "post",
            "/api/v1/reminder-rules/{code}/dry-run",
            "Shows what a reminder rule would send, and why not the rest",
        )
        .takes::<DryRunRequest>(of, JSON, &json!({"at": "2027-01-31T09:00:00Z", "texts": 3}))
        .answers::<DryRun>(of, 200, JSON, "What the run at that time would send."),
        Operation::new(
            "post",
            "/api/v1/reminder-rules/{code}/run",
            "Sends now what is due by a reminder rule",
        )
        .answers::<RunAnswer>(of, 200, JSON, "What it did."),
        Operation::new(
            "post",
            "/api/v1/reminder-rules/{code}/enable",
            "Lets a reminder rule fire, and ends its pause",
        )
        .takes::<EnableRequest>(of, JSON, &json!({"catch_up": false}))
        .done(),
        Operation::new("post", "/api/v1/reminder-rules/{code}/disable", "Lets a reminder rule fire no more")
            .done(),
        Operation::new("get", "/api/v1/reminder-rules/{code}/history", "Shows what a reminder rule has sent")
            .parameter(
                "limit",
                "query",
                &json!({"type": "integer", "minimum": 1, "default": 100}),
                "Entries at most.",
            )
            .answers::<History>(of, 200, JSON, "Newest first."),
        Operation::new("get", "/api/v1/periodic", "Lists the periodic jobs, with their last and next runs")
            .answers::<Jobs>(of, 200, JSON, "All of them."),
        Operation::new("post", "/api/v1/periodic/{name}/run", "Runs a periodic job now").answers::<Asked>(
            of,
            202,
            JSON,
            "A worker runs it.",
        ),
    ]
}
