//! The seam: the few operations on files that durability needs. Implemented elsewhere.
