//! Programs of others that check what we write: from PyPI and npm, installed once into `target`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// Validates XML by its schema, parses feeds, tests the API by its description.
const PYTHON: [&str; 3] = ["lxml==6.1.3", "feedparser==6.0.14", "schemathesis==4.32.5"];
/// AsyncAPI's own parser.
const NODE: [&str; 1] = ["@asyncapi/parser@3.6.3"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program of `tests/it/tools`.
fn tool(name: &str) -> PathBuf {
    root().join("tests/it/tools").join(name)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Installs packages into a folder of `target`, unless these very packages are there.
fn installed(
    name: &str,
    packages: &[&str],
    install: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let dir = root().join("target").join(name);
    let (marker, list) = (dir.join("installed"), packages.join("\n"));
    if std::fs::read_to_string(&marker).is_ok_and(|found| found == list) {
        return Ok(dir);
    }
    std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    install(&dir)?;
    std::fs::write(&marker, list).map_err(|error| format!("{}: {error}", marker.display()))?;
    Ok(dir)
}

/// The environment with Python's packages.
fn python() -> &'static Result<PathBuf, String> {
    static DIR: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    DIR.get_or_init(|| {
        installed("test-python", &PYTHON, |dir| {
            run(Command::new("python3").args(["-m", "venv"]).arg(dir))?;
            let pip = ["install", "--quiet", "--disable-pip-version-check"];
            run(Command::new(dir.join("bin/pip")).args(pip).args(PYTHON))
        })
    })
}

/// The folder with Node's packages.
fn node() -> &'static Result<PathBuf, String> {
    static DIR: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    DIR.get_or_init(|| {
        installed("test-node", &NODE, |dir| {
            let npm = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"];
            run(Command::new("npm").args(npm).arg(dir).args(NODE))
        })
    })
}

pub fn python_missing() -> Option<String> {
    python().as_ref().err().map(|reason| format!("Python with venv and PyPI: {reason}"))
}

pub fn node_missing() -> Option<String> {
    node().as_ref().err().map(|reason| format!("Node.js with npm: {reason}"))
}

/// A program of Python's environment.
pub fn python_program(name: &str) -> Command {
    Command::new(python().as_ref().unwrap().join("bin").join(name))
}

/// What AsyncAPI's parser prints about a document: one object a line, the sums last.
#[track_caller]
pub fn parse_asyncapi(document: &Path) -> Vec<Value> {
    let dir = node().as_ref().unwrap();
    let output = Command::new("node").arg(tool("asyncapi.mjs")).arg(dir).arg(document).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: invalid:\n{text}{errors}", document.display());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The fields of CAP messages, all valid by the schema of the standard.
#[track_caller]
pub fn parse_cap(messages: &[String]) -> Vec<Value> {
    parse_xml(&["cap", root().join("tests/data/cap/CAP-v1.2.xsd").to_str().unwrap()], messages)
}

/// A feed, well-formed.
#[track_caller]
pub fn parse_feed(xml: &str) -> Value {
    let feed = parse_xml(&["feed"], &[xml.to_owned()]).remove(0);
    assert!(feed["error"].is_null(), "{feed:#}\n{xml}");
    feed
}

#[track_caller]
fn parse_xml(arguments: &[&str], documents: &[String]) -> Vec<Value> {
    let mut command = python_program("python");
    let command = command.arg(tool("alert_documents.py")).args(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It has it all before it prints.
    serde_json::to_writer(child.stdin.take().unwrap(), documents).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{documents:#?}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
