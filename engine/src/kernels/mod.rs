//! SIMD and other unsafe code; each kernel with its scalar twin.
//!
//! Most kernels here are plain loops over slices that the compiler turns into vector code. They
//! are compiled twice, for the baseline and for AVX2, and chosen once per call; the only unsafe
//! part is calling the second one after the processor was asked.

#![allow(unsafe_code)]

mod decimal;
mod prefetch;
mod sums;
mod timestamps;
mod unpack;

pub use decimal::{POW10, divide_decimals, scale_offsets};
pub use prefetch::prefetch;
pub use sums::{add_to_sum, add_to_sums};
pub use timestamps::{add_line, ascends, fill_steps, line_point};
pub use unpack::{unpack, unpack_scalar};

/// Adding this to a small integer's bits makes a double that is the integer plus this; adding it to
/// a small double rounds that to an integer. Exact below 2^51 in magnitude.
pub const MAGIC: f64 = 6_755_399_441_055_744.0; // 1.5 · 2^52
