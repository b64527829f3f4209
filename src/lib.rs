//! The parts of the `herald` program.

pub mod private;
