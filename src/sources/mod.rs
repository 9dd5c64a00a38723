//! Sources: what frostline fetches from public weather services while it runs.
//!
//! A source asks one service and turns its answers into records. The engine says when, and commits the records together with
//! what the source remembers (see [`frostline_engine::Poller`]). All sources share one [`Client`], which keeps the manners
//! that services ask for; tests give sources canned answers instead.
//!

pub mod client;

pub use self::client::{Answer, Client, ClientSettings, Fetch, Fresh, Part, Request, Validators};
