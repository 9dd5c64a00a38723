//! Settings that must not be shown: passwords, tokens, and addresses that are as secret as a token.
//!
//! They have their own types. `config show` and `{:?}` print everything in a configuration, so a section cannot
//! forget to mask them. Only these types resolve a reference such as `${env:NAME}`, so a secret declared as plain
//! text does not work in the first place. The text in the configuration and the secret that a reference names are
//! overwritten in memory when they are dropped.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ConfigError, SecretText, check_url, is_reference, resolve_secret};

/// Shown instead of a secret.
const MASK: &str = "***";

/// A password, key or token, or a reference to one: `${env:NAME}` or `${file:PATH}`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(SecretText);

impl Secret {
    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The secret itself, resolved if it is a reference.
    ///
    /// # Errors
    /// Why it cannot be read, without the secret.
    pub fn resolve(&self) -> Result<SecretText, String> {
        resolve_secret(&self.0)
    }

    /// A reference says where the secret is, not what it is.
    fn shown(&self) -> &str {
        if self.is_empty() || is_reference(&self.0) { &self.0 } else { MASK }
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned().into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.shown(), f)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.shown())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text).map(|text| Self(text.into()))
    }
}

/// The address of a server. Often anyone who knows the whole address can post there, so only the host is shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ServerUrl(SecretText);

impl ServerUrl {
    /// Checks the address; a reference is checked when it is resolved.
    ///
    /// # Errors
    /// The key, and the expected form.
    pub(super) fn check(&self, key: &str, allow_private: bool) -> Result<(), ConfigError> {
        let checked = if is_reference(&self.0) { Ok(()) } else { check_url(&self.0, allow_private) };
        checked.map_err(|message| ConfigError::of_key(key, message))
    }

    /// The address itself, resolved if it is a reference.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn resolve(&self) -> Result<SecretText, String> {
        resolve_secret(&self.0)
    }

    fn shown(&self) -> Cow<'_, str> {
        let url = self.0.as_str();
        if is_reference(url) {
            return url.into();
        }
        let start = url.find("://").map_or(0, |at| at + 3);
        let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
        let host = url[start..end].rsplit_once('@').map_or(&url[start..end], |(_, host)| host);
        match &url[end..] {
            "" | "/" if host.len() == end - start => url.into(),
            "" => format!("{}{MASK}@{host}", &url[..start]).into(),
            _ => format!("{}{host}/{MASK}", &url[..start]).into(),
        }
    }
}

impl From<&str> for ServerUrl {
    fn from(text: &str) -> Self {
        Self(text.to_owned().into())
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.shown(), f)
    }
}

impl Serialize for ServerUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

impl<'de> Deserialize<'de> for ServerUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text).map(|text| Self(text.into()))
    }
}

/// Accepts text only. An error about a number would repeat it, and it may be a password without quotes.
struct Text;

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<String, E> {
        Ok(text)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<String, E> {
        Err(E::invalid_type(Unexpected::Other("number"), &self))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<String, E> {
        Err(E::invalid_type(Unexpected::Other("number"), &self))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<String, E> {
        Err(E::invalid_type(Unexpected::Other("number"), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown_and_a_reference_is() {
        for (written, shown) in
            [("", ""), ("dew", MASK), ("${env:TOKEN}", "${env:TOKEN}"), ("${file:/a}", "${file:/a}")]
        {
            let secret = Secret::from(written);
            assert_eq!(serde_json::to_value(&secret).unwrap(), shown);
            assert_eq!(format!("{secret:?}"), format!("{shown:?}"));
            assert_eq!(serde_json::from_value::<Secret>(written.into()).unwrap(), secret);
        }
        assert_eq!(*Secret::from("dew").resolve().unwrap(), "dew");
        assert!(Secret::from("${env:FROSTLINE_NO_SUCH_VARIABLE}").resolve().is_err());
    }

    #[test]
    fn the_configuration_shows_no_token() {
        let config: super::super::Config =
            toml::from_str("[admin]\ntoken = \"CANARY\"\n[notify.ntfy]\ntoken = \"CANARY\"").unwrap();
        let shown = format!("{}{config:?}", toml::to_string(&config).unwrap());
        assert!(shown.contains("token = \"***\"") && !shown.contains("CANARY"), "{shown}");
    }

    #[test]
    fn of_an_address_only_the_host_is_shown() {
        for (written, shown) in [
            ("https://a.example.org", "https://a.example.org"),
            ("https://a.example.org:9093/", "https://a.example.org:9093/"),
            ("https://api.telegram.org/bot12:AB/sendMessage", "https://api.telegram.org/***"),
            ("https://a.example.org?key=AB", "https://a.example.org/***"),
            ("https://user:AB@a.example.org", "https://***@a.example.org"),
            ("https://user:AB@a.example.org/", "https://a.example.org/***"),
            ("${file:/run/secrets/url}", "${file:/run/secrets/url}"),
        ] {
            let url = ServerUrl::from(written);
            assert_eq!(serde_json::to_value(&url).unwrap(), shown);
            assert_eq!(format!("{url:?}"), format!("{shown:?}"));
        }
    }

    #[test]
    fn a_password_without_quotes_is_not_repeated() {
        for number in ["8675309", "-8675309", "8675309.5"] {
            let toml = toml::from_str::<super::super::AdminConfig>(&format!("token = {number}")).unwrap_err();
            let json = serde_json::from_str::<Secret>(number).unwrap_err();
            for error in [toml.message().to_owned(), json.to_string()] {
                assert!(error.contains("a text in quotes") && !error.contains("8675309"), "{error}");
            }
        }
    }
}
