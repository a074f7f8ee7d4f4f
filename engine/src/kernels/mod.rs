//! SIMD and other unsafe code; each with its scalar twin.
