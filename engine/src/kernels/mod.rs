//! SIMD and other unsafe code; each kernel with its scalar twin.

#![allow(unsafe_code)]

mod prefetch;

pub use prefetch::prefetch;
