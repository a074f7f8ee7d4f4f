//! Columns to bytes and back: timestamps, floats, the chooser.
