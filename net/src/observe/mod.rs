//! What hearth says about itself.

pub mod log;
