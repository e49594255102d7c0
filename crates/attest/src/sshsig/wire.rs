//! The strings and numbers of RFC 4251, section 5.

use super::SshError;

pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], SshError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(SshError::Malformed("more bytes"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn u32(&mut self) -> Result<u32, SshError> {
        let bytes = self.take(4)?.try_into().or(Err(SshError::Malformed("more bytes")))?;
        Ok(u32::from_be_bytes(bytes))
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], SshError> {
        let length = self.u32()? as usize;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, SshError> {
        let text = std::str::from_utf8(self.string()?).or(Err(SshError::Malformed("names in UTF-8")))?;
        if text.contains('\0') { Err(SshError::Malformed("names without NUL")) } else { Ok(text) }
    }

    /// A positive number without needless zeros in front.
    pub(super) fn number(&mut self) -> Result<&'a [u8], SshError> {
        match self.string()? {
            [0, rest @ ..] if rest.first().is_some_and(|first| *first >= 0x80) => Ok(rest),
            number @ [1..0x80, ..] => Ok(number),
            _ => Err(SshError::Malformed("positive numbers in their shortest form")),
        }
    }

    pub(super) fn finish(&self) -> Result<(), SshError> {
        if self.0.is_empty() { Ok(()) } else { Err(SshError::Malformed("nothing more")) }
    }
}

/// A string with its length in front.
pub(super) fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), bytes].concat()
}
