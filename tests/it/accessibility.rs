//! What a program can find of a page that keyboards and screen readers cannot use: axe-core, run in the browser.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use fantoccini::Client;
use serde_json::{Value, json};

/// The package that carries axe-core 4.
const PACKAGE: &str = "axe-playwright-python==0.1.8";

/// The text of axe-core, fetched once with pip.
fn axe() -> &'static str {
    static AXE: OnceLock<String> = OnceLock::new();
    AXE.get_or_init(|| {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
        let file = target.join("axe/axe_playwright_python/axe.min.js");
        if !file.is_file() {
            // The one of the mail server's tests.
            let python = target.join("mail-server/bin/python");
            let fetch = format!(
                "mkdir -p axe && {0} -m pip download --quiet --disable-pip-version-check --no-deps --dest axe {PACKAGE} && \
                 {0} -m zipfile -e axe/*.whl axe",
                python.display()
            );
            let status = Command::new("bash").args(["-c", &fetch]).current_dir(&target).status().unwrap();
            assert!(status.success(), "axe-core cannot be fetched");
        }
        std::fs::read_to_string(file).unwrap()
    })
}

/// Refuses violations of WCAG 2.1 A and AA, and of axe's good practice, in what is shown now.
pub async fn check(client: &Client, what: &str) {
    client.execute(axe(), vec![]).await.unwrap();
    let violations = async |element: &str| -> Value {
        let run = "const [document_of, done] = arguments;
            axe.run(document_of || document, { resultTypes: ['violations'] }).then(({ violations }) => done(violations.map(
                ({ id, help, nodes }) => ({
                    id, help,
                    nodes: nodes.slice(0, 4).map(({ target, failureSummary }) => [target.join(' '), failureSummary]),
                }))), (error) => done(String(error)));";
        client.execute_async(run, vec![json!(element)]).await.unwrap()
    };
    // It finds what is wrong.
    let plant =
        "const picture = new Image(); picture.id = 'planted'; document.querySelector('main').append(picture)";
    client.execute(plant, vec![]).await.unwrap();
    let found = violations("#planted").await;
    assert_eq!(found[0]["id"], "image-alt", "{found:#}");
    client.execute("document.getElementById('planted').remove()", vec![]).await.unwrap();
    let found = violations("").await;
    assert_eq!(found, json!([]), "{what}: {found:#}");
}
