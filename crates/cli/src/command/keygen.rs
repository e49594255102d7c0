//! `portcullis keygen NAME`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use attest::openpgp::SigningKey;
use attest::{Json, Object, Scheme, SecretKey, Signer as _, minisign};
use clap::ValueEnum;
use tlog::LogSigner;

use crate::clock;
use crate::failure::{Exit, Failure};
use crate::input::{self, Unlock};
use crate::output::Output;

/// Make a key pair
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  portcullis keygen ci --passphrase-file ci.pass
  portcullis keygen demo --no-passphrase --algorithm ed25519
  portcullis keygen shop --public-of release.key --form openpgp --user-id 'Shop <apt@shop.example>'
  portcullis keygen ci \\
      --public-of 'pkcs11:token=portcullis;object=ci?module-path=/PATH.so&pin-source=file:/run/pin'")]
pub(crate) struct Args {
    /// The files are NAME.key (PKCS#8 PEM) and NAME.pub (SPKI PEM)
    name: PathBuf,
    /// The kind of key
    #[arg(long, value_enum, default_value = "p256")]
    algorithm: Algorithm,
    /// Do not encrypt the private key
    #[arg(long, conflicts_with = "passphrase_file")]
    no_passphrase: bool,
    /// Make no key: write the public half of this one, a file or a pkcs11: URI, to NAME.pub
    #[arg(long, value_name = "KEY", conflicts_with_all = ["algorithm", "no_passphrase"])]
    public_of: Option<PathBuf>,
    /// The form of that: SPKI, for trust roots and cosign, to NAME.pub; OpenPGP, for apt's Signed-By, to NAME.asc; minisign's
    /// to NAME.minisign.pub
    #[arg(long, value_enum, default_value = "spki", requires = "public_of")]
    form: Form,
    /// Whose key it is, as OpenPGP shows it: `NAME <MAIL>`
    #[arg(long, value_name = "ID", required_if_eq("form", "openpgp"))]
    user_id: Option<String>,
    #[command(flatten)]
    unlock: Unlock,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Spki,
    #[value(name = "openpgp")]
    OpenPgp,
    Minisign,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Algorithm {
    #[value(name = "p256")]
    P256,
    #[value(name = "p384")]
    P384,
    #[value(name = "ed25519")]
    Ed25519,
    #[value(name = "ml-dsa-65")]
    MlDsa65,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    if let Some(key) = &args.public_of {
        return public_of(key, args, output);
    }
    let scheme = match args.algorithm {
        Algorithm::P256 => Scheme::P256,
        Algorithm::P384 => Scheme::P384,
        Algorithm::Ed25519 => Scheme::Ed25519,
        Algorithm::MlDsa65 => Scheme::MlDsa65,
    };
    let passphrase = args.unlock.passphrase.read()?;
    if passphrase.is_none() && !args.no_passphrase {
        return Err(Failure::new("no passphrase for the private key")
            .line("fix", "give one: --passphrase-file FILE, or the variable PORTCULLIS_PASSPHRASE")
            .line("or", "leave the key unencrypted: --no-passphrase"));
    }
    let passphrase = passphrase.filter(|_| !args.no_passphrase);
    let key = make(scheme)?;
    let (private, public) = (extended(&args.name, "key"), extended(&args.name, "pub"));
    let pem = key
        .to_pem(passphrase.as_ref().map(|p| p.as_bytes()))
        .map_err(|e| Failure::new("the key cannot be written").line("found", &e.to_string()))?;
    write_new(&public, key.public().to_pem().as_bytes(), 0o644)?;
    if let Err(e) = write_new(&private, pem.as_bytes(), 0o600) {
        // a public key without its private one helps nobody
        std::fs::remove_file(&public).ok();
        return Err(e);
    }
    let human = format!(
        "{}  private, keep it secret\n{}  public, for the trust root\n",
        private.display(),
        public.display()
    );
    output.result(&human, || {
        let object = Object::new()
            .with("private", private.display().to_string())
            .with("public", public.display().to_string())
            .with("algorithm", scheme.name())
            .with("id", key.public().id());
        Json::from(object)
    });
    Ok(Exit::Clean)
}

/// The public half of a key there is: what a trust root needs of a key that never leaves its token.
fn public_of(key: &Path, args: &Args, output: &Output) -> Result<Exit, Failure> {
    let key = input::secret_key(key, &args.unlock)?;
    let (extension, text, purpose) = match args.form {
        Form::Spki => ("pub", key.public().to_pem(), "the trust root"),
        Form::OpenPgp => {
            ("asc", openpgp_block(key.as_ref(), args)?, "Signed-By, and portcullis sign --block")
        }
        Form::Minisign => {
            ("minisign.pub", minisign::public_key(key.public()).map_err(|e| no_form(&e))?, "minisign -p")
        }
    };
    let path = extended(&args.name, extension);
    write_new(&path, text.as_bytes(), 0o644)?;
    output.result(&format!("{}  public, for {purpose}\n", path.display()), || {
        let object = Object::new().with("public", path.display().to_string());
        let object = object.with("algorithm", key.public().scheme().name());
        Json::from(object.with("id", key.public().id()))
    });
    Ok(Exit::Clean)
}

/// The key's time of creation is now, and is read from this file ever after: written again, it is another key's.
fn openpgp_block(key: &LogSigner, args: &Args) -> Result<String, Failure> {
    let now = clock::now(None)?;
    let user_id = args.user_id.as_deref().unwrap_or_default();
    let block = SigningKey::new(key, now).and_then(|own| own.block(user_id, now));
    block.map_err(|e| no_form(&e))
}

fn no_form(error: &dyn std::fmt::Display) -> Failure {
    Failure::new("the key cannot be written in this form").line("found", &error.to_string())
}

/// A new key.
pub(crate) fn make(scheme: Scheme) -> Result<SecretKey, Failure> {
    SecretKey::generate(scheme).map_err(|e| Failure::new("no key can be made").line("found", &e.to_string()))
}

fn extended(name: &Path, extension: &str) -> PathBuf {
    let mut name = name.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// Writes a file that must not be there yet; a failure leaves nothing behind.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(|e| {
            match e.kind() {
                std::io::ErrorKind::AlreadyExists => Failure::new(&format!(
                    "{} is there already",
                    path.display()
                ))
                .line("fix", "choose another name, or remove the old file first; it is never overwritten"),
                _ => Failure::io("write", path, &e),
            }
        })?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(|e| {
        std::fs::remove_file(path).ok();
        Failure::io("write", path, &e)
    })
}
