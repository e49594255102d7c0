//! As much DER as it takes to add an attribute to openssl's signature.

/// The values one after another, each with its tag.
fn parts(mut rest: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    while let [tag, first, more @ ..] = rest {
        let (length, more) = match *first {
            0x81 => (usize::from(more[0]), &more[1..]),
            0x82 => (usize::from(more[0]) * 256 + usize::from(more[1]), &more[2..]),
            short => (usize::from(short), more),
        };
        let Some((value, after)) = more.split_at_checked(length) else { return all };
        all.push((*tag, value.to_vec()));
        rest = after;
    }
    all
}

pub fn encode(tag: u8, value: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(value.len()).unwrap().to_be_bytes();
    let length = match (high, low) {
        (0, 0..=0x7f) => vec![low],
        (0, _) => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [&[tag][..], &length, value].concat()
}

fn join(parts: &[(u8, Vec<u8>)]) -> Vec<u8> {
    parts.iter().flat_map(|(tag, value)| encode(*tag, value)).collect()
}

/// ContentInfo, SignedData and the last signer, taken apart.
type Apart = [Vec<(u8, Vec<u8>)>; 3];

fn apart(cms: &[u8]) -> Apart {
    let info = parts(&parts(cms)[0].1);
    let data = parts(&parts(&info[1].1)[0].1);
    let signers = parts(&data.last().unwrap().1);
    let signer = parts(&signers.last().unwrap().1);
    [info, data, signer]
}

/// What is signed, and the signature.
pub fn signed(cms: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let [_, _, signer] = apart(cms);
    let attributes = signer.iter().find(|(tag, _)| *tag == 0xa0).map(|(_, value)| value.clone());
    (encode(0x31, &attributes.unwrap_or_default()), signer.last().unwrap().1.clone())
}

/// The same with log entries among the unsigned attributes.
pub fn attach(cms: &[u8], entries: &[Vec<u8>]) -> Vec<u8> {
    let [mut info, mut data, mut signer] = apart(cms);
    let kind = encode(6, &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x03, 0x01]);
    let attribute = |entry: &Vec<u8>| encode(0x30, &[kind.clone(), encode(0x31, &encode(4, entry))].concat());
    signer.push((0xa1, entries.iter().flat_map(attribute).collect()));
    let mut signers = parts(&data.pop().unwrap().1);
    signers.pop();
    signers.push((0x30, join(&signer)));
    data.push((0x31, join(&signers)));
    info[1].1 = encode(0x30, &join(&data));
    encode(0x30, &join(&info))
}
