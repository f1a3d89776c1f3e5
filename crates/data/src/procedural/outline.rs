//! Outlines: closed curves `r(angle) = 1 + sum of a_m cos(m angle + phase_m)`, m = 2..=7, as
//! polygons around the origin with mean radius 1.

use super::draws::{Draws, cosine, sine};

/// Corners of an outline.
pub const CORNERS: usize = 40;

/// Harmonics 2, 3, .. of an outline; harmonic 1 would only move it.
const HARMONICS: usize = 6;

/// Candidates per class: the one farthest from the outlines before it is kept.
const CANDIDATES: usize = 8;

pub type Polygon = [(f32, f32); CORNERS];

/// The cosine and sine amplitudes of each harmonic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outline {
    cosines: [f32; HARMONICS],
    sines: [f32; HARMONICS],
}

impl Outline {
    /// Amplitudes up to `depth`, falling with the harmonic so that no curve meets itself.
    pub fn random(draws: &mut Draws, depth: f32) -> Self {
        let mut outline = Self { cosines: [0.0; HARMONICS], sines: [0.0; HARMONICS] };
        for harmonic in 0..HARMONICS {
            let limit = 2.0 * depth / (harmonic as f32 + 2.0);
            outline.cosines[harmonic] = limit * draws.signed();
            outline.sines[harmonic] = limit * draws.signed();
        }
        outline
    }

    /// This outline moved by `change` times another.
    pub fn changed(&self, other: &Self, change: f32) -> Self {
        let blend = |own: &[f32; HARMONICS], other: &[f32; HARMONICS]| {
            std::array::from_fn(|i| own[i] + change * other[i])
        };
        Self {
            cosines: blend(&self.cosines, &other.cosines),
            sines: blend(&self.sines, &other.sines),
        }
    }

    /// Radius at an angle in turns, mean 1; held above 0.2 so that the centre stays inside.
    fn radius(&self, turns: f32) -> f32 {
        let wave = |harmonic: usize| {
            let angle = turns * (harmonic as f32 + 2.0);
            self.cosines[harmonic] * cosine(angle) + self.sines[harmonic] * sine(angle)
        };
        (1.0 + (0..HARMONICS).map(wave).sum::<f32>()).max(0.2)
    }

    pub fn polygon(&self) -> Polygon {
        std::array::from_fn(|corner| {
            let turns = corner as f32 / CORNERS as f32;
            let radius = self.radius(turns);
            (radius * cosine(turns), radius * sine(turns))
        })
    }

    /// Squared distance of two radius functions, by Parseval.
    fn distance(&self, other: &Self) -> f32 {
        let part =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
        part(&self.cosines, &other.cosines) + part(&self.sines, &other.sines)
    }
}

/// `n` outlines well apart: each is the best of several candidates.
pub fn distinct_outlines(n: usize, draws: &mut Draws, depth: f32) -> Vec<Outline> {
    let mut outlines: Vec<Outline> = Vec::with_capacity(n);
    for _ in 0..n {
        let mut best = (Outline::random(draws, depth), -1.0);
        for _ in 0..CANDIDATES {
            let candidate = Outline::random(draws, depth);
            let nearest =
                outlines.iter().map(|kept| kept.distance(&candidate)).fold(f32::MAX, f32::min);
            if nearest > best.1 {
                best = (candidate, nearest);
            }
        }
        outlines.push(best.0);
    }
    outlines
}
