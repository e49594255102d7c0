//! Admission reviews: no panic from body to answer, and what is read has one meaning.
#![no_main]
use attest::{Artifact, DigestSet};
use kubernetes::{Chain, Context, Mapping, Review, Step, Subject, answer_malformed, requests, unread};

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
            let made = requests(&review, &judged, &mapping, &context);
            assert!(!made.is_empty(), "what is judged is on record");
            for mut deployment in made {
                // a case is opened with it again and again, and must stay the same
                let uri = deployment.request("fuzz").artifact.uri().to_owned();
                assert_eq!(Artifact::new(&uri, DigestSet::default()).uri(), uri);
            }
            drop(kubernetes::pin::pins(&Subject::Judged(judged), |_| Some(attest::Digest::sha256(b""))));
        }
        Subject::Refused(refusal) => {
            let mut made = unread(&review, &refusal, &mapping, &Context::default());
            assert!(made.artifact.digests().is_empty() && made.request("fuzz").unreadable.len() == 1);
        }
        Subject::Nothing(nothing) => drop(kubernetes::answer_nothing(&review, &nothing)),
    }
});
