//! What is in a state directory: the names of its files and folders.

/// sled's own folder in the directory: sled writes its files directly into the path it is given.
pub(super) const STORE: &str = "store";
/// Folder for a damaged store; it replaces the previous one.
pub(super) const DAMAGED: &str = "store.damaged";
/// Left by a process that found damage which it could not repair while it ran.
pub(super) const DAMAGE_MARK: &str = "damaged";
/// The name of this directory, used in transactional ids.
pub(super) const INSTANCE: &str = "instance";
/// The next content of that file until it is complete.
pub(super) const INSTANCE_NEW: &str = "instance.new";
