//! The black-box harness: starts the real binary and speaks HTTP.
