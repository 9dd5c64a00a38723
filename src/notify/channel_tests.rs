//! What observations say reaches people as plain text over each channel.

use std::sync::Arc;

use super::smtp::scripted::Act::{Hang, HearMail, HearRequest, On, Say};
use super::smtp::scripted::Scripted;
use super::*;
use crate::stages::Recipient;

/// A station that forges lines, clears the terminal and turns the rest around.
const FORGED: &str = "BARN\r\nBcc: all\u{1b}[2J\u{7}\u{202e}\u{2067}gnp\u{2028}END";
const CLEAN: &str = "BARN Bcc: all [2J gnp END";

const RULES: &str = r#"
    [[subscriber]]
    id = "anna"
    email = "anna@example.org"
    phone = "+15551234567"
    webhook = "barn"
    ntfy = "orchard-7Hq"
"#;

/// What arrives over a channel.
async fn arrived(channel: Channel, recipient: Recipient) -> String {
    let kept = Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
    let http = vec![HearRequest, kept, Hang];
    let mail = vec![
        Say("220 test"),
        On("EHLO", "250 test"),
        On("MAIL", "250 ok"),
        On("RCPT", "250 ok"),
        On("DATA", "354 go on"),
        HearMail,
        Say("250 kept"),
        Hang,
    ];
    let server = Scripted::start(vec![if channel == Channel::Email { mail } else { http }]).await;
    let port = server.port;
    let config = format!(
        "[email]\nserver = \"127.0.0.1:{port}\"\ntls = \"none\"\nfrom = \"frost@example.org\"\n\
         [sms]\nurl = \"http://127.0.0.1:{port}/\"\nfrom = \"+15550000000\"\nallow_private = true\n\
         [webhooks.barn]\nurl = \"http://127.0.0.1:{port}/\"\nsecret = \"dew\"\nallow_private = true\n\
         [alertmanager]\nurl = \"http://127.0.0.1:{port}\"\nallow_private = true\n\
         [ntfy]\nurl = \"http://127.0.0.1:{port}\"\nallow_private = true\n"
    );
    let config: NotifyConfig = toml::from_str(&config).unwrap();
    let rules = Arc::new(RuleSet::parse(RULES).unwrap());
    let sender = Sender::new(&config, rules, Arc::default()).unwrap();
    let message = Message::of_notices(recipient, channel, vec![samples::told("frost", FORGED)]);
    let reply = sender.send(&message).await;
    assert!(matches!(reply, Reply::Sent(_)), "{reply:?}");
    server.heard().pop().unwrap()
}

fn anna() -> Recipient {
    Recipient::Subscriber("anna".into())
}

fn assert_clean(text: &str) {
    assert!(text.contains(CLEAN), "{text:?}");
    assert!(!text.chars().any(|c| c != '\n' && c.is_control()), "{text:?}");
    assert!(!text.contains(['\u{202e}', '\u{2067}', '\u{2028}']), "{text:?}");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("Bcc")), "{text:?}");
}

/// Decodes a form or, with `=`, quoted-printable.
fn decoded(text: &str, sign: char) -> String {
    let text = text.replace("=\n", "");
    let mut parts = text.split(sign);
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => bytes.extend([&[byte], &part.as_bytes()[2..]].concat()),
            None => bytes.extend([&[sign as u8], part.as_bytes()].concat()),
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn names_of_stations_are_plain_text_in_both_parts_of_a_mail() {
    let mail = arrived(Channel::Email, anna()).await;
    let (text, html) = mail.split_once("text/html").unwrap();
    assert_clean(&decoded(text.split_once("text/plain").unwrap().1, '='));
    assert_clean(&decoded(html, '='));
}

#[tokio::test]
async fn names_of_stations_are_plain_text_in_an_sms() {
    let form = arrived(Channel::Sms, anna()).await;
    let body = form.split_once("Body=").unwrap().1.replace('+', " ");
    assert_clean(&decoded(&body, '%'));
}

#[tokio::test]
async fn names_of_stations_are_plain_text_in_a_webhook() {
    let body: serde_json::Value = serde_json::from_str(&arrived(Channel::Webhook, anna()).await).unwrap();
    assert_eq!(body["alert"]["station_name"], CLEAN);
    assert_clean(body["alert"]["message"].as_str().unwrap());
}

#[tokio::test]
async fn names_of_stations_are_plain_text_in_alertmanager() {
    let body = arrived(Channel::Alertmanager, Recipient::Alertmanager).await;
    let alerts: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(alerts[0]["annotations"]["station_name"], CLEAN);
    assert_clean(alerts[0]["annotations"]["summary"].as_str().unwrap());
}

#[tokio::test]
async fn names_of_stations_are_plain_text_in_a_push() {
    let body: serde_json::Value = serde_json::from_str(&arrived(Channel::Ntfy, anna()).await).unwrap();
    assert_eq!(body["title"], format!("frost fired: {CLEAN}"));
    assert_clean(body["message"].as_str().unwrap());
}

#[tokio::test]
async fn no_channel_repeats_an_address() {
    let config = "[ntfy]\nurl = \"http://127.0.0.1:PORT\"\nallow_private = true\n";
    let answer = "HTTP/1.1 400 No\r\nContent-Length: 27\r\n\r\ntopic orchard-7hq is closed";
    let server = Scripted::start(vec![vec![HearRequest, Say(answer), Hang]]).await;
    let config = toml::from_str(&config.replace("PORT", &server.port.to_string())).unwrap();
    let sender = Sender::new(&config, Arc::new(RuleSet::parse(RULES).unwrap()), Arc::default()).unwrap();
    let message = Message::of_notices(anna(), Channel::Ntfy, vec![samples::told("frost", "BARN")]);
    let Reply::Refused(reason) = sender.send(&message).await else { panic!("it was not refused") };
    assert!(reason.contains("is closed") && !reason.contains("7hq"), "{reason}");
}
