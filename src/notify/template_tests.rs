//! The templates of `examples/webhooks.toml`, against a server on this machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::smtp::scripted::Act::{Hang, HearRequest, Say};
use super::smtp::scripted::Scripted;
use super::*;
use crate::config::WebhookConfig;
use crate::stages::Recipient;

const EXAMPLES: &str = include_str!("../../examples/webhooks.toml");
/// As Telegram has it: a token within the address.
const TOKEN: &str = "bot123456:AAF-SECRET";

/// The example of that name, posting to a server on this machine.
fn example(name: &str, port: u16) -> WebhookConfig {
    #[derive(serde::Deserialize)]
    struct File {
        notify: Webhooks,
    }
    #[derive(serde::Deserialize)]
    struct Webhooks {
        webhooks: BTreeMap<String, WebhookConfig>,
    }
    let mut file: File = toml::from_str(EXAMPLES).unwrap();
    assert_eq!(file.notify.webhooks.len(), 4);
    let url = format!("http://127.0.0.1:{port}/{TOKEN}/sendMessage");
    let example = file.notify.webhooks.remove(name).unwrap();
    WebhookConfig { url: url.as_str().into(), allow_private: true, ..example }
}

/// The request that a server gets for an alert, and the outcome.
async fn sent(name: &str, answer: &'static str) -> (Value, Reply) {
    let server = Scripted::start(vec![vec![HearRequest, Say(answer), Hang]]).await;
    let webhooks = [(name.to_owned(), example(name, server.port))].into();
    let config = NotifyConfig { webhooks, ..NotifyConfig::default() };
    let rules = format!("[[subscriber]]\nid = \"anna\"\nwebhook = \"{name}\"\n");
    let sender = Sender::new(&config, Arc::new(RuleSet::parse(&rules).unwrap()), Arc::default()).unwrap();
    let told = samples::told("frost", "BARN \"A\" \\ <!channel> & {date}");
    let anna = Recipient::Subscriber("anna".into());
    let reply = sender.send(&Message::of_notices(anna, Channel::Webhook, vec![told])).await;
    let body = server.heard().last().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
    (body, reply)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
const TEXT: &str =
    "TMIN 8.9 °C at BARN \"A\" \\ <!channel> & {date} (USW00003192) on 2016-02-24: TMIN <= 10.0";
const TITLE: &str = "frost fired (warning)";

#[tokio::test]
async fn slack_takes_blocks_of_plain_text() {
    let (body, reply) = sent("slack", OK).await;
    assert!(matches!(reply, Reply::Sent(_)), "{reply:?}");
    assert_eq!(body["text"], "frost fired on 2016-02-24");
    assert_eq!(body["blocks"][0]["text"], json!({ "type": "plain_text", "text": TITLE }));
    assert_eq!(body["blocks"][1]["text"], json!({ "type": "plain_text", "text": TEXT }));
}

#[tokio::test]
async fn discord_takes_an_embed_and_mentions_nobody() {
    let (body, reply) = sent("discord", "HTTP/1.1 204 No Content\r\n").await;
    assert!(matches!(reply, Reply::Sent(_)), "{reply:?}");
    assert_eq!(body["embeds"], json!([{ "title": TITLE, "description": TEXT }]));
    assert_eq!(body["allowed_mentions"]["parse"], json!([]));
}

#[tokio::test]
async fn teams_takes_a_card() {
    let (body, reply) = sent("teams", "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n").await;
    assert!(matches!(reply, Reply::Sent(_)), "{reply:?}");
    let card = &body["attachments"][0]["content"];
    assert_eq!((&card["type"], &card["body"][0]["text"]), (&json!("AdaptiveCard"), &json!(TITLE)));
    assert_eq!(card["body"][1]["inlines"][0]["text"], TEXT);
}

#[tokio::test]
async fn telegram_takes_plain_text_and_its_token_is_not_repeated() {
    let (body, reply) = sent("telegram", OK).await;
    assert!(matches!(reply, Reply::Sent(_)), "{reply:?}");
    assert_eq!((&body["chat_id"], &body["text"]), (&json!("-1001234567890"), &json!(TEXT)));
    assert!(body.get("parse_mode").is_none(), "the text is not markup");
    let refused =
        "HTTP/1.1 404 Not Found\r\nContent-Length: 38\r\n\r\nno method /bot123456:AAF-SECRET/sendMe";
    let (_, reply) = sent("telegram", refused).await;
    let Reply::Down(reason) = &reply else { panic!("{reply:?}") };
    assert!(reason.contains("no method") && !reason.contains("SECRET"), "{reason}");
    let busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nContent-Length: 0\r\n";
    assert!(matches!(sent("telegram", busy).await.1, Reply::Again(_)));
}

#[test]
fn texts_for_people_name_every_channel() {
    let page = include_str!("../../docs/notifications.md");
    let settings = include_str!("../../examples/frostline.toml");
    let api: Value = serde_json::from_str(include_str!("../admin/openapi.json")).unwrap();
    let names: Vec<&str> = Channel::all().map(Channel::as_str).collect();
    let listed = api.to_string();
    assert!(listed.contains(&format!("\"enum\":{}", json!(names))), "openapi.json lists {names:?}");
    for channel in Channel::all() {
        let section = channel.section("barn");
        assert!(page.contains(&section) && settings.contains(&section), "{section}");
        let Some(field) = &channel.descriptor().field else { continue };
        assert!(page.contains(&format!("`{}`", field.name)), "{}", field.name);
        assert!(include_str!("../../examples/rules.toml").contains(&format!("# {} = ", field.name)));
    }
}
