//! The workflow loop on real servers: people are asked, and each answer comes back once.

#[path = "support/mod.rs"]
mod support;

#[cfg(test)]
mod workflow {
    mod authorisations;
}
