use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use super::*;

/// 2 x 2 images whose pixels and class say the index; counts what is read of it.
pub struct Counting {
    len: u64,
    reads: AtomicU64,
    broken: Option<u64>,
}

impl Counting {
    pub fn new(len: u64) -> Self {
        Self { len, reads: AtomicU64::new(0), broken: None }
    }

    fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}

impl Source for Counting {
    fn resolution(&self) -> u32 {
        2
    }

    fn classes(&self) -> u32 {
        10
    }

    fn len(&self, _split: Split) -> Option<u64> {
        Some(self.len)
    }

    fn flips(&self) -> bool {
        false
    }

    fn fingerprint(&self) -> Id {
        Id::of(&self.len)
    }

    fn skipped(&self, split: Split) -> u64 {
        if split == Split::Train { 3 } else { 0 }
    }

    fn read(&self, split: Split, index: u64, pixels: &mut [u8]) -> Result<u32, DataError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.broken == Some(index) {
            return Err(DataError::OutOfRange { split, index, len: self.len });
        }
        pixels.fill((index % 251) as u8);
        Ok((index % 10) as u32)
    }
}

fn open(source: &Counting, n: u64, folder: &TempDir) -> Result<Cached, DataError> {
    Cached::open_or_build(source, Split::Train, n, folder.path(), &|| false)
}

fn names(folder: &TempDir, ending: &str) -> Vec<String> {
    let names = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(ending)).collect()
}

#[test]
fn a_cache_gives_what_its_source_gives_and_is_built_once() {
    let (source, folder) = (Counting::new(500), TempDir::new().unwrap());
    for _ in 0..2 {
        let cached = open(&source, 300, &folder).unwrap();
        assert_eq!(source.reads(), 300);
        assert_eq!(cached.pixels().len(), 300 * 12);
        assert!(
            cached
                .pixels()
                .chunks(12)
                .enumerate()
                .all(|(at, image)| image == [(at % 251) as u8; 12])
        );
        assert!(cached.labels().iter().enumerate().all(|(at, label)| *label as usize == at % 10));
        assert_eq!(cached.labels().len(), 300);
        assert_eq!((cached.skipped(Split::Train), cached.skipped(Split::Test)), (3, 0));
    }
}

#[test]
fn a_larger_cache_serves_and_replaces_smaller_ones() {
    let (source, folder) = (Counting::new(500), TempDir::new().unwrap());
    let small = open(&source, 100, &folder).unwrap();
    let large = open(&source, 300, &folder).unwrap();
    assert_eq!(names(&folder, "-300.u8").len(), 1);
    assert_eq!(names(&folder, ".u8").len(), 1);
    let prefix = open(&source, 100, &folder).unwrap();
    assert_eq!(source.reads(), 400);
    assert_eq!(prefix.pixels(), &large.pixels()[..1200]);
    assert_eq!((prefix.pixels(), prefix.labels()), (small.pixels(), small.labels()));
    assert_eq!(prefix.len(Split::Train), Some(100));
}

#[test]
fn a_cache_is_a_source_of_its_stream_alone() {
    let (source, folder) = (Counting::new(500), TempDir::new().unwrap());
    let cached = open(&source, 40, &folder).unwrap();
    let mut pixels = [0; 12];
    assert_eq!(cached.read(Split::Train, 37, &mut pixels).unwrap(), 7);
    assert_eq!(pixels, [37; 12]);
    assert!(matches!(
        cached.read(Split::Train, 40, &mut pixels),
        Err(DataError::OutOfRange { len: 40, .. })
    ));
    assert!(matches!(
        cached.read(Split::Test, 0, &mut pixels),
        Err(DataError::OutOfRange { len: 0, .. })
    ));
    assert_eq!((cached.resolution(), cached.classes(), cached.flips()), (2, 10, false));
    assert_eq!(cached.fingerprint(), source.fingerprint());
}

#[test]
fn streams_and_changed_sources_have_their_own_files() {
    let folder = TempDir::new().unwrap();
    open(&Counting::new(500), 10, &folder).unwrap();
    open(&Counting::new(501), 10, &folder).unwrap();
    Cached::open_or_build(&Counting::new(500), Split::Test, 10, folder.path(), &|| false).unwrap();
    assert_eq!(names(&folder, ".u8").len(), 3);
}

/// Damages the only cache file, opens it again, and says how many examples were read for that.
fn reads_after(damage: impl FnOnce(&mut Vec<u8>)) -> u64 {
    let (source, folder) = (Counting::new(500), TempDir::new().unwrap());
    open(&source, 50, &folder).unwrap();
    let path = folder.path().join(&names(&folder, ".u8")[0]);
    let mut bytes = fs::read(&path).unwrap();
    damage(&mut bytes);
    fs::write(&path, bytes).unwrap();
    let cached = open(&source, 20, &folder).unwrap();
    assert_eq!((cached.labels()[19], cached.pixels()[19 * 12]), (9, 19));
    assert_eq!(names(&folder, ".u8").len(), 1);
    source.reads() - 50
}

#[test]
fn a_damaged_cache_is_built_again() {
    assert_eq!(reads_after(|_| ()), 0);
    assert_eq!(reads_after(|bytes| bytes.truncate(bytes.len() - 1)), 20);
    assert_eq!(reads_after(|bytes| bytes.truncate(100)), 20);
    assert_eq!(reads_after(Vec::clear), 20);
    assert_eq!(reads_after(|bytes| bytes.push(0)), 20);
    assert_eq!(reads_after(|bytes| *bytes.last_mut().unwrap() ^= 1), 20);
    assert_eq!(reads_after(|bytes| bytes[90] ^= 1), 20);
}

#[test]
fn a_failed_build_leaves_no_file_and_the_error_names_the_example() {
    let folder = TempDir::new().unwrap();
    let source = Counting { broken: Some(33), ..Counting::new(500) };
    assert!(matches!(open(&source, 50, &folder), Err(DataError::OutOfRange { index: 33, .. })));
    assert_eq!(names(&folder, ""), names(&folder, "lock"));
}

#[test]
fn what_a_killed_builder_left_is_removed() {
    let (source, folder) = (Counting::new(500), TempDir::new().unwrap());
    open(&source, 50, &folder).unwrap();
    let name = names(&folder, ".u8").remove(0);
    fs::rename(folder.path().join(&name), folder.path().join(name.replace(".u8", ".0.partial")))
        .unwrap();
    open(&source, 50, &folder).unwrap();
    assert_eq!(source.reads(), 100);
    assert!(names(&folder, ".partial").is_empty());
}

#[test]
fn of_many_that_want_one_cache_one_builds() {
    let (source, folder) = (Counting::new(500), TempDir::new().unwrap());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(open(&source, 400, &folder).unwrap().labels().len(), 400));
        }
    });
    assert_eq!(source.reads(), 400);
}

#[test]
fn a_cancelled_build_ends_early_and_leaves_no_file() {
    let (source, folder) = (Counting::new(1_000_000), TempDir::new().unwrap());
    let cancelled = || source.reads() >= 50;
    let outcome =
        Cached::open_or_build(&source, Split::Train, 1_000_000, folder.path(), &cancelled);
    assert!(matches!(outcome, Err(DataError::Cancelled { split: Split::Train })));
    assert!(source.reads() < 5000, "{}", source.reads());
    assert_eq!(names(&folder, ""), names(&folder, "lock"));
}

#[test]
fn waiting_for_another_builder_can_be_cancelled() {
    let (source, folder) = (Counting::new(500), TempDir::new().unwrap());
    let _other = Files::new(folder.path(), source.fingerprint(), Split::Train).lock(&|| false);
    let outcome = Cached::open_or_build(&source, Split::Train, 400, folder.path(), &|| true);
    assert!(matches!(outcome, Err(DataError::Cancelled { split: Split::Train })));
    assert_eq!(source.reads(), 0);
}

#[test]
fn more_examples_than_there_are_is_an_error_and_touches_nothing() {
    let (source, folder) = (Counting::new(500), TempDir::new().unwrap());
    assert!(matches!(
        open(&source, 501, &folder),
        Err(DataError::TooFew { wanted: 501, len: 500, .. })
    ));
    assert!(names(&folder, "").is_empty());
}
