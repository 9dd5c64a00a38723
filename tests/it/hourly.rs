//! Files of hourly observations: convert, replay, and the station list that METARs need.

use std::path::{Path, PathBuf};

use frostline::hourly::{Hour, iso_time};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Frostline, Needs, Test, Topics, data, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("every_hour_of_the_hourly_files_becomes_a_document", &[Needs::Data], convert_goldens),
        test("convert_takes_every_hourly_form", &[], convert_forms),
        test("metars_need_the_list_of_hourly_stations", &[], metars_need_stations),
        test("commands_for_daily_data_refuse_hourly_files", &[], refused),
        test("nights_of_metars", &[], metar_nights),
        test("stations_get_icao_ids_from_the_hourly_list", &[Needs::Broker], import_hourly),
        test("hourly_files_replay_by_their_own_clock", &[Needs::Broker], replay),
    ]
}

const STATION_LIST: &str = "GHCN_ID,LATITUDE,LONGITUDE,ELEVATION,STATE,NAME,GSN,(US)HCN_(US)CRN,WMO_ID,ICAO,ISO_CODE\n\
    USW00023234,37.6197,-122.3647,2.4,CA,SAN FRANCISCO INTL AP,,,72494,KSFO,US\n\
    USW00003192,33.6228,-111.9106,449.0,AZ,SCOTTSDALE MUNICIPAL AP,,,,KSDL,US\n\
    RUU71-00102,135.117,48.8,-999.9,,CHABAROWKA,,,,,XX\n";

fn in_dir(dir: &TempDir, arguments: &[&str]) -> Frostline {
    Frostline::new().args(arguments.iter().copied()).in_dir(dir.path())
}

fn write(dir: &TempDir, name: &str, text: &str) {
    std::fs::write(dir.path().join(name), text).unwrap();
}

fn hourly_data(name: &str) -> PathBuf {
    data("../hourly").join(name)
}

fn hours(path: &Path) -> Vec<Hour> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| Hour::parse(line.as_bytes()).unwrap()).collect()
}

fn convert_goldens() {
    let dir = tempfile::tempdir().unwrap();
    // A wind of 468.7 m/s at Newark is left out.
    for (file, count, coldest, with_wind) in
        [("KEWR-2013.csv.gz", 8_702, -11.7, 8_700), ("KPDX-2014.csv.gz", 8_711, -7.2, 8_708)]
    {
        let convert = in_dir(&dir, &["convert", "--out", "out.jsonl", "--json"]).path(&hourly_data(file));
        let summary = convert.run().expect_code(0).summary();
        assert_eq!((&summary["records_out"], &summary["bad"]), (&count.into(), &0.into()), "{file}");
        let found = hours(&dir.path().join("out.jsonl"));
        assert_eq!(found.len(), count);
        let lowest = found.iter().map(|hour| hour.temperature_c).fold(f64::INFINITY, f64::min);
        assert_eq!(
            (lowest, found.iter().filter(|hour| hour.wind_m_s.is_some()).count()),
            (coldest, with_wind)
        );
    }
    // Both files by date, and only some days.
    let sorted = in_dir(&dir, &["convert", "--sort", "date", "--from", "2013-12-30", "--to", "2014-01-01"])
        .args(["--out", "sorted.jsonl"])
        .path(&hourly_data("KPDX-2014.csv.gz"))
        .path(&hourly_data("KEWR-2013.csv.gz"));
    sorted.run().expect_code(0);
    let found = hours(&dir.path().join("sorted.jsonl"));
    assert!(found.iter().map(|hour| hour.time).is_sorted());
    assert_eq!(found.first().map(|hour| iso_time(hour.time)).as_deref(), Some("2013-12-30T00:00:00Z"));
    assert_eq!(found.last().map(|hour| hour.station.to_string()).as_deref(), Some("USW00024229"));
}

fn convert_forms() {
    let dir = tempfile::tempdir().unwrap();
    let metar = "KSFO 310456Z 28011KT 10SM SCT110 BKN180 11/06 A3001 RMK AO2 SLP161 T01110056 $";
    write(&dir, "list.csv", STATION_LIST);
    write(
        &dir,
        "a.csv",
        "# a comment\ntemp_c,time_utc,ghcn_id,icao\n11.1,2016-01-31T04:56:00Z,USW00023234,KSFO\n,2016-01-31T05:56:00Z,USW00023234,KSFO\n",
    );
    write(
        &dir,
        "b.psv",
        "# a comment\nSTATION|Station_name|DATE|temperature|temperature_Quality_Code\n\
         USW00023234|SFO|2016-01-31T04:56:00|11.1|1\nUSW00023234|SFO|2016-01-31T05:56:00|61.1|K\n",
    );
    write(&dir, "c.txt", &format!("2016/01/31 04:56\n{metar}\n\n2016/01/31 04:56\nEGLL 310450Z 08/05\n"));
    write(
        &dir,
        "d.txt",
        &format!("# a comment\n201601310456 METAR {metar}=\n201601310556 METAR KSFO 310556Z NIL=\n"),
    );
    let header = "raw_text,station_id,observation_time,latitude,longitude,temp_c";
    write(
        &dir,
        "e.csv",
        &format!("{header}\n\"METAR {metar}\",KSFO,2016-01-31T04:56:00.000Z,37.6,-122.3,11.1\n"),
    );
    write(
        &dir,
        "f.csv",
        &format!(
            "No errors\nNo warnings\n5 ms\ndata source=metars\n1 results\n{header}\n{metar},KSFO,2016-01-31T04:56:00Z,37.6,-122.3,11.1\n"
        ),
    );
    write(
        &dir,
        "g.jsonl",
        "{\"station_id\":\"USW00023234\",\"time\":\"2016-01-31T04:56:00Z\",\"temperature_c\":11.1}\n",
    );
    let files = ["a.csv", "b.psv", "c.txt", "d.txt", "e.csv", "f.csv", "g.jsonl"];
    let convert = in_dir(&dir, &["convert", "--stations", "list.csv"]).args(files).run().expect_code(0);
    let found = convert.json_lines();
    assert_eq!(found.len(), files.len(), "{convert}");
    let sources = ["hourly-csv", "ghcnh", "metar", "metar", "metar", "metar"];
    for (document, source) in found.iter().zip(sources) {
        assert_eq!(document["source"], source, "{document}");
    }
    for document in &found {
        assert_eq!(
            (&document["station_id"], &document["time"], &document["temperature_c"]),
            (&"USW00023234".into(), &"2016-01-31T04:56:00Z".into(), &11.1.into()),
            "{document}"
        );
    }
    assert_eq!((&found[2]["raw"], &found[2]["cloud_oktas"]), (&metar.into(), &7.into()));
    assert!(
        convert.err.contains("METARs of stations without a GHCN id") && convert.err.contains("EGLL"),
        "{convert}"
    );
    // Stations take turns, hour by hour.
    let header = "ghcn_id,time_utc,temp_c\n";
    let line = |station: &str, hour: u32| format!("{station},2016-01-31T{hour:02}:00:00Z,1.0\n");
    let (one, other) = ("USW00023234", "USW00003192");
    write(&dir, "one.csv", &format!("{header}{}{}", line(one, 4), line(one, 6)));
    write(&dir, "other.csv", &format!("{header}{}{}", line(other, 3), line(other, 5)));
    let sorted = in_dir(&dir, &["convert", "--sort", "date", "one.csv", "other.csv"]).run().expect_code(0);
    let stations: Vec<Value> = sorted.json_lines().iter().map(|hour| hour["station_id"].clone()).collect();
    assert_eq!(stations, [other, one, other, one]);
}

fn metars_need_stations() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "metars.txt", "2016/01/31 04:56\nKSFO 310456Z 11/06\nKSFO what?\nKSFO 310556Z 99/26\n");
    write(&dir, "daily.txt", "USW00023234  37.6197 -122.3647    2.4 CA SAN FRANCISCO INTL AP\n");
    write(&dir, "list.csv", STATION_LIST);
    let convert = |more: &[&str]| in_dir(&dir, &["convert", "metars.txt"]).args(more.iter().copied()).run();
    for stations in [&[][..], &["--stations", "daily.txt"]] {
        let outcome = convert(stations).expect_code(1);
        assert!(
            outcome.err.contains("metars.txt") && outcome.err.contains("ghcnh-station-list.csv"),
            "{outcome}"
        );
    }
    let list = ["--stations", "list.csv"];
    let stopped = convert(&list).expect_code(1);
    assert!(stopped.err.contains("metars.txt:3: its day and time"), "{stopped}");
    let skipped = convert(&[&list[..], &["--on-error", "skip"]].concat()).expect_code(0);
    assert_eq!(skipped.json_lines().len(), 1, "{skipped}");
    assert!(skipped.err.contains("metars.txt:4") && skipped.err.contains("temperature_c"), "{skipped}");
    assert!(skipped.err.contains("stations skipped"), "{skipped}");
}

fn refused() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "hours.csv", "ghcn_id,time_utc,temp_c\nUSW00023234,2016-01-31T04:56:00Z,11.1\n");
    write(
        &dir,
        "rules.toml",
        "[[rule]]\nid = \"frost\"\nstation = \"USW00023234\"\nwhen = \"TMIN <= 0.0\"\n",
    );
    let backtest =
        in_dir(&dir, &["rules", "backtest", "hours.csv", "--rules", "rules.toml"]).run().expect_code(1);
    assert!(
        backtest.err.contains("hours.csv holds hourly observations; this command takes daily ones"),
        "{backtest}"
    );
    let rule = "[[rule]]\nid = \"tonight\"\nstation = \"USW00023234\"\nwhen = \"chance(0.0) >= 0.3\"\n";
    write(&dir, "tonight.toml", rule);
    let explain = ["explain", "hours.csv", "--rules", "tonight.toml", "--rule", "tonight"];
    let explain = in_dir(&dir, &explain)
        .args(["--station", "USW00023234", "--date", "2016-01-30"])
        .run()
        .expect_code(2);
    assert!(explain.err.contains("from the outlooks on the broker, not from files"), "{explain}");
}

/// METARs of two months give nights like any other observations.
fn metar_nights() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "list.csv", STATION_LIST);
    let line = |hour: u32| {
        let (month, day) = (1 + hour / 24 / 31, 1 + hour / 24 % 31);
        let (hour, celsius) = (hour % 24, 5 + (hour % 24) / 3);
        let clock = format!("{day:02}{hour:02}56");
        format!("2016{month:02}{clock} METAR KSFO {clock}Z 28011KT 10SM {celsius:02}/02 A3001=\n")
    };
    write(&dir, "metars.txt", &(0..60 * 24).map(line).collect::<String>());
    let backtest = in_dir(&dir, &["outlook", "backtest", "metars.txt", "--stations", "list.csv", "--json"]);
    let scores = backtest.run().expect_code(0).json_lines();
    assert_eq!((scores.len(), &scores[0]["station"]), (1, &"USW00023234".into()), "{scores:?}");
    assert!(scores[0]["nights"].as_u64() > Some(10), "{scores:?}");
}

fn import_hourly() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    write(
        &dir,
        "daily.txt",
        "USW00023234  37.6197 -122.3647    2.4 CA SAN FRANCISCO INTL AP          GSN     72494\n",
    );
    write(&dir, "countries.txt", "US United States\n");
    write(&dir, "states.txt", "CA CALIFORNIA\nAZ ARIZONA\n");
    write(&dir, "list.csv", STATION_LIST);
    let import =
        ["stations", "import", "daily.txt", "--countries", "countries.txt", "--states", "states.txt"];
    let import = topics.frostline().args(import).args(["--hourly", "list.csv", "--json"]).in_dir(dir.path());
    assert_eq!(import.run().expect_code(0).summary()["stations"], 2);
    let mut found = topics.values("noaa-stations");
    found.sort_by_key(|station| station["id"].to_string());
    let shown = |station: &Value| {
        let text = |name: &str| station[name].as_str().unwrap_or_default().to_owned();
        [text("id"), text("icao"), text("state"), text("gsn_flag")]
    };
    assert_eq!(shown(&found[0]), ["USW00003192", "KSDL", "ARIZONA", ""]);
    assert_eq!(shown(&found[1]), ["USW00023234", "KSFO", "CALIFORNIA", "GSN"]);
    let search = topics.frostline().args(["stations", "search", "ksdl", "--json"]).run().expect_code(0);
    assert_eq!(search.summary()["id"], "USW00003192");
}

fn replay() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    let line = |hour: u32| format!("KEWR,USW00014734,2013-01-01T{hour:02}:00:00Z,{hour}.5,-3.3,4.6\n");
    let lines: String = (0..5).map(line).collect();
    write(&dir, "hours.csv", &format!("icao,ghcn_id,time_utc,temp_c,dewpoint_c,wind_m_s\n{lines}"));
    let replay = |topic: &str, more: &[&str]| {
        let command = topics.frostline().args(["replay", "hours.csv", "--topic", topic, "--json"]);
        command.args(more.iter().copied()).in_dir(dir.path()).run()
    };
    let refused = replay("noaa-csv-raw", &[]).expect_code(1);
    assert!(refused.err.contains("hours.csv holds hourly observations"), "{refused}");
    // The last of five hours comes after four; two of them take a second.
    let summary = replay("noaa-hourly", &["--speed", "2h/s"]).expect_code(0).summary();
    assert_eq!((&summary["records"], &summary["without_key"]), (&5.into(), &0.into()));
    assert!(summary["seconds"].as_f64().unwrap() >= 2.0, "{summary}");
    let records = topics.records("noaa-hourly");
    assert!(records.iter().all(|record| record["key"] == "USW00014734"), "{records:?}");
    let temperatures: Vec<&Value> = records.iter().map(|record| &record["value"]["temperature_c"]).collect();
    assert_eq!(temperatures, [0.5, 1.5, 2.5, 3.5, 4.5]);
    write(&dir, "days.csv", "USW00014734,20130101,TMIN,-11,,,W,\n");
    let days = topics.frostline().args(["replay", "days.csv", "--topic", "noaa-hourly"]).in_dir(dir.path());
    let refused = days.run().expect_code(1);
    assert!(refused.err.starts_with("error: days.csv holds daily lines; "), "{refused}");
}
