//! `portcullis builder affected`: every build that a recall or a revocation invalidates, and what was built from it.

mod bundles;
mod survey;

use std::path::{Path, PathBuf};

use attest::digest::DigestSet;
use attest::{Json, Object};
use policy::one_line;

use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;
use crate::trust::{Trust, short};
use crate::{clock, command::log};
use survey::{Build, Survey, Why};

/// List every build that a recall or a revocation in the trust root invalidates, and what was built from it
///
/// Exit code 1 where something is affected; 0 where nothing is; 2 where nothing is, and not everything could be judged.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  portcullis builder affected --trust-root trust-root.yaml --store store
  portcullis builder affected --trust-root trust-root.yaml --log builds dist/ shop.sigstore.json")]
pub(crate) struct Args {
    /// Bundles, and folders that are searched for *.sigstore.json
    #[arg(value_name = "BUNDLE", required_unless_present = "store")]
    paths: Vec<PathBuf>,
    /// The trust root with the recalls and revocations
    #[arg(long, value_name = "FILE")]
    trust_root: PathBuf,
    /// The store of a builder, with all provenance that it keeps
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// A log of signatures: what it lists and no bundle shows is named too
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
    /// The log's verifier key; the one that lies beside the log without
    #[arg(long, value_name = "FILE", requires = "log")]
    log_key: Option<PathBuf>,
    /// The time that counts for keys
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let root = input::trust_root(&args.trust_root)?;
    let trusted = Trust::of_root(root, clock::now(args.at.as_deref())?);
    let mut survey = Survey::default();
    let store = args.store.as_ref().map(|store| store.join("provenance"));
    for path in args.paths.iter().chain(&store) {
        bundles::each(path, |found| survey.add(found, &trusted))?;
    }
    if let Some(dir) = &args.log {
        let key = log::Key::of(args.log_key.as_deref()).read(dir)?;
        let (leaves, _) = log::records(dir, &key, None).map_err(|e| {
            // a log that was edited is a failure of ours here: 1 would say that builds are affected
            Failure::new("the log of signatures cannot be compared with the bundles")
                .line("found", &e.reason())
                .line("fix", "keep this copy for the investigation, and name a copy that verifies")
        })?;
        survey.compare(&dir.display().to_string(), &leaves);
    }
    survey.spread();
    output.result(&text(&survey), || to_json(&survey));
    Ok(match (survey.affected().next().is_some(), survey.unjudged.is_empty()) {
        (true, _) => Exit::Found,
        (false, true) => Exit::Clean,
        (false, false) => Exit::Failed,
    })
}

fn text(survey: &Survey) -> String {
    let affected: Vec<(&Build, &Why)> = survey.affected().collect();
    let (all, many) = (survey.builds.len(), affected.len());
    let mut out = match many {
        0 if all == 0 && !survey.unjudged.is_empty() => "nothing could be judged\n".to_owned(),
        0 => format!("no build is affected, of {all} that were judged\n"),
        _ => format!("affected: {many} of the {all} builds that were judged\n"),
    };
    for (build, why) in affected {
        out += &format!("\n{}\n", build.subjects.iter().map(short).collect::<Vec<_>>().join(", "));
        let version = build.version.as_deref().map(|v| format!(", version {v}")).unwrap_or_default();
        let built = build.finished.map_or("at a time that it does not say".to_owned(), |t| t.to_string());
        let (label, said) = survey.because(why);
        for (label, text) in [
            ("builder", format!("{}{version}", build.signer)),
            ("built", built),
            (label, said),
            ("bundle", build.file.clone()),
        ] {
            out += &format!("  {label:<10} {}\n", one_line(&text));
        }
    }
    if !survey.unjudged.is_empty() {
        out += &format!("\nnot judged: {}\n", survey.unjudged.len());
        out += &survey
            .unjudged
            .iter()
            .map(|(file, why)| format!("  {}: {}\n", one_line(file), one_line(why)))
            .collect::<String>();
    }
    if survey.others > 0 {
        out += &format!("\nnot about builds: {} bundles\n", survey.others);
    }
    out
}

fn to_json(survey: &Survey) -> Json {
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let affected = survey.affected().map(|(build, why)| {
        let subject = |s: &attest::statement::Subject| named(&s.name, &s.digests);
        let mut object = Object::new()
            .with("artifacts", Json::Array(build.subjects.iter().map(subject).collect()))
            .with("builder", build.signer.as_str());
        object.set_some("version", build.version.as_deref());
        object.set_some("built", build.finished.map(|t| t.to_string()));
        let (label, said) = survey.because(why);
        object.set("why", Object::new().with("kind", label).with("text", said));
        object.set("bundle", build.file.as_str());
        Json::from(object)
    });
    let unjudged = survey
        .unjudged
        .iter()
        .map(|(file, why)| Json::from(Object::new().with("bundle", file.as_str()).with("why", why.as_str())));
    Object::new()
        .with("builds", count(survey.builds.len()))
        .with("affected", Json::Array(affected.collect()))
        .with("not_judged", Json::Array(unjudged.collect()))
        .with("not_about_builds", count(survey.others))
        .into()
}

fn named(name: &str, digests: &DigestSet) -> Json {
    Object::new().with("name", name).with("digest", digests.to_json()).into()
}

/// A bundle that was found, or why there is none to read.
type Found<'a> = (&'a Path, Result<policy::Submitted, String>);
