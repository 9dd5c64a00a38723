//! The model of Kafka's brokers in the engine's simulation is right: the same scripts, run against it and against a real
//! broker, are answered alike and show the same to a reader of committed records, offset by offset.

mod model;
mod real;

use self::model::Model;
use self::real::Real;
use crate::support::{Needs, Test, test};

pub fn tests() -> Vec<Test> {
    vec![test("the_model_of_kafka_answers_as_kafka_does", &[Needs::Broker], the_model_is_right)]
}

/// The time-out of the transactions that time out.
const SHORT_MS: u64 = 1_000;
const HOUR_MS: i64 = 3_600_000;

/// What both can do. Producers and members have small numbers; there is one topic with one partition, and
/// one group.
trait Cluster {
    /// Registers the transactional id of a producer; an earlier one with that id is another producer.
    fn register(&mut self, producer: usize, id: &str, timeout_ms: u64);
    /// Writes a record in a producer's transaction, or alone. Whether it is accepted may show only at the commit.
    fn send(&mut self, producer: Option<usize>, value: &str, ahead_ms: i64) -> bool;
    fn commit(&mut self, producer: usize) -> bool;
    fn abort(&mut self, producer: usize);
    /// A member joins, and the group settles. With an instance id it is a static member; an earlier one with that id has
    /// stopped.
    fn join(&mut self, member: usize, instance_id: &str);
    /// Remembers the generation that a member knows.
    fn remember(&mut self, member: usize);
    /// Adds an offset to a producer's transaction, in the generation that the member remembered.
    fn add_offset(&mut self, producer: usize, member: usize, next_offset: i64) -> bool;
    /// The group's offset; `None` while a transaction holds it, `Some(-1)` for none.
    fn offset(&mut self) -> Option<i64>;
    /// Deletes the records before an offset, as retention does.
    fn truncate(&mut self, start: i64);
    fn recreate(&mut self);
    fn wait_ms(&mut self, ms: u64);
    /// Committed records and where they end, and the high watermark.
    fn seen(&mut self) -> (Vec<(i64, String)>, i64, i64);
}

/// Everything that a script has seen, to be compared.
#[derive(Debug, PartialEq)]
enum Sight {
    Answer(&'static str, bool),
    Records(&'static str, Vec<(i64, String)>, i64, i64),
    Offset(&'static str, Option<i64>),
}

fn script(cluster: &mut dyn Cluster) -> Vec<Sight> {
    let mut sights = Vec::new();
    transactions(cluster, &mut sights);
    fencing(cluster, &mut sights);
    generations(cluster, &mut sights);
    static_members(cluster, &mut sights);
    cluster.truncate(4);
    look(cluster, &mut sights, "retention has deleted the first");
    cluster.recreate();
    look(cluster, &mut sights, "a topic that was made again is empty");
    cluster.send(None, "first", 0);
    look(cluster, &mut sights, "and begins at 0");
    sights
}

fn look(cluster: &mut dyn Cluster, sights: &mut Vec<Sight>, what: &'static str) {
    let (records, end, watermark) = cluster.seen();
    sights.push(Sight::Records(what, records, end, watermark));
}

fn transactions(cluster: &mut dyn Cluster, sights: &mut Vec<Sight>) {
    cluster.send(None, "alone", 0);
    look(cluster, sights, "a record alone");
    cluster.register(1, "one", 60_000);
    cluster.register(2, "two", 60_000);
    cluster.send(Some(1), "1a", 0);
    cluster.send(None, "between", 0);
    look(cluster, sights, "nothing behind an open transaction");
    cluster.send(Some(1), "1b", 0);
    cluster.send(Some(2), "2a", 0);
    sights.push(Sight::Answer("the first commits", cluster.commit(1)));
    look(cluster, sights, "up to the second transaction");
    cluster.abort(2);
    look(cluster, sights, "the aborted record is a gap, and both markers have offsets");
    cluster.send(Some(1), "1c", 0);
    sights.push(Sight::Answer("the next transaction of a producer", cluster.commit(1)));
    look(cluster, sights, "two transactions of one producer");
    let accepted = cluster.send(None, "tomorrow", 30 * HOUR_MS);
    sights.push(Sight::Answer("a record from tomorrow", accepted));
    look(cluster, sights, "nothing was written");
}

fn fencing(cluster: &mut dyn Cluster, sights: &mut Vec<Sight>) {
    cluster.send(Some(1), "never seen", 0);
    cluster.register(3, "one", 60_000);
    look(cluster, sights, "registering an id aborts what is open");
    sights.push(Sight::Answer("the fenced producer commits", cluster.commit(1)));
    cluster.send(Some(3), "3a", 0);
    sights.push(Sight::Answer("its successor commits", cluster.commit(3)));
    look(cluster, sights, "the successor's record");
    cluster.register(4, "four", SHORT_MS);
    cluster.send(Some(4), "too late", 0);
    look(cluster, sights, "open");
    cluster.wait_ms(SHORT_MS + 2_500);
    look(cluster, sights, "timed out");
    sights.push(Sight::Answer("the commit of a transaction that timed out", cluster.commit(4)));
}

fn generations(cluster: &mut dyn Cluster, sights: &mut Vec<Sight>) {
    cluster.register(5, "five", 60_000);
    cluster.join(1, "");
    sights.push(Sight::Offset("no offset", cluster.offset()));
    cluster.remember(1);
    cluster.send(Some(5), "5a", 0);
    sights.push(Sight::Answer("an offset of the present generation", cluster.add_offset(5, 1, 3)));
    sights.push(Sight::Offset("a transaction holds it", cluster.offset()));
    sights.push(Sight::Answer("commit", cluster.commit(5)));
    sights.push(Sight::Offset("committed", cluster.offset()));
    cluster.send(Some(5), "5b", 0);
    sights.push(Sight::Answer("another", cluster.add_offset(5, 1, 4)));
    cluster.abort(5);
    sights.push(Sight::Offset("aborted", cluster.offset()));
    cluster.join(2, "");
    cluster.send(Some(5), "5c", 0);
    sights.push(Sight::Answer("an offset of an earlier generation", cluster.add_offset(5, 1, 5)));
    cluster.abort(5);
    sights.push(Sight::Offset("refused", cluster.offset()));
    look(cluster, sights, "what the refused transaction wrote is not seen");
}

fn static_members(cluster: &mut dyn Cluster, sights: &mut Vec<Sight>) {
    cluster.join(3, "static");
    cluster.remember(1);
    cluster.remember(3);
    cluster.join(4, "static");
    cluster.remember(4);
    cluster.send(Some(5), "5d", 0);
    sights.push(Sight::Answer("the generation goes on for the others", cluster.add_offset(5, 1, 5)));
    sights.push(Sight::Answer("commit with it", cluster.commit(5)));
    cluster.send(Some(5), "5e", 0);
    sights
        .push(Sight::Answer("an offset of the former life of a static member", cluster.add_offset(5, 3, 6)));
    cluster.abort(5);
    cluster.send(Some(5), "5f", 0);
    sights.push(Sight::Answer("and of its present one", cluster.add_offset(5, 4, 7)));
    sights.push(Sight::Answer("commit with that", cluster.commit(5)));
    sights.push(Sight::Offset("of the static member", cluster.offset()));
}

fn the_model_is_right() {
    let modelled = script(&mut Model::new());
    let real = script(&mut Real::new());
    assert_eq!(modelled.len(), real.len());
    for (modelled, real) in modelled.iter().zip(&real) {
        assert_eq!(modelled, real);
    }
    let said = |what: &str, answer: bool| {
        real.contains(&Sight::Answer(
            match what {
                "fenced" => "the fenced producer commits",
                "late" => "the commit of a transaction that timed out",
                "static" => "the generation goes on for the others",
                "former" => "an offset of the former life of a static member",
                _ => "an offset of an earlier generation",
            },
            answer,
        ))
    };
    assert!(said("fenced", false) && said("late", false) && said("generation", false), "{real:?}");
    assert!(said("static", true) && said("former", false), "{real:?}");
}
