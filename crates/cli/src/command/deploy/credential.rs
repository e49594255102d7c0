//! What opens the target. It is fetched once the file is admitted, and not before; it stands on no command line and in no
//! message.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::bounded;
use crate::failure::Failure;

/// A password, a key, a token.
const MAX: u64 = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a credential is, and under which name the command gets it.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    name: String,
    from: From,
}

#[derive(Clone, Debug)]
enum From {
    File(PathBuf),
    Command(Vec<String>),
}

impl Credential {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wanted = "wanted NAME=file:PATH or NAME=command:PROGRAM ARGUMENTS";
        let (name, from) = text.split_once('=').ok_or(wanted)?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(is_name) {
            return Err(format!("{wanted}, with a name of letters, digits and _"));
        }
        let from = match from.split_once(':') {
            Some(("file", path)) if !path.is_empty() => From::File(path.into()),
            Some(("command", line)) if !line.trim().is_empty() => {
                From::Command(line.split_ascii_whitespace().map(str::to_owned).collect())
            }
            _ => return Err(wanted.to_owned()),
        };
        Ok(Self { name: name.to_owned(), from })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Fetches it. One end of a line is no part of it.
    pub(super) fn value(&self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let mut bytes = match &self.from {
            From::File(path) => self.of_file(path)?,
            From::Command(words) => self.of_command(words)?,
        };
        let end = bytes.strip_suffix(b"\n").map_or(bytes.len(), <[u8]>::len);
        bytes.truncate(end);
        if bytes.is_empty() || bytes.contains(&0) {
            return Err(self.failed("it is empty, or no text"));
        }
        Ok(bytes)
    }

    fn of_file(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let mut bytes = Zeroizing::new(Vec::new());
        let read = File::open(path).and_then(|file| file.take(MAX + 1).read_to_end(&mut bytes));
        read.map_err(|e| self.failed(&format!("{}: {e}", path.display())))?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX) {
            return Err(self.failed(&format!("{} holds more than {MAX} bytes", path.display())));
        }
        Ok(bytes)
    }

    /// What it prints may be the secret, and is not shown.
    fn of_command(&self, words: &[String]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let (program, arguments) = words.split_first().ok_or_else(|| self.failed("no program is named"))?;
        let limit = usize::try_from(MAX).unwrap_or(usize::MAX);
        let mut command = Command::new(program);
        let ended = bounded::run(command.args(arguments), Vec::new(), Instant::now() + PATIENCE, limit)
            .map_err(|e| self.failed(&format!("{program}: {e}")))?;
        let bytes = Zeroizing::new(ended.stdout);
        match ended.code {
            Some(0) => Ok(bytes),
            Some(code) => Err(self.failed(&format!("{program} ended with {code}"))),
            None => Err(self.failed(&format!("a signal ended {program}"))),
        }
    }

    fn failed(&self, found: &str) -> Failure {
        Failure::new(&format!(
            "the credential {} cannot be had; the file is admitted, and nothing was run",
            self.name
        ))
        .code("credential")
        .line("found", found)
        .line("fix", "let this user read it, or mend the program that prints it")
    }
}
