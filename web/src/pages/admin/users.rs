//! Users.

use herald_jobs::account::Account;
use herald_jobs::refusal::Refusal;
use herald_jobs::store::change::{ChangeError, Expect, Saved};
use herald_jobs::store::{self, accounts};

use super::fields::{Field, Kind, typed};
use super::kept::{Kept, Offered};
use super::list::{Asked, ONE_MORE};
use crate::access::form::Fields;
use crate::app::App;
use crate::pages::shell::Place;
use crate::words::Administration;

/// Each role, as its field is called.
const ROLES: [(&str, &str); 2] = [("role_admin", "admin"), ("role_operator", "operator")];

impl Kept for Account {
    const PATH: &'static str = "users";
    const PLACE: Place = Place::Users;

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

    fn removal(&self, words: &Administration) -> Option<&'static str> {
        self.active.then_some(words.deactivate)
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
            Field::new("active", words.active, Kind::Tick).holding(tick(self.active)),
        ]
    }

    fn read(fields: &Fields, _: &Administration) -> Result<Self, Refusal> {
        let text = |name: &str| fields.get(name).trim().to_owned();
        let roles = ROLES.iter().filter(|(field, _)| fields.get(field) == "on");
        Ok(Self {
            username: text("username").to_lowercase(),
            display_name: text("display_name"),
            email: typed(fields, "email"),
            mobile: typed(fields, "mobile"),
            locale: text("locale"),
            time_zone: text("time_zone"),
            roles: roles.map(|(_, role)| (*role).to_owned()).collect(),
            active: fields.get("active") == "on",
        })
    }

    async fn list(app: &App, asked: &Asked) -> Result<Vec<Self>, store::Error> {
        accounts::list(&app.pool, &asked.after, ONE_MORE).await
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
