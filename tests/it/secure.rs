//! A broker with encryption, users and access control: the whole path with the rights that are listed, and what is reported
//! where one of them is missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::goldens::STATIONS;
use crate::support::{Frostline, Needs, Outcome, Test, codes, data, script, test};

pub fn tests() -> Vec<Test> {
    vec![test("the_listed_rights_are_enough_and_each_is_needed", &[Needs::Broker], rights)]
}

const NAMESPACE: &str = "kafka.namespace=field.";
pub(crate) const RULES: &str =
    "[[rule]]\nid = \"frost\"\nstation = \"USC00020080\"\nwhen = \"TMIN <= 10.0\"\n";
/// One right each that a user has not, by the user's name.
const LACKING: [(&str, &str); 4] = [
    ("no-reading", "READ topic field."),
    ("no-writing", "WRITE topic field."),
    ("no-groups", "READ group field.frostline-"),
    ("no-transactions", "WRITE transactional id field.frostline-"),
];

/// `scripts/kafka start --secure` in a directory of its own.
pub(crate) struct Secure {
    dir: tempfile::TempDir,
}

fn kafka(command: &str, dir: &Path) -> Output {
    script().args(command.split(' ')).arg("--dir").arg(dir.join("kafka")).output().unwrap()
}

impl Secure {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let started = kafka("start --secure", dir.path());
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        Self { dir }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("kafka/secure").join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap()
    }

    /// Stops the broker and starts it again.
    pub(crate) fn restart(&self) {
        let restarted = kafka("restart", self.dir.path());
        assert!(restarted.status.success(), "{}", String::from_utf8_lossy(&restarted.stderr));
    }

    /// Runs the commands of a shell, in which `kafka-acls` is Kafka's own.
    pub(crate) fn shell(&self, commands: &str) {
        let libs = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/kafka-libs/*");
        let toml = self.read("frostline.toml");
        let brokers = toml.lines().find_map(|line| line.strip_prefix("brokers = ")).unwrap();
        // All at once: each is a JVM that mostly starts.
        let commands = commands.lines().filter(|line| !line.starts_with('#'));
        let commands: String = commands.map(|line| format!("{line} &\npids=\"$pids $!\"\n")).collect();
        let text = format!(
            "LIBS='{}'\nkafka-acls() {{ java -cp \"$LIBS\" org.apache.kafka.tools.AclCommand \"$@\"; }}\n\
             BROKERS={brokers} ADMIN='{}'\n{commands}for pid in $pids; do wait $pid || exit 1; done",
            libs.display(),
            self.file("admin.properties").display(),
        );
        let output = Command::new("bash").args(["-c", &text]).output().unwrap();
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A configuration for a user of that name, by a certificate.
    pub(crate) fn user(&self, name: &str) -> PathBuf {
        let text = format!(
            "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} -keyout {name}.key \
               -out {name}.csr && openssl x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -days 1 -out {name}.pem"
        );
        let made = Command::new("bash").args(["-c", &text]).current_dir(self.file("")).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // The other port is in a comment of the configuration that the script has written.
        let toml = self.read("frostline.toml");
        let brokers = toml.lines().find_map(|line| line.strip_prefix("#   brokers = ")).unwrap();
        let dir = self.file("");
        let text = format!(
            "[kafka]\nbrokers = {brokers}\n[kafka.client]\n\"security.protocol\" = \"SSL\"\n\
             \"ssl.ca.location\" = \"{0}ca.pem\"\n\"ssl.certificate.location\" = \"{0}{name}.pem\"\n\
             \"ssl.key.location\" = \"{0}{name}.key\"\n",
            dir.display(),
        );
        let config = dir.join(format!("certified-{name}.toml"));
        std::fs::write(&config, text).unwrap();
        config
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        kafka("stop", self.dir.path());
    }
}

pub(crate) fn frostline(config: &Path, arguments: &[&str]) -> Frostline {
    Frostline::new().arg("--config").path(config).args(["--set", NAMESPACE]).args(arguments.iter().copied())
}

/// Writes a line and takes it through all stages: the work of a day.
fn day(config: &Path, day: u32) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    std::fs::write(dir.path().join("line.csv"), format!("USC00020080,201601{day:02},TMIN,-21,,,7,\n"))
        .unwrap();
    let filter = ["--set", "filter.where=true"];
    let replayed =
        frostline(config, &["replay", "line.csv", "--topic", "noaa-csv-raw"]).in_dir(dir.path()).run();
    if replayed.code != Some(0) {
        return replayed;
    }
    frostline(config, &["run", "--until-caught-up", "--json"]).args(filter).in_dir(dir.path()).run()
}

/// The printed commands for the user of the script, in which other users get all rights but the one that each lacks.
fn grants(config: &Path) -> String {
    let printed = |arguments: &[&str]| {
        frostline(config, &[&["topics", "rights"], arguments].concat()).run().expect_code(0).out
    };
    let daemon = printed(&["--daemon"]);
    let command = |option: &str| daemon.lines().find(|line| line.contains(option)).unwrap().to_owned();
    let also = |command: &str, users: &[&str]| {
        let users: String = users.iter().map(|user| format!(" --allow-principal User:{user}")).collect();
        format!("{command}{users}\n")
    };
    let only = |command: &str, user: &str| command.replace("User:frostline", &format!("User:{user}"));
    let [reading, writing, groups, transactions] = LACKING.map(|(user, _)| user);
    let (topic, group, id) = (command("--topic"), command("--group"), command("--transactional-id"));
    let all = printed(&[]);
    let makes = all.lines().find(|line| line.contains("--operation Create")).unwrap();
    [
        also(&topic, &[groups, transactions]),
        also(&only(&topic.replace("--operation Read", ""), reading), &[]),
        also(&only(&topic.replace("--operation Write", ""), writing), &[]),
        also(&group, &[reading, writing, transactions]),
        also(&id, &[reading, writing, groups]),
        also(makes, &[]),
    ]
    .concat()
}

/// Gives the user of the script all rights that are printed.
pub(crate) fn granted(secure: &Secure) {
    secure.shell(&grants(&secure.file("frostline.toml")));
}

/// Makes the topics, and fills the station table.
pub(crate) fn made(config: &Path) {
    frostline(config, &["topics", "create"]).run().expect_code(0);
    let codes = |name| codes(STATIONS, name).display().to_string();
    frostline(config, &["stations", "import", &data(STATIONS).display().to_string()])
        .args(["--countries", &codes("countries"), "--states", &codes("states")])
        .run()
        .expect_code(0);
}

fn rights() {
    let secure = Secure::start();
    let config = secure.file("frostline.toml");
    let refused = frostline(&config, &["topics", "create"]).run().expect_code(2);
    assert!(refused.err.contains("DESCRIBE topic field.") && refused.err.contains("kafka-acls"), "{refused}");
    granted(&secure);
    made(&config);
    let summary = day(&config, 1).expect_code(0).summary();
    assert_eq!((&summary["alerts"], &summary["dead_letters"]), (&1.into(), &0.into()), "{summary}");

    // The same user by a certificate.
    let certified = secure.user("frostline");
    let alerts = ["tail", "noaa-json-alerts", "--from-beginning", "--until-end", "--json"];
    assert_eq!(frostline(&certified, &alerts).run().expect_code(0).json_lines().len(), 1);

    for ((user, right), number) in LACKING.iter().zip(2..) {
        let outcome = day(&secure.user(user), number);
        assert!(outcome.code != Some(0), "{user}: {outcome}");
        assert!(outcome.err.contains(&format!("do not allow this client to {right}")), "{user}: {outcome}");
        assert!(outcome.err.contains("kafka-acls --bootstrap-server"), "{user}: {outcome}");
    }
    let outcome = frostline(&secure.file("certified-no-reading.toml"), &["topics", "delete", "--yes"]).run();
    assert!(outcome.code == Some(2) && outcome.err.contains("DELETE topic field."), "{outcome}");
}
