//! The one small trait that every data source implements.

/// Which stream of a source. The streams of one source never share an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    Train,
    Validation,
    Test,
}

/// Examples by index: u8 RGB images, channel-planar `[3, resolution, resolution]`, and a class.
pub trait Source: Send + Sync {
    /// Side of the images, pixels.
    fn resolution(&self) -> u32;

    fn classes(&self) -> u32;

    /// Number of examples of a split; None where the source is endless.
    fn len(&self, split: Split) -> Option<u64>;

    /// Whether a mirrored image keeps its class.
    fn flips(&self) -> bool;

    /// Writes the image of example `index` and returns its class. The same index gives the same
    /// example, always; `pixels` has `3 * resolution^2` bytes.
    ///
    /// # Errors
    /// An example that cannot be read, by name.
    fn read(&self, split: Split, index: u64, pixels: &mut [u8]) -> Result<u32, DataError>;
}

#[derive(Debug, thiserror::Error)]
pub enum DataError {
}
