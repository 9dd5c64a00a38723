//! Finds the stations of rules with `near` for which none was known when the daemon started or when they were
//! published.
//!
//! At first there are no observations, because only the daemon itself writes them. So it starts, watches the topic
//! that the alert stage reads, and chooses the nearest station that reports what the rule needs, once two checks in a
//! row give the same station. Nothing is written: each process chooses for itself.
//!
//! All processes choose the same station, because the choice depends only on the newest [`REPORTING_RECORDS`] records
//! of each partition, the same that a start and `frostline rules apply` use. Processes that check at different
//! moments may differ while the first stations report; so a choice is checked for another minute, and follows the
//! topic until then. After that it stays until the process ends. A start reads the topic before the first record is
//! judged, so a restart misses nothing.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use frostline_engine::Record;
use frostline_engine::runtime::TopicTail;

use crate::noaa::{ObservationView, StationId};
use crate::rules::{Feed, Near, Nearest, Needs, REPORTING_RECORDS, Reporting, Rule, RuleSet, far};

/// How often to check. Less often with very many rules, so that checking takes at most a twentieth of one core.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const REST_FACTOR: u32 = 20;
/// How long a choice may still change.
const CONFIRM: Duration = Duration::from_secs(60);

/// Takes records, on a thread of its own.
pub type Visit = Box<dyn FnMut(&Record<'_>) + Send>;
/// Follows a topic from this many records before the end of each partition.
pub type Follow = Box<dyn Fn(i64, Visit) -> TopicTail + Send>;

/// The topic in which stations are looked for.
pub struct Source {
    /// Its name in Kafka.
    pub topic: String,
    /// `filter.where`, if the topic has only what that keeps.
    pub filter: Option<String>,
}

/// The search; it stops when this is dropped.
pub struct NearSearch {
    /// Dropping this stops the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl NearSearch {
    /// Looks for the stations of those `rules` that are of these feeds, in the topic that `follow` reads:
    /// observations for [`Feed::DAYS`], outlooks for [`Feed::MOMENTS`]. The topic is only read while a station is
    /// missing.
    pub fn start(rules: Arc<RuleSet>, feeds: &'static [Feed], source: Source, follow: Follow) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::spawn(move || work(Search::new(feeds, source), &rules, &follow, &stopped));
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for NearSearch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the search for stations near rules panicked");
        }
    }
}

fn work(mut search: Search, rules: &RuleSet, follow: &Follow, stopped: &mpsc::Receiver<()>) {
    let mut tail: Option<(TopicTail, Arc<Mutex<Reporting>>)> = None;
    let mut rest = LOOK_EVERY;
    while stopped.recv_timeout(rest) == Err(RecvTimeoutError::Timeout) {
        let begun = Instant::now();
        search.note_unresolved(rules);
        if search.is_over() {
            tail = None;
            continue;
        }
        let (tail, reporting) = tail.get_or_insert_with(|| start_tail(search.feeds, follow));
        // Before the end has been read once, the nearest stations may be among the unread ones.
        if tail.is_current() {
            search.look(rules, &lock(reporting), begun);
        }
        rest = LOOK_EVERY.max(begun.elapsed() * REST_FACTOR);
    }
}

fn start_tail(feeds: &[Feed], follow: &Follow) -> (TopicTail, Arc<Mutex<Reporting>>) {
    let reporting: Arc<Mutex<Reporting>> = Arc::default();
    let taking = Arc::clone(&reporting);
    let reads_days = feeds.contains(&Feed::Day);
    let visit = move |record: &Record<'_>| match record.value {
        Some(value) if reads_days => {
            if let Ok(view) = ObservationView::parse(value) {
                lock(&taking).take(&view);
            }
        }
        Some(value) => lock(&taking).take_moment(value, record.timestamp_ms),
        None => {}
    };
    (follow(REPORTING_RECORDS, Box::new(visit)), reporting)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The rules to find stations for, and the observations seen so far.
struct Search {
    /// Rules of other feeds belong to another search.
    feeds: &'static [Feed],
    source: Source,
    /// The generation of rules that has been handled.
    generation: Option<u64>,
    sought: BTreeMap<Arc<str>, Sought>,
}

struct Sought {
    /// The version in force: another version is another search.
    rule: Arc<Rule>,
    near: Near,
    needs: Needs,
    /// The result of the last check, and since when checks give the same.
    candidate: Option<(StationId, Instant)>,
    /// The station that the rule watches by now.
    chosen: Option<StationId>,
}

impl Search {
    fn new(feeds: &'static [Feed], source: Source) -> Self {
        Self { feeds, source, generation: None, sought: BTreeMap::new() }
    }

    fn is_over(&self) -> bool {
        self.sought.is_empty()
    }

    /// Starts searches for rules without a station, with one warning each, and drops rules that have changed or are
    /// gone.
    fn note_unresolved(&mut self, rules: &RuleSet) {
        let generation = rules.generation();
        if self.generation == Some(generation) {
            return;
        }
        self.generation = Some(generation);
        self.sought.retain(|id, sought| rules.get(id).is_some_and(|rule| Arc::ptr_eq(&rule, &sought.rule)));
        for (rule, near) in rules.unresolved() {
            if self.sought.contains_key(&rule.id) || !self.feeds.contains(&rule.feed()) {
                continue;
            }
            let needs = rule.needs();
            tracing::warn!(
                rule = &*rule.id,
                topic = self.source.topic,
                filter = self.source.filter,
                needs = %needs,
                max_km = near.max_km(),
                "no station near this rule reports the elements it needs yet, so it cannot fire: the daemon \
                 will look again as observations arrive; if it finds none, raise near.max_km, name a station, or \
                 change the filter (filter.where), if the topic has one"
            );
            let sought = Sought { rule: Arc::clone(&rule), near, needs, candidate: None, chosen: None };
            self.sought.insert(Arc::clone(&rule.id), sought);
        }
    }

    /// Checks once for all rules.
    fn look(&mut self, rules: &RuleSet, reporting: &Reporting, now: Instant) {
        for sought in self.sought.values_mut() {
            let Some(nearest) = reporting.nearest(&sought.near, &sought.needs) else { continue };
            let station = nearest.station;
            match sought.candidate {
                Some((candidate, _)) if candidate == station => {
                    if sought.chosen != Some(station) {
                        sought.choose(rules, &nearest, &self.source.topic);
                    }
                }
                _ => sought.candidate = Some((station, now)),
            }
        }
        let is_settled = |sought: &Sought| match (sought.candidate, sought.chosen) {
            (Some((candidate, since)), Some(chosen)) => candidate == chosen && now - since >= CONFIRM,
            _ => false,
        };
        self.sought.retain(|_, sought| !is_settled(sought));
    }
}

impl Sought {
    fn choose(&mut self, rules: &RuleSet, nearest: &Nearest, topic: &str) {
        // Otherwise it has just changed, and the next check handles it.
        let Some(placed) = rules.place_nearest(&self.rule, self.near, nearest.station) else { return };
        let (rule, station, km) = (&*self.rule.id, nearest.station, nearest.km);
        let name = nearest.name.as_deref().unwrap_or_default();
        // Outlooks are made from hourly observations, on which rules are tried.
        let topic = if self.rule.needs() == Needs::Hours { "noaa-hourly" } else { topic };
        let advice = format!("frostline rules backtest --topic {topic} --alerts");
        tracing::info!(
            rule,
            %station,
            name,
            km,
            before = self.chosen.map(tracing::field::display),
            advice,
            "station found near this rule; the rule does not judge earlier observations, but the command shows \
             which alerts they would have caused"
        );
        if let Some(reason) = far(nearest) {
            tracing::warn!(rule, reason, "this rule is probably a mistake");
        }
        self.rule = placed;
        self.chosen = Some(nearest.station);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str =
        "[[rule]]\nid = \"near\"\nnear = { lat = 33.0, lon = -111.0 }\nwhen = \"TMIN <= 0.0\"\n";

    fn observe(reporting: &mut Reporting, id: &str, lat: f64, date: &str, element: &str) {
        let document = format!(
            r#"{{"station":{{"id":"{id}","name":"N","location":{{"lat":{lat},"lon":-111.0}}}},"date":"{date}","{element}":1.0}}"#
        );
        reporting.take(&ObservationView::parse(document.as_bytes()).unwrap());
    }

    fn watches(rules: &RuleSet, id: &str) -> bool {
        rules.names(StationId::parse(id.as_bytes()).unwrap(), &[Feed::Day, Feed::Hour, Feed::Night])
    }

    fn source() -> Source {
        Source { topic: "noaa-json".into(), filter: None }
    }

    const FAR: &str = "USW00000009";
    const CLOSE: &str = "USW00000001";

    #[test]
    fn a_station_is_chosen_once_two_looks_agree_and_may_change_for_a_minute() {
        let (rules, mut reporting) = (RuleSet::parse(RULE).unwrap(), Reporting::default());
        let (mut search, begin) = (Search::new(Feed::DAYS, source()), Instant::now());
        let mut look = |reporting: &Reporting, seconds| {
            search.note_unresolved(&rules);
            search.look(&rules, reporting, begin + Duration::from_secs(seconds));
            search.is_over()
        };
        assert!(!look(&reporting, 0));
        observe(&mut reporting, "USW00000005", 33.05, "2016-01-01", "PRCP");
        observe(&mut reporting, FAR, 33.5, "2016-01-01", "TMIN");
        look(&reporting, 2);
        assert!(!watches(&rules, FAR), "one look may have seen half of the first stations");
        look(&reporting, 4);
        assert!(watches(&rules, FAR) && rules.unresolved().is_empty());
        observe(&mut reporting, CLOSE, 33.1, "2016-01-02", "TMIN");
        look(&reporting, 6);
        look(&reporting, 8);
        assert!(watches(&rules, CLOSE) && !watches(&rules, FAR), "its only place is the nearer one");
        assert!(!look(&reporting, 60));
        assert!(look(&reporting, 66), "the topic need not be read any more");
        observe(&mut reporting, "USW00000000", 33.0, "2016-01-03", "TMIN");
        look(&reporting, 68);
        look(&reporting, 70);
        assert!(watches(&rules, CLOSE), "it stays");
    }

    #[test]
    fn processes_that_read_in_another_order_or_later_choose_the_same() {
        let seen =
            [(FAR, 33.5, "2016-01-01"), (CLOSE, 33.1, "2016-01-02"), ("USW00000002", 32.9, "2016-01-02")];
        let orders: [&[usize]; 4] = [&[0, 1, 2], &[2, 1, 0], &[1, 0, 2], &[2, 0, 1]];
        for order in orders {
            for looks_between in [0, 1, 2] {
                let (rules, mut reporting) = (RuleSet::parse(RULE).unwrap(), Reporting::default());
                let (mut search, now) = (Search::new(Feed::DAYS, source()), Instant::now());
                for (id, lat, date) in order.iter().map(|index| seen[*index]) {
                    observe(&mut reporting, id, lat, date, "TMIN");
                    for _ in 0..looks_between {
                        search.note_unresolved(&rules);
                        search.look(&rules, &reporting, now);
                    }
                }
                for _ in 0..2 {
                    search.note_unresolved(&rules);
                    search.look(&rules, &reporting, now);
                }
                // Both are as near: the lower id decides.
                assert!(watches(&rules, CLOSE), "{order:?} {looks_between}");
            }
        }
    }

    #[test]
    fn a_rule_that_changes_or_goes_is_not_looked_for_in_its_old_form() {
        let (rules, mut reporting) = (RuleSet::parse(RULE).unwrap(), Reporting::default());
        let (mut search, now) = (Search::new(Feed::DAYS, source()), Instant::now());
        observe(&mut reporting, CLOSE, 33.1, "2016-01-01", "TMIN");
        search.note_unresolved(&rules);
        search.look(&rules, &reporting, now);
        let changed = RuleSet::parse(&RULE.replace("TMIN", "SNOW")).unwrap();
        rules.put((*changed.get("near").unwrap()).clone());
        search.look(&rules, &reporting, now);
        assert_eq!(rules.unresolved().len(), 1, "the new form asks for snow");
        search.note_unresolved(&rules);
        search.look(&rules, &reporting, now);
        search.look(&rules, &reporting, now);
        assert!(!watches(&rules, CLOSE));
        rules.remove("near");
        search.note_unresolved(&rules);
        assert!(search.is_over());
    }

    #[test]
    fn rules_about_nights_are_looked_for_among_stations_with_outlooks() {
        let night =
            RULE.replace("near\"\nnear", "night\"\nnear").replace("TMIN <= 0.0", "chance(-2.0) >= 0.3");
        let (rules, now) = (RuleSet::parse(&format!("{RULE}{night}")).unwrap(), Instant::now());
        let (mut days, mut moments) = (Reporting::default(), Reporting::default());
        observe(&mut days, CLOSE, 33.1, "2016-01-01", "TMIN");
        let outlook = format!(r#"{{"station":{{"id":"{FAR}","location":{{"lat":33.5,"lon":-111.0}}}}}}"#);
        moments.take_moment(outlook.as_bytes(), 0);
        let mut searches =
            [(Search::new(Feed::DAYS, source()), &days), (Search::new(Feed::MOMENTS, source()), &moments)];
        for _ in 0..2 {
            for (search, reporting) in &mut searches {
                search.note_unresolved(&rules);
                search.look(&rules, reporting, now);
            }
        }
        let named = |id: &str, feeds: &[Feed]| rules.names(StationId::parse(id.as_bytes()).unwrap(), feeds);
        assert!(named(CLOSE, Feed::DAYS) && !named(CLOSE, Feed::MOMENTS));
        assert!(named(FAR, Feed::MOMENTS) && !named(FAR, Feed::DAYS));
    }
}
