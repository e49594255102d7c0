//! `{"artifact": "shop-1.4.tar.gz", "digest": "sha256:…", "bundles": ["shop.sigstore.json"]}`: which release should run,
//! by names of files that lie beside it. It is believed about nothing: whoever writes it only says where to look.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use attest::json::ShapeError;
use attest::{Algorithm, Digest, Envelope, Json};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use server::{Client, ClientError, ClientTls};

use super::super::releases;
use super::config::Config;
use crate::failure::Failure;

pub(super) const ARTIFACT: &str = "artifact";
const MAX_POINTER: u64 = 64 << 10;
const MAX_BUNDLES: usize = 64;
/// A release in a folder. One that is fetched is in memory meanwhile.
const MAX_ARTIFACT: u64 = 16 << 30;
const MAX_FETCHED: u64 = 512 << 20;

pub(super) struct Pointer {
    /// All of it: another text is another wish.
    pub(super) text: String,
    pub(super) digest: Digest,
    artifact: String,
    bundles: Vec<String>,
}

impl Pointer {
    pub(super) fn read(config: &Config) -> Result<Self, Failure> {
        let place = Place::of(config);
        let mut bytes = Vec::new();
        place.copy(place.name, &mut bytes, MAX_POINTER)?;
        Self::parse(&bytes).map_err(|e| {
            Failure::new(&format!("the pointer {} cannot be read", config.pointer)).line("found", &e.to_string()).line(
                "wanted",
                "{\"artifact\": NAME, \"digest\": \"sha256:HEX\", \"bundles\": [NAME…]}, of files beside it",
            )
        })
    }

    fn parse(bytes: &[u8]) -> Result<Self, ShapeError> {
        let json = attest::json::parse(bytes).map_err(|e| ShapeError::new("", "JSON", &e.to_string()))?;
        let object = json.as_object()?;
        if let Some((key, _)) =
            object.iter().find(|(key, _)| !["artifact", "digest", "bundles"].contains(key))
        {
            return Err(ShapeError::new(key, "artifact, digest and bundles, and nothing else", "this"));
        }
        let digest = Digest::parse(object.string("digest")?);
        let digest = digest.map_err(|e| ShapeError::new("digest", "sha256:HEX", &e.to_string()))?;
        if digest.algorithm() != Algorithm::Sha256 {
            return Err(ShapeError::new("digest", "sha256:HEX", digest.algorithm().name()));
        }
        let bundles = object.array("bundles")?;
        if bundles.len() > MAX_BUNDLES {
            return Err(ShapeError::new(
                "bundles",
                &format!("at most {MAX_BUNDLES}"),
                &bundles.len().to_string(),
            ));
        }
        let bundles = bundles.iter().map(|bundle| name("bundles", bundle));
        Ok(Self {
            text: json.to_string(),
            digest,
            artifact: name("artifact", object.get("artifact").unwrap_or(&Json::Null))?,
            bundles: bundles.collect::<Result<_, _>>()?,
        })
    }

    /// Brings artifact and bundles into a folder, whole or not at all. They are judged from there.
    pub(super) fn fetch(&self, config: &Config, kept: &Path) -> Result<(), Failure> {
        let partial = kept.with_extension("partial");
        let failed = |e: io::Error| Failure::io("keep the release in", &partial, &e);
        remove(&partial).map_err(failed)?;
        crate::keys::folder(&partial)?;
        let place = Place::of(config);
        let fetch = |name: &str, to: &str, limit: u64| {
            let mut file = File::create(partial.join(to)).map_err(failed)?;
            place.copy(name, &mut file, limit)?;
            file.sync_all().map_err(failed)
        };
        let limit = u64::try_from(Envelope::MAX_BYTES).unwrap_or(u64::MAX);
        for (number, bundle) in self.bundles.iter().enumerate() {
            fetch(bundle, &format!("{number:02}-{bundle}"), limit)?;
        }
        // the same release with other evidence brings only that
        let there = kept.join(ARTIFACT);
        if there.exists() {
            fs::hard_link(&there, partial.join(ARTIFACT)).map_err(failed)?;
        } else {
            fetch(&self.artifact, ARTIFACT, MAX_ARTIFACT)?;
        }
        releases::put(&partial, kept).map_err(failed)
    }
}

/// The bundles of a release that was brought, in the order in which the pointer names them.
pub(super) fn bundles(kept: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |e: io::Error| Failure::io("read the release kept in", kept, &e);
    let mut files = Vec::new();
    for entry in fs::read_dir(kept).map_err(failed)? {
        files.push(entry.map_err(failed)?.path());
    }
    files.retain(|file| file.file_name().is_some_and(|name| name != ARTIFACT));
    files.sort();
    Ok(files)
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A file beside the pointer: no way to anywhere else.
fn name(key: &str, value: &Json) -> Result<String, ShapeError> {
    let Json::String(name) = value else {
        return Err(ShapeError::new(key, "names of files", "something else"));
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    if name.is_empty() || name.len() > 200 || name.starts_with('.') || !name.chars().all(is_plain) {
        return Err(ShapeError::new(
            key,
            "names of files beside it, of letters, digits, `.`, `_`, `-` and `+`",
            name,
        ));
    }
    Ok(name.clone())
}

/// A plain file in a folder. Whoever may write there may be less than this user: a link would have the agent read for him
/// what he may not, and a pipe would have it wait for ever.
fn below(folder: &str, name: &str) -> io::Result<File> {
    let folder = File::open(if folder.is_empty() { "/" } else { folder })?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = openat2(folder, name, flags, Mode::empty(), resolve).map_err(|e| match e {
        Errno::XDEV => io::Error::other("it leads out of its folder"),
        other => other.into(),
    });
    let file = File::from(file?);
    let is_plain = file.metadata()?.is_file();
    if is_plain { Ok(file) } else { Err(io::Error::other("it is no plain file")) }
}

/// Where the pointer is: everything else lies beside it.
struct Place<'a> {
    config: &'a Config,
    folder: &'a str,
    name: &'a str,
}

impl<'a> Place<'a> {
    fn of(config: &'a Config) -> Self {
        let (folder, name) = config.pointer.rsplit_once('/').unwrap_or((".", &config.pointer));
        Self { config, folder, name }
    }

    /// Copies a file of at most so many bytes.
    fn copy(&self, name: &str, to: &mut dyn io::Write, limit: u64) -> Result<(), Failure> {
        if self.folder.starts_with("https://") {
            let bytes = self.get(name, limit.min(MAX_FETCHED)).map_err(|e| {
                Failure::new(&format!("{}/{name} cannot be fetched", self.folder))
                    .line("found", &e.to_string())
            })?;
            return to.write_all(&bytes).map_err(|e| Failure::io("keep", Path::new(name), &e));
        }
        let path = Path::new(self.folder).join(name);
        let failed = |e| Failure::io("read", &path, &e);
        let file = below(self.folder, name).map_err(failed)?;
        let count = io::copy(&mut file.take(limit + 1), to).map_err(failed)?;
        if count > limit {
            return Err(Failure::new(&format!("{} is too large", path.display()))
                .line("wanted", &format!("at most {limit} bytes")));
        }
        Ok(())
    }

    fn get(&self, name: &str, limit: u64) -> Result<Vec<u8>, ClientError> {
        let tls = ClientTls { ca: self.config.ca.clone(), identity: None };
        let client = Client::new(self.folder, &tls, None)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(ClientError::Io)?.block_on(async {
            let answer = client.send("GET", &format!("/{name}"), &[], Vec::new()).await?;
            if answer.status != 200 {
                return Err(ClientError::Status(answer.status));
            }
            tokio::time::timeout(super::PATIENCE, answer.all(limit)).await.or(Err(ClientError::Late))?
        })
    }
}
