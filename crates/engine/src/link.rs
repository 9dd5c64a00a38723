//! The clients that the runtime uses: those of [`crate::kafka`], and in unit tests those of the simulation, whose
//! brokers are in memory.

#[cfg(not(test))]
pub(crate) use crate::kafka::{
    Admin, Assigned, Election, GroupConsumer, GroupEvent, GroupMetadata, GroupOffsets, PartitionQueue,
    Producer, Reader, Readers,
};
#[cfg(test)]
pub(crate) use crate::sim::client::{
    Admin, Assigned, Election, GroupConsumer, GroupEvent, GroupMetadata, GroupOffsets, PartitionQueue,
    Producer, Reader, Readers,
};
