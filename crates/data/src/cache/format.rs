//! Layout of a cache file: a header of 4096 bytes that `head -n 2` shows, the pixels, the labels as u32
//! in little-endian order.

use serde::{Deserialize, Serialize};
use spec::Id;

use crate::source::{Source, Split};

/// Keeps the pixels aligned to pages.
pub const HEADER_BYTES: usize = 4096;

const LABEL_BYTES: usize = size_of::<u32>();

/// Raised when the layout changes; other versions are built again.
const FORMAT: u32 = 1;

const MAGIC: &str = "isoflop-cache";

/// What a file says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    format: u32,
    pub fingerprint: Id,
    pub split: Split,
    /// Number of examples.
    pub n: u64,
    pub resolution: u32,
    pub classes: u32,
    pub flips: bool,
    /// Corrupt examples that others took the place of.
    pub skipped: u64,
    /// blake3 hash of the labels' bytes.
    labels: String,
}

impl Header {
    pub fn new(source: &dyn Source, split: Split, n: u64, labels: &[u8]) -> Self {
        Self {
            format: FORMAT,
            fingerprint: source.fingerprint(),
            split,
            n,
            resolution: source.resolution(),
            classes: source.classes(),
            flips: source.flips(),
            skipped: source.skipped(split),
            labels: blake3::hash(labels).to_string(),
        }
    }

    /// Magic and hash of the header on the first line, the header on the second.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let text = format!("{MAGIC} {}\n{}\n", Id::of(self), spec::canonical_json(self));
        let mut block = [b'\n'; HEADER_BYTES];
        block[..text.len()].copy_from_slice(text.as_bytes());
        block
    }

    /// None where the file is not whole, not a cache file, or of another format.
    pub fn decode(file: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(file.get(..HEADER_BYTES)?).ok()?.lines();
        let id = lines.next()?.strip_prefix(MAGIC)?.trim();
        let header: Self = serde_json::from_str(lines.next()?).ok()?;
        let whole = Id::of(&header).to_string() == id
            && header.format == FORMAT
            && header.file_bytes() == Some(file.len() as u64);
        whole.then_some(header)
    }

    /// The labels of a file of the right length; None where they do not match their hash.
    pub fn labels(&self, file: &[u8]) -> Option<Vec<u32>> {
        let n = usize::try_from(self.n).ok()?;
        let bytes = file.get(file.len().checked_sub(n * LABEL_BYTES)?..)?;
        let whole = blake3::hash(bytes).to_string() == self.labels;
        let (labels, _) = bytes.as_chunks::<LABEL_BYTES>();
        whole.then(|| labels.iter().map(|label| u32::from_le_bytes(*label)).collect())
    }

    fn file_bytes(&self) -> Option<u64> {
        file_bytes(self.n, u64::from(self.resolution).pow(2).checked_mul(3)?)
    }
}

/// Length of the file of n examples; None where it is beyond u64.
pub fn file_bytes(n: u64, image_bytes: u64) -> Option<u64> {
    n.checked_mul(image_bytes.checked_add(LABEL_BYTES as u64)?)?.checked_add(HEADER_BYTES as u64)
}
