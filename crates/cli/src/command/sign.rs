//! `portcullis sign FILE`: a release signature is a deployment. The case first, on record; then the key is opened; then the
//! signature, on record; then anybody has it.

use std::path::{Path, PathBuf};

use attest::digest::Hasher;
use attest::release::{self, Form};
use attest::secret::SignError;
use attest::{Digest, Json, Object, PublicKey, Role, Signer};
use chokepoint::Signed;
use policy::DeploymentRequest;
use tlog::write_durably;

use crate::clock;
use crate::failure::{Exit, Failure};
use crate::gate::{self, Gate, GateRuling, Others};
use crate::input::{self, Unlock};
use crate::output::Output;

/// What is signed is held in memory, once read. Sign a list of checksums of what is larger.
const MAX_FILE: u64 = 256 << 20;
const MAX_BLOCK: u64 = 512 << 10;

/// Sign a release, once it is admitted and on record
///
/// The file is read once: these bytes are decided about, and these bytes are signed. The key is opened only after the
/// decision, where the policy is met or a grant holds: neither a dry run nor an outage lets anything be signed.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:
  portcullis sign Release --form openpgp-clear --environment release/apt \\
      --bundle Release.release.json --key release.key --block shop.asc --out InRelease \\
      --book policies --trust-root trust-root.yaml \\
      --log log --log-key log.key --origin shop.example/releases
  portcullis sign SHA256SUMS --form minisign --environment release/files \\
      --as shop/SHA256SUMS --bundle SHA256SUMS.release.json --out SHA256SUMS.minisig \\
      --server https://gate.example:8443 --key files")]
pub(crate) struct Args {
    /// The file
    file: PathBuf,
    /// Where it is released, as in release/apt
    #[arg(long, value_name = "ENVIRONMENT")]
    environment: String,
    /// In which form
    #[arg(long, value_name = "FORM", value_parser = forms())]
    form: String,
    /// The release key: a file, or a pkcs11: URI; with --server the name of one that the choke point holds
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// The published OpenPGP key, as portcullis keygen --public-of KEY --user-id ID wrote it
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    block: Option<PathBuf>,
    #[command(flatten)]
    unlock: Unlock,
    /// Evidence: an envelope, lines or a list of them, or an OCI layout; may be given more than once
    #[arg(long = "bundle", value_name = "FILE")]
    bundles: Vec<PathBuf>,
    /// The URI under which it is released; without, what the environment's policy names
    #[arg(long = "as", value_name = "URI")]
    uri: Option<String>,
    /// Where the signature goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    gate: gate::Args,
}

fn forms() -> clap::builder::PossibleValuesParser {
    Form::ALL.map(Form::name).into()
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let form = Form::named(&args.form).ok_or_else(|| Failure::new("no such form"))?;
    let gate = args.gate.open()?;
    let bytes = input::read("file", &args.file, MAX_FILE)?;
    let request = request(args, &gate, &bytes)?;
    let (ruling, signature) = match gate {
        Gate::Server(..) => gate.sign_there(&request, &args.key.to_string_lossy(), form.name(), &bytes)?,
        Gate::Local(..) => {
            let block = block(args, form)?;
            // as it was judged, and not as somebody calls the file
            let name = request.artifact.uri().rsplit('/').next().unwrap_or_default().to_owned();
            fits(args, form, block.as_deref())?;
            let make = |ruling: &GateRuling, others: &Others| {
                make(args, form, block.as_deref(), (&name, &bytes), ruling, others)
            };
            gate.sign_here(request, make)?
        }
    };
    let Some(signature) = signature else { return Ok(not_signed(&ruling, output)) };
    write_durably(&args.out, signature.as_bytes()).map_err(|e| Failure::io("write", &args.out, &e))?;
    let digest = Digest::sha256(signature.as_bytes());
    let text = format!("{}signed: {}, {digest}\n", ruling.text, args.out.display());
    output.result(&text, || {
        let mut object = ruling.json.clone();
        object.set("form", form.name());
        object.set("signature", digest.to_string());
        object.with("file", args.out.display().to_string()).into()
    });
    Ok(Exit::Clean)
}

/// What is asked about the bytes that were read.
fn request(args: &Args, gate: &Gate, bytes: &[u8]) -> Result<DeploymentRequest, Failure> {
    let evidence = gate.evidence(&args.bundles)?;
    let mut hasher = Hasher::new(&Gate::mentioned(&evidence));
    hasher.update(bytes);
    let file = args.file.to_string_lossy();
    let artifact = gate.artifact(&file, hasher.finish(), args.uri.as_deref(), &args.environment)?;
    let mut request = DeploymentRequest::new(artifact, &args.environment, "sign");
    request.envelopes = evidence;
    Ok(request)
}

fn block(args: &Args, form: Form) -> Result<Option<Vec<u8>>, Failure> {
    match &args.block {
        Some(file) => input::read("OpenPGP key", file, MAX_BLOCK).map(Some),
        None if form.needs_block() => Err(Failure::new("nothing says which published OpenPGP key signs")
            .code("usage")
            .line("wanted", "--block FILE, which says when the key was made: that is a part of its name")
            .line("fix", "write one, once: portcullis keygen NAME --public-of KEY --user-id 'NAME <MAIL>'")),
        None => Ok(None),
    }
}

/// A key that cannot sign in the form is no matter for a decision. The key itself is opened once that is on record; what
/// can be seen before are the published block, and the public half that `keygen` wrote beside it. A token shows neither.
fn fits(args: &Args, form: Form, block: Option<&[u8]>) -> Result<(), Failure> {
    if let Some(block) = block {
        attest::openpgp::read_keys(block).map_err(|e| {
            let file = args.block.as_deref().unwrap_or(Path::new(""));
            Failure::new(&format!("the OpenPGP key {} cannot be read", file.display()))
                .line("wanted", &format!("the published key, for the form {}", form.name()))
                .line("found", &e.to_string())
                .line(
                    "fix",
                    "write one, once: portcullis keygen NAME --public-of KEY --user-id 'NAME <MAIL>'",
                )
        })?;
    }
    if args.key.to_str().is_some_and(pkcs11::Uri::is_meant) {
        return Ok(());
    }
    std::fs::metadata(&args.key).map_err(|e| Failure::io("read the private key", &args.key, &e))?;
    let file = args.key.with_extension("pub");
    // what is no public key there is no matter: the key is asked in the end
    let half = file.is_file().then(|| input::text("public key", &file)).transpose()?;
    let Some(half) = half.and_then(|pem| PublicKey::from_pem(&pem).ok()) else { return Ok(()) };
    release::fits(form.family(), &PublicHalf(half), block).map_err(|e| {
        Failure::new("this key does not sign in this form; nothing was decided")
            .line("found", &format!("{e}, by its public half {}", file.display()))
            .line("fix", "give a key of the kind that the form has, as docs/signing.md lists them")
    })
}

/// What can be known of a key that is not opened.
struct PublicHalf(PublicKey);

impl Signer for PublicHalf {
    fn public(&self) -> &PublicKey {
        &self.0
    }

    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, SignError> {
        Err(SignError)
    }
}

/// Opens the key and signs. Nobody has the signature yet.
fn make(
    args: &Args,
    form: Form,
    block: Option<&[u8]>,
    (name, bytes): (&str, &[u8]),
    ruling: &GateRuling,
    others: &Others,
) -> Result<(String, Signed), Failure> {
    let key = input::secret_key(&args.key, &args.unlock)?;
    refuse_shared(key.as_ref(), others)?;
    let signature = release::sign(form, key.as_ref(), block, bytes, name, clock::now(None)?);
    let signature = signature.map_err(|e| {
        Failure::new("it is admitted, and cannot be signed")
            .line("found", &e.to_string())
            .line("fix", "give a key and a file of the kind that the form has; the decision is on record")
    })?;
    let signed = Signed {
        signature: Digest::sha256(signature.as_bytes()),
        record: ruling.record.clone().unwrap_or_default(),
        file: Digest::sha256(bytes),
        environment: args.environment.clone(),
        form: form.name().to_owned(),
        key: key.public().id(),
    };
    Ok((signature, signed))
}

/// Whoever chooses what is signed must not get a word in another protocol by it.
fn refuse_shared(key: &dyn Signer, others: &Others) -> Result<(), Failure> {
    let in_root = || server::webhook::in_trust_root(key.public(), &others.root, Role::Signer);
    let log = (others.log.spki() == key.public().spki()).then(|| "the log's".to_owned());
    match log.or_else(in_root) {
        None => Ok(()),
        Some(whose) => Err(Failure::new("the release key is another's, so nothing was signed")
            .line("wanted", "a key that nothing else uses")
            .line("found", &format!("the key is {whose}"))
            .line("fix", "portcullis keygen release --algorithm ed25519")),
    }
}

fn not_signed(ruling: &GateRuling, output: &Output) -> Exit {
    let why = if ruling.is_admitted() {
        format!(
            "not signed: it is admitted by {} alone, and a signature lasts (wanted a policy that is met, or a grant)\n",
            ruling.basis
        )
    } else {
        "not signed\n".to_owned()
    };
    output.result(&format!("{}{why}", ruling.text), || {
        let mut object: Object = ruling.json.clone();
        object.set("signature", Json::Null);
        object.into()
    });
    if ruling.is_admitted() { Exit::Found } else { ruling.exit() }
}
