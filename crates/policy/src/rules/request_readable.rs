//! The built-in rule that a request can be read the one way: whoever runs what it asks for must not read another one.

use attest::Json;

use crate::case::Case;
use crate::finding::Finding;
use crate::request::Unreadable;
use crate::rule::Rule;

pub(crate) const RULE: Rule = Rule {
    name: "request-readable",
    key: "",
    summary: "everything in the request that decides can be read",
    docs: "What a choke point reads in a request must mean one thing: for Kubernetes, image references, the annotations under \
           portcullis.dev/, the shape of the object, and no more images and evidence than are judged at once. What cannot be read refuses, \
           and nothing else is said: what would be missing may stand in what cannot be read. An artifact whose name cannot be read \
           is one without a digest. What belongs to no image (too many of them, an object of another shape) is of the object itself, \
           kubernetes:NAMESPACE/KIND/NAME. A breakglass grant and dry run apply as to every finding: a grant only where the artifact has \
           a digest; dry run always, since it stops nobody. What stays as it is goes on; what is made again from its template does not.",
    example: "",
    threats: &["T5"],
    reads_provenance: false,
    read: None,
    schema: || Json::Null,
};

/// One finding for everything that cannot be read.
pub(crate) fn findings(case: &Case) -> Vec<Finding> {
    let one = |unreadable: &Unreadable| {
        let found = match (unreadable.found.as_str(), unreadable.place.as_str()) {
            (found, "") => found.to_owned(),
            ("", place) => format!("at {place}"),
            (found, place) => format!("{found}, at {place}"),
        };
        let wanted = match unreadable.wanted.as_str() {
            "" => "a request that can be read in one way only",
            wanted => wanted,
        };
        Finding::new(RULE.name, &unreadable.what, &unreadable.fix)
            .wanted_always(wanted)
            .found(&found)
            .ending_standing()
    };
    case.request().unreadable.iter().map(one).collect()
}
