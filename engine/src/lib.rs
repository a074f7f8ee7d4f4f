//! The data and its language. No thread, socket, file, clock or lock.
//!
//! The rooms in reading order; a room may use rooms on earlier lines only (a test holds this):
//!
//! ```text
//! limits kernels mem regex model disk
//! encode index promql
//! wal head plan block
//! store
//! exec
//! rules
//! rules
//! ```

pub mod block;
pub mod disk;
pub mod encode;
pub mod exec;
pub mod head;
pub mod index;
pub mod kernels;
pub mod limits;
pub mod mem;
pub mod model;
pub mod plan;
pub mod promql;
pub mod regex;
pub mod rules;
pub mod store;
pub mod wal;
