//! A strict subset of YAML 1.2 with the place of everything: what people write and review.
//!
//! No anchors, aliases, tags, merges, duplicate keys or second documents. A plain scalar that another reader would
//! take for a number, a boolean or nothing is no text: it must be quoted. So a file has one meaning everywhere.

use std::fmt;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

mod load;

pub use load::{Fields, LoadError, Problems, suggest};

/// Where something stands: file, line and column, both from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file as the person named it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where its first character stands.
    pub place: Place,
    /// The value.
    pub value: Value,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A scalar; `plain` where it stands without quotes and could be read as something else than text.
    Scalar {
        /// The characters.
        text: String,
        /// Whether it stands without quotes.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A map; keys are unique.
    Map(Vec<(Node, Node)>),
}

/// A policy is a page; a trust root of a large company some thousand lines.
const MAX_BYTES: usize = 4 << 20;
const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 200_000;

impl Node {
    /// Parses one document.
    ///
    /// # Errors
    /// [`LoadError`] with the place of the first thing that is wrong.
    pub fn parse(file: &str, text: &str) -> Result<Self, LoadError> {
        let mut reader =
            Reader { file: file.into(), nodes: 0, parser: Parser::new_from_str(text).peekable() };
        let start = reader.place(1, 0);
        if text.len() > MAX_BYTES {
            return Err(LoadError::new(&start, "the file is too large")
                .wanted(&format!("at most {MAX_BYTES} bytes"))
                .found(&format!("{} bytes", text.len())));
        }
        if text.trim().is_empty() {
            return Err(
                LoadError::new(&start, "the file is empty").fix("see `portcullis init` for an example")
            );
        }
        let node = reader.document()?;
        match reader.next()? {
            (Event::StreamEnd, _) => Ok(node),
            (_, span) => Err(LoadError::new(&reader.at(&span), "a second document in the file")
                .fix("keep one document a file; remove everything from this `---` on")),
        }
    }
}

struct Reader<'a> {
    file: Arc<str>,
    nodes: usize,
    parser: std::iter::Peekable<Parser<'a, saphyr_parser::StrInput<'a>>>,
}

impl<'a> Reader<'a> {
    fn place(&self, line: usize, column: usize) -> Place {
        Place { file: Arc::clone(&self.file), line, column: column.saturating_add(1) }
    }

    fn at(&self, span: &Span) -> Place {
        self.place(span.start.line(), span.start.col())
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), LoadError> {
        match self.parser.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(e)) => {
                let place = self.place(e.marker().line(), e.marker().col());
                Err(LoadError::new(&place, &format!("not YAML: {}", e.info().to_lowercase()))
                    .fix("check indentation, quotes and colons on this line and the one before"))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn document(&mut self) -> Result<Node, LoadError> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(_), _) => {}
                (event, span) => {
                    let node = self.node(event, &span, 0)?;
                    return match self.next()? {
                        (Event::DocumentEnd, _) => Ok(node),
                        (_, span) => Err(LoadError::new(&self.at(&span), "more than one value in the file")
                            .fix("keep one map a file")),
                    };
                }
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Node, LoadError> {
        let place = self.at(span);
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return Err(LoadError::new(&place, "the file is nested too deeply or has too many values")
                .fix("split it into several files"));
        }
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(anchor, tag)
            | Event::MappingStart(anchor, tag) => (*anchor, tag.is_some()),
            _ => (0, false),
        };
        if anchor != 0 || matches!(event, Event::Alias(_)) {
            return Err(LoadError::new(&place, "anchors and aliases are not allowed")
                .fix("write the value out where it is used: a reviewer sees what it means there"));
        }
        if tag {
            return Err(
                LoadError::new(&place, "tags are not allowed").fix("remove the word that starts with `!`")
            );
        }
        let value = match event {
            Event::Scalar(text, style, ..) => {
                Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain }
            }
            Event::SequenceStart(..) => self.list(depth)?,
            Event::MappingStart(..) => self.map(depth)?,
            _ => {
                return Err(LoadError::new(&place, "a value is missing")
                    .fix("write one; see `portcullis init` for an example"));
            }
        };
        Ok(Node { place, value })
    }

    fn list(&mut self, depth: usize) -> Result<Value, LoadError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, span) => items.push(self.node(event, &span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, LoadError> {
        let mut pairs: Vec<(Node, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(Value::Map(pairs));
            }
            let key = self.node(event, &span, depth + 1)?;
            let Value::Scalar { text, .. } = &key.value else {
                return Err(
                    LoadError::new(&key.place, "a key that is no text").fix("write the key as a word")
                );
            };
            if text == "<<" {
                return Err(
                    LoadError::new(&key.place, "merge keys are not allowed").fix("write the keys out")
                );
            }
            if let Some((first, _)) = pairs.iter().find(|(k, _)| k.value == key.value) {
                return Err(LoadError::new(&key.place, &format!("the key `{text}` stands twice"))
                    .found(&format!("first at {}", first.place))
                    .fix("remove one of the two"));
            }
            let (event, span) = self.next()?;
            let value = self.node(event, &span, depth + 1)?;
            pairs.push((key, value));
        }
    }
}
