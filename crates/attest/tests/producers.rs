//! Provenance of producers of whom no signed file is at hand, in the shapes that their documentation gives.

use attest::provenance::Producer;
use attest::{Json, Predicate, Provenance, Statement};

const COMMIT: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

fn statement(kind: &str, predicate: &str) -> Result<Predicate, String> {
    let predicate = predicate.replace("@ID@", COMMIT);
    let text = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"x","digest":{{"sha256":"{}"}}}}],"predicateType":"{kind}","predicate":{predicate}}}"#,
        "a".repeat(64)
    );
    Statement::parse(text.as_bytes()).map(|s| s.predicate).map_err(|e| e.to_string())
}

fn provenance(kind: &str, predicate: &str) -> Provenance {
    match statement(kind, predicate).unwrap() {
        Predicate::Provenance(provenance) => *provenance,
        other => panic!("{other:?}"),
    }
}

/// Repository, ref and commit, where there is a source.
fn source(provenance: &Provenance) -> Option<(String, Option<String>, Option<String>)> {
    let source = provenance.source.as_ref()?;
    Some((source.repository.clone(), source.reference.clone(), source.commit().map(|c| c.hex())))
}

fn of(repository: &str, reference: Option<&str>) -> Option<(String, Option<String>, Option<String>)> {
    Some((repository.to_owned(), reference.map(str::to_owned), Some(COMMIT.to_owned())))
}

fn parameters(provenance: &Provenance) -> String {
    Json::from(provenance.parameters.clone()).to_string()
}

const V1: &str = "https://slsa.dev/provenance/v1";
const V02: &str = "https://slsa.dev/provenance/v0.2";

#[test]
fn google_cloud_build_in_slsa_v1() {
    let read = provenance(
        V1,
        r#"{"buildDefinition":{"buildType":"https://cloud.google.com/build/gcb-buildtypes/google-worker/v1",
        "externalParameters":{"buildConfigSource":{"path":"cloudbuild.yaml","dir":"evil","ref":"refs/heads/main","repository":"git+https://github.com/acme/shop"},
          "substitutions":{"_FLAVOUR":"debug","COMMIT_SHA":"@ID@","TAG_NAME":"v9"}},
        "internalParameters":{"systemSubstitutions":{"BRANCH_NAME":"main","BUILD_ID":"1","COMMIT_SHA":"@ID@"}},
        "resolvedDependencies":[{"uri":"git+https://github.com/acme/shop@refs/heads/main","digest":{"gitCommit":"@ID@"}},
          {"uri":"gcr.io/cloud-builders/docker@sha256:x","digest":{"sha256":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}}]},
        "runDetails":{"builder":{"id":"https://cloudbuild.googleapis.com/GoogleHostedWorker"}}}"#,
    );
    assert_eq!(read.producer(), Producer::CloudBuild);
    assert_eq!(source(&read), of("https://github.com/acme/shop", Some("refs/heads/main")));
    assert_eq!(read.target.as_deref(), Some("cloudbuild.yaml"));
    // a tag that the service does not say was its requester's choice
    assert_eq!(
        parameters(&read),
        r#"{"substitutions._FLAVOUR":"debug","substitutions.TAG_NAME":"v9","buildConfigSource.dir":"evil"}"#
    );
    assert_eq!(read.dependencies.len(), 1);
}

#[test]
fn google_cloud_build_of_files_that_somebody_uploaded_has_no_source_and_says_its_steps() {
    let read = provenance(
        "https://slsa.dev/provenance/v0.1",
        r#"{"builder":{"id":"https://cloudbuild.googleapis.com/GoogleHostedWorker@v0.3"},"materials":[],
        "recipe":{"type":"https://cloudbuild.googleapis.com/CloudBuildSteps@v0.1","arguments":{"steps":[{"name":"bash"}],"substitutions":{"_A":"1","TAG_NAME":"v1"}}},
        "metadata":{"buildStartedOn":"2022-08-15T22:43:18.700638187Z"}}"#,
    );
    assert_eq!(source(&read), None);
    assert_eq!(parameters(&read), r#"{"substitutions._A":"1","steps":[{"name":"bash"}]}"#);
    assert_eq!(read.builder_version.as_deref(), Some("0.3"));
    assert_eq!(read.producer().whose(), "the provenance of Google Cloud Build");
}

#[test]
fn tekton_chains_takes_the_one_repository_that_is_no_tasks_own() {
    let run = |materials: &str| {
        provenance(
            V02,
            &format!(
                r#"{{"builder":{{"id":"https://tekton.dev/chains/v2"}},"buildType":"tekton.dev/v1beta1/TaskRun",
            "invocation":{{"configSource":{{"uri":"git+https://github.com/acme/tasks.git","digest":{{"sha1":"@ID@"}},"entryPoint":"build"}},"parameters":{{"flavour":"debug"}}}},
            "materials":[{materials}]}}"#
            ),
        )
    };
    let shop = r#"{"uri":"git+https://github.com/acme/shop.git","digest":{"sha1":"@ID@"}}"#;
    let one =
        run(&format!(r#"{shop},{{"uri":"oci://gcr.io/x","digest":{{"sha256":"{}"}}}}"#, "b".repeat(64)));
    assert_eq!(source(&one), of("https://github.com/acme/shop", None));
    assert_eq!((one.target.as_deref(), parameters(&one).as_str()), (Some("build"), r#"{"flavour":"debug"}"#));
    let two =
        run(&format!(r#"{shop},{{"uri":"git+https://github.com/acme/other","digest":{{"sha1":"@ID@"}}}}"#));
    assert_eq!(source(&two), None);
    assert_eq!(source(&run("")), None, "what the task came from is not what was built");
}

#[test]
fn tekton_chains_in_slsa_v1_keeps_what_its_requester_chose() {
    let read = provenance(
        V1,
        r#"{"buildDefinition":{"buildType":"https://tekton.dev/chains/v2/slsa",
        "externalParameters":{"runSpec":{"pipelineRef":{"name":"release"},"params":[{"name":"flavour","value":"debug"}],"timeouts":{"pipeline":"1h"}}},
        "resolvedDependencies":[{"name":"pipeline","uri":"git+https://github.com/acme/tasks","digest":{"sha1":"@ID@"}},
          {"name":"inputs/result","uri":"git+https://github.com/acme/shop.git","digest":{"sha1":"@ID@"}}]},
        "runDetails":{"builder":{"id":"https://tekton.dev/chains/v2"}}}"#,
    );
    assert_eq!(source(&read), of("https://github.com/acme/shop", None));
    assert_eq!(read.target.as_deref(), Some("release"));
    assert_eq!(parameters(&read), r#"{"flavour":"debug","runSpec.timeouts":{"pipeline":"1h"}}"#);
}

#[test]
fn whose_task_of_a_name_it_is_stays_a_parameter_of_tekton() {
    let reference = |reference: &str| {
        let read = provenance(
            V1,
            &format!(
                r#"{{"buildDefinition":{{"buildType":"https://tekton.dev/chains/v2/slsa",
                "externalParameters":{{"runSpec":{{{reference}}}}}}},
                "runDetails":{{"builder":{{"id":"https://tekton.dev/chains/v2"}}}}}}"#
            ),
        );
        (read.target.clone().unwrap(), parameters(&read))
    };
    for (key, more) in
        [("taskRef", r#""bundle":"evil.example/tasks""#), ("pipelineRef", r#""resolver":"git""#)]
    {
        let (target, parameters) = reference(&format!(r#""{key}":{{"name":"build",{more}}}"#));
        assert_eq!((target.as_str(), parameters), ("build", format!(r#"{{"runSpec.{key}":{{{more}}}}}"#)));
    }
    let (target, parameters) = reference(r#""pipelineRef":{"name":"evil"},"taskRef":{"name":"build"}"#);
    assert_eq!((target.as_str(), parameters.as_str()), ("evil", r#"{"runSpec.taskRef":{"name":"build"}}"#));
}

#[test]
fn npm_on_gitlab() {
    let read = provenance(
        V02,
        r#"{"buildType":"https://github.com/npm/cli/gitlab/v0alpha1","builder":{"id":"https://gitlab.com/acme/shop/-/runners/12"},
        "invocation":{"configSource":{"uri":"git+https://gitlab.com/acme/shop","digest":{"sha1":"@ID@"},"entryPoint":"publish"},
          "parameters":{"CI":"true","CI_COMMIT_BRANCH":"main","CI_PIPELINE_SOURCE":"push","GITLAB_USER_ID":"7","MINE":"1"}},
        "materials":[{"uri":"git+https://gitlab.com/acme/shop","digest":{"sha1":"@ID@"}}]}"#,
    );
    assert_eq!(source(&read), of("https://gitlab.com/acme/shop", Some("refs/heads/main")));
    assert_eq!((read.trigger.as_deref(), parameters(&read).as_str()), (Some("push"), r#"{"MINE":"1"}"#));
}

#[test]
fn a_manual_start_says_what_it_was_given_where_the_producer_does() {
    let github = provenance(
        V1,
        r#"{"buildDefinition":{"buildType":"https://actions.github.io/buildtypes/workflow/v1",
        "externalParameters":{"workflow":{"ref":"refs/heads/main","repository":"https://github.com/acme/shop","path":".github/workflows/r.yml"},"inputs":{"flavour":"debug"},"vars":{}},
        "internalParameters":{"github":{"event_name":"workflow_dispatch","runner_environment":"self-hosted"}},
        "resolvedDependencies":[{"uri":"git+https://github.com/acme/shop@refs/heads/main","digest":{"gitCommit":"@ID@"}}]},
        "runDetails":{"builder":{"id":"https://github.com/acme/shop/.github/workflows/r.yml@refs/tags/v1.2.3"}}}"#,
    );
    assert_eq!(parameters(&github), r#"{"inputs.flavour":"debug"}"#);
    let text = |inputs: &str| {
        let predicate = format!(
            r#"{{"buildDefinition":{{"buildType":"https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters":{{"workflow":{{"ref":"refs/heads/main","repository":"https://github.com/acme/shop","path":"r.yml"}},"inputs":{inputs}}}}},
            "runDetails":{{"builder":{{"id":"x"}}}}}}"#
        );
        parameters(&provenance(V1, &predicate))
    };
    assert_eq!(text(r#"["debug"]"#), r#"{"inputs":["debug"]}"#, "in no known shape, and not lost");
    assert_eq!(github.runner.as_deref(), Some("self-hosted"));
    assert_eq!(github.builder_version.as_deref(), Some("1.2.3"));
    let generator = provenance(
        V02,
        r#"{"builder":{"id":"https://g.example/b.yml@refs/tags/v1"},"buildType":"https://github.com/slsa-framework/slsa-github-generator/generic@v1",
        "invocation":{"configSource":{"uri":"git+https://github.com/acme/shop@refs/tags/v1","digest":{"sha1":"@ID@"},"entryPoint":".github/workflows/r.yml"},"parameters":{},
          "environment":{"github_event_name":"workflow_dispatch","github_event_payload":{"base_ref":"refs/heads/main","inputs":{"flavour":"debug"},"client_payload":{"ref":"evil"}}}},
        "materials":[{"uri":"git+https://github.com/acme/shop@refs/tags/v1","digest":{"sha1":"@ID@"}}]}"#,
    );
    assert_eq!(parameters(&generator), r#"{"inputs.flavour":"debug","client_payload.ref":"evil"}"#);
    assert_eq!(generator.source.as_ref().unwrap().branch(), Some("main"));
    assert!(generator.dependencies.is_empty());
}

#[test]
fn what_a_producer_must_say_and_does_not_is_malformed() {
    for (kind, predicate, wanted) in [
        (
            V1,
            r#"{"buildDefinition":{"buildType":"https://actions.github.io/buildtypes/workflow/v1","externalParameters":{}},"runDetails":{"builder":{"id":"x"}}}"#,
            "externalParameters.workflow",
        ),
        (
            V1,
            r#"{"buildDefinition":{"buildType":"https://actions.github.io/buildtypes/workflow/v1","externalParameters":{"workflow":{"ref":"r","repository":"r","path":"p","more":"x"}}},"runDetails":{"builder":{"id":"x"}}}"#,
            "repository, ref and path alone",
        ),
        (
            V1,
            r#"{"buildDefinition":{"buildType":"https://slsa.dev/container-based-build/v0.1","externalParameters":{"source":{"uri":"x"}}},"runDetails":{"builder":{"id":"x"}}}"#,
            "configPath",
        ),
        ("https://slsa.dev/provenance/v0.1", r#"{"builder":{"id":"x"}}"#, "recipe"),
        (
            "https://github.com/npm/attestation/tree/main/specs/publish/v0.1",
            r#"{"name":"shop","version":"1"}"#,
            "pkg:npm/shop@1",
        ),
    ] {
        let error = statement(kind, predicate).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
}
