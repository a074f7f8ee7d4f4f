//! SIMD and other unsafe code; each kernel with its scalar twin.
//!
//! Most kernels here are plain loops over slices that the compiler turns into vector code. They
//! are compiled twice, for the baseline and for AVX2, and chosen once per call; the only unsafe
//! part is calling the second one after the processor was asked.

#![allow(unsafe_code)]

mod decimal;
mod prefetch;
mod unpack;

pub use decimal::{POW10, divide_decimals, scale_offsets};
pub use prefetch::prefetch;
pub use unpack::{unpack, unpack_scalar};
