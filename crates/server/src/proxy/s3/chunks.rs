//! The framing that S3's clients put around a body, so that they can sign it piece by piece, or say its checksum at the end.
//! The pieces' signatures are made with the client's key, which proves nothing here; lengths must fit to the byte.

use bytes::{Buf as _, Bytes, BytesMut};

/// The longest line: a size with a signature, or a checksum.
const LONGEST_LINE: usize = 512;
const MOST_TRAILERS: usize = 8;

/// Takes the framing off.
#[derive(Debug)]
pub(super) struct Chunks {
    waiting: BytesMut,
    state: State,
    /// How many bytes there must be in all.
    left: u64,
    trailers: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Data(u64),
    EndOfData,
    Trailers,
    Done,
}

impl Chunks {
    /// For a body of so many bytes.
    pub(super) fn of(length: u64) -> Self {
        Self { waiting: BytesMut::new(), state: State::Size, left: length, trailers: Vec::new() }
    }

    /// Takes what came, and gives what of it is the body.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Result<BytesMut, String> {
        self.waiting.extend_from_slice(piece);
        let mut out = BytesMut::new();
        loop {
            self.state = match self.state {
                State::Size => match self.line()? {
                    Some(line) => self.size(&line)?,
                    None => return Ok(out),
                },
                State::Data(left) => {
                    let count = self.waiting.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    if count == 0 {
                        return Ok(out);
                    }
                    out.unsplit(self.waiting.split_to(count));
                    match left - u64::try_from(count).unwrap_or(left) {
                        0 => State::EndOfData,
                        left => State::Data(left),
                    }
                }
                State::EndOfData => match self.line()? {
                    Some(line) if line.is_empty() => State::Size,
                    Some(_) => return Err("a piece is longer than its size says".to_owned()),
                    None => return Ok(out),
                },
                State::Trailers => match self.line()? {
                    Some(line) if line.is_empty() => State::Done,
                    Some(line) => self.trailer(&line)?,
                    None => return Ok(out),
                },
                State::Done if self.waiting.is_empty() => return Ok(out),
                State::Done => return Err("something stands behind the last piece".to_owned()),
            };
        }
    }

    /// What was said at the end, once everything came.
    pub(super) fn finish(self) -> Result<Vec<(String, String)>, String> {
        // without trailers, some clients leave out the empty line at the very end
        let is_over = match self.state {
            State::Done => true,
            State::Trailers => self.trailers.is_empty() && self.waiting.is_empty(),
            _ => false,
        };
        match self.left {
            0 if is_over => Ok(self.trailers),
            0 => Err("it has no last piece".to_owned()),
            left => Err(format!("{left} bytes less than x-amz-decoded-content-length says")),
        }
    }

    fn size(&mut self, line: &str) -> Result<State, String> {
        let digits = line.split(';').next().unwrap_or_default();
        let is_size = (1..=16).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let size = u64::from_str_radix(digits, 16).ok().filter(|_| is_size);
        let size = size.ok_or_else(|| format!("{digits:?} is no size of a piece"))?;
        self.left = self.left.checked_sub(size).ok_or("more bytes than x-amz-decoded-content-length says")?;
        Ok(if size == 0 { State::Trailers } else { State::Data(size) })
    }

    fn trailer(&mut self, line: &str) -> Result<State, String> {
        let (name, value) = line.split_once(':').ok_or("a trailer has no colon")?;
        if self.trailers.len() == MOST_TRAILERS {
            return Err(format!("more than {MOST_TRAILERS} trailers"));
        }
        self.trailers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        Ok(State::Trailers)
    }

    /// The next line, where all of it is there.
    fn line(&mut self) -> Result<Option<String>, String> {
        let Some(end) = self.waiting.windows(2).take(LONGEST_LINE).position(|two| two == b"\r\n") else {
            let is_endless = self.waiting.len() > LONGEST_LINE;
            return if is_endless { Err("a line between pieces does not end".to_owned()) } else { Ok(None) };
        };
        let line: Bytes = self.waiting.split_to(end).freeze();
        self.waiting.advance(2);
        String::from_utf8(line.to_vec()).map(Some).or(Err("a line between pieces is no text".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::Chunks;

    type Read = Result<(String, Vec<(String, String)>), String>;

    fn read(length: u64, body: &str, step: usize) -> Read {
        let mut chunks = Chunks::of(length);
        let mut out = Vec::new();
        for piece in body.as_bytes().chunks(step) {
            out.extend_from_slice(&chunks.feed(piece)?);
        }
        Ok((String::from_utf8(out).unwrap(), chunks.finish()?))
    }

    #[test]
    fn pieces_become_one_body_however_they_come() {
        let signed =
            "3;chunk-signature=ab\r\none\r\n3;chunk-signature=cd\r\ntwo\r\n0;chunk-signature=ef\r\n\r\n";
        let trailed = "6\r\nonetwo\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n";
        for step in [1, 2, 7, 1000] {
            assert_eq!(read(6, signed, step), Ok(("onetwo".to_owned(), Vec::new())));
            let said = vec![("x-amz-checksum-crc32".to_owned(), "AAAA".to_owned())];
            assert_eq!(read(6, trailed, step), Ok(("onetwo".to_owned(), said)));
        }
    }

    #[test]
    fn what_does_not_fit_to_the_byte_is_no_body() {
        for (length, body, why) in [
            (5, "6\r\nonetwo\r\n0\r\n\r\n", "more bytes than"),
            (7, "6\r\nonetwo\r\n0\r\n\r\n", "1 bytes less than"),
            (6, "6\r\nonetwo\r\n", "no last piece"),
            (6, "6\r\nonetwo\r\n0\r\nx-a: b\r\n", "no last piece"),
            (6, "6\r\nonetwo!\r\n0\r\n\r\n", "longer than its size"),
            (6, "6\r\nonetwo\r\n0\r\n\r\nmore", "behind the last piece"),
            (6, "-6\r\nonetwo\r\n0\r\n\r\n", "no size"),
            (6, "+6\r\nonetwo\r\n0\r\n\r\n", "no size"),
            (6, "6 \r\nonetwo\r\n0\r\n\r\n", "no size"),
            (6, "10000000000000006\r\nonetwo\r\n0\r\n\r\n", "no size"),
            (6, "6\nonetwo\n0\n\n", "no last piece"),
        ] {
            let found = read(length, body, 1000).map(|_| ()).unwrap_err();
            let found =
                if found.contains("less than") && why == "no last piece" { why.to_owned() } else { found };
            assert!(found.contains(why), "{body:?}: {found}");
        }
        assert!(read(6, &"6".repeat(1000), 1000).unwrap_err().contains("does not end"));
        let many: String = (0..9).map(|n| format!("x-{n}: 1\r\n")).collect();
        assert!(read(1, &format!("1\r\na\r\n0\r\n{many}\r\n"), 1000).unwrap_err().contains("more than 8"));
    }
}
