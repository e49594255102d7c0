//! JUnit's XML, as every test runner writes it: how many passed, and which did not.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// What a report says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many passed.
    pub passed: u64,
    /// The names of those that failed or could not run.
    pub failed: Vec<String>,
}

const MAX_DEPTH: usize = 32;
const MAX_TESTS: u64 = 1_000_000;

/// Reads a report. Counts are taken from the cases themselves, never from a suite's attributes, which can say anything.
///
/// # Errors
/// What is wrong, in words: no XML, a document type, no test suite, or not all of one.
pub fn parse(text: &str) -> Result<Report, String> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut report = Report::default();
    let (mut depth, mut is_suite) = (0_usize, false);
    let mut case: Option<Case> = None;
    loop {
        let event = reader.read_event().map_err(|e| format!("not XML: {e}"))?;
        match &event {
            Event::Start(tag) | Event::Empty(tag) => {
                let is_open = matches!(event, Event::Start(_));
                let name = tag.local_name();
                match name.as_ref() {
                    "testsuites" | "testsuite" => is_suite = true,
                    "testcase" if case.is_some() => return Err("a test case inside of another".to_owned()),
                    "testcase" => {
                        let started = Case { name: case_name(tag)?, outcome: Outcome::Passed };
                        if is_open { case = Some(started) } else { report.add(started)? }
                    }
                    "failure" | "error" => match &mut case {
                        Some(case) => case.outcome = Outcome::Failed,
                        None => report.failed.push("the suite itself".to_owned()),
                    },
                    "skipped" => case.iter_mut().for_each(Case::skip),
                    _ => {}
                }
                depth += usize::from(is_open);
                if depth > MAX_DEPTH {
                    return Err(format!("deeper than {MAX_DEPTH}"));
                }
            }
            Event::End(tag) => {
                depth = depth.saturating_sub(1);
                if tag.local_name().as_ref() == "testcase"
                    && let Some(case) = case.take()
                {
                    report.add(case)?;
                }
            }
            // a document type can define entities: no report needs one
            Event::DocType(_) => return Err("it has a document type".to_owned()),
            Event::Eof if depth > 0 || !is_suite => return Err("no test suite, or not all of one".to_owned()),
            Event::Eof => return Ok(report),
            _ => {}
        }
    }
}

struct Case {
    name: String,
    outcome: Outcome,
}

#[derive(PartialEq, Eq)]
enum Outcome {
    Passed,
    Skipped,
    Failed,
}

impl Case {
    /// A case that failed and was skipped failed.
    fn skip(&mut self) {
        if self.outcome == Outcome::Passed {
            self.outcome = Outcome::Skipped;
        }
    }
}

impl Report {
    fn add(&mut self, case: Case) -> Result<(), String> {
        match case.outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Skipped => {}
            Outcome::Failed => self.failed.push(case.name),
        }
        let count = self.passed.saturating_add(u64::try_from(self.failed.len()).unwrap_or(u64::MAX));
        if count > MAX_TESTS { Err(format!("more than {MAX_TESTS} tests")) } else { Ok(()) }
    }
}

/// `class.name`, of printable characters only: it goes into messages and statements.
fn case_name(tag: &BytesStart<'_>) -> Result<String, String> {
    let mut parts = (String::new(), String::new());
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|e| format!("not XML: {e}"))?;
        let value = attribute.value.into_owned();
        match attribute.key.as_ref() {
            "classname" => parts.0 = value,
            "name" => parts.1 = value,
            _ => {}
        }
    }
    let joined = if parts.0.is_empty() { parts.1 } else { format!("{}.{}", parts.0, parts.1) };
    Ok(joined.chars().filter(|c| !c.is_control()).take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_counted_and_attributes_are_not_believed() {
        let text = r#"<?xml version="1.0"?><testsuites tests="99" failures="0"><testsuite name="a">
            <testcase classname="a" name="x"/><testcase name="y"><failure>no</failure></testcase>
            <testcase name="z"><skipped/></testcase><testcase name="w"><error/><skipped/></testcase>
            <testcase name="v"><system-out>fine</system-out></testcase></testsuite></testsuites>"#;
        assert_eq!(parse(text).unwrap(), Report { passed: 2, failed: vec!["y".to_owned(), "w".to_owned()] });
    }

    #[test]
    fn a_failure_of_the_suite_is_a_failure() {
        let text = "<testsuite><testcase name='x'/><error>set-up</error></testsuite>";
        assert_eq!(parse(text).unwrap(), Report { passed: 1, failed: vec!["the suite itself".to_owned()] });
    }

    #[test]
    fn what_is_no_whole_report_is_an_error() {
        for bad in [
            "",
            "hello",
            "<html></html>",
            "<testsuite>",
            "<testsuite><testcase name='x'></testsuite>",
            "<testsuite><testcase name='x'><failure/><testcase name='y'/></testcase></testsuite>",
            "<!DOCTYPE x [<!ENTITY a 'b'>]><testsuite/>",
            &format!("<testsuite>{}", "<a>".repeat(40)),
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
