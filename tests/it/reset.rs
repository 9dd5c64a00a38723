//! The alert stage set back, so that new rules judge what was read before: each alert once, whatever dies meanwhile.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use frostline::noaa::Date;
use frostline_engine::record::{DAY_MS, unix_ms};
use serde_json::Value;

use crate::support::{Frostline, Needs, Test, Topics, test, wait_for};

pub fn tests() -> Vec<Test> {
    vec![
        test("a_new_rule_judges_history_exactly_once", &[Needs::Broker], new_rule),
        test("a_stage_is_not_reset_while_it_runs", &[Needs::Broker], running_stage),
        test("a_stage_is_set_back_to_a_day_that_it_remembers", &[Needs::Broker], days),
        test("stages_that_would_write_twice_are_not_reset", &[], other_stages),
    ]
}

const STATIONS: usize = 80;
const FIRST_DAY: i32 = 17_000;
const DAYS: i32 = 50;

const OLD_RULES: &str = r#"
[[rule]]
id = "old-days"
where = "true"
when = "TMIN <= 0.0"

[[rule]]
id = "old-episodes"
where = "true"
when = "TMIN <= -1.0"
clear = "TMIN > 4.0"
"#;

const NEW_RULES: &str = r#"
[[rule]]
id = "new-days"
where = "true"
when = "TMIN <= 1.0"

[[rule]]
id = "new-episodes"
where = "true"
when = "TMIN <= 2.0"
clear = "TMIN > 6.0"
repeat_days = 7
"#;

/// A folder whose configuration follows the rules' topic, and alerts on all observations.
fn folder(rules: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let config = "[alert]\nsource = \"noaa-json\"\nrules = \"topic\"\n";
    std::fs::write(dir.path().join("frostline.toml"), config).unwrap();
    std::fs::write(dir.path().join("rules.toml"), rules).unwrap();
    dir
}

fn command(topics: &Topics, dir: &Path, line: &str) -> Frostline {
    topics.frostline().args(line.split(' ')).in_dir(dir)
}

fn apply(topics: &Topics, dir: &Path, rules: &str, more: &str) {
    std::fs::write(dir.join("rules.toml"), rules).unwrap();
    let line = format!("rules apply rules.toml --yes --json{more}");
    command(topics, dir, &line).run().expect_code(0);
}

/// One worker commits for all partitions, often.
fn run(topics: &Topics, dir: &Path) -> Frostline {
    let line = "run --stages alert --until-caught-up --json --workers 1 --set runtime.commit_interval_ms=5";
    command(topics, dir, line)
}

/// What a run has alerted, and what was known already.
fn judged(run: Frostline) -> (u64, u64) {
    let summary = run.run().expect_code(0).summary();
    (summary["alerts"].as_u64().unwrap(), summary["duplicates"].as_u64().unwrap())
}

fn station(number: usize) -> String {
    format!("USC{number:08}")
}

fn document(number: usize, day: i32, tmin: i32, revision: u32) -> (String, String) {
    let (id, date) = (station(number), Date::from_days_since_1970(day).unwrap());
    let value = format!(
        r#"{{"station":{{"id":"{id}"}},"date":"{date}","revision":{revision},"TMIN":{}}}"#,
        f64::from(tmin)
    );
    (id, value)
}

/// The observations of a day, corrections behind them. Some stations are silent for two weeks, some for good.
fn documents(day: i32) -> Vec<(String, String)> {
    let tmin = |number: usize| (7 * i32::try_from(number).unwrap() + 3 * day) % 11 - 3;
    let is_silent = |number: &usize| {
        number.is_multiple_of(5) && (20..33).contains(&day) || number.is_multiple_of(7) && day > 40
    };
    let there: Vec<usize> = (0..STATIONS).filter(|number| !is_silent(number)).collect();
    let first = there.iter().map(|number| document(*number, FIRST_DAY + day, tmin(*number), 1));
    let corrected = there.iter().filter(|number| number.is_multiple_of(3) && day % 9 == 0);
    let second = corrected.map(|number| document(*number, FIRST_DAY + day, tmin(*number) + 4, 2));
    first.chain(second).collect()
}

fn send_at(topics: &Topics, timestamp_ms: i64, documents: &[(String, String)]) {
    let records: Vec<_> =
        documents.iter().map(|(key, value)| (Some(key.as_bytes()), Some(value.as_bytes()))).collect();
    topics.send_at(timestamp_ms, "noaa-json", &records);
}

fn send(topics: &Topics, days: std::ops::Range<i32>) {
    send_at(topics, -1, &days.flat_map(documents).collect::<Vec<_>>());
}

/// How often each alert is in the topic.
fn alerts(topics: &Topics) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for alert in topics.values("noaa-json-alerts") {
        *counts.entry(alert["alert_id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}

/// The alerts of all rules over the whole topic, judged from the beginning.
fn expected(topics: &Topics, dir: &Path) -> BTreeMap<String, usize> {
    let line = "rules backtest --topic noaa-json --rules rules.toml --alerts --json";
    let lines = command(topics, dir, line).run().expect_code(0).json_lines();
    lines.iter().filter_map(|line| Some((line["alert_id"].as_str()?.to_owned(), 1))).collect()
}

/// Old rules have judged everything; new ones are published, and the stage is killed twice while they judge it too.
fn new_rule() {
    let all = format!("{OLD_RULES}{NEW_RULES}");
    let (topics, dir) = (Topics::create(), folder(OLD_RULES));
    let dir = dir.path();
    apply(&topics, dir, OLD_RULES, "");
    send(&topics, 0..DAYS);
    topics.send("noaa-json", &[(Some(b"USC00000001"), Some(b"{"))]);
    let (of_old_rules, _) = judged(run(&topics, dir));
    apply(&topics, dir, &all, " --judge-since earliest");
    // The next day moves the calendar on: stations that are silent for good become stale for new rules as well.
    send(&topics, DAYS..DAYS + 1);
    let stubborn = || {
        let settings = ["runtime.group_instance_id=one", "runtime.session_timeout_ms=6000"];
        run(&topics, dir).args(settings.into_iter().flat_map(|setting| ["--set", setting]))
    };
    for point in ["after-produce:1", "after-commit:1"] {
        stubborn().env("FROSTLINE_FAULT_POINT", point).run().expect_code(134);
    }
    judged(stubborn());
    let expected = expected(&topics, dir);
    for kind in ["fired", "resolved", "stale", "retracted"] {
        let found = expected.keys().filter(|id| id.starts_with("new-episodes/") && id.contains(kind)).count();
        assert!(found > 5, "{found} alerts of the kind {kind}");
    }
    assert_same(&alerts(&topics), &expected);
    // Again, when the name of the static member has timed out: all is known already.
    let summary = wait_for("an empty group", Duration::from_secs(60), || {
        let outcome = command(&topics, dir, "reset --stage alert --to earliest --yes --json").run();
        (outcome.code == Some(0)).then(|| outcome.summary())
    });
    assert_eq!(summary["reset"], true);
    let records: usize = (0..DAYS + 1).map(|day| documents(day).len()).sum();
    assert_eq!(summary["records"], records + 1, "records are counted, not offsets");
    let (fresh, known) = judged(run(&topics, dir));
    assert!(fresh == 0 && known > of_old_rules / 2, "{fresh} new, {known} known");
    assert_same(&alerts(&topics), &expected);
    assert_eq!(topics.records("noaa-dead-letters").len(), 1, "a dead letter is written once, too");
}

fn assert_same(found: &BTreeMap<String, usize>, expected: &BTreeMap<String, usize>) {
    let twice: Vec<_> = found.iter().filter(|(_, count)| **count > 1).take(5).collect();
    assert!(twice.is_empty(), "more than once: {twice:?}");
    let missing: Vec<_> = expected.keys().filter(|id| !found.contains_key(*id)).take(5).collect();
    let more: Vec<_> = found.keys().filter(|id| !expected.contains_key(*id)).take(5).collect();
    assert!(missing.is_empty() && more.is_empty(), "missing {missing:?}, more {more:?}");
}

/// Offsets of a stage that runs are its own: neither command changes anything.
fn running_stage() {
    let (topics, dir) = (Topics::create(), folder(OLD_RULES));
    let dir = dir.path();
    apply(&topics, dir, OLD_RULES, "");
    send(&topics, 0..1);
    let daemon =
        command(&topics, dir, "run --stages alert").env("FROSTLINE_ADMIN_LISTEN", "127.0.0.1:0").start();
    wait_for("alerts", Duration::from_secs(60), || (!alerts(&topics).is_empty()).then_some(()));
    let refused = command(&topics, dir, "reset --stage alert --to earliest --yes").run().expect_code(2);
    for part in
        ["nothing was changed: stage alert is running", "frostline-alert: 127.0.0.1:", "Stop these daemons"]
    {
        assert!(refused.err.contains(part), "{part}: {refused}");
    }
    let published = topics.records("noaa-rules").len();
    std::fs::write(dir.join("rules.toml"), format!("{OLD_RULES}{NEW_RULES}")).unwrap();
    let line = "rules apply rules.toml --yes --judge-since earliest";
    let refused = command(&topics, dir, line).run().expect_code(2);
    assert!(refused.err.contains("nothing was published: stage alert is running"), "{refused}");
    assert_eq!(topics.records("noaa-rules").len(), published);
    // Looking changes nothing, and may be done at any time.
    let dry = "rules apply rules.toml --dry-run --json --judge-since earliest";
    let dry = command(&topics, dir, dry).run().expect_code(0).summary();
    assert_eq!((&dry["reset"], &dry["stage"]), (&Value::Bool(false), &"alert".into()));
    daemon.signal("TERM");
    daemon.wait().expect_code(0);
    let asked = command(&topics, dir, "reset --stage alert --to earliest").run().expect_code(2);
    assert!(asked.err.contains("--yes") && asked.out.contains("back to 0"), "{asked}");
    let reset = command(&topics, dir, "reset --stage alert --to earliest --yes").run().expect_code(0);
    let sentence = format!("reads {} records again at its next start", documents(0).len());
    assert!(reset.out.contains(&sentence), "{reset}");
    assert!(judged(run(&topics, dir)).1 > 0);
}

/// Records are chosen by the time at which they came; those that the stage may have forgotten are not read again.
fn days() {
    let (topics, dir) = (Topics::create(), folder(OLD_RULES));
    let dir = dir.path();
    let frost = |number: usize| document(number, FIRST_DAY, -1, 1);
    let days_ago = |days: i64| unix_ms() - days * DAY_MS;
    apply(&topics, dir, OLD_RULES, "");
    let reset = |to: &str| command(&topics, dir, &format!("reset --stage alert --to {to} --yes --json"));
    let date = |days: i64| Date::from_unix_ms(days_ago(days)).unwrap().to_string();
    assert_eq!(reset("earliest").run().expect_code(0).summary()["records"], 0, "nothing is committed yet");
    for (days, number) in [(9, 1), (6, 2), (6, 3), (2, 4)] {
        send_at(&topics, days_ago(days), &[frost(number)]);
    }
    assert_eq!(judged(run(&topics, dir)), (8, 0));
    for (days, records) in [(1, 0), (4, 1), (7, 3), (30, 4)] {
        let line = format!("reset --stage alert --to {} --dry-run --json", date(days));
        let summary = command(&topics, dir, &line).run().expect_code(0).summary();
        assert_eq!((&summary["records"], &summary["reset"]), (&records.into(), &false.into()));
    }
    assert_eq!(reset(&date(7)).run().expect_code(0).summary()["records"], 3);
    assert_eq!(
        reset(&date(7)).run().expect_code(0).summary()["reset"],
        false,
        "it has been set back already"
    );
    assert_eq!(judged(run(&topics, dir)), (0, 6));
    // What is older than the memory stays read, for whichever date was asked.
    send_at(&topics, days_ago(500), &[frost(5)]);
    judged(run(&topics, dir));
    std::fs::write(dir.join("rules.toml"), format!("{OLD_RULES}{NEW_RULES}")).unwrap();
    let apply = command(&topics, dir, "rules apply rules.toml --yes --judge-since earliest");
    for command in [reset("earliest"), apply] {
        let refused = command.run().expect_code(2);
        for part in ["nothing was changed", "remembered for 400 days", "a later date"] {
            assert!(refused.err.contains(part), "{part}: {refused}");
        }
    }
    assert_eq!(topics.records("noaa-rules").len(), 2, "nothing was published either");
}

fn other_stages() {
    for (stage, reason) in [
        ("filter", "it keeps no state"),
        ("enrich", "it keeps no state"),
        ("notify", "it keeps no state"),
        ("assemble", "undo a later correction"),
        ("deliver", "sent again"),
        ("alrt", "unknown stage `alrt`"),
    ] {
        let line = ["reset", "--stage", stage, "--to", "2026-11-01", "--brokers", "127.0.0.1:1"];
        let refused = Frostline::new().args(line).run().expect_code(2);
        assert!(refused.err.contains(reason), "{refused}");
    }
    let wrong =
        Frostline::new().args(["reset", "--stage", "alert", "--to", "yesterday"]).run().expect_code(2);
    assert!(wrong.err.contains("2026-11-01, or `earliest`"), "{wrong}");
}
