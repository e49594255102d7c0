use super::*;

fn names(bytes: &[u8]) -> Vec<String> {
    unpack(bytes, "f").unwrap().into_iter().map(|p| p.name).collect()
}

#[test]
fn what_is_one_envelope_passes_byte_for_byte() {
    for text in
        ["eyJ.x.y", "{\"mediaType\":\"x\",\n \"a\": 1}", "{\"payload\":\"\"}\n", "noise", "", "{\"a\":"]
    {
        let pieces = unpack(text.as_bytes(), "f").unwrap();
        assert_eq!(pieces.len(), 1, "{text}");
        assert_eq!((pieces[0].name.as_str(), pieces[0].bytes.as_slice()), ("f", text.as_bytes()));
    }
}

#[test]
fn lines_are_envelopes_or_an_error_with_their_number() {
    assert_eq!(names(b"\n{\"payload\":\"\"}\n\n{\"mediaType\":\"x\"}\n"), ["f:2", "f:4"]);
    let bad = unpack(b"{\"payload\":\"\"}\nnoise\n", "f").unwrap_err();
    assert!(bad.to_string().starts_with("line 2 is no envelope"), "{bad}");
    let other = unpack(b"{\"payload\":\"\"}\n{\"a\":1}\n", "f").unwrap_err();
    assert!(matches!(other, UnpackError::Line(2, _)), "{other}");
    let twice = unpack(b"{\"payload\":\"\"}\n{\"payload\":\"\",\"payload\":\"\"}\n", "f").unwrap_err();
    assert!(matches!(twice, UnpackError::Line(2, _)), "{twice}");
}

#[test]
fn lists_of_registries_come_apart() {
    assert_eq!(names(br#"{"attestations":[{"predicateType":"x","bundle":{"mediaType":"m"}}]}"#), ["f[0]"]);
    assert_eq!(names(br#"[{"attestation":{"bundle":{"mediaType":"m"}}},{"payload":""}]"#), ["f[0]", "f[1]"]);
    let pep = br#"{"version":1,"attestation_bundles":[{"publisher":{},"attestations":[{"version":1,"envelope":{}}]}]}"#;
    assert_eq!(names(pep), ["f[0]"]);
    let cases: [(&[u8], &str); 6] = [
        (br#"{"attestations":[]}"#, "no envelope in it"),
        (br#"{"attestations":[{"bundle_url":"https://x.example"}]}"#, "bundle: wanted an object"),
        (br#"{"attestations":[1]}"#, "attestations[0]"),
        (br#"{"attestations":[{"#, "ends too early"),
        (br#"{"version":2,"attestation_bundles":[]}"#, "version: wanted 1"),
        (br#"{"payload":"","signatures":[{"cert":"x","sig":""}]}"#, "needs the log entry"),
    ];
    for (text, wanted) in cases {
        let error = unpack(text, "f").unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    let many = format!("[{}]", vec!["{\"payload\":\"\"}"; MAX_PIECES + 1].join(","));
    assert_eq!(unpack(many.as_bytes(), "f").unwrap_err(), UnpackError::TooMany(MAX_PIECES + 1));
}

#[test]
fn only_alternatives_are_left_out_and_only_where_one_opens() {
    let piece = |name: &str, is_alternative| Piece { name: name.into(), bytes: name.into(), is_alternative };
    let all = || vec![piece("bad", true), piece("good", true), piece("good", true), piece("other", false)];
    let left: Vec<String> = choose(all(), |b| b == b"good").into_iter().map(|p| p.name).collect();
    assert_eq!(left, ["good", "other"]);
    assert_eq!(choose(all(), |b| b == b"other").len(), 4);
}
