//! Rule files: every mistake is found with its place.

use super::*;

fn parse(text: &str) -> Result<RuleFile, Vec<Mistake>> {
    RuleFile::parse(text, &mut Conditions::default(), &|_| false)
}

fn mistakes(text: &str) -> Vec<Mistake> {
    parse(text).err().unwrap_or_default()
}

#[test]
fn a_full_rule() {
    let file = parse(
        r#"
[[subscriber]]
id = "farm"
email = "grower@example.org"

[[rule]]
id = "frost"
subscribers = ["farm"]
where = "station.state_code == 'AZ' && station.elevation < 500.0"
when = "f(TMIN) <= 32"
clear = "TMIN > 2.0"
for_days = 2
repeat_days = 7
severity = "critical"
message = "Frost at {station.name}: {TMIN} °C"
active = { months = [3, 4, 5] }
"#,
    )
    .unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    let (definition, rule) = &file.rules[0];
    assert_eq!((rule.for_days, rule.repeat_days, &*rule.subscribers[0]), (2, Some(7), "farm"));
    assert_eq!(definition.when, "f(TMIN) <= 32");
    let json = serde_json::to_string(&serde_json::json!({ "rule": definition })).unwrap();
    let lines = format!("{{\"subscriber\":{{\"id\":\"farm\",\"email\":\"a@b\"}}}}\n{json}\n");
    let again = parse(&lines).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    assert_eq!(again.rules[0].0, *definition, "the same as JSON lines");
}

#[test]
fn every_mistake_is_reported_with_its_place() {
    let text = "[[rule]]\nid = \"a b\"\nstation = \"nowhere\"\nwhen = \"TMIM <= 1\"\nemail = \"x\"\n\
                [[rule]]\nid = \"c\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= \"\n\
                [[rule]]\nid = \"c\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= 1.0\"\n\
                [[rule]]\nid = 3\nstatoin = \"USW00003192\"\nfor_days = \"two\"\n";
    let mistakes = mistakes(text);
    let places: Vec<(usize, usize)> = mistakes.iter().map(|m| (m.position.line, m.position.column)).collect();
    assert_eq!(
        places,
        [(2, 6), (3, 11), (4, 9), (5, 9), (9, 17), (11, 6), (14, 1), (15, 6), (16, 1), (17, 12)],
        "{mistakes:#?}"
    );
    assert!(mistakes[5].message.contains("first in the table of line 6"), "{}", mistakes[5]);
    assert!(mistakes[6].message.contains("missing field `when`"), "{}", mistakes[6]);
    assert!(mistakes[8].message.contains("unknown field `statoin`, expected one of"), "{}", mistakes[8]);
}

#[test]
fn a_field_of_the_wrong_kind_does_not_hide_other_mistakes() {
    let rule = "[[rule]]\nid = \"a\"\nwhen = \"TMIN <\"\nstation = 7\nfor_days = 0\nmessage = \"{x}\"\n\
                [[rule]]\nid = \"a\"\nwhen = 3\nstation = \"USW00003192\"\nemail = \"x\"\n";
    let found = mistakes(rule);
    let lines: Vec<usize> = found.iter().map(|mistake| mistake.position.line).collect();
    assert_eq!(lines, [3, 4, 5, 6, 8, 9, 11], "{found:#?}");
}

#[test]
fn toml_mistakes_have_a_place() {
    let broken = mistakes("[[rule]\nid = 3\n[[rule]]\nid = \n");
    assert_eq!(broken[0].position.line, 1);
    assert!(broken.len() > 1, "not only the first: {broken:#?}");
    let other = mistakes("rules = 3\nrule = 4\n");
    assert!(other[0].message.contains("unknown name `rules`"), "{other:#?}");
    assert!(other[1].message.contains("[[rule]]"), "{other:#?}");
}

#[test]
fn what_does_not_fit_together_is_a_mistake() {
    let rule = |fields: &str| {
        mistakes(&format!("[[rule]]\nid = \"r\"\nwhen = \"TMIN <= 1.0\"\n{fields}\n"))
            .iter()
            .map(|mistake| mistake.message.clone())
            .collect::<Vec<_>>()
            .join("; ")
    };
    assert!(rule("").contains("no place"), "{}", rule(""));
    assert!(rule("station = \"USW00003192\"\nwhere = \"true\"").contains("more than one place"));
    assert!(rule("station = \"USW00003192\"\nrepeat_days = 3").contains("needs `clear`"));
    assert!(rule("station = \"USW00003192\"\nfor_days = 2").contains("needs `clear`"));
    assert_eq!(rule("station = \"USW00003192\"\nfor_days = 1"), "");
    assert!(rule("near = { lat = 91, lon = 0 }").contains("lat = 91"));
    assert!(rule("near = { lat = 9 }").contains("missing field `lon`"));
    assert!(rule("where = \"TMIN < 3.0\"").contains("by `station` alone"));
    assert!(rule("station = \"USW00003192\"\nsubscribers = [\"x\"]").contains("unknown subscriber `x`"));
    assert!(rule("station = \"USW00003192\"\nmessage = \"{TMIX}\"").contains("unknown field {TMIX}"));
    assert!(rule("station = \"USW00003192\"\nseverity = \"bad\"").contains("expected one of `info`"));
    assert!(rule("station = \"USW00003192\"\nemail = \"secret\"").contains("one address"));
    assert!(!rule("station = \"USW00003192\"\nemail = \"secret\"").contains("secret"));
}

#[test]
fn a_crop_takes_the_place_of_a_condition() {
    let rule = |fields: &str| format!("[[rule]]\nid = \"r\"\nstation = \"USW00003192\"\n{fields}\n");
    let file = parse(&rule("crop = \"peach\"\nstage = \"full bloom\"\nchance = 0.2")).unwrap();
    assert_eq!(file.rules[0].1.when.text(), "chance(-2.8) >= 0.2");
    let found = |fields: &str| -> Vec<(usize, String)> {
        mistakes(&rule(fields)).into_iter().map(|found| (found.position.line, found.message)).collect()
    };
    // One mistake each, at its own line.
    for (fields, line, word) in [
        ("crop = \"peech\"\nstage = \"full bloom\"", 4, "apple, apricot"),
        ("crop = \"peach\"\nstage = \"bloom\"", 5, "calyx green"),
        ("crop = \"peach\"", 4, "needs `stage`"),
        ("crop = 3\nstage = \"full bloom\"", 4, "expected a string"),
        ("crop = \"peach\"\nstage = 3", 5, "expected a string"),
        ("crop = \"peach\"\nstage = \"full bloom\"\nwhen = \"TMIN < 0.0\"", 6, "remove one of the two"),
        ("when = \"TMIN < 0.0\"\nstage = \"full bloom\"", 5, "belongs to `crop`"),
        ("crop = \"peach\"\nstage = \"full bloom\"\nfor_days = 2", 6, "a rule about a night"),
        ("", 1, "missing field `when`"),
    ] {
        let found = found(fields);
        assert!(found.len() == 1 && found[0].0 == line && found[0].1.contains(word), "{fields}: {found:?}");
    }
}

#[test]
fn an_id_that_may_be_an_address_is_not_repeated() {
    for id in ["15551234567", "+15551234567", "grower@example.org", "0664 9876543"] {
        let rule =
            format!("[[rule]]\nid = \"{id}\"\nwhen = \"TMIN < 1.0\"\nsubscribers = [\"{id}\", \"{id}\"]\n");
        let text = format!("{rule}{rule}[[subscriber]]\nid = \"{id}\"\n").repeat(2);
        let found = mistakes(&text);
        assert!(found.len() > 5, "{found:#?}");
        assert!(found.iter().all(|mistake| !mistake.message.contains(id)), "{found:#?}");
        let unknown = mistakes(&rule);
        assert!(unknown.iter().any(|mistake| mistake.message.contains("unknown subscriber (not shown")));
    }
}

#[test]
fn mistakes_of_moments_have_a_column() {
    let found =
        mistakes("[[rule]]\nid = \"r\"\nstation = \"USW00003192\"\nwhen = \"T < 0.0 && chance(T) > 0.3\"\n");
    assert_eq!((found[0].position.line, found[0].position.column), (4, 20), "{found:?}");
}

#[test]
fn an_id_is_a_name_and_not_a_step_in_a_path() {
    let rule =
        |id: &str| format!("[[rule]]\nid = \"{id}\"\nstation = \"USW00003192\"\nwhen = \"TMIN < 1.0\"\n");
    for id in [".", "..", "..."] {
        let found = mistakes(&rule(id));
        assert!(found[0].message.contains("not only dots"), "{found:#?}");
    }
    assert!(parse(&rule("a..b.")).is_ok());
}

#[test]
fn misspelt_words_come_with_a_suggestion() {
    let rule = "[[rule]]\nid = \"r\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= 0.0\"\n";
    for (from, to, advice) in [
        ("when", "whn", "did you mean `when`?"),
        ("TMIN", "TMNI", "did you mean `TMIN`?"),
        ("[[rule]]", "[[rules]]", "did you mean `rule`?"),
        ("id = \"r\"", "id = \"r\"\nseverity = \"warnign\"", "did you mean `warning`?"),
        ("id = \"r\"", "id = \"r\"\nsubscribers = [\"ana\"]", "did you mean `anna`?"),
    ] {
        let anna =
            "[[subscriber]]\nid = \"anna\"\nemail = \"a@example.org\"\ntimezone = \"America/Phoneix\"\n";
        let found = mistakes(&format!("{}{anna}", rule.replacen(from, to, 1)));
        assert!(found.iter().any(|mistake| mistake.message.contains(advice)), "{advice}: {found:#?}");
        let zone = "did you mean `America/Phoenix`?";
        assert!(found.iter().any(|mistake| mistake.message.contains(zone)), "{found:#?}");
    }
    let other = mistakes("DATE;TMIN\n2024-01-01;3\n");
    assert!(other.len() <= UNREADABLE_MAX + 1, "{other:#?}");
}

#[test]
fn a_large_file_of_mistakes_is_refused_at_once() {
    let refused = |text: &str| {
        RuleFile::parse(text, &mut Conditions::default(), &|_| false).err().expect("mistakes").len()
    };
    assert_eq!(refused(&"= \n".repeat(20_000)), UNREADABLE_MAX + 1);
    assert_eq!(refused(&"= \n".repeat(1_000_000)), 1, "the first of a file that is too large for all");
    let unknown: String = (0..100_000).map(|n| format!("unknown-{n} = 1\n")).collect();
    assert_eq!(refused(&unknown), MISTAKES_MAX);
    assert_eq!(refused(&"[[subscriber]]\n".repeat(100_000)), MISTAKES_MAX);
    assert_eq!(refused(&"{\"x\":1}\n".repeat(100_000)), UNREADABLE_MAX + 1);
}
