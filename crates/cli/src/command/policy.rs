//! `portcullis policy …`: policies are code, and checked, tested and laid out like it.

use std::path::{Path, PathBuf};

use attest::{Json, LoadError, Object};
use policy::language;
use policy::scenario::TestFile;

use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;

mod diff;
mod preview;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Does the book load? Every mistake with its place and how to mend it
    Check {
        /// The folder with the policies
        dir: PathBuf,
        /// Check the names that policies use against this trust root
        #[arg(long, value_name = "FILE")]
        trust_root: Option<PathBuf>,
        /// Check the book against these guardrails
        #[arg(long, value_name = "FILE")]
        guardrails: Option<PathBuf>,
    },
    /// Run policy tests: files that end in .test.yaml
    Test {
        /// A test file, or a folder that is searched for them
        path: PathBuf,
    },
    Diff(diff::Args),
    Preview(preview::Args),
    /// Lay policy files out; comments and meaning stay
    Fmt {
        /// The folder with the policies
        dir: PathBuf,
        /// Write nothing; exit 1 where a file would change
        #[arg(long)]
        check: bool,
    },
    /// Print the digest by which a choke point knows a book, or another reviewed file: what is signed so that it may be in
    /// force
    #[command(after_help = "Example:
  portcullis attest release $(portcullis policy digest book) --purl pkg:generic/book@1.4.0 \\
      --for portcullis --key release-desk.key --out book.release.json")]
    Digest {
        /// The book's folder; or a trust root, guardrails, or a configuration
        path: PathBuf,
    },
    /// Print the JSON Schema of the policy language, for editors
    Schema,
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Check { dir, trust_root, guardrails } => {
            check(dir, trust_root.as_deref(), guardrails.as_deref(), output)
        }
        Command::Test { path } => test(path, output),
        Command::Diff(args) => diff::run(args, output),
        Command::Preview(args) => preview::run(args, output),
        Command::Fmt { dir, check } => fmt(dir, *check, output),
        Command::Digest { path } => {
            let digest = input::reviewed_digest(path)?;
            output.result(&format!("{digest}\n"), || Object::new().with("digest", digest.to_string()).into());
            Ok(Exit::Clean)
        }
        Command::Schema => {
            let schema = language::schema();
            output.result(&format!("{}\n", schema.pretty()), || schema.clone());
            Ok(Exit::Clean)
        }
    }
}

fn check(
    dir: &Path,
    trust_root: Option<&Path>,
    guardrails: Option<&Path>,
    output: &Output,
) -> Result<Exit, Failure> {
    let book = input::book(dir, guardrails)?;
    if let Some(path) = trust_root {
        let root = input::trust_root(path)?;
        let unknown: Vec<LoadError> = book
            .policies()
            .iter()
            .flat_map(|p| p.unknown_names(&root))
            .map(|used| {
                let known: Vec<&str> =
                    root.principals().map(|p| p.name.as_str()).chain(root.group_names()).collect();
                let error = LoadError::new(
                    &used.place,
                    &format!("the trust root has no `{}` that may do this", used.name),
                );
                match attest::yaml::suggest(&used.name, &known).filter(|near| *near != used.name) {
                    Some(near) => error.fix(&format!("write `{near}`")),
                    None => error.fix(&format!(
                        "declare `{}` in {}, in the right section",
                        used.name,
                        path.display()
                    )),
                }
            })
            .collect();
        if !unknown.is_empty() {
            return Err(Failure::load("name-unknown", unknown));
        }
    }
    let count = book.policies().len();
    let policies = if count == 1 { "policy" } else { "policies" };
    output.result(&format!("{count} {policies}, no mistakes; the book is {}\n", book.digest()), || {
        let environments: Vec<&str> = book.policies().iter().map(|p| p.environment().text.as_str()).collect();
        Json::from(Object::new().with("book", book.digest().to_string()).with("environments", environments))
    });
    Ok(Exit::Clean)
}

fn test(path: &Path, output: &Output) -> Result<Exit, Failure> {
    let mut files = Vec::new();
    find(path, &mut files, 0).map_err(|e| Failure::io("read", path, &e))?;
    files.sort();
    if files.is_empty() {
        return Err(Failure::new(&format!("no policy tests in {}", path.display()))
            .line("wanted", "files that end in .test.yaml")
            .line("fix", "see `portcullis init` for an example"));
    }
    let (mut passed, mut failed, mut text, mut list) = (0_i64, 0_i64, String::new(), Vec::new());
    for file in &files {
        for (name, difference, detail) in run_file(file, output)? {
            let mark = if difference.is_none() { "ok  " } else { "FAIL" };
            text.push_str(&format!("{mark}  {}: {name}\n", file.display()));
            if let Some(difference) = &difference {
                failed += 1;
                text.push_str(&format!("      {difference}\n{detail}"));
            } else {
                passed += 1;
            }
            let object = Object::new().with("file", file.display().to_string()).with("test", name);
            let object = object.with("passed", difference.is_none());
            list.push(Json::from(object.with("difference", difference.map_or(Json::Null, Json::from))));
        }
    }
    text.push_str(&format!("{passed} passed, {failed} failed\n"));
    output.result(&text, || {
        Object::new().with("passed", passed).with("failed", failed).with("tests", Json::Array(list)).into()
    });
    Ok(if failed == 0 { Exit::Clean } else { Exit::Found })
}

type Ran = (String, Option<String>, String);

fn run_file(file: &Path, output: &Output) -> Result<Vec<Ran>, Failure> {
    let text = input::text("policy test", file)?;
    let tests = TestFile::parse(&file.display().to_string(), &text)
        .map_err(|e| Failure::load("policy-test-invalid", e))?;
    let beside = |name: &str| file.parent().unwrap_or(Path::new(".")).join(name);
    let book = input::book(&beside(&tests.book), None)?;
    let root = input::trust_root(&beside(&tests.trust_root))?;
    let one = |test: &policy::scenario::Scenario| {
        let outcome = test.run(&book, &root);
        let detail = super::verify::findings_text(&outcome.verdict, &outcome.artifact, output);
        let detail: String = detail.lines().map(|l| format!("      {l}\n")).collect();
        (test.name.clone(), outcome.difference, detail)
    };
    Ok(tests.tests.iter().map(one).collect())
}

fn find(path: &Path, files: &mut Vec<PathBuf>, depth: usize) -> std::io::Result<()> {
    if !path.metadata()?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    if depth > 8 {
        return Err(std::io::Error::other("folders nested deeper than 8"));
    }
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.ends_with(".test.yaml") || (path.is_dir() && !name.starts_with('.')) {
            find(&path, files, depth + 1)?;
        }
    }
    Ok(())
}

fn fmt(dir: &Path, only_check: bool, output: &Output) -> Result<Exit, Failure> {
    let mut changed = Vec::new();
    for file in input::book_files(dir)? {
        let below = file.name.split_once('/').map_or(file.name.as_str(), |(_, below)| below);
        let path = dir.join(below);
        let laid_out = language::format(&path.display().to_string(), &file.text)
            .map_err(|e| Failure::load("policy-invalid", vec![e]))?;
        if laid_out != file.text {
            if !only_check {
                tlog::write_durably(&path, laid_out.as_bytes())
                    .map_err(|e| Failure::io("write", &path, &e))?;
            }
            changed.push(path.display().to_string());
        }
    }
    let verb = if only_check { "would change" } else { "laid out" };
    let human: String = changed.iter().map(|f| format!("{verb} {f}\n")).collect();
    let is_clean = changed.is_empty() || !only_check;
    output.result(&human, || Json::from(Object::new().with("changed", changed.clone())));
    Ok(if is_clean { Exit::Clean } else { Exit::Found })
}
