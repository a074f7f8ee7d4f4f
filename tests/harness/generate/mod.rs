//! Seeded random data and queries for it: what the property test and the fuzzer ask.
//!
//! ```text
//! random   numbers from a seed
//! data     series with everything that makes answers hard: gaps, resets, staleness, NaN, buckets
//! query    expressions from the grammar, of the right types, over those series
//! natives  expressions of native histograms alone
//! ```

pub mod data;
pub mod natives;
pub mod query;
pub mod random;

pub use query::{Dialect, Query, Times};
pub use random::Random;
