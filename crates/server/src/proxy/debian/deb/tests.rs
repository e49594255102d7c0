use std::io::Write as _;
use std::time::Duration;

use axum::body::Body;

use super::{Deb, MAX_UPLOAD};
use crate::proxy::hold::{Held, Most};
use crate::proxy::room::Room;
use crate::proxy::share::Bounds;

fn read(bytes: Vec<u8>) -> Result<Deb, String> {
    read_within(bytes, &mut { MAX_UPLOAD })
}

fn read_within(bytes: Vec<u8>, left: &mut u64) -> Result<Deb, String> {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let most = Most { bytes: 1 << 30, time: Duration::from_secs(60) };
    let (body, room) = (Body::from(bytes), Room::of(Bounds { all: 1 << 30, one: 1 << 30 }));
    let held = runtime.block_on(Held::take(body, folder.path(), room.taken(None), most)).unwrap();
    Deb::read(&held, left)
}

fn member(name: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, bytes.len());
    let padding: &[u8] = if bytes.len() % 2 == 1 { b"\n" } else { b"" };
    [head.as_bytes(), bytes, padding].concat()
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::Regular);
        archive.append_data(&mut header, name, *bytes).unwrap();
    }
    archive.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// One frame, whose blocks are as they are.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

fn deb(members: &[(&str, &[u8])]) -> Vec<u8> {
    let members = members.iter().map(|(name, bytes)| member(name, bytes));
    [super::MAGIC.to_vec(), members.collect::<Vec<_>>().concat()].concat()
}

const CONTROL: &[u8] = b"Package: shop\nVersion: 1:2.0-1\nArchitecture: all\nDescription: x\n y\n";

#[test]
fn a_package_is_what_its_control_file_says_and_has_one_reading() {
    let (format, data): ((&str, &[u8]), (&str, &[u8])) =
        (("debian-binary", b"2.0\n"), ("data.tar.xz", b"data"));
    let control = gzip(&tar(&[("./postinst", b"#!/bin/sh\n"), ("./control", CONTROL)]));
    let good = deb(&[format, ("control.tar.gz", &control), data]);
    assert_eq!(read(good.clone()).unwrap().file_name(), "shop_2.0-1_all.deb");
    let twice = gzip(&tar(&[("./control", CONTROL), ("control", b"Package: payroll\n")]));
    let two = gzip(&tar(&[("./control", &[CONTROL, b"Package: payroll\n"].concat())]));
    let bomb = gzip(&[tar(&[("./control", CONTROL)]), vec![0; 65 << 20]].concat());
    let long = [control.clone(), b"more".to_vec()].concat();
    let mut cut = good.clone();
    cut.pop();
    for (bytes, why) in [
        (b"no package".to_vec(), "no archive of ar(5)"),
        (deb(&[format, data, ("control.tar.gz", &control)]), "in the place of data.tar"),
        (deb(&[format, ("control.tar.gz", &control)]), "2 members"),
        (deb(&[format, ("control.tar.gz", &control), data, ("control.tar.gz", &control)]), "4 members"),
        (deb(&[("debian-binary", b"3.0\n"), ("control.tar.gz", &control), data]), "no format 2.0"),
        (deb(&[format, ("control.tar.lz4", &control), data]), "a broken header"),
        (deb(&[format, ("control.tar.bz-", &control), data]), "wanted control.tar.zst"),
        (deb(&[format, ("control.tar.zst", &control), data]), "no single frame of zstd"),
        (deb(&[format, ("control.tar.xz", &control), data]), "no archive"),
        (deb(&[format, ("control.tar.gz", &twice), data]), "twice"),
        (deb(&[format, ("control.tar.gz", &two), data]), "a field once"),
        (deb(&[format, ("control.tar.gz", &long), data]), "behind the end of the control member"),
        (deb(&[format, ("control.tar.gz", &bomb), data]), "bytes or more"),
        (cut, "cut off"),
        ([good, b"x".to_vec()].concat(), "a broken header"),
    ] {
        let found = read(bytes);
        assert!(found.as_ref().is_err_and(|e| e.contains(why)), "{why}: {found:?}");
    }
}

#[test]
fn a_control_file_in_zstd_is_read_within_bounds_and_one_frame_is_all() {
    let (format, data): ((&str, &[u8]), (&str, &[u8])) =
        (("debian-binary", b"2.0\n"), ("data.tar.zst", b"data"));
    let of = |control: &[u8]| read(deb(&[format, ("control.tar.zst", control), data]));
    let good = zstd(&tar(&[("./control", CONTROL)]));
    assert_eq!(of(&good).unwrap().file_name(), "shop_2.0-1_all.deb");
    // another reader goes on with the next frame
    let other = zstd(&tar(&[("./control", b"Package: payroll\n")]));
    let empty = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0];
    let bomb = zstd(&[tar(&[("./control", CONTROL)]), vec![0; 65 << 20]].concat());
    // the frame's header says that its window has more bytes than dpkg asks for at its usual level
    let of_window = |window: u8| [0x28, 0xb5, 0x2f, 0xfd, 0x00, window, 0x01, 0x00, 0x00];
    let (usual, wide) = (of_window(0x68), of_window(0x69));
    for (control, why) in [
        ([good.clone(), other].concat(), "behind the end of the control member"),
        ([good.clone(), empty.to_vec()].concat(), "behind the end of the control member"),
        ([empty.to_vec(), good.clone()].concat(), "no single frame of zstd"),
        (good[..good.len() - 5].to_vec(), ""),
        (bomb, "bytes or more"),
        (wide.to_vec(), "no single frame of zstd with a window of at most 8 MiB"),
        (usual.to_vec(), "no such file in the archive"),
        (b"no frame".to_vec(), "no single frame of zstd"),
    ] {
        let found = of(&control);
        assert!(found.as_ref().is_err_and(|e| e.contains(why)), "{why}: {found:?}");
    }
}

/// Hundreds of packages in one upload are not each unpacked as far as one alone may be.
#[test]
fn what_is_unpacked_for_all_packages_of_an_upload_is_bounded() {
    let (format, data): ((&str, &[u8]), (&str, &[u8])) =
        (("debian-binary", b"2.0\n"), ("data.tar.xz", b"data"));
    let plain = [tar(&[("./control", CONTROL)]), vec![0; 4 << 20]].concat();
    let (packed, mut left) = (gzip(&plain), 10 << 20);
    let package = deb(&[format, ("control.tar.gz", &packed), data]);
    for _ in 0..2 {
        let before = left;
        read_within(package.clone(), &mut left).unwrap();
        assert_eq!(before - left, (packed.len() + plain.len()) as u64, "packed and unpacked");
    }
    let found = read_within(package, &mut left);
    assert!(found.as_ref().is_err_and(|e| e.contains("in one upload")), "{found:?}");
    let plain = deb(&[format, ("control.tar", &plain), data]);
    let found = read_within(plain, &mut { 4 << 20 });
    assert!(found.as_ref().is_err_and(|e| e.contains("in one upload")), "{found:?}");
}
