//! Surgery on the text: something is put in at a place, or one scalar gives way to another. Nothing else moves.

use attest::yaml::{Node, Value};

use super::template::{Template, pair, pairs, text};

/// A text and what is to change in it.
pub(super) struct Text<'a> {
    lines: Vec<&'a str>,
    /// What ends the lines of this file.
    end: &'static str,
    edits: Vec<Edit>,
}

/// At a line from 0 and a column in characters from 0, so many characters give way to a text.
struct Edit {
    line: usize,
    column: usize,
    length: usize,
    with: String,
}

impl<'a> Text<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        Self { lines: text.split('\n').collect(), end, edits: Vec::new() }
    }

    /// Gives a template an annotation; nothing where the layout leaves no place for it.
    pub(super) fn annotate(&mut self, template: &Template<'_>, name: &str, value: &str) -> Option<()> {
        let entry = format!("{name}: \"{value}\"");
        let Some((metadata_key, metadata)) = pair(template.node, "metadata") else {
            return self.add(template.node, template.key, &["metadata", "annotations"], &entry);
        };
        let Some((annotations_key, annotations)) = pair(metadata, "annotations") else {
            return self.add(metadata, Some(metadata_key), &["annotations"], &entry);
        };
        match pair(annotations, name) {
            Some((_, old)) => self.replace(old, value),
            None => self.add(annotations, Some(annotations_key), &[], &entry),
        }
    }

    fn line(&self, number: usize) -> Option<&'a str> {
        self.lines.get(number.checked_sub(1)?).copied()
    }

    /// Puts maps within maps, and an entry in the innermost, first into a map.
    fn add(&mut self, map: &Node, key: Option<&Node>, within: &[&str], entry: &str) -> Option<()> {
        let Value::Map(_) = map.value else { return None };
        let (line, column) = (map.place.line, map.place.column.checked_sub(1)?);
        if self.line(line)?.chars().nth(column)? == '{' {
            let (name, value) = entry.split_once(": ")?;
            let open: String = within.iter().map(|key| format!("\"{key}\": {{")).collect();
            let comma = if pairs(map).is_empty() { "" } else { ", " };
            let with = format!("{open}\"{name}\": {value}{}{comma}", "}".repeat(within.len()));
            self.edits.push(Edit { line: line - 1, column: column + 1, length: 0, with });
            return Some(());
        }
        let (first, _) = pairs(map).first()?;
        let (line, column) = (first.place.line, first.place.column.checked_sub(1)?);
        let rows = within.iter().map(|key| format!("{key}:")).chain([entry.to_owned()]);
        let rows: Vec<String> = rows.enumerate().map(|(n, row)| "  ".repeat(n) + &row).collect();
        let pad = " ".repeat(column);
        let before: String = self.line(line)?.chars().take(column).collect();
        if !before.trim().is_empty() {
            // behind the dash of a list: what stood there moves to a line of its own
            let with: String = rows.iter().map(|row| format!("{row}{}{pad}", self.end)).collect();
            self.edits.push(Edit { line: line - 1, column, length: 0, with });
            return Some(());
        }
        let line = self.above_comments(line, key.map_or(0, |key| key.place.line));
        let with = rows.iter().map(|row| format!("{pad}{row}{}", self.end)).collect();
        self.edits.push(Edit { line: line - 1, column: 0, length: 0, with });
        Some(())
    }

    /// The first of the comment lines right above a line: a comment stays with what it is about.
    fn above_comments(&self, mut line: usize, after: usize) -> usize {
        let is_comment = |line: &str| line.trim_start().starts_with('#');
        while line > after + 1 && self.line(line - 1).is_some_and(is_comment) {
            line -= 1;
        }
        line
    }

    /// Puts another value in the place of a scalar on one line.
    fn replace(&mut self, old: &Node, value: &str) -> Option<()> {
        let (line, column) = (old.place.line, old.place.column.checked_sub(1)?);
        let text = text(old)?;
        let rest: String = self.line(line)?.chars().skip(column).collect();
        let forms = [format!("\"{text}\""), format!("'{text}'"), text.to_owned()];
        let form = forms.iter().find(|form| !form.is_empty() && rest.starts_with(form.as_str()))?;
        let length = form.chars().count();
        self.edits.push(Edit { line: line - 1, column, length, with: format!("\"{value}\"") });
        Some(())
    }

    /// The text with its changes, from the end to the start, so that no change moves the place of another.
    pub(super) fn finish(mut self) -> String {
        self.edits.sort_by_key(|edit| std::cmp::Reverse((edit.line, edit.column)));
        let mut lines: Vec<String> = self.lines.iter().map(|line| (*line).to_owned()).collect();
        for edit in &self.edits {
            let Some(line) = lines.get_mut(edit.line) else { continue };
            let head: String = line.chars().take(edit.column).collect();
            let tail: String = line.chars().skip(edit.column + edit.length).collect();
            *line = format!("{head}{}{tail}", edit.with);
        }
        lines.join("\n")
    }
}
