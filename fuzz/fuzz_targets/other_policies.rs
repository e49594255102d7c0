//! Layouts, links, Binary Authorization: no panic, and a draft stays what it is whatever its original says.
#![no_main]
use translate::layout::{Given, Layout, Links, Metadata, Pattern};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    layouts(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(draft) = translate::binauthz::translate("policy.yaml", text, &[]) {
        loads(&draft);
    }
    let _ = translate::binauthz::Attestor::parse("attestor.yaml", text);
    let _ = translate::binauthz::Occurrence::parse(data);
    if let Some((pattern, name)) = text.split_once('\n')
        && let Ok(pattern) = Pattern::parse(pattern)
    {
        assert!(pattern.matches(name) || pattern.text() != "*");
    }
});

fn layouts(data: &[u8]) {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let links = Links::from([("a.00000000.link".to_owned(), data.to_vec())]);
    let given = Given { keys: &[], links: &links, artifact: None, unpacked: None, at };
    let _ = translate::layout::verify(data, given);
    let Ok(metadata) = Metadata::parse(data) else { return };
    let _ = translate::layout::Link::read(metadata.unproven());
    if let Ok(layout) = Layout::read(metadata.unproven()) {
        loads(&translate::layout::translate(&layout));
    }
}

fn loads(draft: &translate::Draft) {
    for (name, text) in &draft.policies {
        policy::Policy::parse(name, text).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    }
    if draft.trust_root.lines().any(|line| line.ends_with("ers:")) {
        attest::TrustRoot::parse("root", &draft.trust_root).unwrap_or_else(|e| panic!("{e:?}\n{}", draft.trust_root));
    }
}
