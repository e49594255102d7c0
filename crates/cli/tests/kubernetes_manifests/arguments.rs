//! What a person gives wrongly, and hears.

use super::{IMAGE, arguments, example, portcullis};

#[test]
fn what_is_given_wrongly_is_said_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let noise = folder.path().join("noise.yaml");
    std::fs::write(&noise, [0xff, 0x00, 0x80]).unwrap();
    let odd = folder.path().join("odd.yaml");
    let text = std::fs::read_to_string(example("serve.yaml")).unwrap();
    std::fs::write(&odd, text.replace("namespaces: [shop]", "namespaces: [\"shop*\"]")).unwrap();
    let out = folder.path().join("out").display().to_string();
    let config = example("serve.yaml").display().to_string();
    let (noise, odd) = (noise.display().to_string(), odd.display().to_string());
    for (old, new, wanted) in [
        (config.as_str(), "/nowhere/serve.yaml", "cannot read the configuration"),
        (&config, folder.path().to_str().unwrap(), "is a folder"),
        (&config, &noise, "no text"),
        (&config, &odd, "a namespace's name"),
        (IMAGE, "registry.example/portcullis:1", "the image is not named by its digest"),
        ("gitops", "x'] || true || ['", "cannot be written down"),
    ] {
        let mut args = arguments("manifests");
        args.extend(["--out".to_owned(), out.clone()]);
        for arg in args.iter_mut().filter(|arg| *arg == old) {
            new.clone_into(arg);
        }
        let said = portcullis(2, &args);
        assert!(said.contains(wanted), "{new}: {said}");
        assert!(!std::path::Path::new(&out).exists(), "{new}");
    }
    portcullis(2, &arguments("manifests"));
    portcullis(2, &[arguments("manifests"), vec!["--out".to_owned(), "/proc/nowhere".to_owned()]].concat());
    portcullis(2, &["kubernetes", "digest", "/nowhere"].map(str::to_owned));
    portcullis(2, &["kubernetes", "digest", &noise].map(str::to_owned));
}

#[test]
fn what_no_cluster_would_take_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out").display().to_string();
    for (option, value, wanted) in [
        ("--storage", "ten", "--storage is no size of a volume"),
        ("--storage", "0Gi", "--storage is no size of a volume"),
        ("--storage", "10GB", "--storage is no size of a volume"),
        ("--namespace", "Port_Cullis", "--namespace is no namespace's name"),
        ("--namespace", "", "--namespace is no namespace's name"),
        ("--exclude", "kube-*", "--exclude is no namespace's name"),
        ("--url", "http://choke.example:8443", "begin it with https://"),
        (
            "--url",
            "https://choke.example:8443/v1/kubernetes/validate",
            "leave out what stands behind the port",
        ),
        ("--url", "https://", "write the host's name"),
    ] {
        let mut args = arguments("manifests");
        if option == "--url" {
            let image = args.iter().position(|arg| arg == "--image").unwrap();
            args.drain(image..image + 2);
        }
        args.extend([option, value, "--out", &out].map(str::to_owned));
        let said = portcullis(2, &args);
        assert!(said.contains(wanted), "{option} {value}: {said}");
        assert!(!std::path::Path::new(&out).exists(), "{option} {value}");
    }
}

#[test]
fn an_account_that_nobody_has_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    for (account, is_odd) in [
        ("serviceaccount:flux-system:flux", true),
        ("groups:sre", true),
        ("group:sre", false),
        ("system:serviceaccount:flux-system:flux", false),
        ("sam@acme.example", false),
    ] {
        let out = folder.path().join("out").display().to_string();
        for option in ["--keeper", "--emergency"] {
            let said = portcullis(
                0,
                &[arguments("manifests"), [option, account, "--out", &out].map(str::to_owned).to_vec()]
                    .concat(),
            );
            let note = format!("note: {option} {account} means a user of this very name");
            assert_eq!(said.contains(&note), is_odd, "{said}");
        }
    }
}
