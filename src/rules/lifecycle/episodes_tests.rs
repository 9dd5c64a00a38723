//! The life cycle of rules: any order of days comes to the same alerts.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::rules::LoneDay;
use proptest::prelude::*;

const ID: Identity = Identity { fingerprint: 1, incarnation: 0, place: 0 };
const TERMS: Terms = Terms { for_days: 1, repeat_days: None };

/// Days given as letters, from day 0 on: Matches, Between, Clears, `.` for nothing.
fn verdicts(letters: &str) -> Vec<(i32, DayVerdict)> {
    let verdict = |letter| match letter {
        'M' => Some(DayVerdict::Matches),
        'B' => Some(DayVerdict::Between),
        'C' => Some(DayVerdict::Clears),
        _ => None,
    };
    (0..).zip(letters.chars()).filter_map(|(day, letter)| Some((day, verdict(letter)?))).collect()
}

/// What an orderly stream of these days tells.
fn told(letters: &str, terms: Terms) -> Vec<(i32, Transition)> {
    let (mut episodes, mut events) = (Episodes::new(ID), Vec::new());
    for (day, verdict) in verdicts(letters) {
        episodes.judge((ID, terms), day, 1, verdict, &mut events);
    }
    episodes.wait_until(letters.len() as i32 - 1, &mut events);
    events.iter().map(|event| (event.day, event.transition)).collect()
}

#[test]
fn episodes() {
    use Transition::{Fired, Resolved, Stale};
    assert_eq!(told("BMMBMCCB", TERMS), [(1, Fired), (5, Resolved)]);
    assert_eq!(told("MCMC", TERMS), [(0, Fired), (1, Resolved), (2, Fired), (3, Resolved)]);
    let three = Terms { for_days: 3, ..TERMS };
    assert_eq!(
        told("MMBMM.MC", three),
        [(6, Fired), (7, Resolved)],
        "a day without a report neither counts nor breaks"
    );
    assert!(told("MM.......M", three).is_empty(), "a silence breaks the row");
    let weekly = Terms { repeat_days: Some(7), ..TERMS };
    assert_eq!(told("MMMMMMMBMMMMMMMMC", weekly), [(0, Fired), (8, Fired), (15, Fired), (16, Resolved)]);
    assert_eq!(told("BM...", TERMS), [(1, Fired)]);
    assert_eq!(told("BM....", TERMS), [(1, Fired), (4, Stale)]);
    assert_eq!(
        told("BM......MM....C", TERMS),
        [(1, Fired), (4, Stale), (8, Fired), (14, Resolved)],
        "slower stations get more patience"
    );
}

#[test]
fn after_a_silence_the_first_day_that_matches_fires() {
    use Transition::{Fired, Resolved, Stale};
    let silence = ".".repeat(250);
    let told_after = |back: &str, terms| {
        let letters = format!("MMMMM{silence}{back}");
        let of_back = told(&letters, terms).into_iter().filter(|(day, _)| *day > 5);
        of_back.map(|(day, what)| (day - 255, what)).collect::<Vec<_>>()
    };
    let stale = (-248, Stale);
    assert_eq!(told_after("MMMMM", TERMS), [stale, (0, Fired)]);
    assert_eq!(told_after("BBMM", TERMS), [stale, (2, Fired)], "also where the first days back do not match");
    assert_eq!(told_after("BBCM", TERMS), [stale, (2, Resolved), (3, Fired)]);
    let often = Terms { repeat_days: Some(3), ..TERMS };
    assert_eq!(told_after("BMMMM", often), [stale, (1, Fired), (4, Fired)], "repeats count from there");
    let once_more = told_after(&format!("B{}M", ".".repeat(200)), TERMS);
    assert_eq!(once_more.iter().map(|(_, what)| *what).collect::<Vec<_>>(), [Stale, Stale, Fired]);
    let three = Terms { for_days: 3, ..TERMS };
    assert_eq!(told_after("MM", three), [stale, (0, Fired)], "the episode stands: no new row is asked for");
}

#[test]
fn late_days_of_a_silence_move_the_alert_after_it() {
    let (mut episodes, mut events) = (Episodes::new(ID), Vec::new());
    let mut judge = |day, revision, verdict| {
        events.clear();
        episodes.judge((ID, TERMS), day, revision, verdict, &mut events);
        let seen = events.iter().map(|event| (event.day, event.transition, event.silent_from));
        seen.collect::<Vec<_>>()
    };
    use Transition::{Fired, Resolved, Retracted, Stale};
    assert_eq!(judge(0, 1, DayVerdict::Matches), [(0, Fired, None)]);
    assert_eq!(judge(100, 1, DayVerdict::Matches), [(3, Stale, None), (100, Fired, Some(0))]);
    // The day before it is the first after the silence now.
    assert_eq!(judge(99, 1, DayVerdict::Matches), [(100, Retracted, None), (99, Fired, Some(0))]);
    // Corrected: it did not match.
    assert_eq!(judge(99, 2, DayVerdict::Between), [(99, Retracted, None), (100, Fired, Some(0))]);
    // It was over in between, and another episode began.
    assert_eq!(
        judge(50, 1, DayVerdict::Clears),
        [(100, Retracted, None), (50, Resolved, None), (100, Fired, None)]
    );
}

/// The structs whose bytes the version before has stored, with `is_stale` in place of `contact`.
mod before {
    use serde::Serialize;

    #[derive(Serialize)]
    pub(super) struct Standing {
        pub(super) since: i32,
        pub(super) told: i32,
        pub(super) is_stale: bool,
    }

    #[derive(Serialize)]
    pub(super) struct Walk {
        pub(super) last_day: Option<i32>,
        pub(super) interval: u16,
        pub(super) in_a_row: u16,
        pub(super) standing: Option<Standing>,
    }

    #[derive(Serialize)]
    pub(super) struct Told {
        pub(super) day: i32,
        pub(super) transition: super::Transition,
        pub(super) since: i32,
        pub(super) times: u16,
        pub(super) stands: bool,
    }

    #[derive(Serialize)]
    pub(super) struct Episodes {
        pub(super) fingerprint: u32,
        pub(super) incarnation: u32,
        pub(super) place: u32,
        pub(super) start: Walk,
        pub(super) tip: Walk,
        pub(super) days: super::Days,
        pub(super) revisions: Vec<(i32, u32)>,
        pub(super) told: Vec<Told>,
        pub(super) waited_until: i32,
        pub(super) station_name: String,
    }
}

/// An episode that has stood since day 0 at a station that has been silent since.
fn stored_before(is_stale: bool) -> Vec<u8> {
    let walk = |last_day, standing| before::Walk { last_day, interval: 16, in_a_row: 0, standing };
    let told = |day, transition| before::Told { day, transition, since: 0, times: 1, stands: true };
    let mut all_told = vec![told(0, Transition::Fired)];
    all_told.extend(is_stale.then(|| told(3, Transition::Stale)));
    let mut days = Days::default();
    days.set(0, DayVerdict::Matches);
    let episodes = before::Episodes {
        fingerprint: ID.fingerprint,
        incarnation: ID.incarnation,
        place: ID.place,
        start: walk(None, None),
        tip: walk(Some(0), Some(before::Standing { since: 0, told: 0, is_stale })),
        days,
        revisions: Vec::new(),
        told: all_told,
        waited_until: if is_stale { 200 } else { 0 },
        station_name: "FT VALLEY".into(),
    };
    postcard::to_allocvec(&episodes).unwrap()
}

#[test]
fn what_the_version_before_has_stored_goes_on() {
    let next = |is_stale, day| {
        let bytes = stored_before(is_stale);
        let mut episodes: Episodes = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(postcard::to_allocvec(&episodes).unwrap(), bytes, "it is written as before");
        assert_eq!(episodes.station_name, "FT VALLEY");
        let mut events = Vec::new();
        episodes.judge((ID, TERMS), day, 1, DayVerdict::Matches, &mut events);
        events.iter().map(|event| (event.day, event.transition, event.silent_from)).collect::<Vec<_>>()
    };
    assert_eq!(next(true, 201), [(201, Transition::Fired, Some(0))]);
    assert_eq!(next(false, 1), []);
}

#[test]
fn a_station_that_reports_weekly_is_not_taken_for_silent_for_ever() {
    let weekly = "M......".repeat(20);
    let stale = told(&weekly, TERMS).iter().filter(|(_, what)| *what == Transition::Stale).count();
    assert!(stale <= 3, "{stale}");
}

#[test]
fn late_days_and_corrections_retract() {
    let (mut episodes, mut events) = (Episodes::new(ID), Vec::new());
    let mut judge = |day, revision, verdict| {
        events.clear();
        let taken = episodes.judge((ID, TERMS), day, revision, verdict, &mut events);
        (
            taken,
            events
                .iter()
                .map(|event| (event.day, event.transition, event.of, event.times))
                .collect::<Vec<_>>(),
        )
    };
    use Transition::{Fired, Resolved, Retracted};
    assert_eq!(judge(8, 1, DayVerdict::Matches).1, [(8, Fired, Fired, 1)]);
    assert_eq!(judge(7, 1, DayVerdict::Matches).1, [(8, Retracted, Fired, 1), (7, Fired, Fired, 1)]);
    assert_eq!(judge(9, 1, DayVerdict::Clears).1, [(9, Resolved, Resolved, 1)]);
    assert_eq!(judge(9, 1, DayVerdict::Clears), (Taken::Known, vec![]));
    assert_eq!(judge(9, 2, DayVerdict::Matches).1, [(9, Retracted, Resolved, 1)]);
    assert_eq!(judge(9, 1, DayVerdict::Clears), (Taken::Outdated, vec![]));
    // Now day 8 is the first again: it is told a second time, under another number.
    assert_eq!(judge(7, 2, DayVerdict::Between).1, [(7, Retracted, Fired, 1), (8, Fired, Fired, 2)]);
    assert_eq!(judge(-500, 1, DayVerdict::Matches).0, Taken::TooOld);
}

#[test]
fn a_year_and_more_takes_little_room() {
    let (mut episodes, mut events) = (Episodes::new(ID), Vec::new());
    for day in 0..5_000 {
        let verdict = [DayVerdict::Matches, DayVerdict::Between, DayVerdict::Clears][day as usize / 20 % 3];
        episodes.judge((ID, TERMS), day, 1, verdict, &mut events);
    }
    assert_eq!(events.len(), 2 * 83 + 1);
    let bytes = postcard::to_allocvec(&episodes).unwrap().len();
    assert!(bytes < 300, "{bytes}");
    assert_eq!(episodes.judge((ID, TERMS), 4_590, 1, DayVerdict::Clears, &mut events), Taken::TooOld);
}

/// What stands at the end: all that was told and not retracted since.
fn standing(events: &[Event]) -> BTreeSet<(i32, Transition, i32)> {
    let mut standing = BTreeSet::new();
    for event in events {
        let key = (event.day, event.of, event.since);
        if event.transition == Transition::Retracted {
            assert!(standing.remove(&key), "what is retracted was told: {event:?}");
        } else {
            assert!(standing.insert(key), "nothing is told twice: {event:?}");
        }
    }
    standing
}

/// The reference: episodes from the days in their order, in the simplest way.
fn reference(days: &BTreeMap<i32, DayVerdict>, terms: Terms, today: i32) -> BTreeSet<(i32, Transition, i32)> {
    let mut events = Vec::new();
    let mut episodes = Episodes::new(ID);
    for (day, verdict) in days {
        episodes.judge((ID, terms), *day, 1, *verdict, &mut events);
    }
    episodes.wait_until(today, &mut events);
    assert!(
        events.iter().all(|event| event.transition != Transition::Retracted),
        "an orderly stream never retracts"
    );
    standing(&events)
}

fn verdict() -> impl Strategy<Value = DayVerdict> {
    prop_oneof![
        3 => Just(DayVerdict::Matches),
        2 => Just(DayVerdict::Between),
        2 => Just(DayVerdict::Clears),
        1 => Just(DayVerdict::Unknown),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Any order, duplicates and revisions: what stands in the end is what the days in their order give.
    #[test]
    fn order_does_not_matter(
        arrivals in prop_oneof![
            proptest::collection::vec((0..40_i32, 1..4_u32, verdict()), 0..80),
            // With silences between the days.
            proptest::collection::vec((0..300_i32, 1..4_u32, verdict()), 0..30),
        ],
        for_days in 1..4_u16,
        repeat_days in proptest::option::of(1..9_u16),
    ) {
        let terms = Terms { for_days, repeat_days };
        let (mut episodes, mut events) = (Episodes::new(ID), Vec::new());
        let mut newest: BTreeMap<i32, (u32, DayVerdict)> = BTreeMap::new();
        // A revision has one content, however often it is delivered.
        let mut contents: BTreeMap<(i32, u32), DayVerdict> = BTreeMap::new();
        let mut today = 0;
        for (day, revision, verdict) in arrivals {
            let verdict = *contents.entry((day, revision)).or_insert(verdict);
            if day > today {
                today = day;
                episodes.wait_until(today, &mut events);
            }
            episodes.judge((ID, terms), day, revision, verdict, &mut events);
            let known = newest.entry(day).or_insert((revision, verdict));
            if revision >= known.0 {
                *known = (revision, verdict);
            }
            // It must survive being written at any moment.
            episodes = postcard::from_bytes(&postcard::to_allocvec(&episodes).unwrap()).unwrap();
        }
        episodes.wait_until(today, &mut events);
        let days = newest.into_iter().map(|(day, (_, verdict))| (day, verdict)).collect();
        prop_assert_eq!(standing(&events), reference(&days, terms, today));
    }

    /// The same over years, with gaps, late days and corrections: what lies beyond the horizon is told once, and stays.
    #[test]
    fn what_was_told_long_ago_is_not_told_again(
        days in proptest::collection::vec((1..40_i32, verdict(), 0..300_i32, verdict()), 20..80),
    ) {
        let (mut episodes, mut events) = (Episodes::new(ID), Vec::new());
        let (mut day, mut revision) = (0, 1);
        let mut told = BTreeSet::new();
        for (gap, verdict, lateness, late_verdict) in days {
            day += gap;
            revision += 1;
            episodes.wait_until(day, &mut events);
            episodes.judge((ID, TERMS), day, 1, verdict, &mut events);
            episodes.judge((ID, TERMS), day - lateness, revision, late_verdict, &mut events);
            for event in events.drain(..) {
                let is_new = told.insert((event.day, event.transition, event.of, event.times));
                prop_assert!(is_new, "{:?} twice", event);
            }
        }
    }

    /// In the order of the calendar no episode resolves that did not fire, and none fires twice but to be repeated.
    #[test]
    fn transitions_alternate(
        days in prop_oneof![
            proptest::collection::btree_map(0..60_i32, verdict(), 0..60),
            proptest::collection::btree_map(0..300_i32, verdict(), 0..20),
        ],
        for_days in 1..4_u16,
        repeat_days in proptest::option::of(1..9_u16),
    ) {
        let (mut open, mut is_stale) = (None, false);
        for (day, transition, since) in reference(&days, Terms { for_days, repeat_days }, 70) {
            match transition {
                Transition::Fired if day == since => {
                    prop_assert!(open.is_none());
                    open = Some(since);
                }
                Transition::Fired => {
                    prop_assert!(open == Some(since) && (repeat_days.is_some() || is_stale));
                    is_stale = false;
                }
                Transition::Stale => {
                    prop_assert!(open == Some(since));
                    is_stale = true;
                }
                Transition::Resolved => {
                    prop_assert!(open.take() == Some(since));
                    is_stale = false;
                }
                _ => prop_assert!(false),
            }
        }
    }

    /// A lone day: any order of revisions comes to the verdict of the newest.
    #[test]
    fn lone_days(arrivals in proptest::collection::vec((1..5_u32, proptest::bool::ANY), 1..12)) {
        let (mut known, mut stands) = (None, false);
        // A revision has one content.
        let mut contents: BTreeMap<u32, bool> = BTreeMap::new();
        for (revision, matches) in arrivals {
            let matches = *contents.entry(revision).or_insert(matches);
            let verdict = if matches { DayVerdict::Matches } else { DayVerdict::Between };
            let (remembered, event, _) = LoneDay::judge(known, 7, revision, verdict);
            known = remembered.or(known);
            match event.map(|event| event.transition) {
                Some(Transition::Fired) => { prop_assert!(!stands); stands = true; }
                Some(Transition::Retracted) => { prop_assert!(stands); stands = false; }
                _ => {}
            }
        }
        prop_assert_eq!(stands, *contents.last_key_value().unwrap().1);
    }
}
