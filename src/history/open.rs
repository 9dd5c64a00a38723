//! Opens files, compressed or not, and standard input.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Context;

use super::gunzip::Gunzip;

const BUFFER_BYTES: usize = 1 << 18;

/// A compression: its name, the first bytes of files, and their extensions.
const PACKINGS: [(Packing, &[u8], &[&str]); 4] = [
    (Packing::Gzip, &[0x1f, 0x8b], &["gz"]),
    (Packing::Bzip2, b"BZh", &["bz2"]),
    (Packing::Zstd, &[0x28, 0xb5, 0x2f, 0xfd], &["zst", "zstd"]),
    (Packing::Xz, &[0xfd, b'7', b'z', b'X', b'Z', 0], &["xz"]),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Gzip,
    Bzip2,
    Zstd,
    Xz,
}

/// Whether the path stands for standard input.
pub fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Opens a file for reading, decompressed. `position` counts the bytes of the file that have been read, for progress.
///
/// # Errors
/// It cannot be opened. A file whose name and first bytes suggest different compressions is read by its bytes, with a
/// warning in the log.
pub fn open(path: &Path, position: Arc<AtomicU64>) -> anyhow::Result<Box<dyn BufRead + Send>> {
    open_until(path, position, &Arc::default())
}

/// As [`open`]; standard input and named pipes end when `stop` is set, even while nothing comes.
pub(super) fn open_until(
    path: &Path,
    position: Arc<AtomicU64>,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<Box<dyn BufRead + Send>> {
    let source: Box<dyn Read + Send> = if is_stdin(path) {
        Box::new(Pipe { named: None, stop: Arc::clone(stop) })
    } else if is_named_pipe(path) {
        // Otherwise it could not be stopped before there is a writer.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
        let file = file.with_context(|| format!("{} cannot be opened", path.display()))?;
        Box::new(Pipe { named: Some(file), stop: Arc::clone(stop) })
    } else {
        let file = File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
        let is_folder = file.metadata().is_ok_and(|found| found.is_dir());
        anyhow::ensure!(!is_folder, "{} is a directory: name the files in it", path.display());
        Box::new(file)
    };
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, Counted { source, position });
    let first = reader.fill_buf().with_context(|| format!("{} cannot be read", path.display()))?;
    let found = PACKINGS.iter().find(|(_, magic, _)| first.starts_with(magic)).map(|(packing, ..)| *packing);
    warn_of_name(path, found, first.is_empty());
    let unpacked: Box<dyn Read + Send> = match found {
        None => return Ok(Box::new(reader)),
        Some(Packing::Gzip) => Box::new(Gunzip::new(reader)),
        Some(Packing::Bzip2) => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
        Some(Packing::Zstd) => Box::new(zstd::stream::read::Decoder::with_buffer(reader)?),
        Some(Packing::Xz) => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(reader)),
    };
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, unpacked)))
}

fn warn_of_name(path: &Path, found: Option<Packing>, is_empty: bool) {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let named = PACKINGS.iter().find(|(.., endings)| endings.contains(&ending)).map(|(packing, ..)| *packing);
    if named.is_some() && named != found && !is_empty {
        let is = found.map_or("not packed".to_owned(), |found| format!("{found:?}"));
        tracing::warn!(file = %path.display(), is, "the file's name suggests another compression; reading it by its content");
    }
}

fn is_named_pipe(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

/// Standard input or a named pipe, without its own buffer.
struct Pipe {
    /// `None` for standard input. It does not block.
    named: Option<File>,
    stop: Arc<AtomicBool>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let pipe = match &self.named {
            Some(file) => file.as_fd(),
            None => rustix::stdio::stdin(),
        };
        let wait = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(0);
            }
            let mut polled = [rustix::event::PollFd::new(&pipe, rustix::event::PollFlags::IN)];
            match rustix::event::poll(&mut polled, Some(&wait)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => match rustix::io::read(pipe, &mut *buffer) {
                    // Another reader was faster.
                    Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                    read => return Ok(read?),
                },
                Err(error) => return Err(error.into()),
            }
        }
    }
}

struct Counted {
    source: Box<dyn Read + Send>,
    position: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.position.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_named_pipe_is_read_to_its_end_and_can_be_stopped_before_anybody_writes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        let read = |stop: &Arc<AtomicBool>| {
            let mut text = String::new();
            open_until(&path, Arc::default(), stop).unwrap().read_to_string(&mut text).map(|_| text).unwrap()
        };
        assert_eq!(read(&Arc::new(AtomicBool::new(true))), "", "stopped");
        let writer = {
            let path = path.clone();
            std::thread::spawn(move || std::fs::write(path, "a line\n").unwrap())
        };
        assert_eq!(read(&Arc::default()), "a line\n");
        writer.join().unwrap();
    }

    #[test]
    fn all_packings_give_the_same_text() {
        let dir = tempfile::tempdir().unwrap();
        let text = "USW00003192,20160215,AWND,14,,,W,\n".repeat(1_000);
        let gzip = {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(text.as_bytes()).unwrap();
            packer.finish().unwrap()
        };
        let bzip2 = {
            let mut packer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            packer.write_all(text.as_bytes()).unwrap();
            packer.finish().unwrap()
        };
        let zstd = zstd::stream::encode_all(text.as_bytes(), 1).unwrap();
        let xz = {
            let mut packer = liblzma::write::XzEncoder::new(Vec::new(), 1);
            packer.write_all(text.as_bytes()).unwrap();
            packer.finish().unwrap()
        };
        for packed in [text.clone().into_bytes(), gzip, bzip2, zstd, xz] {
            // In two pieces one after the other, as people join packed files; and under a wrong name.
            let whole = [packed.clone(), packed.clone()].concat();
            let path = dir.path().join("a.gz");
            std::fs::write(&path, &whole).unwrap();
            let position = Arc::<AtomicU64>::default();
            let mut found = String::new();
            open(&path, Arc::clone(&position)).unwrap().read_to_string(&mut found).unwrap();
            assert_eq!(found.len(), 2 * text.len());
            assert_eq!(position.load(Ordering::Relaxed), whole.len() as u64);
            if packed.len() < text.len() {
                std::fs::write(&path, &packed[..packed.len() / 2]).unwrap();
                let mut lines = open(&path, Arc::default()).unwrap();
                assert!(lines.read_to_string(&mut String::new()).is_err(), "cut off is an error");
            }
        }
    }
}
