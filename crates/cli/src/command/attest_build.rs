//! `portcullis attest build`: honest provenance for what a job of any CI system built.

use std::path::{Path, PathBuf};

use attest::bundle::Bundle;
use attest::dsse::{Dsse, IN_TOTO};
use attest::provenance::{Dependency, NON_ISOLATED, Source};
use attest::{Algorithm, Digest, DigestSet, Json, Object, Provenance, SecretKey, Signer as _, jwt};

use crate::clock;
use crate::failure::{Exit, Failure};
use crate::input::{self, Passphrase};
use crate::keys;
use crate::output::Output;
use crate::work_tree::WorkTree;

/// The builder that is claimed where none is named.
const ANY_JOB: &str = "https://portcullis.dev/builders/job/non-isolated";
const MAX_FILES: usize = 1024;

/// Say how files were built, in a job of any CI system
///
/// The steps of such a job can reach the key and the record, so the builder's id ends with /non-isolated and nothing is
/// claimed to be hermetic: policies tell it apart from what a sandbox built.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  portcullis attest build dist/shop --from-git . --key ci.key
  portcullis attest build dist/shop --repository https://github.com/acme/shop --ref refs/heads/main \\
      --commit 4f2a… --target shop --parameter flavour=release --invocation \"$BUILD_URL\" --key ci.key")]
pub(crate) struct Args {
    /// What was built; each file gets a bundle of its own
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Read repository, ref and commit from the work tree in this folder
    #[arg(long, value_name = "DIR", conflicts_with = "commit")]
    from_git: Option<PathBuf>,
    /// With --from-git: attest although files differ from the commit, and say so in the parameter `dirty`
    #[arg(long, requires = "from_git")]
    dirty: bool,
    /// Where the source came from
    #[arg(long, value_name = "URL", required_unless_present = "from_git")]
    repository: Option<String>,
    /// The full ref, as in refs/heads/main
    #[arg(long = "ref", value_name = "REF", required_unless_present = "from_git")]
    reference: Option<String>,
    /// The commit, in hex
    #[arg(long, value_name = "SHA", required_unless_present = "from_git")]
    commit: Option<String>,
    /// What was asked to be built
    #[arg(long)]
    target: Option<String>,
    /// What else was asked for; may be given more than once
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// What went into it; may be given more than once
    #[arg(long = "dependency", value_name = "URI=sha256:HEX")]
    dependencies: Vec<String>,
    /// A tool that took part; may be given more than once
    #[arg(long = "tool", value_name = "URI=sha256:HEX")]
    tools: Vec<String>,
    /// The builder.id; it must end with /non-isolated
    #[arg(long, value_name = "URI", default_value = ANY_JOB)]
    builder_id: String,
    /// Which run of the job it was
    #[arg(long, value_name = "URL")]
    invocation: Option<String>,
    /// When the job began
    #[arg(long, value_name = "TIME")]
    started: Option<String>,
    /// When it ended; now without
    #[arg(long, value_name = "TIME")]
    finished: Option<String>,
    /// Also write FILE.provenance.jwt, the same record as a token
    #[arg(long)]
    jwt: bool,
    /// The folder for what is written; beside each file without
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The key that signs
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    passphrase: Passphrase,
}

/// One file, and what is to be written of it.
struct Product {
    name: String,
    digests: DigestSet,
    bundle: PathBuf,
    token: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let products = products(args)?;
    let record = record(args, &products)?;
    let key = input::secret_key(&args.key, &args.passphrase)?;
    // everything is signed before anything is written: a job must not end up with half of its evidence
    let signed = products.iter().map(|p| sign(&record, p, &key)).collect::<Result<Vec<_>, _>>()?;
    let mut written: Vec<&Path> = Vec::new();
    for (product, (bundle, token)) in products.iter().zip(&signed) {
        keys::write(&product.bundle, bundle)?;
        written.push(&product.bundle);
        if let Some((path, token)) = product.token.as_ref().zip(token.as_ref()) {
            keys::write(path, token)?;
            written.push(path);
        }
    }
    let human: String = written.iter().map(|path| format!("{}\n", path.display())).collect();
    output.result(&human, || {
        let names: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        Object::new().with("written", names).with("builder", record.builder_id.as_str()).into()
    });
    Ok(Exit::Clean)
}

/// The files, hashed, with names for what is written that nothing has yet.
fn products(args: &Args) -> Result<Vec<Product>, Failure> {
    if args.files.len() > MAX_FILES {
        return Err(Failure::new("too many files at once")
            .line("wanted", &format!("at most {MAX_FILES}"))
            .line("fix", "attest an archive or an image of them"));
    }
    let mut products: Vec<Product> = Vec::new();
    for file in &args.files {
        let product = product(args, file)?;
        let paths = [Some(&product.bundle), product.token.as_ref()];
        if let Some(path) = paths.into_iter().flatten().find(|path| path.exists()) {
            return Err(Failure::new(&format!("{} is there already", path.display()))
                .line("fix", "remove it, or name another folder: --out DIR; nothing is overwritten"));
        }
        if products.iter().any(|other| other.bundle == product.bundle) {
            return Err(Failure::new(&format!(
                "two files would have the bundle {}",
                product.bundle.display()
            ))
            .line("fix", "attest them one by one, or without --out"));
        }
        products.push(product);
    }
    Ok(products)
}

fn product(args: &Args, file: &Path) -> Result<Product, Failure> {
    let is_file = std::fs::metadata(file).map_err(|e| Failure::io("read the artifact", file, &e))?.is_file();
    let name = file.file_name().and_then(|name| name.to_str()).filter(|_| is_file).ok_or_else(|| {
        Failure::new(&format!("{} is no file with a name in UTF-8", file.display()))
            .line("fix", "attest files; make an archive of a folder first")
    })?;
    let dir = match &args.out {
        Some(dir) => {
            keys::folder(dir)?;
            dir.clone()
        }
        None => file.parent().map(Path::to_owned).unwrap_or_default(),
    };
    Ok(Product {
        name: name.to_owned(),
        digests: input::digests(&file.to_string_lossy(), &[])?,
        bundle: dir.join(format!("{name}.sigstore.json")),
        token: args.jwt.then(|| dir.join(format!("{name}.provenance.jwt"))),
    })
}

/// What is said of every file.
fn record(args: &Args, products: &[Product]) -> Result<Provenance, Failure> {
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
    Ok(Dependency { uri: uri.to_owned(), digests: digest.into(), is_tool })
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

/// The bundle and, where one is asked for, the token: both from the one record.
fn sign(
    record: &Provenance,
    product: &Product,
    key: &SecretKey,
) -> Result<(String, Option<String>), Failure> {
    let failed = |found: &str| Failure::new("the provenance cannot be signed").line("found", found);
    let statement = record.statement(&product.name, &product.digests).map_err(|e| failed(&e.to_string()))?;
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[key]).map_err(|e| failed(&e.to_string()))?;
    let bundle = format!("{}\n", Bundle::write(&dsse, &key.public().id(), &[]));
    let digest = product.digests.get(Algorithm::Sha256).filter(|_| product.token.is_some());
    let token = digest.map(|digest| jwt::sign(record, &digest, key)).transpose();
    let token = token.map_err(|e| failed(&e.to_string()))?;
    Ok((bundle, token.map(|token| format!("{token}\n"))))
}
