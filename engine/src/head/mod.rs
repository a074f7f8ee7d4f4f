//! Series columns, newest samples, open and sealed chunks.
