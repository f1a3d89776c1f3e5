//! What every figure can do.

use crate::{Data, DrawError, Look};

/// A figure: plain data that can be drawn, in any look, and written down.
pub trait Figure {
    /// As SVG.
    ///
    /// # Errors
    /// Nothing in it has a place on its axes.
    fn draw(&self, look: Look) -> Result<String, DrawError>;

    /// The numbers that it shows, all of them, also those that its axes cannot.
    fn data(&self) -> Data;

    /// In the default look.
    ///
    /// # Errors
    /// As [`Self::draw`].
    fn svg(&self) -> Result<String, DrawError> {
        self.draw(Look::default())
    }
}
