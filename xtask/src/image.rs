//! `cargo xtask image`: build the container image.

use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::process;

/// How to build the image.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The image's name and tag.
    #[arg(long, default_value = "help-desk-ws:latest")]
    tag: String,
    /// The program to build with; the first that works when left out.
    #[arg(long)]
    tool: Option<Tool>,
    /// Passed on to the build, as `--build-arg NAME=VALUE` or `--pull=never`.
    #[arg(last = true)]
    arguments: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tool {
    Docker,
    Podman,
    Buildah,
}

/// Builds the image and prints its size.
pub(crate) fn run(args: &Args) -> Result<()> {
    let tool = match args.tool {
        Some(tool) => tool,
        None => working_tool()?,
    };
    let mut build = Command::new(tool.program());
    build.args(["build", "--tag", &args.tag, "--file", "docker/Dockerfile"]);
    if tool != Tool::Docker {
        // The format that has health checks.
        build.args(["--format", "docker"]);
    }
    if let Ok(revision) = process::output(Command::new("git").args(["rev-parse", "HEAD"])) {
        build
            .arg("--build-arg")
            .arg(format!("REVISION={}", revision.trim()));
    }
    process::run(build.args(&args.arguments).arg("."))?;
    println!("{}: {}", args.tag, tool.size(&args.tag)?);
    Ok(())
}

/// docker may be there without a daemon, so each is asked something that needs what a build needs.
fn working_tool() -> Result<Tool> {
    for tool in Tool::value_variants() {
        if process::succeeds(Command::new(tool.program()).arg("info")) {
            return Ok(*tool);
        }
    }
    bail!("no container builder works here: install podman or buildah, or start the docker daemon");
}

impl Tool {
    fn program(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Buildah => "buildah",
        }
    }

    fn size(self, tag: &str) -> Result<String> {
        let mut command = Command::new(self.program());
        match self {
            Self::Docker | Self::Podman => {
                let bytes = process::output(command.args([
                    "image",
                    "inspect",
                    "--format",
                    "{{.Size}}",
                    tag,
                ]))?;
                let bytes: u64 = bytes
                    .trim()
                    .parse()
                    .context("cannot read the image's size")?;
                Ok(format!("{:.1} MB", bytes as f64 / 1e6))
            }
            Self::Buildah => {
                let size = process::output(command.args(["images", "--format", "{{.Size}}", tag]))?;
                Ok(size.trim().to_owned())
            }
        }
    }
}
