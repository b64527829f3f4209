//! The API's description (OpenAPI 3.1), made of the types that the handlers read and answer.

mod reminders;

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use herald_jobs::account::Account;
use herald_jobs::authoring::Preview;
use herald_jobs::authorisation::{NewAuthorisation, Status};
use herald_jobs::choice_set::ChoiceSet;
use herald_jobs::message_template::MessageTemplate;
use herald_jobs::message_type::MessageType;
use herald_jobs::model::Model;
use herald_jobs::send::MAX_KEY;
use herald_jobs::store::authorisations::Authorisation;
use herald_jobs::store::sent::MessageStatus;
use herald_producers::{NewContact, NewMessage};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::answers::{GivenAnswer, Taken};
use super::authorisations::{Asked, Withdrawal};
use super::batch::{LONGEST_KEY, LineAnswer};
use super::batches::Cancelled;
use super::bounces::Answer;
use super::launch::{Launch, LaunchRequest};
use super::messages::{Accepted, Copies, Message};
use super::models::{Models, Shown};
use super::page::{Listed, MOST};
use super::problem::Problem;
use super::templates::{PreviewRequest, Templates};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

/// GET /api/v1/openapi.json
pub(crate) async fn show() -> Response {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());
    ([(header::CONTENT_TYPE, JSON)], DOCUMENT.as_str()).into_response()
}

fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = SchemaGenerator::new(settings);
    let problem = schemas.subschema_for::<Problem>().to_value();
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations(&mut schemas) {
        let (path, method) = (operation.path, operation.method);
        paths.entry(path).or_insert_with(|| json!({}))[method] = operation.described(&problem);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Herald",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Sends messages to people, and maintains what that takes. What maintains Herald needs a token that administers (`herald token create --admin`).",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas.take_definitions(true),
        },
    })
}

fn operations(of: &mut SchemaGenerator) -> Vec<Operation> {
    let message = json!({"recipient": "ann", "message_type": "VIEW-NORMAL", "message_text": "Your report is ready.", "sender_instance": "42"});
    let mut all = vec![
        Operation::new("post", "/api/v1/messages", "Sends a message")
            .once(MAX_KEY)
            .takes::<NewMessage>(of, JSON, &message)
            .answers::<Accepted>(of, 202, JSON, "Accepted: it is not lost, whatever dies next."),
        Operation::new(
            "get",
            "/api/v1/messages",
            "Lists the messages of the token's senders that have reached an inbox, newest first",
        )
        .parameter("recipient", "query", &json!({"type": "string"}), "To this user. This or batch is needed.")
        .parameter("batch", "query", &uuid(), "Of this send to many.")
        .parameter("status", "query", &names(MessageStatus::ALL), "Those that stand so.")
        .paged()
        .answers::<Listed<Message>>(of, 200, JSON, "A page."),
        Operation::new(
            "post",
            "/api/v1/messages:batch",
            "Sends a message for each line, and answers a line for each",
        )
        .once(LONGEST_KEY)
        .takes::<NewMessage>(of, LINES, &message)
        .answers::<LineAnswer>(
            of,
            200,
            LINES,
            "A line for each, in their order, while they come in.",
        ),
        Operation::new("get", "/api/v1/messages/{id}", "Tells how a message of the token's sender stands")
            .known()
            .answers::<Message>(of, 200, JSON, "The message."),
        Operation::new("get", "/api/v1/messages/{id}/deliveries", "Tells how its copies stand")
            .answers::<Copies>(of, 200, JSON, "Its copies by e-mail and SMS."),
        Operation::new("post", "/api/v1/messages/{id}/recipients", "Sends a copy to somebody outside")
            .takes::<NewContact>(
                of,
                JSON,
                &json!({"contact_reference": "hana@harbour.example", "email_mode": "Cc"}),
            )
            .answers::<Accepted>(of, 202, JSON, "Accepted. The same contact twice gets one copy."),
        Operation::new("post", "/api/v1/messages/{id}/cancel", "Cancels it while it waits, with its copies")
            .answers::<Accepted>(of, 200, JSON, "Cancelled, now or before."),
        Operation::new("post", "/api/v1/batches/{id}/cancel", "Cancels all that waits of a send to many")
            .answers::<Cancelled>(of, 200, JSON, "Cancelled, now or before."),
        output(of),
        Operation::new("post", "/api/v1/messages/{id}/act", "Acts on it for its recipient")
            .takes::<GivenAnswer>(of, JSON, &json!({"by": "ann"}))
            .answers::<Taken>(of, 200, JSON, "Acted on. 409 tells who was faster, with what and when."),
        Operation::new("post", "/api/v1/messages/{id}/reply", "Replies to it for its recipient")
            .takes::<GivenAnswer>(of, JSON, &json!({"reply_value": "Yes", "by": "ann"}))
            .answers::<Taken>(of, 200, JSON, "Answered. 409 tells who was faster, with what and when."),
        Operation::new("post", "/api/v1/messages/{id}/complete", "Reports that its action is done")
            .takes::<GivenAnswer>(of, JSON, &json!({"reply_value": "Yes", "by": "ann"}))
            .answers::<Taken>(of, 200, JSON, "Completed. 409 tells who was faster, with what and when."),
        Operation::new("post", "/api/v1/authorisations", "Asks people for a decision on a record")
            .once(MAX_KEY)
            .takes::<NewAuthorisation>(
                of,
                JSON,
                &json!({"model": "purchase_order", "model_key": 7, "requester": "bob", "approvers": {"role": "manager"},
                        "message_text": "May Bob buy an espresso machine?", "answer_to": "webhook:erp"}),
            )
            .answers::<Asked>(of, 202, JSON, "Accepted: it is not lost, whatever dies next."),
        Operation::new(
            "get",
            "/api/v1/authorisations",
            "Lists requests for a decision on records of the models that the token sends as, newest first",
        )
        .parameter("status", "query", &names(Status::ALL), "Those that stand so.")
        .parameter("model", "query", &json!({"type": "string"}), "Those on records of this model.")
        .parameter("model_key", "query", &json!({"type": "string"}), "Those on this record of the model: a JSON list for a key of several columns.")
        .paged()
        .answers::<Listed<Authorisation>>(of, 200, JSON, "A page."),
        Operation::new("get", "/api/v1/authorisations/{id}", "Tells how a request for a decision stands")
            .known()
            .answers::<Authorisation>(of, 200, JSON, "It, with who was asked and what they answered."),
        Operation::new("post", "/api/v1/authorisations/{id}/withdraw", "Withdraws a request for a decision")
            .takes::<Withdrawal>(of, JSON, &json!({"reason": "The order was cancelled"}))
            .answers::<Asked>(of, 200, JSON, "Withdrawn, now or before."),
        Operation::new("post", "/api/v1/bounces", "Takes a bounce mail")
            .parameter("recipient", "query", &json!({"type": "string"}), "The address that it came to.")
            .takes::<String>(of, "message/rfc822", &json!("From: MAILER-DAEMON@example.com"))
            .answers::<Answer>(of, 200, JSON, "What became of it."),
        Operation::new(
            "post",
            "/api/v1/sms/reports",
            "Takes a report of the SMS provider, signed instead of with a token",
        )
        .takes::<Map<String, Value>>(of, JSON, &json!({"id": "SM1", "status": "delivered"}))
        .answers::<Answer>(of, 200, JSON, "What became of it."),
        Operation::new("get", "/api/v1/models", "Lists the models").answers::<Models>(
            of,
            200,
            JSON,
            "All models.",
        ),
        Operation::new("get", "/api/v1/models/{name}", "Shows a model, and what templates can name")
            .answers::<Shown>(of, 200, JSON, "The model."),
        Operation::new("put", "/api/v1/models/{name}", "Registers a model, or changes it")
            .takes::<Model>(of, JSON, &json!({"table": "public.purchase_order", "key": ["id"]}))
            .answers::<Model>(of, 200, JSON, "The model."),
        Operation::new("delete", "/api/v1/models/{name}", "Forgets a model; its table stays").done(),
        Operation::new("get", "/api/v1/templates", "Lists the templates").answers::<Templates>(
            of,
            200,
            JSON,
            "All templates.",
        ),
        Operation::new("get", "/api/v1/templates/{code}", "Shows a template").answers::<MessageTemplate>(
            of,
            200,
            JSON,
            "The template.",
        ),
        Operation::new("put", "/api/v1/templates/{code}", "Checks and saves a template")
            .takes::<MessageTemplate>(of, JSON, &json!({"version": 0, "message_text": "#title# is ready."}))
            .answers::<MessageTemplate>(of, 200, JSON, "The template, with its new version."),
        Operation::new("post", "/api/v1/templates/{code}/preview", "Renders a template")
            .takes::<PreviewRequest>(of, JSON, &json!({"instance": {"title": "The report"}}))
            .answers::<Preview>(of, 200, JSON, "What people would receive."),
    ];
    all.extend(maintained::<MessageType>(
        of,
        ["/api/v1/message-types", "/api/v1/message-types/{code}"],
        "message type",
        &json!({"description": "To approve", "required_action": "action", "action_url": "/approve?id="}),
    ));
    all.extend(maintained::<ChoiceSet>(
        of,
        ["/api/v1/choices", "/api/v1/choices/{code}"],
        "choice set",
        &json!({"choices": [{"value": "S", "label": "Small"}, {"value": "L", "label": "Large"}]}),
    ));
    all.push(
        Operation::new("post", "/api/v1/users/{name}/launch", "Makes a link that lets a user in once")
            .takes::<LaunchRequest>(of, JSON, &json!({"next": "/alerts"}))
            .answers::<Launch>(of, 201, JSON, "The link. It is a secret."),
    );
    all.extend(maintained::<Account>(
        of,
        ["/api/v1/users", "/api/v1/users/{name}"],
        "user",
        &json!({"display_name": "Ann A.", "email": "ann@example.com"}),
    ));
    all.extend(reminders::operations(of));
    all
}

fn output(of: &mut SchemaGenerator) -> Operation {
    let fields = [
        ("recipient", "Whose it is: a username. Nobody else can fetch it."),
        ("name", "The file's name as it is saved."),
        ("url", "Where it is, instead of a body: the owner is led there."),
        ("expires_at", "Until when it can be fetched; absent: for 7 days."),
        ("message_type", "VIEW-NORMAL where it is absent."),
        ("message_text", "What the owner reads; absent: the name, and where to fetch it."),
        ("subject", "Of the message."),
        ("sender", "One of the token's senders; absent: its first."),
        ("sender_instance", "The instance of the sending model."),
    ];
    let mut operation = Operation::new("post", "/api/v1/outputs", "Keeps a file for somebody, and says so");
    for (name, what) in fields {
        let mut schema = json!({"type": "string"});
        if name == "expires_at" {
            schema["format"] = json!("date-time");
        }
        operation = operation.parameter(name, "query", &schema, what);
        if matches!(name, "recipient" | "name")
            && let Some(parameter) = operation.parameters.last_mut()
        {
            parameter["required"] = json!(true);
        }
    }
    operation.takes::<String>(of, "application/octet-stream", &json!("order;total")).answers::<Accepted>(
        of,
        202,
        JSON,
        "Accepted, the output and its message.",
    )
}

fn uuid() -> Value {
    json!({"type": "string", "format": "uuid"})
}

fn names(all: &[impl Serialize]) -> Value {
    json!({"type": "string", "enum": all})
}

/// The requests about one kind of what is maintained.
fn maintained<T: JsonSchema>(
    of: &mut SchemaGenerator,
    [list, one]: [&'static str; 2],
    what: &str,
    example: &Value,
) -> [Operation; 4] {
    let removes = if what == "user" { "Deactivates" } else { "Deletes" };
    [
        Operation::new("get", list, &format!("Lists the {what}s"))
            .paged()
            .answers::<Listed<T>>(of, 200, JSON, "A page."),
        Operation::new("get", one, &format!("Shows a {what}")).known().answers::<T>(of, 200, JSON, "It."),
        Operation::new("put", one, &format!("Adds a {what}, or replaces it"))
            .expecting()
            .adding()
            .takes::<T>(of, JSON, example)
            .answers::<T>(of, 200, JSON, "It, as it is kept now.")
            .answers::<T>(of, 201, JSON, "It is new."),
        Operation::new("delete", one, &format!("{removes} a {what}")).expecting().done(),
    ]
}

/// One request that can be made.
struct Operation {
    method: &'static str,
    path: &'static str,
    summary: String,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Map<String, Value>,
}

impl Operation {
    fn new(method: &'static str, path: &'static str, summary: &str) -> Self {
        let names = path.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
        let parameter = |name: &str| {
            let schema = if name == "id" { uuid() } else { json!({"type": "string"}) };
            json!({"name": name, "in": "path", "required": true, "schema": schema})
        };
        let parameters = names.map(parameter).collect();
        Self { method, path, summary: summary.to_owned(), parameters, body: None, answers: Map::new() }
    }

    fn parameter(mut self, name: &str, place: &str, schema: &Value, what: &str) -> Self {
        self.parameters.push(json!({"name": name, "in": place, "schema": schema, "description": what}));
        self
    }

    /// It can be repeated under a key.
    fn once(self, longest: usize) -> Self {
        let schema = json!({"type": "string", "minLength": 1, "maxLength": longest});
        self.parameter(
            "Idempotency-Key",
            "header",
            &schema,
            "Makes repeating safe: the same key and body send once.",
        )
    }

    /// It is not answered again to whoever has it.
    fn known(mut self) -> Self {
        self.answers.insert("304".to_owned(), json!({"description": "If-None-Match names what it is."}));
        self.parameter("If-None-Match", "header", &json!({"type": "string"}), "The ETag of what is known.")
    }

    /// It can be made only where nothing has changed.
    fn expecting(self) -> Self {
        self.parameter(
            "If-Match",
            "header",
            &json!({"type": "string"}),
            "The ETag of what is to be changed; 412 where it was changed meanwhile.",
        )
    }

    /// It can be made only where there is nothing yet.
    fn adding(self) -> Self {
        let schema = json!({"type": "string", "enum": ["*"]});
        self.parameter("If-None-Match", "header", &schema, "* where it is to be new; 412 otherwise.")
    }

    fn paged(self) -> Self {
        let limit = json!({"type": "integer", "minimum": 1, "maximum": MOST, "default": 100});
        self.parameter("after", "query", &json!({"type": "string"}), "The last key of the page before.")
            .parameter("limit", "query", &limit, "Entries at most.")
    }

    fn takes<T: JsonSchema>(mut self, of: &mut SchemaGenerator, media: &str, example: &Value) -> Self {
        let content = json!({media: {"schema": of.subschema_for::<T>(), "example": example}});
        self.body = Some(json!({"required": true, "content": content}));
        self
    }

    fn answers<T: JsonSchema>(
        mut self,
        of: &mut SchemaGenerator,
        status: u16,
        media: &str,
        what: &str,
    ) -> Self {
        let answer = json!({"description": what, "content": {media: {"schema": of.subschema_for::<T>()}}});
        self.answers.insert(status.to_string(), answer);
        self
    }

    fn done(mut self) -> Self {
        self.answers.insert("204".to_owned(), json!({"description": "Done."}));
        self
    }

    fn described(mut self, problem: &Value) -> Value {
        for (status, why) in
            [("4XX", "Refused: the problem names the field."), ("503", "Not now: try again.")]
        {
            let answer =
                json!({"description": why, "content": {"application/problem+json": {"schema": problem}}});
            self.answers.insert(status.to_owned(), answer);
        }
        let place =
            self.path.trim_start_matches("/api/v1/").replace(['{', '}'], "").replace(['/', ':', '-'], "_");
        let mut value = json!({
            "operationId": format!("{}_{place}", self.method),
            "summary": self.summary,
            "parameters": self.parameters,
            "responses": self.answers,
        });
        if let Some(body) = self.body {
            value["requestBody"] = body;
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_that_is_named_is_there() {
        let document = document();
        let text = document.to_string();
        let named = text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next());
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let mut many = 0;
        for name in named {
            assert!(schemas.contains_key(name), "{name}");
            many += 1;
        }
        assert!(many > 20, "{many}");
        let message = &schemas["NewMessage"];
        assert_eq!(message["additionalProperties"], json!(false));
        assert_eq!(message["properties"]["recipient"]["description"], "The username of an active user.");
    }
}
