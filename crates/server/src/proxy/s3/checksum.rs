//! Checksums that S3's clients say of a body. They are checked here, against the bytes that are decided about.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

const PREFIX: &str = "x-amz-checksum-";

/// A checksum that is being made.
#[derive(Clone)]
pub(super) enum Sum {
    /// A cyclic one, of so many bits, by its table.
    Cyclic(&'static [u64; 256], u64, u32),
    Md5(Md5),
    Other(Context),
}

const CRC32: [u64; 256] = table(0xedb8_8320);
const CRC32C: [u64; 256] = table(0x82f6_3b78);
const CRC64: [u64; 256] = table(0x9a6c_9329_ac4b_c9b5);

/// The table of a reflected polynomial.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler, which refuses what is outside")]
const fn table(polynomial: u64) -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut value, mut bit) = (byte as u64, 0);
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ polynomial } else { value >> 1 };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
}

impl Sum {
    /// For a header or trailer that says a checksum; nothing where it says another, or something else.
    pub(super) fn named(header: &str) -> Option<Self> {
        static TABLES: [[u64; 256]; 3] = [CRC32, CRC32C, CRC64];
        let [crc32, crc32c, crc64] = &TABLES;
        if header == "content-md5" {
            return Some(Self::Md5(Md5::new()));
        }
        match header.strip_prefix(PREFIX)? {
            "crc32" => Some(Self::Cyclic(crc32, u64::from(u32::MAX), 32)),
            "crc32c" => Some(Self::Cyclic(crc32c, u64::from(u32::MAX), 32)),
            "crc64nvme" => Some(Self::Cyclic(crc64, u64::MAX, 64)),
            "sha1" => Some(Self::Other(Context::new(&SHA1_FOR_LEGACY_USE_ONLY))),
            "sha256" => Some(Self::Other(Context::new(&SHA256))),
            _ => None,
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Cyclic(table, value, _) => {
                for byte in bytes {
                    let [low, ..] = value.to_le_bytes();
                    let step = table.get(usize::from(low ^ byte)).copied().unwrap_or_default();
                    *value = step ^ (*value >> 8);
                }
            }
            Self::Md5(md5) => md5.update(bytes),
            Self::Other(context) => context.update(bytes),
        }
    }

    /// As headers say it.
    pub(super) fn finish(self) -> String {
        match self {
            Self::Cyclic(_, value, bits) => {
                let [.., a, b, c, d] = (!value).to_be_bytes();
                if bits == 32 {
                    STANDARD.encode([a, b, c, d])
                } else {
                    STANDARD.encode((!value).to_be_bytes())
                }
            }
            Self::Md5(md5) => STANDARD.encode(md5.finalize()),
            Self::Other(context) => STANDARD.encode(context.finish()),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::Sum;

    /// The check values of "123456789" in the catalogue of parametrised CRC algorithms.
    #[test]
    fn the_catalogues_check_values_come_out() {
        for (name, value) in [
            ("x-amz-checksum-crc32", "cbf43926"),
            ("x-amz-checksum-crc32c", "e3069283"),
            ("x-amz-checksum-crc64nvme", "ae8b14860a799888"),
            ("content-md5", "25f9e794323b453885f5181f1b624d0b"),
            ("x-amz-checksum-sha1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            ("x-amz-checksum-sha256", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
        ] {
            let mut sum = Sum::named(name).unwrap();
            sum.update(b"1234");
            sum.update(b"56789");
            let bytes =
                (0..value.len()).step_by(2).map(|at| u8::from_str_radix(&value[at..at + 2], 16).unwrap());
            assert_eq!(sum.finish(), STANDARD.encode(bytes.collect::<Vec<_>>()), "{name}");
        }
        assert!(Sum::named("x-amz-checksum-mode").is_none());
    }
}
