//! No core dumps while secrets are in memory: a dump is a file that holds all of them, and it outlives the process.

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// Makes the kernel write no core dump of this process, wherever `kernel.core_pattern` would send it, and keeps other
/// processes of the same user from reading its memory. Root can still attach a debugger.
///
/// A limit (`RLIMIT_CORE`) would not do: it has no effect where dumps go to a program, as with systemd-coredump.
pub(super) fn turn_off() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "core dumps cannot be turned off: one would hold the passwords and tokens of this daemon");
    }
}
