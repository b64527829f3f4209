//! What stands beside a template's form: what people would receive, what the template may name, and its versions.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use axum_extra::extract::CookieJar;
use herald_jobs::authoring::{AuthoringError, Preview, Sample};
use herald_jobs::message_template::MessageTemplate;
use herald_jobs::model::Table;
use herald_jobs::refusal::Refusal;
use herald_jobs::send::Syntax;
use herald_jobs::store::change::version;
use herald_jobs::store::{message_templates, samples};
use serde_json::Value;

use super::form::{self, Made, Page};
use super::kept::{Aside, Beside, Kept, find};
use super::readable::{Readable, readable};
use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;
use crate::pages::when::{When, when};
use crate::words::{Administration, Words};

/// Records that are suggested, and versions that are shown.
const SUGGESTED: i64 = 20;
const SHOWN: usize = 50;

#[derive(Template)]
#[template(path = "admin/template.html")]
struct Shown {
    words: &'static Words,
    /// On which record, and what came of that.
    on: String,
    preview: Option<Preview>,
    /// Why there is no preview.
    problem: Option<String>,
    /// Keys and labels of records.
    suggested: Vec<(String, String)>,
    readable: Option<Readable>,
    /// What may be called, and what it makes.
    functions: Vec<(String, &'static str)>,
    code: String,
    /// Number, time and author of each.
    versions: Vec<(i32, When, String)>,
}

impl Shown {
    /// How many SMS it takes.
    fn takes(&self, preview: &Preview) -> String {
        (self.words.administration.authoring.sms_takes)(
            preview.sms.count,
            preview.sms.units,
            preview.sms.encoding,
        )
    }
}

/// What stands beside the form of a template.
pub(super) async fn beside(one: &MessageTemplate, beside: &Beside<'_>) -> Result<Aside, PageError> {
    let &Beside { app, login, typed, tried } = beside;
    let words: &'static Administration = login.words.administration;
    let read = typed.map(|fields| MessageTemplate::read(fields, words)).transpose();
    let (template, mut refused) = match read {
        Ok(read) => (read.unwrap_or_else(|| one.clone()), None),
        Err(refusal) => (one.clone(), Some(refusal)),
    };
    let environment = app.authoring.environment().await?;
    let catalogue = &environment.catalogue;
    let table = template.model.as_ref().and_then(|name| catalogue.tables.get(name));
    let suggested = match table {
        Some(table) => samples::highest(app.authoring.reader(), table, SUGGESTED).await?,
        None => Vec::new(),
    };
    let key = |sample: &samples::Sample| sample.key.join(",");
    let asked = typed.map(|fields| fields.get("sample").trim()).filter(|text| !text.is_empty());
    let on = asked.map(str::to_owned).or_else(|| suggested.first().map(key)).unwrap_or_default();
    let (mut preview, mut problem) = (None, None);
    // Who begins has typed nothing yet that could be wrong.
    if refused.is_none() && !template.message_text.trim().is_empty() {
        let coded = MessageTemplate {
            code: if template.code.is_empty() { "NEW".to_owned() } else { template.code.clone() },
            ..template.clone()
        };
        match environment.check(&coded).await {
            Ok(()) => {
                let made = match sample(&coded, table, &on, words) {
                    Ok(sample) => environment.preview(&coded, sample, app.clock.now()).await,
                    Err(error) => Err(error),
                };
                match made {
                    Ok(shown) => preview = Some(shown),
                    Err(error) => problem = Some(told(error)?),
                }
            }
            Err(AuthoringError::Refused { refusal, .. }) => refused = Some(refusal),
            Err(error) => problem = Some(told(error)?),
        }
    }
    let now = app.clock.now();
    let versions = message_templates::versions(&app.pool, &one.code).await?.into_iter().take(SHOWN);
    let shown = Shown {
        words: login.words,
        on,
        preview,
        problem: problem.or_else(|| refused.as_ref().map(ToString::to_string)),
        suggested: suggested.iter().map(|it| (key(it), it.label.clone().unwrap_or_default())).collect(),
        // Where a file cannot be used, the trial says so.
        functions: environment.functions().map_or_else(|_| Vec::new(), |it| it.described(template.syntax)),
        readable: table.map(|table| readable(table, catalogue, |path| token(template.syntax, path))),
        code: one.code.clone(),
        versions: versions.map(|it| (it.version, when(login, it.saved_at, now), it.saved_by)).collect(),
    };
    // A mail may come into the page while it is open.
    Ok(Aside { html: shown.render()?, refused: refused.filter(|_| tried), shows_mail: true })
}

/// What it is previewed on.
fn sample(
    template: &MessageTemplate,
    table: Option<&Table>,
    on: &str,
    words: &Administration,
) -> Result<Sample, AuthoringError> {
    let refuse = |problem: &str| AuthoringError::Refused {
        code: template.code.clone(),
        refusal: Refusal::new("sample", problem),
    };
    match table {
        _ if on.starts_with('{') => {
            Ok(Sample::Instance(serde_json::from_str(on).map_err(|error| refuse(&error.to_string()))?))
        }
        None => Err(refuse(words.authoring.object_needed)),
        Some(_) if on.is_empty() => Err(refuse(words.authoring.no_records)),
        Some(table) => Ok(Sample::Key(key(table, on))),
    }
}

/// A key as it was typed: for several columns with commas between them.
fn key(table: &Table, on: &str) -> Value {
    match table.model.key.len() {
        1 => Value::from(on),
        columns => on.splitn(columns, ',').map(str::trim).collect(),
    }
}

/// What is said of a preview that could not be made.
fn told(error: AuthoringError) -> Result<String, PageError> {
    match error {
        AuthoringError::Refused { refusal, .. } if refusal.field == "sample" => Ok(refusal.problem),
        AuthoringError::Refused { refusal, .. } if refusal.field == "model_key" => Ok(refusal.problem),
        AuthoringError::Refused { refusal, .. } => Ok(refusal.to_string()),
        AuthoringError::Database(error) => Err(error.into()),
        other => Ok(other.to_string()),
    }
}

/// How a template names what is at a path.
fn token(syntax: Syntax, path: &str) -> String {
    match syntax {
        Syntax::Token => format!("#{path}#"),
        Syntax::Handlebars => format!("{{{{{path}}}}}"),
    }
}

/// GET /admin/templates/edit/{name}/versions/{version}: the form with the texts of an earlier version, which saving brings back.
pub(crate) async fn earlier(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    Path((name, number)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let current = find::<MessageTemplate>(&app, &name).await?;
    let number = number.parse().map_err(|_| PageError::NotFound)?;
    let earlier = message_templates::version(&app.pool, &name, number).await?.ok_or(PageError::NotFound)?;
    let page = Page { app: &app, login: &login, jar: &jar };
    form::show(&page, &earlier, &version(&current), Made::Opened(None)).await
}
