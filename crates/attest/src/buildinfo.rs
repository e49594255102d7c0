//! Debian's `.buildinfo` (deb-buildinfo(5)) as provenance: what was built, of which source package, and with which
//! packages installed. It counts only clear-signed, and only as it is signed.
//!
//! The format has no builder's name, no commit, no command and no run, and none is made up. It says what it says of the
//! builder's environment by the builder's own word, and nothing in it is hermetic.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::digest::{Digest, DigestSet};
use crate::json::ShapeError;
use crate::provenance::{Dependency, Provenance, Source};
use crate::statement::{Predicate, Statement, StatementError, Subject};

mod deb822;
mod read;

pub use deb822::Paragraph;

/// The type of the statement that a `.buildinfo` amounts to.
pub const BUILDINFO: &str = "https://portcullis.dev/buildinfo/v1";
/// The build type: a Debian source package, built by dpkg.
pub const DEBIAN_BUILD_TYPE: &str = "https://portcullis.dev/build/debian/v1";
/// How the ids of its builders begin: distribution and architecture follow, as in `buildinfo:Debian/amd64`.
pub const BUILDER: &str = "buildinfo:";

/// A `.buildinfo`, parsed. Who signed it is for its envelope to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buildinfo {
    /// The source package.
    pub source: String,
    /// Its version; a rebuild without a change of the source has another one than its binaries.
    pub source_version: String,
    /// The version of the binaries.
    pub version: String,
    /// The architectures of what was built; `source` where the source package is part of it.
    pub architectures: Vec<String>,
    /// The files that make up the build.
    pub files: Vec<File>,
    /// The distribution, as the builder calls it.
    pub origin: Option<String>,
    /// The architecture on which it was built.
    pub build_architecture: String,
    /// When it was built, as the builder's clock said.
    pub date: Option<Timestamp>,
    /// Where it was built.
    pub path: Option<String>,
    /// The kernel.
    pub kernel: Option<String>,
    /// Why the build may not be like others, as dpkg found.
    pub tainted_by: Vec<String>,
    /// The packages that were installed.
    pub installed: Vec<Installed>,
    /// The variables of the environment.
    pub environment: BTreeMap<String, String>,
}

/// A file of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name, without a folder.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256. MD5 and SHA-1 decide nothing, and are not kept.
    pub digest: Digest,
}

/// A package that was installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Its name.
    pub name: String,
    /// Its architecture, where it is not the builder's own.
    pub architecture: Option<String>,
    /// Its version.
    pub version: String,
}

/// Whether some bytes are a `.buildinfo` without a signature.
pub(crate) fn is_unsigned(bytes: &[u8]) -> bool {
    bytes.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"format:"))
}

impl Buildinfo {
    /// Parses the text of a `.buildinfo`, as it is signed.
    ///
    /// # Errors
    /// [`ShapeError`] with the field, what was wanted and what is there.
    pub fn parse(text: &str) -> Result<Self, ShapeError> {
        read::read(&deb822::Paragraph::parse(text)?)
    }

    /// What it says, in the words of provenance.
    #[must_use]
    pub fn provenance(&self) -> Provenance {
        let origin = self.origin.as_deref().unwrap_or_default();
        let package = |name: &str, version: &str, architecture: Option<&str>| {
            let distribution = origin.to_ascii_lowercase();
            let namespace = if distribution.is_empty() { distribution } else { format!("{distribution}/") };
            let qualifier = architecture.map(|a| format!("?arch={a}")).unwrap_or_default();
            format!("pkg:deb/{namespace}{}@{}{qualifier}", encoded(name), encoded(version))
        };
        let dependency = |installed: &Installed| Dependency {
            name: Some(installed.name.clone()),
            uri: package(&installed.name, &installed.version, installed.architecture.as_deref()),
            ..Dependency::default()
        };
        Provenance {
            format: "buildinfo/1.0".to_owned(),
            build_type: DEBIAN_BUILD_TYPE.to_owned(),
            builder_id: format!("{BUILDER}{origin}/{}", self.build_architecture),
            source: Some(Source {
                repository: package(&self.source, &self.source_version, Some("source")),
                ..Source::default()
            }),
            target: Some(self.source.clone()),
            dependencies: self.installed.iter().map(dependency).collect(),
            environment: self.said_of_the_environment(),
            finished: self.date,
            ..Provenance::default()
        }
    }

    /// The variables, and beside them the fields about the machine under their own names, which no variable can have.
    fn said_of_the_environment(&self) -> BTreeMap<String, String> {
        let tainted = (!self.tainted_by.is_empty()).then(|| self.tainted_by.join(" "));
        let fields = [
            ("Build-Path", self.path.clone()),
            ("Build-Kernel-Version", self.kernel.clone()),
            ("Build-Tainted-By", tainted),
        ];
        let mut said = self.environment.clone();
        said.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        said
    }

    /// The statement that the text of a `.buildinfo` amounts to: its provenance, of every file that it lists.
    pub(crate) fn statement_of(text: &str) -> Result<Statement, StatementError> {
        let read = Self::parse(text)?;
        let subject =
            |file: &File| Subject { name: file.name.clone(), digests: DigestSet::from(file.digest.clone()) };
        Ok(Statement {
            subjects: read.files.iter().map(subject).collect(),
            predicate_type: BUILDINFO.to_owned(),
            predicate: Predicate::Provenance(Box::new(read.provenance())),
        })
    }
}

/// A name or version as package URLs write it.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
