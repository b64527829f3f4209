//! The web side: the inbox, the API, live updates, the schedule and the metrics.
//!
//! [`router`] answers people and programs, [`ops_router`] answers operators on a listener of its own; [`serve`] runs either.
//! This crate holds no SQL: it reads and writes through `herald_jobs::store` and `herald_producers`. The one list of what can
//! be asked, and by whom, is in `routes.rs`.

pub mod access;
mod api;
mod app;
mod assets;
mod error;
mod headers;
mod live;
mod ops;
mod pages;
mod routes;
pub mod schedule;
mod serve;
mod trace;
mod words;

pub use app::{App, Panel, Persona, Role, Settings};
pub use ops::ops_router;
pub use routes::{Access, paths, router};
pub use serve::serve;
