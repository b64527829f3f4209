//! What people see. One file for each page; `shell.rs` is what surrounds them all.

pub(crate) mod account;
pub(crate) mod action;
pub(crate) mod admin;
mod answer;
pub(crate) mod answer_link;
pub(crate) mod api;
pub(crate) mod dashboard;
pub(crate) mod demo;
pub(crate) mod link;
pub(crate) mod list;
pub(crate) mod login;
pub(crate) mod message;
pub(crate) mod notice;
pub(crate) mod output;
mod row;
mod search;
mod shell;
mod when;

pub(crate) use login::local;
pub(crate) use row::from as sender;
