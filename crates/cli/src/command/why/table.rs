//! Tables that fit a terminal of 100 columns.

/// The most that a line may have.
const COLUMNS: usize = 100;
/// A column is not cut below this.
const NARROWEST: usize = 8;

/// Rows under headings.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|h| (*h).to_owned()).collect()] }
    }

    /// What others chose cannot forge a line of it.
    pub(crate) fn row(&mut self, cells: &[&str]) {
        self.rows.push(cells.iter().map(|cell| policy::one_line(cell)).collect());
    }

    /// The widest columns are cut first, each in its middle: both ends of a name say something.
    pub(crate) fn to_text(&self) -> String {
        let count = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..count).map(width).collect();
        while widths.iter().sum::<usize>() + 2 * count.saturating_sub(1) > COLUMNS {
            let Some(widest) = widths.iter_mut().max() else { break };
            if *widest <= NARROWEST {
                break;
            }
            *widest -= 1;
        }
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| {
                let cell = cut(cell, *width);
                let room = " ".repeat(width.saturating_sub(cell.chars().count()));
                format!("{cell}{room}")
            });
            let text = cells.collect::<Vec<String>>().join("  ");
            format!("{}\n", text.trim_end())
        };
        self.rows.iter().map(line).collect()
    }
}

/// A text in so many letters.
pub(crate) fn cut(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let head = (width.saturating_sub(1)) / 2;
    let tail = width.saturating_sub(1) - head;
    text.chars().take(head).chain(['…']).chain(text.chars().skip(count - tail)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_longer_than_a_terminal_and_no_cell_forges_one() {
        let mut table = Table::new(&["WHERE", "WHAT"]);
        table.row(&[&"eu-1/shop/Deployment/web".repeat(5), "short"]);
        table.row(&["a\nb", &"registry.acme.example/x@sha256:9f3c…1a04".repeat(3)]);
        let text = table.to_text();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert_eq!(cut("abcdefgh", 5), "ab…gh");
    }
}
