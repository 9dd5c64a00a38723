//! What the sections of channels share: checks of addresses, and errors with the key.

use std::net::IpAddr;

use super::ConfigError;

/// The settings of a channel's server.
pub(super) trait Section {
    /// Checks values beyond their types; `key` is the path of the section.
    fn validate(&self, key: &str) -> Result<(), ConfigError>;
}

pub(super) fn wrong(key: &str, message: &str) -> ConfigError {
    ConfigError::of_key(key, message.to_owned())
}

/// An address that people open.
pub(super) fn is_link(text: &str) -> bool {
    let is_plain = !text.chars().any(|c| c.is_control() || matches!(c, '<' | '>' | '"' | ' '));
    is_plain && (text.starts_with("https://") || text.starts_with("mailto:"))
}

pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Checks an address to which messages are posted.
///
/// # Errors
/// The expected form, without the address, which may be a secret.
pub fn check_url(url: &str, allow_private: bool) -> Result<(), String> {
    let rest = match url.split_once("://") {
        Some(("https", rest)) => rest,
        Some(("http", rest)) if allow_private => rest,
        Some(("http", _)) => {
            return Err("expected https:// (http:// is for private networks: set allow_private)".into());
        }
        _ => return Err("expected an address that begins with https://".into()),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.contains('@') || url.chars().any(|c| c.is_control() || c == ' ') {
        return Err("expected https://HOST/PATH, without a user or password in it".into());
    }
    if is_loopback(authority.rsplit_once(':').map_or(authority, |(host, _)| host)) && !allow_private {
        return Err("the address is on this machine: set allow_private = true to allow that".into());
    }
    Ok(())
}
