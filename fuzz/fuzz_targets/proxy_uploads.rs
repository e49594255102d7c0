//! What clients of package indexes upload: no panic, and no second reader that finds other parts or another file.
#![no_main]
use std::io::Read;

use server::fuzzing::{archive, deb, form, listing, package_json, publication};

type Part = (String, Option<String>, Vec<u8>);

fn written(parts: &[Part]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, file, value) in parts {
        let file = file.as_ref().map_or(String::new(), |file| format!("; filename=\"{file}\""));
        let head = format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        body.extend([head.as_bytes(), value, b"\r\n"].concat());
    }
    body.extend(b"--edge--\r\n");
    body
}

/// Every file of this name that the library finds by itself.
fn found(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for entry in tar::Archive::new(bytes).entries().into_iter().flatten() {
        let Ok(mut entry) = entry else { break };
        let path = entry.path_bytes().into_owned();
        let path = path.strip_prefix(b"./").unwrap_or(&path);
        let mut file = Vec::new();
        if path.strip_suffix(b"/").unwrap_or(path) == b"package/package.json"
            && entry.read_to_end(&mut file).is_ok()
        {
            found.push(file);
        }
    }
    found
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(parts) = form(data, "edge") {
        assert!(parts.iter().all(|(_, _, value)| !value.windows(6).any(|six| six == b"--edge")));
        assert!(parts.iter().all(|(name, _, _)| !name.is_empty() && !name.contains(['"', '\r', '\n'])));
        if !parts.is_empty() {
            assert_eq!(form(&written(&parts), "edge"), Some(parts), "what it means can be written");
        }
    }
    if let Some(file) = archive(data) {
        assert_eq!(found(data), [file], "two readers, one file");
    }
    let _ = (publication("shop", data), package_json(data), deb(data));
    if let Some(files) = listing(data) {
        assert!(files.iter().all(|name| !name.contains('/') && !name.starts_with('.')));
    }
});
