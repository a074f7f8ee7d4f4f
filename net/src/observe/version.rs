//! Who this is.

/// hearth's own version.
pub const HEARTH: &str = concat!("hearth ", env!("CARGO_PKG_VERSION"));

/// The Prometheus whose behaviour hearth has.
pub const PROMETHEUS: &str = "3.14.0";
