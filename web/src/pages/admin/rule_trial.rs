//! What stands beside a reminder rule's form: how it stands, what it would send at a time, and what it has sent.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use chrono::{DateTime, Utc};
use herald_jobs::refusal::Refusal;
use herald_jobs::store;
use herald_jobs::store::change::{ChangeError, version};
use herald_jobs::store::reminder_log::{self, Logged};
use herald_jobs::store::reminders::{Floor, Standing};
use herald_producers::reminders::{Checked, DryRun, ReminderError, WouldSend};

use super::conditions;
use super::fields::typed;
use super::form::{self, Made, Page};
use super::kept::{Aside, Beside, Kept, find};
use super::list::address;
use super::readable::{Readable, readable};
use super::rules::{Rule, time};
use crate::access::form::{Fields, mask};
use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;
use crate::pages::when::{When, moment, when};
use crate::words::Words;

/// Of how many reminders a trial makes the texts, how many it shows, and how many sent ones are shown.
const TEXTS: usize = 5;
const SHOWN: usize = 50;
const HISTORY: i64 = 50;

#[derive(Template)]
#[template(path = "admin/rule.html")]
struct Shown {
    words: &'static Words,
    /// How it stands; `None`: it is new.
    standing: Option<Stands>,
    trial: Option<Trial>,
    /// What its paths may name.
    readable: Option<Readable>,
    /// What it has sent: which of several it was, and when.
    sent: Vec<(Logged, String, When)>,
}

struct Stands {
    standing: Standing,
    action: String,
    form_token: String,
    since: Option<String>,
    ran: Option<When>,
}

struct Trial {
    at: String,
    checked: Checked,
    found: DryRun,
    /// When each of the reminders came due.
    due: Vec<String>,
}

impl Trial {
    /// What would be sent, as far as it is shown, each with when it came due.
    fn reminders(&self) -> impl Iterator<Item = (&WouldSend, &String)> {
        self.found.reminders.iter().zip(&self.due).take(SHOWN)
    }
}

/// What stands beside the form of a rule.
pub(super) async fn beside(standing: &Standing, beside: &Beside<'_>) -> Result<Aside, PageError> {
    let &Beside { app, login, typed, tried } = beside;
    let (mut trial, mut refused) = (None, None);
    if let Some(fields) = typed.filter(|_| tried) {
        match of(app, login, standing, fields).await {
            Ok(found) => trial = Some(found),
            Err(ChangeError::Refused(refusal)) => refused = Some(refusal),
            Err(ChangeError::Database(error)) => return Err(error.into()),
            Err(other) => refused = Some(Refusal::new("code", other.to_string())),
        }
    }
    let code = &standing.rule.code;
    let now = app.clock.now();
    let sent = reminder_log::history(&app.pool, code, None, HISTORY).await?;
    let stands = (!code.is_empty()).then(|| Stands {
        action: format!("/admin/reminders/do/{code}"),
        form_token: mask(&login.form_token),
        since: standing.armed_at.map(|at| moment(login, at)),
        ran: standing.last_run_at.map(|at| when(login, at, now)),
        standing: standing.clone(),
    });
    let nth = login.words.administration.rules.nth;
    let sent = sent.into_iter().map(|it| {
        let number = if it.occurrence > 1 { nth(it.occurrence.into()) } else { String::new() };
        let at = when(login, it.sent_at, now);
        (it, number, at)
    });
    let sent = sent.collect();
    let model = typed.map_or(standing.rule.model.as_str(), |fields| fields.get("model").trim());
    let catalogue = app.authoring.catalogue().await?;
    let table = catalogue.tables.get(model);
    let readable = table.map(|table| readable(table, &catalogue, str::to_owned));
    let shown = Shown { words: login.words, standing: stands, trial, readable, sent };
    Ok(Aside { html: shown.render()?, refused, shows_mail: false })
}

/// What the rule that was typed would send.
async fn of(app: &App, login: &Login, saved: &Standing, fields: &Fields) -> Result<Trial, ChangeError> {
    let words = login.words.administration;
    let Rule(Standing { rule, .. }) = Rule::read(fields, words)?;
    let condition = rule.condition.clone();
    let refused = |error| match error {
        ReminderError::Refused(refusal) => conditions::placed(refusal, condition.as_ref()).into(),
        ReminderError::Change(error) => error,
        ReminderError::Database(error) => ChangeError::Database(error),
    };
    let now = app.reminders.now().await?;
    let at = time(fields, "at", login.zone, words)?.unwrap_or(now);
    let record = typed(fields, "record")
        .map(|text| text.split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>());
    let checked = app.reminders.check(rule.clone(), now).await.map_err(refused)?;
    let rule = rule.validate()?;
    // As it would stand once it is saved.
    let goes_on = saved.version > 0 && saved.rule.fires_like(&rule) && (saved.rule.enabled || !rule.enabled);
    let standing = if goes_on { Standing { rule, ..saved.clone() } } else { Standing::unsaved(rule, now) };
    let found = app.reminders.dry_run(&standing, &app.authoring, at, record.as_deref(), TEXTS).await;
    let found = found.map_err(|error| match error {
        ReminderError::Refused(refusal) => refusal.into(),
        ReminderError::Change(error) => error,
        ReminderError::Database(error) => ChangeError::Database(error),
    })?;
    let due = found.reminders.iter().map(|it| moment(login, it.due_at)).collect();
    Ok(Trial { at: moment(login, at), checked, found, due })
}

/// POST /admin/reminders/do/{name}: enables it, disables it, or sends now what is due.
pub(crate) async fn act(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    Path(name): Path<String>,
    fields: Fields,
) -> Result<Response, PageError> {
    let rule = find::<Rule>(&app, &name).await?;
    let (code, actor) = (rule.name(), &login.user.username);
    let now: DateTime<Utc> = app.reminders.now().await?;
    let (done, told) = match fields.get("do") {
        "enable" => {
            let floor = if fields.get("catch_up") == "on" { Floor::Kept } else { Floor::Now };
            (store::reminders::enable(&app.pool, code, floor, actor, now).await, "enabled")
        }
        "disable" => (store::reminders::disable(&app.pool, code, actor, now).await, "disabled"),
        "run" => {
            let ran = app.reminders.run_now(&rule.0, actor).await.map_err(|error| match error {
                ReminderError::Refused(refusal) => refusal.into(),
                ReminderError::Change(error) => error,
                ReminderError::Database(error) => ChangeError::Database(error),
            });
            // What it did is written on the rule.
            (ran.map(|_| true), "ran")
        }
        _ => return Err(PageError::Bad("The form does not say what is to be done.")),
    };
    match done {
        Ok(true) => Ok(Redirect::to(&format!("{}?done={told}", address(&rule))).into_response()),
        Ok(false) => Err(PageError::NotFound),
        Err(error) => {
            let rule = find::<Rule>(&app, &name).await?;
            let page = Page { app: &app, login: &login, jar: &jar };
            form::show(&page, &rule, &version(&rule), Made::Refused(None, error)).await
        }
    }
}
