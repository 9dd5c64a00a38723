//! The command line as people and scripts meet it: help, exit codes, messages, the demo.

use std::path::Path;
use std::time::Duration;

use frostline::noaa::Date;
use frostline::synthetic::{Format, Generator, Places, Settings};

use crate::support::{Frostline, MailServer, Needs, Test, Topics, broker, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("help_has_examples", &[], help_has_examples),
        test("rules_check_tells_every_mistake", &[], rules_check),
        test("completions_and_man_pages", &[], completions_and_man),
        test("config_check_and_show", &[], config_check_and_show),
        test("nothing_from_a_file_steers_the_terminal", &[], nothing_steers),
        test("secrets_are_never_printed", &[], secrets_are_never_printed),
        test("no_broker_is_a_clear_error", &[], no_broker),
        test("demo_once_on_the_embedded_broker", &[], demo_embedded),
        test("demo_live_follows_a_night", &[], demo_live),
        test("demo_with_rules_and_a_mail_server_of_ones_own", &[Needs::MailServer], demo_with_mail),
        test("demo_is_cut_short_by_ctrl_c", &[], demo_interrupted),
        test("demo_once_on_a_real_broker", &[Needs::Broker], demo_real),
        test("topics_create_describe_delete", &[Needs::Broker], topics_create_describe_delete),
        test("tail_shows_first_last_and_all", &[Needs::Broker], tail_shows),
        test("replay_keeps_its_pace", &[Needs::Broker], replay_keeps_its_pace),
        test("a_missing_topic_is_named", &[Needs::Broker], missing_topic),
    ]
}

/// From services that the daemon follows: a warning, and the confirmation, in this order.
fn demo_live() {
    let outcome =
        Frostline::new().args(["demo", "--live", "--live-seconds", "40", "--json"]).run().expect_code(0);
    let alerts = outcome.json_lines();
    let place = |transition: &str| {
        let found = alerts.iter().position(|alert| alert["transition"] == transition);
        found.unwrap_or_else(|| panic!("no alert is {transition}: {outcome}"))
    };
    assert!(place("expected") < place("confirmed"), "{outcome}");
    assert!(outcome.summary()["forecasts"].as_u64() > Some(0), "{outcome}");
    let both = Frostline::new().args(["demo", "--live", "--once"]).run();
    assert_eq!(both.code, Some(2), "{both}");
}

fn help_has_examples() {
    let commands: &[&[&str]] = &[
        &[],
        &["demo"],
        &["run"],
        &["topics"],
        &["topics", "create"],
        &["topics", "describe"],
        &["topics", "grow"],
        &["topics", "delete"],
        &["stations", "import"],
        &["stations", "search"],
        &["stations", "show"],
        &["stations", "fetch"],
        &["follow"],
        &["weather-server"],
        &["convert"],
        &["replay"],
        &["generate"],
        &["tail"],
        &["rules", "new"],
        &["rules", "check"],
        &["rules", "apply"],
        &["rules", "list"],
        &["rules", "show"],
        &["rules", "remove"],
        &["rules", "export"],
        &["rules", "backtest"],
        &["outlook"],
        &["outlook", "backtest"],
        &["outlook", "score"],
        &["explain"],
        &["alerts"],
        &["alerts", "show"],
        &["reset"],
        &["config", "check"],
        &["config", "show"],
        &["chaos"],
        &["completions"],
        &["man"],
    ];
    for command in commands {
        let outcome = Frostline::new().args(command.iter().copied()).arg("--help").run().expect_code(0);
        assert!(outcome.out.contains("Examples:\n  frostline "), "{command:?}\n{outcome}");
    }
    Frostline::new().run().expect_code(2);
    let outcome = Frostline::new().args(["run", "--stages", "assembel"]).run().expect_code(2);
    assert!(outcome.err.contains("assembel") && outcome.err.contains("assemble, enrich"), "{outcome}");
}

fn completions_and_man() {
    for shell in ["bash", "zsh", "fish"] {
        let outcome = Frostline::new().args(["completions", shell]).run().expect_code(0);
        assert!(outcome.out.contains("backtest") && outcome.out.contains("frostline"), "{outcome}");
    }
    let page = Frostline::new().arg("man").run().expect_code(0);
    assert!(page.out.contains(".TH frostline 1"), "{page}");
    let dir = tempfile::tempdir().unwrap();
    Frostline::new().args(["man", "--dir", "pages"]).in_dir(dir.path()).run().expect_code(0);
    let backtest = std::fs::read_to_string(dir.path().join("pages/frostline-rules-backtest.1")).unwrap();
    assert!(backtest.contains("\\-\\-against"), "{backtest}");
}

fn rules_check() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.toml");
    let check = |text: &str| {
        std::fs::write(&file, text).unwrap();
        Frostline::new().args(["rules", "check", "rules.toml"]).in_dir(dir.path())
    };
    let good = "[[rule]]\nid = \"frost\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= 10.0\"\n";
    let outcome = check(good).run().expect_code(0);
    assert!(outcome.out.trim_end().ends_with("1 rule"), "{outcome}");
    let bad = "[[rule]]\nid = \"frost\"\nstation = \"USW3192\"\nwhen = \"TMIN <= \"\n";
    let outcome = check(bad).run().expect_code(1);
    assert!(outcome.out.contains("rules.toml:3:11: station"), "{outcome}");
    assert!(outcome.out.contains("rules.toml:4:17:"), "{outcome}");
    let lines = check(bad).arg("--json").run().expect_code(1).json_lines();
    assert_eq!((lines[0]["line"].as_u64(), lines[0]["column"].as_u64()), (Some(3), Some(11)));
    assert_eq!(lines.last().unwrap()["mistakes"], 2);
    Frostline::new().args(["rules", "check", "nowhere.toml"]).run().expect_code(2);
    // The daemon starts nothing on them.
    check(bad);
    let outcome =
        Frostline::new().args(["run", "--brokers", "127.0.0.1:1"]).in_dir(dir.path()).run().expect_code(2);
    assert!(outcome.err.contains("rules.toml:3:11"), "{outcome}");
    assert!(!dir.path().join("state").exists(), "nothing was started");
    let without = Frostline::new().args(["run", "--brokers", "127.0.0.1:1"]).run().expect_code(2);
    assert!(without.err.contains("rule file not found") && without.err.contains("rules apply"), "{without}");
    // The rules that are shipped are sound.
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/rules.toml");
    Frostline::new().args(["rules", "check"]).path(&shipped).run().expect_code(0);
}

fn config_check_and_show() {
    let dir = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(dir.path().join("frostline.toml"), text).unwrap();
    let frostline = || Frostline::new().in_dir(dir.path());
    write(
        "[kafka]\nbrokers = \"a:9092\"\n[topics]\nnoaa-json = { name = \"weather.enriched\", partitions = 12 }\n",
    );
    let shown = frostline()
        .args(["config", "show", "--json", "--set", "kafka.namespace=x."])
        .env("FROSTLINE_RUNTIME_WORKERS", "3")
        .run()
        .expect_code(0)
        .summary();
    assert_eq!(shown["kafka"]["brokers"], "a:9092");
    assert_eq!(shown["kafka"]["namespace"], "x.");
    assert_eq!(shown["runtime"]["workers"], 3);
    assert_eq!(shown["topics"]["noaa-json"]["partitions"], 12);
    // What holds is shown, whether it was set or not.
    let raw = &shown["topics"]["noaa-csv-raw"];
    let expected = serde_json::json!({
        "name": "x.noaa-csv-raw", "partitions": 5, "replication": -1, "retention_days": 30
    });
    assert_eq!(raw, &expected);
    frostline().args(["config", "check"]).run().expect_code(0);
    for (text, place) in [
        ("[kafka]\nbroker = \"a:1\"\n", "frostline.toml:2:1"),
        ("[runtime]\ncommit_interval_ms = \"soon\"\n", "frostline.toml:2:22"),
        ("[runtime]\ncommit_interval_ms = 0\n", "runtime.commit_interval_ms"),
        ("[filter]\nwhere = \"station.state_code = 'AZ'\"\n", "filter.where"),
        ("[kafka.client]\n\"group.id\" = \"x\"\n", "group.id"),
        ("[kafka.client]\ngroup.protocol = \"raft\"\n", "group.protocol"),
        (
            "[kafka.client]\ngroup.protocol = \"consumer\"\n[runtime]\ngroup_instance_id = \"one\"\n",
            "Remove runtime.group_instance_id",
        ),
        ("[kafka.client]\n\"ssl.ca.locatoin\" = \"/x\"\n", "ssl.ca.locatoin"),
        ("[kafka\n", "frostline.toml:1"),
        ("[alert]\nrules = \"none.toml\"\n", "there is no rule file at none.toml"),
    ] {
        write(text);
        let outcome = frostline().args(["config", "check"]).run().expect_code(2);
        assert!(outcome.err.contains(place), "{text}\n{outcome}");
    }
    write("");
    let protocol = ["--set", "kafka.client.group.protocol=consumer"];
    let outcome = frostline().args(["config", "check"]).args(protocol).run().expect_code(0);
    assert!(outcome.err.contains("runtime.session_timeout_ms has no effect"), "{outcome}");
    // The example that is shipped is sound.
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/frostline.toml");
    Frostline::new().args(["config", "check", "--config"]).path(&shipped).run().expect_code(0);
}

fn secrets_are_never_printed() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[kafka]\nconnect_timeout_ms = 1000\n[kafka.client]\n\"security.protocol\" = \"SASL_SSL\"\n\
                \"sasl.mechanisms\" = \"PLAIN\"\n\"sasl.username\" = \"marker-user\"\n\
                \"sasl.password\" = \"${env:FROSTLINE_TEST_SECRET}\"\n\"ssl.key.password\" = \"marker-key\"\n";
    std::fs::write(dir.path().join("frostline.toml"), text).unwrap();
    let frostline = || Frostline::new().in_dir(dir.path()).env("FROSTLINE_TEST_SECRET", "marker-password");
    let is_clean = |text: &str| !text.contains("marker-");
    let shown = frostline().args(["config", "show"]).run().expect_code(0);
    assert!(is_clean(&shown.out) && is_clean(&shown.err), "{shown}");
    // TLS and SASL are built in: the client is made, and finds nobody.
    let outcome = frostline()
        .args(["topics", "describe", "--brokers", "127.0.0.1:1", "--log", "debug"])
        .run()
        .expect_code(1);
    assert!(outcome.err.contains("127.0.0.1:1") && is_clean(&outcome.err), "{outcome}");
    // A setting that the client refuses is named without its value.
    let outcome =
        frostline().args(["topics", "describe", "--set", "kafka.client.\"ssl.key.pem\"=marker-pem"]).run();
    assert!(is_clean(&outcome.err) && is_clean(&outcome.out), "{outcome}");
    let unset = Frostline::new().in_dir(dir.path()).args(["topics", "describe"]).run().expect_code(2);
    assert!(unset.err.contains("FROSTLINE_TEST_SECRET is not set"), "{unset}");
}

fn no_broker() {
    let start = std::time::Instant::now();
    let outcome = Frostline::new()
        .args(["topics", "create", "--brokers", "127.0.0.1:1", "--set", "kafka.connect_timeout_ms=1500"])
        .run()
        .expect_code(1);
    assert!(outcome.err.contains("no Kafka broker answers at 127.0.0.1:1"), "{outcome}");
    assert!(outcome.err.contains("refused"), "the cause is told\n{outcome}");
    assert!(start.elapsed() < Duration::from_secs(15), "the wait is bounded");
}

/// What the demo of seed and year must come to.
fn check_demo(summary: &serde_json::Value, alerts: usize) {
    let count = |name: &str| summary[name].as_u64().unwrap_or_else(|| panic!("{name} in {summary}"));
    assert!(count("records_in") > 100_000, "{summary}");
    assert!(count("observations") > 20_000, "{summary}");
    assert!(count("kept") > 5_000 && count("kept") < count("observations"), "{summary}");
    assert_eq!(count("alerts"), alerts as u64, "each alert is printed");
    assert!(alerts > 50);
    // Unreadable lines and the unknown station, as many as the generator made.
    let (start, format) = (Date::new(2024, 1, 1).unwrap(), Format::Ghcn);
    let settings = Settings { seed: 2019, places: Places::Real, start, days: 366, format, oddities: true };
    let mut generator = Generator::new(settings).unwrap();
    let mut lines = 0;
    while generator.date().is_some() {
        lines += generator.next_day().len() as u64;
    }
    // 45 days up to noon, and a day with the night.
    let hours = 45 * 24 + 13 + 24;
    assert_eq!(count("records_in"), lines + hours);
    // One for each hour, and one for the outcome of each night.
    assert!(count("outlooks") > hours + 40, "{summary}");
    assert_eq!(count("dead_letters"), generator.bad_lines());
    assert_eq!(count("duplicates"), 0);
    assert!(summary["seconds"].as_f64().unwrap() > 0.0);
}

fn demo_embedded() {
    let outcome = Frostline::new().args(["demo", "--once", "--json"]).run().expect_code(0);
    let lines = outcome.json_lines();
    check_demo(lines.last().unwrap(), lines.len() - 1);
    assert!(lines[0]["alert_id"].is_string());
    assert!(outcome.err.contains("toy") && outcome.err.contains("--brokers"), "{}", outcome.err);
    // For people: one readable line for each alert, and the talk's rule among them. The page is for this machine, whatever
    // is configured for the daemon.
    let open = ["--set", "admin.token=${file:/nowhere}"];
    let demo =
        Frostline::new().args(["demo", "--once"]).args(open).env("FROSTLINE_ADMIN_LISTEN", "0.0.0.0:8080");
    let outcome = demo.run().expect_code(0);
    assert!(outcome.err.contains("http://127.0.0.1:"), "{outcome}");
    assert!(outcome.out.contains("scottsdale-frost") && outcome.out.contains("TMIN <= 10.0"), "{outcome}");
    assert!(outcome.out.contains("dead letters"), "{outcome}");
    // A night: warned of, and confirmed.
    for words in ["tonight at SCOTTSDALE MUNI AP: ", "Frost at SCOTTSDALE MUNI AP: -2."] {
        assert!(outcome.out.contains(words), "{words}\n{outcome}");
    }
    assert!(!outcome.out.contains('\u{1b}'), "no colours where there is no terminal");
    assert!(outcome.err.contains("Next:") && outcome.err.contains("--set alert.rules="), "{outcome}");
}

fn demo_with_mail() {
    let (server, dir) = (MailServer::start(), tempfile::tempdir().unwrap());
    let rules = "[[subscriber]]\nid = \"grower\"\nemail = \"grower@example.org\"\n\
                 [[rule]]\nid = \"own\"\nnear = { lat = 33.5, lon = -112.0 }\nwhen = \"TMIN <= 4.0\"\n\
                 clear = \"TMIN > 6.0\"\nsubscribers = [\"grower\"]\n";
    std::fs::write(dir.path().join("own.toml"), rules).unwrap();
    let mail = format!(
        "[notify.email]\nserver = \"localhost:{}\"\nca = {:?}\nfrom = \"frost@example.org\"\nuser = \"frost\"\n\
         password = \"dew\"\n[alert]\nrules = \"own.toml\"\n",
        server.port,
        server.ca()
    );
    std::fs::write(dir.path().join("try.toml"), &mail).unwrap();
    let demo = |more: &[&str]| {
        let demo = Frostline::new().args(["demo", "--once", "--json"]).args(more.iter().copied());
        demo.in_dir(dir.path()).run().expect_code(0).json_lines()
    };
    let lines = demo(&["--config", "try.toml"]);
    let (summary, alerts) = lines.split_last().unwrap();
    assert!(!alerts.is_empty() && alerts.iter().all(|alert| alert["rule_id"] == "own"), "{lines:?}");
    let mails = server.mails();
    assert!(!mails.is_empty() && mails.iter().all(|mail| mail.to == "grower@example.org"));
    assert_eq!(summary["sent"], mails.len(), "{summary}");
}

fn demo_interrupted() {
    let demo = Frostline::new().args(["demo"]).start();
    std::thread::sleep(Duration::from_secs(12));
    demo.signal("INT");
    let outcome = demo.wait().expect_code(0);
    assert!(outcome.out.contains("records in"), "{outcome}");
    let demo = Frostline::new().args(["demo", "--once"]).start();
    std::thread::sleep(Duration::from_secs(1));
    demo.signal("TERM");
    demo.wait().expect_code(143);
}

fn demo_real() {
    let outcome =
        Frostline::new().args(["demo", "--once", "--json", "--brokers", broker()]).run().expect_code(0);
    let lines = outcome.json_lines();
    check_demo(lines.last().unwrap(), lines.len() - 1);
}

fn topics_create_describe_delete() {
    let topics = Topics::unmade();
    let describe = || topics.frostline().args(["topics", "describe", "--json"]).run();
    assert!(describe().expect_code(1).out.contains("missing"));
    let made = topics.frostline().args(["topics", "create", "--json"]).run().expect_code(0).json_lines();
    assert_eq!(made.len(), 19);
    assert!(made.iter().all(|row| row["status"] == "created"), "{made:?}");
    let again = topics.frostline().args(["topics", "create", "--json"]).run().expect_code(0).json_lines();
    assert!(again.iter().all(|row| row["status"] == "exists"), "{again:?}");
    let rows = describe().expect_code(0).json_lines();
    let row = |name: &str| {
        let name = format!("{}{name}", topics.namespace);
        rows.iter().find(|row| row["topic"] == name.as_str()).unwrap().clone()
    };
    assert_eq!(row("noaa-csv-raw")["partitions"], 5);
    assert_eq!(row("noaa-stations")["cleanup_policy"], "compact");
    assert_eq!(row("frostline-assemble-changelog")["cleanup_policy"], "compact");
    let day_ms = 86_400_000_u64;
    assert_eq!(row("noaa-json")["retention_ms"], 30 * day_ms);
    assert_eq!(row("noaa-dead-letters")["retention_ms"], 400 * day_ms);
    assert!(row("noaa-rules").get("retention_ms").is_none() && row("noaa-rules")["replication"] == 1);
    // Another wish changes nothing, and is shown with the way to it.
    let longer = ["--set", "topics.noaa-json.retention_days=90"];
    for command in ["create", "describe"] {
        let shown = topics.frostline().args(["topics", command]).args(longer).run().expect_code(0);
        let part = "keeps records for 30 days, but 90 days are configured: kafka-configs --alter";
        assert!(shown.out.contains(part), "{shown}");
    }
    let refused = topics.frostline().args(["topics", "delete"]).run().expect_code(2);
    assert!(refused.err.contains("--yes"), "{refused}");
    let deleted = topics.frostline().args(["topics", "delete", "--yes"]).run().expect_code(0);
    assert!(deleted.err.to_lowercase().contains("state director"), "{deleted}");
    describe().expect_code(1);
}

fn tail_shows() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    let lines: String = (0..7).map(|n| format!("{{\"station_id\":\"USC0002008{n}\",\"n\":{n}}}\n")).collect();
    std::fs::write(dir.path().join("raw.jsonl"), lines).unwrap();
    let replay = topics.frostline().args(["replay", "raw.jsonl", "--topic", "noaa-raw", "--json"]);
    assert_eq!(replay.in_dir(dir.path()).run().expect_code(0).summary()["records"], 7);
    let tail = |arguments: &[&str]| {
        topics
            .frostline()
            .args(["tail", "noaa-raw", "--json"])
            .args(arguments.iter().copied())
            .run()
            .expect_code(0)
            .json_lines()
    };
    let all = tail(&["--from-beginning", "--until-end"]);
    assert_eq!(all.len(), 7);
    assert!(all.iter().all(|record| record["key"] == record["value"]["station_id"]), "{all:?}");
    assert!(all[0]["time"].as_str().unwrap().ends_with('Z') && all[0]["offset"].is_u64());
    assert_eq!(tail(&["--from-beginning", "-n", "3"]).len(), 3);
    let last = tail(&["-n", "2"]);
    assert_eq!(last.len(), 2);
    let follow = topics.frostline().args(["tail", "noaa-raw"]).start();
    std::thread::sleep(Duration::from_secs(2));
    follow.signal("INT");
    follow.wait().expect_code(130);
}

fn replay_keeps_its_pace() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    let lines: String =
        (0..300).map(|n| format!("USC00020080,201601{:02},TMAX,144,,,7,\n", n % 28 + 1)).collect();
    std::fs::write(
        dir.path().join("lines.csv"),
        format!("ID,DATE,ELEMENT,DATA_VALUE,M_FLAG,Q_FLAG,S_FLAG,OBS_TIME\n{lines}"),
    )
    .unwrap();
    let replay = |pace: &[&str]| {
        let command = topics.frostline().args(["replay", "lines.csv", "--topic", "noaa-csv-raw", "--json"]);
        command.args(pace.iter().copied()).in_dir(dir.path())
    };
    let summary = replay(&["--rate", "200/s"]).run().expect_code(0).summary();
    assert_eq!(summary["records"], 300, "the header line is left out");
    assert!(summary["seconds"].as_f64().unwrap() >= 1.45, "{summary}");
    let summary = replay(&["--burst", "100/500ms"]).run().expect_code(0).summary();
    assert!(summary["seconds"].as_f64().unwrap() >= 0.95, "{summary}");
    let slow = replay(&["--rate", "10/s"]).start();
    std::thread::sleep(Duration::from_millis(1_500));
    slow.signal("INT");
    let outcome = slow.wait().expect_code(130);
    assert!(outcome.summary()["records"].as_u64().unwrap() < 300, "{outcome}");
    replay(&["--rate", "fast"]).run().expect_code(2);
}

fn nothing_steers() {
    let dir = tempfile::tempdir().unwrap();
    let rule = "[[rule]]\nid = \"a\\u001b[2J\\u001b]0;pwned\\u0007\\u202e\\u009b\"\nstation = \"USC00020080\"\nwhen = \"x\"\n";
    std::fs::write(dir.path().join("rules.toml"), rule).unwrap();
    let line = "USC00020080,20160101,TMIN,-50,,,7,\n\u{1b}[2J\u{202e}\u{7f},x\n";
    let name = "\u{202e}\u{1b}]0;x\u{7}.csv";
    std::fs::write(dir.path().join(name), line).unwrap();
    let steers = |text: &str| text.contains(|c: char| frostline::printable::is_steering(c) && c != '\n');
    for (arguments, code) in [
        (&["rules", "check", "rules.toml"][..], 1),
        (&["config", "check", "--set", "alert.rules=rules.toml"], 2),
        (&["convert", name, "--into", "lines", "--on-error", "skip"], 0),
        (&["convert", name, "--into", "lines", "--on-error", "skip", "--log-format", "json"], 0),
        (&["convert", name, "--into", "lines"], 1),
    ] {
        for more in [&[][..], &["--json"]] {
            let frostline = Frostline::new().args(arguments.iter().chain(more).copied()).in_dir(dir.path());
            let outcome = frostline.run().expect_code(code);
            assert!(!steers(&outcome.out) && !steers(&outcome.err), "{arguments:?} {outcome}");
        }
        // As on a terminal: colours are our own.
        let frostline = Frostline::new().args(arguments.iter().copied()).in_dir(dir.path());
        let outcome = frostline.env("CLICOLOR_FORCE", "1").run().expect_code(code);
        let rest = ["0", "1", "2", "31", "32", "33", "36"]
            .iter()
            .fold(outcome.out.clone() + &outcome.err, |text, style| {
                text.replace(&format!("\u{1b}[{style}m"), "")
            });
        assert!(!steers(&rest), "{arguments:?} {outcome}");
    }
}

fn missing_topic() {
    let topics = Topics::unmade();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("lines.csv"), "USC00020080,20160101,TMAX,144,,,7,\n").unwrap();
    let frostline = || topics.frostline().in_dir(dir.path());
    let outcome = frostline().args(["replay", "lines.csv", "--topic", "noaa-csv-raw"]).run().expect_code(2);
    assert!(outcome.err.contains("noaa-csv-raw") && outcome.err.contains("topics create"), "{outcome}");
    // A service manager does not try that again.
    let outcome = frostline().args(["run", "--stages", "filter"]).run().expect_code(2);
    assert!(outcome.err.contains("noaa-json") && outcome.err.contains("topics create"), "{outcome}");
    frostline().args(["tail", "no-such-topic"]).run().expect_code(2);
    frostline().args(["replay", "nowhere.csv", "--topic", "noaa-csv-raw"]).run().expect_code(2);
}
