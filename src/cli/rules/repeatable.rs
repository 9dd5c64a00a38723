//! Files that can be read repeatedly. What comes through a pipe comes once, so it is copied first.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::super::Failed;
use crate::history;

/// The files; see the module's description.
pub(in super::super) struct Repeatable {
    /// Where to read them, as long as this lives.
    pub(in super::super) paths: Vec<PathBuf>,
    /// Without a name, so that they vanish with the process, however it ends.
    _copies: Vec<File>,
}

impl Repeatable {
    /// All files must exist; standard input and named pipes are read to their end.
    pub(in super::super) fn of(files: &[PathBuf]) -> Result<Self, Failed> {
        let (mut paths, mut copies) = (Vec::new(), Vec::new());
        for file in files {
            let comes_once = match history::is_stdin(file) {
                true => true,
                false => fs::metadata(file).map_err(|error| unreadable(file, &error))?.file_type().is_fifo(),
            };
            if !comes_once {
                paths.push(file.clone());
                continue;
            }
            let copy = copy(file).map_err(|error| unreadable(file, &error))?;
            paths.push(format!("/proc/self/fd/{}", copy.as_raw_fd()).into());
            copies.push(copy);
        }
        Ok(Self { paths, _copies: copies })
    }
}

fn copy(file: &Path) -> io::Result<File> {
    let mut copy = tempfile::tempfile()?;
    if history::is_stdin(file) {
        io::copy(&mut io::stdin().lock(), &mut copy)?;
    } else {
        io::copy(&mut File::open(file)?, &mut copy)?;
    }
    Ok(copy)
}

fn unreadable(file: &Path, error: &io::Error) -> Failed {
    Failed::Usage(anyhow::anyhow!("{} cannot be read: {error}", file.display()))
}
