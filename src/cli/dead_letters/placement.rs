//! The partition of a dead letter's key after its topic got more partitions.

use std::collections::BTreeMap;

use frostline_engine::Topology;
use frostline_engine::growth::is_placed_by_key;
use frostline_engine::kafka::{ClientSettings, partition_of_key};

use super::super::Failed;
use super::destination::{Sound, Sources};
use crate::config::Config;

/// Sends letters to the present partitions of their keys if their topic has grown, because the state of their stage
/// is there. A topic whose producer places keys in another way cannot have grown.
pub(super) fn move_with_keys(
    config: &Config,
    topology: &Topology,
    sources: &Sources,
    sound: &mut [Sound<'_>],
) -> Result<(), Failed> {
    let mut is_by_key: BTreeMap<String, bool> = BTreeMap::new();
    for Sound { letter, to } in sound {
        let partitions = sources.get(&to.topic).copied().unwrap_or_default();
        let Some(now) = letter.key.as_deref().map(|key| partition_of_key(key, partitions)) else { continue };
        // An output is placed by its key anyway.
        if to.partition.is_none_or(|partition| partition == now) {
            continue;
        }
        let stage = letter.header("frostline-stage");
        let moves = match is_by_key.get(&stage) {
            Some(known) => *known,
            None => {
                let id = topology.find(&stage).map_err(|error| Failed::Usage(error.into()))?.id;
                let clients = ClientSettings::new(&config.kafka)?;
                let found = is_placed_by_key(&clients, topology, id);
                *is_by_key.entry(stage).or_insert(found.map_err(|error| Failed::Working(error.into()))?)
            }
        };
        if moves {
            to.partition = Some(now);
        }
    }
    Ok(())
}
