//! What the processors are made of: the same for the daemon and for the model that checks it.

use std::sync::Arc;

use super::{Alert, Assemble, AssembleSettings, Enrich, Filter, Limits, Processor, StageName, StationIndex};
use crate::rules::{Condition, RuleSet};

/// Settings and compiled inputs of all processors; partitions share them.
pub struct Recipe {
    /// How assemble works.
    pub assemble: AssembleSettings,
    /// What a record may be.
    pub limits: Limits,
    /// The station table.
    pub stations: Arc<StationIndex>,
    /// What the filter keeps.
    pub filter: Arc<Condition>,
    /// What alerts.
    pub rules: Arc<RuleSet>,
}

impl Recipe {
    /// Makes the processor of one partition of a stage.
    pub fn processor(&self, stage: StageName) -> Box<dyn Processor> {
        let (stations, limits) = (Arc::clone(&self.stations), self.limits);
        match stage {
            StageName::Assemble => Box::new(Assemble::new(self.assemble, stations, limits)),
            StageName::Enrich => Box::new(Enrich::new(stations, limits)),
            StageName::Filter => Box::new(Filter::new(Arc::clone(&self.filter), limits)),
            StageName::Alert => Box::new(Alert::new(Arc::clone(&self.rules), limits)),
        }
    }
}
