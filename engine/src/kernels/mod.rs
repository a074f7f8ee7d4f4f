//! SIMD and other unsafe code; each kernel with its scalar twin.
//!
//! Most kernels here are plain loops over slices that the compiler turns into vector code. They
//! are compiled twice, for the baseline and for AVX2, and chosen once per call. What is unsafe: calling
//! the second one after the processor was asked; arrays to vector registers and back (`vectors`); and
//! the length of a column whose new end was written without being cleared before.

#![allow(unsafe_code)]

mod columns;
mod decimal;
mod frames;
mod prefetch;
mod sums;
mod timestamps;
mod unpack;
#[cfg(target_arch = "x86_64")]
mod vectors;

pub use columns::{are_apart, has_bits, increment};
pub use decimal::{
    OffsetScale, POW10, add_up, divide_decimals, offsets_to_decimals, scale_offsets,
    steps_to_decimals,
};
pub use frames::{PackedOffsets, append_offsets, append_steps};
pub use prefetch::prefetch;
pub use sums::{add_to_sum, add_to_sums};
pub use timestamps::{add_line, append_grid, ascends, line_point};
pub use unpack::{unpack, unpack_scalar};

/// Adding this to a small integer's bits makes a double that is the integer plus this; adding it to
/// a small double rounds that to an integer. Exact below 2^51 in magnitude.
pub const MAGIC: f64 = 6_755_399_441_055_744.0; // 1.5 · 2^52
