//! Runs the scripts in `tests/node`, which ask Node's `jsonwebtoken`.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Runs `script` with `input` as lines of JSON, and returns the lines it prints.
pub(crate) fn run(script: &str, input: &[Value]) -> Vec<Value> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/node");
    assert!(
        folder.join("node_modules/jsonwebtoken").is_dir(),
        "{} has no node_modules: `cargo xtask test` installs it, or run `npm ci` there",
        folder.display()
    );

    let mut child = Command::new("node")
        .arg(script)
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Node.js 20 or later must be installed as `node`");
    let mut stdin = child.stdin.take().unwrap();
    let lines: String = input.iter().map(|value| format!("{value}\n")).collect();
    // Written aside, so that neither side waits for the other with a full pipe.
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    // A script that reads nothing may be gone before everything is written.
    let written = writer.join().unwrap();
    assert!(
        output.status.success(),
        "{script} failed: {}",
        output.status
    );
    if !input.is_empty() {
        written.unwrap();
    }

    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
