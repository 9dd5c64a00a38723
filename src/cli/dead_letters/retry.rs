//! `frostline dead-letters retry`: back to where they came from, once.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::output::{BOLD, YELLOW};
use super::super::{Common, Failed, output, topics};
use super::Letter;
use crate::config::{Config, Guarantee, topic};
use crate::kafka::{ClientSettings, Outgoing, Producer, TransactionSettings};
use crate::stages::{HEADER_PREFIX, LINES_HEADER, OutputHeader, RETRIED_HEADER};

/// Why a dead letter cannot go back, if it cannot.
fn obstacle(letter: &Letter) -> Option<String> {
    let place = letter.place;
    if letter.is_retried {
        return Some(format!("{place} was retried before"));
    }
    if !letter.header("frostline-cut-from-bytes").is_empty() {
        return Some(format!("{place} was cut, since it was too large: the original is {}", letter.source()));
    }
    letter.header("frostline-topic").is_empty().then(|| format!("{place} does not say where it came from"))
}

/// Puts them back; without a producer only tells what it would do.
pub(super) fn retry(
    common: &Common,
    config: &Config,
    chosen: &[&Letter],
    producer: Option<&Producer>,
) -> Result<(), Failed> {
    let (mut sound, mut obstacles) = (Vec::new(), Vec::new());
    for letter in chosen {
        match obstacle(letter) {
            Some(obstacle) => obstacles.push(obstacle),
            None => sound.push(*letter),
        }
    }
    obstacles.iter().for_each(|obstacle| output::note(&format!("{YELLOW}not retried{YELLOW:#}  {obstacle}")));
    if let Some(producer) = producer.filter(|_| !sound.is_empty()) {
        send(config, producer, &sound)?;
    }
    let mut by_topic: BTreeMap<String, usize> = BTreeMap::new();
    sound.iter().for_each(|letter| *by_topic.entry(letter.header("frostline-topic")).or_default() += 1);
    if common.json {
        output::json(&json!({
            "retried": if producer.is_some() { sound.len() } else { 0 }, "chosen": chosen.len(),
            "not_retried": obstacles.len(), "topics": by_topic,
        }))?;
    } else {
        let verb = if producer.is_some() { "went back to" } else { "would go back to" };
        for (topic, count) in &by_topic {
            output::line(&format!("{BOLD}{}{BOLD:#} {verb} {topic}", output::grouped(*count as u64)))?;
        }
        if chosen.is_empty() {
            output::line("no dead letter fits")?;
        }
    }
    if obstacles.is_empty() { Ok(()) } else { Err(Failed::Mistakes) }
}

pub(super) async fn producer(config: &Config) -> Result<Producer, Failed> {
    topics::connect(config).await?;
    let transaction = TransactionSettings {
        // One for all: who retries at the same time is fenced off.
        transactional_id: format!("{}frostline-dead-letters", config.kafka.namespace),
        timeout_ms: config.runtime.transaction_timeout_ms,
    };
    let is_exactly_once = config.runtime.guarantee == Guarantee::ExactlyOnce;
    let producer = Producer::new(&ClientSettings::new(config)?, is_exactly_once.then_some(&transaction))?;
    producer.ready()?;
    Ok(producer)
}

/// Sends them back in transactions of a bounded size, each with its marks.
fn send(config: &Config, producer: &Producer, letters: &[&Letter]) -> Result<(), Failed> {
    const BLOCK: usize = 500;
    let dead_letters = config.topic(topic::DEAD_LETTERS).name;
    for block in letters.chunks(BLOCK) {
        for letter in block {
            send_back(producer, letter)?;
            let headers: [OutputHeader; 1] =
                [(RETRIED_HEADER.into(), Some(letter.place.to_string().into_bytes()))];
            producer.send(&Outgoing {
                topic: &dead_letters,
                partition: Some(letter.place.partition),
                key: letter.key.as_deref(),
                value: None,
                timestamp_ms: -1,
                headers: &headers,
                changelog: None,
            })?;
        }
        if producer.is_transactional() { producer.commit()? } else { producer.wait_acknowledged()? }
    }
    Ok(())
}

fn send_back(producer: &Producer, letter: &Letter) -> Result<(), Failed> {
    let is_original = |(name, _): &&OutputHeader| !name.starts_with(HEADER_PREFIX) || *name == LINES_HEADER;
    let mut headers: Vec<OutputHeader> = letter.headers.iter().filter(is_original).cloned().collect();
    headers.push(("frostline-retried-from".into(), Some(letter.place.to_string().into_bytes())));
    Ok(producer.send(&Outgoing {
        topic: &letter.header("frostline-topic"),
        // Where it was: another producer may have placed it in another way than ours.
        partition: letter.header("frostline-partition").parse().ok(),
        key: letter.key.as_deref(),
        value: letter.value.as_deref(),
        timestamp_ms: letter.header("frostline-timestamp-ms").parse().unwrap_or(-1),
        headers: &headers,
        changelog: None,
    })?)
}
