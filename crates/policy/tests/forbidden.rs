//! What must not compile: a step that is skipped, a proof that is made by hand.

#[test]
fn forged_proofs_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/forbidden/*.rs");
}
