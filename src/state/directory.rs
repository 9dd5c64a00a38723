//! The state directory: made with mode 0700, checked, and locked for one process by sled's own lock.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::StateError;
use super::store::{Identity, Store};

/// sled's page cache. Not a memory cap: expect a few times this much (measured; see the README).
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// Smaller than sled's default of 512 KiB: its write buffers are as large (measured: 20 MB less).
const SEGMENT_BYTES: usize = 128 * 1024;

/// sled keeps its lock some milliseconds after the last handle is dropped; a restart must not fail on that.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// The open state directory of this process. Clones share one database.
#[derive(Clone)]
pub struct StateDirectory {
    database: sled::Db,
}

impl StateDirectory {
    /// Opens the directory at `path`, making it where it is missing.
    ///
    /// # Errors
    /// [`StateError::Busy`] where another process holds it, [`StateError::Unusable`] where it is a symbolic
    /// link, belongs to somebody else or can be written by others, [`StateError::Corrupted`] where sled
    /// cannot read it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        prepare(path)?;
        // sled writes its files straight into its path, so it gets a folder of its own.
        let config = sled::Config::new()
            .path(path.join("store"))
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(Some(500))
            .segment_size(SEGMENT_BYTES)
            .mode(sled::Mode::LowSpace);
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            // A damaged file can make sled panic while opening.
            let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
            return match opened {
                Ok(Ok(database)) => Ok(Self { database }),
                Ok(Err(error)) if is_locked(&error) => {
                    if Instant::now() < deadline {
                        sleep(Duration::from_millis(50));
                        continue;
                    }
                    Err(StateError::Busy(path.to_owned()))
                }
                Ok(Err(error)) => Err(StateError::from_sled(&path.display().to_string(), error)),
                Err(_) => Err(StateError::Corrupted {
                    store: path.display().to_string(),
                    reason: "sled panicked while opening it".into(),
                }),
            };
        }
    }

    /// Opens the store of one task or table, and checks that it is the one that `identity` names.
    ///
    /// # Errors
    /// [`StateError::Corrupted`] where the tree belongs to another topic, partition or format.
    pub fn store(&self, identity: &Identity) -> Result<Store, StateError> {
        let name = identity.tree_name();
        let tree = self.database.open_tree(&name).map_err(|error| StateError::from_sled(&name, error))?;
        Store::open(tree, name, identity)
    }

    /// Deletes a store that is damaged. Its changelog brings it back.
    pub fn drop_store(&self, identity: &Identity) -> Result<(), StateError> {
        let name = identity.tree_name();
        self.database.drop_tree(&name).map_err(|error| StateError::from_sled(&name, error))?;
        Ok(())
    }

    /// Pushes all that was written to the operating system: it survives the death of this process.
    ///
    /// One call serves every store of the process, since sled has one log.
    pub fn flush(&self) -> Result<(), StateError> {
        self.database.flush().map_err(|error| StateError::from_sled("all stores", error))?;
        Ok(())
    }
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(io)
        if io.kind() == ErrorKind::WouldBlock || io.to_string().contains("could not acquire lock"))
}

/// Makes the directory private, or refuses one that is not.
fn prepare(path: &Path) -> Result<(), StateError> {
    let unusable = |reason: String| StateError::Unusable { path: path.to_owned(), reason };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(|error| unusable(format!("it cannot be made: {error}")));
        }
        Err(error) => return Err(unusable(error.to_string())),
        Ok(found) if found.is_symlink() => {
            return Err(unusable("it is a symbolic link: name the directory itself".into()));
        }
        Ok(found) if !found.is_dir() => return Err(unusable("it is not a directory".into())),
        Ok(_) => {}
    }
    let found = fs::metadata(path).map_err(|error| unusable(error.to_string()))?;
    let me = fs::metadata("/proc/self").map(|me| me.uid());
    if me.is_ok_and(|me| me != found.uid() && me != 0) {
        return Err(unusable(format!("it belongs to another user (uid {})", found.uid())));
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o002 != 0 {
        return Err(unusable(format!(
            "everyone can write to it (mode {mode:o}): chmod 700 {}",
            path.display()
        )));
    }
    if mode != 0o700 {
        // A fresh checkout or `mkdir` leaves it readable by others; what is in it is nobody else's business.
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(|error| unusable(format!("it cannot be made private: {error}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_open_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let first = StateDirectory::open(&path).unwrap();
        let error = StateDirectory::open(&path).err().expect("the second must be refused");
        assert!(matches!(error, StateError::Busy(_)), "{error}");
        assert!(error.to_string().contains("--state-dir"), "{error}");
        drop(first);
        StateDirectory::open(&path).unwrap();
    }

    #[test]
    fn a_directory_that_everyone_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        let error = StateDirectory::open(&path).err().expect("must be refused");
        assert!(error.to_string().contains("chmod 700"), "{error}");
    }

    #[test]
    fn the_directory_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/state");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        drop(StateDirectory::open(&path).unwrap());
        assert_eq!(mode(), 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let _open = StateDirectory::open(&path).unwrap();
        assert_eq!(mode(), 0o700, "one that is ours is made private");
    }
}
