//! Packets and numbers, one after the other. Lengths are definite: a packet in parts has no place in a signature.

use super::OpenPgpError;

pub(super) const SIGNATURE: u8 = 2;
pub(super) const PRIMARY_KEY: u8 = 6;
pub(super) const SUBKEY: u8 = 14;

/// Reads from the front of some bytes.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], OpenPgpError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(OpenPgpError::Malformed("more bytes"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], OpenPgpError> {
        self.take(N)?.try_into().or(Err(OpenPgpError::Malformed("more bytes")))
    }

    pub(super) fn byte(&mut self) -> Result<u8, OpenPgpError> {
        self.array().map(|[byte]: [u8; 1]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, OpenPgpError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, OpenPgpError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A number: how many bits, and exactly so many.
    pub(super) fn number(&mut self) -> Result<&'a [u8], OpenPgpError> {
        let bits = usize::from(self.u16()?);
        let bytes = self.take(bits.div_ceil(8))?;
        let is_exact =
            bytes.first().is_some_and(|first| (bits - 1) % 8 == 7 - first.leading_zeros() as usize % 8);
        if is_exact && bytes.first() != Some(&0) {
            Ok(bytes)
        } else {
            Err(OpenPgpError::Malformed("a number with as many bits as it says, and more than none"))
        }
    }

    /// A length of packets in the new form, or of subpackets.
    fn length(&mut self, is_packet: bool) -> Result<usize, OpenPgpError> {
        match self.byte()? {
            short @ 0..=191 => Ok(usize::from(short)),
            255 => self.u32().map(|length| length as usize),
            224..=254 if is_packet => Err(OpenPgpError::Malformed("packets with a definite length")),
            first => Ok((usize::from(first) - 192) * 256 + usize::from(self.byte()?) + 192),
        }
    }

    /// The next packet: its tag and its body.
    pub(super) fn packet(&mut self) -> Result<(u8, &'a [u8]), OpenPgpError> {
        let header = self.byte()?;
        if header & 0x80 == 0 {
            return Err(OpenPgpError::Malformed("a packet"));
        }
        if header & 0x40 != 0 {
            let length = self.length(true)?;
            return Ok((header & 0x3f, self.take(length)?));
        }
        let length = match header & 3 {
            0 => usize::from(self.byte()?),
            1 => usize::from(self.u16()?),
            2 => self.u32()? as usize,
            _ => return Err(OpenPgpError::Malformed("packets with a definite length")),
        };
        Ok(((header >> 2) & 0x0f, self.take(length)?))
    }

    /// The next subpacket: its type with the critical bit, and its body.
    pub(super) fn subpacket(&mut self) -> Result<(u8, &'a [u8]), OpenPgpError> {
        let length = self.length(false)?;
        let mut body = Self(self.take(length)?);
        Ok((body.byte()?, body.0))
    }
}
