//! `frostline chaos` itself: it finds nothing where nothing is broken, and finds each protocol that is
//! broken on purpose. The broker is shared with the other tests, so it is never restarted here. Bugs that the engine's
//! simulation finds in seconds (`frostline-engine`, `sim::world`) are planted here in long runs only.

use std::time::Duration;

use serde_json::Value;

use crate::support::{CALM, Frostline, Needs, Test, Topics, broker, script, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("chaos_makes_and_grows_topics_and_finds_who_cannot", &[Needs::Broker], changed_topics),
        test("chaos_without_faults", &[Needs::Broker], chaos_without_faults),
        test("chaos_finds_commit_before_produce", &[Needs::Soak, Needs::Broker], || {
            finds("commit-before-produce", &["--rounds", "3", "--seed", "c0"], "lost")
        }),
        test("chaos_finds_sled_before_commit", &[Needs::Soak, Needs::Broker], || {
            finds("sled-before-commit", &["--rounds", "3", "--seed", "51ed"], "lost")
        }),
        test("chaos_on_three_brokers_that_die_in_turn", &[Needs::Soak], three_brokers),
        test("chaos_refuses_bugs_that_cannot_show", &[], chaos_refuses),
        test("chaos_interrupted_leaves_nothing", &[Needs::Broker], chaos_interrupted),
    ]
}

/// The longest test, with all faults: neither among the first, beside the other long ones, nor the last.
pub fn all_faults() -> Vec<Test> {
    vec![test("chaos_short", &[Needs::Broker], chaos_short)]
}

/// Those that wait for minutes, most of the time idle: they begin first, so that others run meanwhile.
pub fn long_tests() -> Vec<Test> {
    vec![
        test("chaos_finds_no_fencing", &[Needs::Soak, Needs::Broker], || {
            finds("no-fencing", &["--rounds", "5", "--seed", "f0"], "duplicated")
        }),
        test("chaos_finds_old_state_no_renaming_and_blind_readiness", &[Needs::Soak, Needs::Broker], || {
            let run = ["--rounds", "3", "--processes", "2", "--seed", "01d"];
            finds_all("old-state,no-renaming,blind-readiness", &run, &["state", "not_parted", "readiness"]);
        }),
        test("chaos_finds_stubborn_clock", &[Needs::Soak, Needs::Broker], || {
            let run = ["--rounds", "3", "--processes", "2", "--seed", "c10c"];
            finds("stubborn-clock", &run, "clock");
        }),
        test("chaos_finds_forgotten_nights", &[Needs::Soak, Needs::Broker], || {
            let run = ["--rounds", "3", "--processes", "2", "--seed", "c10c"];
            finds("forgotten-nights", &run, "unexpected");
        }),
        test("chaos_follows_services_and_finds_positions_apart", &[Needs::Broker], follows),
    ]
}

/// Other tests may run on the same cores at the same time.
const PATIENCE: Duration = Duration::from_secs(600);

const VIOLATIONS: &[&str] = &[
    "lost",
    "duplicated",
    "unexpected",
    "out_of_order",
    "aborted_seen",
    "alert_twice",
    "offset_back",
    "state",
    "died",
    "not_drained",
    "readiness",
    "not_parted",
    "earlier_topics",
    "misplaced",
    "clock",
    "position",
    "message_lost",
    "message_twice",
    "message_unfounded",
];

fn chaos(arguments: &[&str]) -> Frostline {
    let command = Frostline::new().args(["chaos", "--json", "--brokers", broker()]).args(CALM);
    command.args(arguments.iter().copied()).patience(PATIENCE)
}

fn assert_sound(summary: &Value) {
    assert_eq!(summary["ok"], true, "{summary:#}");
    for violation in VIOLATIONS {
        assert_eq!(summary[*violation], 0, "{violation}\n{summary:#}");
    }
    for written in ["assemble", "enrich", "filter", "alert", "outlook", "watch", "dead letters"] {
        let compared = summary["compared"][written].as_u64().unwrap();
        assert!(compared > 10, "only {compared} of {written}: a weak test");
    }
    assert!(summary["state_entries"].as_u64().unwrap() > 100, "{summary:#}");
    assert!(summary["messages"].as_u64().unwrap() > 10, "{summary:#}");
}

/// Long enough for whole nights: each way in which a rule can end one is compared.
fn assert_nights(summary: &Value) {
    for transition in ["fired", "resolved", "expected", "confirmed", "withdrawn", "averted"] {
        assert!(
            summary["alerts"][transition].as_u64() > Some(0),
            "no {transition}: a weak test\n{summary:#}"
        );
    }
}

fn chaos_without_faults() {
    let summary = chaos(&["--rounds", "0", "--processes", "2", "--seed", "1"]).run().expect_code(0).summary();
    assert_sound(&summary);
    assert_eq!(summary["starts"], 2);
}

fn chaos_short() {
    let summary = chaos(&["--rounds", "27", "--seed", "5eed"]).run().expect_code(0).summary();
    assert_sound(&summary);
    assert_nights(&summary);
    let faults = summary["faults"].as_object().unwrap();
    assert_eq!(faults.len(), 27, "{faults:?}");
    assert_eq!(faults.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 27);
}

/// One of three brokers is killed in every round, and comes back, while daemons die too. The cluster is a secure one, and
/// the daemons are its administrator.
fn three_brokers() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = |command: &str| {
        let mut kafka = script();
        kafka.arg(command).arg("--dir").arg(dir.path());
        kafka
    };
    let started = kafka("start").args(["--nodes", "3", "--secure"]).output().unwrap();
    assert!(started.status.success(), "{started:?}");
    let brokers = String::from_utf8_lossy(&started.stdout).trim().to_owned();
    assert_eq!(brokers.split(',').count(), 3, "{brokers}");
    let bounce =
        format!("{}/scripts/kafka bounce --dir {}", env!("CARGO_MANIFEST_DIR"), dir.path().display());
    let secure = dir.path().join("secure");
    let config = secure.join("admin.toml");
    let user = std::fs::read_to_string(secure.join("frostline.toml")).unwrap();
    let admin = user.replace("\"frostline\"", "\"admin\"").replace("frostline.password", "admin.password");
    std::fs::write(&config, admin).unwrap();
    let outcome = Frostline::new()
        .arg("--config")
        .path(&config)
        .args(["chaos", "--json", "--brokers", &brokers, "--rounds", "8", "--seed", "3b"])
        .args(["--faults", "kill,pause", "--restart-broker", &bounce])
        .args(CALM)
        .patience(PATIENCE)
        .run();
    let stopped = kafka("stop").output().unwrap();
    let summary = outcome.expect_code(0).summary();
    assert_sound(&summary);
    assert!(summary["faults"]["restart-broker"].as_u64() > Some(1), "{summary:#}");
    assert!(stopped.status.success(), "{stopped:?}");
}

/// A broken protocol is found, and as what it is. Each run has its own seed, which names its topics.
fn finds(protocol: &str, run: &[&str], violation: &str) {
    finds_all(protocol, run, &[violation]);
}

/// Several at once are found where each gives a violation that no other of them can give. Whether a bug shows in a round is a
/// matter of moments, and on a busy machine of luck: what one seed does not show, another of three must.
fn finds_all(protocol: &str, run: &[&str], violations: &[&str]) {
    let (seed, run) = run.split_last().unwrap();
    let mut missing = violations.to_vec();
    let mut summaries = Vec::new();
    for attempt in ["", "1", "2"] {
        let seed = format!("{seed}{attempt}");
        let outcome = chaos(run).args([&seed, "--break", protocol]).run();
        let summary = outcome.summary();
        assert_eq!(summary["sabotage"], protocol);
        assert_eq!(
            (&summary["ok"], outcome.code),
            (&Value::from(outcome.code == Some(0)), outcome.code),
            "{outcome}"
        );
        missing.retain(|violation| summary[*violation] == 0);
        // Nobody will look at these logs.
        if let Some(kept) = summary["kept"].as_str() {
            std::fs::remove_dir_all(kept).unwrap();
        }
        summaries.push(summary);
        if missing.is_empty() {
            return;
        }
    }
    panic!("not found with any of three seeds: {missing:?}\n{summaries:#?}");
}

/// The same faults without and with the bugs that they show, at the same time.
fn changed_topics() {
    const FAULTS: [&str; 2] = ["topics-recreated", "partitions-grown"];
    let run = ["--rounds", "2", "--processes", "2", "--faults", "topics-recreated,partitions-grown"];
    let sound = std::thread::spawn(move || {
        let summary = chaos(&run).args(["--seed", "9a0"]).run().expect_code(0).summary();
        assert_sound(&summary);
        assert_nights(&summary);
        assert!(FAULTS.iter().all(|fault| summary["faults"][fault] == 1), "{summary:#}");
    });
    let run = [&run[..], &["--seed", "9a1"]].concat();
    finds_all("earlier-topics,grow-without-state", &run, &["earlier_topics", "misplaced"]);
    sound.join().unwrap();
}

/// The process that polls dies at every point of the sources' protocol, with and without the bug that this shows.
fn follows() {
    let sound = std::thread::spawn(|| {
        let faults = "poller:before-send,poller:after-position-sent,poller:after-commit,kill-poller";
        let run = ["--rounds", "4", "--processes", "2", "--faults", faults, "--seed", "f01"];
        let summary = chaos(&run).run().expect_code(0).summary();
        assert_sound(&summary);
        assert_eq!(summary["points_not_reached"], 0, "{summary:#}");
        // Each death at a point was in the middle of records. On a busy machine little more may come.
        for source in ["metar", "ghcn"] {
            let (followed, compared) = (&summary["sources"][source], &summary["compared"][source]);
            assert!(followed["steps"].as_u64() > Some(0), "{source}\n{summary:#}");
            assert!(compared.as_u64() > Some(10), "only {compared} of {source}: a weak test");
        }
    });
    finds("position-apart", &["--rounds", "2", "--processes", "2", "--seed", "a9a"], "duplicated");
    sound.join().unwrap();
}

/// Without transactions nobody is fenced, so that a bug in that cannot show.
fn chaos_refuses() {
    let without = ["--set", "runtime.guarantee=at_least_once"];
    let command = |arguments: [&str; 2]| Frostline::new().args(["chaos"]).args(arguments).args(without);
    for arguments in
        [["--break", "no-renaming"], ["--break", "old-state,position-apart"], ["--faults", "shared-name"]]
    {
        let outcome = command(arguments).run().expect_code(2);
        assert!(outcome.err.contains("shows only in transactions"), "{outcome}");
        assert!(outcome.err.contains("runtime.guarantee=exactly_once"), "{outcome}");
    }
    for (option, known) in [("--break", "forgotten-nights"), ("--faults", "topics-recreated")] {
        let outcome = Frostline::new().args(["chaos", option, "earthquake"]).run().expect_code(2);
        assert!(outcome.err.contains(known), "{outcome}");
    }
}

fn chaos_interrupted() {
    let running = chaos(&["--seed", "dead"]).start();
    std::thread::sleep(Duration::from_secs(6));
    running.signal("INT");
    let outcome = running.wait().expect_code(130);
    let mut topics = Topics::unmade();
    topics.namespace = "chaos-dead-".into();
    let described = topics.frostline().args(["topics", "describe", "--json"]).run();
    assert!(described.json_lines().iter().all(|row| row["status"] == "missing"), "{outcome}{described}");
}
