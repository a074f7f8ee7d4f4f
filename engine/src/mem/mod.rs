//! Arenas, typed-id columns, bitset, sorted-run merge, varint.
