use std::io::{Cursor, Write as _};
use std::time::Duration;

use axum::body::Body;
use zip::write::SimpleFileOptions;

use super::check;
use crate::proxy::hold::{Held, Most};
use crate::proxy::room::Room;
use crate::proxy::share::Bounds;

fn wheel(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn read(wheel: &[u8]) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let most = Most { bytes: 1 << 30, time: Duration::from_secs(60) };
    let taken = Room::of(Bounds { all: 1 << 30, one: 1 << 30 }).taken(None);
    let body = Body::from([b"before", wheel, b"behind"].concat());
    let held = runtime.block_on(Held::take(body, folder.path(), taken, most)).unwrap();
    check(&held, (6, wheel.len() as u64), "shop-cart", "1.0")
}

const INFO: &str = "shop_cart-1.0.dist-info/METADATA";
const GOOD: &str = "Metadata-Version: 2.1\nName: Shop.Cart\nVersion: 1.0\n\nName: in the description\n";

#[test]
fn a_wheel_is_what_its_metadata_says() {
    let good = wheel(&[("shop_cart.py", "x"), (INFO, GOOD)]);
    assert_eq!(read(&good), Ok(()));
    let with = |text: &str| wheel(&[(INFO, text)]);
    let same = whole(&[Raw("x", "x", &[], ""), Raw("x", "x", &[], ""), Raw(INFO, INFO, &[], GOOD)]);
    let twice = {
        let two = wheel(&[(INFO, GOOD), (&INFO.replace("METADATA", "METADATB"), "Name: payroll\n")]);
        let text = two.windows(8).enumerate().filter(|(_, w)| *w == b"METADATB").map(|(at, _)| at + 7);
        let places: Vec<usize> = text.collect();
        let mut two = two;
        places.into_iter().for_each(|at| two[at] = b'A');
        two
    };
    for (bytes, why) in [
        (with("Name: payroll\nVersion: 1.0\n"), "of the project payroll"),
        (with("Name: shop-cart\nVersion: 2.0\n"), "of the version 2.0"),
        (with("Name: shop-cart\nname: payroll\nVersion: 1.0\n"), "Name twice"),
        (with("Name: shop-cart\n payroll\nVersion: 1.0\n"), "on two lines"),
        (with("Name: shop-cart\n\nVersion: 1.0\n"), "without Version"),
        (wheel(&[("METADATA", GOOD)]), "no METADATA"),
        (wheel(&[(INFO, GOOD), ("payroll-1.0.dist-info/METADATA", GOOD)]), "two folders"),
        (wheel(&[(INFO, GOOD), (&INFO.replace("METADATA", "metadata"), GOOD)]), "in other letters"),
        (twice, "two files METADATA"),
        (same, "two files of one name"),
        ([b"#!/bin/sh\n".as_slice(), &good].concat(), ""),
        ([good.as_slice(), b"x"].concat(), "at the end"),
        (good[..good.len() - 1].to_vec(), "at the end"),
        (b"no wheel, and long enough for the end of one".to_vec(), "at the end"),
        (b"short".to_vec(), "no archive"),
    ] {
        let found = read(&bytes);
        assert!(found.as_ref().is_err_and(|e| e.contains(why)), "{why}: {found:?}");
    }
}

/// A file of an archive: its name where it stands, its name in the list, the extensions there, and its text.
struct Raw<'a>(&'a str, &'a str, &'a [u8], &'a str);

fn short(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap().to_le_bytes()
}

fn long(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_le_bytes()
}

/// What stands in both headers of a file, between the version and the length of its name.
fn about(text: &str) -> Vec<u8> {
    let mut sum = flate2::Crc::new();
    sum.update(text.as_bytes());
    let plain: [&[u8]; 4] = [&[0; 8], &sum.sum().to_le_bytes(), &long(text.len()), &long(text.len())];
    plain.concat()
}

/// The files, their list, and the end: all the parts of an archive.
fn parts(files: &[Raw<'_>]) -> (Vec<u8>, Vec<u8>) {
    let (mut there, mut list) = (Vec::new(), Vec::new());
    for Raw(name, listed, extensions, text) in files {
        let at = there.len();
        let head: [&[u8]; 5] =
            [b"PK\x03\x04\x14\0", &about(text), &short(name.len()), &short(0), name.as_bytes()];
        there.extend(head.concat());
        there.extend(text.as_bytes());
        let lengths = [short(listed.len()), short(extensions.len()), short(0)].concat();
        let entry: [&[u8]; 7] = [
            b"PK\x01\x02\x14\0\x14\0",
            &about(text),
            &lengths,
            &[0; 8],
            &long(at),
            listed.as_bytes(),
            extensions,
        ];
        list.extend(entry.concat());
    }
    (there, list)
}

fn end(count: usize, size: usize, at: usize) -> Vec<u8> {
    let end: [&[u8]; 6] =
        [b"PK\x05\x06\0\0\0\0", &short(count), &short(count), &long(size), &long(at), &short(0)];
    end.concat()
}

fn whole(files: &[Raw<'_>]) -> Vec<u8> {
    let (there, list) = parts(files);
    [there.as_slice(), &list, &end(files.len(), list.len(), there.len())].concat()
}

const EVIL: &str = "Name: payroll\nVersion: 1.0\n";

#[test]
fn the_list_of_files_has_one_reading() {
    let good = [Raw(INFO, INFO, &[], GOOD)];
    assert_eq!(read(&whole(&good)), Ok(()));
    let (there, list) = parts(&[Raw(INFO, INFO, &[], GOOD), Raw(INFO, INFO, &[], EVIL)]);
    let one = list.len() / 2;
    let (first, second) = list.split_at(one);
    let behind = |count: usize, size: usize, list: &[&[u8]], at: usize| {
        [there.as_slice(), &list.concat(), &end(count, size, there.len() + at)].concat()
    };
    let other = "shop_cart-1.0.dist-info/METADATb";
    let named =
        [[0x75, 0x70].as_slice(), &short(5 + other.len()), &[1, 0, 0, 0, 0], other.as_bytes()].concat();
    let mut far = whole(&good);
    let at = far.len() - 22 - INFO.len() - 4;
    far[at..at + 4].fill(0xff);
    for (bytes, why) in [
        // CPython takes what stands before the end, others go to where the end says
        (behind(1, one, &[first, second], 0), "right before the end"),
        (behind(1, one, &[second, first], 0), "right before the end"),
        (behind(1, one, &[first, b"PK\x01\x02"], 0), "right before the end"),
        // CPython reads all of it, others as many as the end says
        (behind(1, 2 * one, &[first, second], 0), "a list of 2 files, where its end says 1"),
        (behind(3, 2 * one, &[first, second], 0), "a list of 2 files, where its end says 3"),
        (behind(2, 2 * one, &[first, second], 0), "two files METADATA"),
        (behind(1, one + 4, &[first, b"PK\x01\x02"], 0), "that is broken"),
        (behind(1, one - 1, &[&first[..one - 1]], 0), "that is broken"),
        (behind(0, 0, &[], 0), "something before"),
        (far, "without extensions"),
        (whole(&[Raw(INFO, INFO, &named, GOOD)]), "a file with two names"),
        (whole(&[Raw(INFO, INFO, &[1, 0, 9, 0], GOOD)]), "an extension that is broken"),
        (whole(&[Raw(other, INFO, &[], GOOD)]), ""),
    ] {
        let found = read(&bytes);
        assert!(found.as_ref().is_err_and(|e| e.contains(why)), "{why}: {found:?}");
    }
}

/// Nothing searches for lists in what a client sent: each word of it would be remembered.
#[test]
fn an_archive_full_of_what_lists_begin_with_is_refused_at_once() {
    let words = b"PK\x01\x02".repeat(1 << 20);
    let found = read(&[words.as_slice(), &end(1, 46, 0)].concat());
    assert!(found.as_ref().is_err_and(|e| e.contains("right before the end")), "{found:?}");
}

#[test]
fn a_name_has_one_spelling() {
    for name in [
        "./shop_cart-1.0.dist-info/METADATA",
        "shop_cart-1.0.dist-info//METADATA",
        "shop_cart-1.0.dist-info/./METADATA",
        "shop_cart-1.0.dist-info/x/../METADATA",
        "../shop_cart-1.0.dist-info/METADATA",
        "/shop_cart-1.0.dist-info/METADATA",
        "shop_cart-1.0.dist-info\\METADATA",
        "shop_cart-1.0.dist-info/METADATA\0",
        "x\0/y",
    ] {
        let found = read(&whole(&[Raw(INFO, INFO, &[], GOOD), Raw(name, name, &[], EVIL)]));
        assert!(found.as_ref().is_err_and(|e| e.contains("the path ")), "{name:?}: {found:?}");
    }
    let folders = [Raw("shop_cart/", "shop_cart/", &[], ""), Raw(INFO, INFO, &[], GOOD)];
    assert_eq!(read(&whole(&folders)), Ok(()));
}

#[test]
fn a_line_of_the_head_ends_in_one_way() {
    let of = |text: &str| read(&whole(&[Raw(INFO, INFO, &[], text)]));
    assert_eq!(of("Name: shop-cart\r\nVersion: 1.0\r\n\r\nA\rB\n"), Ok(()), "below the head it is text");
    for text in [
        "X: a\rName: payroll\nName: shop-cart\nVersion: 1.0\n",
        "X: a\n\rName: payroll\nName: shop-cart\nVersion: 1.0\n",
        "Name: shop-cart\nVersion: 1.0\nX: a\r",
        "Name: shop-cart\nVersion: 1.0\nX: a\r\r\nName: payroll\n",
    ] {
        let found = of(text);
        assert!(found.as_ref().is_err_and(|e| e.contains("a carriage return")), "{text:?}: {found:?}");
    }
}
