//! Levels for the system's journal, which takes them from the beginning of a line (sd-daemon(3)).

use tracing::Level;

/// Whether stderr goes to the journal: systemd names its device and inode in `JOURNAL_STREAM`.
pub(super) fn has_stderr() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(std::io::stderr())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// The beginning of a line of this level.
pub(super) fn prefix(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        _ => "<7>",
    }
}
