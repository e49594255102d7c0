//! `portcullis binauthz …`: Google's Binary Authorization, its policy translated and its attestations opened.

use std::path::{Path, PathBuf};

use attest::{Artifact, Json, Object};
use policy::one_line;
use translate::binauthz::{Attestor, Occurrence, Word, translate};

use super::draft;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;
use crate::trust::{Trust, Trusted};

const MAX_OCCURRENCE: u64 = 4 << 20;

#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  portcullis binauthz translate policy.yaml --attestor built-by-ci.yaml --out draft
  portcullis binauthz open occurrence.json --trust-root trust-root.yaml --artifact sha256:…")]
pub(crate) enum Command {
    /// Write policies and a fragment of a trust root, with what they do not say. Exit 1 where they are looser
    #[command(after_help = "\
Example:
  gcloud container binauthz policy export > policy.yaml
  gcloud container binauthz attestors describe built-by-ci > built-by-ci.yaml
  portcullis binauthz translate policy.yaml --attestor built-by-ci.yaml --out draft")]
    Translate(TranslateArgs),
    /// Is this attestation authentic, and is it about this artifact?
    #[command(after_help = "\
Example:
  portcullis binauthz open occurrence.json --trust-root trust-root.yaml --artifact sha256:…")]
    Open(OpenArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct TranslateArgs {
    /// The policy of a project, or of the platform, in YAML or JSON
    #[arg(value_name = "POLICY")]
    policy: PathBuf,
    /// An attestor, with its keys
    #[arg(long, value_name = "FILE")]
    attestor: Vec<PathBuf>,
    /// A new folder for the draft; without it, it is printed
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OpenArgs {
    /// The occurrence, as Container Analysis gives it
    #[arg(value_name = "OCCURRENCE")]
    occurrence: PathBuf,
    /// The image it should be about: sha256:HEX, or its manifest
    #[arg(long, value_name = "FILE")]
    artifact: Option<String>,
    #[command(flatten)]
    trust: Trust,
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Translate(args) => {
            let named = |path: &Path| path.display().to_string();
            let attestor = |path: &PathBuf| {
                let text = input::text("attestor", path)?;
                Attestor::parse(&named(path), &text).map_err(|e| Failure::load("attestor-invalid", e))
            };
            let attestors = args.attestor.iter().map(attestor).collect::<Result<Vec<_>, _>>()?;
            let text = input::text("policy", &args.policy)?;
            let draft = translate(&named(&args.policy), &text, &attestors)
                .map_err(|e| Failure::load("binauthz-policy-invalid", e))?;
            draft::tell(&draft, args.out.as_deref(), output)
        }
        Command::Open(args) => open(args, output),
    }
}

fn open(args: &OpenArgs, output: &Output) -> Result<Exit, Failure> {
    let bytes = input::read("occurrence", &args.occurrence, MAX_OCCURRENCE)?;
    let Trusted { root, at, .. } = args.trust.read()?;
    let occurrence = Occurrence::parse(&bytes).map_err(|e| {
        Failure::new(&format!("the occurrence {} cannot be read", args.occurrence.display()))
            .line("found", &one_line(&e.to_string()))
            .line("fix", "give one occurrence of kind ATTESTATION, as the API writes it in JSON")
            .found()
    })?;
    let artifact = args.artifact.as_deref().map(|text| input::digests(text, &[])).transpose()?;
    let artifact =
        artifact.map(|digests| Artifact::new(args.artifact.as_deref().unwrap_or_default(), digests));
    let words = occurrence.open(&root, at);
    let good = |word: &&Word| {
        word.opened.as_ref().is_ok_and(|a| artifact.as_ref().is_none_or(|artifact| a.about(artifact).is_ok()))
    };
    let is_good = words.iter().any(|word| good(&word));
    let human: String = words.iter().map(|word| line(word, artifact.as_ref())).collect();
    output.result(&human, || {
        let parts = words.iter().map(|word| to_json(word, good(&word))).collect();
        Json::from(Object::new().with("good", is_good).with("parts", Json::Array(parts)))
    });
    Ok(if is_good { Exit::Clean } else { Exit::Found })
}

fn line(word: &Word, artifact: Option<&Artifact>) -> String {
    let part = &word.part;
    let attestation = match &word.opened {
        Err(why) => return format!("{part}: not authentic: {}\n", one_line(why)),
        Ok(attestation) => attestation,
    };
    let names: Vec<&str> = attestation.signers().iter().map(|s| s.name.as_str()).collect();
    let subject = attestation.statement().subjects.first().and_then(|s| s.digests.first());
    let subject = subject.map(|d| d.to_string()).unwrap_or_default();
    let signed = format!("signed by {}", one_line(&names.join(", ")));
    match artifact.map(|artifact| attestation.about(artifact)) {
        Some(Err(_)) => format!("{part}: authentic, {signed}, and about another image: {subject}\n"),
        Some(Ok(_)) => format!("{part}: authentic, {signed}, and about this image\n"),
        None => format!("{part}: authentic, {signed}, and about {subject}\n"),
    }
}

fn to_json(word: &Word, is_good: bool) -> Json {
    let mut object = Object::new().with("part", word.part.as_str()).with("good", is_good);
    match &word.opened {
        Err(why) => object.set("why", why.as_str()),
        Ok(attestation) => {
            let names: Vec<&str> = attestation.signers().iter().map(|s| s.name.as_str()).collect();
            object.set("signed_by", names);
            let subject = attestation.statement().subjects.first().map(|s| s.digests.to_json());
            object.set_some("digest", subject);
        }
    }
    object.into()
}
