//! What an example is made of. Factors are drawn before anything is rendered and can be drawn
//! again at any time, so evaluations may group examples by them.

/// Which look a cue wears. Where `class` is the example's class by chance or by rate, the cue
/// helps; otherwise it misleads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub class: u32,
    pub variant: u32,
}

/// The factors of one example. Lengths are fractions of the side, angles are turns.
#[derive(Clone, Debug, PartialEq)]
pub struct Factors {
    /// The label: the class whose outline the object has.
    pub class: u32,
    /// Which variant of the class: its small change of the outline.
    pub variant: u32,
    /// h: 0 is easiest; 1 is hardest at `difficulty = 1`.
    pub difficulty: f32,
    /// Whose colours the object wears.
    pub colour: Look,
    /// Whose texture the object wears.
    pub texture: Look,
    /// Whose background colour is behind it.
    pub background: Look,
    /// Mean radius.
    pub radius: f32,
    /// Centre of the object; (0.5, 0.5) is the middle.
    pub centre: (f32, f32),
    pub rotation: f32,
    /// Opacity of the object.
    pub opacity: f32,
    /// Amplitude of the texture, 0 to 1.
    pub texture_depth: f32,
    /// Whether object and background are drawn in the complements of their colours.
    pub reversed: bool,
    /// Blobs behind the object.
    pub clutter: u32,
    /// Whether a bar lies over the object.
    pub occluded: bool,
    /// Half-width of the pixel noise, 0 to 1 a channel.
    pub noise: f32,
    /// Key of the details that no evaluation groups by: jitter, phases, blobs, noise.
    pub(super) detail: u64,
}
