//! Changes of the rules in their topic: shown, made, and not mixed with those of others.

use frostline::publishing::{Live, PublishError, plan};

use crate::live_rules::{FARM, SCOTTSDALE, apply, command, folder, rule};
use crate::support::{Needs, Test, Topics, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("rules_are_applied_listed_exported_and_removed", &[Needs::Broker], apply_and_remove),
        test("two_who_change_the_rules_at_once_do_not_mix", &[Needs::Broker], overtaken),
    ]
}

fn apply_and_remove() {
    let topics = Topics::create();
    let one =
        FARM.to_owned() + &rule("frost", SCOTTSDALE, "when = \"TMIN <= 10.0\"\nsubscribers = [\"farm\"]");
    let dir = folder(&one);
    let dry =
        command(&topics, &dir, &["rules", "apply", "rules.toml", "--dry-run", "--json"]).run().expect_code(0);
    assert_eq!((&dry.summary()["added"], &dry.summary()["published"]), (&2.into(), &false.into()));
    // Nobody was asked: stdin is no terminal.
    let refused = command(&topics, &dir, &["rules", "apply", "rules.toml"]).run().expect_code(2);
    assert!(refused.err.contains("--yes") && refused.out.contains("+ rule `frost`"), "{refused}");
    assert!(!refused.out.contains("example.org"), "addresses are not shown: {refused}");
    assert!(topics.records("noaa-rules").is_empty());
    assert_eq!(apply(&topics, &dir, &one)["added"], 2);
    assert_eq!(apply(&topics, &dir, &one)["unchanged"], 2);
    // An address changes without the rule; a rule changes without the subscriber.
    let other_address = one.replace("grower@", "boss@");
    let changed = apply(&topics, &dir, &other_address);
    assert_eq!((&changed["changed"], &changed["unchanged"]), (&1.into(), &1.into()));
    // Whoever is not in the file any more is removed, unless it names nobody.
    let other = other_address.replace("farm", "town");
    let changed = apply(&topics, &dir, &other);
    assert_eq!(
        (&changed["added"], &changed["changed"], &changed["removed"]),
        (&1.into(), &1.into(), &1.into())
    );
    apply(&topics, &dir, &other_address);
    let two = rule("frost", SCOTTSDALE, "when = \"TMIN <= 8.0\"\nsubscribers = [\"farm\"]")
        + &rule("heat", SCOTTSDALE, "when = \"TMAX >= 45.0\"");
    let changed = apply(&topics, &dir, &two);
    assert_eq!(
        (&changed["added"], &changed["changed"], &changed["removed"]),
        (&1.into(), &1.into(), &0.into())
    );
    let list = command(&topics, &dir, &["rules", "list", "--json"]).run().expect_code(0).json_lines();
    let versions: Vec<(&str, u64)> =
        list.iter().map(|rule| (rule["id"].as_str().unwrap(), rule["version"].as_u64().unwrap())).collect();
    assert_eq!(versions, [("frost", 4), ("heat", 1)]);
    let shown = command(&topics, &dir, &["rules", "show", "frost"]).run().expect_code(0);
    assert!(shown.out.contains("version 4") && shown.out.contains("TMIN <= 8.0"), "{shown}");
    command(&topics, &dir, &["rules", "show", "none"]).run().expect_code(1);
    // What is exported is what is published.
    for form in [&["rules", "export"][..], &["rules", "export", "--json"]] {
        let exported = command(&topics, &dir, form).run().expect_code(0).out;
        assert!(exported.contains("boss@example.org"), "{exported}");
        assert_eq!(apply(&topics, &dir, &exported)["unchanged"], 3, "{exported}");
    }
    // Mistakes publish nothing, and all are told.
    std::fs::write(dir.path().join("rules.toml"), rule("a b", SCOTTSDALE, "when = \"TMIM < 1.0\"")).unwrap();
    let mistakes = command(&topics, &dir, &["rules", "apply", "rules.toml", "--yes"]).run().expect_code(2);
    assert!(mistakes.out.contains("rules.toml:2:6") && mistakes.out.contains("rules.toml:4:9"), "{mistakes}");
    let refused =
        command(&topics, &dir, &["rules", "remove", "--subscriber", "farm", "--yes"]).run().expect_code(2);
    assert!(refused.err.contains("rule `frost` still names"), "{refused}");
    let removed =
        command(&topics, &dir, &["rules", "remove", "frost", "--subscriber", "farm", "--yes", "--json"]);
    assert_eq!(removed.run().expect_code(0).summary()["removed"], 2);
    command(&topics, &dir, &["rules", "remove", "frost", "--yes"]).run().expect_code(2);
    std::fs::write(dir.path().join("rules.toml"), "").unwrap();
    let empty = command(&topics, &dir, &["rules", "apply", "rules.toml", "--yes"]).run().expect_code(2);
    assert!(
        empty.err.contains("rules remove"),
        "a file that was cut off must not remove everything: {empty}"
    );
}

/// The one who has begun last may publish; the other one has planned on rules that may be replaced.
fn overtaken() {
    let topics = Topics::create();
    let config = topics.config();
    let file = |id: &str| rule(id, SCOTTSDALE, "when = \"TMIN <= 10.0\"");
    let live = Live::connect_blocking(&config).unwrap();
    let first = live.turn().unwrap();
    let planned = plan(&config, &live, &(file("one") + &file("two"))).unwrap();
    let second = live.turn().unwrap();
    plan(&config, &live, &file("three")).unwrap().publish(&second, &mut || ()).unwrap();
    let refused = planned.publish(&first, &mut || ()).unwrap_err();
    assert!(matches!(refused, PublishError::Overtaken), "{refused}");
    let ids: Vec<String> = live.published().unwrap().rules.into_keys().collect();
    assert_eq!(ids, ["three"]);
}
