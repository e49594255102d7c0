//! What one question may cost.

use std::time::Duration;

/// What one question may cost, with everything that it takes to answer it. Every bound is inclusive.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one manifest, one index, one page of referrers.
    pub manifest: u64,
    /// Bytes of one blob.
    pub blob: u64,
    /// Bytes of all answers together.
    pub total: u64,
    /// Requests, with redirects and tokens.
    pub requests: usize,
    /// Pages of referrers.
    pub pages: usize,
    /// Records that a registry lists for one image.
    pub referrers: usize,
    /// Pieces of evidence that are fetched.
    pub pieces: usize,
    /// Redirects of one request.
    pub redirects: usize,
    /// From the first request to the last byte.
    pub time: Duration,
    /// Between two bytes.
    pub stall: Duration,
}

impl Default for Limits {
    /// 4 MiB a manifest (the specification's bound), 24 MiB a blob (the largest envelope), 64 MiB and 30 s in all, 64
    /// pieces of at most 1,000 records.
    fn default() -> Self {
        Self {
            manifest: 4 << 20,
            blob: 24 << 20,
            total: 64 << 20,
            requests: 256,
            pages: 32,
            referrers: 1000,
            pieces: 64,
            redirects: 5,
            time: Duration::from_secs(30),
            stall: Duration::from_secs(5),
        }
    }
}
