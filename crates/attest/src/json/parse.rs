//! Text to value, with a byte offset for everything that is wrong.

use std::collections::BTreeSet;
use std::fmt;

use super::{Exact, Json, MAX_INT, Object};

/// What one document may cost. Every bound is inclusive.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Size of the text, in bytes.
    pub bytes: usize,
    /// Nesting of arrays and objects.
    pub depth: usize,
    /// Values in all, scalars included.
    pub values: usize,
    /// Whether fractions and integers past 2^53 are kept as [`Exact`] text instead of being refused. Only for
    /// documents that others define and that are compared, hashed and kept as they are: no reader of ours takes such
    /// a number for a value.
    pub exact_numbers: bool,
}

impl Limits {
    /// The same limits, with numbers of every kind kept as they stand.
    #[must_use]
    pub fn exact(self) -> Self {
        Self { exact_numbers: true, ..self }
    }
}

impl Default for Limits {
    /// 16 MiB (GitHub's bound for one predicate), 64 levels, 500,000 values.
    fn default() -> Self {
        Self { bytes: 16 << 20, depth: 64, values: 500_000, exact_numbers: false }
    }
}

/// Why a document is refused, and at which byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// Offset from the start of the text, in bytes, from 0.
    pub offset: usize,
    /// What is wrong there.
    pub kind: JsonErrorKind,
}

/// What can be wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonErrorKind {
    /// The text ends inside a value.
    UnexpectedEnd,
    /// Another character than the grammar allows; the field says what would have been right.
    Unexpected {
        /// What the grammar allows here.
        wanted: &'static str,
    },
    /// The same key twice in one object.
    DuplicateKey(String),
    /// A number with a fraction or an exponent.
    Fraction,
    /// An integer past 2^53.
    IntegerTooLarge,
    /// Half of a surrogate pair.
    LoneSurrogate,
    /// An unknown escape.
    BadEscape,
    /// A raw control character inside a string.
    ControlCharacter,
    /// The text starts with U+FEFF.
    ByteOrderMark,
    /// Not UTF-8.
    NotUtf8,
    /// Something follows the value.
    TrailingData,
    /// More nesting than the limit.
    TooDeep(usize),
    /// More bytes than the limit.
    TooLarge(usize),
    /// More values than the limit.
    TooManyValues(usize),
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            JsonErrorKind::UnexpectedEnd => f.write_str("the JSON ends too early")?,
            JsonErrorKind::Unexpected { wanted } => write!(f, "JSON wants {wanted}")?,
            JsonErrorKind::DuplicateKey(key) => write!(f, "duplicate key {key:?}")?,
            JsonErrorKind::Fraction => {
                f.write_str("a number with a fraction or exponent (write a string)")?
            }
            JsonErrorKind::IntegerTooLarge => f.write_str("an integer past 2^53 (write a string)")?,
            JsonErrorKind::LoneSurrogate => f.write_str("half of a surrogate pair")?,
            JsonErrorKind::BadEscape => f.write_str("an unknown escape")?,
            JsonErrorKind::ControlCharacter => f.write_str("a raw control character in a string")?,
            JsonErrorKind::ByteOrderMark => f.write_str("a byte order mark")?,
            JsonErrorKind::NotUtf8 => f.write_str("not UTF-8")?,
            JsonErrorKind::TrailingData => f.write_str("more data after the JSON value")?,
            JsonErrorKind::TooDeep(limit) => write!(f, "nested deeper than {limit} levels")?,
            JsonErrorKind::TooLarge(limit) => write!(f, "larger than {limit} bytes")?,
            JsonErrorKind::TooManyValues(limit) => write!(f, "more than {limit} values")?,
        }
        write!(f, " at byte {}", self.offset)
    }
}

impl std::error::Error for JsonError {}

/// Parses one document under the default [`Limits`].
///
/// # Errors
/// [`JsonError`] with the byte offset of the first thing that is wrong.
pub fn parse(text: &[u8]) -> Result<Json, JsonError> {
    parse_with(text, Limits::default())
}

/// Parses one document under the given limits.
///
/// # Errors
/// [`JsonError`] with the byte offset of the first thing that is wrong.
pub fn parse_with(text: &[u8], limits: Limits) -> Result<Json, JsonError> {
    if text.len() > limits.bytes {
        return Err(JsonError { offset: limits.bytes, kind: JsonErrorKind::TooLarge(limits.bytes) });
    }
    if text.starts_with(b"\xEF\xBB\xBF") {
        return Err(JsonError { offset: 0, kind: JsonErrorKind::ByteOrderMark });
    }
    let text = std::str::from_utf8(text)
        .map_err(|e| JsonError { offset: e.valid_up_to(), kind: JsonErrorKind::NotUtf8 })?;
    let mut parser = Parser { text, bytes: text.as_bytes(), at: 0, depth: 0, values: 0, limits };
    let value = parser.value()?;
    parser.space();
    if parser.at < parser.bytes.len() {
        return Err(parser.error(JsonErrorKind::TrailingData));
    }
    Ok(value)
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    values: usize,
    limits: Limits,
}

impl<'a> Parser<'a> {
    fn error(&self, kind: JsonErrorKind) -> JsonError {
        JsonError { offset: self.at, kind }
    }

    fn unexpected(&self, wanted: &'static str) -> JsonError {
        match self.peek() {
            None => self.error(JsonErrorKind::UnexpectedEnd),
            Some(_) => self.error(JsonErrorKind::Unexpected { wanted }),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<Json, JsonError> {
        self.space();
        self.values += 1;
        if self.values > self.limits.values {
            return Err(self.error(JsonErrorKind::TooManyValues(self.limits.values)));
        }
        match self.peek() {
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => Err(self.unexpected("a value")),
        }
    }

    /// Runs `inner` one level deeper; recursion is bounded here and nowhere else.
    fn nested(&mut self, inner: fn(&mut Self) -> Result<Json, JsonError>) -> Result<Json, JsonError> {
        if self.depth == self.limits.depth {
            return Err(self.error(JsonErrorKind::TooDeep(self.limits.depth)));
        }
        self.depth += 1;
        self.at += 1;
        let value = inner(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Result<Json, JsonError> {
        let mut object = Object::new();
        let mut seen = BTreeSet::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(object));
        }
        loop {
            self.space();
            let key_at = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in double quotes"));
            }
            let key = self.string()?;
            if is_known(&object, &mut seen, &key) {
                return Err(JsonError { offset: key_at, kind: JsonErrorKind::DuplicateKey(key) });
            }
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("a colon"));
            }
            self.at += 1;
            let value = self.value()?;
            object.push(key, value);
            if self.end_of_list(b'}', "a comma or a closing brace")? {
                return Ok(Json::Object(object));
            }
        }
    }

    fn array(&mut self) -> Result<Json, JsonError> {
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value()?);
            if self.end_of_list(b']', "a comma or a closing bracket")? {
                return Ok(Json::Array(items));
            }
        }
    }

    fn end_of_list(&mut self, close: u8, wanted: &'static str) -> Result<bool, JsonError> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.unexpected(wanted)),
        }
    }

    fn word(&mut self, word: &'static str, value: Json) -> Result<Json, JsonError> {
        match self.bytes.get(self.at..self.at + word.len()) {
            Some(found) if found == word.as_bytes() => {
                self.at += word.len();
                Ok(value)
            }
            _ => Err(self.error(JsonErrorKind::Unexpected { wanted: "true, false or null" })),
        }
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let digits = self.at;
        let mut value: i64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            value = value.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
            self.at += 1;
        }
        if self.at == digits {
            return Err(self.unexpected("a digit"));
        }
        if self.bytes.get(digits) == Some(&b'0') && self.at > digits + 1 {
            self.at = digits;
            return Err(self.error(JsonErrorKind::Unexpected { wanted: "a number without a leading zero" }));
        }
        let is_fraction = matches!(self.peek(), Some(b'.' | b'e' | b'E'));
        if self.limits.exact_numbers && (is_fraction || value > MAX_INT || (negative && value == 0)) {
            self.fraction()?;
            // INVARIANT: a number is ASCII, so both edges are character boundaries.
            return Ok(Json::Number(Exact::checked(self.text.get(start..self.at).unwrap_or_default())));
        }
        if is_fraction {
            return Err(JsonError { offset: start, kind: JsonErrorKind::Fraction });
        }
        if value > MAX_INT {
            return Err(JsonError { offset: start, kind: JsonErrorKind::IntegerTooLarge });
        }
        Ok(Json::Int(if negative { -value } else { value }))
    }

    /// What may follow the digits before the point: `.digits`, then an exponent.
    fn fraction(&mut self) -> Result<(), JsonError> {
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.unexpected("a digit")) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let start = self.at;
            self.at += plain_run(self.bytes.get(start..).unwrap_or_default());
            // INVARIANT: a run ends before an ASCII byte or at the end, so both edges are character boundaries.
            let run = self.text.get(start..self.at).unwrap_or_default();
            if out.is_empty() && self.peek() == Some(b'"') {
                self.at += 1;
                return Ok(run.to_owned());
            }
            out.push_str(run);
            match self.peek() {
                None => return Err(self.error(JsonErrorKind::UnexpectedEnd)),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => self.escape(&mut out)?,
                Some(_) => return Err(self.error(JsonErrorKind::ControlCharacter)),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), JsonError> {
        let start = self.at;
        self.at += 1;
        let plain = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(start, out),
            _ => return Err(JsonError { offset: start, kind: JsonErrorKind::BadEscape }),
        };
        self.at += 1;
        out.push(plain);
        Ok(())
    }

    fn unicode_escape(&mut self, start: usize, out: &mut String) -> Result<(), JsonError> {
        let lone = JsonError { offset: start, kind: JsonErrorKind::LoneSurrogate };
        let first = self.hex4(start)?;
        let code = match first {
            0xD800..=0xDBFF => {
                if self.bytes.get(self.at..self.at + 2) != Some(b"\\u".as_slice()) {
                    return Err(lone);
                }
                self.at += 1;
                let second = self.hex4(start)?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return Err(lone);
                }
                0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            code => code,
        };
        out.push(char::from_u32(code).ok_or(lone)?);
        Ok(())
    }

    /// Reads `uXXXX`; the position stands on the `u`.
    fn hex4(&mut self, start: usize) -> Result<u32, JsonError> {
        let bad = JsonError { offset: start, kind: JsonErrorKind::BadEscape };
        let digits = self.bytes.get(self.at + 1..self.at + 5).ok_or_else(|| bad.clone())?;
        let mut code = 0;
        for digit in digits {
            code = code * 16 + char::from(*digit).to_digit(16).ok_or_else(|| bad.clone())?;
        }
        self.at += 5;
        Ok(code)
    }
}

/// Objects of up to 16 keys are scanned; larger ones get a set, so that a million keys cost no quadratic time.
fn is_known(object: &Object, seen: &mut BTreeSet<String>, key: &str) -> bool {
    if object.len() < 16 {
        return object.0.iter().any(|(known, _)| known == key);
    }
    if seen.is_empty() {
        seen.extend(object.0.iter().map(|(known, _)| known.clone()));
    }
    !seen.insert(key.to_owned())
}

/// How many bytes from the start are neither a quote, a backslash nor a control character. Eight at a time:
/// bundles are mostly one long base64 string.
fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut run = 0;
    for chunk in bytes.chunks_exact(8) {
        let word = u64::from_le_bytes(<[u8; 8]>::try_from(chunk).unwrap_or_default());
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let quote = has_zero(word ^ (ONES * u64::from(b'"')));
        let slash = has_zero(word ^ (ONES * u64::from(b'\\')));
        if control | quote | slash != 0 {
            break;
        }
        run += 8;
    }
    let rest = bytes.get(run..).unwrap_or_default();
    run + rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f)).unwrap_or(rest.len())
}
