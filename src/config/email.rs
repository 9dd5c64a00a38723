//! The mail server, `[notify.email]`.

use std::net::Ipv6Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::section::{Section, is_link, is_loopback, wrong};
use super::{ConfigError, Secret};

/// The encryption of the connection to a mail server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// Start unencrypted, then switch to TLS or fail. Port 587.
    #[default]
    Starttls,
    /// TLS from the start. Port 465.
    Tls,
    /// Unencrypted: on loopback only.
    None,
}

/// The mail server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmailConfig {
    /// `HOST` or `HOST:PORT`; an IPv6 address with a port is `[ADDRESS]:PORT`.
    pub server: String,
    /// STARTTLS (port 587), TLS from the start (port 465), or none (port 25), which is for loopback only.
    pub tls: MailTls,
    /// A PEM file with the authority that signed the server's certificate, if the system does not know it. A relative
    /// path in a configuration file is relative to that file.
    pub ca: Option<PathBuf>,
    /// The sender, such as `Frostline <frost@example.org>`.
    pub from: String,
    /// The user for authentication; empty for no authentication.
    pub user: String,
    /// The password for authentication.
    pub password: Secret,
    /// The address for unsubscribing, `mailto:` or `https:`; if empty, people unsubscribe by mail to the sender.
    pub unsubscribe: String,
    /// The subject, in one line. It may contain the fields of [`SUBJECT_FIELDS`] in braces.
    pub subject: String,
}

impl Default for EmailConfig {
    fn default() -> Self {
        Self {
            server: String::new(),
            tls: MailTls::default(),
            ca: None,
            from: String::new(),
            user: String::new(),
            password: Secret::default(),
            unsubscribe: String::new(),
            subject: "{message}".into(),
        }
    }
}

/// The fields that a subject may contain.
pub const SUBJECT_FIELDS: [&str; 7] =
    ["message", "rule", "station", "date", "severity", "transition", "count"];

impl Section for EmailConfig {
    fn validate(&self, _: &str) -> Result<(), ConfigError> {
        let parsed = self.host_and_port();
        let (host, _) = parsed.map_err(|reason| ConfigError::of_key("notify.email.server", reason))?;
        if self.tls == MailTls::None && !is_loopback(host) {
            let expected =
                "unencrypted mail is allowed only to a server on loopback: expected `starttls` or `tls`";
            return Err(wrong("notify.email.tls", expected));
        }
        let is_line = |text: &str| !text.chars().any(char::is_control);
        if !self.from.contains('@') || !is_line(&self.from) {
            let expected = "expected a sender, such as Frostline <frost@example.org>";
            return Err(wrong("notify.email.from", expected));
        }
        if self.user.is_empty() != self.password.is_empty() {
            let (missing, given) =
                if self.user.is_empty() { ("user", "password") } else { ("password", "user") };
            let key = format!("notify.email.{missing}");
            return Err(wrong(
                &key,
                &format!("missing, but `{given}` is set: set both, or none for a server without a login"),
            ));
        }
        if !self.unsubscribe.is_empty() && !is_link(&self.unsubscribe) {
            return Err(wrong("notify.email.unsubscribe", "expected a mailto: or https: address"));
        }
        check_template("notify.email.subject", &self.subject)
    }
}

impl EmailConfig {
    /// The server's name or address without brackets, and its port, by default the usual one.
    ///
    /// # Errors
    /// The expected form.
    pub fn host_and_port(&self) -> Result<(&str, u16), String> {
        let usual = match self.tls {
            MailTls::Starttls => 587,
            MailTls::Tls => 465,
            MailTls::None => 25,
        };
        let server = self.server.as_str();
        if let Some((scheme, _)) = server.split_once("://") {
            return Err(format!("expected HOST or HOST:PORT, without {scheme}://"));
        }
        let (host, port) = if let Some(rest) = server.strip_prefix('[') {
            let (host, rest) =
                rest.split_once(']').ok_or("a bracket is not closed: expected [IPV6] or [IPV6]:PORT")?;
            if host.parse::<Ipv6Addr>().is_err() {
                return Err("expected an IPv6 address in the brackets, such as [fd00::25]:587".into());
            }
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':').ok_or("expected [IPV6] or [IPV6]:PORT")?),
            };
            (host, port)
        } else if server.parse::<Ipv6Addr>().is_ok() {
            // The whole text is the address: a port needs brackets.
            (server, None)
        } else {
            server.split_once(':').map_or((server, None), |(host, port)| (host, Some(port)))
        };
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if host.is_empty() || !host.chars().all(is_part) {
            return Err("expected HOST or HOST:PORT, such as smtp.example.org".into());
        }
        let port = port.map_or(Some(usual), |port| port.parse().ok().filter(|port| *port != 0));
        let port = port.ok_or(
            "expected a port from 1 to 65535 after the colon (an IPv6 address with a port is written [ADDRESS]:PORT)",
        )?;
        Ok((host, port))
    }
}

fn check_template(key: &str, text: &str) -> Result<(), ConfigError> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(wrong(key, "expected one line of text"));
    }
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('{') {
        let Some((field, after)) = after.split_once('}') else {
            return Err(wrong(key, "a brace is not closed"));
        };
        if !SUBJECT_FIELDS.contains(&field) {
            let known = SUBJECT_FIELDS.join("}, {");
            let message = format!("unknown field {{{field}}}: expected {{{known}}}");
            return Err(ConfigError::of_key(key, message));
        }
        rest = after;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_follow_from_tls() {
        let email = |more: &str| -> EmailConfig {
            toml::from_str(&format!("server = \"mail.example.org{more}\nfrom = \"a@b.c\"")).unwrap()
        };
        assert_eq!(email("\"").host_and_port(), Ok(("mail.example.org", 587)));
        assert_eq!(email("\"\ntls = \"tls\"").host_and_port(), Ok(("mail.example.org", 465)));
        assert_eq!(email(":2525\"").host_and_port(), Ok(("mail.example.org", 2525)));
    }

    #[test]
    fn user_and_password_belong_together() {
        let error = |more: &str| {
            let text = format!("server = \"a.example.org\"\nfrom = \"a@b.c\"\n{more}");
            toml::from_str::<EmailConfig>(&text).unwrap().validate("").map_err(|error| error.to_string())
        };
        assert!(error("user = \"u\"").unwrap_err().contains("notify.email.password"));
        assert!(error("password = \"dew\"").unwrap_err().contains("notify.email.user"));
        assert_eq!(error("user = \"u\"\npassword = \"dew\""), Ok(()));
    }

    #[test]
    fn ipv6_addresses_are_hosts() {
        let email = |server: &str| EmailConfig { server: server.into(), ..EmailConfig::default() };
        for (server, expected) in [
            ("[::1]:2525", ("::1", 2525)),
            ("[fd00::25]", ("fd00::25", 587)),
            ("fd00::25", ("fd00::25", 587)),
            ("::1", ("::1", 587)),
            ("127.0.0.1:25", ("127.0.0.1", 25)),
        ] {
            assert_eq!(email(server).host_and_port(), Ok(expected), "{server}");
        }
        for server in [
            "",
            ":25",
            "a:0",
            "a:x",
            "a:65536",
            "a b",
            "[::1",
            "[a]:25",
            "[::1]25",
            "a:b:c",
            "fd00::x:25",
            "[127.0.0.1]",
            "smtp://a.example.org:25",
        ] {
            assert!(email(server).host_and_port().is_err(), "{server}");
        }
        let in_clear = EmailConfig { tls: MailTls::None, from: "a@b.c".into(), ..email("[::1]:2525") };
        in_clear.validate("").unwrap();
    }
}
