//! The clients that the runtime uses: those of [`crate::kafka`], and in unit tests those of the simulation, whose
//! brokers are in memory.

#[cfg(not(test))]
pub(crate) use crate::kafka::{
    Assigned, GroupConsumer, GroupEvent, GroupMetadata, PartitionQueue, Producer, Reader,
};
#[cfg(test)]
pub(crate) use crate::sim::client::{
    Assigned, GroupConsumer, GroupEvent, GroupMetadata, PartitionQueue, Producer, Reader,
};
