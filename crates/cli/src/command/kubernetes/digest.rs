//! `portcullis kubernetes digest`.

use std::path::{Path, PathBuf};

use ::kubernetes::manifests::objects;
use ::kubernetes::{DigestForm, GroupKind, configuration_digest, configuration_form, difference};
use attest::{Json, Object};

use super::wanted::refused;
use crate::failure::{Exit, Failure};
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Objects as `kubectl … -o json` prints them; `-` for standard input
    #[arg(value_name = "FILE", required_unless_present = "diff")]
    file: Option<PathBuf>,
    /// Say what differs between two files instead: exit 1 where something does
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with = "file")]
    diff: Option<Vec<PathBuf>>,
    /// An autoscaler owns the number of replicas: leave it out
    #[arg(long)]
    autoscaled: bool,
    /// The key under which the choke point digests Secrets
    #[arg(long, value_name = "FILE")]
    secret_key: Option<PathBuf>,
}

/// An object, and what identifies it.
struct Digested {
    name: String,
    digest: String,
    form: Object,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    if let Some([old, new]) = args.diff.as_deref() {
        return diff(&digested(args, old)?, &digested(args, new)?, output);
    }
    let all = match &args.file {
        Some(file) => digested(args, file)?,
        None => Vec::new(),
    };
    let human: String = all.iter().map(|d| format!("{}  {}\n", d.digest, d.name)).collect();
    output.result(&human, || {
        let one =
            |d: &Digested| Object::new().with("object", d.name.as_str()).with("digest", d.digest.as_str());
        Json::Array(all.iter().map(|d| one(d).into()).collect())
    });
    Ok(Exit::Clean)
}

fn digested(args: &Args, file: &Path) -> Result<Vec<Digested>, Failure> {
    let key = args.secret_key.as_ref().map(|path| crate::input::read("key", path, 4096)).transpose()?;
    let form = DigestForm { autoscaled: args.autoscaled, secret_key: key.as_deref() };
    let one = |object: Object| {
        let name = uri(&object);
        let kind = GroupKind::of(text(&object, "apiVersion"), text(&object, "kind"));
        let failed = |e: ::kubernetes::FormError| {
            Failure::new(&format!("{name} has no digest"))
                .code("digest-impossible")
                .line("found", &e.to_string())
                .line("fix", "give the key of the choke point's configuration: --secret-key FILE")
        };
        let digest = configuration_digest(&kind, &object, form).map_err(failed)?.to_string();
        let form = configuration_form(&kind, &object, form).map_err(failed)?;
        Ok(Digested { name, digest, form })
    };
    objects(&super::json("objects", file)?).map_err(refused)?.into_iter().map(one).collect()
}

fn diff(old: &[Digested], new: &[Digested], output: &Output) -> Result<Exit, Failure> {
    let mut lines: Vec<String> = Vec::new();
    for before in old {
        match new.iter().find(|after| after.name == before.name) {
            None => lines.push(format!("{}: removed", before.name)),
            Some(after) if after.digest == before.digest => {}
            Some(after) => {
                let found = difference(&before.form, &after.form);
                lines.extend(found.iter().map(|d| format!("{}: {d}", before.name)));
            }
        }
    }
    let is_known = |after: &&Digested| old.iter().any(|before| before.name == after.name);
    lines.extend(new.iter().filter(|after| !is_known(after)).map(|after| format!("{}: added", after.name)));
    let human: String = lines.iter().map(|line| format!("{line}\n")).collect();
    output.result(&human, || Json::from(Object::new().with("differences", lines.clone())));
    Ok(if lines.is_empty() { Exit::Clean } else { Exit::Found })
}

fn text<'a>(object: &'a Object, key: &str) -> &'a str {
    object.get(key).and_then(|v| v.as_str().ok()).unwrap_or_default()
}

/// The name by which policies know the object.
fn uri(object: &Object) -> String {
    let metadata = object.get("metadata").and_then(|m| m.as_object().ok()).cloned().unwrap_or_default();
    let (kind, name) = (text(object, "kind"), text(&metadata, "name"));
    let kind = GroupKind::of(text(object, "apiVersion"), kind).name();
    match text(&metadata, "namespace") {
        "" => format!("kubernetes:{kind}/{name}"),
        namespace => format!("kubernetes:{namespace}/{kind}/{name}"),
    }
}
