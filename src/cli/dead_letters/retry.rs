//! `frostline dead-letters retry`: writes records to their topics again, once.

use std::collections::{BTreeMap, HashSet};

use frostline_engine::kafka::{KafkaError, Outgoing, Producer};
use frostline_engine::{HEADER_PREFIX, OutputHeader, RETRIED_HEADER};
use serde_json::{Value, json};

use super::super::output::{BOLD, YELLOW};
use super::super::{Common, Failed, output, topics};
use super::destination::{Destination, Sound, Sources, destination};
use super::placement::move_with_keys;
use super::{Letter, Place};
use crate::app;
use crate::config::{Config, topic};
use crate::publishing::{settle, sole_producer};
use crate::stages::KEPT_HEADERS;

/// Letters per transaction.
const BLOCK: usize = 500;

/// The means of a retry; a dry run has none.
pub(super) struct Sender {
    config: Config,
    producer: Producer,
}

/// A letter that cannot be retried, and why.
struct Refused {
    place: Place,
    reason: String,
}

/// Retries letters; without a sender it only shows what it would do. Letters that cannot be retried do not stop the
/// others.
pub(super) async fn retry(
    common: &Common,
    config: &Config,
    sources: &Sources,
    chosen: &[&Letter],
    mut sender: Option<Sender>,
) -> Result<(), Failed> {
    let topology = app::outline(config)?;
    let (mut sound, mut refused) = (Vec::new(), Vec::new());
    // Several letters of one record: it is written again once, for all stages that read its topic.
    let mut origins = HashSet::new();
    let is_first = |letter: &&&Letter| letter.origin().is_none_or(|origin| origins.insert(origin));
    let chosen: Vec<&Letter> = chosen.iter().filter(is_first).copied().collect();
    for letter in &chosen {
        match destination(&topology, sources, letter) {
            Ok(to) => sound.push(Sound { letter, to }),
            Err(reason) => refused.push(Refused { place: letter.place, reason }),
        }
    }
    move_with_keys(config, &topology, sources, &mut sound)?;
    let mut failure = None;
    let back = match &mut sender {
        None => sound.iter().collect(),
        Some(sender) => {
            let mut back = Vec::new();
            failure = sender.send(&sound, &mut back, &mut refused).await.err();
            back
        }
    };
    report(common, (chosen.len(), sender.is_some()), &back, &refused)?;
    match failure {
        Some(failure) => Err(failure),
        None if refused.is_empty() => Ok(()),
        None => Err(Failed::Mistakes),
    }
}

fn report(
    common: &Common,
    (chosen, is_done): (usize, bool),
    back: &[&Sound<'_>],
    refused: &[Refused],
) -> Result<(), Failed> {
    let mut by_topic: BTreeMap<&str, usize> = BTreeMap::new();
    back.iter().for_each(|sound| *by_topic.entry(&sound.to.topic).or_default() += 1);
    if common.json {
        let reasons: Vec<Value> = refused
            .iter()
            .map(|refused| json!({ "place": refused.place.to_string(), "reason": refused.reason }))
            .collect();
        return Ok(output::json(&json!({
            "retried": if is_done { back.len() } else { 0 }, "chosen": chosen,
            "not_retried": refused.len(), "topics": by_topic, "refused": reasons,
        }))?);
    }
    let verb = if is_done { "written again to" } else { "would be written again to" };
    for (topic, count) in &by_topic {
        output::line(&format!("{BOLD}{}{BOLD:#} {verb} {topic}", output::grouped(*count as u64)))?;
    }
    if chosen == 0 {
        output::line("no dead letter matches")?;
    }
    for Refused { place, reason } in refused {
        // Reasons quote headers, which come from outside.
        output::note(&format!("{YELLOW}not retried{YELLOW:#}  {place}  {}", output::clean(reason)));
    }
    if !refused.is_empty() {
        let count = output::grouped(refused.len() as u64);
        output::line(&format!("{BOLD}{count}{BOLD:#} not retried, for the reasons given"))?;
    }
    Ok(())
}

impl Sender {
    pub(super) async fn new(config: &Config) -> Result<Self, Failed> {
        topics::connect(config).await?;
        Ok(Self { config: config.clone(), producer: producer(config)? })
    }

    /// Sends letters in transactions of a bounded size, each with its marks, and sorts them by outcome.
    ///
    /// # Errors
    /// Kafka is away, or another process retries at the same time: letters in neither list were not handled.
    async fn send<'a>(
        &mut self,
        sound: &'a [Sound<'a>],
        back: &mut Vec<&'a Sound<'a>>,
        refused: &mut Vec<Refused>,
    ) -> Result<(), Failed> {
        for block in sound.chunks(BLOCK) {
            match self.send_block(block) {
                Ok(()) => back.extend(block),
                Err(error) => {
                    self.begin_again(error).await?;
                    self.send_each(block, back, refused).await?;
                }
            }
        }
        Ok(())
    }

    /// Finds the letter that Kafka refuses, and sends the others.
    async fn send_each<'a>(
        &mut self,
        block: &'a [Sound<'a>],
        back: &mut Vec<&'a Sound<'a>>,
        refused: &mut Vec<Refused>,
    ) -> Result<(), Failed> {
        // A commit whose answer was lost may have succeeded.
        let mut marked = super::retried_places(&self.config).await?;
        for sound in block {
            let place = sound.letter.place;
            if !marked.contains(&place)
                && let Err(error) = self.send_block(std::slice::from_ref(sound))
            {
                let reason = error.to_string();
                self.begin_again(error).await?;
                marked = super::retried_places(&self.config).await?;
                if !marked.contains(&place) {
                    refused.push(Refused { place, reason: format!("Kafka refuses it: {reason}") });
                    continue;
                }
            }
            back.push(sound);
        }
        Ok(())
    }

    fn send_block(&self, block: &[Sound<'_>]) -> Result<(), KafkaError> {
        let dead_letters = self.config.topic(topic::DEAD_LETTERS).name;
        for Sound { letter, to } in block {
            send_back(&self.producer, letter, to)?;
            let headers: [OutputHeader; 1] =
                [(RETRIED_HEADER.into(), Some(letter.place.to_string().into_bytes()))];
            self.producer.send(&Outgoing {
                topic: &dead_letters,
                partition: Some(letter.place.partition),
                key: letter.key.as_deref(),
                value: None,
                timestamp_ms: -1,
                headers: &headers,
                changelog: None,
            })?;
        }
        settle(&self.producer)
    }

    /// Undoes records that were sent but do not count. A new producer settles the outcome of the old one's
    /// transaction.
    ///
    /// # Errors
    /// A retry cannot help: Kafka is away, or another process has taken over.
    async fn begin_again(&mut self, error: KafkaError) -> Result<(), Failed> {
        if matches!(error, KafkaError::Replaced(_) | KafkaError::Fenced(_)) {
            return Err(error.into());
        }
        self.producer.abort();
        topics::connect(&self.config).await?;
        self.producer = producer(&self.config)?;
        Ok(())
    }
}

fn producer(config: &Config) -> Result<Producer, Failed> {
    // One name for all: a second retry at the same time is fenced.
    Ok(sole_producer(config, "dead-letters")?)
}

fn send_back(producer: &Producer, letter: &Letter, to: &Destination) -> Result<(), KafkaError> {
    let is_original =
        |(name, _): &&OutputHeader| !name.starts_with(HEADER_PREFIX) || KEPT_HEADERS.contains(&name.as_ref());
    let mut headers: Vec<OutputHeader> = letter.headers.iter().filter(is_original).cloned().collect();
    headers.push(("frostline-retried-from".into(), Some(letter.place.to_string().into_bytes())));
    producer.send(&Outgoing {
        topic: &to.topic,
        partition: to.partition,
        key: letter.key.as_deref(),
        value: letter.value.as_deref(),
        timestamp_ms: letter.header("frostline-timestamp-ms").parse().unwrap_or(-1),
        headers: &headers,
        changelog: None,
    })
}
