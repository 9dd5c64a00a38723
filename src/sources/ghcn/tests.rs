//! The poller of daily data with canned answers.

use std::io::Write;

use super::lines::Change;
use super::*;
use crate::sources::canned::{Asked, Canned, poll, version};

const NOW_MS: i64 = 1_778_800_000_000; // 2026-05-14
const BASE: &str = "https://ghcn.example/daily";

/// A poller with its answers and its position.
struct Setting {
    canned: Arc<Canned>,
    poller: Ghcn,
    position: Position,
}

impl Setting {
    fn new(lines_max: usize) -> Self {
        Self::with(GhcnSettings { lines_max, ..GhcnSettings::new(&format!("{BASE}/")) })
    }

    fn with(settings: GhcnSettings) -> Self {
        let canned = Canned::new();
        let poller = Ghcn::new(canned.clone(), settings);
        Self { canned, poller, position: Position::default() }
    }

    /// One whose archive is known up to a day.
    fn at(end: &str, lines_max: usize) -> Self {
        let mut setting = Self::new(lines_max);
        setting.position.apply(END_KEY, Some(end.as_bytes()));
        setting
    }

    fn poll(&mut self) -> Batch {
        poll(&mut self.poller, &mut self.position, NOW_MS).unwrap()
    }

    /// Polls up to a poll without more to fetch at once. Returns the records and the remarks.
    fn run(&mut self) -> (Vec<String>, Vec<String>) {
        let (mut records, mut remarks) = (Vec::new(), Vec::new());
        loop {
            let batch = self.poll();
            records.extend(said(&batch));
            remarks.extend(batch.remark);
            if batch.next_in != Some(Duration::ZERO) {
                return (records, remarks);
            }
        }
    }

    fn end(&self) -> &str {
        std::str::from_utf8(self.position.get(END_KEY).unwrap()).unwrap()
    }

    fn listing(&self, names: &[(&str, &str)]) {
        let link =
            |(from, to): &(&str, &str)| format!("<a href=\"superghcnd_diff_{from}_to_{to}.tar.gz\">x</a>\n");
        let links: String = names.iter().map(link).collect();
        self.canned.file(format!("<html>{links}<a href=\"readme-superghcnd_diff.txt\">"), "");
    }
}

fn said(batch: &Batch) -> Vec<String> {
    let say = |record: &SourceRecord| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!((record.sink, record.timestamp_ms), (GHCN_SINK, NOW_MS));
        assert!(record.value.starts_with(&record.key));
        let [(CHANGE_HEADER, change)] = record.headers.as_slice() else { panic!("{record:?}") };
        format!("{} {}", text(change), text(&record.value))
    };
    batch.records.iter().map(say).collect()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// A difference with files in a folder, as NOAA packs them.
fn archive(members: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("superghcnd_diff/{name}"), text.as_bytes()).unwrap();
    }
    packed(&archive.into_inner().unwrap())
}

fn line(day: u8, value: i32) -> String {
    format!("USC00137859,202605{day:02},TMIN,{value},,,H,0700\n")
}

fn difference(value: i32) -> Vec<u8> {
    archive(&[("readme.txt", "not a line"), ("insert.csv", &line(11, value))])
}

fn urls(asked: &[Asked]) -> Vec<&str> {
    asked.iter().map(|asked| asked.url.strip_prefix(BASE).unwrap()).collect()
}

#[test]
fn it_begins_behind_the_newest_difference() {
    let mut setting = Setting::new(100);
    setting.listing(&[("20260510", "20260511"), ("20260511", "20260512")]);
    let batch = setting.poll();
    assert_eq!((batch.records.len(), batch.next_in, setting.end()), (0, None, "20260512"));
    assert_eq!(batch.newest_ms, Some(1_778_544_000_000));
    setting.listing(&[("20260511", "20260512")]);
    let batch = setting.poll();
    assert!(batch.is_empty() && batch.next_in.is_none() && batch.remark.is_none(), "the usual lag");
    assert_eq!(batch.newest_ms, Some(1_778_544_000_000));

    let since = Date::new(2026, 5, 10);
    let mut setting = Setting::with(GhcnSettings { since, ..GhcnSettings::new(BASE) });
    setting.listing(&[("20260510", "20260511"), ("20260511", "20260512")]);
    setting.canned.file(difference(1), "");
    assert_eq!(setting.poll().newest_ms, None);
    assert_eq!(said(&setting.poll()).len(), 1);
    assert_eq!(setting.end(), "20260511");
}

#[test]
fn differences_are_a_chain() {
    let mut setting = Setting::at("20260510", 100);
    let list = [("20260509", "20260510"), ("20260510", "20260511"), ("20260511", "20260514")];
    let members = [
        ("insert.csv", "USC00137859,20170328,TMAX,117,,,H,700\nUSC00137859,20170329,TMAX,117,,,H\n"),
        (
            "update.csv",
            "ID,DATE,ELEMENT,DATA_VALUE,M_FLAG,Q_FLAG,S_FLAG,OBS_TIME\r\nUSC00137859,20260510,TMIN,-5,,I,H,\r\n",
        ),
        ("delete.csv", "USC00137859,20260509,TMIN,-6,,,H,\n\nnonsense"),
    ];
    setting.listing(&list);
    setting.canned.file(archive(&members), "\"a\"");
    let expected = [
        "insert USC00137859,20170328,TMAX,117,,,H,0700",
        "insert USC00137859,20170329,TMAX,117,,,H,",
        "update USC00137859,20260510,TMIN,-5,,I,H,",
        "delete USC00137859,20260509,TMIN,-6,,,H,",
        "delete nonsense",
    ];
    assert_eq!(setting.poll().next_in, Some(Duration::ZERO));
    assert_eq!(said(&setting.poll()), expected);
    assert_eq!(setting.end(), "20260511");
    setting.listing(&list);
    setting.canned.file(difference(2), "\"b\"");
    setting.listing(&list);
    let (records, remarks) = setting.run();
    assert_eq!((records.len(), remarks.len(), setting.end()), (1, 0, "20260514"));
    let asked = setting.canned.asked();
    let (folder, diff) = ("/superghcnd/", "/superghcnd/superghcnd_diff_");
    let expected = [
        folder.to_owned(),
        format!("{diff}20260510_to_20260511.tar.gz"),
        folder.to_owned(),
        format!("{diff}20260511_to_20260514.tar.gz"),
        folder.to_owned(),
    ];
    assert_eq!(urls(&asked), expected);
}

#[test]
fn a_large_difference_comes_in_parts_and_goes_on_elsewhere() {
    let text: String = (1..=25).map(|day| line(day, 0)).collect();
    let whole = archive(&[("insert.csv", &text), ("update.csv", &line(26, 0))]);
    let list = [("20260510", "20260511")];
    let mut setting = Setting::at("20260510", 10);
    setting.listing(&list);
    setting.canned.file(whole.clone(), "\"a\"");
    setting.poll();
    let first = setting.poll();
    assert_eq!((first.records.len(), first.next_in, setting.end()), (10, Some(Duration::ZERO), "20260510"));
    // A poll whose batch is not committed is done again, with the same outcome and without a request.
    let lost = setting.poller.poll(&setting.position, NOW_MS).unwrap();
    let second = setting.poll();
    assert_eq!((&lost, lost.records.len()), (&second, 10));
    // Another process has the position alone.
    let mut other = Setting { position: setting.position.clone(), ..Setting::new(10) };
    other.canned.file(whole, "\"the same bytes\"");
    let third = other.poll();
    assert_eq!((third.records.len(), other.end()), (6, "20260511"));
    let expected: Vec<String> = text.lines().map(|line| format!("insert {line}")).collect();
    let all = [said(&first), said(&second), said(&third)].concat();
    assert_eq!(all[..25], expected);
    // Another version of the file begins again.
    let mut changed = Setting { position: setting.position.clone(), ..Setting::new(10) };
    changed.canned.file(difference(1), "\"b\"");
    assert_eq!(said(&changed.poll()).len(), 1);
}

#[test]
fn only_stations_that_are_wanted_are_emitted() {
    let stations = Some([StationId::parse(b"USC00137859").unwrap()].into());
    let mut setting = Setting::with(GhcnSettings { stations, ..GhcnSettings::new(BASE) });
    setting.position.apply(END_KEY, Some(b"20260510"));
    setting.listing(&[("20260510", "20260511")]);
    let text = format!("USC00000001,20260511,TMIN,0,,,H,\n{}bad line,\n", line(11, 1));
    setting.canned.file(archive(&[("insert.csv", &text)]), "");
    setting.poll();
    assert_eq!(
        said(&setting.poll()),
        ["insert USC00137859,20260511,TMIN,1,,,H,0700", "insert bad line,"],
        "an invalid line is for the stage to report"
    );
}

#[test]
fn a_damaged_difference_gives_nothing() {
    let whole = archive(&[("insert.csv", &line(11, 1).repeat(500))]);
    let mut setting = Setting::at("20260510", 100);
    setting.listing(&[("20260510", "20260511")]);
    setting.poll();
    let mut trailer = whole.clone();
    let at = trailer.len() - 6;
    trailer[at] ^= 1;
    for damaged in
        [whole[..whole.len() - 4].to_vec(), trailer, packed(b"no archive"), archive(&[("x.csv", "")])]
    {
        setting.canned.file(damaged, "");
        let error = poll(&mut setting.poller, &mut setting.position, NOW_MS).unwrap_err();
        assert!(error.reason.contains("the archive") && error.reason.contains("20260511"), "{error}");
    }
    assert_eq!(setting.end(), "20260510");
    assert!(
        Lines::of_difference(&archive(&[("insert.csv", &"x\n".repeat(4_000))]), 4_000).is_err(),
        "too large"
    );
    setting.canned.then(Ok(Answer::NotFound));
    assert_eq!(setting.poll().next_in, None, "the list was out of date");
    assert!(setting.position.get(WORK_KEY).is_none());
}

#[test]
fn without_a_list_names_are_tried() {
    let mut setting = Setting::at("20260511", 100);
    setting.canned.then(Err(PollError::new("no list")));
    setting.canned.then(Ok(Answer::NotFound));
    setting.canned.file(difference(3), "");
    setting.listing(&[("20260511", "20260513")]);
    let (records, remarks) = setting.run();
    assert_eq!((records.len(), setting.end()), (1, "20260513"));
    assert!(remarks.len() == 1 && remarks[0].contains("no list"), "{remarks:?}");
    let asked = setting.canned.asked();
    let expected = [
        "",
        "superghcnd_diff_20260511_to_20260512.tar.gz",
        "superghcnd_diff_20260511_to_20260513.tar.gz",
        "",
    ];
    assert_eq!(urls(&asked), expected.map(|name| format!("/superghcnd/{name}")));

    // No difference ends after today.
    let mut setting = Setting::at("20260512", 100);
    setting.canned.file("<html>Down", "");
    setting.canned.then(Ok(Answer::NotFound));
    setting.canned.then(Ok(Answer::NotFound));
    let (records, _) = setting.run();
    assert_eq!((records.len(), setting.canned.asked().len(), setting.end()), (0, 3, "20260512"));

    let mut first = Setting::new(100);
    first.canned.then(Ok(Answer::NotFound));
    assert!(poll(&mut first.poller, &mut first.position, NOW_MS).is_err(), "nothing says where to begin");
}

/// An answer with a part of a file.
fn part(bytes: &[u8], total: usize, etag: &str) -> Result<Answer, PollError> {
    let part_of = Some(total as u64);
    Ok(Answer::New(Fresh { bytes: bytes.to_vec(), validators: version(etag), part_of, ..Fresh::default() }))
}

#[test]
fn a_broken_chain_falls_back_to_the_files_of_two_years() {
    let mut setting = Setting::at("20260501", 10);
    let list = [("20260510", "20260511"), ("20260511", "20260512")];
    let text: String = (1..=15).map(|day| line(day, 0)).collect();
    let year = packed(text.as_bytes());
    setting.listing(&list);
    // Last year's file comes whole, this year's in parts; it changes meanwhile.
    setting.canned.file(packed(line(31, -1).as_bytes()), "\"l\"");
    setting.canned.then(part(&year[..20], year.len(), "\"a\""));
    setting.canned.then(part(&year[20..40], year.len(), "\"b\""));
    setting.canned.then(part(&year[..20], year.len(), "\"b\""));
    setting.canned.then(Err(PollError::new("broke off")));
    setting.canned.then(part(&year[20..], year.len(), "\"b\""));
    let mut records = Vec::new();
    for poll in 0..5 {
        let batch = setting.poll();
        assert_eq!(batch.next_in, Some(Duration::ZERO));
        assert_eq!(batch.remark.is_some(), poll == 0, "{:?}", batch.remark);
        records.extend(said(&batch));
    }
    assert!(poll(&mut setting.poller, &mut setting.position, NOW_MS).is_err());
    records.extend(said(&setting.poll()));
    assert_eq!(setting.end(), "20260501", "not before all has been read");
    records.extend(said(&setting.poll()));
    assert_eq!(setting.end(), "20260511", "the newest difference is applied once more");
    let expected: Vec<String> =
        line(31, -1).lines().chain(text.lines()).map(|line| format!("update {line}")).collect();
    assert_eq!(records, expected);
    let asked = setting.canned.asked();
    assert_eq!(urls(&asked)[1..3], ["/by_year/2025.csv.gz", "/by_year/2026.csv.gz"]);
    let parts: Vec<u64> = asked.iter().filter_map(|asked| Some(asked.part?.from)).collect();
    assert_eq!(parts, [0, 0, 20, 0, 20, 20]);
    let sizes: Vec<u64> = asked.iter().filter_map(|asked| Some(asked.part?.bytes >> 20)).collect();
    assert_eq!(sizes, [16, 16, 16, 16, 16, 4], "MiB; less after one that broke off");
    setting.listing(&list);
    setting.canned.file(difference(1), "");
    setting.listing(&list);
    assert_eq!((setting.run().0.len(), setting.end()), (1, "20260512"));
}

#[test]
fn a_year_that_is_missing_or_damaged() {
    let mut setting = Setting::at("20260501", 10);
    setting.listing(&[("20260510", "20260511")]);
    setting.poll();
    let year = packed(line(1, 0).repeat(50).as_bytes());
    setting.canned.file(&year[..year.len() - 3], "");
    let error = poll(&mut setting.poller, &mut setting.position, NOW_MS).unwrap_err();
    assert!(error.reason.contains("by_year/2025.csv.gz") && error.reason.contains("truncated"), "{error}");
    setting.canned.file(line(1, 0), "");
    assert_eq!(said(&setting.poll()).len(), 1, "a file that is not packed");
    setting.canned.then(Ok(Answer::NotFound));
    let waits = setting.poll();
    assert!(waits.remark.unwrap().contains("no file of 2026 yet") && waits.next_in.is_none());
    assert_eq!(setting.end(), "20260501", "what was in the missing differences is nowhere else");
    setting.canned.then(Ok(Answer::NotFound));
    let later = poll(&mut setting.poller, &mut setting.position, NOW_MS + 7 * DAY_MS).unwrap();
    assert!(later.remark.unwrap().contains("continuing without it"));
    assert_eq!(setting.end(), "20260510");
    assert_eq!(Change::Delete.as_str(), "delete");
}
