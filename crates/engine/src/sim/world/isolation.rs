//! Stages that share workers: the failure of one must not keep another from its work.

use super::script::Script;
use super::stages::{self, DEAD_LETTERS, Facts, INPUT, PARTITIONS, Service};
use super::{World, host, lock, now};
use crate::runtime::{Phase, TaskSnapshot};
use crate::{Context, Processor, Record, Stage, StageId, StateError, TopicPlan, Topology, TopologyError};

const BROKEN: StageId = StageId::new("broken");
/// From then on the broken stage has workers of its own.
const APART_MS: i64 = 10_000;
const END_MS: i64 = 60_000;

/// Does the same on every record.
struct Broken(fn() -> Result<(), StateError>);

impl Processor for Broken {
    fn process(&mut self, _: &Record<'_>, _: &mut Context<'_>) -> Result<(), StateError> {
        self.0()
    }
}

fn topology(
    behaviour: fn() -> Result<(), StateError>,
    service: &Service,
    facts: &Facts,
) -> Result<Topology, TopologyError> {
    let topic = |name: &str| TopicPlan::new(name, PARTITIONS as i32);
    let broken = Stage::new(BROKEN, topic(INPUT), topic("nothing"), move || Broken(behaviour));
    let working = stages::topology(service, facts)?;
    let builder = stages::with_table(Topology::builder("sim", "", topic(DEAD_LETTERS)), facts).stage(broken);
    working.stages().iter().cloned().fold(builder, |builder, stage| builder.stage(stage)).build()
}

/// How many looks found a task of a working stage that did not run, and one of the broken stage.
#[derive(Debug, Default)]
struct Stopped {
    working_before: u32,
    working_after: u32,
    broken_after: u32,
}

fn live(behaviour: fn() -> Result<(), StateError>) -> Result<Stopped, String> {
    let script = Script::draw(1, 0, None);
    let mut world = World::new(&script)?;
    world.shared.topology_of = Box::new(move |service, facts| topology(behaviour, service, facts));
    lock(&world.shared.broker).create_topic("nothing", PARTITIONS);
    world.seats.truncate(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let outcome = runtime.map_err(|error| error.to_string())?.block_on(async {
        host::begin(None);
        let (mut stopped, mut has_run) = (Stopped::default(), false);
        while now().elapsed_ms < END_MS {
            world.step().await?;
            let Some(running) = &world.seats[0].running else { continue };
            let tasks = running.stages.tasks();
            let runs = |task: &&TaskSnapshot| task.phase == Phase::Running;
            let count = |is_broken: bool| {
                let of_kind = tasks.iter().filter(|task| (task.stage == BROKEN) == is_broken);
                (of_kind.clone().filter(runs).count(), of_kind.count())
            };
            let ((working, all), (broken, of)) = (count(false), count(true));
            has_run |= working == all && all == 2 * PARTITIONS;
            match now().elapsed_ms > APART_MS {
                false => stopped.working_before += u32::from(has_run && working < all),
                true => {
                    stopped.working_after += u32::from(working < all);
                    stopped.broken_after += u32::from(broken < of);
                }
            }
        }
        world.kill_all()?;
        Ok(stopped)
    });
    host::end();
    outcome
}

#[test]
fn a_stage_that_keeps_failing_stops_only_its_own_tasks() {
    let stopped = live(|| panic!("as planned")).unwrap();
    assert!(stopped.working_before > 0, "they never shared a transaction: {stopped:?}");
    assert!(stopped.broken_after > 0, "it did not fail: {stopped:?}");
    assert_eq!(stopped.working_after, 0, "{stopped:?}");
}

#[test]
fn a_task_that_fails_with_nothing_to_commit_is_closed_alone() {
    let fails = || Err(StateError::Outdated { store: "none".to_owned(), reason: "as planned".to_owned() });
    let stopped = live(fails).unwrap();
    assert!(stopped.broken_after > 0, "it did not fail: {stopped:?}");
    assert_eq!((stopped.working_before, stopped.working_after), (0, 0), "{stopped:?}");
}
