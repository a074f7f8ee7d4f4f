//! The storage of hearth on a simulated disk: what becomes of what was promised when the process or
//! the power ends at any moment, when operations fail, and when bits of files turn.
//!
//! The code that runs is the real one, from the start over appending to upkeep; the disk, the order
//! of tasks and the time are the simulation's, and a seed decides all of it.
//!
//! ```text
//! world     files and directories, written and synced; image: what a crash leaves of them
//! disk      the seam over it
//! fault     which operation fails, and how
//! planted   bugs at the seam, to know that such are found
//! ledger    what was promised of every sample; process: the storage of a process
//! hunt      looks for them
//! life      a script in which everything comes to pass
//! crash     a crash at every moment of it; failing: a fault at every operation; damage: bits
//! ```

pub mod crash;
pub mod damage;
pub mod disk;
pub mod failing;
pub mod fault;
pub mod hunt;
pub mod image;
pub mod ledger;
pub mod life;
pub mod planted;
pub mod process;
pub mod world;
