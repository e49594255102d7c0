//! `portcullis trust-root …`: changes of who may say what, as text for review.

mod sigstore;

use std::path::{Path, PathBuf};

use attest::note::NoteKey;
use attest::trust::edit::{Change, EditError, change, weaknesses};
use attest::trust::{Recall, Revocation};
use attest::{Digest, Json, Object, PublicKey, TrustRoot};
use jiff::Timestamp;

use crate::clock;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::keys;
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Does it load, and is there something in it that is probably not meant?
    Check {
        /// The trust root
        file: PathBuf,
        /// The time at which keys must count; now without
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
    /// Give a name another key, and end its old ones
    #[command(after_help = "Example:
  portcullis trust-root rotate trust-root.yaml official-ci --new-key ci-2027.pub \\
      --from 2026-12-01 --until-old 2027-01-01 --write")]
    Rotate {
        #[command(flatten)]
        place: Place,
        /// Whose key it is
        name: String,
        /// The public key that comes
        #[arg(long, value_name = "FILE")]
        new_key: PathBuf,
        /// First moment at which it counts
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Last moment at which the old keys count; they stay as they are without
        #[arg(long, value_name = "TIME")]
        until_old: Option<String>,
    },
    /// Nothing that a key signed after a point counts any more
    #[command(
        after_help = "A signature without a trusted time, or a position in the log below --size, counts as after.

Example:
  portcullis trust-root revoke trust-root.yaml --key ci.pub --from 2026-11-20T14:00:00Z \\
      --reason 'the signer was broken into, INC-42' --log builds --size 812 --write"
    )]
    Revoke {
        #[command(flatten)]
        place: Place,
        /// A public key's file or id, or a name, for all its keys; may be given more than once
        #[arg(long = "key", value_name = "PUB_OR_NAME", required = true)]
        keys: Vec<String>,
        /// The last moment at which the key was surely in good hands
        #[arg(long, value_name = "TIME")]
        from: String,
        /// Why, in one line: whoever is refused reads it
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// The log in which older signatures are known by their position
        #[arg(long, value_name = "NAME", requires = "size")]
        log: Option<String>,
        /// How many entries that log had at the moment
        #[arg(long, value_name = "N", requires = "log")]
        size: Option<u32>,
    },
    /// Refuse part of what a builder made, although its signatures are good
    #[command(
        disable_version_flag = true,
        after_help = "What is given together must hold together: a version and a time are that version at that time.

Example:
  portcullis trust-root recall trust-root.yaml official-ci --version '>=2.6.0, <2.6.7' \\
      --reason 'it leaked between builds, INC-43' --write"
    )]
    Recall {
        #[command(flatten)]
        place: Place,
        /// The builder's name
        builder: String,
        /// Versions of the builder
        #[arg(long, value_name = "RANGE")]
        version: Option<String>,
        /// A tool that was used
        #[arg(long, value_name = "sha256:HEX")]
        tool: Option<String>,
        /// Builds that ended at this time or later
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Builds that ended at this time or earlier
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Why, in one line: whoever is refused reads it
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Sigstore instances: whose certificates and logs count
    #[command(subcommand)]
    Sigstore(sigstore::Command),
}

/// What is changed, and where the result goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The trust root
    file: PathBuf,
    /// Change the file; without, the difference is only shown
    #[arg(long, conflicts_with = "out")]
    write: bool,
    /// Write the changed trust root to another file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Check { file, at } => check(file, at.as_deref(), output),
        Command::Rotate { place, name, new_key, from, until_old } => {
            let wanted = Change::Rotate {
                name: name.clone(),
                new: public_key(new_key)?,
                from: time(from.as_deref())?,
                until_old: time(until_old.as_deref())?,
            };
            apply(place, &wanted, output)
        }
        Command::Revoke { place, keys, from, reason, log, size } => {
            let position = log.clone().zip(size.map(u64::from));
            let from = read_time(from)?;
            let revocation = Revocation { from, position, reason: reason.clone() };
            let root = input::trust_root(&place.file)?;
            let mut ids = Vec::new();
            for key in keys {
                ids.extend(key_ids(&root, key)?);
            }
            apply(place, &Change::Revoke { keys: ids, revocation }, output)
        }
        Command::Recall { place, builder, version, tool, from, until, reason } => {
            let (from, until) = (time(from.as_deref())?, time(until.as_deref())?);
            let window = (from.is_some() || until.is_some())
                .then(|| (from.unwrap_or(Timestamp::MIN), until.unwrap_or(Timestamp::MAX)));
            let recall = Recall {
                version: version.as_deref().map(versions).transpose()?,
                tool: tool.as_deref().map(digest).transpose()?,
                window,
                reason: reason.clone(),
            };
            apply(place, &Change::Recall { builder: builder.clone(), recall }, output)
        }
        Command::Sigstore(command) => sigstore::run(command, output),
    }
}

fn check(file: &Path, at: Option<&str>, output: &Output) -> Result<Exit, Failure> {
    let text = input::text("trust root", file)?;
    let name = file.display().to_string();
    let at = clock::now(at)?;
    // a person reads it: whole seconds
    let at = Timestamp::from_second(at.as_second()).unwrap_or(at);
    let found = weaknesses(&name, &text, at).map_err(|e| Failure::load("trust-root-invalid", e))?;
    if !found.is_empty() {
        return Err(Failure::load("trust-root-doubtful", found).found());
    }
    let root = input::trust_root(file)?;
    let (names, keys) = (root.principals().count(), root.principals().map(|p| p.keys.len()).sum::<usize>());
    let identities = match root.principals().map(|p| p.identities.len()).sum::<usize>() {
        0 => String::new(),
        count => format!(" and {count} certificate identities"),
    };
    let human = format!("{name}: version {}, {names} names with {keys} keys{identities}\n", root.version());
    output.result(&human, || {
        let object = Object::new().with("file", name.as_str()).with("version", number(root.version()));
        Json::from(object.with("digest", root.digest().to_string()))
    });
    Ok(Exit::Clean)
}

/// Shows the difference, and writes it only where that was asked for.
fn apply(place: &Place, wanted: &Change, output: &Output) -> Result<Exit, Failure> {
    let text = input::text("trust root", &place.file)?;
    let changed = change(&place.file.display().to_string(), &text, wanted).map_err(failure)?;
    let target = match &place.out {
        Some(out) if out.exists() => {
            return Err(Failure::new(&format!("{} is there already", out.display()))
                .line("fix", "name another file, or change the trust root in its place with --write"));
        }
        Some(out) => Some(out),
        None => place.write.then_some(&place.file),
    };
    if let Some(target) = target {
        replace(target, &changed.text)?;
    }
    let after = match target {
        Some(target) => {
            format!("wrote {}, version {}; have it reviewed\n", target.display(), changed.version)
        }
        None => "nothing was written; add --write, or --out FILE\n".to_owned(),
    };
    output.result(&changed.diff, || {
        let object = Object::new().with("file", place.file.display().to_string());
        let mut object = object.with("version", number(changed.version)).with("diff", changed.diff.as_str());
        object.set_some("written", target.map(|t| t.display().to_string()));
        object.into()
    });
    output.progress(after.trim_end());
    Ok(Exit::Clean)
}

/// The file behind a link is replaced, not the link, and stays as readable as it was.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let permissions = std::fs::metadata(&real).map(|m| m.permissions());
    keys::write(&real, text)?;
    match permissions {
        Ok(permissions) => std::fs::set_permissions(&real, permissions)
            .map_err(|e| Failure::io("set the permissions of", &real, &e)),
        Err(_) => Ok(()),
    }
}

fn failure(error: EditError) -> Failure {
    let failed = |e: &EditError| Failure::new("the trust root is not changed").line("found", &e.to_string());
    match error {
        EditError::Load(errors) => Failure::load("trust-root-invalid", errors),
        EditError::NoKey(_) => {
            failed(&error).line("fix", "check that it is the public half, and this trust root's")
        }
        EditError::After(errors) => {
            let failed = failed(&EditError::After(errors.clone()));
            match errors.first().and_then(|e| e.fix.as_deref().or(e.wanted.as_deref())) {
                Some(fix) => failed.line("fix", fix),
                None => failed,
            }
        }
        EditError::Gap => failed(&error).line("fix", "let both count for a while: --until-old after --from"),
        EditError::IsRevoked { .. } => {
            failed(&error).line("fix", "to move the point back, edit the line by hand, and have it reviewed")
        }
        EditError::Nothing => failed(&error).line("fix", "give --version, --tool, --from or --until"),
        EditError::Reason => failed(&error).line("fix", "say in --reason what whoever is refused must know"),
        e => failed(&e),
    }
}

fn public_key(path: &Path) -> Result<PublicKey, Failure> {
    PublicKey::from_pem(&input::text("public key", path)?).map_err(|e| unusable(path, &e))
}

/// The keys of a file in any form in which a trust root lists them.
fn public_keys(path: &Path) -> Result<Vec<PublicKey>, Failure> {
    PublicKey::from_listed(&input::text("public key", path)?).map_err(|e| unusable(path, &e))
}

fn unusable(path: &Path, error: &attest::key::KeyError) -> Failure {
    Failure::new(&format!("the public key {} cannot be used", path.display()))
        .line("found", &error.to_string())
}

/// The keys that somebody means: a file's, one by its id, or all of a name.
fn key_ids(root: &TrustRoot, text: &str) -> Result<Vec<String>, Failure> {
    if Path::new(text).is_file() {
        return Ok(public_keys(Path::new(text))?.iter().map(PublicKey::id).collect());
    }
    if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(vec![text.to_ascii_lowercase()]);
    }
    if let Some(principal) = root.principal(text) {
        let open = principal.keys.iter().filter(|k| k.revoked.is_none());
        let open: Vec<String> = open.map(|k| k.key.id()).collect();
        if open.is_empty() {
            return Err(Failure::new("the trust root is not changed")
                .line("found", &format!("`{text}` has no key that is not revoked already")));
        }
        return Ok(open);
    }
    let names: Vec<&str> = root.principals().map(|p| p.name.as_str()).collect();
    let failure = Failure::new(&format!("{text} is no file with a public key, no key's id and no name"));
    Err(match attest::yaml::suggest(text, &names) {
        Some(near) => failure.line("fix", &format!("write `{near}`")),
        None if NoteKey::parse(text).is_some() || root.log(text).is_some() => {
            failure.line("fix", "a log's or witness's key is not revoked: take it out of the trust root")
        }
        None => failure.line("fix", "name the .pub file, or whose key it is"),
    })
}

fn versions(text: &str) -> Result<semver::VersionReq, Failure> {
    semver::VersionReq::parse(text).map_err(|e| {
        Failure::new(&format!("`{text}` is no range of versions"))
            .line("found", &e.to_string())
            .line("wanted", "a range, as in '>=2.6.0, <2.6.7'")
    })
}

fn digest(text: &str) -> Result<Digest, Failure> {
    Digest::parse(text)
        .map_err(|e| Failure::new(&format!("`{text}` is no digest")).line("found", &e.to_string()))
}

fn time(text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    text.map(read_time).transpose()
}

/// A time, or a day from its beginning.
fn read_time(text: &str) -> Result<Timestamp, Failure> {
    let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    attest::time::parse_time(&full).ok_or_else(|| {
        Failure::new("the time cannot be read")
            .line("wanted", "a time in UTC, as in 2026-11-22T09:00:00Z, or a date")
            .line("found", text)
    })
}

fn number(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}
