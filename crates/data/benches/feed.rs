//! What the feed costs beside a training step: order, augmentation, a cached batch, one decoded or
//! rendered image. `cargo bench -p data` prints a table of microseconds; nothing is asserted.

#![expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use std::hint::black_box;
use std::time::Instant;

use data::augment::{apply, plan};
use data::{Split, order};
use spec::{Augmentation, DataSpec, ImageFolderSpec, OnCorrupt, ProceduralSpec};

const BATCH: u32 = 32;
const SIDE: u32 = 32;

/// Best of five, microseconds a call.
fn time(name: &str, calls: u64, mut call: impl FnMut(u64)) {
    let pass = |call: &mut dyn FnMut(u64)| {
        let start = Instant::now();
        (0..calls).for_each(call);
        start.elapsed().as_secs_f64() * 1e6 / calls as f64
    };
    let best = (0..5).map(|_| pass(&mut call)).fold(f64::INFINITY, f64::min);
    println!("{name:<44} {best:>9.2} us");
}

fn time_source(name: &str, spec: &DataSpec) {
    let source = data::open(spec).expect("the source opens");
    let mut pixels = vec![0; source.image_bytes()];
    time(name, 2000, |index| drop(black_box(source.read(Split::Train, index, &mut pixels))));
}

fn main() {
    let augmentation = Augmentation { flip: true, crop_padding: 4 };
    time("order of a batch of 32, n = 45000", 20_000, |step| {
        drop(black_box(order::batch(0, 45_000, BATCH, step)))
    });
    time("order of a batch of 32, n = 2^20 + 1", 20_000, |step| {
        drop(black_box(order::batch(0, (1 << 20) + 1, BATCH, step)));
    });
    let draws = order::batch(0, 45_000, BATCH, 7);
    let image = vec![9; (3 * SIDE * SIDE) as usize];
    let mut out = image.clone();
    time("crops of a batch of 32", 20_000, |seed| {
        for draw in &draws {
            black_box(plan(seed, augmentation, *draw));
        }
    });
    time("crops, applied to 32 x 32 pixels", 20_000, |seed| {
        draws.iter().for_each(|draw| {
            apply(&plan(seed, augmentation, *draw), SIDE, &image, black_box(&mut out))
        });
    });
    let procedural =
        ProceduralSpec { resolution: SIDE, classes: 64, first_class: 0, difficulty: 1.0, seed: 0 };
    time_source("one procedural image", &DataSpec::Procedural(procedural));
    match std::env::args().find(|argument| {
        argument.contains('/') && std::path::Path::new(argument).join("train").is_dir()
    }) {
        Some(path) => {
            let path = path.into();
            let spec = ImageFolderSpec { path, resolution: SIDE, on_corrupt: OnCorrupt::Error };
            time_source("one image of the folder", &DataSpec::ImageFolder(spec));
        }
        None => println!("one image of a folder: cargo bench -p data -- path/of/an/image-folder"),
    }
}
