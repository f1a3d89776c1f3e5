use std::fs;
use std::path::Path;

use image::{DynamicImage, Rgb, RgbImage};
use tempfile::TempDir;

use super::*;

const SIDE: u32 = 8;

/// Writes one image of a single colour; the extension says the format.
fn paint(folder: &TempDir, path: &str, colour: [u8; 3]) {
    save(folder, path, RgbImage::from_pixel(SIDE, SIDE, Rgb(colour)).into());
}

fn save(folder: &TempDir, path: &str, image: DynamicImage) {
    let path = folder.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.save(path).unwrap();
}

fn spec(folder: &Path, on_corrupt: OnCorrupt) -> ImageFolderSpec {
    ImageFolderSpec { path: folder.to_owned(), resolution: SIDE, on_corrupt }
}

fn open(folder: &TempDir) -> Result<ImageFolder, DataError> {
    ImageFolder::open(&spec(folder.path(), OnCorrupt::Error))
}

/// 15 PNG files of `cat` and 15 JPEG files of `dog`, every one of its own shade of green.
fn pets() -> TempDir {
    let folder = TempDir::new().unwrap();
    for number in 0..15 {
        paint(&folder, &format!("train/cat/{number:02}.png"), [10, 8 * number, 10]);
        paint(&folder, &format!("train/dog/{number:02}.jpg"), [10, 8 * (15 + number), 10]);
    }
    folder
}

fn read(source: &ImageFolder, split: Split, index: u64) -> Result<(u32, Vec<u8>), DataError> {
    let mut pixels = vec![0; source.image_bytes()];
    Ok((source.read(split, index, &mut pixels)?, pixels))
}

/// The file numbers (0 to 29) of a stream, in order.
fn numbers(source: &ImageFolder, split: Split) -> Vec<u8> {
    let number = |index| {
        let (class, pixels) = read(source, split, index).unwrap();
        let number = (pixels[source.image_bytes() / 2] + 4) / 8;
        assert_eq!(class, u32::from(number >= 15));
        number
    };
    (0..source.len(split).unwrap()).map(number).collect()
}

#[test]
fn without_a_validation_folder_a_tenth_of_train_is_held_out_and_never_shared() {
    let folder = pets();
    let source = open(&folder).unwrap();
    let (train, validation) = (numbers(&source, Split::Train), numbers(&source, Split::Validation));
    assert_eq!((train.len(), validation.len(), source.len(Split::Test)), (27, 3, Some(0)));
    let mut all = [train, validation].concat();
    all.sort_unstable();
    assert!(all.iter().copied().eq(0..30));
}

#[test]
fn the_order_is_fixed_and_mixes_the_classes() {
    let (first, second) = (pets(), pets());
    let order = numbers(&open(&first).unwrap(), Split::Train);
    assert_eq!(order, numbers(&open(&second).unwrap(), Split::Train));
    let cats = order[..10].iter().filter(|number| **number < 15).count();
    assert!((2..=8).contains(&cats), "{order:?}");
}

#[test]
fn a_validation_and_a_test_folder_are_streams_of_their_own() {
    for name in ["val", "validation"] {
        let folder = pets();
        paint(&folder, &format!("{name}/dog/a.jpeg"), [10, 200, 10]);
        paint(&folder, "test/cat/b.PNG", [10, 0, 10]);
        fs::write(folder.path().join("test/cat/notes.txt"), "not an image").unwrap();
        fs::create_dir(folder.path().join("test/.thumbnails")).unwrap();
        let source = open(&folder).unwrap();
        assert_eq!(numbers(&source, Split::Train).len(), 30);
        assert_eq!(numbers(&source, Split::Validation), [25]);
        assert_eq!(numbers(&source, Split::Test), [0]);
    }
}

#[test]
fn images_become_planar_central_squares_of_the_resolution() {
    let folder = pets();
    let (green, red) = (Rgb([0, 200, 50]), Rgb([255, 0, 0]));
    let wide = RgbImage::from_fn(40, 20, |x, _| if (10..30).contains(&x) { green } else { red });
    let tall = RgbImage::from_fn(3, 5, |_, y| if (1..4).contains(&y) { green } else { red });
    save(&folder, "test/cat/wide.png", wide.into());
    save(&folder, "test/cat/tall.png", tall.into());
    let source = open(&folder).unwrap();
    for index in 0..2 {
        let (_, pixels) = read(&source, Split::Test, index).unwrap();
        for (plane, value) in pixels.chunks((SIDE * SIDE) as usize).zip(green.0) {
            assert!(plane.iter().all(|pixel| *pixel == value), "{plane:?}");
        }
    }
}

#[test]
fn grey_alpha_deep_and_misnamed_files_are_read() {
    let folder = pets();
    let image = DynamicImage::from(RgbImage::from_pixel(SIDE, SIDE, Rgb([90; 3])));
    save(&folder, "test/cat/grey.png", image.to_luma8().into());
    save(&folder, "test/cat/alpha.png", image.to_rgba8().into());
    save(&folder, "test/cat/deep.png", image.to_rgb16().into());
    save(&folder, "test/cat/grey.jpg", image.to_luma8().into());
    image
        .save_with_format(folder.path().join("test/cat/misnamed.JPEG"), image::ImageFormat::Png)
        .unwrap();
    let source = open(&folder).unwrap();
    assert_eq!(source.len(Split::Test), Some(5));
    for index in 0..5 {
        let (_, pixels) = read(&source, Split::Test, index).unwrap();
        assert!(pixels.iter().all(|pixel| pixel.abs_diff(90) <= 1), "{pixels:?}");
    }
}

/// Damages a file of class `dog` and gives the train index that it is read at.
fn damage(folder: &TempDir, name: &str, damage: impl FnOnce(&mut Vec<u8>)) -> u64 {
    let place = numbers(&open(folder).unwrap(), Split::Train);
    let number: u8 = name[..2].parse().unwrap();
    let path = folder.path().join("train/dog").join(name);
    let mut bytes = fs::read(&path).unwrap();
    damage(&mut bytes);
    fs::write(path, bytes).unwrap();
    place.iter().position(|found| *found == number + 15).expect("not held out") as u64
}

fn check_named(broken: impl FnOnce(&mut Vec<u8>)) {
    let folder = pets();
    let index = damage(&folder, "07.jpg", broken);
    let error = read(&open(&folder).unwrap(), Split::Train, index).unwrap_err();
    assert!(matches!(&error, DataError::Corrupt { index: named, .. } if *named == index));
    let message = error.to_string();
    assert!(
        message.contains("train/dog/07.jpg") && message.contains(&format!("train example {index}")),
        "{message}"
    );
}

#[test]
fn a_corrupt_file_is_named_with_its_index() {
    check_named(|bytes| bytes.fill(7));
    check_named(Vec::clear);
    check_named(|bytes| bytes.truncate(100));
}

#[test]
fn a_file_that_is_cut_short_anywhere_is_corrupt() {
    for ending in ["jpg", "png"] {
        let folder = pets();
        let noise = RgbImage::from_fn(200, 200, |x, y| {
            Rgb([(x * y) as u8, (x * x + y) as u8, (y * 7) as u8])
        });
        let name = format!("test/cat/large.{ending}");
        save(&folder, &name, noise.into());
        let whole = fs::read(folder.path().join(&name)).unwrap();
        for part in [10, 50, 90, 99] {
            fs::write(folder.path().join(&name), &whole[..whole.len() * part / 100]).unwrap();
            let read = read(&open(&folder).unwrap(), Split::Test, 0);
            assert!(
                matches!(read, Err(DataError::Corrupt { .. })),
                "{part}% of a {ending} file was read"
            );
        }
    }
}

#[test]
fn a_skipped_file_is_replaced_by_the_next_of_its_stream_and_counted_once() {
    let folder = pets();
    let index = damage(&folder, "07.jpg", Vec::clear);
    let source = ImageFolder::open(&spec(folder.path(), OnCorrupt::Skip)).unwrap();
    assert_eq!(source.skipped(Split::Train), 0);
    for _ in 0..2 {
        let order = numbers(&source, Split::Train);
        assert_eq!(order.len(), 27);
        assert_eq!(order[index as usize], order[(index as usize + 1) % 27]);
        assert_eq!(source.skipped(Split::Train), 1);
        assert_eq!(source.skipped(Split::Validation), 0);
    }
}

#[test]
fn a_stream_of_corrupt_files_alone_is_an_error() {
    let folder = pets();
    fs::create_dir_all(folder.path().join("test/cat")).unwrap();
    fs::write(folder.path().join("test/cat/a.jpg"), "x").unwrap();
    let source = ImageFolder::open(&spec(folder.path(), OnCorrupt::Skip)).unwrap();
    assert!(matches!(
        read(&source, Split::Test, 0),
        Err(DataError::AllCorrupt { split: Split::Test, .. })
    ));
}

#[test]
fn an_index_beyond_the_stream_is_an_error() {
    let folder = pets();
    let source = open(&folder).unwrap();
    assert!(matches!(
        read(&source, Split::Train, 27),
        Err(DataError::OutOfRange { index: 27, len: 27, .. })
    ));
    assert!(matches!(
        read(&source, Split::Test, 0),
        Err(DataError::OutOfRange { index: 0, len: 0, .. })
    ));
}

/// The error of a folder, with the path in its message replaced by `ROOT`.
fn layout_error(arrange: impl FnOnce(&TempDir)) -> String {
    let folder = TempDir::new().unwrap();
    arrange(&folder);
    let error = open(&folder).err().expect("a bad layout").to_string();
    error.replace(folder.path().to_str().unwrap(), "ROOT")
}

#[test]
fn a_folder_of_another_layout_is_refused_by_path() {
    let make = |folder: &TempDir, path: &str| fs::create_dir_all(folder.path().join(path)).unwrap();
    let check = |error: String, start: &str| assert!(error.starts_with(start), "{error}");
    check(layout_error(|folder| fs::remove_dir(folder.path()).unwrap()), "no data folder `ROOT`");
    check(layout_error(|folder| make(folder, "cat")), "`ROOT` has no folder `train`");
    check(layout_error(|folder| make(folder, "train")), "`ROOT/train` holds no class folders");
    let empty = |folder: &TempDir| {
        paint(folder, "train/cat/a.png", [0; 3]);
        make(folder, "train/dog");
    };
    check(layout_error(empty), "class folder `ROOT/train/dog` holds no .jpg");
    let unknown = |folder: &TempDir| {
        paint(folder, "train/cat/a.png", [0; 3]);
        make(folder, "test/dgo");
    };
    check(layout_error(unknown), "class folder `ROOT/test/dgo` has no counterpart");
}

#[test]
fn the_fingerprint_knows_the_files_but_not_where_they_are() {
    let (here, there) = (pets(), pets());
    let print = |folder: &TempDir| open(folder).unwrap().fingerprint();
    assert_eq!(print(&here), print(&there));
    let small = ImageFolderSpec { resolution: 4, ..spec(here.path(), OnCorrupt::Error) };
    assert_ne!(ImageFolder::open(&small).unwrap().fingerprint(), print(&here));
    fs::rename(there.path().join("train/cat/03.png"), there.path().join("train/cat/99.png"))
        .unwrap();
    assert_ne!(print(&here), print(&there));
    let (before, path) = (print(&here), here.path().join("train/dog/03.jpg"));
    fs::write(&path, [fs::read(&path).unwrap(), vec![0]].concat()).unwrap();
    assert_ne!(print(&here), before);
}
