//! Admission reviews: no panic from body to answer, and what is read has one meaning.
#![no_main]
use kubernetes::{Chain, Context, Mapping, Review, Step, Subject, answer, answer_malformed, requests};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut mapping = Mapping::new("fuzz");
    mapping.guard.push(kubernetes::mapping::Guard {
        kinds: ["ConfigMap", "Secret", "Deployment", "Service"].map(str::to_owned).to_vec(),
        namespaces: vec!["shop".to_owned()],
        cluster_scoped: true,
        names: Vec::new(),
        autoscaled: false,
    });
    let review = match Review::parse(data) {
        Ok(review) => review,
        Err(error) => return drop(answer_malformed(&error)),
    };
    let mut chain = Chain::begin(&review, &mapping);
    let ownership = loop {
        match chain.step() {
            Step::Look(_) => chain.found(review.old_object.as_ref()),
            Step::Done(ownership) => break ownership,
        }
    };
    match Subject::of(&review, &mapping, Some(b"key")) {
        Subject::Judged(judged) => {
            let context = Context { ownership: Some(&ownership), ..Context::default() };
            match requests(&review, &judged, &mapping, &context) {
                Ok(made) => made.iter().for_each(|d| drop(d.request("fuzz"))),
                Err(refusals) => assert!(answer(&review, &[], &refusals).to_string().contains("\"allowed\":false")),
            }
            drop(kubernetes::pin::pins(&Subject::Judged(judged), |_| Some(attest::Digest::sha256(b""))));
        }
        Subject::Refused(refusal) => drop(answer(&review, &[], &[refusal])),
        Subject::Nothing(nothing) => drop(kubernetes::answer_nothing(&review, &nothing)),
    }
});
