//! What scanners print, and the files of cargo-vet: no panic, and nothing that was found is lost without a VEX statement.
#![no_main]
use std::collections::BTreeSet;

use advisory::scanners::Scanner;
use advisory::vet::{Audits, SAFE_TO_DEPLOY, locked};
use advisory::vex::Statements;
use attest::DigestSet;
use attest::claims::Severity;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for scanner in [Scanner::OsvScanner, Scanner::Grype, Scanner::Trivy, Scanner::Sarif] {
        let Ok(report) = scanner.read(data) else { continue };
        let nothing = Statements::default();
        let weighed = report.weigh(jiff::Timestamp::UNIX_EPOCH, None, &nothing.about(&DigestSet::default(), &[]));
        assert!(weighed.excused.is_empty());
        let attested: BTreeSet<&str> = weighed.scan.vulnerabilities.iter().map(|v| v.id.as_str()).collect();
        for found in &report.found {
            assert!(attested.contains(found.id.as_str()));
            if found.severity.is_none() {
                let own = weighed.scan.vulnerabilities.iter().find(|v| v.id == found.id);
                assert!(own.is_some_and(|v| v.severity == Severity::Critical));
            }
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = locked(text);
        if let Ok(audits) = Audits::read(text, "", None) {
            let _ = audits.answer("a", "1.0.0", SAFE_TO_DEPLOY);
        }
    }
});
