//! A copy of a process's state directory, to be put back later.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The copy, next to the directory itself.
pub(super) struct StateCopy {
    dir: PathBuf,
    /// The earliest time to put it back.
    pub(super) due: Instant,
    /// Whether bytes of it had been flipped.
    pub(super) is_damaged: bool,
}

impl StateCopy {
    /// Copies the directory of a process that does not run.
    pub(super) fn of(state_dir: &Path, due: Instant, is_damaged: bool) -> std::io::Result<Self> {
        let dir = state_dir.with_extension("old");
        copy(state_dir, &dir)?;
        Ok(Self { dir, due, is_damaged })
    }

    /// Puts it in the place of the directory.
    pub(super) fn put_back(self, state_dir: &Path) -> std::io::Result<()> {
        fs::remove_dir_all(state_dir)?;
        fs::rename(&self.dir, state_dir)
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
