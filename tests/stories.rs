//! What the seed asks for, told on real servers. Each behaviour's test is named after its number.

mod support;

#[cfg(test)]
mod stories {
    mod accept;
    mod access;
    mod check;
    mod commands;
    mod commits;
    mod deliveries;
    mod demo;
    mod email;
    mod inbox;
    mod keys;
    mod maintaining;
    mod many;
    mod metadata;
    mod models;
    mod purge;
    mod registering;
    mod registry;
    mod relay;
    mod sql;
    mod task_queue;
    mod templates;
}
