//! Every tuned number of the set, with its unit. What was tried and why these were kept:
//! docs/design/2026-11-20-procedural-data.md. A change here makes old results incomparable.

/// The constants of the set. `h` is the difficulty of an example, 0 to about 1.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Variants of a class: each has its own look and its own small change of the outline.
    pub variants: usize,
    /// Class frequency is rank^-(this / 4).
    pub class_quarters: u32,
    /// Frequency of a variant within its class is rank^-(this / 4).
    pub variant_quarters: u32,
    /// h = u^(this / 2), u uniform.
    pub difficulty_halves: u32,
    pub colour: CueRate,
    pub texture: CueRate,
    pub background: CueRate,
    /// Change of a variant's outline relative to the class outline, fraction of the amplitude.
    pub outline_change: f32,
    /// Largest amplitude of an outline harmonic, fraction of the radius.
    pub outline_depth: f32,
    /// Standard scale of the change of a look's colours, 0 to 1 a channel.
    pub colour_jitter: Graded,
    /// Turns of change of a look's texture orientation.
    pub texture_jitter: Graded,
    /// Amplitude of the texture, as a mix of the look's two colours (0 to 1).
    pub texture_depth: Graded,
    /// Opacity of the object.
    pub opacity: Graded,
    /// Mean radius of the object, fraction of the side.
    pub radius: Graded,
    /// Largest relative change of the radius.
    pub radius_spread: Graded,
    /// Largest displacement of the centre, fraction of the side.
    pub shift: Graded,
    /// Largest rotation, turns.
    pub rotation: Graded,
    /// Probability that light and dark change places: without it, objects are lighter than what is
    /// behind them.
    pub reversal: Graded,
    /// Mean number of clutter blobs behind the object.
    pub clutter: Graded,
    /// Probability of an occluder.
    pub occlusion: Graded,
    /// Half-width of the uniform noise, 0 to 1 a channel.
    pub noise: Graded,
}

/// A quantity that moves with the difficulty: `easy + (hard - easy) h`.
#[derive(Clone, Copy, Debug)]
pub struct Graded {
    pub easy: f32,
    pub hard: f32,
}

impl Graded {
    pub fn at(self, difficulty: f32) -> f32 {
        self.easy + (self.hard - self.easy) * difficulty
    }
}

/// How often a cue is the class's own: `rate (1 - h / zero_at)`, not below 0. Otherwise the cue
/// is drawn as if the class were unknown, so that it says nothing.
#[derive(Clone, Copy, Debug)]
pub struct CueRate {
    pub rate: f32,
    pub zero_at: f32,
}

impl CueRate {
    pub fn at(self, difficulty: f32) -> f32 {
        (self.rate * (1.0 - difficulty / self.zero_at)).max(0.0)
    }
}

impl Recipe {
    pub const fn tuned() -> Self {
        Self {
            variants: 16,
            class_quarters: 2,
            variant_quarters: 12,
            difficulty_halves: 4,
            colour: CueRate { rate: 0.9, zero_at: 1.5 },
            texture: CueRate { rate: 0.9, zero_at: 1.0 },
            background: CueRate { rate: 0.9, zero_at: 1.2 },
            outline_change: 0.3,
            outline_depth: 0.35,
            colour_jitter: Graded { easy: 0.03, hard: 0.15 },
            texture_jitter: Graded { easy: 0.01, hard: 0.06 },
            texture_depth: Graded { easy: 0.5, hard: 0.5 },
            opacity: Graded { easy: 1.0, hard: 0.5 },
            radius: Graded { easy: 0.32, hard: 0.22 },
            radius_spread: Graded { easy: 0.05, hard: 0.35 },
            shift: Graded { easy: 0.0, hard: 0.25 },
            rotation: Graded { easy: 0.0, hard: 0.3 },
            reversal: Graded { easy: 0.0, hard: 0.5 },
            clutter: Graded { easy: 0.0, hard: 4.0 },
            occlusion: Graded { easy: 0.0, hard: 0.8 },
            noise: Graded { easy: 0.02, hard: 0.25 },
        }
    }
}
