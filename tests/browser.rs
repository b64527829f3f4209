//! A recipient's day in a real browser.

#[path = "support/mod.rs"]
mod support;

#[cfg(test)]
mod browser {
    mod api;
    mod authoring;
    mod dashboard;
    mod demo;
    mod forms;
    mod frame;
    mod keyboard;
    mod lists;
    mod look;
    mod naughty;
    mod offline;
    mod operating;
    mod plain;
    mod stage;
}
