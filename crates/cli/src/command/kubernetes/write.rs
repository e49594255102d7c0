//! `portcullis kubernetes manifests`.

use std::path::{Path, PathBuf};

use ::kubernetes::manifests::{chart, documents};
use attest::{Json, Object};

use super::wanted::Wanted;
use crate::failure::{Exit, Failure};
use crate::output::Output;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("place").required(true))]
pub(crate) struct Args {
    #[command(flatten)]
    wanted: Wanted,
    /// Write plain manifests into this folder
    #[arg(long, value_name = "DIR", group = "place")]
    out: Option<PathBuf>,
    /// Write a Helm chart into this folder
    #[arg(long, value_name = "DIR", group = "place", conflicts_with = "url")]
    helm: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let settings = args.wanted.settings()?;
    let manifests = args.wanted.manifests(&settings)?;
    let notes = [args.wanted.doubts(), manifests.notes.clone()].concat();
    let (dir, files) = match (&args.out, &args.helm) {
        (_, Some(dir)) => {
            let manifests = args.wanted.manifests(&settings.for_chart())?;
            (dir, chart(&manifests, &settings, env!("CARGO_PKG_VERSION")))
        }
        (dir, None) => {
            let parts = [
                ("1-install.yaml", &manifests.install),
                ("2-webhooks.yaml", &manifests.webhooks),
                ("3-policies.yaml", &manifests.policies),
            ];
            let parts = parts.into_iter().filter(|(_, objects)| !objects.is_empty());
            let dir = dir.as_ref().ok_or_else(|| Failure::new("no folder to write into"))?;
            (dir, parts.map(|(name, objects)| (name, documents(objects))).collect())
        }
    };
    let mut written = Vec::new();
    for (name, text) in files {
        let path = dir.join(name);
        write(&path, &text)?;
        written.push(path.display().to_string());
    }
    let mut human: String = notes.iter().map(|note| format!("note: {note}\n")).collect();
    human.extend(written.iter().map(|file| format!("wrote {file}\n")));
    output.result(&human, || {
        Json::from(Object::new().with("written", written.clone()).with("notes", notes.clone()))
    });
    Ok(Exit::Clean)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|e| Failure::io("make the folder", folder, &e))?;
    tlog::write_durably(path, text.as_bytes()).map_err(|e| Failure::io("write", path, &e))
}
