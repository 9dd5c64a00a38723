//! Sets of rules: who watches which station.

use super::*;
use crate::noaa::ObservationView;

fn ids(rules: &RuleSet, document: &str) -> Vec<String> {
    let view = ObservationView::parse(document.as_bytes()).unwrap();
    let found = rules.of_station(&view.station, &Evaluator::new(), Feed::DAYS);
    found.iter().map(|rule| rule.id.to_string()).collect()
}

const SCOTTSDALE: &str = r#"{"station":{"id":"USW00003192","state_code":"AZ"},"date":"2016-02-24"}"#;
const AJO: &str = r#"{"station":{"id":"USC00020080","state_code":"AZ"},"date":"2016-02-24"}"#;

#[test]
fn rules_come_and_go() {
    let rules = RuleSet::parse(
        "[[rule]]\nid = \"b\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= 10.0\"\nemail = \"a@example.org\"\n\
         [[rule]]\nid = \"a\"\nwhere = \"station.state_code == 'AZ'\"\nwhen = \"TMIN <= 0.0\"\n",
    )
    .unwrap();
    assert_eq!(ids(&rules, SCOTTSDALE), ["a", "b"]);
    assert_eq!(ids(&rules, AJO), ["a"]);
    let before = rules.generation();
    rules.remove("a");
    assert!(rules.generation() > before);
    assert!(ids(&rules, AJO).is_empty() && !rules.has_conditions(Feed::DAYS));
    let moved = "[[rule]]\nid = \"b\"\nstation = \"USC00020080\"\nwhen = \"TMIN <= 10.0\"\n";
    let file = RuleFile::parse(moved, &mut Conditions::default(), &|_| false).unwrap();
    file.rules.into_iter().for_each(|(_, rule)| rules.put(rule));
    assert!(ids(&rules, SCOTTSDALE).is_empty());
    assert_eq!(ids(&rules, AJO), ["b"]);
    assert_eq!(rules.len(), 1);
}

fn put(rules: &RuleSet, text: &str) {
    let file = RuleFile::parse(text, &mut Conditions::default(), &|_| false).unwrap();
    file.rules.into_iter().for_each(|(_, rule)| rules.put(rule));
}

#[test]
fn a_station_that_was_found_for_near_stays_until_something_else_is_asked() {
    let near = "[[rule]]\nid = \"n\"\nnear = { lat = 33.6, lon = -111.9 }\nwhen = \"TMIN <= 0.0\"\n";
    let rules = RuleSet::parse(near).unwrap();
    assert!(ids(&rules, SCOTTSDALE).is_empty());
    let (rule, point) = rules.unresolved().pop().unwrap();
    let station = StationId::parse(b"USW00003192").unwrap();
    let (placed, generation) = (rules.place_nearest(&rule, point, station).unwrap(), rules.generation());
    assert_eq!((ids(&rules, SCOTTSDALE), rules.unresolved().len(), generation), (vec!["n".into()], 0, 2));
    assert!(rules.place_nearest(&rule, point, station).is_none(), "it is not in force any more");
    let definition = crate::rules::Definition { near: Some(point), ..crate::rules::Definition::default() };
    let definition = crate::rules::Definition { id: "n".into(), when: "TMIN <= 0.0".into(), ..definition };
    let compiled = definition.compile(0, Some(station), &mut Conditions::default()).unwrap();
    assert_eq!(placed.identity, compiled.identity, "memories of days stay");
    put(&rules, &near.replace("0.0", "-2.0"));
    assert_eq!(ids(&rules, SCOTTSDALE), ["n"], "other limits, the same place");
    put(&rules, &near.replace("TMIN", "TMAX"));
    assert_eq!(rules.unresolved().len(), 1, "the station was found for another element");
    rules.note_nearest(&rule, point, station);
    put(&rules, near);
    assert_eq!(ids(&rules, SCOTTSDALE), ["n"]);
}

#[test]
fn a_rule_that_is_set_aside_comes_back_only_changed() {
    let text = "[[rule]]\nid = \"a\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= 0.0\"\n\
                [[rule]]\nid = \"b\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= 0.0\"\n";
    let rules = RuleSet::parse(text).unwrap();
    let (rule, generation) = (rules.get("a").unwrap(), rules.generation());
    rules.set_aside(&rule, "it panicked");
    assert!(rules.generation() > generation, "tasks must look again");
    assert_eq!(ids(&rules, SCOTTSDALE), ["b"]);
    assert_eq!(rules.quarantined()[&Key::Rule("a".into())], "it panicked");
    let file = RuleFile::parse(text, &mut Conditions::default(), &|_| false).unwrap();
    file.rules.into_iter().for_each(|(_, rule)| rules.put(rule));
    assert_eq!((ids(&rules, SCOTTSDALE).len(), rules.quarantined_count()), (2, 0));
    rules.set_aside(&rule, "it panicked");
    assert_eq!(ids(&rules, SCOTTSDALE).len(), 2, "the one that has replaced it stays");
}

/// Each stage gets the rules that it can feed, by one index.
#[test]
fn each_stage_gets_the_rules_of_its_feeds() {
    let rules = RuleSet::parse(
        "[[rule]]\nid = \"day\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= 0.0\"\n\
         [[rule]]\nid = \"hour\"\nstation = \"USW00003192\"\nwhen = \"T <= 0.0\"\n\
         [[rule]]\nid = \"night\"\nwhere = \"station.state_code == 'AZ'\"\nwhen = \"chance(-2) > 0.3\"\n\
         [[rule]]\nid = \"now\"\nwhere = \"station.state_code == 'AZ'\"\nwhen = \"WETBULB < 0.0\"\n",
    )
    .unwrap();
    let of = |document: &str, feeds: &[Feed]| -> Vec<String> {
        let view = ObservationView::parse(document.as_bytes()).unwrap();
        let found = rules.of_station(&view.station, &Evaluator::new(), feeds);
        found.iter().map(|rule| rule.id.to_string()).collect()
    };
    assert_eq!(of(SCOTTSDALE, Feed::DAYS), ["day"]);
    assert_eq!(of(SCOTTSDALE, Feed::MOMENTS), ["hour", "night", "now"]);
    assert_eq!(of(SCOTTSDALE, &[Feed::Night]), ["night"]);
    assert_eq!(of(AJO, Feed::MOMENTS), ["night", "now"]);
    assert!(
        !rules.has_conditions(Feed::DAYS),
        "no day need be read for what chooses its stations by a condition"
    );
    assert!(rules.has_conditions(Feed::MOMENTS));
    let station = StationId::parse(b"USW00003192").unwrap();
    assert!(rules.names(station, Feed::DAYS) && rules.names(station, Feed::MOMENTS));
    put(&rules, "[[rule]]\nid = \"day\"\nstation = \"USW00003192\"\nwhen = \"T <= 0.0\"\n");
    assert!(!rules.names(station, Feed::DAYS), "what was a rule about days is one about hours");
    put(&rules, "[[rule]]\nid = \"now\"\nwhere = \"station.state_code == 'AZ'\"\nwhen = \"TMIN < 0.0\"\n");
    assert_eq!(of(AJO, Feed::DAYS), ["now"]);
    assert_eq!(of(AJO, Feed::MOMENTS), ["night"]);
}

/// A station that was found for days need not report hours.
#[test]
fn a_station_that_was_found_for_days_is_not_one_for_hours() {
    let near = "[[rule]]\nid = \"n\"\nnear = { lat = 33.6, lon = -111.9 }\nwhen = \"TMIN <= 0.0\"\n";
    let rules = RuleSet::parse(near).unwrap();
    let (rule, point) = rules.unresolved().pop().unwrap();
    let station = StationId::parse(b"USW00003192").unwrap();
    rules.place_nearest(&rule, point, station).unwrap();
    put(&rules, &near.replace("TMIN", "T"));
    let (rule, point) = rules.unresolved().pop().expect("it is looked for among stations with hours");
    rules.place_nearest(&rule, point, station).unwrap();
    put(&rules, &near.replace("TMIN <= 0.0", "night.min <= 0.0"));
    assert!(rules.unresolved().is_empty(), "a station with hours has nights too");
}
