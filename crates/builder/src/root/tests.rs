//! Images as roots: layers upon layers, and what they take away.

use std::fs;
use std::path::{Path, PathBuf};

use attest::Digest;

use super::*;
use crate::image::tests::{Bench, foreign, layer, unchanged};

fn unpack(dir: &Path, bytes: &[u8]) -> Result<PathBuf, RootError> {
    let file = dir.join("image.tar");
    fs::write(&file, bytes).unwrap();
    prepare(&Store::new(&dir.join("store")), &[(Digest::sha256(bytes), file)], &[])
        .map(|root| root.path().to_owned())
}

fn names(root: &Path, folder: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root.join(folder))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| !MOUNTS.contains(&n.as_str()))
        .collect();
    names.sort();
    names
}

#[test]
fn layers_take_away_from_those_below_and_never_from_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let layers = [
        layer(&[
            "a/", "a/one", "a/two", "b/", "b/deep/", "b/deep/x", "c/", "c/old", "d/", "d/x", "keep", "l -> a",
        ]),
        // the whiteout stands after what the same layer brings
        layer(&[
            "a/two",
            "a/.wh.one",
            "c/new",
            "c/.wh..wh..opq",
            ".wh.b",
            "e/.wh.nothing",
            "d",
            "l/",
            "l/in",
        ]),
    ];
    let root = unpack(dir.path(), &foreign(&layers, &unchanged)).unwrap();
    assert_eq!(names(&root, ""), ["a", "c", "d", "keep", "l"]);
    assert_eq!(names(&root, "a"), ["two"]);
    assert_eq!(names(&root, "c"), ["new"], "opaque hides what lies below, wherever in the layer it stands");
    assert!(root.join("d").is_file(), "a file in place of a folder");
    assert!(!root.join("l").is_symlink() && names(&root, "l") == ["in"], "a folder in place of a link");
}

#[test]
fn a_whiteout_leaves_nothing_outside_of_the_root_and_an_odd_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "x").unwrap();
    let link = format!("out -> {}", outside.display());
    let layers = [
        layer(&[&link, "f/", "f/x", "f/y -> /outside"]),
        layer(&["out/.wh.precious", "out/.wh..wh..opq", ".wh.f"]),
    ];
    let root = unpack(dir.path(), &foreign(&layers, &unchanged)).unwrap();
    assert!(outside.join("precious").exists());
    assert_eq!(names(&root, ""), ["out"]);
    for (entry, why) in [
        ("a/.wh.", "a whiteout of nothing"),
        ("a/.wh...", "a whiteout of nothing"),
        (".wh..", "a whiteout of nothing"),
        (".wh..wh.plnk", "of a kind that is not known here"),
        ("a/.wh.x/", "a whiteout that is no file"),
        (".wh.x -> y", "a whiteout that is no file"),
    ] {
        let layers = [layer(&["a/", "a/x"]), layer(&[entry])];
        let error = unpack(dir.path(), &foreign(&layers, &unchanged)).unwrap_err().to_string();
        assert!(error.contains(why), "{entry}: {error}");
    }
}

#[test]
fn in_a_tar_that_is_no_image_a_name_is_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let root = unpack(dir.path(), &layer(&["a/", "a/x", "a/.wh.x"])).unwrap();
    assert_eq!(names(&root, "a"), [".wh.x", "x"]);
    // a place that the sandbox mounts over must not lead elsewhere
    let error = unpack(dir.path(), &layer(&["tmp -> /var"])).unwrap_err().to_string();
    assert!(error.contains("its /tmp is no folder"), "{error}");
}

#[test]
fn an_image_that_was_assembled_here_is_read_back() {
    let bench = Bench::new(&[("shop", b"program"), ("conf", b"mode=prod\n")]);
    let section = "files: { usr/bin/shop: shop, etc/shop.conf: conf }, executable: [usr/bin/shop]";
    let bytes = bench.assemble(section, "image.tar");
    let root = unpack(bench.dir.path(), &bytes).unwrap();
    assert_eq!(fs::read(root.join("usr/bin/shop")).unwrap(), b"program");
    let mode = |path: &str| fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("usr/bin/shop"), mode("etc/shop.conf")), (0o755, 0o644));
}

#[test]
fn a_root_that_is_being_made_is_not_swept_away_half_made() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(&dir.path().join("store"));
    let name = format!("test-{}", Digest::sha256(dir.path().as_os_str().as_encoded_bytes()).hex());
    // the folder is shared with other builds of this machine: theirs are left alone
    let is_ours = |path: &Path| path.join(&name).exists();
    let failed = |e| RootError::Io(PathBuf::new(), e);
    let root = Root::open(&store, &name, failed, |folder| {
        fs::write(folder.join(&name), "x").unwrap();
        sweep(&store, &is_ours, false).unwrap();
        assert!(folder.join(&name).exists(), "half of it would be taken for the whole");
        Ok(())
    })
    .unwrap();
    sweep(&store, &is_ours, false).unwrap();
    let path = root.path().to_owned();
    assert!(path.join(&name).exists(), "nor is one that is in use");
    drop(root);
    sweep(&store, &is_ours, false).unwrap();
    assert!(!path.exists());
}

/// A tar whose one entry has a record of this type and size before it.
fn with_record(kind: tar::EntryType, size: usize) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    // a name that goes on in nothing, or a comment of an extended header
    let mut record = vec![b'a'; size];
    if kind == tar::EntryType::XHeader {
        let head = format!("{size} comment=");
        record[..head.len()].copy_from_slice(head.as_bytes());
        record[size - 1] = b'\n';
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size.try_into().unwrap());
    header.set_cksum();
    archive.append(&header, record.as_slice()).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_path("x").unwrap();
    header.set_size(0);
    header.set_mode(0o644);
    header.set_cksum();
    archive.append(&header, io::empty()).unwrap();
    archive.into_inner().unwrap()
}

#[test]
fn records_before_an_entry_never_fill_the_memory() {
    let dir = tempfile::tempdir().unwrap();
    let why = "the records before an entry are longer than 64 KiB";
    for kind in [tar::EntryType::GNULongName, tar::EntryType::GNULongLink, tar::EntryType::XHeader] {
        let bomb = with_record(kind, 1 << 20);
        // as it is, and as the layer of an image
        for bytes in [bomb.clone(), foreign(std::slice::from_ref(&bomb), &unchanged)] {
            let refused = unpack(dir.path(), &bytes).unwrap_err().to_string();
            assert!(refused.contains(why), "{kind:?}: {refused}");
        }
        let mut bench = Bench::new(&[("shop", b"program")]);
        bench.put("base", &foreign(&[bomb], &unchanged));
        let refused = bench.refused("base: base, files: { bin/shop: shop }, platform: linux/amd64");
        assert!(refused.message.contains(why), "{kind:?}: {refused}");
    }
    let root = unpack(dir.path(), &with_record(tar::EntryType::XHeader, 60 << 10)).unwrap();
    assert_eq!(names(&root, ""), ["x"]);
    // what is skipped of an entry is no record
    let global = with_record(tar::EntryType::XGlobalHeader, 1 << 20);
    assert_eq!(names(&unpack(dir.path(), &global).unwrap(), ""), ["x"]);
}

#[test]
fn an_archive_costs_no_more_entries_bytes_and_time_than_allowed() {
    let later = Instant::now() + PATIENCE;
    let bytes = layer(&["a", "b", "c"]);
    let each = |meter: &Meter| meter.each(bytes.as_slice(), |_| Ok(()));
    let refused = |meter: Meter, why: &str| {
        let error = each(&meter).unwrap_err();
        assert!(error.contains(why), "{error}");
    };
    each(&Meter::new(later, 4, 1 << 20)).unwrap();
    refused(Meter::new(later, 2, 1 << 20), "entries");
    refused(Meter::new(later, 9, 2000), "GiB");
    refused(Meter::until(Instant::now()), "longer than 30 minutes");
    // several archives share what is allowed
    let shared = Meter::new(later, 6, 1 << 20);
    each(&shared).unwrap();
    assert!(each(&shared).is_err());
    // the hole of a sparse file is read from nowhere
    let hole = Meter::new(later, 9, 1 << 20).copy(&mut io::repeat(0).take(2 << 20), &mut io::sink());
    assert!(hole.unwrap_err().to_string().contains("GiB"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("root.tar");
    fs::write(&file, &bytes).unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    let late = fill(&root, &[(Digest::sha256(&bytes), file)], &[], Instant::now()).unwrap_err();
    assert!(late.to_string().contains("longer than 30 minutes"), "{late}");
}

#[test]
fn an_image_of_more_layers_than_any_has_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let layers = |count| foreign(&vec![layer(&["a"]); count], &unchanged);
    assert!(unpack(dir.path(), &layers(256)).is_ok());
    let refused = unpack(dir.path(), &layers(257)).unwrap_err().to_string();
    assert!(refused.contains("it has 257 layers, and 256 are allowed"), "{refused}");
}
