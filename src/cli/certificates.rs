//! Certificates and keys that change on disk while the daemon runs. Kafka's client reads these files only when it is
//! made, so the daemon stops in good order and begins again, in the same process: it executes its program once more. A
//! service manager notices nothing.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::Failed;
use super::config::check_client;
use crate::config::Config;

/// Settings of the client whose value is the path of such a file.
const SETTINGS: [&str; 5] = [
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.ca.location",
    "ssl.crl.location",
];
/// How often the files are looked at. They must be the same twice: a certificate and its key are two files.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The content of each file, as a digest; `None` if it cannot be read.
type Content = Vec<Option<[u8; 32]>>;

/// The files of one configuration.
pub(super) struct Certificates {
    files: Vec<PathBuf>,
    at_start: Content,
}

impl Certificates {
    /// As they are now.
    pub(super) fn of(config: &Config) -> Self {
        let paths = SETTINGS.iter().filter_map(|key| config.kafka.client.get(*key));
        let files: Vec<PathBuf> = paths.map(PathBuf::from).filter(|path| path.is_file()).collect();
        let at_start = content(&files);
        Self { files, at_start }
    }

    /// Returns when the files have changed and the client accepts them as they are; without files, never.
    pub(super) async fn changed(&self, config: &Config) {
        let (mut last, mut refused) = (self.at_start.clone(), None);
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let now = content(&self.files);
            if now == self.at_start || now != last || refused.as_ref() == Some(&now) {
                last = now;
                continue;
            }
            match check_client(config) {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, "certificates for Kafka have changed on disk, but cannot be used; continuing with the ones from before");
                    refused = Some(now);
                }
            }
        }
    }
}

fn content(files: &[PathBuf]) -> Content {
    files.iter().map(|file| Some(Sha256::digest(std::fs::read(file).ok()?).into())).collect()
}

/// Executes this program once more, with the same arguments, in this process. Returns only if that fails.
pub(super) fn begin_again() -> Failed {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "frostline".into());
    // The same program, also if its file was replaced meanwhile.
    let link = Path::new("/proc/self/exe");
    let program = if link.exists() { Ok(link.to_owned()) } else { std::env::current_exe() };
    match program {
        Ok(program) => Failed::Working(Command::new(program).arg0(name).args(arguments).exec().into()),
        Err(error) => Failed::Working(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_files_that_can_be_used_count_as_changed() {
        const ONE: &str = include_str!("../notify/smtp/test-keys/ca.pem");
        const OTHER: &str = include_str!("../notify/smtp/test-keys/authority.pem");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, ONE).unwrap();
        let mut config = Config::default();
        config.kafka.client.insert("security.protocol".to_owned(), "ssl".to_owned());
        config.kafka.client.insert("ssl.ca.location".to_owned(), file.display().to_string());
        let certificates = Certificates::of(&config);
        assert_eq!(certificates.files, std::slice::from_ref(&file));
        let changed = || tokio::time::timeout(Duration::from_secs(60), certificates.changed(&config));
        assert!(changed().await.is_err(), "nothing has changed");
        std::fs::write(&file, "no certificate").unwrap();
        assert!(changed().await.is_err(), "it cannot be used");
        std::fs::write(&file, OTHER).unwrap();
        assert!(changed().await.is_ok());
    }
}
