//! What holds for the section of every channel, also of one that is added later.

use serde_json::json;

use super::NotifyConfig;
use crate::rules::CHANNELS;

/// The section of every channel, with nothing in it but its defaults.
fn all_channels() -> serde_json::Value {
    let sections = CHANNELS.iter().map(|channel| {
        let section = if channel.is_named { json!({ "barn": {} }) } else { json!({}) };
        (channel.section.to_owned(), section)
    });
    let all: serde_json::Map<_, _> = sections.collect();
    let config: NotifyConfig = serde_json::from_value(all.into()).unwrap();
    assert_eq!(config.configured().len(), CHANNELS.len(), "a section stands for its channel");
    let mut all = serde_json::to_value(config).unwrap();
    // What is left out where it is empty.
    all["webhooks"]["barn"]["body"] = "".into();
    all["webhooks"]["barn"]["content_type"] = "".into();
    all
}

/// All texts within a value, by their paths.
fn texts(value: &serde_json::Value, path: &str, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| texts(value, &format!("{path}/{name}"), found));
        }
        serde_json::Value::String(_) | serde_json::Value::Null => found.push(path.to_owned()),
        _ => {}
    }
}

#[test]
fn a_setting_of_a_channel_is_masked_unless_it_is_known_to_be_plain() {
    const PLAIN: [&str; 10] = [
        "/manage_url",
        "/email/server",
        "/email/ca",
        "/email/from",
        "/email/user",
        "/email/unsubscribe",
        "/email/subject",
        "/sms/user",
        "/sms/from",
        "/alertmanager/user",
    ];
    // Where the secret of a chat is the address.
    const TEMPLATES: [&str; 2] = ["/webhooks/barn/body", "/webhooks/barn/content_type"];
    let (all, mut paths) = (all_channels(), Vec::new());
    texts(&all, "", &mut paths);
    let mut shown = Vec::new();
    for path in &paths {
        let mut changed = all.clone();
        *changed.pointer_mut(path).unwrap() = "https://example.org/CANARY".into();
        // One of a few words can be no secret.
        let Ok(config) = serde_json::from_value::<NotifyConfig>(changed) else { continue };
        let is_shown = serde_json::to_string(&config).unwrap().contains("CANARY");
        assert_eq!(is_shown, format!("{config:?}").contains("CANARY"), "{path}");
        if is_shown {
            shown.push(path.as_str());
        }
    }
    let mut expected = [&PLAIN[..], &TEMPLATES].concat();
    expected.sort_unstable();
    shown.sort_unstable();
    assert_eq!(shown, expected, "a secret setting has the type Secret or ServerUrl");
    assert!(paths.len() > expected.len() + CHANNELS.len() - 1, "{paths:?}");
}

#[test]
fn each_channel_alone_lets_the_stages_run() {
    assert!(!NotifyConfig::default().is_on());
    let all = all_channels();
    for channel in &CHANNELS {
        let one = json!({ channel.section: all[channel.section] });
        let config: NotifyConfig = serde_json::from_value(one).unwrap();
        assert!(config.is_on(), "{}", channel.name);
        assert!(config.configured().contains_key(&channel.channel), "{}", channel.name);
    }
}
