//! What a job says of its build, checked before it is signed.

use std::path::{Path, PathBuf};

use attest::provenance::{Dependency, NON_ISOLATED, Source};
use attest::{Algorithm, Digest, Json, Object, Provenance};

use super::{Args, Product};
use crate::clock;
use crate::failure::Failure;
use crate::work_tree::WorkTree;

/// What is said of every file.
pub(super) fn record(args: &Args, products: &[Product]) -> Result<Provenance, Failure> {
    check_builder(&args.builder_id)?;
    let (source, is_dirty) = source(args, products)?;
    let mut record = Provenance::of_job(&args.builder_id, env!("CARGO_PKG_VERSION"));
    record.source = Some(source);
    record.target.clone_from(&args.target);
    record.parameters = parameters(&args.parameters, is_dirty)?;
    record.invocation.clone_from(&args.invocation);
    for (texts, is_tool) in [(&args.tools, true), (&args.dependencies, false)] {
        for text in texts {
            record.dependencies.push(dependency(text, is_tool)?);
        }
    }
    let finished = clock::now(args.finished.as_deref())?;
    let started = args.started.as_deref().map(|text| clock::now(Some(text))).transpose()?;
    if started.is_some_and(|started| started > finished) {
        return Err(Failure::new("the job cannot have ended before it began")
            .line(
                "found",
                &format!("started {}, finished {finished}", args.started.as_deref().unwrap_or_default()),
            )
            .line("fix", "correct --started or --finished"));
    }
    (record.started, record.finished) = (started, Some(finished));
    refuse_secrets(&record)?;
    Ok(record)
}

/// A job may not pass for a builder that keeps its steps from the key.
fn check_builder(id: &str) -> Result<(), Failure> {
    let is_honest = id.strip_suffix(NON_ISOLATED).is_some_and(|rest| rest.contains("://"));
    if is_honest && !id.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Ok(());
    }
    let fix = id.trim_end_matches('/');
    Err(Failure::new("the builder's id does not say that nothing is isolated")
        .line("wanted", &format!("a URI that ends with {NON_ISOLATED}: the steps of a job can reach its key"))
        .line("found", &policy::one_line(id))
        .line(
            "fix",
            &format!(
                "--builder-id {}{NON_ISOLATED}, and list that id in the trust root",
                policy::one_line(fix)
            ),
        )
        .line("or", "build in the sandbox, which may claim more: portcullis build"))
}

/// The source: as given, or as git has it.
fn source(args: &Args, products: &[Product]) -> Result<(Source, bool), Failure> {
    let mut source = Source::default();
    let mut is_dirty = false;
    if let Some(dir) = &args.from_git {
        let written = products.iter().flat_map(|p| [Some(&p.bundle), p.token.as_ref()]).flatten();
        let ours: Vec<&Path> = args.files.iter().chain(written).map(PathBuf::as_path).collect();
        let tree = WorkTree::read(dir, args.repository.as_deref(), args.reference.as_deref(), &ours)?;
        if let Some(changed) = tree.changed.first().filter(|_| !args.dirty) {
            return Err(Failure::new(&format!(
                "the work tree {} is not what the commit says",
                dir.display()
            ))
            .line("wanted", "every file as in the commit, and none beside")
            .line("found", &format!("{} changed, {changed} among them", tree.changed.len()))
            .line("fix", "commit and build again, or list what the build makes in .gitignore")
            .line("or", "say that it is so: --dirty"));
        }
        is_dirty = !tree.changed.is_empty();
        source = tree.source;
    } else {
        source.repository = args.repository.clone().unwrap_or_default();
        source.reference.clone_from(&args.reference);
        let commit = args.commit.as_deref().unwrap_or_default();
        let digest = Digest::from_hex(Algorithm::GitCommit, commit).map_err(|e| {
            Failure::new("the commit cannot be read")
                .line("wanted", "all its digits in lower case, as `git rev-parse HEAD` prints them")
                .line("found", &e.to_string())
        })?;
        source.digests = digest.into();
    }
    check_source(&source)?;
    Ok((source, is_dirty))
}

/// What would be published of a URL must hold no user or password, and a ref must say what kind it is.
fn check_source(source: &Source) -> Result<(), Failure> {
    let repository = &source.repository;
    let authority = repository.split_once("://").and_then(|(_, rest)| rest.split('/').next());
    if authority.is_none_or(|authority| authority.contains('@')) || repository.contains(char::is_control) {
        return Err(Failure::new("the repository cannot be published as it is")
            .line("wanted", "a URL without a user in it, as in https://github.com/acme/shop")
            .line("fix", "--repository URL, as policies name it"));
    }
    let reference = source.reference.as_deref().unwrap_or_default();
    let is_full = ["refs/heads/", "refs/tags/"].iter().any(|kind| {
        reference.strip_prefix(kind).is_some_and(|name| !name.is_empty() && !name.contains(char::is_control))
    });
    if is_full {
        return Ok(());
    }
    Err(Failure::new("the ref cannot be read")
        .line("wanted", "a full ref, as in refs/heads/main or refs/tags/v1.2")
        .line("found", &policy::one_line(reference))
        .line("fix", "--ref refs/heads/NAME, or refs/tags/NAME"))
}

fn parameters(texts: &[String], is_dirty: bool) -> Result<Object, Failure> {
    let mut parameters = Object::new();
    let wrong = |text: &str, wanted: &str| {
        Failure::new("a parameter cannot be read")
            .line("wanted", wanted)
            .line("found", &policy::one_line(text))
    };
    for text in texts {
        let (name, value) = text.split_once('=').ok_or_else(|| wrong(text, "NAME=VALUE"))?;
        if name.is_empty() || name == "dirty" || parameters.get(name).is_some() {
            return Err(wrong(
                text,
                "every name once, none of them empty, and none `dirty`, which --dirty says",
            ));
        }
        parameters.set(name, value);
    }
    if is_dirty {
        parameters.set("dirty", true);
    }
    Ok(parameters)
}

fn dependency(text: &str, is_tool: bool) -> Result<Dependency, Failure> {
    let wrong = |found: &str| {
        Failure::new("a dependency cannot be read")
            .line("wanted", "URI=sha256:HEX")
            .line("found", &policy::one_line(found))
    };
    // the URI may have an `=` of its own
    let (uri, digest) =
        text.rsplit_once('=').filter(|(uri, _)| !uri.is_empty()).ok_or_else(|| wrong(text))?;
    let digest = Digest::parse(digest).map_err(|e| wrong(&e.to_string()))?;
    Ok(Dependency { uri: uri.to_owned(), digests: digest.into(), is_tool, ..Dependency::default() })
}

/// Provenance is published. What looks like a secret in it is refused, and never silently left out.
fn refuse_secrets(record: &Provenance) -> Result<(), Failure> {
    let said = Json::from(record.to_slsa_v1());
    let mut redacted = said.clone();
    policy::redact(&mut redacted);
    if said == redacted {
        return Ok(());
    }
    Err(Failure::new("a parameter, URL or name looks like a secret, and provenance is published")
        .line("fix", "leave it out: what the build needs to know in secret is no parameter of it"))
}
