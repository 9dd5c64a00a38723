//! Checks that a state directory is private to this user before anything in it is opened: writing through a link that
//! somebody else left there would overwrite its target.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::StateError;
use super::layout::{DAMAGE_MARK, DAMAGED, INSTANCE, INSTANCE_NEW, STORE};

/// Names allowed in a state directory that others can read: frostline's own files, those of a checkout, and those of
/// a fresh file system.
const EXPECTED: [&str; 8] =
    [STORE, DAMAGED, DAMAGE_MARK, INSTANCE, INSTANCE_NEW, "README.md", ".gitignore", "lost+found"];

/// Makes the directory private, or refuses one that this process must not change.
///
/// # Errors
/// [`StateError::Unusable`] with the reason.
pub(super) fn prepare(path: &Path) -> Result<(), StateError> {
    let unusable = |reason: String| StateError::Unusable { path: path.to_owned(), reason };
    if path.as_os_str().is_empty() {
        return Err(unusable("its path is empty: name a directory".into()));
    }
    // A path with a slash at its end refers to the target of a link.
    let path: &Path = &path.components().collect::<PathBuf>();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(|error| unusable(format!("it cannot be created: {error}")));
        }
        Err(error) => return Err(unusable(error.to_string())),
        Ok(found) if found.is_symlink() => {
            return Err(unusable("it is a symbolic link: name the directory itself".into()));
        }
        Ok(found) if !found.is_dir() => return Err(unusable("it is not a directory".into())),
        Ok(_) => {}
    }
    // Not the owner of /proc/self: that is root for a process that writes no core dumps.
    let me = rustix::process::geteuid().as_raw();
    make_private(path, me).and_then(|()| check_parts(path, me)).map_err(unusable)
}

/// Refuses a directory of another user, even for root, and one that everyone can write to; makes any other private.
fn make_private(path: &Path, me: u32) -> Result<(), String> {
    let found = fs::metadata(path).map_err(|error| error.to_string())?;
    if me != found.uid() {
        return Err(format!(
            "it belongs to another user (uid {}, and this process runs as {me}), who could make frostline write to \
             other files: run it as that user, or name another directory with --state-dir",
            found.uid()
        ));
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o002 != 0 {
        return Err(format!("everyone can write to it (mode {mode:o}): chmod 700 {}", path.display()));
    }
    if mode != 0o700 {
        if let Some(name) = foreign_entry(path).map_err(|error| error.to_string())? {
            return Err(format!(
                "others can read it (mode {mode:o}), and it would be made private, but it holds files that are not \
                 frostline's (such as {name}): name a directory for frostline alone, with --state-dir"
            ));
        }
        // A fresh checkout or `mkdir` leaves it readable by others; its content is private.
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(|error| format!("it cannot be made private: {error}"))?;
    }
    Ok(())
}

/// Refuses links, pipes and files of other users in place of the files that frostline and sled write. Others cannot
/// put them there any more, but could before the directory was private.
fn check_parts(path: &Path, me: u32) -> Result<(), String> {
    for (name, is_directory) in
        [(STORE, true), (INSTANCE, false), (INSTANCE_NEW, false), (DAMAGE_MARK, false)]
    {
        // Writing through a link would overwrite its target; reading from a pipe would block.
        let Ok(found) = fs::symlink_metadata(path.join(name)) else { continue };
        if if is_directory { !found.is_dir() } else { !found.is_file() } {
            let expected = if is_directory { "a directory" } else { "a file" };
            return Err(format!("{name} in it is not {expected}: move it away"));
        }
        check_entry(name, &found, me)?;
    }
    check_files(&path.join(STORE), STORE, me)
}

/// Checks the content of a directory of sled's, recursively.
fn check_files(directory: &Path, name: &str, me: u32) -> Result<(), String> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|error| format!("{name} in it cannot be read: {error}"))?,
    };
    for entry in entries {
        let entry = entry.map_err(|error| format!("{name} in it cannot be read: {error}"))?;
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        let found = entry.metadata().map_err(|error| format!("{name} in it cannot be read: {error}"))?;
        if !found.is_dir() && !found.is_file() {
            return Err(format!("{name} in it is a link or not a file: move it away"));
        }
        check_entry(&name, &found, me)?;
        if found.is_dir() {
            check_files(&entry.path(), &name, me)?;
        }
    }
    Ok(())
}

/// Refuses files of other users, and files with a second name elsewhere.
fn check_entry(name: &str, found: &fs::Metadata, me: u32) -> Result<(), String> {
    if me != found.uid() {
        return Err(format!("{name} in it belongs to another user (uid {}): move it away", found.uid()));
    }
    if found.is_file() && found.nlink() > 1 {
        return Err(format!(
            "{name} in it is also a file elsewhere (a hard link): copy it instead, or move it away"
        ));
    }
    Ok(())
}

/// The name of something in the directory that does not belong to frostline.
fn foreign_entry(path: &Path) -> std::io::Result<Option<String>> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if !EXPECTED.iter().any(|expected| name.as_os_str() == *expected) {
            return Ok(Some(format!("{:?}", name.to_string_lossy())));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StateDirectory;

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
    fn an_empty_path_is_refused() {
        let error = StateDirectory::open(Path::new("")).err().expect("must be refused");
        assert!(error.to_string().contains("name a directory"), "{error}");
    }

    #[test]
    fn links_and_pipes_in_the_place_of_its_parts_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (dir.path().join("state"), dir.path().join("elsewhere"));
        fs::create_dir(&elsewhere).unwrap();
        let refused = |path: &Path| StateDirectory::open(path).err().expect("must be refused").to_string();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        for path in [&path, &path.join(""), &path.join(".")] {
            assert!(refused(path).contains("symbolic link"), "{}", path.display());
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        std::os::unix::fs::symlink(&elsewhere, path.join(STORE)).unwrap();
        assert!(refused(&path).contains("store in it is not a directory"), "{}", refused(&path));
        fs::remove_file(path.join(STORE)).unwrap();
        fs::create_dir(path.join(INSTANCE)).unwrap();
        assert!(refused(&path).contains("instance in it is not a file"), "{}", refused(&path));
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
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

    #[test]
    fn a_directory_of_others_is_not_made_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(path.join("README.md"), "of a checkout").unwrap();
        fs::write(path.join("data.txt"), "somebody else's").unwrap();
        let error = StateDirectory::open(&path).err().expect("must be refused");
        assert!(
            error.to_string().contains("data.txt") && error.to_string().contains("--state-dir"),
            "{error}"
        );
        assert_eq!(mode(), 0o755);
        fs::remove_file(path.join("data.txt")).unwrap();
        drop(StateDirectory::open(&path).unwrap());
        assert_eq!(mode(), 0o700);
    }

    #[test]
    fn a_directory_of_another_user_is_refused_for_root_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        fs::create_dir(&path).unwrap();
        let me = fs::metadata(&path).unwrap().uid();
        assert_eq!(make_private(&path, me), Ok(()));
        for other in [0, me + 1].into_iter().filter(|other| *other != me) {
            let error = make_private(&path, other).unwrap_err();
            assert!(error.contains("another user") && error.contains("--state-dir"), "{error}");
        }
    }

    #[test]
    fn links_within_the_store_are_refused_and_their_targets_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (path, target) = (dir.path().join("state"), dir.path().join("precious"));
        fs::write(&target, "precious").unwrap();
        let refused = |part: &str, is_hard: bool| {
            let link = path.join(part);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            match is_hard {
                true => fs::hard_link(&target, &link).unwrap(),
                false => std::os::unix::fs::symlink(&target, &link).unwrap(),
            }
            let error = StateDirectory::open(&path).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(part) && error.contains("move it away"), "{part}: {error}");
            fs::remove_file(&link).unwrap();
        };
        for part in ["store/db", "store/conf", "store/blobs/7", "instance.new", "damaged"] {
            refused(part, false);
            refused(part, true);
        }
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        StateDirectory::open(&path).unwrap();
    }
}
