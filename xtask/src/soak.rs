//! The long counts. Their commands and seeds are in docs/measurements, with what they printed.

use std::path::Path;
use std::process::Command;

use crate::Outcome;

/// One long count: its name, the test that it is, and the settings that make it long.
struct Soak {
    name: &'static str,
    package: &'static str,
    test: &'static str,
    /// Part of the tests' names, where not all of them are long counts.
    only: &'static str,
    settings: &'static [(&'static str, &'static str)],
}

const SOAKS: [Soak; 8] = [
    Soak {
        name: "differential",
        package: "policy",
        test: "differential",
        only: "",
        settings: &[("PORTCULLIS_CASES", "100000"), ("PORTCULLIS_SEED", "1")],
    },
    Soak {
        name: "kills",
        package: "portcullis",
        test: "kill_service",
        only: "",
        settings: &[("PORTCULLIS_KILLS", "200"), ("PORTCULLIS_SEED", "7")],
    },
    Soak {
        name: "log-kills",
        package: "chokepoint",
        test: "kill_log",
        only: "",
        settings: &[("PORTCULLIS_KILLS", "1000"), ("PORTCULLIS_SEED", "7")],
    },
    Soak {
        name: "postgresql-kills",
        package: "replicas",
        test: "postgresql",
        only: "killed::what_was_acknowledged",
        settings: &[("PORTCULLIS_KILLS", "1000"), ("PORTCULLIS_SEED", "7")],
    },
    Soak {
        name: "day",
        package: "chokepoint",
        test: "day",
        only: "",
        settings: &[
            ("PORTCULLIS_DECISIONS", "1000000"),
            ("PORTCULLIS_BYTES", "3000"),
            ("PORTCULLIS_SEED", "7"),
        ],
    },
    Soak {
        name: "pods",
        package: "portcullis",
        test: "kubernetes",
        only: "failures::many",
        settings: &[("PORTCULLIS_PODS", "10000"), ("PORTCULLIS_SEED", "7")],
    },
    Soak {
        name: "proxy",
        package: "portcullis",
        test: "proxy",
        only: "a_large_body",
        settings: &[("PORTCULLIS_MEGABYTES", "10240")],
    },
    Soak {
        name: "sigstore",
        package: "portcullis",
        test: "sigstore_conformance",
        only: "",
        settings: &[("PORTCULLIS_SOAK", "1")],
    },
];

/// All of them, or the one that is named.
pub(crate) fn run(root: &Path, only: Option<&str>) -> Outcome {
    for soak in SOAKS.iter().filter(|s| only.is_none_or(|name| name == s.name)) {
        soak.run(root)?;
    }
    if only.is_none_or(|name| name == "fuzz") {
        let seconds = std::env::var("PORTCULLIS_FUZZ_SECONDS").unwrap_or_else(|_| "60".to_owned());
        crate::run("bash", &["fuzz/smoke.sh", &seconds])?;
    }
    Ok(())
}

impl Soak {
    fn run(&self, root: &Path) -> Outcome {
        let mut command = Command::new("cargo");
        command.args([
            "test",
            "--release",
            "--package",
            self.package,
            "--test",
            self.test,
            "--",
            "--nocapture",
        ]);
        if !self.only.is_empty() {
            command.arg(self.only);
        }
        command.current_dir(root);
        for (name, default) in self.settings {
            let value = std::env::var(name).unwrap_or_else(|_| (*default).to_owned());
            println!("{}: {name}={value}", self.name);
            command.env(name, value);
        }
        let status = command.status().map_err(|e| e.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("the soak {} failed", self.name)) }
    }
}

#[cfg(test)]
mod tests {
    use super::SOAKS;

    #[test]
    fn each_store_of_the_log_is_killed_a_thousand_times() {
        let is_of_a_log = |package: &str| ["chokepoint", "replicas"].contains(&package);
        let kills = SOAKS.iter().filter(|soak| is_of_a_log(soak.package) && soak.name.ends_with("kills"));
        let many: Vec<_> = kills.map(|soak| (soak.name, soak.settings[0])).collect();
        let thousand = ("PORTCULLIS_KILLS", "1000");
        assert_eq!(many, [("log-kills", thousand), ("postgresql-kills", thousand)]);
    }

    #[test]
    fn what_a_soak_names_is_there() {
        let root = crate::root();
        for soak in &SOAKS {
            let folder = soak.package.replace("portcullis", "cli");
            let file = root.join("crates").join(folder).join("tests").join(soak.test);
            assert!(file.is_dir() || file.with_extension("rs").is_file(), "{}", file.display());
        }
    }
}
