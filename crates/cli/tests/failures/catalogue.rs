//! docs/failures.md says for every row where its tests are: they must be there.

use std::fs;
use std::path::Path;

#[test]
fn every_test_that_the_catalogue_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/failures.md")).unwrap();
    let mut rows = 0;
    for line in page.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit()) {
        rows += 1;
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let named: Vec<&str> = cells[4].split('`').skip(1).step_by(2).collect();
        assert!(
            !named.is_empty() || cells[4].starts_with("does not apply"),
            "row {} names no test: {line}",
            cells[1]
        );
        for name in named {
            let (file, test) = name.split_once("::").unwrap_or_else(|| panic!("{name}: wanted FILE::TEST"));
            let text = fs::read_to_string(root.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
            assert!(text.contains(test), "{file} has no {test}");
        }
    }
    assert_eq!(rows, 70, "one row for each of the catalogue's");
}
