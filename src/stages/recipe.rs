//! What the processors are made of: the same for the daemon and for the model that checks it.

use std::sync::Arc;

use super::{
    Alert, Assemble, AssembleSettings, Deliver, DeliverSettings, Enrich, Filter, Limits, Notify, Outlet,
    Processor, StageName, StationIndex,
};
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
    /// How messages are delivered, where this process does that.
    pub delivering: Option<Delivering>,
}

/// What `notify` and `deliver` work with.
#[derive(Clone)]
pub struct Delivering {
    /// How messages are made, timed and given up.
    pub settings: Arc<DeliverSettings>,
    /// Whether alerts also go to an Alertmanager.
    pub tells_alertmanager: bool,
    /// Takes what is to be sent.
    pub outlet: Outlet,
}

impl Recipe {
    /// Makes the processor of one partition of a stage.
    ///
    /// # Panics
    /// For `deliver`, where nothing says how.
    pub fn processor(&self, stage: StageName) -> Box<dyn Processor> {
        let (stations, limits) = (Arc::clone(&self.stations), self.limits);
        match stage {
            StageName::Assemble => Box::new(Assemble::new(self.assemble, stations, limits)),
            StageName::Enrich => Box::new(Enrich::new(stations, limits)),
            StageName::Filter => Box::new(Filter::new(Arc::clone(&self.filter), limits)),
            StageName::Alert => Box::new(Alert::new(Arc::clone(&self.rules), limits)),
            StageName::Notify => {
                let tells_alertmanager = self.delivering.as_ref().is_some_and(|d| d.tells_alertmanager);
                Box::new(Notify::new(limits, tells_alertmanager))
            }
            StageName::Deliver => {
                let Delivering { settings, outlet, .. } =
                    self.delivering.clone().expect("told how to deliver");
                Box::new(Deliver::new(settings, Arc::clone(&self.rules), limits, outlet))
            }
        }
    }
}
