//! Everything that can be asked, and by whom. A route cannot be added without saying who may use it.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use herald_jobs::account::Account;
use herald_jobs::choice_set::ChoiceSet;
use herald_jobs::event_rule::EventRule;
use herald_jobs::message_template::MessageTemplate;
use herald_jobs::message_type::MessageType;
use herald_jobs::model::Model;
use herald_producers::bounce::MOST_READ;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::timeout::TimeoutLayer;

use crate::access::{form, session};
use crate::api::{self, problem};
use crate::app::App;
use crate::error::{self, PageError};
use crate::headers::{self, SecurityHeaders};
use crate::pages::admin::rules::Rule;
use crate::pages::admin::watches::Watched;
use crate::pages::admin::{self, kept, rule_trial, template_preview};
use crate::{assets, live, pages, trace};

/// How long a request may take until its answer begins; one that brings a file.
const PATIENCE: Duration = Duration::from_secs(30);
const PATIENCE_FOR_FILES: Duration = Duration::from_secs(1_800);
/// Largest body, in bytes.
const LARGEST: usize = 1024 * 1024;
/// Largest body of a list's Post, in bytes: a page full of the longest replies.
const LARGEST_POST: usize = 4 * LARGEST;

/// Where files come in.
const OUTPUTS: &str = "/api/v1/outputs";

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Who is logged in; others are sent to the log-in page.
    Session,
    /// Who is logged in and operates or administers; others who are get 403.
    Operator,
    /// Who is logged in and administers; others who are get 403.
    Administrator,
    /// A script of our pages for who is logged in; others get 401.
    SessionScript,
    /// What a page of ours asks for by itself, which keeps nobody logged in; others get 401.
    SessionIdle,
    /// Who signs what it says. The handler looks at the signature.
    Signed,
    /// A program with an API token; others get 401.
    Token,
    /// A program with an API token that administers; others get 401, or 403 with a token that does not.
    Admin,
}

struct Route {
    access: Access,
    path: &'static str,
    methods: MethodRouter<App>,
}

fn routes() -> Vec<Route> {
    use Access::{
        Admin, Administrator, Operator, Public, Session, SessionIdle, SessionScript, Signed, Token,
    };
    let route = |access, path, methods| Route { access, path, methods };
    let large = DefaultBodyLimit::max(LARGEST_POST);
    vec![
        route(Public, "/assets/{name}", get(assets::get)),
        route(Public, "/login", get(pages::login::show).post(pages::login::enter)),
        route(Public, "/login/link/{secret}", get(pages::link::show).post(pages::link::enter)),
        route(Public, "/answer/{link}", get(pages::answer_link::show).post(pages::answer_link::commit)),
        route(Session, "/logout", post(pages::login::leave)),
        route(Session, "/logout/everywhere", post(pages::account::leave_everywhere)),
        route(Session, "/account", get(pages::account::show)),
        route(Session, "/", get(pages::dashboard::show)),
        route(Administrator, "/admin/types", get(kept::list::<MessageType>)),
        route(
            Administrator,
            "/admin/types/new",
            get(kept::new::<MessageType>).post(kept::add::<MessageType>),
        ),
        route(
            Administrator,
            "/admin/types/edit/{name}",
            get(kept::edit::<MessageType>).post(kept::change::<MessageType>),
        ),
        route(Administrator, "/admin/choices", get(kept::list::<ChoiceSet>)),
        route(Administrator, "/admin/choices/new", get(kept::new::<ChoiceSet>).post(kept::add::<ChoiceSet>)),
        route(
            Administrator,
            "/admin/choices/edit/{name}",
            get(kept::edit::<ChoiceSet>).post(kept::change::<ChoiceSet>),
        ),
        route(Administrator, "/admin/users", get(kept::list::<Account>)),
        route(Administrator, "/admin/users/new", get(kept::new::<Account>).post(kept::add::<Account>)),
        route(
            Administrator,
            "/admin/users/edit/{name}",
            get(kept::edit::<Account>).post(kept::change::<Account>),
        ),
        route(
            Administrator,
            "/admin/users/import",
            get(admin::people::ask).post(admin::people::import).layer(large),
        ),
        route(Administrator, "/admin/users/link/{name}", post(admin::people::link)),
        route(Administrator, "/admin/templates", get(kept::list::<MessageTemplate>)),
        route(
            Administrator,
            "/admin/templates/new",
            get(kept::new::<MessageTemplate>).post(kept::add::<MessageTemplate>),
        ),
        route(
            Administrator,
            "/admin/templates/edit/{name}",
            get(kept::edit::<MessageTemplate>).post(kept::change::<MessageTemplate>),
        ),
        route(
            Administrator,
            "/admin/templates/edit/{name}/versions/{version}",
            get(template_preview::earlier),
        ),
        route(Administrator, "/admin/reminders", get(kept::list::<Rule>)),
        route(Administrator, "/admin/reminders/new", get(kept::new::<Rule>).post(kept::add::<Rule>)),
        route(
            Administrator,
            "/admin/reminders/edit/{name}",
            get(kept::edit::<Rule>).post(kept::change::<Rule>),
        ),
        route(Administrator, "/admin/reminders/do/{name}", post(rule_trial::act)),
        route(Administrator, "/admin/events", get(kept::list::<EventRule>)),
        route(Administrator, "/admin/events/new", get(kept::new::<EventRule>).post(kept::add::<EventRule>)),
        route(
            Administrator,
            "/admin/events/edit/{name}",
            get(kept::edit::<EventRule>).post(kept::change::<EventRule>),
        ),
        route(Administrator, "/admin/watches", get(kept::list::<Watched>)),
        route(Administrator, "/admin/watches/new", get(kept::new::<Watched>).post(kept::add::<Watched>)),
        route(
            Administrator,
            "/admin/watches/edit/{name}",
            get(kept::edit::<Watched>).post(kept::change::<Watched>),
        ),
        route(Administrator, "/admin/models", get(kept::list::<Model>)),
        route(Administrator, "/admin/models/new", get(kept::new::<Model>).post(kept::add::<Model>)),
        route(
            Administrator,
            "/admin/models/edit/{name}",
            get(kept::edit::<Model>).post(kept::change::<Model>),
        ),
        // Herald itself
        route(Operator, "/admin/registry", get(admin::registry::show)),
        route(
            Administrator,
            "/admin/registry/edit/{name}",
            get(admin::registry_form::edit).post(admin::registry_form::save),
        ),
        route(Operator, "/admin/registry/test/{name}", post(admin::registry::test)),
        route(Operator, "/admin/schedule", get(admin::schedule::show)),
        route(Operator, "/admin/schedule/run/{name}", post(admin::schedule::run)),
        route(Administrator, "/admin/tokens", get(admin::tokens::show)),
        route(Administrator, "/admin/tokens/new", get(admin::tokens::new).post(admin::tokens::create)),
        route(Administrator, "/admin/tokens/revoke/{name}", post(admin::tokens::revoke)),
        route(Operator, "/admin/audit", get(admin::audit::show)),
        route(Operator, "/admin/deliveries", get(admin::deliveries::show)),
        route(Operator, "/admin/deliveries/retry/{id}", post(admin::deliveries::retry)),
        route(Operator, "/admin/deliveries/cancel/{id}", post(admin::deliveries::cancel)),
        route(Operator, "/admin/watched", get(admin::watched::show)),
        route(Operator, "/admin/watched/replay/{id}", post(admin::watched::replay)),
        route(Session, "/demo/switch", post(pages::demo::switch)),
        route(Session, "/messages", get(pages::list::messages).post(pages::list::post_messages).layer(large)),
        route(Session, "/alerts", get(pages::list::alerts).post(pages::list::post_alerts).layer(large)),
        route(Session, "/messages/{id}", get(pages::message::show)),
        route(Session, "/messages/{id}/act", get(pages::action::ask).post(pages::action::open)),
        route(Session, "/outputs/{id}", get(pages::output::fetch)),
        route(Session, "/notices/dismiss", post(pages::notice::dismiss)),
        route(SessionIdle, "/live", get(live::stream)),
        route(SessionIdle, "/counts", get(live::counts)),
        route(SessionScript, "/messages/{id}/pane", get(pages::message::pane)),
        route(SessionIdle, "/latest", get(pages::dashboard::latest)),
        route(Public, "/api", get(pages::api::show)),
        route(Public, "/api/v1/openapi.json", get(api::openapi::show)),
        route(Token, "/api/v1/messages", get(api::messages::list).post(api::messages::send)),
        route(
            Token,
            "/api/v1/messages:batch",
            post(api::batch::send).layer::<_, Infallible>(DefaultBodyLimit::disable()),
        ),
        route(Token, "/api/v1/messages/{id}/cancel", post(api::messages::cancel)),
        route(Token, "/api/v1/batches/{id}/cancel", post(api::batches::cancel)),
        route(Admin, "/api/v1/messages/{id}/act", post(api::answers::act)),
        route(Admin, "/api/v1/messages/{id}/reply", post(api::answers::reply)),
        route(Token, "/api/v1/messages/{id}/complete", post(api::answers::complete)),
        route(
            Token,
            "/api/v1/authorisations",
            get(api::authorisations::list).post(api::authorisations::request),
        ),
        route(Token, "/api/v1/authorisations/{id}", get(api::authorisations::read)),
        route(Token, "/api/v1/authorisations/{id}/withdraw", post(api::authorisations::withdraw)),
        route(Token, "/api/v1/messages/{id}", get(api::messages::read)),
        route(Token, "/api/v1/messages/{id}/deliveries", get(api::messages::deliveries)),
        route(Token, "/api/v1/messages/{id}/recipients", post(api::messages::add_recipient)),
        route(Token, OUTPUTS, post(api::outputs::send).layer::<_, Infallible>(DefaultBodyLimit::disable())),
        route(Token, "/api/v1/bounces", post(api::bounces::receive).layer(DefaultBodyLimit::max(MOST_READ))),
        route(Signed, "/api/v1/sms/reports", post(api::sms_reports::receive)),
        route(Admin, "/api/v1/message-types", get(api::message_types::list)),
        route(
            Admin,
            "/api/v1/message-types/{code}",
            get(api::message_types::show).put(api::message_types::put).delete(api::message_types::remove),
        ),
        route(Admin, "/api/v1/choices", get(api::choices::list)),
        route(
            Admin,
            "/api/v1/choices/{code}",
            get(api::choices::show).put(api::choices::put).delete(api::choices::remove),
        ),
        route(Admin, "/api/v1/users", get(api::users::list)),
        route(
            Admin,
            "/api/v1/users/{name}",
            get(api::users::show).put(api::users::put).delete(api::users::remove),
        ),
        route(Admin, "/api/v1/users/{name}/launch", post(api::launch::create)),
        route(Admin, "/api/v1/models", get(api::models::list)),
        route(
            Admin,
            "/api/v1/models/{name}",
            get(api::models::show).put(api::models::put).delete(api::models::remove),
        ),
        route(Admin, "/api/v1/templates", get(api::templates::list)),
        route(Admin, "/api/v1/templates/{code}", get(api::templates::show).put(api::templates::put)),
        route(Admin, "/api/v1/templates/{code}/preview", post(api::templates::preview)),
        route(Admin, "/api/v1/reminder-rules", get(api::reminders::list)),
        route(
            Admin,
            "/api/v1/reminder-rules/{code}",
            get(api::reminders::show).put(api::reminders::put).delete(api::reminders::remove),
        ),
        route(Admin, "/api/v1/reminder-rules/{code}/check", post(api::reminders::check)),
        route(Admin, "/api/v1/reminder-rules/{code}/dry-run", post(api::reminders::dry_run)),
        route(Admin, "/api/v1/reminder-rules/{code}/run", post(api::reminders::run)),
        route(Admin, "/api/v1/reminder-rules/{code}/enable", post(api::reminders::enable)),
        route(Admin, "/api/v1/reminder-rules/{code}/disable", post(api::reminders::disable)),
        route(Admin, "/api/v1/reminder-rules/{code}/history", get(api::reminders::history)),
        route(Admin, "/api/v1/periodic", get(api::periodic::list)),
        route(Admin, "/api/v1/periodic/{name}/run", post(api::periodic::run)),
    ]
}

/// All paths and who may use them, for tests that hold each to it.
pub fn paths() -> Vec<(Access, &'static str)> {
    routes().iter().map(|route| (route.access, route.path)).collect()
}

/// The pages and the API.
pub fn router(app: App) -> Router {
    let mut router = Router::new();
    for Route { access, path, methods } in routes() {
        let page_panics = CatchPanicLayer::custom(error::page_for_panic);
        let same_site = from_fn_with_state(app.clone(), form::same_site);
        let patience = if path == OUTPUTS { PATIENCE_FOR_FILES } else { PATIENCE };
        let timeout = TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, patience);
        let methods = methods.fallback(wrong_method).layer::<_, Infallible>(timeout);
        router = router.route(
            path,
            match access {
                Access::Public => methods.layer::<_, Infallible>(same_site).layer(page_panics),
                Access::Session => methods
                    .layer::<_, Infallible>(from_fn_with_state(app.clone(), session::require))
                    .layer::<_, Infallible>(same_site)
                    .layer(page_panics),
                Access::Operator => methods
                    .layer::<_, Infallible>(from_fn(session::require_operator))
                    .layer::<_, Infallible>(from_fn_with_state(app.clone(), session::require))
                    .layer::<_, Infallible>(same_site)
                    .layer(page_panics),
                Access::Administrator => methods
                    .layer::<_, Infallible>(from_fn(session::require_administrator))
                    .layer::<_, Infallible>(from_fn_with_state(app.clone(), session::require))
                    .layer::<_, Infallible>(same_site)
                    .layer(page_panics),
                Access::SessionScript => methods
                    .layer::<_, Infallible>(from_fn_with_state(app.clone(), session::require_for_script))
                    .layer::<_, Infallible>(same_site)
                    .layer(page_panics),
                Access::SessionIdle => methods
                    .layer::<_, Infallible>(from_fn_with_state(app.clone(), session::require_for_page_itself))
                    .layer::<_, Infallible>(same_site)
                    .layer(page_panics),
                Access::Signed => methods.layer(CatchPanicLayer::custom(problem::for_panic)),
                Access::Token => methods
                    .layer::<_, Infallible>(from_fn_with_state(app.clone(), api::token::require))
                    .layer(CatchPanicLayer::custom(problem::for_panic)),
                Access::Admin => methods
                    .layer::<_, Infallible>(from_fn(api::token::require_admin))
                    .layer::<_, Infallible>(from_fn_with_state(app.clone(), api::token::require))
                    .layer(CatchPanicLayer::custom(problem::for_panic)),
            },
        );
    }
    let security = SecurityHeaders::new(&app.settings);
    router
        .fallback(nowhere)
        .layer(DefaultBodyLimit::max(LARGEST))
        .layer(CompressionLayer::new())
        .layer(from_fn_with_state(security, headers::add))
        .layer(from_fn(trace::request))
        .with_state(app)
}

async fn nowhere(uri: Uri) -> Response {
    if is_api(&uri) { problem::not_found().into_response() } else { PageError::NotFound.into_response() }
}

async fn wrong_method(uri: Uri) -> Response {
    if is_api(&uri) { problem::wrong_method().into_response() } else { PageError::Method.into_response() }
}

fn is_api(uri: &Uri) -> bool {
    uri.path().starts_with("/api/")
}
