//! The embedded, endless data set. An image shows one object in front of clutter; its class is
//! the object's outline. Colour, texture and background agree with the class at known rates that
//! fall with the difficulty of the example, and each class has many variants, rarer and rarer:
//! so there is something to learn for the smallest model in the first steps and still something
//! for the largest in the last. How this was found: docs/design/2026-11-20-procedural-data.md.
//!
//! An example depends on (seed, split, index) alone. Nothing here keeps a stream, reads a file
//! or calls the platform's trigonometry: the same key gives the same bytes on any machine.
//!
//! A seed makes one world of classes, in a fixed order, and a set is a range of them. Ranges that do
//! not meet are tasks for transfer: docs/design/2026-11-26-transfer-classes.md.

mod draws;
mod factors;
mod outline;
mod recipe;
mod render;
#[cfg(test)]
mod tests;

pub use factors::{Factors, Look};

use draws::{Discrete, Draws, cosine, power_of_rank, sine};
use outline::{Outline, Polygon, distinct_outlines};
use recipe::{CueRate, Recipe};
use render::{Canvas, Colour, Paint, Pattern, Waves};
use spec::{Id, ProceduralSpec};

use crate::{DataError, Source, Split};

/// Part of every key: changes when the generator's images do.
const VERSION: u64 = 1;

/// Classes of one seed's world. Each must be told from all before it, so the cost grows as the square.
const WORLD: u32 = 4096;

/// What a sequence of draws is for; part of its key.
#[derive(Clone, Copy)]
enum Purpose {
    Outlines,
    Looks,
    Factors,
    Detail,
    Noise,
}

/// A set that cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum ProceduralError {
    #[error("resolution {0} of the procedural set is not between 8 and 1024")]
    Resolution(u32),
    #[error("classes {0} of the procedural set is not between 2 and {WORLD}")]
    Classes(u32),
    #[error(
        "first_class {first} and {classes} classes of the procedural set reach beyond the {WORLD} classes of a seed"
    )]
    FirstClass { first: u32, classes: u32 },
    #[error("difficulty {0} of the procedural set is not between 0 and 2")]
    Difficulty(f64),
}

/// How a variant of a class looks when its cues are its own.
#[derive(Clone, Debug, PartialEq)]
struct Variant {
    polygon: Polygon,
    /// The two colours that the texture swings between.
    colours: [Colour; 2],
    background: Colour,
    /// Orientation in turns, cycles per side, and whether crossed.
    texture: (f32, f32, bool),
}

/// The procedural set of a spec.
pub struct Procedural {
    spec: ProceduralSpec,
    recipe: Recipe,
    classes: Discrete,
    variants: Discrete,
    /// `classes x variants`, the variants of a class together; labels count from the first class.
    looks: Vec<Variant>,
    waves: Waves,
}

impl Procedural {
    /// # Errors
    /// A resolution, range of classes or difficulty that the set cannot have.
    pub fn new(spec: &ProceduralSpec) -> Result<Self, ProceduralError> {
        Self::with_recipe(spec, Recipe::tuned())
    }

    fn with_recipe(spec: &ProceduralSpec, recipe: Recipe) -> Result<Self, ProceduralError> {
        check_spec(spec)?;
        let by_rank =
            |n: usize, quarters| Discrete::new((1..=n).map(|rank| power_of_rank(rank, quarters)));
        let looks = looks(spec, &recipe);
        Ok(Self {
            spec: spec.clone(),
            classes: by_rank(spec.classes as usize, recipe.class_quarters),
            variants: by_rank(recipe.variants, recipe.variant_quarters),
            looks,
            waves: Waves::new(),
            recipe,
        })
    }

    /// The factors of an example, as they were or will be rendered.
    pub fn factors(&self, split: Split, index: u64) -> Factors {
        let mut draws = self.draws(Purpose::Factors, split, index);
        let recipe = &self.recipe;
        let own = self.draw_look(&mut draws);
        let root = draws.unit().sqrt();
        let h = (0..recipe.difficulty_halves).fold(self.spec.difficulty as f32, |h, _| h * root);
        Factors {
            class: own.class,
            variant: own.variant,
            difficulty: h,
            colour: self.draw_cue(&mut draws, own, recipe.colour, h),
            texture: self.draw_cue(&mut draws, own, recipe.texture, h),
            background: self.draw_cue(&mut draws, own, recipe.background, h),
            radius: recipe.radius.at(h) * (1.0 + recipe.radius_spread.at(h) * draws.signed()),
            centre: {
                let shift = recipe.shift.at(h);
                (0.5 + shift * draws.signed(), 0.5 + shift * draws.signed())
            },
            rotation: recipe.rotation.at(h) * draws.signed(),
            opacity: recipe.opacity.at(h).clamp(0.2, 1.0),
            texture_depth: recipe.texture_depth.at(h),
            reversed: draws.chance(recipe.reversal.at(h)),
            clutter: (recipe.clutter.at(h) * 2.0 * draws.unit()) as u32,
            occluded: draws.chance(recipe.occlusion.at(h)),
            noise: recipe.noise.at(h),
            detail: draws.bits(),
        }
    }

    /// Renders factors; the same factors give the same pixels.
    ///
    /// # Panics
    /// Where `pixels` is not `3 * resolution^2` long.
    pub fn render(&self, factors: &Factors, pixels: &mut [u8]) {
        let side = self.spec.resolution as usize;
        assert_eq!(pixels.len(), 3 * side * side, "pixels hold one image");
        let mut draws = Draws::new(&[VERSION, Purpose::Detail as u64, factors.detail]);
        let jitter = self.recipe.colour_jitter.at(factors.difficulty);
        let background = moved(self.look(factors.background).background, jitter, &mut draws);
        let mut canvas = Canvas::new(
            side,
            shown(background, factors.reversed),
            (0.3 * draws.signed(), 0.3 * draws.signed()),
        );
        for _ in 0..factors.clutter {
            self.draw_blob(&mut canvas, &mut draws);
        }
        self.draw_object(&mut canvas, factors, background, &mut draws);
        if factors.occluded {
            self.draw_bar(&mut canvas, factors, &mut draws);
        }
        let mut noise = Draws::new(&[VERSION, Purpose::Noise as u64, factors.detail]);
        canvas.write(pixels, factors.noise, || noise.bits());
    }

    fn draws(&self, purpose: Purpose, split: Split, index: u64) -> Draws {
        let stream = match split {
            Split::Train => 0,
            Split::Validation => 1,
            Split::Test => 2,
        };
        let key = [VERSION, self.spec.seed, purpose as u64, stream, index];
        match self.spec.first_class {
            0 => Draws::new(&key),
            // Otherwise example i of every range would have the same pose, noise and label, and what
            // a model has memorised of one task would help it with another.
            first => Draws::new(&[&key[..], &[first.into()]].concat()),
        }
    }

    fn draw_look(&self, draws: &mut Draws) -> Look {
        let class = self.classes.draw(draws) as u32;
        Look { class, variant: self.variants.draw(draws) as u32 }
    }

    /// The example's own look at the cue's rate; otherwise any look, at its frequency.
    fn draw_cue(&self, draws: &mut Draws, own: Look, cue: CueRate, difficulty: f32) -> Look {
        let other = self.draw_look(draws);
        if draws.chance(cue.at(difficulty)) { own } else { other }
    }

    fn look(&self, look: Look) -> &Variant {
        &self.looks[look.class as usize * self.recipe.variants + look.variant as usize]
    }

    fn draw_object(
        &self,
        canvas: &mut Canvas,
        factors: &Factors,
        background: Colour,
        draws: &mut Draws,
    ) {
        let jitter = self.recipe.colour_jitter.at(factors.difficulty);
        let [first, second] =
            self.look(factors.colour).colours.map(|colour| moved(colour, jitter, draws));
        let middle = std::array::from_fn(|c| 0.5 * (first[c] + second[c]));
        let swing = std::array::from_fn(|c| factors.texture_depth * 0.5 * (first[c] - second[c]));
        let pattern = self.draw_pattern(factors, draws);
        let paint =
            Paint { middle: shown(lighter(middle, background), factors.reversed), swing, pattern };
        let own = self.look(Look { class: factors.class, variant: factors.variant });
        let corners = placed(&own.polygon, factors, self.spec.resolution as f32);
        canvas.fill(&corners, &paint, factors.opacity, &self.waves);
    }

    fn draw_pattern(&self, factors: &Factors, draws: &mut Draws) -> Pattern {
        let (orientation, cycles, crossed) = self.look(factors.texture).texture;
        let turn = orientation + self.recipe.texture_jitter.at(factors.difficulty) * draws.signed();
        let (x, y) = (cycles * cosine(turn), cycles * sine(turn));
        Pattern { along: (x, y), across: (-y, x), phases: (draws.unit(), draws.unit()), crossed }
    }

    /// A random blob anywhere behind the object.
    fn draw_blob(&self, canvas: &mut Canvas, draws: &mut Draws) {
        let side = self.spec.resolution as f32;
        let (x, y, radius) =
            (side * draws.unit(), side * draws.unit(), side * draws.between(0.04, 0.16));
        let stretch = draws.between(0.6, 1.6);
        let corners: [(f32, f32); 7] = std::array::from_fn(|corner| {
            let (turns, reach) = (corner as f32 / 7.0, radius * draws.between(0.6, 1.2));
            (x + reach * stretch * cosine(turns), y + reach / stretch * sine(turns))
        });
        let paint = Paint::plain([draws.unit(), draws.unit(), draws.unit()]);
        canvas.fill(&corners, &paint, 0.8, &self.waves);
    }

    /// A bar across the object, off its centre.
    fn draw_bar(&self, canvas: &mut Canvas, factors: &Factors, draws: &mut Draws) {
        let side = self.spec.resolution as f32;
        let turn = draws.unit();
        let (along, across) = ((cosine(turn), sine(turn)), (-sine(turn), cosine(turn)));
        let (near, width) =
            (side * factors.radius * draws.between(0.2, 0.9), side * draws.between(0.06, 0.16));
        let corner = |s: f32, t: f32| {
            let (cx, cy) = (side * factors.centre.0, side * factors.centre.1);
            (cx + s * along.0 + t * across.0, cy + s * along.1 + t * across.1)
        };
        let corners = [
            corner(-side, near),
            corner(side, near),
            corner(side, near + width),
            corner(-side, near + width),
        ];
        let paint = Paint::plain([draws.unit(), draws.unit(), draws.unit()]);
        canvas.fill(&corners, &paint, 0.9, &self.waves);
    }
}

impl Source for Procedural {
    fn resolution(&self) -> u32 {
        self.spec.resolution
    }

    fn classes(&self) -> u32 {
        self.spec.classes
    }

    fn len(&self, _split: Split) -> Option<u64> {
        None
    }

    /// A mirrored outline is no outline of its class.
    fn flips(&self) -> bool {
        false
    }

    fn fingerprint(&self) -> Id {
        Id::of(&("procedural", VERSION, &self.spec))
    }

    fn read(&self, split: Split, index: u64, pixels: &mut [u8]) -> Result<u32, DataError> {
        let factors = self.factors(split, index);
        self.render(&factors, pixels);
        Ok(factors.class)
    }
}

fn check_spec(spec: &ProceduralSpec) -> Result<(), ProceduralError> {
    if !(8..=1024).contains(&spec.resolution) {
        return Err(ProceduralError::Resolution(spec.resolution));
    }
    if !(2..=WORLD).contains(&spec.classes) {
        return Err(ProceduralError::Classes(spec.classes));
    }
    if spec.first_class > WORLD - spec.classes {
        let (first, classes) = (spec.first_class, spec.classes);
        return Err(ProceduralError::FirstClass { first, classes });
    }
    if !(0.0..=2.0).contains(&spec.difficulty) {
        return Err(ProceduralError::Difficulty(spec.difficulty));
    }
    Ok(())
}

/// The look of every variant of every class of the set. Those before its first class are made too,
/// since each outline is drawn to differ from all before it.
fn looks(spec: &ProceduralSpec, recipe: &Recipe) -> Vec<Variant> {
    let key = |purpose: Purpose| [VERSION, spec.seed, purpose as u64];
    let mut draws = Draws::new(&key(Purpose::Looks));
    let mut outlines = Draws::new(&key(Purpose::Outlines));
    let (first, end) = (spec.first_class as usize, (spec.first_class + spec.classes) as usize);
    let classes = distinct_outlines(end, &mut outlines, recipe.outline_depth);
    let variants = classes.iter().flat_map(|class| std::iter::repeat_n(class, recipe.variants));
    let mut looks: Vec<Variant> =
        variants.map(|class| variant(class, &mut draws, recipe)).collect();
    looks.split_off(first * recipe.variants)
}

fn variant(class: &Outline, draws: &mut Draws, recipe: &Recipe) -> Variant {
    let change = Outline::random(draws, recipe.outline_depth);
    let polygon = class.changed(&change, recipe.outline_change).polygon();
    let mut colour = |low: f32| [0.0; 3].map(|_: f32| low + 0.75 * draws.unit());
    let (colours, background) = ([colour(0.25), colour(0.25)], colour(0.0));
    let texture = (0.5 * draws.unit(), draws.between(2.0, 8.0), draws.chance(0.5));
    Variant { polygon, colours, background, texture }
}

fn moved(colour: Colour, jitter: f32, draws: &mut Draws) -> Colour {
    colour.map(|channel| (channel + jitter * draws.signed()).clamp(0.0, 1.0))
}

/// The colour itself or its complement.
fn shown(colour: Colour, reversed: bool) -> Colour {
    colour.map(|channel| if reversed { 1.0 - channel } else { channel })
}

/// The colour, made lighter where it is not 0.2 lighter than the background: without this some
/// objects could not be seen at all, and an outline would be dark in one example and light in the
/// next, which small models take very long to learn.
fn lighter(colour: Colour, background: Colour) -> Colour {
    let lightness = |c: &Colour| (c[0] + c[1] + c[2]) / 3.0;
    let push = (lightness(&background) + 0.2 - lightness(&colour)).max(0.0);
    colour.map(|channel| (channel + push).min(1.0))
}

/// The corners of the object in pixels.
fn placed(polygon: &Polygon, factors: &Factors, side: f32) -> Polygon {
    let (cos, sin) = (cosine(factors.rotation), sine(factors.rotation));
    let radius = side * factors.radius;
    let (cx, cy) = (side * factors.centre.0, side * factors.centre.1);
    polygon.map(|(x, y)| (cx + radius * (x * cos - y * sin), cy + radius * (x * sin + y * cos)))
}
