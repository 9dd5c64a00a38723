//! Sends the outputs of a task to the producer: outputs to their topics, and to the dead letters rejected records and
//! outputs that are larger than their topics accept. `runtime/record_limits.rs` has the reason for the latter.

use tokio::time::Instant;

use super::Task;
use crate::collector::{REASON_HEADER, refused_headers};
use crate::kafka::{KafkaError, Outgoing};
use crate::link::Producer;
use crate::runtime::failure::Failure;
use crate::runtime::plan::StagePlan;
use crate::runtime::record_limits::{header_bytes, record_bytes};
use crate::{Counter, HEADER_PREFIX, Output, OutputHeader, Sink};

impl Task {
    pub(super) fn send_outputs(&mut self, producer: &Producer) -> Result<(), Failure> {
        for output in self.collector.outputs() {
            if output.sink == Sink::DeadLetters {
                send_dead_letter(&self.plan, &output, producer)?;
                continue;
            }
            let Some(topic) = self.plan.sink(output.sink) else {
                let what = format!(
                    "stage {} has no sink {:?}: name it in the topology",
                    self.plan.stage, output.sink
                );
                return Err(KafkaError::Fatal(what).into());
            };
            let bytes = record_bytes(output.key, output.value, output.headers);
            match self.plan.record_limits.check(topic, bytes) {
                Ok(()) => producer.send(&outgoing(topic, &output, output.value))?,
                Err(refused) => {
                    self.counts[Counter::DEAD_LETTERS] += 1;
                    let headers = refused_headers(&output, self.plan.stage, topic, &refused.reason(topic));
                    let letter = Output { headers: &headers, ..output };
                    send_dead_letter(&self.plan, &letter, producer)?;
                }
            }
        }
        self.has_sent |= self.collector.bytes() > 0;
        self.collector.clear();
        self.last_sent_at = Instant::now();
        Ok(())
    }
}

fn outgoing<'a>(topic: &'a str, output: &Output<'a>, value: Option<&'a [u8]>) -> Outgoing<'a> {
    Outgoing {
        topic,
        partition: None,
        key: output.key,
        value,
        timestamp_ms: output.timestamp_ms,
        headers: output.headers,
        changelog: None,
    }
}

/// Sends a dead letter. A letter that is larger than the topic accepts is truncated, and says so: the original is
/// still at the place that its headers name, and the stream continues.
fn send_dead_letter(plan: &StagePlan, output: &Output<'_>, producer: &Producer) -> Result<(), Failure> {
    let limit = plan.record_limits.dead_letter_bytes_max();
    if record_bytes(output.key, output.value, output.headers) <= limit {
        return Ok(producer.send(&outgoing(&plan.dead_letters, output, output.value))?);
    }
    let Cut { key, value, headers } = cut(output, limit);
    let record = Outgoing { headers: &headers, key, ..outgoing(&plan.dead_letters, output, value) };
    Ok(producer.send(&record)?)
}

/// A truncated dead letter.
struct Cut<'a> {
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Vec<OutputHeader>,
}

/// The engine's own headers come first; then as much of the key and the value as there is room for, and no other
/// headers.
fn cut<'a>(output: &Output<'a>, limit: usize) -> Cut<'a> {
    let mut headers: Vec<OutputHeader> =
        output.headers.iter().filter(|(name, _)| name.starts_with(HEADER_PREFIX)).cloned().collect();
    let (key_bytes, value_bytes) = (output.key.map_or(0, <[u8]>::len), output.value.map_or(0, <[u8]>::len));
    let sizes = format!("key {key_bytes}, value {value_bytes}, headers {}", header_bytes(output.headers));
    headers.push(("frostline-cut-from-bytes".into(), Some(sizes.into_bytes())));
    let excess = record_bytes(None, None, &headers).saturating_sub(limit);
    if let Some((_, Some(reason))) = headers.iter_mut().find(|(name, _)| name == REASON_HEADER) {
        let mut end = reason.len().saturating_sub(excess);
        // Not in the middle of a character.
        while reason.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
            end -= 1;
        }
        reason.truncate(end);
    }
    let room = limit.saturating_sub(record_bytes(None, None, &headers));
    let key = output.key.filter(|key| key.len() <= room / 2);
    let room = room - key.map_or(0, <[u8]>::len);
    Cut { key, value: output.value.map(|value| &value[..value.len().min(room)]), headers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_is_cut_to_what_its_topic_takes() {
        let headers: Vec<OutputHeader> = vec![
            ("trace".into(), Some(vec![b'x'; 300])),
            (REASON_HEADER.into(), Some("é".repeat(200).into_bytes())),
            ("frostline-topic".into(), Some(b"alerts".to_vec())),
        ];
        let (key, value) = ([b'k'; 20], [b'v'; 5_000]);
        let output = Output {
            sink: Sink::DeadLetters,
            key: Some(&key),
            value: Some(&value),
            timestamp_ms: 0,
            headers: &headers,
        };
        for limit in [400, 401, 700, 2_000] {
            let cut = cut(&output, limit);
            assert!(record_bytes(cut.key, cut.value, &cut.headers) <= limit, "{limit}");
            let header = |name: &str| {
                let found = cut.headers.iter().find(|(found, _)| found == name);
                found.and_then(|(_, value)| value.as_deref()).map(|value| str::from_utf8(value).unwrap())
            };
            assert_eq!((header("frostline-topic"), header("trace")), (Some("alerts"), None));
            assert!(header("frostline-cut-from-bytes").unwrap().starts_with("key 20, value 5000"));
            assert_eq!(header(REASON_HEADER).unwrap().chars().count() == 200, limit >= 700, "{limit}");
            assert_eq!(cut.key.is_some_and(|key| key.len() == 20), limit == 2_000 || limit == 700, "{limit}");
        }
    }
}
