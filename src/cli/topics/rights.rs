//! `frostline topics rights`: what the brokers must allow where they have access control, as commands for Kafka's own tool.

use std::collections::BTreeSet;

use clap::Args;
use frostline_engine::kafka::{Operation, Resource};
use serde::Serialize;

use super::{Common, Failed, output};
use crate::app;
use crate::config::Config;

pub(super) const EXAMPLES: &str = "\
Examples:
  frostline topics rights                        what the daemon and all commands need
  frostline topics rights --daemon               what the daemon needs, and no more
  frostline topics rights --principal User:CN=frostline,O=example
  frostline topics rights --daemon | sh          where kafka-acls is on the path

The commands are for somebody who may change rights: put the brokers and that
person's settings into BROKERS and ADMIN.properties, or set these two
variables before you run them in a shell.";

#[derive(Args)]
pub(super) struct RightsArguments {
    /// Set who gets the rights, as the brokers name it
    #[arg(long, value_name = "PRINCIPAL", default_value = "User:frostline")]
    principal: String,
    /// Print only what the daemon needs, without the rights for `topics create`, `grow` and `delete`
    #[arg(long)]
    daemon: bool,
}

/// Which names a right is on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Pattern {
    /// All that begin so.
    Prefixed(String),
    /// This one.
    Literal(String),
}

/// Some rights on things of one kind, and what for.
#[derive(Serialize)]
struct Grant {
    #[serde(serialize_with = "option")]
    resource: Resource,
    pattern: Pattern,
    #[serde(serialize_with = "names")]
    operations: Vec<Operation>,
    purpose: &'static str,
}

fn option<S: serde::Serializer>(resource: &Resource, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(resource.option().trim_start_matches("--"))
}

fn names<S: serde::Serializer>(operations: &[Operation], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(operations.iter().map(|operation| operation.name()))
}

impl Grant {
    /// The command that gives it. `$BROKERS` and `$ADMIN` are the shell's.
    fn command(&self, principal: &str) -> String {
        let operations: Vec<String> =
            self.operations.iter().map(|operation| format!("--operation {}", operation.name())).collect();
        let (name, kind) = match &self.pattern {
            Pattern::Prefixed(name) => (name, "prefixed"),
            Pattern::Literal(name) => (name, "literal"),
        };
        format!(
            "kafka-acls --bootstrap-server \"$BROKERS\" --command-config \"$ADMIN\" --add --allow-principal '{principal}' {} \
             {} '{name}' --resource-pattern-type {kind}",
            operations.join(" "),
            self.resource.option(),
        )
    }
}

pub(super) fn rights(common: &Common, config: &Config, arguments: &RightsArguments) -> Result<(), Failed> {
    if arguments.principal.contains(['\'', '\n']) {
        return Err(Failed::Usage(anyhow::anyhow!("--principal: a quotation mark cannot be part of a name")));
    }
    for grant in grants(config, arguments.daemon)? {
        if common.json {
            output::json(&grant)?;
        } else {
            output::line(&format!("# {}", grant.purpose))?;
            output::line(&grant.command(&arguments.principal))?;
        }
    }
    Ok(())
}

/// Everything that a configuration needs.
fn grants(config: &Config, is_daemon: bool) -> Result<Vec<Grant>, Failed> {
    let topics = app::outline(config)?.topics();
    let patterns = patterns(&config.kafka.namespace, topics.iter().map(|topic| topic.name.as_str()));
    let ours = || Pattern::Prefixed(format!("{}frostline-", config.kafka.namespace));
    let mut grants = Vec::new();
    for pattern in patterns {
        let mut on_topics = |operations: &[Operation], purpose| {
            let operations = operations.to_vec();
            grants.push(Grant { resource: Resource::Topic, pattern: pattern.clone(), operations, purpose });
        };
        on_topics(
            &[Operation::Read, Operation::Write, Operation::DescribeConfigs],
            "all commands; without DescribeConfigs nobody notices settings of topics that do not fit",
        );
        if !is_daemon {
            on_topics(
                &[Operation::Create, Operation::Alter, Operation::Delete],
                "topics create, topics grow, topics delete",
            );
        }
    }
    let (resource, operations) = (Resource::Group, vec![Operation::Read]);
    grants.push(Grant { resource, pattern: ours(), operations, purpose: "the group of each stage" });
    let (resource, operations) = (Resource::TransactionalId, vec![Operation::Write]);
    let purpose =
        "runtime.guarantee = \"exactly_once\", sources, replay, dead-letters retry, rules apply and remove";
    grants.push(Grant { resource, pattern: ours(), operations, purpose });
    Ok(grants)
}

/// As few patterns as name the topics of an installation and, as far as its names allow it, no others.
fn patterns<'a>(namespace: &str, topics: impl Iterator<Item = &'a str>) -> BTreeSet<Pattern> {
    let families = match namespace {
        "" => vec!["noaa-".to_owned(), "frostline-".to_owned()],
        namespace => vec![namespace.to_owned()],
    };
    let pattern = |topic: &str| match families.iter().find(|family| topic.starts_with(*family)) {
        Some(family) => Pattern::Prefixed(family.clone()),
        None => Pattern::Literal(topic.to_owned()),
    };
    topics.map(pattern).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_follow_the_namespace_and_names_of_ones_own() {
        let names = ["noaa-raw", "frostline-alert-changelog", "weather"];
        let found: Vec<Pattern> = patterns("", names.into_iter()).into_iter().collect();
        let (prefixed, literal) =
            (|name: &str| Pattern::Prefixed(name.into()), Pattern::Literal("weather".into()));
        assert_eq!(found, [prefixed("frostline-"), prefixed("noaa-"), literal.clone()]);
        let names = ["a.noaa-raw", "a.frostline-alert-changelog", "weather"];
        let found: Vec<Pattern> = patterns("a.", names.into_iter()).into_iter().collect();
        assert_eq!(found, [prefixed("a."), literal]);
    }

    #[test]
    fn grants_cover_topics_groups_and_transactions() {
        let mut config = Config::default();
        config.kafka.namespace = "a.".into();
        let all: Vec<String> =
            grants(&config, false).ok().unwrap().iter().map(|grant| grant.command("User:anna")).collect();
        assert_eq!(all.len(), 4, "{all:#?}");
        assert!(all[1].contains("--operation Create --operation Alter --operation Delete --topic 'a.'"));
        assert!(all[2].ends_with("--operation Read --group 'a.frostline-' --resource-pattern-type prefixed"));
        assert!(all[3].contains("'User:anna' --operation Write --transactional-id 'a.frostline-'"));
        assert_eq!(grants(&config, true).ok().unwrap().len(), 3);
    }
}
