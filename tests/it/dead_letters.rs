//! Dead letters seen and retried, on a real broker.

use crate::support::{Frostline, Needs, Test, Topics, test};

const BROKER: &[Needs] = &[Needs::Broker];

pub fn tests() -> Vec<Test> {
    vec![test("a_dead_letter_is_retried_once_and_counts", BROKER, retried_once)]
}

fn retried_once() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    let file = |text: &str| std::fs::write(dir.path().join("stations.csv"), text).unwrap();
    let run = |arguments: &[&str]| -> Frostline {
        topics.frostline().args(arguments.iter().copied()).in_dir(dir.path())
    };
    std::fs::write(dir.path().join("countries.txt"), "US United States\n").unwrap();
    std::fs::write(dir.path().join("states.txt"), "AZ ARIZONA\n").unwrap();
    let import =
        ["stations", "import", "stations.csv", "--countries", "countries.txt", "--states", "states.txt"];
    let line = |id: &str, name: &str| format!("{id}  33.4300 -112.0000  339.2 AZ {name:<30}              \n");
    file(&line("USC00020001", "ONE"));
    run(&import).run().expect_code(0);
    topics.send(
        "noaa-csv-raw",
        &[
            (Some(b"USC00020002"), Some(b"USC00020002,20240101,TMIN,-11,,,7,")),
            (Some(b"USC00020001"), Some(b"no line at all")),
        ],
    );
    let stages = ["run", "--stages", "assemble", "--until-caught-up", "--json"];
    assert_eq!(run(&stages).run().expect_code(0).summary()["dead_letters"], 2);
    let listed = run(&["dead-letters", "list"]).run().expect_code(0);
    assert!(
        listed.out.contains("2 dead letters") && listed.out.contains("not in the station table"),
        "{listed}"
    );
    let unknown = run(&["dead-letters", "list", "--reason", "station table", "--json"]).run().expect_code(0);
    let unknown = unknown.json_lines();
    assert_eq!((unknown.len(), &unknown[0]["key"]), (1, &"USC00020002".into()));
    let place = unknown[0]["place"].as_str().unwrap();
    let shown = run(&["dead-letters", "show", place]).run().expect_code(0);
    assert!(
        shown.out.contains("USC00020002,20240101,TMIN,-11") && shown.out.contains("trace: abc"),
        "{shown}"
    );
    // Nothing happens by looking.
    let dry = run(&["dead-letters", "retry", "--all", "--dry-run", "--json"]).run().expect_code(0).summary();
    assert_eq!((&dry["retried"], &dry["chosen"]), (&0.into(), &2.into()));

    // The station is known now: what was lost is processed.
    file(&(line("USC00020001", "ONE") + &line("USC00020002", "TWO")));
    run(&import).run().expect_code(0);
    let retried = run(&["dead-letters", "retry", place]).run().expect_code(0);
    assert!(retried.out.contains("1 went back to"), "{retried}");
    assert_eq!(run(&stages).run().expect_code(0).summary()["observations"], 1);
    let observation = &topics.records("noaa-json")[0];
    assert_eq!(observation["value"]["TMIN"], -1.1);
    let source = topics.records("noaa-csv-raw");
    let back = source.iter().find(|record| record["headers"]["frostline-retried-from"] == place).unwrap();
    assert_eq!((&back["key"], &back["headers"]["trace"]), (&"USC00020002".into(), &"abc".into()));

    // Once.
    let again = run(&["dead-letters", "retry", place]).run().expect_code(1);
    assert!(again.err.contains("was retried before"), "{again}");
    let all = run(&["dead-letters", "retry", "--all", "--json"]).run().expect_code(0).summary();
    assert_eq!(all["retried"], 1, "the other one: {all}");
    // It fails again, as a new dead letter; the two old ones are done with.
    assert_eq!(run(&stages).run().expect_code(0).summary()["dead_letters"], 1);
    let left = run(&["dead-letters", "list", "--json"]).run().expect_code(0).json_lines();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(run(&["dead-letters", "list", "--retried", "--json"]).run().json_lines().len(), 3);
    assert!(run(&["dead-letters", "show", "0@99999"]).run().expect_code(2).err.contains("no dead letter"));
}
