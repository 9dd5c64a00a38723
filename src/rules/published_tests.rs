//! What is published comes back as it was.

use super::*;

fn rule() -> Item {
    let definition = Definition {
        id: "frost".into(),
        station: Some("USW00003192".into()),
        when: "TMIN <= 10.0".into(),
        ..Definition::default()
    };
    Item::Rule(Box::new(PublishedRule { version: 3, created_ms: 7, definition, nearest: None }))
}

#[test]
fn items_come_back() {
    let item = rule();
    assert_eq!(item.key().encode(), "rule/frost");
    assert_eq!(Key::decode(b"rule/frost"), Some(item.key()));
    assert_eq!(Item::decode(&item.key(), &item.encode()), Ok(item.clone()));
    let mut published = Published::default();
    published.take(b"rule/frost", Some(&item.encode()));
    assert_eq!(published.rules["frost"].version, 3);
    published.take(b"rule/frost", None);
    assert!(published.rules.is_empty());
}

#[test]
fn rules_with_a_crop_come_back_and_others_are_written_as_ever() {
    let Item::Rule(mut rule) = rule() else { panic!("it is a rule") };
    let written = String::from_utf8(Item::Rule(rule.clone()).encode()).unwrap();
    assert!(written.contains(r#""rule":{"id":"frost","station":"USW00003192","when":"TMIN <= 10.0"}"#));
    rule.definition.when.clear();
    (rule.definition.crop, rule.definition.stage) = (Some("apple".into()), Some("full bloom".into()));
    let item = Item::Rule(rule.clone());
    assert_eq!(Item::decode(&item.key(), &item.encode()), Ok(item.clone()));
    assert_eq!(rule.compile(&mut Conditions::default()).unwrap().when.text(), "chance(-2.2) >= 0.3");
}

#[test]
fn what_cannot_be_used_is_quarantined() {
    let key = Key::Rule("frost".into());
    let quarantine = |value: &str| Item::decode(&key, value.as_bytes()).unwrap_err();
    assert!(matches!(quarantine(r#"{"format":2,"anything":1}"#), Quarantine::NotUnderstood(_)));
    let newer = r#"{"format":1,"version":1,"rule":{"id":"frost","when":"true","threshold":3}}"#;
    assert!(matches!(quarantine(newer), Quarantine::NotUnderstood(_)), "{:?}", quarantine(newer));
    assert!(matches!(quarantine("{"), Quarantine::Broken(_)));
    assert!(matches!(quarantine(r#"{"format":1,"version":1}"#), Quarantine::Broken(_)));
    let other = String::from_utf8(rule().encode()).unwrap();
    assert!(
        Item::decode(&Key::Rule("other".into()), other.as_bytes()).unwrap_err().reason().contains("other")
    );
    let mut published = Published::default();
    published.take(b"rule/frost", Some(&rule().encode()));
    published.take(b"rule/frost", Some(br#"{"format":1,"version":4,"rule":{"id":"frost","when":"TMIN <"}}"#));
    published.quarantine_broken(&mut Conditions::default());
    assert!(published.rules.is_empty(), "the version before is gone from the topic too");
    assert!(published.quarantined[&key].reason().contains("when"), "{:?}", published.quarantined);
}

#[test]
fn a_long_key_is_shown_shortened() {
    let shown = Key::Rule("r".repeat(900_000)).shown();
    assert_eq!((shown.chars().count(), shown.ends_with('…')), (206, true));
    assert_eq!(Key::Subscriber("farm".into()).shown(), "subscriber/farm");
}
