//! Symbols, postings, matchers.
