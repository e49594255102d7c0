//! Why two builds of one thing differ: which place, and what usually makes it so. A hint for people; it decides nothing.

use std::fmt;
use std::io::Read as _;
use std::ops::Range;

/// Where two files differ first, and the likely reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// How many bytes the first has.
    pub wanted_size: usize,
    /// How many bytes the second has.
    pub found_size: usize,
    /// The first byte that differs.
    pub offset: usize,
    /// How many bytes differ, where both have one.
    pub count: usize,
    /// What stands there: a section, an archive's member.
    pub part: String,
    /// The text around it in each, as far as it is text.
    pub around: (String, String),
    /// What usually makes such a difference.
    pub cause: &'static str,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, count, part, cause, .. } = self;
        write!(f, "{count} bytes differ, the first at offset {offset}, in {part}; likely {cause}")
    }
}

/// What is unpacked for being compared.
const MAX_UNPACKED: u64 = 256 << 20;
const BUILD_ID: &str = ".note.gnu.build-id";

/// Compares two files; nothing where they are the same. What gzip packed is compared unpacked.
#[must_use]
pub fn explain(wanted: &[u8], found: &[u8]) -> Option<Difference> {
    if wanted == found {
        return None;
    }
    let Some((one, other)) = unpack(wanted).zip(unpack(found)) else { return Some(first(wanted, found)) };
    if one == other {
        let mut packing = first(wanted, found);
        if !packing.part.contains("time") {
            packing.cause =
                "the packing alone, for what is inside is the same: pack with one gzip, and with -n";
        }
        return Some(packing);
    }
    let mut inside = first(&one, &other);
    inside.part = format!("{} of what gzip packed", inside.part);
    Some(inside)
}

/// What gzip packed; nothing where it did not, or where that is too much.
fn unpack(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.starts_with(b"\x1f\x8b") {
        return None;
    }
    let mut inside = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes).take(MAX_UNPACKED + 1).read_to_end(&mut inside).ok()?;
    u64::try_from(inside.len()).is_ok_and(|size| size <= MAX_UNPACKED).then_some(inside)
}

/// The first difference of two files that are not the same.
fn first(wanted: &[u8], found: &[u8]) -> Difference {
    let shorter = wanted.len().min(found.len());
    let at = wanted.iter().zip(found).position(|(a, b)| a != b).unwrap_or(shorter);
    let count = wanted.iter().zip(found).filter(|(a, b)| a != b).count() + wanted.len().abs_diff(found.len());
    let (mut part, mut offset, mut other) = (part(wanted, at), at, at);
    // the build id is computed from everything else: where that differs too, it says nothing
    let sections = sections_that_differ(wanted, found);
    if let Some(section) = sections.first() {
        (offset, other) = section.1;
        let names: Vec<&str> = sections.iter().take(3).map(|(name, _)| name.as_str()).collect();
        let more = if sections.len() > 3 { " and others" } else { "" };
        let word = if names.len() == 1 { "section" } else { "sections" };
        part = format!("the ELF {word} {}{more}", names.join(", "));
    }
    let around = (context(wanted, offset), context(found, other));
    let cause = match by_shape(wanted.get(offset..), found.get(other..), (wanted, offset)) {
        Some(cause) if !part.contains("the archive's") && !part.contains("header") => cause,
        _ => cause(&part, &around, wanted.len() == found.len()),
    };
    Difference { wanted_size: wanted.len(), found_size: found.len(), offset, count, part, around, cause }
}

/// The sections, beside the build id, that are in both files and not the same, with where in each they differ first.
fn sections_that_differ(wanted: &[u8], found: &[u8]) -> Vec<(String, (usize, usize))> {
    let (Some(all), Some(others)) = (sections(wanted), sections(found)) else { return Vec::new() };
    let mut differ = Vec::new();
    for (name, range) in all {
        let Some((_, other)) = others.iter().find(|(n, _)| *n == name && name != BUILD_ID) else { continue };
        let (Some(one), Some(two)) = (wanted.get(range.clone()), found.get(other.clone())) else { continue };
        if one == two {
            continue;
        }
        let at = one.iter().zip(two).position(|(a, b)| a != b).unwrap_or(one.len().min(two.len()));
        differ.push((name, (range.start + at, other.start + at)));
    }
    differ
}

/// What differs where: digits are mostly a time, and what looks like dice is mostly that.
fn by_shape(one: Option<&[u8]>, two: Option<&[u8]>, (all, offset): (&[u8], usize)) -> Option<&'static str> {
    const RANDOM: &str = "a random number: a key, an id or a seed that is made anew in each build";
    let (one, two) = (one?, two?);
    let before = all.get(..offset)?.iter().rev();
    let run = |test: fn(&u8) -> bool| {
        let ahead = one.iter().zip(two).take_while(|(a, b)| test(a) && test(b)).count();
        (ahead, ahead + before.clone().take_while(|b| test(b)).count())
    };
    let (ahead, digits) = run(u8::is_ascii_digit);
    let (hex_ahead, hex) = run(|b| b.is_ascii_hexdigit() || *b == b'-');
    let differing = |length: usize| one.iter().zip(two).take(length).filter(|(a, b)| a != b).count();
    if hex >= 16 && hex_ahead >= 8 && hex > digits && differing(hex_ahead) * 2 > hex_ahead {
        return Some(RANDOM);
    }
    if ahead > 0 && digits >= 6 {
        return Some("a time: use SOURCE_DATE_EPOCH instead of the clock");
    }
    let is_binary = |bytes: &[u8]| bytes.iter().take(16).filter(|b| !b.is_ascii_graphic()).count() >= 4;
    let is_random = one.len() >= 16 && is_binary(one) && is_binary(two) && differing(16) >= 15;
    is_random.then_some(RANDOM)
}

fn part(bytes: &[u8], offset: usize) -> String {
    let named = if bytes.starts_with(b"\x7fELF\x02\x01") {
        section(bytes, offset).map(|name| format!("the ELF section {name}"))
    } else if bytes.starts_with(b"\x1f\x8b") {
        Some(if (4..8).contains(&offset) { "the gzip header's time" } else { "compressed data" }.to_owned())
    } else if bytes.starts_with(b"!<arch>\n") {
        member_of_ar(bytes, offset)
    } else if bytes.starts_with(b"PK\x03\x04") {
        member_of_zip(bytes, offset)
    } else if bytes.get(257..262) == Some(b"ustar") {
        member_of_tar(bytes, offset)
    } else {
        None
    };
    named.unwrap_or_else(|| {
        let line = bytes.iter().take(offset).filter(|b| **b == b'\n').count() + 1;
        let is_text = bytes.iter().take(4096).all(|b| !b.is_ascii_control() || b.is_ascii_whitespace());
        if is_text { format!("line {line}") } else { "its data".to_owned() }
    })
}

fn number(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let field = bytes.get(at..at.checked_add(width)?)?;
    field.iter().rev().try_fold(0_usize, |n, b| n.checked_mul(256)?.checked_add(usize::from(*b)))
}

/// The section of a 64-bit little-endian ELF file.
fn section(bytes: &[u8], offset: usize) -> Option<String> {
    sections(bytes)?.into_iter().find(|(_, range)| range.contains(&offset)).map(|(name, _)| name)
}

/// Every section that has bytes in the file, and where.
fn sections(bytes: &[u8]) -> Option<Vec<(String, Range<usize>)>> {
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, size, count) = (number(bytes, 40, 8)?, number(bytes, 58, 2)?, number(bytes, 60, 2)?);
    let header = |index: usize| table.checked_add(index.checked_mul(size)?);
    let names = number(bytes, header(number(bytes, 62, 2)?)?.checked_add(24)?, 8)?;
    let mut found = Vec::new();
    for index in 1..count.min(1000) {
        let at = header(index)?;
        let kind = number(bytes, at.checked_add(4)?, 4)?;
        let (start, length) =
            (number(bytes, at.checked_add(24)?, 8)?, number(bytes, at.checked_add(32)?, 8)?);
        // a section without bytes in the file (.bss) covers nothing
        if kind != 8 {
            let name = bytes.get(names.checked_add(number(bytes, at, 4)?)?..)?;
            found.push((printable(name.split(|b| *b == 0).next()?), start..start.checked_add(length)?));
        }
    }
    Some(found)
}

fn member_of_ar(bytes: &[u8], offset: usize) -> Option<String> {
    let mut at = 8_usize;
    loop {
        let header = bytes.get(at..at.checked_add(60)?)?;
        let name = printable(header.get(..16)?);
        let size: usize = std::str::from_utf8(header.get(48..58)?).ok()?.trim().parse().ok()?;
        if offset < at + 60 {
            return Some(format!("the archive's header of {name}"));
        }
        at = at.checked_add(60)?.checked_add(size)?.checked_add(size % 2)?;
        if offset < at {
            return Some(format!("the member {name}"));
        }
    }
}

fn member_of_tar(bytes: &[u8], offset: usize) -> Option<String> {
    let mut at = 0_usize;
    loop {
        let header = bytes.get(at..at.checked_add(512)?)?;
        let name = printable(header.get(..100)?.split(|b| *b == 0).next()?);
        let size = std::str::from_utf8(header.get(124..135)?).ok()?;
        let size = usize::from_str_radix(size.trim().trim_end_matches('\0'), 8).ok()?;
        if offset < at + 512 {
            let field = match offset - at {
                136..148 => "time",
                108..124 | 265..329 => "owner",
                100..108 => "mode",
                _ => "header",
            };
            return Some(format!("the archive's {field} of {name}"));
        }
        at = at.checked_add(512)?.checked_add(size.div_ceil(512).checked_mul(512)?)?;
        if offset < at {
            return Some(format!("the member {name}"));
        }
    }
}

fn member_of_zip(bytes: &[u8], offset: usize) -> Option<String> {
    let mut at = 0_usize;
    while bytes.get(at..at.checked_add(4)?) == Some(b"PK\x03\x04") {
        let (packed, name, extra) =
            (number(bytes, at + 18, 4)?, number(bytes, at + 26, 2)?, number(bytes, at + 28, 2)?);
        let start = at.checked_add(30)?;
        let name = bytes.get(start..start.checked_add(name)?)?;
        let data = start.checked_add(name.len())?.checked_add(extra)?;
        if offset < data {
            let is_time = (at + 10..at + 14).contains(&offset);
            let field = if is_time { "time" } else { "header" };
            return Some(format!("the archive's {field} of {}", printable(name)));
        }
        at = data.checked_add(packed)?;
        if offset < at {
            return Some(format!("the member {}", printable(name)));
        }
    }
    Some("the archive's directory".to_owned())
}

fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    text.trim().trim_end_matches('/').chars().filter(|c| !c.is_control()).take(200).collect()
}

/// The text around a place, or its bytes where it is none.
fn context(bytes: &[u8], offset: usize) -> String {
    let text = text_around(bytes, offset);
    let is_text = bytes.get(offset).is_none_or(|b| b.is_ascii_graphic() || b.is_ascii_whitespace());
    if text.len() >= 4 && is_text {
        return text;
    }
    let hex = bytes.iter().skip(offset).take(16).map(|b| format!(" {b:02x}"));
    format!("hex{}", hex.collect::<String>())
}

/// The printable characters around a place, cut where they end.
fn text_around(bytes: &[u8], offset: usize) -> String {
    let is_text = |b: &&u8| b.is_ascii_graphic() || **b == b' ';
    let before = bytes.get(offset.saturating_sub(40)..offset).unwrap_or_default();
    let kept = before.iter().rev().take_while(is_text).count();
    let before = before.get(before.len() - kept..).unwrap_or_default();
    let after: Vec<u8> =
        bytes.get(offset..).unwrap_or_default().iter().take(40).take_while(is_text).copied().collect();
    printable(&[before, &after].concat())
}

/// What usually makes such a difference, by the signs that each leaves.
fn cause(part: &str, around: &(String, String), is_same_size: bool) -> &'static str {
    let text = format!("{} {}", around.0, around.1).to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| text.contains(w));
    let months =
        ["jan ", "feb ", "mar ", "apr ", "may ", "jun ", "jul ", "aug ", "sep ", "oct ", "nov ", "dec "];
    let is_clock = text
        .split(|c: char| !c.is_ascii_digit() && c != ':')
        .any(|w| w.len() == 8 && w.matches(':').count() == 2);
    if part.contains("time of") || part.contains("header's time") || has(&months) || is_clock || has(&["202"])
    {
        "a time: use SOURCE_DATE_EPOCH instead of the clock"
    } else if part.contains(".note.gnu.build-id") {
        "a consequence: the build id is computed from the rest; look at the other sections"
    } else if has(&["elsewhere", "/build/", "/tmp/", "/home/"]) {
        "a path, user or host name: map it away (-ffile-prefix-map, --remap-path-prefix, -trimpath)"
    } else if part.contains("owner of") || part.contains("mode of") {
        "owners or modes: pack with fixed ones (tar --owner=0 --group=0 --mode=…)"
    } else if part.contains("compressed data") {
        "the data inside: unpack both and compare again"
    } else if part.contains("debug") {
        "debug information that names the machine or the order of work"
    } else if is_same_size {
        "an order: of files in a folder, of entries in a hash table, of jobs on several processors"
    } else {
        "something that was made only once, or a random number"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar_of(name: &str, mtime: u64, content: &[u8]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mtime(mtime);
        builder.append_data(&mut header, name, content).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn the_place_and_the_likely_cause_are_named() {
        let (one, other) = (tar_of("a.txt", 1, b"hello"), tar_of("a.txt", 2, b"hello"));
        let difference = explain(&one, &other).unwrap();
        assert_eq!(difference.part, "the archive's time of a.txt");
        assert!(difference.cause.contains("SOURCE_DATE_EPOCH"), "{difference}");
        let other = tar_of("a.txt", 1, b"hellO");
        assert_eq!(explain(&one, &other).unwrap().part, "the member a.txt");
        let gzip = |time: u8| [0x1f, 0x8b, 8, 0, time, 0, 0, 0, 0, 3, 1, 2, 3].to_vec();
        assert!(explain(&gzip(1), &gzip(2)).unwrap().cause.contains("a time"));
        let difference = explain(b"one\ntwo\n", b"one\ntWo\n").unwrap();
        assert_eq!((difference.part.as_str(), difference.offset, difference.count), ("line 2", 5, 1));
        assert!(explain(b"at 12:30:59 x", b"at 12:31:59 x").unwrap().cause.contains("a time"));
        assert!(explain(b"in /build/src/a", b"in /build/src/b").unwrap().cause.contains("a path"));
        assert!(explain(b"", b"x").is_some() && explain(b"x", b"x").is_none());
    }

    #[test]
    fn a_damaged_file_is_still_compared() {
        let elf = std::fs::read("/proc/self/exe").unwrap();
        for cut in [6, 30, 64, 200] {
            let one = elf[..cut].to_vec();
            let mut other = one.clone();
            other[cut - 1] ^= 1;
            assert!(explain(&one, &other).is_some());
        }
        for start in [b"PK\x03\x04".as_slice(), b"!<arch>\n", b"\x1f\x8b"] {
            let one = [start, &[0xff; 100]].concat();
            let other = [start, &[0xfe; 100]].concat();
            assert!(explain(&one, &other).is_some());
        }
    }

    #[test]
    fn what_is_packed_is_compared_unpacked() {
        let pack = |level: u32, bytes: &[u8]| {
            let mut encoder = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::new(level));
            std::io::Write::write_all(&mut encoder, bytes).unwrap();
            encoder.finish().unwrap()
        };
        let inside = |time| tar_of("a.txt", time, b"hello hello hello hello");
        let difference = explain(&pack(6, &inside(1)), &pack(6, &inside(2))).unwrap();
        assert_eq!(difference.part, "the archive's time of a.txt of what gzip packed");
        let data: Vec<u8> = (0..20_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        assert!(explain(&pack(1, &data), &pack(9, &data)).unwrap().cause.contains("the packing alone"));
    }

    #[test]
    fn times_and_dice_are_told_from_an_order() {
        let cause = |one: &[u8], other: &[u8]| explain(one, other).unwrap().cause;
        assert!(cause(b"made 1763842000 x", b"made 1798402001 x").starts_with("a time"));
        assert!(cause(b"id 3f2a9c01-77de-4b5c", b"id 90bb1d5e-01f4-4e2a").starts_with("a random number"));
        assert!(cause(b"one two three", b"two one three").starts_with("an order"));
        let (one, other) = ([0x81_u8; 20], [0x13_u8; 20]);
        let difference = explain(&one, &other).unwrap();
        assert!(difference.cause.starts_with("a random number"));
        assert!(difference.around.0.starts_with("hex 81 81"), "{:?}", difference.around);
    }

    #[test]
    fn the_build_id_is_not_named_where_something_else_differs() {
        let one = std::fs::read("/proc/self/exe").unwrap();
        let all = sections(&one).unwrap();
        let at = |name: &str| all.iter().find(|(n, _)| n == name).unwrap().1.clone();
        let mut other = one.clone();
        let (id, constants) = (at(BUILD_ID), at(".rodata"));
        other[id.end - 1] ^= 1;
        assert!(explain(&one, &other).unwrap().cause.starts_with("a consequence"));
        other[constants.start + 5] ^= 1;
        let difference = explain(&one, &other).unwrap();
        assert_eq!(
            (difference.part.as_str(), difference.offset),
            ("the ELF section .rodata", constants.start + 5)
        );
    }

    #[test]
    fn a_section_is_named() {
        let one = std::fs::read("/bin/true").unwrap();
        let at =
            one.windows(4).position(|w| w == b"GCC:").or_else(|| one.windows(4).position(|w| w == b"GNU\0"));
        let mut other = one.clone();
        other[at.unwrap()] ^= 1;
        let difference = explain(&one, &other).unwrap();
        assert!(difference.part.starts_with("the ELF section ."), "{difference}");
    }
}
