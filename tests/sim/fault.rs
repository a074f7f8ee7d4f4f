//! Faults of a disk: which operation fails, how, and for how long.

use engine::disk::DiskErrorKind;

use super::world::Kind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Error(DiskErrorKind, When),
    /// Of a sync alone.
    Sync(SyncFailure),
}

/// What of an operation that fails was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Before,
    /// All of it; only the answer says that it failed.
    After,
    /// A part of a write.
    Short,
}

/// What a file system makes of a sync that fails, as the paper on fsync failures found it
/// (Rebello and others, ATC 2020).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncFailure {
    /// ext4 (ordered) and XFS: pages count as clean, reads find the new content, and the next sync
    /// succeeds without effect.
    LosesPages,
    /// ext4 with data in the journal: this sync succeeds, the next one of the file fails.
    Late,
    /// Btrfs: reads find the old content again.
    Reverts,
    /// XFS, where it was metadata: nothing works any more until the next start.
    ShutsDown,
}

impl SyncFailure {
    pub const ALL: [SyncFailure; 4] =
        [Self::LosesPages, Self::Late, Self::Reverts, Self::ShutsDown];
}

/// When a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultPlan {
    /// Number of the first operation that it strikes.
    pub at: u64,
    pub fault: Fault,
    /// So many of those that it can strike.
    pub count: u64,
}

/// The faults of a world.
#[derive(Debug, Default)]
pub struct Faults {
    plan: Option<FaultPlan>,
    is_shut_down: bool,
    struck_count: u64,
}

impl Faults {
    pub fn set(&mut self, plan: FaultPlan) {
        *self = Faults { plan: Some(plan), ..Faults::default() };
    }

    /// The disk works again.
    pub fn heal(&mut self) {
        self.plan = None;
        self.is_shut_down = false;
    }

    pub fn shut_down(&mut self) {
        self.is_shut_down = true;
    }

    pub fn struck_count(&self) -> u64 {
        self.struck_count
    }

    /// What strikes the operation `number`.
    pub(super) fn strike(&mut self, number: u64, kind: Kind) -> Option<Fault> {
        if self.is_shut_down {
            return Some(Fault::Error(DiskErrorKind::Io, When::Before));
        }
        let FaultPlan { at, fault, count } = self.plan?;
        let is_its = match fault {
            Fault::Sync(_) => kind == Kind::Sync,
            // A full disk refuses what needs room; what takes none goes on.
            Fault::Error(DiskErrorKind::NoSpace, _) => {
                matches!(kind, Kind::Create | Kind::Append | Kind::Write | Kind::Sync | Kind::Link)
            }
            Fault::Error(..) => true,
        };
        if number < at || !is_its || self.struck_count >= count {
            return None;
        }
        self.struck_count += 1;
        Some(fault)
    }
}
