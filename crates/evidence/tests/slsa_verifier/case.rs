//! One case of the suite: what the suite says, and the trust root and policy that say the same in our words.

use attest::{Json, Object};

const GITHUB: &str = "https://token.actions.githubusercontent.com";
const GENERATOR: &str = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows";
const DELEGATORS: &str =
    "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/delegator_*_slsa3.yml@**";

pub struct Case {
    pub object: Object,
}

impl Case {
    pub fn text(&self, key: &str) -> Option<&str> {
        self.object.optional_string(key).unwrap().filter(|text| !text.is_empty())
    }

    pub fn id(&self) -> &str {
        self.text("id").unwrap()
    }

    pub fn family(&self) -> &str {
        self.text("family").unwrap()
    }

    pub fn is_good(&self) -> bool {
        self.text("expect") == Some("accept")
    }

    /// The builders that the trust root knows as `expected`: the one that the case names, or the suite's own list.
    fn builders(&self) -> Vec<String> {
        if let Some(id) = self.text("builder_id") {
            return vec![id.to_owned()];
        }
        let listed = self.object.optional_array("default_builders").unwrap();
        let mut builders: Vec<String> = listed.iter().map(|b| b.as_str().unwrap().to_owned()).collect();
        if builders.is_empty() {
            builders.push(format!("{GENERATOR}/generator_container_slsa3.yml"));
        }
        builders
    }

    /// The trust root; `key` reads a file of keys of the suite, by its name in the case.
    pub fn trust_root(&self, keys: &dyn Fn(&str) -> Vec<(String, String)>) -> String {
        let (mut ids, mut identities) = (Vec::new(), Vec::new());
        let identity = |kind: &str, text: &str, more: &str| {
            format!("      - {{ issuer: \"{GITHUB}\", {kind}: \"{text}\"{more} }}\n")
        };
        for builder in self.builders() {
            let runner = "https://github.com/actions/runner";
            if builder.starts_with(runner) {
                // npm's older provenance does not say the kind of machine; the certificate does
                ids.extend(
                    [builder.clone()]
                        .into_iter()
                        .chain(builder.ends_with("/github-hosted").then(|| runner.to_owned())),
                );
                identities.push(identity(
                    "identity-matching",
                    "https://github.com/**",
                    ", runner: github-hosted",
                ));
            } else if builder.contains('@') {
                identities.push(identity("identity", &builder, ""));
                ids.push(builder);
            } else {
                let any = format!("{builder}@refs/tags/*");
                identities.push(identity("identity-matching", &any, ""));
                ids.push(any);
            }
        }
        if self.object.flag("byob").unwrap() {
            identities.push(identity("identity-matching", DELEGATORS, ""));
        }
        let quoted: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
        let mut root =
            "version: 1\nsigstore: { public-good: { trusted-root: embedded } }\nbuilders:\n".to_owned();
        root += &format!("  expected:\n    ids: [{}]\n", quoted.join(", "));
        if self.family() == "gcb" {
            root += "    keys:\n";
            for (name, pem) in keys(self.text("keys_dir").unwrap()) {
                root += &google_key(&name, &pem);
            }
        } else {
            root += &format!("    certificate-identities:\n{}", identities.concat());
        }
        if let Some(file) = self.text("npm_key") {
            let keys: String = keys(file).iter().map(|(_, pem)| key(pem, "")).collect();
            root += &format!("releasers:\n  npmjs:\n    keys:\n{keys}");
        }
        root
    }

    /// The policy. What the requester of the build chose is no part of the suite, so the policy lists what he chose.
    pub fn policy(&self, parameters: &Object) -> String {
        let mut source = format!("repository: \"https://{}\"", self.text("source").unwrap());
        for key in ["branch", "tag"] {
            source += &self.text(key).map(|text| format!(", {key}: \"{text}\"")).unwrap_or_default();
        }
        let mut policy = format!(
            "environment: prod/case\nartifact: registry.example/case\nrequire:\n  built-by: [expected]\n  source: {{ {source} }}\n"
        );
        if let Some(tag) = self.text("versioned_tag") {
            policy += &format!("  version: \"={}\"\n", tag.trim_start_matches('v'));
        }
        match (self.text("package_name"), self.text("package_version")) {
            (Some(name), version) => {
                let version = version.map(|v| format!("@{v}")).unwrap_or_default();
                policy += &format!("  package: \"pkg:npm/{}{version}\"\n", name.replacen('@', "%40", 1));
            }
            (None, Some(version)) => policy += &format!("  version: \"={version}\"\n"),
            (None, None) => {}
        }
        if !parameters.is_empty() {
            policy += "  parameters:\n";
            for (name, value) in parameters.iter() {
                let text = match value {
                    Json::String(text) => text.clone(),
                    other => other.to_string(),
                };
                policy += &format!("    {}: {}\n", Json::from(name), Json::from(text));
            }
        }
        policy
    }

    /// The rules of ours that may give the reason that the suite gives.
    pub fn rules(&self) -> &'static [&'static str] {
        match self.text("why").unwrap() {
            "ErrorMismatchSource" => &["source-repository"],
            "ErrorMismatchBranch" => &["source-branch"],
            "ErrorMismatchTag" => &["source-tag"],
            "ErrorMismatchVersionedTag" => &["version"],
            // a tag is wanted, and a branch was built
            "ErrorInvalidRef" => &["source-tag", "version"],
            "ErrorMismatchPackageName" => &["package"],
            "ErrorMismatchPackageVersion" => &["package", "version"],
            // either the certificate is nobody's, or the id is not one that this builder may claim
            "ErrorMismatchBuilderID"
            | "ErrorUntrustedReusableWorkflow"
            | "ErrorInvalidBuilderID"
            | "ErrorNotSupported"
            | "ErrorVerifierNotSupported" => &["built-by", "evidence-authentic"],
            "ErrorInvalidSignature" => &["evidence-authentic"],
            // of Google's, a signature without a key's name is malformed before it is forged
            "ErrorNoValidSignature" => &["evidence-authentic", "evidence-readable"],
            "ErrorMismatchHash" => &["evidence-applies", "evidence-readable"],
            "ErrorMismatchIntoto" | "ErrorInvalidFormat" | "ErrorInvalidDssePayload" => {
                &["evidence-readable"]
            }
            other => panic!("a reason without a rule: {other}"),
        }
    }
}

fn key(pem: &str, more: &str) -> String {
    let indented: String = pem.lines().map(|line| format!("          {line}\n")).collect();
    format!("      - key: |\n{indented}{more}")
}

/// The service's first keys sign the payload alone, and are named by their place.
fn google_key(name: &str, pem: &str) -> String {
    if name.starts_with("global-pae") {
        return key(pem, "");
    }
    let id = format!(
        "projects/verified-builder/locations/{name}/keyRings/attestor/cryptoKeys/builtByGCB/cryptoKeyVersions/1"
    );
    key(pem, &format!("        signs: payload\n        key-id: {id}\n"))
}
