//! The parts of the program `herald` that its tests and its benches use as well.

pub mod catcher;
