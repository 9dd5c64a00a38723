//! Reads and merges the sources of configuration, and reports the exact place of a mistake.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use super::{Config, RULES_IN_TOPIC, client_keys};
use crate::bounded::read_text;
use crate::rules::{CHANNELS, Position};
use crate::spelling::with_advice;

/// The default configuration file, read if it exists.
const DEFAULT_FILE: &str = "frostline.toml";
/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Sections that `FROSTLINE_SECTION_KEY` may set.
const ENV_SECTIONS: [&str; 7] = ["kafka", "runtime", "assemble", "filter", "alert", "notify", "admin"];

/// Settings that are paths of files next to the configuration file.
const PATHS: [&[&str]; 2] = [&["alert", "rules"], &["notify", "email", "ca"]];

/// Settings that override the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The file named on the command line, if there is one.
    pub file: Option<PathBuf>,
    /// `KEY=VALUE` settings from the command line, including flags; later ones win.
    pub settings: Vec<String>,
}

/// A mistake in the configuration. Nothing was started.
#[derive(Debug)]
pub struct ConfigError {
    place: String,
    message: String,
}

impl ConfigError {
    /// A mistake in the value of a key, wherever it was set.
    pub fn of_key(key: &str, message: String) -> Self {
        Self { place: key.to_owned(), message }
    }

    fn of_file(path: &Path, message: String) -> Self {
        Self { place: path.display().to_string(), message }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl std::error::Error for ConfigError {}

/// Loads the configuration from the file, `FROSTLINE_…` variables and settings; later ones win.
///
/// # Errors
/// The first mistake, with file, line and column, or the name of the variable or setting.
pub fn load(
    overrides: &Overrides,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut table = read_file(overrides.file.as_deref())?;
    for (name, value) in env {
        let Some(key) = env_key(&name) else { continue };
        let setting = parse_setting(&format!("{key}={value}"))
            .map_err(|message| ConfigError { place: name, message })?;
        merge(&mut table, setting);
    }
    for setting in &overrides.settings {
        let parsed = parse_setting(setting).map_err(|message| {
            // The value may be a secret.
            let key = setting.split('=').next().unwrap_or_default();
            ConfigError { place: format!("--set {key}"), message }
        })?;
        merge(&mut table, parsed);
    }
    let config = Config::deserialize(table).map_err(|error| ConfigError {
        place: "configuration".into(),
        message: with_advice(error.message()),
    })?;
    config.validate()?;
    Ok(config)
}

/// The file that is read: the one that is named, or `frostline.toml` in the current directory if there is one.
pub fn settings_file(named: Option<&Path>) -> Option<&Path> {
    named.or_else(|| Some(Path::new(DEFAULT_FILE)).filter(|path| path.exists()))
}

/// Reads the file, and checks it separately, because only then is the line of a mistake known.
fn read_file(named: Option<&Path>) -> Result<Table, ConfigError> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match read_text(path, FILE_BYTES_MAX) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => String::new(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(ConfigError::of_file(path, "there is no such file (--config)".to_owned()));
        }
        Err(error) => return Err(ConfigError::of_file(path, error.to_string())),
    };
    let with_line = |error: toml::de::Error| {
        let position = Position::of_toml(&text, &error);
        ConfigError {
            place: format!("{}:{}:{}", path.display(), position.line, position.column),
            message: with_advice(error.message()),
        }
    };
    toml::from_str::<Config>(&text).map_err(with_line)?;
    let mut table = toml::from_str::<Table>(&text).map_err(with_line)?;
    for keys in PATHS {
        anchor(&mut table, keys, path);
    }
    table.iter_mut().for_each(|(_, value)| anchor_secrets(value, path));
    client_keys::normalise(&mut table);
    Ok(table)
}

/// Makes a path relative to the configuration file that names it.
fn anchor(table: &mut Table, keys: &[&str], config: &Path) {
    let Some((last, sections)) = keys.split_last() else { return };
    let section = sections.iter().try_fold(table, |table, name| table.get_mut(*name)?.as_table_mut());
    if let (Some(Value::String(path)), Some(folder)) =
        (section.and_then(|section| section.get_mut(*last)), config.parent())
        && path != RULES_IN_TOPIC
    {
        *path = folder.join(&*path).display().to_string();
    }
}

/// Makes the paths of secrets relative to the configuration file that names them.
fn anchor_secrets(value: &mut Value, config: &Path) {
    match value {
        Value::String(text) => {
            let path = text.strip_prefix("${file:").and_then(|rest| rest.strip_suffix('}'));
            if let (Some(path), Some(folder)) = (path, config.parent()) {
                *text = format!("${{file:{}}}", folder.join(path).display());
            }
        }
        Value::Table(table) => table.iter_mut().for_each(|(_, value)| anchor_secrets(value, config)),
        _ => {}
    }
}

/// `FROSTLINE_KAFKA_NAMESPACE` sets `kafka.namespace`. Other variables with this prefix are not settings.
fn env_key(name: &str) -> Option<String> {
    let rest = name.strip_prefix("FROSTLINE_")?.to_ascii_lowercase();
    let (section, key) = rest.split_once('_')?;
    // `notify` has one more level: FROSTLINE_NOTIFY_EMAIL_PASSWORD sets notify.email.password. Sections with
    // user-defined names can only be set in the file, because such a name may have any form.
    let part = key.split('_').next().filter(|_| section == "notify");
    let channel = part.and_then(|part| CHANNELS.iter().find(|channel| channel.section == part));
    if channel.is_some_and(|channel| channel.is_named) {
        return None;
    }
    let nested = key.split_once('_').filter(|_| channel.is_some());
    let key = nested.map_or_else(|| key.to_owned(), |(part, key)| format!("{part}.{key}"));
    ENV_SECTIONS.contains(&section).then(|| format!("{section}.{key}"))
}

/// Parses `key.path=value`, and checks it alone, so that the message can name its origin. The value is TOML if the setting
/// takes that; otherwise it is text as it stands: a password may be `4711#frost`, and a telephone number `+15551234567`.
fn parse_setting(setting: &str) -> Result<Table, String> {
    let (key, value) = setting.split_once('=').ok_or("expected KEY=VALUE, such as kafka.namespace=test.")?;
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() {
        return Err("expected KEY=VALUE, such as kafka.namespace=test.".into());
    }
    let parse = |value: &str| {
        let mut parsed = toml::from_str::<Table>(&format!("{key} = {value}"))?;
        client_keys::normalise(&mut parsed);
        Ok::<Table, toml::de::Error>(parsed)
    };
    let text =
        parse(&Value::String(value.to_owned()).to_string()).map_err(|error| error.message().to_owned())?;
    // The client takes its settings as text.
    let is_text = key.starts_with("kafka.client") && !value.starts_with(['"', '\'']);
    let typed = if is_text || !is_one_value(value) {
        text.clone()
    } else {
        parse(value).unwrap_or_else(|_| text.clone())
    };
    match Config::deserialize(typed.clone()) {
        Ok(_) => Ok(typed),
        Err(_) if Config::deserialize(text.clone()).is_ok() => Ok(text),
        Err(error) => Err(with_advice(error.message())),
    }
}

/// Whether it is one value of TOML, with no comment after it.
fn is_one_value(value: &str) -> bool {
    let parsed = toml::from_str::<Table>(&format!("values = [{value}]"));
    parsed.is_ok_and(|parsed| parsed["values"].as_array().is_some_and(|values| values.len() == 1))
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn load_text(text: &str, env: &[(&str, &str)], settings: &[&str]) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("frostline.toml");
        std::fs::write(&path, text).unwrap();
        let overrides =
            Overrides { file: Some(path), settings: settings.iter().map(|s| (*s).to_owned()).collect() };
        load(&overrides, env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn file_then_environment_then_settings() {
        let text = "[kafka]\nnamespace = \"file.\"\nbrokers = \"a:1\"\n[kafka.client]\n\"socket.keepalive.enable\" = \"true\"\n";
        let env = [
            ("FROSTLINE_KAFKA_NAMESPACE", "env."),
            ("FROSTLINE_RUNTIME_WORKERS", "3"),
            ("FROSTLINE_KAFKA", "x"),
        ];
        let config =
            load_text(text, &env, &["kafka.namespace=7", "kafka.client.\"socket.timeout.ms\"=5000"]).unwrap();
        assert_eq!(config.kafka.namespace, "7");
        assert_eq!(config.kafka.brokers, "a:1");
        assert_eq!(config.runtime.workers, 3);
        assert_eq!(config.kafka.client["socket.timeout.ms"], "5000");
        assert_eq!(config.kafka.client["socket.keepalive.enable"], "true");
    }

    #[test]
    fn keys_of_the_client_need_no_quotes() {
        let text = "[kafka.client]\nsocket.timeout.ms = 5000\nsocket.keepalive.enable = true\n\"client.rack\" = \"a\"\n";
        let settings = ["kafka.client.client.rack=b", "kafka.client.\"socket.timeout.ms\"=6000"];
        let config = load_text(text, &[], &settings).unwrap();
        let client: Vec<(&str, &str)> =
            config.kafka.client.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let expected =
            [("client.rack", "b"), ("socket.keepalive.enable", "true"), ("socket.timeout.ms", "6000")];
        assert_eq!(client, expected, "the later source wins, however it is written");
        let protocol = load_text("", &[], &["kafka.client.group.protocol=consumer"]).unwrap();
        assert_eq!(protocol.kafka.client["group.protocol"], "consumer");
        let owned = load_text("", &[], &["kafka.client.session.timeout.ms=1"]).unwrap_err().to_string();
        assert!(owned.contains("session.timeout.ms") && owned.contains("runtime."), "{owned}");
        let twice = "[kafka.client]\nclient.rack = \"a\"\n\"client.rack\" = \"b\"\n";
        assert!(load_text(twice, &[], &[]).unwrap_err().to_string().contains("set twice"));
        let list = load_text("[kafka.client]\nclient.rack = [1]\n", &[], &[]).unwrap_err().to_string();
        assert!(list.contains("client.rack") && list.contains("expected a text"), "{list}");
    }

    #[test]
    fn a_password_may_come_from_the_environment() {
        let text = "[notify.email]\nserver = \"a.example.org\"\nfrom = \"a@example.org\"\n";
        let env = [("FROSTLINE_NOTIFY_EMAIL_PASSWORD", "dew"), ("FROSTLINE_NOTIFY_PER_HOUR", "7")];
        let config = load_text(text, &env, &["notify.email.user=frost"]).unwrap();
        let email = config.notify.email.unwrap();
        assert_eq!(
            (email.password.resolve().unwrap().as_str(), email.user.as_str(), config.notify.per_hour),
            ("dew", "frost", 7)
        );
    }

    #[test]
    fn texts_stay_as_they_were_given() {
        let env = [
            ("FROSTLINE_NOTIFY_SMS_FROM", "+15551234567"),
            ("FROSTLINE_NOTIFY_SMS_USER", "4711#frost"),
            ("FROSTLINE_NOTIFY_SMS_PASSWORD", "0x10"),
            ("FROSTLINE_NOTIFY_WEBHOOKS_FARM_SECRET", "a word that the file refers to"),
        ];
        let text = "[notify.sms]\nurl = \"https://sms.example.org\"\n";
        let settings = ["kafka.client.client.rack=1_0", "kafka.namespace=\"a.\"", "runtime.workers = 2"];
        let config = load_text(text, &env, &settings).unwrap();
        let sms = config.notify.sms.unwrap();
        assert_eq!((sms.from.as_str(), sms.user.as_str()), ("+15551234567", "4711#frost"));
        assert_eq!(sms.password.resolve().unwrap().as_str(), "0x10");
        assert_eq!(config.kafka.client["client.rack"], "1_0");
        assert_eq!((config.kafka.namespace.as_str(), config.runtime.workers), ("a.", 2));
        let refused = load_text("", &[], &["kafka.namespace=7#x"]).unwrap_err().to_string();
        assert!(refused.contains("namespace"), "{refused}");
    }

    #[test]
    fn paths_in_a_file_are_relative_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.toml");
        let text = "[alert]\nrules = \"own.toml\"\n[notify.email]\nserver = \"a.example.org\"\nfrom = \"a@b.c\"\nca = \"ca.pem\"\n\
                    user = \"a\"\npassword = \"${file:word}\"\n";
        std::fs::write(&path, text).unwrap();
        let word = dir.path().join("word");
        std::fs::write(&word, "dew").unwrap();
        std::fs::set_permissions(&word, Permissions::from_mode(0o600)).unwrap();
        let settings = |settings: &[&str]| {
            let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
            load(&Overrides { file: Some(path.clone()), settings }, std::iter::empty()).unwrap()
        };
        let config = settings(&[]);
        assert_eq!(config.alert.rules, dir.path().join("own.toml"));
        let email = config.notify.email.unwrap();
        assert_eq!(email.ca, Some(dir.path().join("ca.pem")));
        assert_eq!(email.password.resolve().unwrap().as_str(), "dew");
        let set = settings(&["alert.rules=a.toml"]);
        assert_eq!(set.alert.rules, Path::new("a.toml"), "the command line is about the present directory");
    }

    #[test]
    fn variables_reach_the_section_of_each_channel() {
        for channel in CHANNELS.iter().filter(|channel| !channel.is_named) {
            let name = format!("FROSTLINE_NOTIFY_{}_NO_SUCH_KEY", channel.section.to_ascii_uppercase());
            assert_eq!(env_key(&name).unwrap(), format!("notify.{}.no_such_key", channel.section));
            let error = load_text("", &[(&name, "x")], &[]).unwrap_err().to_string();
            // The section's own keys, not those of [notify].
            assert!(error.contains("`no_such_key`") && !error.contains("per_hour"), "{error}");
        }
        let config = load_text("", &[("FROSTLINE_NOTIFY_NTFY_TOKEN", "123")], &[]).unwrap();
        assert_eq!(*config.notify.ntfy.unwrap().token.resolve().unwrap(), "123");
    }

    #[test]
    fn mistakes_name_their_place() {
        let error = load_text("[kafka]\nbrokrs = \"a:1\"\n", &[], &[]).unwrap_err().to_string();
        assert!(error.contains("frostline.toml:2:1") && error.contains("did you mean `brokers`?"), "{error}");
        let error = load_text("[runtime]\nworkers = \"many\"\n", &[], &[]).unwrap_err().to_string();
        assert!(error.contains("frostline.toml:2:11"), "{error}");
        let error = load_text("", &[("FROSTLINE_KAFKA_BROKRS", "x")], &[]).unwrap_err().to_string();
        assert!(error.contains("FROSTLINE_KAFKA_BROKRS") && error.contains("`brokers`?"), "{error}");
        let error = load_text("", &[], &["runtime.workers=many"]).unwrap_err().to_string();
        assert!(error.contains("--set runtime.workers:"), "{error}");
        let error = load_text("", &[], &["nonsense"]).unwrap_err().to_string();
        assert!(error.contains("KEY=VALUE"), "{error}");
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        let overrides = Overrides { file: Some("/nowhere/frostline.toml".into()), settings: Vec::new() };
        assert!(load(&overrides, std::iter::empty()).unwrap_err().to_string().contains("/nowhere"));
    }
}
