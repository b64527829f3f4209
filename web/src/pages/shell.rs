//! What surrounds each page of who is logged in: menus, counts, and the notice of alerts.

use axum_extra::extract::CookieJar;
use herald_jobs::store;
use herald_jobs::store::inbox::{Counts, InboxMessage};

use super::notice::{self, Notice};
use crate::access::form;
use crate::access::session::Login;
use crate::app::{App, Persona};
use crate::assets::{self, Assets};
use crate::words::Words;

/// Where the user is, to mark it in the menu.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Dashboard,
    Alerts,
    Messages,
    Account,
    Types,
    Choices,
    Users,
    Templates,
    Reminders,
    EventRules,
    Watches,
    Models,
    // Herald itself
    Registry,
    Deliveries,
    Watched,
    Schedule,
    Tokens,
    Audit,
    Elsewhere,
}

/// A page in the menus: where it is, and what it is called.
type Entry = (Place, &'static str, fn(&Words) -> &'static str);

/// What is maintained.
const MAINTAINED: [Entry; 8] = [
    (Place::Types, "/admin/types", |words| words.administration.message_types),
    (Place::Choices, "/admin/choices", |words| words.administration.choice_sets),
    (Place::Users, "/admin/users", |words| words.administration.users),
    (Place::Templates, "/admin/templates", |words| words.administration.authoring.templates),
    (Place::Reminders, "/admin/reminders", |words| words.administration.rules.reminders),
    (Place::EventRules, "/admin/events", |words| words.administration.rules.event_rules),
    (Place::Watches, "/admin/watches", |words| words.administration.rules.watches),
    (Place::Models, "/admin/models", |words| words.administration.authoring.models),
];

/// What runs. Operators see all of it but for the tokens.
const RUNNING: [Entry; 6] = [
    (Place::Deliveries, "/admin/deliveries", |words| words.operations.running.deliveries),
    (Place::Watched, "/admin/watched", |words| words.operations.running.watched),
    (Place::Schedule, "/admin/schedule", |words| words.operations.schedule),
    (Place::Registry, "/admin/registry", |words| words.operations.registry),
    (Place::Tokens, "/admin/tokens", |words| words.operations.tokens),
    (Place::Audit, "/admin/audit", |words| words.operations.audit),
];

/// What the surrounding part of a page shows.
pub(super) struct Shell {
    pub(super) assets: &'static Assets,
    pub(super) words: &'static Words,
    pub(super) place: Place,
    pub(super) name: String,
    /// May maintain what is maintained.
    pub(super) administers: bool,
    /// May see what runs, and act on it.
    pub(super) operates: bool,
    pub(super) counts: Counts,
    /// Under a mask of its own for each page.
    pub(super) form_token: String,
    /// Seconds between two looks at the counts where there are no live updates.
    pub(super) refresh: u64,
    /// Ids of alerts that the page knows, with a space between them.
    pub(super) known: String,
    pub(super) notice: Option<Notice>,
    /// Who one can be in a demo: the user, what the button says, and whether one is.
    pub(super) personas: Vec<(String, String, bool)>,
}

impl Shell {
    /// Whether it is a page of the administration, which has a style of its own.
    pub(super) fn is_administration(&self) -> bool {
        use Place::{Account, Alerts, Dashboard, Elsewhere, Messages};
        !matches!(self.place, Dashboard | Alerts | Messages | Account | Elsewhere)
    }

    pub(super) fn is(&self, place: Place) -> bool {
        self.place == place
    }

    /// What the user may maintain, in the menus' order.
    pub(super) fn maintained(&self) -> &'static [Entry] {
        if self.administers { &MAINTAINED } else { &[] }
    }

    /// What the user may see of what runs.
    pub(super) fn running(&self) -> impl Iterator<Item = &'static Entry> {
        let (operates, administers) = (self.operates, self.administers);
        RUNNING.iter().filter(move |(place, ..)| operates && (administers || *place != Place::Tokens))
    }

    pub(super) fn alerts(&self) -> String {
        self.shown(self.counts.alerts)
    }

    pub(super) fn messages(&self) -> String {
        self.shown(self.counts.messages)
    }

    /// A count as pages show it: above what is counted, that there are more.
    pub(super) fn shown(&self, count: i64) -> String {
        let most = store::inbox::MOST_COUNTED;
        if count > most { format!("{}+", (self.words.number)(most)) } else { (self.words.number)(count) }
    }
}

/// Reads what surrounds a page.
pub(super) async fn shell(
    app: &App,
    login: &Login,
    jar: &CookieJar,
    place: Place,
) -> Result<Shell, store::Error> {
    let counts = store::inbox::counts(&app.pool, login.user.id).await?;
    let alerts: Vec<InboxMessage> = if counts.alerts > 0 {
        store::inbox::pending(&app.pool, login.user.id, true, None, notice::MOST).await?
    } else {
        Vec::new()
    };
    // Elsewhere it would lie over what is being worked on; new alerts are told everywhere.
    let notice = match place {
        Place::Dashboard => notice::notice(app, jar, login.words, &alerts, counts.alerts),
        _ => None,
    };
    Ok(Shell {
        assets: assets::all(),
        words: login.words,
        place,
        name: login.name().to_owned(),
        administers: login.administers(),
        operates: login.operates(),
        counts,
        form_token: form::mask(&login.form_token),
        refresh: app.settings.refresh.as_secs().max(1),
        known: notice::ids(&alerts),
        notice,
        personas: personas(app, login),
    })
}

fn personas(app: &App, login: &Login) -> Vec<(String, String, bool)> {
    let say = login.words.operations.persona;
    let persona = |persona: &Persona| {
        let name = persona.username.clone();
        (name.clone(), say(&name, persona.role), name == login.user.username)
    };
    app.settings.personas.iter().map(persona).collect()
}
