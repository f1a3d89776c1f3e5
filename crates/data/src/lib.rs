//! Sources of examples: read, verify, decode, subset, augment; batches of u8.
//!
//! A [`Source`] gives any example by its index and keeps no position. What is read when is
//! [`order`]'s, how it is altered [`augment`]'s ([`mixup`]'s, [`patches`]'s); [`Cached`] and [`Stream`] are two ways of getting the
//! same bytes to a trainer. Nothing here trains, prints or knows of libtorch.

pub mod augment;
pub mod drop_path;
pub mod few_shot;
pub mod mixup;
pub mod order;
pub mod patches;
pub mod procedural;
pub mod random;

mod cache;
mod image_folder;
mod preview;
mod source;
mod stream;

pub use augment::{Crop, FILL};
pub use cache::Cached;
pub use image_folder::{DecodeError, ImageFolder};
pub use order::Draw;
pub use preview::contact_sheet;
pub use procedural::{Procedural, ProceduralError};
pub use source::{DataError, Source, Split, open};
pub use stream::{Batch, Stream, StreamSpec};
