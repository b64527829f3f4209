//! The audit log: who changed what, newest first.

use askama::Template;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Html;
use axum_extra::extract::CookieJar;
use herald_jobs::store::audit::{self, Filter};
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;
use crate::pages::shell::{Place, Shell, shell};
use crate::pages::when::{When, when};

/// Lines on a page.
const PAGE: usize = 100;

#[derive(Template)]
#[template(path = "admin/audit.html")]
struct Audit {
    shell: Shell,
    asked: Asked,
    lines: Vec<Line>,
    /// Where the next page begins.
    next: Option<String>,
}

/// One line; the addresses show others of the same.
struct Line {
    at: When,
    actor: (String, String),
    action: (String, String),
    subject: (String, String),
}

/// Which lines.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    actor: String,
    action: String,
    subject: String,
    before: Option<i64>,
}

impl Asked {
    fn clean(mut self) -> Self {
        for text in [&mut self.actor, &mut self.action, &mut self.subject] {
            *text = text.trim().chars().filter(|c| !c.is_control()).take(300).collect();
        }
        self
    }

    fn is_narrowed(&self) -> bool {
        [&self.actor, &self.action, &self.subject].iter().any(|text| !text.is_empty())
    }

    /// The address of these lines.
    fn address(&self, before: Option<i64>) -> String {
        let mut query = Serializer::new(String::new());
        for (name, text) in [("actor", &self.actor), ("action", &self.action), ("subject", &self.subject)] {
            if !text.is_empty() {
                query.append_pair(name, text);
            }
        }
        if let Some(before) = before {
            query.append_pair("before", &before.to_string());
        }
        format!("/admin/audit?{}", query.finish())
    }
}

/// GET /admin/audit
pub(crate) async fn show(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Html<String>, PageError> {
    let Query(asked) = asked.map_err(|_| PageError::Bad("This address does not name a page of the log."))?;
    let asked = asked.clean();
    let filter =
        Filter { actor: asked.actor.clone(), action: asked.action.clone(), subject: asked.subject.clone() };
    let limit = i64::try_from(PAGE + 1).unwrap_or(i64::MAX);
    let mut found = audit::list(&app.pool, &filter, asked.before, limit).await?;
    let more = found.len() > PAGE;
    found.truncate(PAGE);
    let next = found.last().filter(|_| more).map(|last| asked.address(Some(last.id)));
    let now = app.clock.now();
    let line = |entry: audit::Entry| {
        let only = |change: fn(&mut Asked, &str), text: String| {
            let mut alike = Asked::default();
            change(&mut alike, &text);
            (alike.address(None), text)
        };
        Line {
            at: when(&login, entry.at, now),
            actor: only(|alike, text| text.clone_into(&mut alike.actor), entry.actor),
            action: only(|alike, text| text.clone_into(&mut alike.action), entry.action),
            subject: only(|alike, text| text.clone_into(&mut alike.subject), entry.subject),
        }
    };
    let lines = found.into_iter().map(line).collect();
    let shell = shell(&app, &login, &jar, Place::Audit).await?;
    Ok(Html(Audit { shell, asked, lines, next }.render()?))
}
