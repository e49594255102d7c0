//! The report as one page: no scripts, nothing from elsewhere, every message and every control.

use policy::Style;

use super::outcome::{Drilled, Seen, Trial, not_staged};
use super::report::came;

const HEAD: &str = include_str!("page.html");

pub(super) fn of(drilled: &[Drilled]) -> String {
    let passed = drilled.iter().filter(|drilled| drilled.is_passed()).count();
    let mut page = HEAD.to_owned();
    page.push_str(&format!("<h1>{passed} of {} threats are stopped</h1>\n", drilled.len()));
    if let Some((count, why)) = not_staged(drilled) {
        let why = escape(&why);
        page.push_str(&format!("<p class=\"flaw\">{count} of what could be tried NOT STAGED: {why}</p>\n"));
    }
    page.push_str("<p class=\"grid\">\n");
    for one in drilled {
        let title = escape(one.title);
        page.push_str(&format!(
            "<a class=\"{}\" href=\"#{}\" title=\"{title}\">{}</a>\n",
            class(one),
            one.threat,
            one.threat
        ));
    }
    page.push_str("</p>\n");
    drilled.iter().for_each(|one| section(one, &mut page));
    page.push_str("</body>\n</html>\n");
    page
}

fn class(drilled: &Drilled) -> &'static str {
    match &drilled.trials {
        Err(_) => "unknown",
        Ok(_) if drilled.is_passed() => "good",
        Ok(_) => "bad",
    }
}

fn section(drilled: &Drilled, page: &mut String) {
    let title = escape(drilled.title);
    page.push_str(&format!(
        "<section id=\"{}\" class=\"{}\">\n<h2>{} {title} <b>{}</b></h2>\n",
        drilled.threat,
        class(drilled),
        drilled.threat,
        drilled.word()
    ));
    match &drilled.trials {
        Ok(trials) => trials.iter().for_each(|trial| article(trial, page)),
        Err(failure) => {
            page.push_str(&format!("<pre>{}</pre>\n", escape(&failure.to_text(Style::Plain))));
        }
    }
    page.push_str("</section>\n");
}

fn article(trial: &Trial, page: &mut String) {
    match trial.seen() {
        Ok(seen) => tried(trial, seen, page),
        Err(why) => {
            let (what, why) = (escape(trial.what()), escape(why));
            page.push_str(&format!(
                "<article class=\"unknown\">\n<h3>{what}</h3>\n<p class=\"flaw\">NOT STAGED: {why}</p>\n</article>\n"
            ));
        }
    }
}

fn tried(trial: &Trial, seen: &Seen, page: &mut String) {
    let flaws = trial.flaws();
    let class = if flaws.is_empty() { "good" } else { "bad" };
    page.push_str(&format!("<article class=\"{class}\">\n<h3>{}</h3>\n", escape(trial.what())));
    page.push_str(&format!("<p>{}</p>\n", escape(&came(seen))));
    if !seen.message.is_empty() {
        page.push_str(&format!("<pre>{}</pre>\n", escape(seen.message.trim_end())));
    }
    if let Some(control) = trial.control() {
        page.push_str(&format!(
            "<p>control, with {}: {}</p>\n",
            escape(control.off),
            escape(&came(&control.seen))
        ));
        if !control.seen.message.is_empty() {
            page.push_str(&format!("<pre>{}</pre>\n", escape(control.seen.message.trim_end())));
        }
    }
    for flaw in flaws {
        page.push_str(&format!("<p class=\"flaw\">{}</p>\n", escape(&flaw)));
    }
    page.push_str("</article>\n");
}

/// What an attacker may have written is text, and never markup.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::drill::outcome::Seen;

    #[test]
    fn what_was_written_by_others_is_no_markup() {
        let seen = Seen { message: "<script>\"&".to_owned(), ..Seen::default() };
        let trials = Ok(vec![Trial::Honest { what: "an attempt", seen }]);
        let page = of(&[Drilled { threat: "T1", title: "a <b>threat</b>", trials }]);
        assert!(page.contains("&lt;script&gt;&quot;&amp;") && !page.contains("<script"), "{page}");
        assert!(page.contains("0 of 1") && page.contains("a &lt;b&gt;threat"), "{page}");
    }
}
