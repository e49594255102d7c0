//! `portcullis attest build`: honest provenance for what a job of any CI system built.

mod record;

use std::path::{Path, PathBuf};

use attest::bundle::Bundle;
use attest::dsse::{Dsse, IN_TOTO};
use attest::{Algorithm, DigestSet, Object, Provenance, Signer, jwt};

use crate::failure::{Exit, Failure};
use crate::input::{self, Unlock};
use crate::keys;
use crate::output::Output;

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
  portcullis attest build dist/shop --repository https://github.com/acme/shop \\
      --ref refs/heads/main --commit 4f2a… --target shop --parameter flavour=release \\
      --invocation \"$BUILD_URL\" --key ci.key")]
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
    unlock: Unlock,
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
    let record = record::record(args, &products)?;
    let key = input::secret_key(&args.key, &args.unlock)?;
    // everything is signed before anything is written: a job must not end up with half of its evidence
    let signed = products.iter().map(|p| sign(&record, p, key.as_ref())).collect::<Result<Vec<_>, _>>()?;
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

/// The bundle and, where one is asked for, the token: both from the one record.
fn sign(
    record: &Provenance,
    product: &Product,
    key: &dyn Signer,
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
