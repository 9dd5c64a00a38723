//! Client settings that are secret, or that frostline sets itself.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;

use zeroize::Zeroizing;

/// Largest file that holds a secret, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A secret in plain text. Its memory is overwritten when it is dropped.
pub type SecretText = Zeroizing<String>;

/// Client settings that frostline sets itself, and why.
pub const OWNED_CLIENT_KEYS: &[(&str, &str)] = &[
    ("bootstrap.servers", "use kafka.brokers"),
    ("metadata.broker.list", "use kafka.brokers"),
    ("group.id", "each stage has its own group, made of kafka.namespace and its name"),
    ("enable.auto.commit", "the engine commits offsets after their outputs"),
    ("enable.auto.offset.store", "the engine commits offsets after their outputs"),
    ("enable.partition.eof", "a restore finds its end by it"),
    ("isolation.level", "input is always read_committed"),
    ("auto.offset.reset", "use runtime.auto_offset_reset"),
    ("session.timeout.ms", "use runtime.session_timeout_ms"),
    ("heartbeat.interval.ms", "a tenth of runtime.session_timeout_ms"),
    ("group.instance.id", "use runtime.group_instance_id"),
    ("transactional.id", "each worker has its own"),
    ("transaction.timeout.ms", "use runtime.transaction_timeout_ms"),
    ("message.timeout.ms", "no record may be in flight for longer than a transaction"),
    ("delivery.timeout.ms", "no record may be in flight for longer than a transaction"),
    ("enable.idempotence", "always on"),
    ("acks", "always all"),
    ("request.required.acks", "always all"),
    (
        "partition.assignment.strategy",
        "always cooperative-sticky; with group.protocol = consumer, use group.remote.assignor",
    ),
    ("partitioner", "keys are placed as Java clients place them (murmur2_random)"),
];

/// Settings whose values librdkafka itself marks as sensitive, and those that carry keys in plain text.
const SENSITIVE_KEYS: &[&str] = &[
    "sasl.username",
    "sasl.password",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.assertion.private.key.file",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.key.location",
    "ssl.ca.pem",
    "ssl.keystore.password",
    "ssl.truststore.password",
];

/// Whether the value of this client setting must never be printed.
pub fn is_sensitive(key: &str) -> bool {
    SENSITIVE_KEYS.contains(&key) || key.contains("password") || key.contains("secret")
}

/// Whether the whole value is a reference to a secret: a reference may be printed, a secret may not.
pub fn is_reference(value: &str) -> bool {
    value.starts_with("${") && value.ends_with('}')
}

/// Replaces `${env:NAME}` and `${file:PATH}` by the secret they name; returns any other value unchanged.
///
/// # Errors
/// A sentence without the secret: the variable is not set, or the file cannot be read or is readable by everyone.
pub fn resolve_secret(value: &str) -> Result<SecretText, String> {
    let Some(reference) = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
        return Ok(value.to_owned().into());
    };
    match reference.split_once(':') {
        Some(("env", name)) => {
            let unset = |_| format!("the environment variable {name} is not set");
            std::env::var(name).map(SecretText::from).map_err(unset)
        }
        Some(("file", path)) => {
            let failed = |error: std::io::Error| format!("{path}: {error}");
            let found = fs::metadata(path).map_err(failed)?;
            if found.permissions().mode() & 0o004 != 0 {
                return Err(format!("{path}: everyone can read it: chmod 600 {path}"));
            }
            // Room for all of it and some more: a text that grows while it is read leaves copies behind, and into a text
            // with less room than 32 bytes `read_to_string` copies from a buffer of its own.
            let room = usize::try_from(found.len().min(FILE_BYTES_MAX)).unwrap_or_default() + 64;
            let mut text = SecretText::from(String::with_capacity(room));
            let read =
                File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
            if read.map_err(failed)? as u64 > FILE_BYTES_MAX {
                return Err(format!("{path}: the file has more than {FILE_BYTES_MAX} bytes"));
            }
            if text.ends_with('\n') {
                text.pop();
            }
            Ok(text)
        }
        _ => Err(format!("{value:?}: expected ${{env:NAME}} or ${{file:PATH}}")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn secrets_come_from_files_that_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        fs::write(&path, "hunter2\n").unwrap();
        let reference = format!("${{file:{}}}", path.display());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(resolve_secret(&reference).unwrap_err().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(*resolve_secret(&reference).unwrap(), "hunter2");
        assert_eq!(*resolve_secret("plain").unwrap(), "plain");
        assert!(resolve_secret("${env:FROSTLINE_NO_SUCH_VARIABLE}").unwrap_err().contains("not set"));
        assert!(resolve_secret("${vault:x}").unwrap_err().contains("expected"));
    }

    #[test]
    fn a_secret_is_wiped_when_it_is_dropped() {
        const LENGTH: usize = 4096;
        let (dir, written) = (tempfile::tempdir().unwrap(), "frost".repeat(LENGTH / 5 + 1));
        let path = dir.path().join("key");
        fs::write(&path, &written[..LENGTH]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let secret = resolve_secret(&format!("${{file:{}}}", path.display())).unwrap();
        let address = secret.as_ptr() as u64;
        // The process looks at its own memory; the allocator keeps the page for a while, and writes only to its start.
        let memory = File::open("/proc/self/mem").unwrap();
        let mut seen = [0; LENGTH];
        memory.read_exact_at(&mut seen, address).unwrap();
        assert_eq!(seen, written.as_bytes()[..LENGTH]);
        drop(secret);
        // The page may have been given back.
        if memory.read_exact_at(&mut seen, address).is_ok() {
            assert!(!seen.windows(10).any(|window| window == b"frostfrost"));
        }
    }

    #[test]
    fn keys_and_passwords_are_sensitive() {
        assert!(is_sensitive("sasl.password") && is_sensitive("ssl.key.pem"));
        assert!(!is_sensitive("socket.keepalive.enable"));
    }
}
