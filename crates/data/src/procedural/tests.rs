use proptest::prelude::*;

use super::draws::{Draws, cosine, sine};
use super::outline::{Outline, distinct_outlines};
use super::render::{Canvas, Paint, Waves};
use super::*;

const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

fn spec(resolution: u32, classes: u32, difficulty: f64, seed: u64) -> ProceduralSpec {
    ProceduralSpec { resolution, classes, difficulty, seed }
}

fn standard() -> Procedural {
    Procedural::new(&spec(32, 64, 1.0, 0)).unwrap()
}

fn image(set: &Procedural, split: Split, index: u64) -> (u32, Vec<u8>) {
    let side = set.resolution() as usize;
    let mut pixels = vec![0; 3 * side * side];
    let class = set.read(split, index, &mut pixels).unwrap();
    (class, pixels)
}

/// A digest that depends on every byte and its place.
fn digest(images: impl Iterator<Item = (u32, Vec<u8>)>) -> u64 {
    let words = |(class, pixels): (u32, Vec<u8>)| {
        std::iter::once(u64::from(class)).chain(pixels.into_iter().map(u64::from))
    };
    Draws::new(&images.flat_map(words).collect::<Vec<_>>()).bits()
}

/// Fails where a count is more than five standard deviations of a binomial from its mean.
fn check_count(count: usize, n: usize, probability: f64, what: &str) {
    let (count, mean) = (count as f64, n as f64 * probability);
    let deviation = (mean * (1.0 - probability)).sqrt().max(1.0);
    assert!(
        (count - mean).abs() < 5.0 * deviation,
        "{what}: {count} against {mean} +- {deviation}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_example_depends_on_its_key_alone(seed: u64, index: u64, split in prop::sample::select(&SPLITS[..])) {
        let first = Procedural::new(&spec(32, 16, 1.0, seed)).unwrap();
        let second = Procedural::new(&spec(32, 16, 1.0, seed)).unwrap();
        image(&second, split, index.wrapping_add(1)); // what was read before leaves no trace
        prop_assert_eq!(image(&first, split, index), image(&second, split, index));
    }

    #[test]
    fn factors_drawn_again_render_what_was_read(index: u64, split in prop::sample::select(&SPLITS[..])) {
        let set = standard();
        let factors = set.factors(split, index);
        let mut pixels = vec![0; 3 * 32 * 32];
        set.render(&factors, &mut pixels);
        prop_assert_eq!((factors.class, pixels), image(&set, split, index));
    }

    #[test]
    fn factors_stay_in_their_ranges(index: u64, seed: u64, difficulty in 0.0..=2.0) {
        let factors = Procedural::new(&spec(32, 10, difficulty, seed)).unwrap().factors(Split::Train, index);
        prop_assert!(factors.class < 10 && factors.colour.class < 10 && factors.texture.class < 10);
        prop_assert!((0.0..=difficulty as f32).contains(&factors.difficulty));
        prop_assert!(factors.radius > 0.0 && factors.opacity > 0.0 && factors.noise >= 0.0);
    }

    #[test]
    fn sines_are_those_of_the_platform_to_a_millionth(turns in -2.0_f32..2.0) {
        let angle = f64::from(turns) * std::f64::consts::TAU;
        prop_assert!((f64::from(sine(turns)) - angle.sin()).abs() < 2e-6);
        prop_assert!((f64::from(cosine(turns)) - angle.cos()).abs() < 2e-6);
    }

    #[test]
    fn a_filled_rectangle_adds_its_area_wherever_it_lies(
        x in -20.0_f32..40.0, y in -20.0_f32..40.0, width in 0.0_f32..30.0, quarters in 0_u8..80,
    ) {
        // Heights and tops in quarter pixels: there the vertical coverage is exact.
        let (y, height) = ((y * 4.0).round() / 4.0, f32::from(quarters) / 4.0);
        let mut canvas = Canvas::new(24, [0.0; 3], (0.0, 0.0));
        let corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)];
        canvas.fill(&corners, &Paint::plain([1.0; 3]), 1.0, &Waves::new());
        let inside = |from: f32, length: f32| (from + length).clamp(0.0, 24.0) - from.clamp(0.0, 24.0);
        let mut pixels = vec![0; 3 * 24 * 24];
        canvas.write(&mut pixels, 0.0, || 0);
        let area: f32 = pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).sum();
        prop_assert!((area - 3.0 * inside(x, width) * inside(y, height)).abs() < 0.6);
    }
}

#[test]
fn streams_of_splits_and_seeds_share_no_image() {
    let sets = [0, 1].map(|seed| Procedural::new(&spec(32, 64, 1.0, seed)).unwrap());
    let streams = sets.iter().flat_map(|set| SPLITS.map(|split| (set, split)));
    let images =
        streams.flat_map(|(set, split)| (0..100).map(move |index| image(set, split, index).1));
    let images: Vec<_> = images.collect();
    let distinct: std::collections::HashSet<_> = images.iter().collect();
    assert_eq!(distinct.len(), images.len());
}

#[test]
fn classes_come_at_a_power_of_their_rank() {
    let (set, n) = (standard(), 40_000);
    let mut counts = vec![0; 64];
    for index in 0..n {
        counts[set.factors(Split::Train, index as u64).class as usize] += 1;
    }
    let exponent = f64::from(set.recipe.class_quarters) / 4.0;
    let weight = |class: usize| (class as f64 + 1.0).powf(-exponent);
    let total: f64 = (0..64).map(weight).sum();
    for (class, &count) in counts.iter().enumerate() {
        check_count(count, n, weight(class) / total, &format!("class {class}"));
    }
}

/// Examples whose cue wears the class's own look, against the declared rate of each example.
fn check_cue(name: &str, rate: impl Fn(&Recipe) -> CueRate, cue: impl Fn(&Factors) -> Look) {
    let (set, n) = (standard(), 20_000);
    let all: Vec<Factors> = (0..n).map(|index| set.factors(Split::Validation, index)).collect();
    for (low, high) in [(0.0, 0.05), (0.05, 0.3), (0.3, 1.0)] {
        let group: Vec<&Factors> =
            all.iter().filter(|f| (low..high).contains(&f.difficulty)).collect();
        let agrees = group.iter().filter(|f| cue(f).class == f.class).count();
        let probability = |f: &&Factors| {
            let own = f64::from(rate(&set.recipe).at(f.difficulty));
            own + (1.0 - own) * set.classes.probability(f.class as usize)
        };
        let mean = group.iter().map(probability).sum::<f64>() / group.len() as f64;
        check_count(agrees, group.len(), mean, &format!("{name}, h from {low} to {high}"));
    }
}

#[test]
fn cues_agree_with_the_class_at_their_declared_rates() {
    check_cue("colour", |recipe| recipe.colour, |factors| factors.colour);
    check_cue("texture", |recipe| recipe.texture, |factors| factors.texture);
    check_cue("background", |recipe| recipe.background, |factors| factors.background);
}

#[test]
fn a_cue_that_does_not_agree_tells_nothing_of_the_class() {
    let set = standard();
    let rare = |factors: &Factors| factors.class >= 32;
    let misled = (0..40_000).map(|index| set.factors(Split::Train, index));
    let misled: Vec<Factors> = misled.filter(|f| f.texture.class != f.class && rare(f)).collect();
    let first = misled.iter().filter(|f| f.texture.class == 0).count();
    check_count(first, misled.len(), set.classes.probability(0), "texture of the first class");
}

#[test]
fn without_difficulty_nothing_is_in_the_way() {
    let set = Procedural::new(&spec(32, 64, 0.0, 0)).unwrap();
    for factors in (0..1000).map(|index| set.factors(Split::Train, index)) {
        assert_eq!((factors.difficulty, factors.clutter, factors.occluded), (0.0, 0, false));
    }
}

#[test]
fn any_resolution_shows_the_same_objects() {
    let coarse = Procedural::new(&spec(16, 64, 1.0, 0)).unwrap();
    for resolution in [17, 48, 96] {
        let fine = Procedural::new(&spec(resolution, 64, 1.0, 0)).unwrap();
        for index in 0..50 {
            let ((class, small), (same, large)) =
                (image(&coarse, Split::Train, index), image(&fine, Split::Train, index));
            let mean = |pixels: &[u8]| {
                pixels.iter().map(|&p| f64::from(p)).sum::<f64>() / pixels.len() as f64
            };
            assert_eq!(class, same);
            assert!((mean(&small) - mean(&large)).abs() < 8.0, "example {index} at {resolution}");
        }
    }
}

#[test]
fn outlines_stay_apart_and_around_their_centre() {
    let depth = Recipe::tuned().outline_depth;
    let outlines = distinct_outlines(64, &mut Draws::new(&[7]), depth);
    let radii = |outline: &Outline| outline.polygon().map(|(x, y)| x.hypot(y));
    for (rank, outline) in outlines.iter().enumerate() {
        assert!(radii(outline).iter().all(|radius| (0.19..3.0).contains(radius)));
        for other in &outlines[..rank] {
            let square: f32 =
                radii(outline).iter().zip(radii(other)).map(|(a, b)| (a - b) * (a - b)).sum();
            assert!((square / radii(other).len() as f32).sqrt() > 0.05);
        }
    }
}

#[test]
fn a_spec_out_of_range_is_refused_with_its_number() {
    let refused =
        |spec: ProceduralSpec| Procedural::new(&spec).err().map(|error| error.to_string());
    for (spec, part) in [
        (spec(4, 64, 1.0, 0), "resolution 4 "),
        (spec(2048, 64, 1.0, 0), "resolution 2048 "),
        (spec(32, 1, 1.0, 0), "classes 1 "),
        (spec(32, 64, 3.0, 0), "difficulty 3 "),
        (spec(32, 64, f64::NAN, 0), "difficulty NaN "),
    ] {
        let message = refused(spec.clone());
        assert!(message.as_ref().is_some_and(|text| text.contains(part)), "{spec:?}: {message:?}");
    }
}

#[test]
fn extremes_of_the_spec_render() {
    for spec in [spec(8, 2, 2.0, u64::MAX), spec(33, 1000, 0.5, 1)] {
        let set = Procedural::new(&spec).unwrap();
        for index in [0, 1, u64::MAX] {
            let (class, pixels) = image(&set, Split::Test, index);
            assert!(class < spec.classes && pixels.iter().any(|&pixel| pixel != pixels[0]));
        }
    }
}

/// An accidental change of the generator makes old results incomparable: this test notices. A
/// deliberate one raises `VERSION`, says so in the change log, and puts the new digests here.
#[test]
fn images_are_the_ones_that_results_were_measured_on() {
    let of = |spec: &ProceduralSpec, split| {
        let set = Procedural::new(spec).unwrap();
        digest((0..64).map(|index| image(&set, split, index)))
    };
    let digests = [
        of(&spec(32, 64, 1.0, 0), Split::Train),
        of(&spec(32, 64, 1.0, 0), Split::Validation),
        of(&spec(48, 100, 0.5, 3), Split::Test),
    ];
    assert_eq!(
        digests,
        [0x5cd918daf943ae1b, 0x9fc18d9de80b9e9b, 0xa349dc8fa2a385df],
        "{digests:#x?}"
    );
}
