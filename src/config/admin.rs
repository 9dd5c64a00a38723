//! Settings of the admin server: its address, and who has access.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{ConfigError, Secret, is_host_and_port};

/// Longest sender of CAP messages.
const SENDER_BYTES_MAX: usize = 254;

/// HTTP for operators: the page, its API, health and metrics.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// The address and port to listen on; empty to not listen.
    pub listen: String,
    /// The address of this process for other processes of the installation, as `HOST:PORT`; empty for the listening
    /// address.
    pub advertise: String,
    /// The token that requests must carry, at least 32 bytes. Required on any address except loopback.
    pub token: Secret,
    /// The sender of CAP messages, responsible for their content, such as `frost@example.org`; empty for
    /// `follow.contact`. If both are empty, messages have the status Test.
    pub cap_sender: String,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            advertise: String::new(),
            token: Secret::default(),
            cap_sender: String::new(),
        }
    }
}

impl AdminConfig {
    /// The address, if there is one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }

    /// The address announced to others if it listens on `address`; without a host if that is all addresses.
    pub fn advertised(&self, address: SocketAddr) -> String {
        match self.advertise.as_str() {
            "" if address.ip().is_unspecified() => format!(":{}", address.port()),
            "" => address.to_string(),
            advertise => advertise.to_owned(),
        }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if !self.listen.is_empty() && self.address().is_none() {
            let expected = "expected an address and a port, such as 127.0.0.1:8080, or an empty text";
            return Err(ConfigError::of_key("admin.listen", format!("{:?}: {expected}", self.listen)));
        }
        if !self.advertise.is_empty() && !is_host_and_port(&self.advertise) {
            let expected = "expected a host and a port, such as frostline-0.example:8080, or an empty text";
            return Err(ConfigError::of_key("admin.advertise", format!("{:?}: {expected}", self.advertise)));
        }
        if self.token.is_empty() && self.address().is_some_and(|address| !address.ip().is_loopback()) {
            let reason = "is reachable by others: set admin.token, for example \"${file:/run/secrets/frostline-token}\"";
            return Err(ConfigError::of_key("admin.listen", format!("{} {reason}", self.listen)));
        }
        // The protocol allows none of these.
        let is_foreign = |c: char| c.is_control() || c.is_whitespace() || matches!(c, ',' | '<' | '&');
        if self.cap_sender.contains(is_foreign) || self.cap_sender.len() > SENDER_BYTES_MAX {
            let expected =
                format!("expected at most {SENDER_BYTES_MAX} bytes without spaces, commas, `<` and `&`");
            return Err(ConfigError::of_key(
                "admin.cap_sender",
                format!("{:?}: {expected}", self.cap_sender),
            ));
        }
        Ok(())
    }
}
