//! Nobody but the choke point says of which record a decision is.
fn forge(
    decision: &chokepoint::Decision,
    case: &policy::Case,
    book: &policy::Book,
    root: &attest::TrustRoot,
    leaf: attest::Digest,
) {
    let _ = chokepoint::Passed::of(decision, case, book, root, leaf);
}
fn main() {}
