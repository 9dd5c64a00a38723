//! The destination of a dead letter on a retry.
//!
//! A letter's headers say where it came from, but anyone who may write to the dead letters can write such headers. So
//! they are trusted only as far as they fit this installation: a letter returns to the topic that its stage reads, or
//! nowhere. A letter without a place in that topic is an output that was larger than its topic accepted: it goes to a
//! topic that its stage writes.

use std::collections::BTreeMap;

use frostline_engine::record::unix_ms;
use frostline_engine::{Stage, Topology};

use super::super::{Failed, topics};
use super::Letter;
use crate::app;
use crate::config::Config;

/// No record has a time of more than a day ahead, even from a clock that is wrong: brokers accept an hour
/// (`message.timestamp.after.max.ms`), unless they are set otherwise.
const CLOCK_AHEAD_MS: i64 = 24 * 3_600_000;

/// Partition counts of the topics that stages read and write; a topic that does not exist is missing.
pub(super) type Sources = BTreeMap<String, i32>;

/// The destination of a letter.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) topic: String,
    /// `None` to place it by its key, like any output.
    pub(super) partition: Option<i32>,
}

/// A letter that may be retried.
pub(super) struct Sound<'a> {
    pub(super) letter: &'a Letter,
    pub(super) to: Destination,
}

/// Looks up the topics that stages of this installation read and write.
pub(super) async fn sources(config: &Config) -> Result<Sources, Failed> {
    let admin = topics::connect(config).await?;
    let mut sources = Sources::new();
    for stage in app::outline(config)?.stages() {
        for name in written_by(stage).chain([stage.source.name.as_str()]) {
            if let Some(partitions) = admin.partitions(name)? {
                sources.insert(name.to_owned(), partitions);
            }
        }
    }
    Ok(sources)
}

/// The topics that a stage writes.
fn written_by(stage: &Stage) -> impl Iterator<Item = &str> {
    let named = stage.named_sinks.iter().map(|(_, topic)| topic.name.as_str());
    named.chain([stage.sink.name.as_str()])
}

/// The destination of a letter, or why it cannot be retried.
pub(super) fn destination(
    topology: &Topology,
    sources: &Sources,
    letter: &Letter,
) -> Result<Destination, String> {
    if letter.is_retried {
        return Err("it was retried before".into());
    }
    let time = letter.header("frostline-timestamp-ms");
    let is_possible = |ms: i64| (0..=unix_ms() + CLOCK_AHEAD_MS).contains(&ms);
    if !time.is_empty() && !time.parse().is_ok_and(is_possible) {
        return Err(format!("its headers name a time that brokers do not accept: {time:?} ms since 1970"));
    }
    let topic = letter.header("frostline-topic");
    let is_output = letter.header("frostline-partition").is_empty();
    if !letter.header("frostline-cut-from-bytes").is_empty() {
        let rest = match is_output {
            true => format!("the complete record was never written to {topic}"),
            false => format!("the original is {}", letter.source()),
        };
        return Err(format!("it was truncated because it was too large: {rest}"));
    }
    if topic.is_empty() {
        return Err("its headers do not name its origin".into());
    }
    let stage = topology
        .find(&letter.header("frostline-stage"))
        .map_err(|reason| format!("its headers name topic {topic}, but no stage that reads it: {reason}"))?;
    let is_known = |topic: &str| sources.get(topic).ok_or_else(|| format!("topic {topic} does not exist"));
    if is_output && written_by(stage).any(|written| written == topic) {
        return is_known(&topic).map(|_| Destination { topic, partition: None });
    }
    let source = stage.source.name.clone();
    if topic != source {
        let stage = stage.id;
        return Err(format!(
            "its headers name topic {topic}, but stage {stage} of this installation reads {source}"
        ));
    }
    let partitions = is_known(&source)?;
    // To its old partition: another producer may have placed it in another way than frostline.
    let partition = letter.header("frostline-partition");
    match partition.parse::<i32>() {
        Ok(partition) if (0..*partitions).contains(&partition) => {
            Ok(Destination { topic, partition: Some(partition) })
        }
        _ => Err(format!(
            "its headers name partition {partition:?} of {topic}, which has partitions 0 to {}",
            partitions - 1
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Place;
    use super::*;
    use crate::config::topic;

    /// A letter with these headers, without `frostline-` before their names.
    fn letter(headers: &[(&str, &str)]) -> Letter {
        let headers = headers
            .iter()
            .map(|(name, value)| (format!("frostline-{name}").into(), Some(value.as_bytes().to_vec())));
        Letter {
            place: Place { partition: 3, offset: 17 },
            timestamp_ms: 0,
            key: None,
            value: None,
            headers: headers.collect(),
            is_retried: false,
        }
    }

    #[test]
    fn a_letter_goes_back_only_to_the_topic_that_its_stage_reads() {
        let mut config = Config::default();
        config.kafka.namespace = "north.".into();
        let sources = Sources::from([("north.noaa-csv-raw".into(), 5), ("north.noaa-json-us-az".into(), 5)]);
        let goes = |stage: &str, topic: &str, partition: &str| {
            let letter = letter(&[("stage", stage), ("topic", topic), ("partition", partition)]);
            destination(&app::outline(&config).unwrap(), &sources, &letter).map(|to| (to.topic, to.partition))
        };
        let reason = |stage: &str, topic: &str, partition: &str| goes(stage, topic, partition).unwrap_err();
        assert_eq!(goes("assemble", "north.noaa-csv-raw", "4"), Ok(("north.noaa-csv-raw".into(), Some(4))));
        assert_eq!(
            goes("alert", "north.noaa-json-us-az", "0"),
            Ok(("north.noaa-json-us-az".into(), Some(0)))
        );
        for topic in [
            "north.noaa-rules",
            "north.noaa-stations",
            "north.noaa-json-alerts",
            "north.frostline-alert-changelog",
            "south.noaa-csv-raw",
            "noaa-csv-raw",
            "__consumer_offsets",
            "../../x",
        ] {
            let reason = reason("assemble", topic, "0");
            assert!(reason.contains(topic) && reason.contains("reads north.noaa-csv-raw"), "{reason}");
        }
        // Another stage's topic is not its own.
        assert!(reason("alert", "north.noaa-csv-raw", "0").contains("reads north.noaa-json-us-az"));
        assert!(reason("replay", "north.noaa-csv-raw", "0").contains("unknown stage `replay`"));
        assert!(reason("", "north.noaa-csv-raw", "0").contains("but no stage"));
        assert!(reason("assemble", "", "0").contains("do not name its origin"));
        assert!(reason("deliver", "north.noaa-notices", "0").contains("does not exist"));
        for partition in ["5", "-1", "", "x", "99999999999"] {
            assert!(reason("assemble", "north.noaa-csv-raw", partition).contains("partitions 0 to 4"));
        }
    }

    #[test]
    fn a_topic_that_was_renamed_is_the_one_that_the_stage_reads() {
        let mut config = Config::default();
        let renamed = crate::config::TopicConfig { name: Some("weather.raw".into()), ..Default::default() };
        config.topics.insert(topic::CSV_RAW.into(), renamed);
        let sources = Sources::from([("weather.raw".into(), 5)]);
        let from = |topic: &str| letter(&[("stage", "assemble"), ("topic", topic), ("partition", "0")]);
        assert!(destination(&app::outline(&config).unwrap(), &sources, &from("weather.raw")).is_ok());
        assert!(destination(&app::outline(&config).unwrap(), &sources, &from("noaa-csv-raw")).is_err());
    }

    #[test]
    fn an_output_that_was_too_large_goes_to_a_topic_that_its_stage_writes() {
        let sources = Sources::from([("noaa-json-us-az".into(), 5), ("noaa-json-alerts".into(), 5)]);
        let goes = |headers: &[(&str, &str)]| {
            let topology = app::outline(&Config::default()).unwrap();
            destination(&topology, &sources, &letter(headers)).map(|to| (to.topic, to.partition))
        };
        let output = [("stage", "alert"), ("topic", "noaa-json-alerts")];
        assert_eq!(goes(&output), Ok(("noaa-json-alerts".into(), None)));
        let reason = |stage: &str, topic: &str| goes(&[("stage", stage), ("topic", topic)]).unwrap_err();
        assert!(reason("filter", "noaa-json-alerts").contains("reads noaa-json"));
        assert!(reason("assemble", "noaa-json").contains("does not exist"));
        assert!(reason("alert", "noaa-json-us-az").contains("partition \"\""));
        let placed = goes(&[output.as_slice(), &[("partition", "0")]].concat());
        assert!(placed.unwrap_err().contains("reads noaa-json-us-az"), "an output has no place yet");
        let cut = goes(&[output.as_slice(), &[("cut-from-bytes", "2000000")]].concat()).unwrap_err();
        assert!(cut.contains("never written to noaa-json-alerts"), "{cut}");
    }

    #[test]
    fn a_time_that_brokers_refuse_is_the_letters_mistake() {
        let (config, sources) = (Config::default(), Sources::from([("noaa-csv-raw".into(), 5)]));
        let sound = [("stage", "assemble"), ("topic", "noaa-csv-raw"), ("partition", "0"), ("offset", "9")];
        let of_time = |time: &str| {
            let letter = letter(&[sound.as_slice(), &[("timestamp-ms", time)]].concat());
            destination(&app::outline(&config).unwrap(), &sources, &letter)
        };
        assert!(of_time("1480291200000").is_ok());
        for time in ["9223372036854775807", "-5", "x"] {
            assert!(of_time(time).unwrap_err().contains("a time that brokers do not accept"), "{time}");
        }
    }

    #[test]
    fn letters_of_two_stages_about_one_record_have_one_origin() {
        let of = |stage: &str, more: &[(&str, &str)]| {
            letter(&[&[("stage", stage), ("topic", "noaa-json"), ("partition", "0")], more].concat()).origin()
        };
        let at_9 = [("offset", "9")];
        assert!(of("filter", &at_9).is_some() && of("filter", &at_9) == of("alert", &at_9));
        assert_ne!(of("filter", &at_9), of("filter", &[("offset", "10")]));
        assert_eq!(of("filter", &[]), None, "each is its own");
        let of_part = |value: &str| {
            let placed = [("stage", "enrich"), ("topic", "noaa-raw"), ("partition", "0"), ("offset", "9")];
            Letter { value: Some(value.into()), ..letter(&placed) }.origin()
        };
        assert_ne!(of_part("1"), of_part("2"));
    }

    #[test]
    fn letters_that_were_cut_or_retried_stay() {
        let (config, sources) = (Config::default(), Sources::from([("noaa-csv-raw".into(), 5)]));
        let sound = [("stage", "assemble"), ("topic", "noaa-csv-raw"), ("partition", "0"), ("offset", "9")];
        let mut retried = letter(&sound);
        assert!(destination(&app::outline(&config).unwrap(), &sources, &retried).is_ok());
        retried.is_retried = true;
        assert!(
            destination(&app::outline(&config).unwrap(), &sources, &retried)
                .unwrap_err()
                .contains("retried before")
        );
        let cut = letter(&[sound.as_slice(), &[("cut-from-bytes", "2000000")]].concat());
        assert!(
            destination(&app::outline(&config).unwrap(), &sources, &cut)
                .unwrap_err()
                .contains("noaa-csv-raw/0@9")
        );
    }
}
