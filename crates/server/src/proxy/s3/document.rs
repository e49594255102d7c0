//! Configuration as an artifact: the access list, the policy and their like, each in one form. The form is decided about,
//! and the form is what is sent on.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use attest::Json;
use kubernetes::canonical;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// The documents of buckets, by the words for them in addresses.
const OF_BUCKETS: [&str; 14] = [
    "accelerate",
    "acl",
    "cors",
    "encryption",
    "lifecycle",
    "logging",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "publicAccessBlock",
    "requestPayment",
    "versioning",
    "website",
];
/// The documents of objects.
const OF_OBJECTS: [&str; 1] = ["acl"];
const DEEPEST: usize = 16;
const MOST_ELEMENTS: usize = 20_000;
/// How much of a difference a refusal shows.
const MOST_LINES: usize = 40;

/// Which of them a word names.
pub(super) fn is_document(word: &str, is_object: bool) -> Option<&'static str> {
    let known: &[&str] = if is_object { &OF_OBJECTS } else { &OF_BUCKETS };
    known.iter().copied().find(|own| *own == word)
}

/// A document in its one form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Document {
    text: String,
    lines: Vec<String>,
}

impl Document {
    /// Reads what a client sends, or the store has. Policies are JSON, all others XML.
    pub(super) fn read(word: &str, bytes: &[u8]) -> Result<Self, String> {
        if word == "policy" { Self::of_json(bytes) } else { Self::of_xml(bytes) }
    }

    /// The bytes that are decided about, and sent.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What goes and what comes, where the store has `old` now.
    pub(super) fn changes(&self, old: &Self) -> String {
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        old.lines.iter().for_each(|line| *counts.entry(line).or_default() -= 1);
        self.lines.iter().for_each(|line| *counts.entry(line).or_default() += 1);
        let sign = |count: i64| if count < 0 { '-' } else { '+' };
        let changed: Vec<_> = counts.into_iter().filter(|(_, count)| *count != 0).collect();
        let mut shown = changed.clone();
        shown.sort_by_key(|(_, count)| *count > 0);
        let mut text: String = shown
            .iter()
            .take(MOST_LINES)
            .map(|(line, count)| format!("  {} {line}\n", sign(*count)))
            .collect();
        if changed.len() > MOST_LINES {
            writeln!(text, "  and {} more", changed.len() - MOST_LINES).ok();
        }
        text
    }

    /// Keys in order, nothing between the values.
    fn of_json(bytes: &[u8]) -> Result<Self, String> {
        let json = attest::json::parse(bytes).map_err(|e| e.to_string())?;
        let top = json.as_object().map_err(|e| e.to_string())?;
        let mut lines = Vec::new();
        for (key, value) in top.iter() {
            match value {
                Json::Array(items) => {
                    lines.extend(items.iter().map(|item| format!("{key}: {}", canonical(item))))
                }
                other => lines.push(format!("{key}: {}", canonical(other))),
            }
        }
        Ok(Self { text: canonical(&json), lines })
    }

    /// Elements and attributes in the order of their names, and text: no declaration, no comments, nothing between elements.
    fn of_xml(bytes: &[u8]) -> Result<Self, String> {
        let text = str::from_utf8(bytes).or(Err("it is no UTF-8"))?;
        let root = Element::parse(text)?;
        let mut lines = Vec::new();
        for child in &root.children {
            if child.children.is_empty() {
                lines.push(child.to_string());
            }
            lines.extend(child.children.iter().map(|inner| format!("{}: {inner}", child.name)));
        }
        Ok(Self { text: root.to_string(), lines })
    }
}

/// An element: it has children or text, never both.
#[derive(Debug, Default)]
pub(super) struct Element {
    pub(super) name: String,
    attributes: BTreeMap<String, String>,
    pub(super) children: Vec<Element>,
    pub(super) text: String,
}

impl Element {
    /// Reads the one element that a document has.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_end_names = true;
        let mut open = vec![Self::default()];
        let mut count = 0;
        loop {
            match reader.read_event().map_err(|e| format!("it is no XML: {e}"))? {
                Event::Start(tag) => {
                    count += 1;
                    if open.len() > DEEPEST || count > MOST_ELEMENTS {
                        return Err(format!(
                            "it is deeper than {DEEPEST}, or has more than {MOST_ELEMENTS} elements"
                        ));
                    }
                    open.push(Self::of_tag(&tag)?);
                }
                Event::Empty(tag) => {
                    count += 1;
                    let element = Self::of_tag(&tag)?;
                    open.last_mut().ok_or("it has no root")?.children.push(element);
                }
                Event::End(_) => {
                    let done = open.pop().ok_or("it has no root")?.closed()?;
                    open.last_mut().ok_or("it has no root")?.children.push(done);
                }
                Event::Text(text) => Self::add(&mut open, &text.xml10_content())?,
                Event::GeneralRef(reference) => {
                    let character = reference.resolve_char_ref().map_err(|e| e.to_string())?;
                    let named = || quick_xml::escape::resolve_predefined_entity(reference.as_ref());
                    let text = character.map(String::from).or_else(|| named().map(str::to_owned));
                    Self::add(&mut open, &text.ok_or("it names an entity that nothing defines")?)?;
                }
                Event::Decl(_) | Event::Comment(_) => {}
                Event::Eof => break,
                Event::CData(_) | Event::PI(_) | Event::DocType(_) => {
                    return Err("a document type, CDATA or an instruction has no place in it".to_owned());
                }
            }
            if count > MOST_ELEMENTS {
                return Err(format!("it has more than {MOST_ELEMENTS} elements"));
            }
        }
        let [document] = &mut open[..] else { return Err("it ends in the middle".to_owned()) };
        let root = document.children.pop().ok_or("it has no root")?;
        let is_alone = document.children.is_empty() && document.text.trim().is_empty();
        is_alone.then_some(root).ok_or("it has more than one root".to_owned())
    }

    /// The text of the first child with this name.
    pub(super) fn child(&self, name: &str) -> Option<&str> {
        self.children.iter().find(|child| child.name == name).map(|child| child.text.as_str())
    }

    fn of_tag(tag: &BytesStart<'_>) -> Result<Self, String> {
        let mut element = Self { name: tag.name().as_ref().to_owned(), ..Self::default() };
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|e| format!("it is no XML: {e}"))?;
            let value = attribute
                .normalized_value(quick_xml::XmlVersion::Implicit1_0)
                .map_err(|e| format!("it is no XML: {e}"))?;
            element.attributes.insert(attribute.key.as_ref().to_owned(), value.into_owned());
        }
        Ok(element)
    }

    fn add(open: &mut [Self], text: &str) -> Result<(), String> {
        if text.chars().any(|c| c.is_control() && !"\n\r\t".contains(c)) {
            return Err("it has control characters".to_owned());
        }
        open.last_mut().ok_or("it has no root")?.text.push_str(text);
        Ok(())
    }

    /// White space between elements is nothing, and so is the order of those with different names: each SDK has its own.
    fn closed(mut self) -> Result<Self, String> {
        if !self.children.is_empty() {
            if !self.text.trim().is_empty() {
                return Err(format!("{} has text beside elements", self.name));
            }
            self.text.clear();
        }
        self.children.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(self)
    }
}

impl std::fmt::Display for Element {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{}", self.name)?;
        for (name, value) in &self.attributes {
            // a reader makes spaces of them otherwise
            let value = escape(value).replace('\n', "&#10;").replace('\t', "&#9;");
            write!(f, " {name}=\"{value}\"")?;
        }
        f.write_str(">")?;
        self.children.iter().try_for_each(|child| child.fmt(f))?;
        write!(f, "{}</{}>", escape(&self.text), self.name)
    }
}

/// A text as it stands in XML.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            // what XML has no place for at all
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::Document;

    fn form(word: &str, text: &str) -> Result<String, String> {
        Document::read(word, text.as_bytes()).map(|d| d.text().to_owned())
    }

    #[test]
    fn two_ways_to_write_one_document_have_one_form() {
        let one = r#"<A xmlns="x"><B c="1" a="2">t &amp; u</B><C></C></A>"#
            .replace(r#"c="1" a="2""#, r#"a="2" c="1""#);
        let other =
            "<?xml version='1.0'?>\n<A xmlns='x'>\n <!-- n -->\n <B c='1' a='2'>t &#38; u</B>\n <C/></A>\n";
        assert_eq!(form("acl", other), Ok(one.clone()));
        assert_eq!(form("acl", &one), Ok(one));
        let policy = r#"{"Statement":[{"Action":"a","Effect":"Allow"}],"Version":"2012-10-17"}"#;
        let other = "{ \"Version\": \"2012-10-17\",\n \"Statement\": [{\"Effect\": \"Allow\", \"Action\": \"\\u0061\"}] }";
        assert_eq!(form("policy", other), Ok(policy.to_owned()));
    }

    #[test]
    fn what_can_be_read_two_ways_is_no_document() {
        for (text, why) in [
            ("<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>", "document type"),
            ("<a>&b;</a>", "entity"),
            ("<a><![CDATA[b]]></a>", "CDATA"),
            ("<a>b<c/></a>", "text beside"),
            ("<a></a><b></b>", "more than one root"),
            ("<a><b></a>", "no XML"),
            ("<a", "no XML"),
            ("<a>", "in the middle"),
            ("", "no root"),
        ] {
            let found = form("acl", text).unwrap_err();
            assert!(found.contains(why), "{text}: {found}");
        }
        assert!(form("acl", &"<a>".repeat(40)).unwrap_err().contains("deeper"));
        assert!(form("policy", r#"{"a":1,"a":2}"#).is_err());
        assert!(form("policy", "[]").is_err());
    }

    #[test]
    fn a_difference_names_what_goes_and_what_comes() {
        let read = |text: &str| Document::read("acl", text.as_bytes()).unwrap();
        let old = read("<P><Owner><ID>me</ID></Owner><L><G>me</G><G>you</G></L></P>");
        let new = read("<P><Owner><ID>me</ID></Owner><L><G>me</G><G>everybody</G></L></P>");
        assert_eq!(new.changes(&old), "  - L: <G>you</G>\n  + L: <G>everybody</G>\n");
    }
}
