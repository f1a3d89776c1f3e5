//! Files on their way to a disk: a folder is there whole, as it was or as it is to be, and only one
//! that an export made is replaced.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One file of an export, or a folder that has to be there though it may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Below the export's folder.
    pub path: PathBuf,
    /// None of a folder.
    pub bytes: Option<Vec<u8>>,
}

impl File {
    pub fn new(path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), bytes: Some(bytes.into()) }
    }

    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), bytes: None }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error(
        "`{0}` is there already and no export made it: move it away, or export to another folder with --out"
    )]
    Foreign(PathBuf),
    #[error("`{path}` cannot be written: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// Marks a folder as one that may be replaced.
const MARK: &str = ".isoflop-export";

/// Makes `folder` hold these files and nothing else; how many there are. What an earlier export left
/// there goes once the new one is complete.
///
/// # Errors
/// The folder is there and no export made it, or a file cannot be written.
pub fn replace(folder: &Path, files: impl IntoIterator<Item = File>) -> Result<usize, FolderError> {
    let is_there = folder.symlink_metadata().is_ok();
    if is_there && !folder.join(MARK).is_file() {
        return Err(FolderError::Foreign(folder.to_owned()));
    }
    let (new, old) = (beside(folder, "new"), beside(folder, "old"));
    for left in [&new, &old] {
        remove(left)?;
    }
    write(&new.join(MARK), b"made by `isoflop export`, which replaces this folder\n")?;
    let mut n = 0;
    for file in files {
        let path = new.join(&file.path);
        match &file.bytes {
            Some(bytes) => write(&path, bytes)?,
            None => named(&path, fs::create_dir_all(&path))?,
        }
        n += usize::from(file.bytes.is_some());
    }
    if is_there {
        named(folder, fs::rename(folder, &old))?;
    }
    named(folder, fs::rename(&new, folder))?;
    remove(&old)?;
    Ok(n)
}

/// A name as one component of a path that every system takes, never one that leads elsewhere or is
/// hidden. The name of a sweep stays as it is.
pub fn component(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let text: String = name.chars().map(plain).take(150).collect();
    match text.chars().next() {
        None => "-".to_owned(),
        Some('.') => format!("-{text}"),
        Some(_) => text,
    }
}

/// Hidden, so that no tool takes it for one of its own.
fn beside(folder: &Path, suffix: &str) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.{suffix}"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let folder = path.parent().unwrap_or(path);
    named(folder, fs::create_dir_all(folder))?;
    named(path, fs::write(path, bytes))
}

fn remove(folder: &Path) -> Result<(), FolderError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => named(folder, removed),
    }
}

fn named<T>(path: &Path, result: io::Result<T>) -> Result<T, FolderError> {
    result.map_err(|source| FolderError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(path: &str, text: &str) -> File {
        File::new(path, text)
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_export_replaces_the_one_before_it_and_leaves_nothing_beside() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/sweep");
        let first = [file("x", "1"), file("deep/y", "2"), File::folder("empty")];
        assert_eq!(replace(&folder, first).unwrap(), 2);
        assert_eq!(names(&folder), [MARK, "deep", "empty", "x"]);
        assert_eq!(replace(&folder, [file("x", "3")]).unwrap(), 1);
        assert_eq!(names(&folder), [MARK, "x"]);
        assert_eq!(fs::read_to_string(folder.join("x")).unwrap(), "3");
        assert_eq!(names(&root.path().join("a")), ["sweep"]);
    }

    #[test]
    fn what_no_export_made_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("mine"), "precious").unwrap();
        let refused = replace(root.path(), [file("x", "1")]).unwrap_err();
        assert!(matches!(&refused, FolderError::Foreign(path) if path == root.path()), "{refused}");
        let in_the_way = replace(&root.path().join("mine"), [file("x", "1")]).unwrap_err();
        assert!(matches!(in_the_way, FolderError::Foreign(_)), "{in_the_way}");
        assert_eq!(names(root.path()), ["mine"]);
    }

    #[test]
    fn an_interrupted_export_is_finished_by_the_next() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sweep");
        replace(&folder, [file("x", "1")]).unwrap();
        fs::create_dir(root.path().join(".sweep.new")).unwrap();
        fs::write(root.path().join(".sweep.new/half"), "").unwrap();
        replace(&folder, [file("y", "2")]).unwrap();
        assert_eq!(names(&folder), [MARK, "y"]);
        assert_eq!(names(root.path()), ["sweep"]);
    }

    proptest! {
        #[test]
        fn no_name_leads_out_of_its_folder(name in ".*") {
            let part = component(&name);
            prop_assert!(!part.is_empty() && part.len() <= 151);
            prop_assert_eq!(Path::new(&part).components().count(), 1);
            prop_assert!(!part.starts_with('.') && !part.contains(['/', '\\', '\0', ':']));
        }
    }
}
