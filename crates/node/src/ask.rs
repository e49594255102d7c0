//! What containerd asks: `-name REFERENCE -digest DIGEST -stdin-media-type TYPE`, with the descriptor on standard input.

use std::fmt;
use std::io::Read;

use attest::{Digest, Json};

/// The descriptor of an image is a line.
const MAX_DESCRIPTOR: u64 = 64 << 10;
const DESCRIPTOR: &str = "application/vnd.oci.descriptor.v1+json";

/// One image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The reference that somebody wrote.
    pub name: String,
    /// What it was resolved to: these bytes are pulled.
    pub digest: Digest,
}

/// Why the question has no meaning. Then there is no answer but no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError {
    /// An argument that is unknown, stands twice, or has no value; the field is which.
    Argument(String),
    /// An argument that must be there.
    Missing(&'static str),
    /// The digest.
    Digest(String),
    /// The descriptor cannot be read; the field says why.
    Descriptor(String),
    /// The descriptor speaks of another digest.
    Differs(String),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(argument) => {
                write!(f, "the argument {argument} is unknown, stands twice or has no value")
            }
            Self::Missing(argument) => write!(f, "the argument {argument} is missing"),
            Self::Digest(why) => write!(f, "the digest cannot be read: {why}"),
            Self::Descriptor(why) => write!(f, "the descriptor cannot be read: {why}"),
            Self::Differs(other) => {
                write!(f, "the descriptor is of {other}, and not of the digest that is asked about")
            }
        }
    }
}
impl std::error::Error for AskError {}

impl Ask {
    /// Reads a question. A flag has one stroke or two.
    ///
    /// # Errors
    /// [`AskError`]: nothing is guessed.
    pub fn read(arguments: impl Iterator<Item = String>, input: impl Read) -> Result<Self, AskError> {
        let (mut name, mut digest, mut media_type) = (None, None, None);
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let (flag, inline) = match argument.split_once('=') {
                Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
                None => (argument.clone(), None),
            };
            let slot = match flag.trim_start_matches('-') {
                "name" if flag.starts_with('-') => &mut name,
                "digest" if flag.starts_with('-') => &mut digest,
                "stdin-media-type" if flag.starts_with('-') => &mut media_type,
                _ => return Err(AskError::Argument(argument)),
            };
            let value = inline.or_else(|| arguments.next()).filter(|_| slot.is_none());
            *slot = Some(value.ok_or(AskError::Argument(argument))?);
        }
        let (name, digest) =
            (name.ok_or(AskError::Missing("-name"))?, digest.ok_or(AskError::Missing("-digest"))?);
        let digest = Digest::parse(&digest).map_err(|e| AskError::Digest(e.to_string()))?;
        match media_type.as_deref() {
            None => {}
            Some(DESCRIPTOR) => check_descriptor(input, &digest)?,
            Some(other) => {
                return Err(AskError::Descriptor(format!("it is said to be {other}, wanted {DESCRIPTOR}")));
            }
        }
        Ok(Self { name, digest })
    }
}

fn check_descriptor(input: impl Read, digest: &Digest) -> Result<(), AskError> {
    let unreadable = |why: &dyn fmt::Display| AskError::Descriptor(why.to_string());
    let mut bytes = Vec::new();
    input.take(MAX_DESCRIPTOR + 1).read_to_end(&mut bytes).map_err(|e| unreadable(&e))?;
    if u64::try_from(bytes.len()).is_ok_and(|n| n > MAX_DESCRIPTOR) {
        return Err(unreadable(&format!("it has more than {MAX_DESCRIPTOR} bytes")));
    }
    let json: Json = attest::json::parse(&bytes).map_err(|e| unreadable(&e))?;
    let object = json.as_object().map_err(|e| unreadable(&e))?;
    let named = object.string("digest").map_err(|e| unreadable(&e))?;
    if Digest::parse(named).as_ref() == Ok(digest) {
        Ok(())
    } else {
        Err(AskError::Differs(named.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn ask(arguments: &[&str], input: &str) -> Result<Ask, String> {
        Ask::read(arguments.iter().map(|a| (*a).to_owned()), input.as_bytes()).map_err(|e| e.to_string())
    }

    #[test]
    fn what_containerd_sends_is_read_and_nothing_else() {
        let digest = format!("sha256:{HEX}");
        let of = |digest: &str| {
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"{digest}","size":7}}"#
            )
        };
        let with = ["-name", "r.example/shop:1", "-digest", &digest, "-stdin-media-type", DESCRIPTOR];
        let read = ask(&with, &of(&digest)).unwrap();
        assert_eq!((read.name.as_str(), read.digest.to_string()), ("r.example/shop:1", digest.clone()));
        let inline = [&*format!("--digest={digest}"), "--name=r.example/shop:1"];
        assert_eq!(ask(&inline, "").unwrap(), read);
        let other = of(&digest.replace('9', "8"));
        assert!(ask(&with, &other).unwrap_err().contains("the descriptor is of sha256:8f8"));
        let twice = of(&digest).replace("\"size\"", &format!("\"digest\":\"{digest}\",\"size\""));
        assert!(ask(&with, &twice).unwrap_err().contains("descriptor cannot be read"));
        assert!(ask(&with[..4], "").is_ok());
        assert_eq!(ask(&with[..2], "").unwrap_err(), "the argument -digest is missing");
        assert!(
            ask(&["-name", "a", "-name", "b"], "").unwrap_err().contains("-name is unknown, stands twice")
        );
        assert!(ask(&["name", "a"], "").unwrap_err().contains("the argument name"));
        assert!(
            ask(&["-name", "a", "-digest", "sha256:zz"], "")
                .unwrap_err()
                .contains("the digest cannot be read")
        );
        let mut large = with;
        large[5] = "text/plain";
        assert!(ask(&large, "").unwrap_err().contains("wanted application/vnd.oci.descriptor"));
    }
}
