//! The real CIFAR-10 through the image folder, the cache and the stream; skipped by name where the
//! archive is absent.

#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use data::{Cached, Source, Split, Stream, StreamSpec, contact_sheet, few_shot};
use spec::{Augmentation, DataSpec, ImageFolderSpec, OnCorrupt};

/// The unpacked set; `make data-cifar10`'s own script unpacks it, once per target folder.
fn unpacked(test: &str) -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let archive = root.join("../shared/data/cifar10/cifar10-jpeg.tar.gz");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cifar10");
        archive.is_file().then(|| {
            let mut script = Command::new(root.join("scripts/data-cifar10.sh"));
            assert!(script.arg(&archive).arg(&folder).status().expect("the script runs").success());
            folder
        })
    });
    if folder.is_none() {
        eprintln!(
            "skipped: {test}: no ../shared/data/cifar10/cifar10-jpeg.tar.gz beside the repository"
        );
    }
    folder.as_deref()
}

fn open(folder: &Path, resolution: u32) -> Box<dyn Source> {
    let path = folder.to_owned();
    let spec = ImageFolderSpec { path, resolution, on_corrupt: OnCorrupt::Error };
    data::open(&DataSpec::ImageFolder(spec)).unwrap()
}

#[test]
fn cifar10_splits_into_45000_5000_and_10000_balanced_examples() {
    let Some(folder) = unpacked("cifar10_splits_into_45000_5000_and_10000_balanced_examples")
    else {
        return;
    };
    let source = open(folder, 32);
    assert_eq!((source.classes(), source.resolution(), source.flips()), (10, 32, true));
    let cache = tempfile::tempdir().unwrap();
    for (split, len) in [(Split::Train, 45_000), (Split::Validation, 5_000), (Split::Test, 10_000)]
    {
        assert_eq!(source.len(split), Some(len));
        let start = Instant::now();
        let cached = Cached::open_or_build(&*source, split, len, cache.path(), &|| false).unwrap();
        println!(
            "{split}: {:.0} images a second into the cache",
            len as f64 / start.elapsed().as_secs_f64()
        );
        let mut counts = [0_u32; 10];
        cached.labels().iter().for_each(|label| counts[*label as usize] += 1);
        // Drawn without replacement from equal classes: the standard deviation is 20 in validation.
        let expected = len as f64 / 10.0;
        assert!(
            counts.iter().all(|count| (f64::from(*count) - expected).abs() < 90.0),
            "{counts:?}"
        );
    }
}

#[test]
fn cifar10_streams_share_no_image_and_its_subsets_are_prefixes() {
    let Some(folder) = unpacked("cifar10_streams_share_no_image_and_its_subsets_are_prefixes")
    else {
        return;
    };
    let source = open(folder, 32);
    let cache = tempfile::tempdir().unwrap();
    let cached =
        |split, n| Cached::open_or_build(&*source, split, n, cache.path(), &|| false).unwrap();
    let (small, train, validation) =
        (cached(Split::Train, 1000), cached(Split::Train, 45_000), cached(Split::Validation, 5000));
    assert_eq!(small.pixels(), &train.pixels()[..small.pixels().len()]);
    assert_eq!(small.labels(), &train.labels()[..1000]);
    let images: std::collections::HashSet<&[u8]> = train.pixels().chunks(3072).collect();
    let shared = validation.pixels().chunks(3072).filter(|image| images.contains(image)).count();
    // CIFAR-10 itself has a few images twice.
    assert!(shared < 10, "{shared} validation images are train images");
}

#[test]
fn cifar10_streams_the_same_batches_from_files_and_from_the_cache() {
    let Some(folder) = unpacked("cifar10_streams_the_same_batches_from_files_and_from_the_cache")
    else {
        return;
    };
    let source: Arc<dyn Source> = open(folder, 32).into();
    let cache = tempfile::tempdir().unwrap();
    let cached =
        Cached::open_or_build(&*source, Split::Train, 300, cache.path(), &|| false).unwrap();
    let augmentation = Augmentation { flip: true, crop_padding: 4 };
    let spec = StreamSpec { seed: 1, unique_examples: 300, batch: 32, augmentation };
    let batches = |source: &Arc<dyn Source>, threads| {
        Stream::start(source, spec, &(3..30), threads).collect::<Result<Vec<_>, _>>().unwrap()
    };
    let cached: Arc<dyn Source> = Arc::new(cached);
    assert_eq!(batches(&source, 2), batches(&cached, 1));
}

#[test]
fn cifar10_has_25_shots_of_each_class_in_a_small_pool() {
    let Some(folder) = unpacked("cifar10_has_25_shots_of_each_class_in_a_small_pool") else {
        return;
    };
    let start = Instant::now();
    let source = open(folder, 32);
    println!("{:?} to open the folder", start.elapsed());
    let cache = tempfile::tempdir().unwrap();
    let pool = Cached::open_or_build(&*source, Split::Train, 1000, cache.path(), &|| false);
    let (labels, start) = (pool.unwrap().labels().to_vec(), Instant::now());
    for draw in 0..3 {
        let places = few_shot::shots(&labels, 10, 25, 0, draw).unwrap();
        assert!(places.iter().zip(0..).all(|(place, rank)| labels[*place] == rank / 25));
    }
    println!("{:?} for three draws", start.elapsed());
}

#[test]
fn cifar10_is_resized_and_shown() {
    let Some(folder) = unpacked("cifar10_is_resized_and_shown") else { return };
    let source = open(folder, 24);
    let png = contact_sheet(&*source, Split::Validation, 10, 8).unwrap();
    let sheet = image::load_from_memory(&png).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (3 + 8 * 75, 3 + 10 * 75));
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("cifar10.png"), png).unwrap();
}
