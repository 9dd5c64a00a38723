//! Credentials that change while clients live.
//!
//! * `sasl.username` and `sasl.password`, where one of them is a reference such as `${file:PATH}`. When brokers refuse a
//!   client, the references are read again. If they hold something else now, all clients use it for their next
//!   connection.
//! * Tokens (`sasl.oauthbearer.method = oidc`), which an authorization server gives for a client id and a secret. A
//!   token is obtained when the first client needs it, and the next one after four fifths of its lifetime, on a
//!   thread of its own.
//!
//! Each client has a version of them. It compares that with the present one wherever the client is used
//! ([`Lifeline::tend`](super::lifeline::Lifeline::tend)), which costs a load. librdkafka would ask an application for
//! tokens through the queue of each client, which not every client serves while it is idle.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext};
use rdkafka::config::ClientConfig;

use super::raw;
use super::secret::{SecretText, is_reference, resolve_secret};
use crate::record::unix_ms;

/// Settings of librdkafka's that this module takes over. librdkafka itself reads them only if it is built with an HTTP
/// client.
const TOKEN_PREFIX: &str = "sasl.oauthbearer.";
const METHOD: &str = "sasl.oauthbearer.method";
const ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";
const CLIENT_ID: &str = "sasl.oauthbearer.client.id";
const CLIENT_SECRET: &str = "sasl.oauthbearer.client.secret";
const SCOPE: &str = "sasl.oauthbearer.scope";
const EXTENSIONS: &str = "sasl.oauthbearer.extensions";
const USER: &str = "sasl.username";
const PASSWORD: &str = "sasl.password";

/// Pause between two tries of an authorization server that does not answer.
const RETRY_PAUSE: Duration = Duration::from_secs(2);
/// How often the thread that renews a token looks whether the token is still used.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Credentials that were refused are looked at again at most this often.
const REFUSED_INTERVAL: Duration = Duration::from_millis(500);

/// What an authorization server wants to know (OAuth 2.0 with client credentials, RFC 6749 section 4.4).
#[derive(Clone)]
pub struct TokenRequest {
    /// The URL of the server's token endpoint.
    pub endpoint: String,
    /// Who asks.
    pub client_id: String,
    /// The secret that belongs to the id.
    pub client_secret: SecretText,
    /// What the token is for; `None` for the server's default.
    pub scope: Option<String>,
}

/// An answer of an authorization server.
pub struct Token {
    /// Is passed to the brokers as it is.
    pub value: SecretText,
    /// How long it is valid from now on.
    pub lifetime: Duration,
}

/// Obtains a token; blocks. The error is a sentence without secrets.
pub type TokenSource = fn(&TokenRequest) -> Result<Token, String>;

static SOURCE: OnceLock<TokenSource> = OnceLock::new();

/// Says how tokens are obtained. The engine has no HTTP client: without this, it refuses settings that need tokens.
/// Only the first call in a process counts.
pub fn obtain_tokens_with(source: TokenSource) {
    let _ = SOURCE.set(source);
}

/// The credentials of all clients that were made from the same settings.
pub(super) struct Credentials {
    kind: Kind,
    /// Of `present`; 0 as long as there is nothing that a client does not have from its settings.
    version: AtomicU64,
    present: Mutex<Present>,
}

enum Kind {
    /// They do not change.
    Fixed,
    /// User and password as configured.
    Login {
        user: String,
        password: String,
    },
    Tokens {
        request: TokenRequest,
        extensions: Vec<(String, String)>,
        source: TokenSource,
    },
}

#[derive(Default)]
struct Present {
    user: SecretText,
    password: SecretText,
    token: Option<(SecretText, i64)>,
    /// Not before then is it worth looking again.
    again_at: Option<Instant>,
}

impl Credentials {
    /// Of client settings, as configured and with their references replaced.
    ///
    /// # Errors
    /// A sentence without secrets: the settings of tokens are incomplete.
    pub(super) fn new(
        configured: &BTreeMap<String, String>,
        resolved: &BTreeMap<String, SecretText>,
    ) -> Result<Arc<Self>, String> {
        let mut present = Present::default();
        let text = |key: &str| configured.get(key).cloned().unwrap_or_default();
        let kind = if resolved.get(METHOD).is_some_and(|method| method.eq_ignore_ascii_case("oidc")) {
            tokens(resolved)?
        } else if [USER, PASSWORD].iter().any(|key| is_reference(&text(key))) {
            let value = |key: &str| resolved.get(key).cloned().unwrap_or_default();
            (present.user, present.password) = (value(USER), value(PASSWORD));
            Kind::Login { user: text(USER), password: text(PASSWORD) }
        } else {
            Kind::Fixed
        };
        Ok(Arc::new(Self { kind, version: AtomicU64::new(0), present: Mutex::new(present) }))
    }

    /// Whether tokens are obtained, so that librdkafka must not see their settings.
    pub(super) fn owns(&self, key: &str) -> bool {
        matches!(self.kind, Kind::Tokens { .. }) && key.starts_with(TOKEN_PREFIX)
    }

    /// Whether what was refused may be replaced by something that is not.
    pub(super) fn may_change(&self) -> bool {
        !matches!(self.kind, Kind::Fixed)
    }

    /// Gives a new client what is known now.
    pub(super) fn configure(&self, config: &mut ClientConfig) {
        if let Kind::Login { .. } = self.kind {
            let present = self.present();
            config.set(USER, present.user.as_str()).set(PASSWORD, present.password.as_str());
        }
    }

    /// The present version. A new client has version 0.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Makes sure that there is a token, if tokens are used.
    ///
    /// # Errors
    /// Why the authorization server gave none.
    pub(super) fn ready(self: &Arc<Self>) -> Result<(), String> {
        let Kind::Tokens { request, source, .. } = &self.kind else { return Ok(()) };
        let mut present = self.present();
        if present.token.is_some() || present.again_at.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        present.again_at = Some(Instant::now() + RETRY_PAUSE);
        let token = source(request).map_err(|reason| format!("{ENDPOINT} {}: {reason}", request.endpoint))?;
        let renew = renew_after(&token);
        self.keep(&mut present, token);
        drop(present);
        self.renew_later(renew);
        Ok(())
    }

    /// Brokers have refused a client: looks for credentials that they may accept.
    pub(super) fn refused(&self) {
        let Kind::Login { user, password } = &self.kind else { return };
        let mut present = self.present();
        if present.again_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        present.again_at = Some(Instant::now() + REFUSED_INTERVAL);
        let found = resolve_secret(user).and_then(|user| Ok((user, resolve_secret(password)?)));
        match found {
            Ok((user, password)) if (&user, &password) == (&present.user, &present.password) => {}
            Ok((user, password)) => {
                (present.user, present.password) = (user, password);
                self.version.fetch_add(1, Ordering::AcqRel);
                tracing::info!("{USER} or {PASSWORD} has changed on disk, and is used from now on");
            }
            Err(reason) => tracing::warn!(reason, "{USER} and {PASSWORD} cannot be read again"),
        }
    }

    /// Gives a client the present credentials for its next connections.
    ///
    /// # Errors
    /// Why the client does not take them.
    pub(super) fn apply<C: ClientContext>(&self, client: &Client<C>) -> Result<(), String> {
        let present = self.present();
        match &self.kind {
            Kind::Fixed => Ok(()),
            Kind::Login { .. } => raw::set_login(client, &present.user, &present.password),
            Kind::Tokens { request, extensions, .. } => match &present.token {
                Some((token, until_ms)) => {
                    raw::set_token(client, token, *until_ms, &request.client_id, extensions)
                }
                None => Ok(()),
            },
        }
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, present: &mut Present, token: Token) {
        let lifetime_ms = i64::try_from(token.lifetime.as_millis()).unwrap_or(i64::MAX);
        present.token = Some((token.value, unix_ms().saturating_add(lifetime_ms)));
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Renews the token as long as somebody uses it.
    fn renew_later(self: &Arc<Self>, first: Duration) {
        let weak = Arc::downgrade(self);
        let started =
            std::thread::Builder::new().name("kafka token".into()).spawn(move || renew(&weak, first));
        if let Err(error) = started {
            tracing::error!(%error, "the token for Kafka cannot be renewed");
        }
    }
}

fn renew(credentials: &Weak<Credentials>, mut pause: Duration) {
    loop {
        let begun = Instant::now();
        while begun.elapsed() < pause {
            if credentials.strong_count() == 0 {
                return;
            }
            std::thread::sleep(LOOK_INTERVAL.min(pause.saturating_sub(begun.elapsed())));
        }
        let Some(credentials) = credentials.upgrade() else { return };
        let Kind::Tokens { request, source, .. } = &credentials.kind else { return };
        pause = match source(request) {
            Ok(token) => {
                let pause = renew_after(&token);
                credentials.keep(&mut credentials.present(), token);
                pause
            }
            Err(reason) => {
                let endpoint = &request.endpoint;
                tracing::warn!(endpoint, reason, "the token for Kafka cannot be renewed yet");
                RETRY_PAUSE
            }
        };
    }
}

fn renew_after(token: &Token) -> Duration {
    token.lifetime * 4 / 5
}

/// Reads the settings under `sasl.oauthbearer.`; an error names the one that is missing or unknown.
fn tokens(resolved: &BTreeMap<String, SecretText>) -> Result<Kind, String> {
    let value = |key: &str| resolved.get(key).filter(|value| !value.is_empty());
    let wanted = |key: &str| value(key).ok_or_else(|| format!("{METHOD} = oidc also needs {key}"));
    let known = [METHOD, ENDPOINT, CLIENT_ID, CLIENT_SECRET, SCOPE, EXTENSIONS];
    let unknown = resolved.keys().find(|key| key.starts_with(TOKEN_PREFIX) && !known.contains(&key.as_str()));
    if let Some(unknown) = unknown {
        return Err(format!(
            "{unknown} is not supported: with {METHOD} = oidc there are {}",
            known[1..].join(", ")
        ));
    }
    let request = TokenRequest {
        endpoint: wanted(ENDPOINT)?.to_string(),
        client_id: wanted(CLIENT_ID)?.to_string(),
        client_secret: wanted(CLIENT_SECRET)?.clone(),
        scope: value(SCOPE).map(|scope| scope.to_string()),
    };
    let mut extensions = Vec::new();
    for pair in value(EXTENSIONS).map(|text| text.as_str()).unwrap_or_default().split(',') {
        match pair.trim().split_once('=') {
            Some((name, value)) => extensions.push((name.to_owned(), value.to_owned())),
            None if pair.trim().is_empty() => {}
            None => return Err(format!("{EXTENSIONS}: expected NAME=VALUE, separated by commas")),
        }
    }
    let source = *SOURCE.get().ok_or("this program cannot obtain tokens: it has no HTTP client")?;
    Ok(Kind::Tokens { request, extensions, source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn credentials(settings: &[(&str, &str)]) -> Result<Arc<Credentials>, String> {
        let configured: BTreeMap<String, String> =
            settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let resolved = configured
            .iter()
            .map(|(key, value)| Ok((key.clone(), resolve_secret(value)?)))
            .collect::<Result<_, String>>()?;
        Credentials::new(&configured, &resolved)
    }

    #[test]
    fn a_password_that_was_refused_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "one\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let reference = format!("${{file:{}}}", path.display());
        let found = credentials(&[(USER, "anna"), (PASSWORD, &reference)]).unwrap();
        let given = || {
            let mut config = ClientConfig::new();
            found.configure(&mut config);
            (config.get(USER).unwrap().to_owned(), config.get(PASSWORD).unwrap().to_owned())
        };
        let refuse = || {
            found.present().again_at = None;
            found.refused();
        };
        refuse();
        assert_eq!((found.version(), given()), (0, ("anna".into(), "one".into())));
        std::fs::write(&path, "two\n").unwrap();
        refuse();
        assert_eq!((found.version(), given()), (1, ("anna".into(), "two".into())));
        std::fs::remove_file(&path).unwrap();
        refuse();
        assert_eq!((found.version(), given()), (1, ("anna".into(), "two".into())));
        assert!(!credentials(&[(USER, "anna"), (PASSWORD, "plain")]).unwrap().may_change());
    }

    #[test]
    fn a_token_is_obtained_once_and_renewed_before_it_ends() {
        obtain_tokens_with(|request| match request.client_id.as_str() {
            "anna" => {
                let lifetime = Duration::from_millis(200);
                Ok(Token { value: SecretText::from("t".to_owned()), lifetime })
            }
            _ => Err("unknown client".to_owned()),
        });
        let oidc = |id: &str| {
            let secret = (CLIENT_SECRET, "marker");
            credentials(&[(METHOD, "oidc"), (ENDPOINT, "http://localhost/token"), (CLIENT_ID, id), secret])
        };
        let found = oidc("anna").unwrap();
        assert!(found.owns(CLIENT_ID) && !found.owns(USER));
        assert_eq!(found.version(), 0);
        found.ready().unwrap();
        found.ready().unwrap();
        assert_eq!(found.version(), 1);
        let begun = Instant::now();
        while found.version() < 3 {
            assert!(begun.elapsed() < Duration::from_secs(20), "it is not renewed");
            std::thread::sleep(Duration::from_millis(10));
        }
        let error = oidc("bert").unwrap().ready().unwrap_err();
        assert!(error.contains("localhost/token: unknown client") && !error.contains("marker"), "{error}");
        for (settings, part) in [
            (vec![(METHOD, "oidc")], ENDPOINT),
            (vec![(METHOD, "oidc"), ("sasl.oauthbearer.grant.type", "x")], "grant.type is not supported"),
        ] {
            let error = credentials(&settings).err().expect("refused");
            assert!(error.contains(part), "{error}");
        }
    }
}
