//! Surgery on lines of YAML: something is inserted or one scalar replaced, and everything else stays, byte for byte.

use super::EditError;
use super::places::quoted;
use crate::yaml::{Node, Place, Value};

/// Lines of context in a diff.
const CONTEXT: usize = 3;

/// A text and what is to change in it. Lines keep the carriage return that they may end with.
pub(super) struct Text<'a> {
    lines: Vec<&'a str>,
    edits: Vec<Edit>,
}

enum Edit {
    /// Whole lines after a line.
    Lines { after: usize, lines: Vec<String> },
    /// Whole lines go: from the first to the last.
    Remove { first: usize, last: usize },
    /// Characters within a line.
    Replace { line: usize, column: usize, length: usize, with: String },
}

/// What became of a line.
#[derive(PartialEq)]
enum Row<'a> {
    Kept(&'a str),
    Changed(&'a str, String),
    New(String),
    Gone(&'a str),
}

impl<'a> Text<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { lines: text.split('\n').collect(), edits: Vec::new() }
    }

    fn line(&self, number: usize) -> Option<&'a str> {
        self.lines.get(number.checked_sub(1)?).copied()
    }

    /// Whether this character stands where a value begins: a bracket or brace, or the dash of a list.
    fn begins_with(&self, node: &Node, character: char) -> bool {
        let Place { line, column, .. } = node.place;
        let found = || self.line(line)?.chars().nth(column.checked_sub(1)?);
        found() == Some(character)
    }

    /// Puts another value in the place of a scalar on one line; its quotes go.
    pub(super) fn set_scalar(&mut self, node: &Node, with: &str) -> Result<(), EditError> {
        let failed = || EditError::Layout(node.place.clone());
        let Value::Scalar { text, .. } = &node.value else { return Err(failed()) };
        let (line, column) = (node.place.line, node.place.column);
        let rest: String = self.line(line).ok_or_else(failed)?.chars().skip(column - 1).collect();
        let escaped = quoted(text).replace('\n', "\\n");
        let forms = [text.clone(), escaped, format!("'{text}'")];
        let form = forms.iter().find(|form| rest.starts_with(form.as_str())).ok_or_else(failed)?;
        let length = form.chars().count();
        self.edits.push(Edit::Replace { line, column, length, with: with.to_owned() });
        Ok(())
    }

    /// Adds a field to a map, as `name: value` on one line.
    pub(super) fn add_field(&mut self, map: &Node, field: &str) -> Result<(), EditError> {
        self.add_fields(map, field, &[])
    }

    /// Adds a field that is a list of one item.
    pub(super) fn add_list(&mut self, map: &Node, name: &str, item: &str) -> Result<(), EditError> {
        if self.begins_with(map, '{') {
            return self.add_field(map, &format!("{name}: [{item}]"));
        }
        self.add_fields(map, &format!("{name}:"), &[format!("  - {item}")])
    }

    /// Whether a map is written between braces.
    pub(super) fn is_flow(&self, map: &Node) -> bool {
        self.begins_with(map, '{')
    }

    /// Adds a field whose value is lines below it, to a map in block style.
    pub(super) fn add_block(&mut self, map: &Node, first: &str, more: &[String]) -> Result<(), EditError> {
        if self.is_flow(map) {
            return Err(EditError::Layout(map.place.clone()));
        }
        self.add_fields(map, first, more)
    }

    /// Puts other lines in the place of a field's value: a scalar on the key's line, or a block of lines below it. The
    /// lines are indented by two more than the map's keys.
    pub(super) fn set_block(&mut self, map: &Node, old: &Node, lines: &[String]) -> Result<(), EditError> {
        let failed = || EditError::Layout(old.place.clone());
        let Value::Map(pairs) = &map.value else { return Err(failed()) };
        let (key, _) = pairs.iter().find(|(_, value)| value.place == old.place).ok_or_else(failed)?;
        let (line, indent) = (key.place.line, key.place.column - 1);
        let pad = " ".repeat(indent);
        let mut new: Vec<String> = lines.iter().map(|line| format!("{pad}{line}")).collect();
        let (mut first, mut last) = (line + 1, line);
        // the place of a block is its first line
        if old.place.line > line {
            last = self.end_of(line, indent + 1);
            let same =
                new.iter().zip(self.lines.iter().skip(line)).take_while(|(new, old)| new == *old).count();
            let same = same.min(last - line);
            new.drain(..same);
            first += same;
            while first <= last && new.last().is_some_and(|new| Some(new.as_str()) == self.line(last)) {
                new.pop();
                last -= 1;
            }
        } else {
            self.set_scalar(old, "|")?;
        }
        self.edits.push(Edit::Remove { first, last });
        self.edits.push(Edit::Lines { after: first - 1, lines: new });
        Ok(())
    }

    fn add_fields(&mut self, map: &Node, first: &str, more: &[String]) -> Result<(), EditError> {
        let Value::Map(pairs) = &map.value else { return Err(EditError::Layout(map.place.clone())) };
        if self.begins_with(map, '{') {
            self.insert_first(&map.place, format!(" {first},"));
            return Ok(());
        }
        let (key, _) = pairs.first().ok_or_else(|| EditError::Layout(map.place.clone()))?;
        let indent = key.place.column - 1;
        let pad = " ".repeat(indent);
        let lines = std::iter::once(first).chain(more.iter().map(String::as_str));
        let lines = lines.map(|line| format!("{pad}{line}")).collect();
        self.edits.push(Edit::Lines { after: self.end_of(key.place.line, indent), lines });
        Ok(())
    }

    /// Adds an item, on one line, to a list.
    pub(super) fn add_item(&mut self, list: &Node, item: &str) -> Result<(), EditError> {
        if self.begins_with(list, '[') {
            return self.insert_item(list, item);
        }
        self.add_lines(list, &[item.to_owned()])
    }

    /// Adds a key to a list of keys.
    pub(super) fn add_key(&mut self, list: &Node, pem: &str, more: Option<&str>) -> Result<(), EditError> {
        if self.begins_with(list, '[') {
            let pem = pem.replace('\n', "\\n");
            let more = more.map(|m| format!(", {m}")).unwrap_or_default();
            return self.insert_item(list, &format!("{{ key: \"{pem}\"{more} }}"));
        }
        let mut lines = vec!["key: |".to_owned()];
        lines.extend(pem.lines().map(|l| format!("  {l}")));
        lines.extend(more.map(str::to_owned));
        self.add_lines(list, &lines)
    }

    fn insert_item(&mut self, list: &Node, item: &str) -> Result<(), EditError> {
        let Value::List(items) = &list.value else { return Err(EditError::Layout(list.place.clone())) };
        let comma = if items.is_empty() { "" } else { "," };
        self.insert_first(&list.place, format!("{item}{comma}"));
        Ok(())
    }

    /// An item of some lines at the end of a list in block style.
    fn add_lines(&mut self, list: &Node, lines: &[String]) -> Result<(), EditError> {
        let failed = || EditError::Layout(list.place.clone());
        let Value::List(items) = &list.value else { return Err(failed()) };
        let last = items.last().ok_or_else(failed)?;
        let dash = self.dash_before(last).ok_or_else(failed)?;
        let pad = " ".repeat(dash);
        let starts = ["- "].into_iter().chain(std::iter::repeat("  "));
        let lines = starts.zip(lines).map(|(start, line)| format!("{pad}{start}{line}")).collect();
        self.edits.push(Edit::Lines { after: self.end_of(last.place.line, dash + 1), lines });
        Ok(())
    }

    /// The indentation of the dash before an item. The list's own place is no help: where the dashes stand no deeper
    /// than the key above them, it is the first item's.
    fn dash_before(&self, item: &Node) -> Option<usize> {
        let before: String = self.line(item.place.line)?.chars().take(item.place.column - 1).collect();
        let indent = before.trim_end().strip_suffix('-')?;
        indent.trim().is_empty().then_some(indent.len())
    }

    /// Behind an opening bracket or brace, with a blank before what stands there.
    fn insert_first(&mut self, place: &Place, mut with: String) {
        let next = self.line(place.line).and_then(|line| line.chars().nth(place.column));
        if with.ends_with(',') && next.is_some_and(|c| !c.is_whitespace()) {
            with.push(' ');
        }
        self.edits.push(Edit::Replace { line: place.line, column: place.column + 1, length: 0, with });
    }

    /// The last line that belongs to what begins on a line: what follows is indented at least so far. Blank lines, and
    /// comments that stand further left, end nothing.
    fn end_of(&self, start: usize, indent: usize) -> usize {
        let mut end = start;
        for (number, line) in self.lines.iter().enumerate().skip(start) {
            let content = line.trim_start_matches(' ');
            match line.len() - content.len() >= indent {
                _ if content.trim().is_empty() => {}
                true => end = number + 1,
                false if content.starts_with('#') => {}
                false => break,
            }
        }
        end
    }

    /// The new text, and the unified diff to it.
    pub(super) fn finish(mut self, file: &str) -> (String, String) {
        let edits = std::mem::take(&mut self.edits);
        let mut rows = Vec::new();
        for (number, line) in (1..).zip(&self.lines) {
            rows.push(replaced(line, number, &edits));
            for edit in &edits {
                if let Edit::Lines { after, lines } = edit
                    && *after == number
                {
                    let end = if line.ends_with('\r') { "\r" } else { "" };
                    rows.extend(lines.iter().map(|new| Row::New(format!("{new}{end}"))));
                }
            }
        }
        let new = rows.iter().filter(|row| !matches!(row, Row::Gone(_))).map(|row| match row {
            Row::Kept(line) => *line,
            Row::Changed(_, line) | Row::New(line) => line,
            Row::Gone(_) => "",
        });
        let text = new.collect::<Vec<_>>().join("\n");
        // what follows the last line's end is no line
        let rows = rows.strip_suffix(&[Row::Kept("")]).unwrap_or(&rows);
        let diff = diff(file, rows);
        (text, diff)
    }
}

/// A line with what is replaced in it, the last first, so that the columns before stay.
fn replaced<'a>(line: &'a str, number: usize, edits: &[Edit]) -> Row<'a> {
    let mut own: Vec<(usize, usize, &str)> = Vec::new();
    for edit in edits {
        match edit {
            Edit::Remove { first, last } if (*first..=*last).contains(&number) => return Row::Gone(line),
            Edit::Replace { line, column, length, with } if *line == number => {
                own.push((*column, *length, with))
            }
            _ => {}
        }
    }
    if own.is_empty() {
        return Row::Kept(line);
    }
    own.sort_by_key(|(column, ..)| std::cmp::Reverse(*column));
    let mut characters: Vec<char> = line.chars().collect();
    for (column, length, with) in own {
        let start = (column - 1).min(characters.len());
        let end = (start + length).min(characters.len());
        characters.splice(start..end, with.chars());
    }
    Row::Changed(line, characters.into_iter().collect())
}

fn diff(file: &str, rows: &[Row<'_>]) -> String {
    let touched: Vec<usize> =
        rows.iter().enumerate().filter(|(_, r)| !matches!(r, Row::Kept(_))).map(|(i, _)| i).collect();
    let mut hunks: Vec<(usize, usize)> = Vec::new();
    for index in touched {
        let (start, end) = (index.saturating_sub(CONTEXT), (index + CONTEXT + 1).min(rows.len()));
        match hunks.last_mut() {
            Some((_, last)) if *last >= start => *last = end,
            _ => hunks.push((start, end)),
        }
    }
    let mut out = format!("--- {file}\n+++ {file}\n");
    for (start, end) in hunks {
        let count = |rows: &[Row<'_>], is_old: bool| {
            rows.iter()
                .filter(|r| !matches!((r, is_old), (Row::New(_), true) | (Row::Gone(_), false)))
                .count()
        };
        let (head, body) = (rows.get(..start).unwrap_or_default(), rows.get(start..end).unwrap_or_default());
        out.push_str(&format!(
            "@@ -{},{} +{},{} @@\n",
            count(head, true) + 1,
            count(body, true),
            count(head, false) + 1,
            count(body, false)
        ));
        hunk(body, &mut out);
    }
    out
}

/// Old lines before new ones, as every diff has them.
fn hunk(rows: &[Row<'_>], out: &mut String) {
    let mut added = String::new();
    for row in rows {
        match row {
            Row::Kept(line) => {
                out.push_str(&std::mem::take(&mut added));
                out.push_str(&format!(" {line}\n"));
            }
            Row::Changed(old, new) => {
                out.push_str(&std::mem::take(&mut added));
                out.push_str(&format!("-{old}\n"));
                added.push_str(&format!("+{new}\n"));
            }
            Row::New(line) => added.push_str(&format!("+{line}\n")),
            Row::Gone(old) => out.push_str(&format!("-{old}\n")),
        }
    }
    out.push_str(&added);
}
