//! Tokens for Kafka from an authorization server (OAuth 2.0 with client credentials, RFC 6749 section 4.4).

use std::time::Duration;

use frostline_engine::kafka::{Token, TokenRequest};
use reqwest::{Client, Response, Url};
use serde::Deserialize;

use super::{Reach, cause, http_client};

/// The whole request.
const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The lifetime of a token if the server does not say it.
const LIFETIME: Duration = Duration::from_secs(300);

/// The part of the answer that matters.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// In seconds.
    expires_in: Option<u64>,
}

/// Obtains a token; blocks.
///
/// # Errors
/// A sentence without secrets: the server cannot be reached, refuses, or gives no token.
pub fn obtain_token(request: &TokenRequest) -> Result<Token, String> {
    // Uses a thread, because a thread that runs an event loop cannot run another one.
    let asked = std::thread::scope(|scope| {
        let ask = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| error.to_string())?.block_on(ask(request))
        };
        scope.spawn(ask).join()
    });
    asked.unwrap_or_else(|_| Err("the request panicked".to_owned()))
}

async fn ask(request: &TokenRequest) -> Result<Token, String> {
    let url = Url::parse(&request.endpoint).map_err(|error| error.to_string())?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client: Client = http_client(Reach::of(&url, true)?, PATIENCE)
        .timeout(PATIENCE)
        .user_agent(concat!("frostline/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| error.to_string())?;
    let scope = request.scope.as_deref().map(|scope| ("scope", scope));
    let form: Vec<(&str, &str)> =
        std::iter::once(("grant_type", "client_credentials")).chain(scope).collect();
    let asked =
        client.post(url).basic_auth(&request.client_id, Some(request.client_secret.as_str())).form(&form);
    let response = asked.send().await.map_err(|error| cause(&error.without_url()))?;
    let status = response.status();
    let body = body(response).await?;
    if !status.is_success() {
        let says = refusal(&body).map(|says| format!(" ({says})")).unwrap_or_default();
        return Err(format!(
            "the server answers {status}{says}: check the client id, its secret and the scope"
        ));
    }
    let granted: Granted =
        serde_json::from_slice(&body).map_err(|_| "the answer has no access_token".to_owned())?;
    let lifetime = granted.expires_in.map_or(LIFETIME, Duration::from_secs);
    Ok(Token { value: granted.access_token.into(), lifetime })
}

async fn body(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| cause(&error.without_url()))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(format!("the answer has more than {ANSWER_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The error's code in the answer (RFC 6749 section 5.2).
fn refusal(body: &[u8]) -> Option<String> {
    let says: serde_json::Value = serde_json::from_slice(body).ok()?;
    let code = says.get("error")?.as_str()?;
    code.chars().all(|c| c.is_ascii_lowercase() || c == '_').then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use frostline_engine::kafka::SecretText;

    use super::*;

    /// Asks a server that gives this answer; returns what it was asked, too.
    fn asked(status: &str, answer: &str) -> (Result<(String, Duration), String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}/token", listener.local_addr().unwrap());
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut question, mut buffer) = (String::new(), [0; 4_096]);
            while !question.contains("client_credentials") {
                let read = stream.read(&mut buffer).unwrap();
                question.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            }
            stream.write_all(answer.as_bytes()).unwrap();
            question
        });
        let request = TokenRequest {
            endpoint,
            client_id: "anna".into(),
            client_secret: SecretText::from("marker".to_owned()),
            scope: Some("kafka".into()),
        };
        let token = obtain_token(&request).map(|token| (token.value.to_string(), token.lifetime));
        (token, server.join().unwrap())
    }

    #[test]
    fn a_token_comes_from_the_server_that_is_named() {
        let (token, question) =
            asked("200 OK", r#"{"access_token": "t", "expires_in": 60, "token_type": "bearer"}"#);
        assert_eq!(token.unwrap(), ("t".to_owned(), Duration::from_secs(60)));
        assert!(question.starts_with("POST /token") && question.contains("scope=kafka"), "{question}");
        // The id and the secret, as HTTP asks for them.
        assert!(
            question.to_ascii_lowercase().contains("authorization: basic yw5uytptyxjrzxi="),
            "{question}"
        );
    }

    #[test]
    fn a_refusal_says_why_and_what_to_do() {
        let refused = |status, answer| asked(status, answer).0.unwrap_err();
        let error = refused("401 Unauthorized", r#"{"error": "invalid_client"}"#);
        assert!(
            error.contains("401 Unauthorized (invalid_client): check") && !error.contains("marker"),
            "{error}"
        );
        assert!(refused("200 OK", r#"{"token": 1}"#).contains("no access_token"));
        assert!(refused("200 OK", &" ".repeat(100_000)).contains("more than 65536 bytes"));
    }
}
