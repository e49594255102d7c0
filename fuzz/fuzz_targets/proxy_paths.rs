//! Addresses of requests: no panic, one spelling for each, and no name that is another one for who decodes once more.
#![no_main]
use server::fuzzing::{address, path, publish_target, query, repository};

/// As somebody further in would read it.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let hex = behind.get(..2).filter(|two| *first == b'%' && two.iter().all(u8::is_ascii_hexdigit));
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        rest = if byte.is_some() { &behind[2..] } else { behind };
        bytes.push(byte.unwrap_or(*first));
    }
    String::from_utf8(bytes).expect("a judged path is UTF-8")
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(target) = std::str::from_utf8(data) else { return };
    let (place, words) = target.split_once('?').unwrap_or((target, ""));
    for slash in [false, true] {
        let Some((spelled, text)) = path(place, slash) else { continue };
        assert_eq!(path(&spelled, slash), Some((spelled.clone(), text.clone())), "one spelling");
        assert!(spelled.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\+".contains(&byte)));
        let read = decoded(&spelled);
        assert_eq!(read, if slash { decoded(&text) } else { text.clone() }, "one meaning");
        assert!(!read.contains("//") && !read.split('/').any(|part| matches!(part, "." | "..")));
        // for who decodes what was decoded already
        assert_eq!(decoded(&text), read);
        if let Some(repository) = repository(&text) {
            assert_eq!(decoded(&repository), repository);
            assert!(!repository.split('/').any(|part| matches!(part, "" | "." | "..")));
        }
        if let Some(package) = publish_target(&text) {
            assert!(
                package.matches('/').count() <= 1
                    && !package.contains(['%', '\\'])
                    && !package.split('/').any(|part| matches!(part, "." | ".."))
            );
        }
    }
    let _ = query(words);
    let Some((bucket, key, form)) = address(place, words) else { return };
    let (place, behind) = form.split_once('?').unwrap_or((&form, ""));
    assert_eq!(address(place, behind), Some((bucket.clone(), key.clone(), form.clone())), "one form");
    assert!(!key.split('/').any(|part| matches!(part, "." | "..")), "{bucket} {key}");
});
