//! Writes a file that appears under its name only when it is complete.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempPath;

use super::Failed;

/// A file that is being written: plain, gzipped if its name ends in `.gz`, or stdout for `-`.
///
/// A regular file is written to a temporary file next to it and moved by [`finish`](Self::finish); if that is never
/// called, no file is left. Devices and pipes are written directly.
pub(super) struct FileOutput {
    path: PathBuf,
    writer: Writer,
    /// The temporary file and the final path.
    unfinished: Option<(TempPath, PathBuf)>,
}

enum Writer {
    Plain(File),
    Gzip(GzEncoder<File>),
    Stdout(io::Stdout),
}

/// Whether the path stands for stdout.
pub(super) fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

impl FileOutput {
    /// Opens the file. An existing file of this name stays as it is until [`finish`](Self::finish).
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        if is_stdout(path) {
            let writer = Writer::Stdout(io::stdout());
            return Ok(Self { path: path.to_owned(), writer, unfinished: None });
        }
        let (file, unfinished) = open(path).with_context(|| {
            format!(
                "{} cannot be written: name a file in a folder that exists and is writable",
                path.display()
            )
        })?;
        let is_gzip = path.extension().is_some_and(|extension| extension == "gz");
        // The fast level: at the best one, compression would take many times as long as generating the data.
        let writer = if is_gzip {
            Writer::Gzip(GzEncoder::new(file, Compression::fast()))
        } else {
            Writer::Plain(file)
        };
        Ok(Self { path: path.to_owned(), writer, unfinished })
    }

    /// Writes bytes; the caller buffers.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        let written = match &mut self.writer {
            Writer::Plain(file) => file.write_all(bytes),
            Writer::Gzip(file) => file.write_all(bytes),
            // A reader of the output may close it at any time; that is not a failure.
            Writer::Stdout(stdout) => return Ok(stdout.write_all(bytes)?),
        };
        Ok(written.with_context(|| format!("{} cannot be written", self.path.display()))?)
    }

    /// Moves the complete file to its place.
    pub(super) fn finish(self) -> Result<(), Failed> {
        match self.writer {
            Writer::Plain(_) => {}
            Writer::Gzip(file) => {
                file.finish().with_context(|| format!("{} cannot be written", self.path.display()))?;
            }
            Writer::Stdout(mut stdout) => stdout.flush()?,
        }
        if let Some((temporary, place)) = self.unfinished {
            temporary.persist(&place).with_context(|| format!("{} cannot be written", place.display()))?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<(File, Option<(TempPath, PathBuf)>)> {
    let is_special = std::fs::metadata(path).is_ok_and(|found| !found.is_file());
    if is_special {
        return Ok((OpenOptions::new().write(true).open(path)?, None));
    }
    // For a link, the file that it points to is replaced, not the link.
    let place = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // An existing file keeps its mode; for a new file the umask applies.
    let mode =
        std::fs::metadata(&place).map_or_else(|_| Permissions::from_mode(0o666), |found| found.permissions());
    let temporary = tempfile::Builder::new()
        .prefix(".frostline-")
        .suffix(".part")
        .permissions(mode)
        .tempfile_in(folder)?;
    let (file, temporary) = temporary.into_parts();
    Ok((file, Some((temporary, place))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn write(path: &Path, text: &str) -> FileOutput {
        let mut output = FileOutput::create(path).unwrap();
        assert!(output.write(text.as_bytes()).is_ok());
        output
    }

    #[test]
    fn a_file_generated_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        drop(write(&path, "half"));
        assert!(names(folder.path()).is_empty());
        assert!(write(&path, "first").finish().is_ok());
        drop(write(&path, "half"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first");
        assert!(write(&path, "second").finish().is_ok());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "second");
        assert_eq!(names(folder.path()), ["a.csv"]);
    }

    #[test]
    fn a_name_in_gz_is_generated_packed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv.gz");
        assert!(write(&path, "text").finish().is_ok());
        let mut text = String::new();
        flate2::read::GzDecoder::new(File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
    }

    #[test]
    fn generating_into_no_folder_says_so() {
        let error = FileOutput::create(Path::new("/nowhere/at/all.csv")).err().unwrap();
        assert!(
            format!("{error:#}").contains("/nowhere/at/all.csv cannot be written: name a file"),
            "{error:#}"
        );
        assert!(write(Path::new("/dev/null"), "text").finish().is_ok());
    }
}
