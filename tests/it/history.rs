//! Files of history of any size, form and packing: replay, convert, stations.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::goldens::{INVENTORY_2024, LINES_2016};
use crate::support::{Frostline, Needs, Test, Topics, broker, data, read_data, same, test, wait_for};

const REAL: &[Needs] = &[Needs::Data];
const BROKER: &[Needs] = &[Needs::Broker];
const ALL: &[Needs] = &[Needs::Broker, Needs::Data];

pub fn tests() -> Vec<Test> {
    vec![
        test("convert_gives_the_talks_documents_by_date", &[], convert_golden),
        test("convert_sorts_within_little_memory", REAL, convert_sorts),
        test("convert_takes_every_form_and_packing", &[], convert_forms),
        test("convert_stops_at_bad_input_and_leaves_nothing", &[], convert_bad_input),
        test("devices_and_endless_lines_are_refused", &[], endless_input),
        test("a_station_csv_needs_its_units_stated", &[], convert_units),
        test("convert_leaves_no_files_where_the_disk_is_full", REAL, convert_full_disk),
        test("stations_are_searched_and_shown", REAL, stations),
        test("every_real_file_replays", ALL, every_real_file),
        test("a_killed_replay_goes_on_without_repeating_a_record", BROKER, killed_replay),
        test("replay_of_a_pipe_that_pauses_and_of_one_that_is_interrupted", BROKER, replay_pipe),
        test("replay_sorts_shuffles_selects_and_keeps_the_calendar", BROKER, replay_orders),
        test("replay_makes_dead_letters_of_bad_lines", BROKER, replay_dead_letters),
    ]
}

fn in_dir(dir: &TempDir, arguments: &[&str]) -> Frostline {
    Frostline::new().args(arguments.iter().copied()).in_dir(dir.path())
}

fn documents(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The talk's own documents of Arizona in 2016, in the order of its `jq -s 'sort_by(.date)'`.
fn convert_golden() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.jsonl");
    in_dir(
        &dir,
        &["convert", "--sort", "date", "--out", "out.jsonl", "--json", "--set", "assemble.compat=rally"],
    )
    .args(["--set", "assemble.keep_failed_quality=true", "--stations"])
    .path(&data("extract/stations-2020.txt"))
    .arg("--countries")
    .path(&data("extract/countries.txt"))
    .arg("--states")
    .path(&data("extract/states.txt"))
    .path(&data(LINES_2016))
    .run()
    .expect_code(0);
    let found = documents(&out);
    let dates: Vec<&str> = found.iter().map(|document| document["date"].as_str().unwrap()).collect();
    assert!(dates.is_sorted());
    let key = |document: &Value| (document["date"].to_string(), document["station"]["id"].to_string());
    let golden: Vec<Value> = read_data("extract/talk-2016.jsonl.gz")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let by_key: BTreeMap<_, _> = found.iter().map(|document| (key(document), document)).collect();
    assert_eq!(by_key.len(), found.len(), "one document for a station and day");
    for document in &golden {
        let ours = by_key.get(&key(document)).unwrap_or_else(|| panic!("missing {document}"));
        assert!(same(ours, document), "{ours}\n{document}");
    }
    assert_eq!(found.len(), golden.len());
}

fn convert_sorts() {
    let dir = tempfile::tempdir().unwrap();
    let convert = |out: &str, memory: &str| {
        in_dir(&dir, &["convert", "--sort", "date", "--memory", memory, "--tmp", ".", "--out", out, "--json"])
            .arg("--stations")
            .path(&data(INVENTORY_2024))
            .path(&data("2016-02-hcn.csv.gz"))
            .run()
            .expect_code(0)
            .summary()
    };
    let (small, large) = (convert("small.jsonl", "1MiB"), convert("large.jsonl", "1GiB"));
    assert_eq!(small["records_out"], large["records_out"]);
    assert_eq!((&small["records_in"], &small["failed_quality"]), (&151_809.into(), &396.into()));
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    assert!(read("small.jsonl") == read("large.jsonl"), "whatever the memory");
    let names: BTreeSet<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        names,
        BTreeSet::from(["large.jsonl".to_owned(), "small.jsonl".to_owned()]),
        "nothing is left behind"
    );
    // Whatever order the lines come in.
    let mut lines: Vec<String> = read_data("2016-02-hcn.csv.gz").lines().map(str::to_owned).collect();
    fastrand::Rng::with_seed(7).shuffle(&mut lines);
    std::fs::write(dir.path().join("shuffled.csv"), lines.join("\n")).unwrap();
    in_dir(
        &dir,
        &[
            "convert",
            "shuffled.csv",
            "--sort",
            "date",
            "--memory",
            "2MiB",
            "--out",
            "again.jsonl",
            "--stations",
        ],
    )
    .path(&data(INVENTORY_2024))
    .run()
    .expect_code(0);
    assert!(read("again.jsonl") == read("large.jsonl"));
}

fn convert_forms() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    let line = "USC00027716,20160201,TMIN,-44,,S,7,\n";
    write("a.csv", format!("ID,DATE,ELEMENT,DATA_VALUE,M_FLAG,Q_FLAG,S_FLAG,OBS_TIME\n{line}").as_bytes());
    write("b.dly", b"USC00027716201602TMIN  -44 S7\n");
    write("c.csv", b"\"STATION\",\"DATE\",\"TMIN\",\"TMIN_ATTRIBUTES\"\n\"USC00027716\",\"2016-02-01\",\"  -44\",\",S,7\"\n");
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(line.as_bytes()).unwrap();
    write("d.csv.gz", &packer.finish().unwrap());
    write("e.csv.zst", &zstd::encode_all(line.as_bytes(), 1).unwrap());
    let outcome =
        in_dir(&dir, &["convert", "a.csv", "b.dly", "c.csv", "d.csv.gz", "e.csv.zst", "--into", "lines"])
            .run()
            .expect_code(0);
    assert_eq!(outcome.out, line.repeat(5), "{outcome}");
    write("f.json", b"[{\"date\":\"2016-03-02\",\"n\":1},\n {\"date\":\"2016-03-01\",\n\"n\":2}]\n");
    let sorted = in_dir(&dir, &["convert", "f.json", "--sort", "date"]).run().expect_code(0);
    assert_eq!(sorted.out, "{\"date\":\"2016-03-01\", \"n\":2}\n{\"date\":\"2016-03-02\",\"n\":1}\n");
    // Lines become documents only with what is known of their stations.
    let outcome = in_dir(&dir, &["convert", "a.csv"]).run().expect_code(1);
    assert!(outcome.err.contains("--stations"), "{outcome}");
}

fn convert_bad_input() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    let good = "USC00027716,20160201,TMIN,-44,,S,7,\n";
    write("mixed.csv", format!("{good}{good}what is this?\n{good}").as_bytes());
    let convert = |more: &[&str]| {
        in_dir(&dir, &["convert", "--into", "lines", "--out", "out.csv", "--json"]).args(more.iter().copied())
    };
    let stopped = convert(&["mixed.csv"]).run().expect_code(1);
    assert!(stopped.err.contains("mixed.csv:3:"), "{stopped}");
    assert!(!dir.path().join("out.csv").exists(), "nothing half-written under the final name");
    let skipped = convert(&["mixed.csv", "--on-error", "skip"]).run().expect_code(0);
    assert_eq!((&skipped.summary()["records_out"], &skipped.summary()["bad"]), (&3.into(), &1.into()));
    assert!(skipped.err.contains("mixed.csv:3"), "{skipped}");
    let letters = ["mixed.csv", "--on-error", "dead-letter", "--dead-letters", "bad.jsonl"];
    convert(&letters).run().expect_code(0);
    let letter = &documents(&dir.path().join("bad.jsonl"))[0];
    assert_eq!((&letter["line"], &letter["value"]), (&3.into(), &"what is this?".into()));
    std::fs::remove_file(dir.path().join("out.csv")).unwrap();
    // A packed file that is cut off, a folder, a file that is not there, standard input.
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(good.repeat(5_000).as_bytes()).unwrap();
    let packed = packer.finish().unwrap();
    write("cut.csv.gz", &packed[..packed.len() - 20]);
    let cut = convert(&["cut.csv.gz"]).run().expect_code(1);
    assert!(cut.err.contains("cut.csv.gz:"), "{cut}");
    assert!(!dir.path().join("out.csv").exists());
    convert(&["."]).run().expect_code(2);
    convert(&["nowhere.csv"]).run().expect_code(2);
    convert(&["mixed.csv", "--from", "2016-02-02", "--to", "2016-02-01"]).run().expect_code(2);
}

fn endless_input() {
    let dir = tempfile::tempdir().unwrap();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(&vec![b'x'; 50 << 20]).unwrap();
    std::fs::write(dir.path().join("line.gz"), packer.finish().unwrap()).unwrap();
    let zero = "/dev/zero";
    for (arguments, code) in [
        (&["rules", "check", zero][..], 2),
        (&["config", "check", "--config", zero], 2),
        (&["stations", "search", "x", "--stations", zero], 2),
        (&["stations", "search", "x", "--stations", "line.gz"], 2),
        (&["stations", "search", "x", "--stations", "line.gz", "--countries", "line.gz"], 2),
        (&["convert", zero, "--into", "lines"], 1),
    ] {
        let outcome = in_dir(&dir, arguments).patience(Duration::from_secs(20)).run().expect_code(code);
        let name = if arguments.contains(&zero) { zero } else { "line.gz" };
        assert!(outcome.err.contains(name), "{outcome}");
    }
}

fn convert_units() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write(
        "cdo.csv",
        "\"STATION\",\"NAME\",\"DATE\",\"TMIN\"\n\"USC00020080\",\"AJO, AZ US\",\"2016-01-01\",\"34\"\n",
    );
    write("isd.csv", "STATION,DATE,SOURCE,TMP\n72278023183,2016-01-01T00:51:00,7,+0067\n");
    let convert = |more: &[&str]| in_dir(&dir, &["convert", "--into", "lines"]).args(more.iter().copied());
    let unknown = convert(&["cdo.csv"]).run().expect_code(1);
    assert!(unknown.err.contains("cdo.csv:1: the units") && unknown.err.contains("--units"), "{unknown}");
    let known = convert(&["cdo.csv", "--units", "standard"]).run().expect_code(0);
    assert_eq!(known.out, "USC00020080,20160101,TMIN,11,,,,\n");
    let other = convert(&["isd.csv"]).run().expect_code(1);
    assert!(other.err.contains("no column is an element"), "{other}");
}

/// No room to sort: the program says so, and leaves nothing.
fn convert_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let convert = |limit: &str, folder: &str| {
        let limited = format!(
            "trap '' XFSZ; {limit} exec {} convert --sort date --memory 1MiB --tmp {folder} --out out.jsonl \
             --stations {} {}",
            env!("CARGO_BIN_EXE_frostline"),
            data(INVENTORY_2024).display(),
            data("2016-02-hcn.csv.gz").display()
        );
        Command::new("bash").args(["-c", &limited]).current_dir(dir.path()).output().unwrap()
    };
    for (limit, folder) in [("ulimit -f 600;", "."), ("", "/proc/self")] {
        let outcome = convert(limit, folder);
        let err = String::from_utf8_lossy(&outcome.stderr);
        assert_eq!(outcome.status.code(), Some(1), "{err}");
        assert!(err.contains("no space to sort in"), "{err}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    }
}

fn stations() {
    let dir = tempfile::tempdir().unwrap();
    let stations = |arguments: &[&str]| {
        in_dir(&dir, &["stations"])
            .args(arguments.iter().copied())
            .arg("--stations")
            .path(&data(INVENTORY_2024))
            .arg("--json")
    };
    let found = stations(&["search", "seligman"]).run().expect_code(0).json_lines();
    assert!(found.iter().any(|station| station["id"] == "USC00027716"), "{found:?}");
    let near = stations(&["search", "--near", "35.33,-112.88", "-n", "3"]).run().expect_code(0).json_lines();
    assert_eq!(near.len(), 3);
    assert!(near.iter().any(|station| station["id"] == "USC00027716"), "{near:?}");
    assert!(near[0]["km"].as_f64().unwrap() <= near[2]["km"].as_f64().unwrap());
    let of_state = stations(&["search", "--state", "AZ", "-n", "5000"]).run().expect_code(0).json_lines();
    assert!(of_state.len() > 500 && of_state.iter().all(|station| station["state_code"] == "AZ"));
    let found = stations(&["search", "seligman az"]).run().expect_code(0).json_lines();
    assert!(found.iter().any(|station| station["id"] == "USC00027716"), "{found:?}");
    let named = stations(&["search", "seligman arizona states"]);
    let (countries, states) = (data("ghcnd-countries.txt"), data("ghcnd-states.txt"));
    let named = named.arg("--countries").path(&countries).arg("--states").path(&states).run().expect_code(0);
    assert!(named.json_lines().iter().any(|station| station["id"] == "USC00027716"), "{named}");
    let exchanged = stations(&["search", "seligman"]);
    let exchanged = exchanged.arg("--countries").path(&states).arg("--states").path(&countries).run();
    let exchanged = exchanged.expect_code(2);
    assert!(exchanged.err.contains("the two files may be swapped"), "{exchanged}");
    stations(&["search", "no such place anywhere"]).run().expect_code(1);
    stations(&["search", "--near", "91,0"]).run().expect_code(2);
    let file = data("2016-hcn-AZ.csv.gz");
    let shown = stations(&["show", "USC00027716"]).arg("--data").path(&file).run().expect_code(0).summary();
    let tmin = shown["elements"]
        .as_array()
        .unwrap()
        .iter()
        .find(|found| found["element"] == "TMIN")
        .unwrap()
        .clone();
    // 361 lines, one of which failed its quality control.
    assert_eq!(
        (&tmin["days"], &tmin["first"], &tmin["last"]),
        (&360.into(), &"2016-01-01".into(), &"2016-12-31".into())
    );
    stations(&["show", "USC99999999"]).run().expect_code(1);
}

/// Each file is sent whole; what was sent is counted against the file's own lines.
fn every_real_file() {
    let topics = Topics::create();
    let lines_and_documents = [
        ("1800.csv.gz", "noaa-csv-raw"),
        ("1872.csv.gz", "noaa-csv-raw"),
        ("20030101-global-first12570.csv.gz", "noaa-csv-raw"),
        ("2016-02-hcn.csv.gz", "noaa-csv-raw"),
        ("2016-hcn-AZ.csv.gz", "noaa-csv-raw"),
        ("2016-hcn.csv.gz", "noaa-csv-raw"),
        ("USW00003192-2016-from-talk.csv", "noaa-csv-raw"),
        ("golden-20030101-global-process.py.jsonl.gz", "noaa-json"),
        ("golden-2016-hcn-AZ-process.py.jsonl.gz", "noaa-json"),
        ("talk-readme-docs.jsonl", "noaa-json"),
        ("talk-fresno-enriched.json", "noaa-json"),
    ];
    for (file, topic) in lines_and_documents {
        let lines =
            read_data(file).lines().filter(|line| !line.is_empty() && !line.starts_with("ID,")).count();
        let replay = topics.frostline().arg("replay").path(&data(file)).args(["--topic", topic, "--json"]);
        let summary = replay.run().expect_code(0).summary();
        assert_eq!((&summary["records"], &summary["bad"]), (&lines.into(), &0.into()), "{file}");
    }
}

/// Ten thousand numbered documents, sent slowly, killed again and again.
fn killed_replay() {
    const COUNT: usize = 10_000;
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    let text: String = (0..COUNT)
        .map(|number| {
            format!("{{\"station_id\":\"USC{:08}\",\"date\":\"2016-03-01\",\"n\":{number}}}\n", number % 50)
        })
        .collect();
    std::fs::write(dir.path().join("numbers.jsonl"), text).unwrap();
    let replay = |more: &[&str]| {
        let command = topics.frostline().args(["replay", "numbers.jsonl", "--topic", "noaa-raw", "--json"]);
        command.args(more.iter().copied()).in_dir(dir.path())
    };
    let mut first = true;
    for _ in 0..5 {
        let resume: &[&str] = if first { &[] } else { &["--resume"] };
        first = false;
        let running = replay(&["--rate", "2500/s"]).args(resume.iter().copied()).start();
        std::thread::sleep(Duration::from_millis(900 + fastrand::u64(..900)));
        running.signal("KILL");
        running.wait();
    }
    let last = replay(&["--resume"]).run().expect_code(0).summary();
    let before = last["resumed_after"].as_u64().unwrap();
    assert!(before > 0, "something had been sent: {last}");
    assert_eq!(before + last["records"].as_u64().unwrap(), COUNT as u64);
    let numbers: Vec<u64> =
        topics.values("noaa-raw").iter().map(|value| value["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers.len(), COUNT, "none twice");
    assert_eq!(numbers.into_iter().collect::<BTreeSet<_>>().len(), COUNT, "none missing");
    // There is nothing left to do; and without --resume it begins anew.
    assert_eq!(replay(&["--resume"]).run().expect_code(0).summary()["records"], 0);
    assert_eq!(replay(&[]).run().expect_code(0).summary()["records"], COUNT);
    // Ctrl-C tells where it stopped.
    let before = topics.records("noaa-raw").len();
    let slow = replay(&["--rate", "100/s"]).start();
    wait_for("records", Duration::from_secs(60), || {
        (topics.records("noaa-raw").len() > before).then_some(())
    });
    slow.signal("INT");
    let stopped = slow.wait().expect_code(130);
    assert!(stopped.err.contains("numbers.jsonl:") && stopped.err.contains("--resume"), "{stopped}");
    // A shorter file of the same name is another input.
    std::fs::write(dir.path().join("numbers.jsonl"), "{\"station_id\":\"USC00000001\",\"n\":0}\n").unwrap();
    let other = replay(&["--resume"]).run().expect_code(1);
    assert!(other.err.contains("this is a different input"), "{other}");
    let nothing = replay(&["--resume", "--shuffle", "9"]).run().expect_code(0);
    assert!(nothing.err.contains("nothing to resume"), "{nothing}");
}

/// What comes through a pipe is in the topic while the pipe waits; a signal ends the waiting.
fn replay_pipe() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    let (program, namespace) = (env!("CARGO_BIN_EXE_frostline"), &topics.namespace);
    let replay = format!(
        "{program} replay - --topic noaa-csv-raw --brokers {} --set kafka.namespace={namespace} \
         --set runtime.transaction_timeout_ms=2000",
        broker()
    );
    let line = "USC00027716,20160201,TMIN,-44,,S,7,";
    let bash =
        |script: &str| Command::new("bash").args(["-c", script]).current_dir(dir.path()).output().unwrap();
    let outcome = bash(&format!("(echo {line}; sleep 5; echo {line}) | {replay}"));
    assert!(outcome.status.success(), "{}", String::from_utf8_lossy(&outcome.stderr));
    assert_eq!(topics.values("noaa-csv-raw").len(), 2);
    let interrupted =
        bash(&format!("timeout --preserve-status -s INT 4 {replay} < <(echo {line}; sleep 20 2>/dev/null)"));
    assert_eq!(interrupted.status.code(), Some(130), "{}", String::from_utf8_lossy(&interrupted.stderr));
    assert_eq!(topics.values("noaa-csv-raw").len(), 3, "what came before counts");
    let convert = format!(
        "timeout --preserve-status -s INT 1 {program} convert - --into lines --out out.csv < <(sleep 20 2>/dev/null)"
    );
    assert_eq!(bash(&convert).status.code(), Some(130));
    assert!(!dir.path().join("out.csv").exists());
}

fn replay_orders() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    let text: String =
        (0..30).map(|n| format!("USC{:08},201603{:02},TMIN,{n},,,7,\n", n % 3, 10 - n / 3)).collect();
    std::fs::write(dir.path().join("lines.csv"), &text).unwrap();
    let replay = |more: &[&str]| {
        let command = topics.frostline().args(["replay", "lines.csv", "--topic", "noaa-csv-raw", "--json"]);
        command.args(more.iter().copied()).in_dir(dir.path()).run().expect_code(0).summary()
    };
    assert_eq!(replay(&["--sort", "date", "--station", "USC00000001"])["records"], 10);
    let lines: Vec<String> =
        topics.values("noaa-csv-raw").iter().map(|value| value.as_str().unwrap().to_owned()).collect();
    assert!(lines.iter().map(|line| &line[12..20]).is_sorted(), "{lines:?}");
    assert_eq!(replay(&["--shuffle", "3", "--element", "TMIN"])["records"], 30);
    assert_eq!(replay(&["--element", "TMAX"])["records"], 0);
    assert_eq!(replay(&["--from", "2016-03-05", "--to", "2016-03-06"])["records"], 6);
    // Ten days, five of them a second: the last day comes after nine fifths of a second.
    let summary = replay(&["--sort", "date", "--speed", "5days/s"]);
    assert!((1.7..10.0).contains(&summary["seconds"].as_f64().unwrap()), "{summary}");
    let refused =
        topics.frostline().args(["replay", "lines.csv", "--topic", "noaa-csv-raw", "--speed", "fast"]);
    refused.in_dir(dir.path()).run().expect_code(2);
}

fn replay_dead_letters() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    let good = "USC00027716,20160201,TMIN,-44,,S,7,\n";
    std::fs::write(dir.path().join("mixed.csv"), format!("{good}what?\n{good}")).unwrap();
    let replay = |on_error: &str| {
        let command = topics.frostline().args(["replay", "mixed.csv", "--topic", "noaa-csv-raw", "--json"]);
        command.args(["--on-error", on_error]).in_dir(dir.path()).run()
    };
    let summary = replay("dead-letter").expect_code(0).summary();
    assert_eq!((&summary["records"], &summary["dead_letters"]), (&2.into(), &1.into()));
    let letter = &topics.records("noaa-dead-letters")[0];
    assert_eq!(letter["value"], "what?");
    assert_eq!(
        (&letter["headers"]["frostline-file"], &letter["headers"]["frostline-line"]),
        (&"mixed.csv".into(), &"2".into())
    );
    let stopped = replay("stop").expect_code(1);
    assert!(
        stopped.err.contains("mixed.csv:2:") && stopped.err.contains("1 records were sent before"),
        "{stopped}"
    );
    assert_eq!(replay("skip").expect_code(0).summary()["records"], 2);
    assert_eq!(replay("pass").expect_code(0).summary()["records"], 3);
}
