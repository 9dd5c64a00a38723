//! The state directory: created with mode 0700, checked, and locked for one process by sled's own lock.

use std::fs;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::StateError;
use super::checkpoint::Identity;
use super::database::{Database, Disk};
use super::layout::{DAMAGE_MARK, DAMAGED, INSTANCE, INSTANCE_NEW, STORE};
use super::overlay::Store;
use super::private::prepare;
use super::tree::Tree;
use crate::random;

/// sled's page cache. Not a memory cap: expect a few times this much (see "memory" in frostline's docs/benchmarks.md).
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// Smaller than sled's default of 512 KiB: its write buffers are as large (measured: 20 MB less).
const SEGMENT_BYTES: usize = 128 * 1024;

/// sled keeps its lock for some milliseconds after the last handle is dropped; a restart must not fail on that.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// The open state directory of this process. Clones share one database.
#[derive(Clone)]
pub struct StateDirectory {
    path: Arc<Path>,
    database: Arc<Database>,
    #[cfg(test)]
    simulated: Option<crate::store::simulated::Disk>,
}

impl StateDirectory {
    /// Opens the directory at `path`, creating it if it is missing. A database that cannot be opened is moved aside
    /// and replaced by an empty one: the changelogs fill it again.
    ///
    /// # Errors
    /// [`StateError::Busy`] if another process holds it; [`StateError::Unusable`] if it is a symbolic link, belongs
    /// to another user, can be written by others, or holds other files or links; [`StateError::Io`] if the disk
    /// fails.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        prepare(path)?;
        let is_marked = path.join(DAMAGE_MARK).exists();
        let opened = if is_marked {
            let reason = "an earlier run found damage".to_owned();
            Err(StateError::Corrupted { store: path.display().to_string(), reason })
        } else {
            open_database(path)
        };
        let database = match opened {
            Err(damage @ StateError::Corrupted { .. }) => {
                let aside = move_aside(path)?;
                tracing::warn!(error = %damage, moved_to = %aside.display(), "rebuilding state from its changelogs");
                open_database(path)?
            }
            other => other?,
        };
        Ok(Self {
            path: path.into(),
            database: Arc::new(Database::new(Disk::Sled(database))),
            #[cfg(test)]
            simulated: None,
        })
    }

    /// A directory on a simulated disk.
    #[cfg(test)]
    pub(crate) fn simulated(disk: crate::store::simulated::Disk) -> Self {
        let database = Arc::new(Database::new(Disk::Simulated(disk.clone())));
        Self { path: Path::new("simulated").into(), database, simulated: Some(disk) }
    }

    /// Opens the store of one task or table. A store that belongs to another topic (even an earlier one of the same
    /// name), another cluster or another version is emptied first. Entries expire `remember_days` after they were
    /// written.
    ///
    /// # Errors
    /// [`StateError::Corrupted`] if it cannot be read.
    pub fn store(&self, identity: &Identity, remember_days: u32) -> Result<Store, StateError> {
        let name = identity.tree_name();
        let open = || Tree::open(Arc::clone(&self.database), identity);
        if let Some(tree) = open()? {
            return Ok(Store::of_tree(tree, remember_days));
        }
        tracing::warn!(
            store = name,
            "dropping state of an earlier topic of this name, of another cluster or of another version; it will be restored"
        );
        self.drop_store(&name)?;
        let tree = open()?.ok_or_else(|| StateError::Corrupted {
            store: name.clone(),
            reason: "it cannot be emptied".into(),
        })?;
        Ok(Store::of_tree(tree, remember_days))
    }

    /// Deletes the store of this name. A restore fills it again from its changelog.
    pub fn drop_store(&self, name: &str) -> Result<(), StateError> {
        let dropped = self.database.drop_tree(name);
        if dropped.is_err() {
            // If it cannot be deleted, the next start moves it aside.
            let _ = fs::write(self.path.join(DAMAGE_MARK), b"");
        }
        dropped
    }

    /// A name for this directory, the same in every run. No other directory has it, unless this one was copied.
    ///
    /// # Errors
    /// [`StateError::Unusable`] if it can neither be read nor written.
    pub fn instance(&self) -> Result<String, StateError> {
        #[cfg(test)]
        if let Some(disk) = &self.simulated {
            return Ok(disk.instance());
        }
        match fs::read_to_string(self.path.join(INSTANCE)) {
            Ok(found) if is_instance(&found) => Ok(found),
            _ => self.rename_instance(),
        }
    }

    /// Takes another name, because a directory elsewhere has the same one.
    ///
    /// # Errors
    /// [`StateError::Unusable`] if it cannot be written.
    pub fn rename_instance(&self) -> Result<String, StateError> {
        #[cfg(test)]
        if let Some(disk) = &self.simulated {
            return Ok(disk.rename());
        }
        let (file, fresh) = (self.path.join(INSTANCE), self.path.join(INSTANCE_NEW));
        let name = format!("{:032x}", random::bits_128());
        fs::write(&fresh, &name).and_then(|()| fs::rename(&fresh, &file)).map_err(|error| {
            StateError::Unusable { path: file, reason: format!("it cannot be written: {error}") }
        })?;
        Ok(name)
    }

    /// Whether the directory still exists: one that was removed under a running process continues to work until the
    /// process ends.
    pub fn is_there(&self) -> bool {
        self.path.join(STORE).is_dir()
    }

    /// Its size on disk, in bytes; 0 if it is unknown.
    pub fn bytes(&self) -> u64 {
        self.database.bytes()
    }

    /// Writes all buffered data to the operating system, so that it survives the death of this process.
    ///
    /// One call serves every store of the process, since sled has one log.
    pub fn flush(&self) -> Result<(), StateError> {
        self.database.flush()
    }
}

/// Names of eight digits come from earlier versions; they stay valid, and with them the transactional ids.
fn is_instance(name: &str) -> bool {
    matches!(name.len(), 8 | 32) && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn open_database(path: &Path) -> Result<sled::Db, StateError> {
    let config = sled::Config::new()
        .path(path.join(STORE))
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(500))
        .segment_size(SEGMENT_BYTES)
        .mode(sled::Mode::LowSpace);
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        // A damaged file can make sled panic while it opens.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        return match opened {
            Ok(Ok(database)) => Ok(database),
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

/// Moves a damaged database aside, in case somebody wants to inspect it. One is kept.
fn move_aside(path: &Path) -> Result<PathBuf, StateError> {
    let aside = path.join(DAMAGED);
    let failed = |error: std::io::Error| StateError::Unusable {
        path: path.to_owned(),
        reason: format!("its damaged store cannot be moved aside: {error}"),
    };
    let ignore_missing = |result: std::io::Result<()>| match result {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    };
    ignore_missing(fs::remove_dir_all(&aside))?;
    ignore_missing(fs::rename(path.join(STORE), &aside))?;
    ignore_missing(fs::remove_file(path.join(DAMAGE_MARK)))?;
    Ok(aside)
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(io)
        if io.kind() == ErrorKind::WouldBlock || io.to_string().contains("could not acquire lock"))
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
    fn a_name_is_long_stays_and_can_be_changed() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(&dir.path().join("state")).unwrap();
        let name = state.instance().unwrap();
        assert!(name.len() == 32 && name == state.instance().unwrap(), "{name}");
        let renamed = state.rename_instance().unwrap();
        assert!(renamed != name && renamed == state.instance().unwrap(), "{renamed}");
        fs::write(dir.path().join("state").join(INSTANCE), "f0ecb778").unwrap();
        assert_eq!(state.instance().unwrap(), "f0ecb778", "a name that an earlier version gave stays");
    }

    #[test]
    fn a_database_that_does_not_open_is_moved_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let instance = {
            let state = StateDirectory::open(&path).unwrap();
            let identity = Identity {
                stage: "s".into(),
                topic: "t".into(),
                partition: 0,
                cluster: String::new(),
                topic_ids: String::new(),
            };
            let mut store = state.store(&identity, 30).unwrap();
            store.put(b"key", 0, b"value");
            store.seal();
            store.commit(crate::store::Checkpoint::NONE).unwrap();
            state.instance().unwrap()
        };
        fs::write(path.join(STORE).join("conf"), "nothing that sled could have written").unwrap();
        let state = StateDirectory::open(&path).unwrap();
        assert!(path.join(DAMAGED).exists(), "the damaged one is kept for those who want to look at it");
        assert_eq!(state.instance().unwrap(), instance, "who we are is not lost with it");
    }
}
