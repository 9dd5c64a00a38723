//! What a task has written goes to the producer: outputs to their topics, rejected records to the dead letters.

use std::time::Instant;

use super::Task;
use crate::kafka::{KafkaError, Outgoing, Producer};
use crate::runtime::failure::Failure;
use crate::runtime::plan::StagePlan;
use crate::{HEADER_PREFIX, Output, OutputHeader, Sink};

/// Room that a record's headers and framing may take beside key and value, in bytes.
const RECORD_OVERHEAD_BYTES: usize = 1_000;

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
            producer.send(&outgoing(topic, &output, output.value))?;
        }
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

/// Sends a dead letter. One that is larger than the topic takes is cut, and says so: the original stays
/// where its headers point, and the stream goes on.
fn send_dead_letter(plan: &StagePlan, output: &Output<'_>, producer: &Producer) -> Result<(), Failure> {
    let header_bytes = |headers: &[OutputHeader]| -> usize {
        headers.iter().map(|(n, v)| n.len() + v.as_ref().map_or(0, Vec::len) + 8).sum()
    };
    let limit = plan.dead_letter_bytes_max.saturating_sub(RECORD_OVERHEAD_BYTES);
    let (key_bytes, value_bytes) = (output.key.map_or(0, <[u8]>::len), output.value.map_or(0, <[u8]>::len));
    if header_bytes(output.headers) + key_bytes + value_bytes <= limit {
        return Ok(producer.send(&outgoing(&plan.dead_letters, output, output.value))?);
    }
    // Our own headers always fit; the original ones, the key and the value go as far as there is room.
    let mut headers: Vec<OutputHeader> =
        output.headers.iter().filter(|(name, _)| name.starts_with(HEADER_PREFIX)).cloned().collect();
    let sizes = format!("key {key_bytes}, value {value_bytes}, headers {}", header_bytes(output.headers));
    headers.push(("frostline-cut-from-bytes".into(), Some(sizes.into_bytes())));
    let room = limit.saturating_sub(header_bytes(&headers));
    let key = output.key.filter(|key| key.len() <= room / 2);
    let room = room - key.map_or(0, <[u8]>::len);
    let value = output.value.map(|value| &value[..value.len().min(room)]);
    let record = Outgoing { headers: &headers, key, ..outgoing(&plan.dead_letters, output, value) };
    Ok(producer.send(&record)?)
}
