//! Users.

use askama::Template;
use herald_jobs::account::Account;
use herald_jobs::refusal::Refusal;
use herald_jobs::store::change::{ChangeError, Expect, Saved};
use herald_jobs::store::{self, accounts};

use url::form_urlencoded::byte_serialize;

use super::fields::{Field, Kind, entries, typed};
use super::kept::{Aside, Beside, Kept, Offered, Removal};
use super::list::{Asked, ONE_MORE};
use crate::access::form::{self, Fields};
use crate::app::App;
use crate::error::PageError;
use crate::pages::shell::Place;
use crate::words::{Administration, Operations, Words};

/// Each role, as its field is called.
const ROLES: [(&str, &str); 2] = [("role_admin", "admin"), ("role_operator", "operator")];

/// Lets an administrator make a link.
#[derive(Template)]
#[template(path = "admin/user_link.html")]
struct LogInLink<'a> {
    words: &'a Operations,
    active: bool,
    /// The name, as it stands in an address.
    path: String,
    form_token: String,
}

impl Kept for Account {
    const PATH: &'static str = "users";
    const PLACE: Place = Place::Users;
    const SEARCHED: bool = true;

    fn titles(words: &Administration) -> (&'static str, &'static str) {
        (words.users, words.new_user)
    }

    fn columns(words: &Administration) -> Vec<&'static str> {
        vec![words.username.0, words.display_name.0, words.email.0, words.mobile.0, words.active.0]
    }

    fn cells(&self, words: &Administration) -> Vec<String> {
        let standing = if self.active { self.roles.join(", ") } else { words.inactive.to_owned() };
        vec![
            self.username.clone(),
            self.display_name.clone(),
            self.email.clone().unwrap_or_default(),
            self.mobile.clone().unwrap_or_default(),
            standing,
        ]
    }

    fn name(&self) -> &str {
        &self.username
    }

    fn removal(&self, words: &Administration) -> Option<Removal> {
        self.active.then_some(Removal::new(words.deactivate, words.receives_no_more))
    }

    fn fields(&self, words: &Administration, _: &Offered) -> Vec<Field> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let tick = |ticked: bool| if ticked { "on" } else { "" };
        let has = |role: &str| self.roles.iter().any(|has| has == role);
        let name = if self.username.is_empty() { Kind::Line } else { Kind::Fixed };
        vec![
            Field::new("username", words.username, name).holding(&self.username),
            Field::new("display_name", words.display_name, Kind::Line).holding(&self.display_name),
            Field::new("email", words.email, Kind::Line).holding(text(&self.email)),
            Field::new("mobile", words.mobile, Kind::Line).holding(text(&self.mobile)),
            Field::new("locale", words.locale, Kind::Line).holding(&self.locale),
            Field::new("time_zone", words.time_zone, Kind::Line).holding(&self.time_zone),
            Field::new("role_admin", words.role_admin, Kind::Tick).holding(tick(has("admin"))),
            Field::new("role_operator", words.role_operator, Kind::Tick).holding(tick(has("operator"))),
            Field::new("roles", words.other_roles, Kind::Line).holding(others(&self.roles)),
            Field::new("active", words.active, Kind::Tick).holding(tick(self.active)),
        ]
    }

    fn read(fields: &Fields, _: &Administration) -> Result<Self, Refusal> {
        let text = |name: &str| fields.get(name).trim().to_owned();
        let ticked = ROLES.iter().filter(|(field, _)| fields.get(field) == "on").map(|(_, role)| *role);
        let others = entries(fields.get("roles"));
        Ok(Self {
            username: text("username").to_lowercase(),
            display_name: text("display_name"),
            email: typed(fields, "email"),
            mobile: typed(fields, "mobile"),
            locale: text("locale"),
            time_zone: text("time_zone"),
            roles: others.chain(ticked).map(str::to_owned).collect(),
            active: fields.get("active") == "on",
        })
    }

    fn other_way(words: &Words) -> Option<(&'static str, &'static str)> {
        Some(("import", words.operations.import))
    }

    async fn beside(&self, beside: &Beside<'_>) -> Result<Aside, PageError> {
        if self.username.is_empty() {
            return Ok(Aside::default());
        }
        let link = LogInLink {
            words: beside.login.words.operations,
            active: self.active,
            path: byte_serialize(self.username.as_bytes()).collect::<String>().replace('+', "%20"),
            form_token: form::mask(&beside.login.form_token),
        };
        Ok(Aside { html: link.render()?, ..Aside::default() })
    }

    async fn list(app: &App, asked: &Asked) -> Result<Vec<Self>, store::Error> {
        if asked.q.is_empty() {
            accounts::list(&app.pool, &asked.after, ONE_MORE).await
        } else {
            accounts::search(&app.pool, &asked.q, &asked.after, ONE_MORE).await
        }
    }

    async fn get(app: &App, name: &str) -> Result<Option<Self>, store::Error> {
        accounts::get(&app.pool, &name.to_lowercase()).await
    }

    async fn save(self, app: &App, expect: &Expect, actor: &str) -> Result<Saved<Self>, ChangeError> {
        accounts::save(&app.pool, self, expect, actor).await
    }

    async fn remove(app: &App, name: &str, expect: &Expect, actor: &str) -> Result<bool, ChangeError> {
        accounts::deactivate(&app.pool, name, expect, actor).await
    }
}

/// Roles of the house's own.
fn others(roles: &[String]) -> String {
    let own = roles.iter().filter(|role| ROLES.iter().all(|(_, known)| role != known));
    own.map(String::as_str).collect::<Vec<_>>().join(", ")
}
