//! `portcullis layout …`: in-toto layouts, verified in their own terms, and translated.

mod links;
mod unpacked;

use std::path::{Path, PathBuf};

use attest::{Json, Object, PublicKey, StatementError};
use policy::{Diagnostic, one_line};
use translate::layout::{Finding, Given, Layout, Metadata, Report, translate, verify};

use super::draft;
use crate::clock;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;

const MAX_LAYOUT: u64 = 16 << 20;

#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  portcullis layout verify root.layout --key alice.pub --links links --artifact shop.tar.gz
  portcullis layout translate root.layout --out draft")]
pub(crate) enum Command {
    /// Do the links hold under the layout? Exit 1 where they do not, 2 where only running an inspection would show it
    #[command(after_help = "\
Example:
  portcullis layout verify root.layout --key alice.pub --links links --artifact shop.tar.gz")]
    Verify(VerifyArgs),
    /// Write a policy and a fragment of a trust root, with what they do not say. Exit 1 where they are looser
    #[command(after_help = "Example:\n  portcullis layout translate root.layout --out draft")]
    Translate(TranslateArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// The layout: the old form, or DSSE
    #[arg(value_name = "LAYOUT")]
    layout: PathBuf,
    /// A public key of an owner; each that is given must have signed
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// The folder with the links, and in folders of their own those of sublayouts
    #[arg(long, value_name = "DIR")]
    links: PathBuf,
    /// The artifact: a file, or sha256:HEX. Without it nothing is said about any
    #[arg(long, value_name = "FILE")]
    artifact: Option<String>,
    /// The time that counts
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TranslateArgs {
    /// The layout: the old form, or DSSE; its signatures are not verified
    #[arg(value_name = "LAYOUT")]
    layout: PathBuf,
    /// A new folder for the draft; without it, it is printed
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Verify(args) => run_verify(args, output),
        Command::Translate(args) => {
            let bytes = input::read("layout", &args.layout, MAX_LAYOUT)?;
            let read = Metadata::parse(&bytes).and_then(|m| Ok(Layout::read(m.unproven())?));
            let layout = read.map_err(|e| unreadable(&args.layout, &e))?;
            draft::tell(&translate(&layout), args.out.as_deref(), output)
        }
    }
}

fn run_verify(args: &VerifyArgs, output: &Output) -> Result<Exit, Failure> {
    let bytes = input::read("layout", &args.layout, MAX_LAYOUT)?;
    let keys = args.key.iter().map(|path| key(path)).collect::<Result<Vec<_>, _>>()?;
    let links = links::read(&args.links)?;
    let also = [attest::Algorithm::Sha384, attest::Algorithm::Sha512];
    let artifact = args.artifact.as_deref().map(|text| input::digests(text, &also)).transpose()?;
    let at = clock::now(args.at.as_deref())?;
    let unpacked =
        args.artifact.as_deref().map(|text| unpacked::read(&bytes, Path::new(text))).transpose()?;
    let unpacked = unpacked.flatten();
    let given =
        Given { keys: &keys, links: &links, artifact: artifact.as_ref(), unpacked: unpacked.as_ref(), at };
    let report = verify(&bytes, given).map_err(|e| unreadable(&args.layout, &e))?;
    let name = args.layout.display().to_string();
    output.result(&to_text(&report, &name, args.artifact.as_deref(), output), || to_json(&report));
    Ok(match () {
        () if !report.findings.is_empty() => Exit::Found,
        () if !report.undecided.is_empty() => Exit::Failed,
        () => Exit::Clean,
    })
}

fn key(path: &Path) -> Result<PublicKey, Failure> {
    PublicKey::from_pem(&input::text("public key", path)?).map_err(|e| {
        Failure::new(&format!("the public key {} cannot be used", path.display()))
            .line("found", &e.to_string())
    })
}

fn unreadable(path: &Path, error: &StatementError) -> Failure {
    Failure::new(&format!("the layout {} cannot be read", path.display()))
        .code("layout-unreadable")
        .line("found", &one_line(&error.to_string()))
        .line("fix", "have its owners mend and sign it; what two verifiers could read differently is refused")
}

fn diagnostic(finding: &Finding) -> Diagnostic {
    Diagnostic::new(finding.rule, &finding.message)
        .line("place", &finding.place)
        .line("wanted", &finding.wanted)
        .line("found", &finding.found)
        .line("fix", &finding.fix)
}

fn to_text(report: &Report, layout: &str, artifact: Option<&str>, output: &Output) -> String {
    let mut out = String::new();
    for finding in &report.findings {
        out.push_str(&(output.diagnostic(&diagnostic(finding)) + "\n"));
    }
    for step in &report.steps {
        out.push_str(&format!("step {}: signed by {}\n", one_line(&step.name), step.keys.join(", ")));
    }
    for ignored in &report.ignored {
        out.push_str(&format!("not counted: {}\n", one_line(ignored)));
    }
    for left in &report.undecided {
        out.push_str(&format!("not verified: {}: {}\n", one_line(&left.place), one_line(&left.why)));
    }
    let about = artifact.map_or_else(
        || "; no artifact was given, so nothing is said about any".to_owned(),
        |a| format!(", and made {a}"),
    );
    out.push_str(&match (report.findings.len(), report.undecided.len()) {
        (0, 0) => format!("met: the links hold under {layout}{about}\n"),
        (0, _) => format!("cannot decide: everything else holds under {layout}{about}\n"),
        (1, _) => format!("not met: {layout}; 1 thing to mend\n"),
        (n, _) => format!("not met: {layout}; {n} things to mend\n"),
    });
    out
}

fn to_json(report: &Report) -> Json {
    let finding = |f: &Finding| {
        let object = Object::new().with("rule", f.rule).with("message", f.message.as_str());
        let object = object.with("place", f.place.as_str()).with("wanted", f.wanted.as_str());
        Json::from(object.with("found", f.found.as_str()).with("fix", f.fix.as_str()))
    };
    let undecided = report.undecided.iter().map(|left| {
        Json::from(Object::new().with("place", left.place.as_str()).with("why", left.why.as_str()))
    });
    let steps = report.steps.iter().map(|step| {
        Json::from(Object::new().with("step", step.name.as_str()).with("signed_by", step.keys.clone()))
    });
    let verdict = match (report.findings.is_empty(), report.undecided.is_empty()) {
        (true, true) => Json::from("met"),
        (false, _) => Json::from("unmet"),
        (true, false) => Json::Null,
    };
    Object::new()
        .with("verdict", verdict)
        .with("findings", Json::Array(report.findings.iter().map(finding).collect()))
        .with("not_verified", Json::Array(undecided.collect()))
        .with("not_counted", report.ignored.clone())
        .with("steps", Json::Array(steps.collect()))
        .into()
}
