//! The chart: what the repository has is what the example's files give, and Helm renders the same objects from it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use attest::yaml::{Node, Value};

use super::{IMAGE, arguments, example, portcullis, tools};

fn files(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for below in ["", "templates"] {
        for entry in
            std::fs::read_dir(dir.join(below)).unwrap().map(Result::unwrap).filter(|e| e.path().is_file())
        {
            let name = format!("{below}/{}", entry.file_name().to_string_lossy());
            found.insert(name, std::fs::read_to_string(entry.path()).unwrap());
        }
    }
    found
}

/// Writes manifests from the files in `source`.
fn write(source: &Path, form: &str, to: &Path) {
    let from = example("").display().to_string();
    let mut args = arguments("manifests");
    for arg in &mut args {
        *arg = arg.replace(&from, &source.display().to_string());
    }
    args.extend(["--service-monitor", form, &to.display().to_string()].map(str::to_owned));
    portcullis(0, &args);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn the_chart_of_the_repository_is_what_the_example_gives() {
    let committed = example("..").join("portcullis");
    if std::env::var("GOLDEN").is_ok_and(|value| value == "overwrite") {
        write(&example(""), "--helm", &committed);
    }
    let folder = tempfile::tempdir().unwrap();
    write(&example(""), "--helm", folder.path());
    assert_eq!(files(folder.path()), files(&committed), "GOLDEN=overwrite writes it");
}

fn helm(chart: &Path, args: &[&str]) -> Option<Output> {
    let program = tools::part("helm", tools::cache("tools/helm"))?;
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home.path()).args(["template", "portcullis"]).arg(chart).args(args);
    Some(command.output().unwrap())
}

/// The documents of a file by kind and name, each in a form in which only meaning counts.
fn objects(text: &str) -> BTreeMap<String, String> {
    let documents = format!("\n{text}");
    let documents =
        documents.split("\n---").filter(|d| d.lines().any(|l| !l.is_empty() && !l.starts_with('#')));
    documents
        .map(|document| {
            let node = Node::parse("rendered", document).unwrap_or_else(|e| panic!("{e}: {e:?}\n{document}"));
            let meaning = meaning(&node);
            let kind = document.lines().find_map(|l| l.strip_prefix("kind: ")).unwrap().to_owned();
            let name = document.lines().find_map(|l| l.strip_prefix("  name: ")).unwrap();
            (format!("{kind}/{name}"), meaning)
        })
        .collect()
}

fn meaning(node: &Node) -> String {
    match &node.value {
        Value::Scalar { text, plain }
            if *plain && (text == "true" || text == "false" || text.parse::<i64>().is_ok()) =>
        {
            text.clone()
        }
        Value::Scalar { text, .. } => format!("{text:?}"),
        Value::List(items) => format!("[{}]", items.iter().map(meaning).collect::<Vec<_>>().join(",")),
        Value::Map(pairs) => {
            let mut pairs: Vec<String> =
                pairs.iter().map(|(k, v)| format!("{}:{}", meaning(k), meaning(v))).collect();
            pairs.sort();
            format!("{{{}}}", pairs.join(","))
        }
    }
}

#[test]
fn helm_renders_the_objects_of_the_plain_manifests() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    std::fs::create_dir_all(source.join("book")).unwrap();
    for name in [
        "serve.yaml",
        "trust-root.yaml",
        "guardrails.yaml",
        "ca.crt",
        "apiserver-ca.crt",
        "book/shop.yaml",
        "book/staging.yaml",
    ] {
        std::fs::copy(example(name), source.join(name)).unwrap();
    }
    // whoever writes a policy does not write templates
    let policy = std::fs::read_to_string(example("book/shop.yaml")).unwrap();
    let policy = policy + "# {{ fail \"a template\" }} {{ .Values.image }} {{- /* }}\n";
    std::fs::write(source.join("book/shop.yaml"), policy).unwrap();
    let (plain, chart) = (folder.path().join("plain"), folder.path().join("chart"));
    write(&source, "--out", &plain);
    write(&source, "--helm", &chart);

    let Some(rendered) = helm(&chart, &[]) else { return };
    assert!(rendered.status.success(), "{}", tools::stderr(&rendered));
    let rendered = objects(&tools::stdout(&rendered));
    let mut wanted = BTreeMap::new();
    for name in ["1-install.yaml", "2-webhooks.yaml", "3-policies.yaml"] {
        wanted.extend(objects(&std::fs::read_to_string(plain.join(name)).unwrap()));
    }
    assert!(wanted.len() > 25, "{:?}", wanted.keys());
    assert_eq!(rendered.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (name, wanted) in &wanted {
        assert_eq!(&rendered[name], wanted, "{name}");
    }

    let parts = ["--set=webhooks=false", "--set=policies=false", "--set=serviceMonitor=false"];
    let first = objects(&tools::stdout(&helm(&chart, &parts).unwrap()));
    assert!(first.contains_key("StatefulSet/portcullis"), "{:?}", first.keys());
    assert!(
        !first.keys().any(|k| k.contains("Webhook") || k.contains("Admission") || k.contains("Monitor")),
        "{:?}",
        first.keys()
    );

    let other = IMAGE.replace("aaaa", "cccc");
    let both = helm(&chart, &[&format!("--set=alsoImages[0]={other}")]).unwrap();
    assert!(tools::stdout(&both).contains(&format!("['{IMAGE}', '{other}']")), "{}", tools::stderr(&both));
    for bad in ["image=registry.example/portcullis:1", "alsoImages[0]=x']", "replicas=1", "storage=lots"] {
        let refused = helm(&chart, &["--set", bad]).unwrap();
        assert!(
            !refused.status.success() && tools::stderr(&refused).contains("schema"),
            "{bad}: {}",
            tools::stderr(&refused)
        );
    }
}
