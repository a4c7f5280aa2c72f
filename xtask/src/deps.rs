//! `cargo xtask deps`: licences, bans, sources and duplicates of the dependencies.
//!
//! cargo-deny does this best, but takes minutes to compile. Where it is not installed, this module applies the
//! same deny.toml, as far as Cargo.lock and the packages' manifests go.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use spdx::{Expression, LicenseItem, ParseMode};

use crate::{
    metadata::{Metadata, Package},
    process::{self, cargo},
};

/// Checks every dependency, by cargo-deny or by this module.
pub(crate) fn run() -> Result<()> {
    if process::succeeds(cargo().args(["deny", "--version"])) {
        return process::run(cargo().args(["deny", "--locked", "check"]));
    }
    let rules = Rules::parse(&fs::read_to_string("deny.toml").context("cannot read deny.toml")?)?;
    let metadata = Metadata::read()?;
    let built = built()?;
    let dependencies: Vec<_> = metadata
        .dependencies()
        .filter(|package| built.contains(&format!("{} v{}", package.name, package.version)))
        .collect();
    for duplicate in duplicates(&dependencies) {
        println!("warning: several versions of {duplicate}");
    }
    let mut offences: Vec<_> = dependencies
        .iter()
        .filter_map(|package| rules.offence(package))
        .collect();
    offences.extend(metadata.members().flat_map(wildcards));
    println!(
        "checked {} packages: licences, bans, sources, wildcards",
        dependencies.len()
    );
    println!(
        "not checked: security advisories and yanked releases. They need cargo-deny (minutes to compile: `cargo \
         install cargo-deny --locked`) and the advisory database, a git repository that no package registry has"
    );
    if !offences.is_empty() {
        bail!(
            "{} offences against deny.toml:\n  {}",
            offences.len(),
            offences.join("\n  ")
        );
    }
    Ok(())
}

/// What is built for some target. Metadata also has what only a feature that nobody turns on would bring, such as
/// another library's cryptography.
fn built() -> Result<BTreeSet<String>> {
    let tree = process::output(cargo().args([
        "tree",
        "--workspace",
        "--all-features",
        "--locked",
        "--target=all",
        "--edges=all",
        "--prefix=none",
        "--format={p}",
    ]))?;
    // `name v1.2.3`, and for some a place or a remark after it.
    let packages = tree.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some(format!("{} {}", words.next()?, words.next()?))
    });
    Ok(packages.collect())
}

/// The part of deny.toml that is applied here with settings of its own.
#[derive(Debug, Deserialize)]
struct Rules {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

impl Rules {
    /// # Errors
    ///
    /// A key that this module does not know: leaving out a rule must not look like passing it.
    fn parse(text: &str) -> Result<Self> {
        let table: toml::Table = text.parse().context("deny.toml is not TOML")?;
        for (section, keys) in &table {
            for key in keys.as_table().into_iter().flat_map(toml::Table::keys) {
                let key = format!("{section}.{key}");
                if !KNOWN_KEYS.contains(&key.as_str()) {
                    bail!(
                        "only cargo-deny understands `{key}` of deny.toml: install it, or teach xtask/src/deps.rs"
                    );
                }
            }
        }
        table
            .try_into()
            .context("deny.toml does not say what is allowed")
    }

    /// What is wrong with a dependency, if anything is.
    fn offence(&self, package: &Package) -> Option<String> {
        let Package {
            name,
            version,
            license,
            source,
            ..
        } = package;
        if let Some(ban) = self.bans.deny.iter().find(|ban| ban.name == *name) {
            return Some(format!("{name} {version} is banned: {}", ban.reason));
        }
        if source.as_deref() != Some(CRATES_IO) {
            return Some(format!(
                "{name} {version} comes from {}",
                source.as_deref().unwrap_or("a path")
            ));
        }
        let Some(license) = license else {
            return Some(format!("{name} {version} names no licence"));
        };
        // `MIT/Apache-2.0` is how old manifests say `OR`.
        match Expression::parse_mode(license, ParseMode::LAX) {
            Ok(expression)
                if expression.evaluate(|requirement| self.allows(&requirement.license)) =>
            {
                None
            }
            Ok(_) => Some(format!(
                "{name} {version} is under `{license}`, which needs a licence that is not allowed"
            )),
            Err(error) => Some(format!(
                "{name} {version} has the licence `{license}`: {}",
                error.reason
            )),
        }
    }

    fn allows(&self, license: &LicenseItem) -> bool {
        self.licenses
            .allow
            .iter()
            .any(|allowed| *allowed == license.to_string())
    }
}

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// What deny.toml may say: applied here, or (advisories) reported as left out.
const KNOWN_KEYS: [&str; 10] = [
    "graph.all-features",
    "advisories.yanked",
    "licenses.allow",
    "licenses.private",
    "bans.multiple-versions",
    "bans.wildcards",
    "bans.allow-wildcard-paths",
    "bans.deny",
    "sources.unknown-registry",
    "sources.unknown-git",
];

/// The crates of which several versions are compiled.
fn duplicates(dependencies: &[&Package]) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in dependencies {
        versions
            .entry(&package.name)
            .or_default()
            .insert(&package.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    let line = |(name, versions): (&str, BTreeSet<&str>)| {
        format!("{name}: {}", Vec::from_iter(versions).join(", "))
    };
    versions.into_iter().map(line).collect()
}

/// The dependencies of one of our crates on any version at all.
fn wildcards(package: &Package) -> Vec<String> {
    let open = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.source.is_some() && dependency.req == "*");
    open.map(|dependency| {
        format!(
            "{} depends on any version of {}",
            package.name, dependency.name
        )
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str = r#"
        licenses = { allow = ["MIT", "ISC"], private = { ignore = true } }
        bans = { deny = [{ crate = "rsa", reason = "leaks" }] }
    "#;

    fn check(name: &str, license: Option<&str>, source: Option<&str>, offence: Option<&str>) {
        let package = Package {
            id: name.to_owned(),
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: license.map(str::to_owned),
            source: source.map(str::to_owned),
            dependencies: Vec::new(),
            manifest_path: std::path::PathBuf::new(),
        };
        assert_eq!(
            Rules::parse(DENY).unwrap().offence(&package).as_deref(),
            offence
        );
    }

    #[test]
    fn a_dependency_needs_an_allowed_licence() {
        check("a", Some("MIT"), Some(CRATES_IO), None);
        check("a", Some("GPL-3.0-only OR MIT"), Some(CRATES_IO), None);
        check("a", Some("MIT/Apache-2.0"), Some(CRATES_IO), None);
        let refused =
            "a 1.0.0 is under `MIT AND GPL-3.0-only`, which needs a licence that is not allowed";
        check(
            "a",
            Some("MIT AND GPL-3.0-only"),
            Some(CRATES_IO),
            Some(refused),
        );
        check("a", None, Some(CRATES_IO), Some("a 1.0.0 names no licence"));
    }

    #[test]
    fn a_banned_or_foreign_dependency_is_an_offence() {
        check(
            "rsa",
            Some("MIT"),
            Some(CRATES_IO),
            Some("rsa 1.0.0 is banned: leaks"),
        );
        check(
            "a",
            Some("MIT"),
            Some("git+https://example.com/a"),
            Some("a 1.0.0 comes from git+https://example.com/a"),
        );
    }

    #[test]
    fn a_rule_that_would_be_left_out_is_refused() {
        let error =
            Rules::parse("[bans]\nskip = []\ndeny = []\n[licenses]\nallow = []").unwrap_err();
        assert!(error.to_string().contains("`bans.skip`"), "{error}");
    }

    #[test]
    fn the_rules_of_this_repository_are_understood() {
        let rules = Rules::parse(include_str!("../../deny.toml")).unwrap();
        assert!(rules.bans.deny.iter().any(|ban| ban.name == "ring"));
    }
}
