//! The workflow loop on real servers: people are asked, each answer comes back once, and what happens in tables is told.

#[path = "support/mod.rs"]
mod support;

#[cfg(test)]
mod workflow {
    mod answers;
    mod authorisations;
    mod events;
    mod links;
    mod machine;
    mod race;
    mod receiver;
    mod webhooks;
}
