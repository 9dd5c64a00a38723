//! The groups of KIP-848 (`group.protocol = consumer`): exactly once with them, and the change to them and back while
//! daemons run.

use std::time::{Duration, Instant};

use frostline::config::Config;
use frostline_engine::Traffic;
use frostline_engine::kafka::{Admin, ClientSettings, GroupConsumer, GroupSettings};

use crate::rebalance::{assert_each_once_in_order, numbered};
use crate::support::{Needs, Running, Test, Topics, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("a_member_without_partitions_is_a_member", &[Needs::Broker], without_partitions),
        test("daemons_change_to_the_consumer_protocol_and_back", &[Needs::Broker], change_and_back),
    ]
}

const PATIENCE: Duration = Duration::from_secs(60);

fn consumer_protocol(config: &mut Config) {
    config.kafka.client.insert("group.protocol".into(), "consumer".into());
}

fn member(config: &Config, topic: &str) -> GroupConsumer {
    let group = GroupSettings {
        group: format!("{topic}-members"),
        topic: topic.into(),
        partitions: 5,
        traffic: Traffic::Tiny,
        begins_at_end: false,
        session_timeout: Duration::from_secs(10),
        group_instance_id: String::new(),
        advertised: String::new(),
        instance: String::new(),
    };
    GroupConsumer::new(&ClientSettings::new(&config.kafka).unwrap(), &group, |_| {}).unwrap()
}

/// One member more than partitions: all of them are in the group, though one is never called back.
fn without_partitions() {
    let topics = Topics::create();
    let mut config = topics.config();
    consumer_protocol(&mut config);
    let topic = config.topic("noaa-json").name;
    let members: Vec<GroupConsumer> = (0..6).map(|_| member(&config, &topic)).collect();
    members.iter().for_each(|member| member.subscribe().unwrap());
    let deadline = Instant::now() + PATIENCE;
    while members.iter().any(|member| member.absence().is_some()) {
        let absences: Vec<_> = members.iter().map(GroupConsumer::absence).collect();
        assert!(Instant::now() < deadline, "{absences:?}");
        members.iter().for_each(|member| member.poll(Duration::from_millis(20)).unwrap());
    }
}

/// A classic daemon works; two daemons with the consumer protocol join its group, one of them is killed and comes
/// back, and the classic one leaves; then a classic one joins, and the others leave. Each record comes out once.
fn change_and_back() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("numbered.jsonl"), numbered(12_000)).unwrap();
    let daemon = |state: &str, protocol: &str| {
        let protocol = format!("kafka.client.group.protocol={protocol}");
        let command = topics.frostline().args(["run", "--stages", "filter", "--state-dir", state]);
        command
            .args(["--set", "runtime.session_timeout_ms=6000", "--set", &protocol])
            .in_dir(dir.path())
            .start()
    };
    let admin = Admin::new(&ClientSettings::new(&topics.config().kafka).unwrap()).unwrap();
    let replay = ["replay", "numbered.jsonl", "--topic", "noaa-json", "--rate", "600/s"];
    let replay = topics.frostline().args(replay).in_dir(dir.path()).start();
    let wait_for = |count| wait_for_owners(&admin, &topics, count);
    let end = |daemon: Running| {
        daemon.signal("TERM");
        daemon.wait().expect_code(0);
    };

    let classic = daemon("state-1", "classic");
    wait_for(1);
    let (second, killed) = (daemon("state-2", "consumer"), daemon("state-3", "consumer"));
    wait_for(3);
    killed.signal("KILL");
    killed.wait();
    let third = daemon("state-3", "consumer");
    wait_for(3);
    end(classic);
    wait_for(2);
    let classic = daemon("state-1", "classic");
    wait_for(3);
    end(second);
    end(third);
    wait_for(1);
    replay.wait().expect_code(0);
    end(classic);
    let rest = ["run", "--stages", "filter", "--until-caught-up", "--state-dir", "state-1"];
    let rest = topics.frostline().args(rest).args(["--set", "kafka.client.group.protocol=consumer"]);
    rest.in_dir(dir.path()).run().expect_code(0);
    assert_each_once_in_order(&topics, 12_000);
}

/// Waits until the filter's group has so many members, and all of them have partitions, five together.
fn wait_for_owners(admin: &Admin, topics: &Topics, count: usize) {
    let group = format!("{}frostline-filter", topics.namespace);
    let topic = topics.config().topic("noaa-json").name;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let owners = admin.members(&group, &topic).unwrap_or_default();
        let partitions: usize = owners.iter().map(|(_, partitions)| partitions.len()).sum();
        let members = admin.count_members(&group).unwrap_or_default();
        if (owners.len(), partitions, members) == (count, 5, count) {
            return;
        }
        assert!(Instant::now() < deadline, "{members} members, {owners:?}, expected {count}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
