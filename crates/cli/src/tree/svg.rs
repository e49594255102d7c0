//! The tree as a picture: a column for each depth, the root on the left, each box half-way down what is below it. It brings
//! its own colours for light and dark, and needs no font, script or file from anywhere.

use super::Branch;

/// Boxes and the room between them, in pixels.
const WIDTH: usize = 290;
const HEIGHT: usize = 44;
const ACROSS: usize = 46;
const DOWN: usize = 12;
const MARGIN: usize = 16;
/// A letter of the monospaced label is at most so wide, whatever font a viewer has: text is cut to fit.
const LETTER: f64 = 7.4;

const STYLE: &str = "
    svg { background: #ffffff; color-scheme: light dark }
    rect { fill: #f6f8fa; stroke: #8c959f }
    rect.artifact { fill: #ddf4ff; stroke: #0969da }
    rect.workload { fill: #dafbe1; stroke: #1a7f37 }
    rect.commit, rect.repository { fill: #fff8c5; stroke: #9a6700 }
    rect.undecided { fill: #ffebe9; stroke: #cf222e }
    path { fill: none; stroke: #8c959f }
    text { font: 12px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #1f2328 }
    text.relation { font-size: 11px; fill: #57606a }
    @media (prefers-color-scheme: dark) {
      svg { background: #0d1117 }
      rect { fill: #161b22; stroke: #6e7681 }
      rect.artifact { fill: #0c2d6b; stroke: #58a6ff }
      rect.workload { fill: #0f3d1f; stroke: #3fb950 }
      rect.commit, rect.repository { fill: #3b2f00; stroke: #d29922 }
      rect.undecided { fill: #490202; stroke: #f85149 }
      path { stroke: #6e7681 }
      text { fill: #e6edf3 }
      text.relation { fill: #9ea7b3 }
    }";

/// A branch that has its place.
struct Placed<'b> {
    branch: &'b Branch,
    depth: usize,
    /// The upper edge of its box.
    top: usize,
    below: Vec<Placed<'b>>,
}

/// The tree as an SVG document.
pub(crate) fn to_svg(root: &Branch) -> String {
    let mut next = MARGIN;
    let placed = place(root, 0, &mut next);
    let height = next - DOWN + MARGIN;
    let width = MARGIN * 2 + (depth(&placed) + 1) * WIDTH + depth(&placed) * ACROSS;
    let (mut lines, mut boxes) = (String::new(), String::new());
    draw(&placed, &mut lines, &mut boxes);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">\n  <style>{STYLE}\n  </style>\n{lines}{boxes}</svg>\n",
        escape(&format!("where {} came from, and what else did", root.label))
    )
}

fn place<'b>(branch: &'b Branch, depth: usize, next: &mut usize) -> Placed<'b> {
    let below: Vec<Placed<'b>> = branch.below.iter().map(|b| place(b, depth + 1, next)).collect();
    let top = match (below.first(), below.last()) {
        (Some(first), Some(last)) => usize::midpoint(first.top, last.top),
        _ => {
            let top = *next;
            *next += HEIGHT + DOWN;
            top
        }
    };
    Placed { branch, depth, top, below }
}

fn depth(placed: &Placed<'_>) -> usize {
    placed.below.iter().map(depth).max().unwrap_or(placed.depth)
}

fn draw(placed: &Placed<'_>, lines: &mut String, boxes: &mut String) {
    let left = MARGIN + placed.depth * (WIDTH + ACROSS);
    let (right, middle) = (left + WIDTH, placed.top + HEIGHT / 2);
    for below in &placed.below {
        let (to, turn) = (right + ACROSS, right + ACROSS / 2);
        let end = below.top + HEIGHT / 2;
        lines.push_str(&format!(
            "  <path d=\"M{right} {middle} C{turn} {middle} {turn} {end} {to} {end}\"/>\n"
        ));
    }
    let branch = placed.branch;
    let (relation, label) = (fitted(&branch.relation), fitted(&branch.label));
    let (text, upper, lower) = (left + 10, placed.top + 17, placed.top + 34);
    boxes.push_str(&format!(
        "  <g><title>{} {}</title><rect class=\"{}\" x=\"{left}\" y=\"{}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\"/>\
         <text class=\"relation\" x=\"{text}\" y=\"{upper}\">{}</text><text x=\"{text}\" y=\"{lower}\">{}</text></g>\n",
        escape(&branch.relation),
        escape(&branch.label),
        escape(branch.kind),
        placed.top,
        escape(&relation),
        escape(&label)
    ));
    placed.below.iter().for_each(|below| draw(below, lines, boxes));
}

/// As much of a text as a box is wide: its beginning and its end, which both say something.
fn fitted(text: &str) -> String {
    // letters that are as wide as two are counted as two
    let wide = |c: char| if c.is_ascii() || matches!(c, '…' | '·' | '×') { 1 } else { 2 };
    let room = ((WIDTH - 20) as f64 / LETTER) as usize;
    if text.chars().map(wide).sum::<usize>() <= room {
        return text.to_owned();
    }
    let take = |letters: &mut dyn Iterator<Item = char>, room: usize| {
        let mut used = 0;
        let fits = |c: &char| {
            used += wide(*c);
            used <= room
        };
        letters.take_while(fits).collect::<Vec<char>>()
    };
    let head = take(&mut text.chars(), room / 2);
    let tail = take(&mut text.chars().rev(), room - room / 2 - 1);
    head.into_iter().chain(['…']).chain(tail.into_iter().rev()).collect()
}

/// Text that somebody else chose, as XML: marks are references, and what XML cannot hold at all is a question mark.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text_and_inside_its_box() {
        let evil = "</text><script>alert(1)</script>\u{0}\u{1b}[2J&\"'".repeat(20);
        let root = Branch::new("x", "artifact", &evil, "root").with([Branch {
            relation: evil.clone(),
            label: evil.clone(),
            ..Branch::default()
        }]);
        let svg = to_svg(&root);
        assert!(!svg.contains("<script") && !svg.contains('\u{0}') && !svg.contains('\u{1b}'), "{svg}");
        for text in svg.split("<text").skip(1) {
            let shown = text.split('>').nth(1).unwrap().split('<').next().unwrap();
            let shown = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
            let shown = shown.replace("&#39;", "'").replace("&amp;", "&");
            assert!(shown.chars().count() as f64 * LETTER <= (WIDTH - 20) as f64, "{shown}");
        }
        assert_eq!(fitted(&"界".repeat(100)).chars().count(), 36 / 2 / 2 * 2, "wide letters count twice");
    }

    #[test]
    fn no_two_boxes_overlap() {
        let leaf = |n: usize| Branch::new("input", "input", &n.to_string(), &n.to_string());
        let root = leaf(0).with([leaf(1), leaf(2).with([leaf(3), leaf(4), leaf(5)]), leaf(6)]);
        let mut next = MARGIN;
        let placed = place(&root, 0, &mut next);
        let mut boxes = Vec::new();
        fn all(placed: &Placed<'_>, boxes: &mut Vec<(usize, usize)>) {
            boxes.push((placed.depth, placed.top));
            placed.below.iter().for_each(|b| all(b, boxes));
        }
        all(&placed, &mut boxes);
        boxes.sort_unstable();
        for pair in boxes.windows(2) {
            let ((a, top), (b, below)) = (pair[0], pair[1]);
            assert!(a != b || below >= top + HEIGHT, "{boxes:?}");
        }
    }
}
