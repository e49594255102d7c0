//! An AdmissionReview to deployments, and outcomes to its answer.

pub mod manifests;
