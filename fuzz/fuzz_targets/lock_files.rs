//! The lock files of other ecosystems: no panic, and every input has a name below its folder.
#![no_main]
use builder::lock::{cargo, go, npm, pip};

libfuzzer_sys::fuzz_target!(|input: (u8, &str)| {
    let (which, text) = input;
    let wanted = match which % 4 {
        0 => cargo::read("Cargo.lock", text).ok(),
        1 => npm::read("package-lock.json", text).ok(),
        2 => go::read("go.sum", text).ok(),
        _ => {
            let _ = pip::read("requirements.txt", text);
            None
        }
    };
    for file in wanted.unwrap_or_default() {
        assert!(!file.name.starts_with('/') && file.name.split('/').all(|part| part != ".."), "{}", file.name);
    }
});
