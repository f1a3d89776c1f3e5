//! The image files of one folder of class folders, sorted, so that every machine and every listing
//! order of a file system gives the same numbers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::source::DataError;

pub struct Listing {
    root: PathBuf,
    /// Folder names, sorted by bytes; a label is a place in this list.
    classes: Vec<String>,
    files: Vec<File>,
}

struct File {
    class: u32,
    name: Box<str>,
    bytes: u64,
}

impl Listing {
    /// The folder whose class folders are the classes.
    pub fn of_train(root: &Path) -> Result<Self, DataError> {
        let train = root.join("train");
        if !train.is_dir() {
            return Err(DataError::NoTrain(root.to_owned()));
        }
        let classes = class_folders(&train)?;
        if classes.is_empty() {
            return Err(DataError::NoClasses(train));
        }
        let listing = Self::read(train, classes)?;
        match listing.first_empty() {
            Some(class) => Err(DataError::EmptyClass(listing.root.join(class))),
            None => Ok(listing),
        }
    }

    /// Another folder with the classes of `train`; it may lack some, but has no others.
    pub fn like(train: &Self, root: PathBuf) -> Result<Self, DataError> {
        let unknown = class_folders(&root)?
            .into_iter()
            .find(|name| train.classes.binary_search(name).is_err());
        match unknown {
            Some(name) => Err(DataError::UnknownClass(root.join(name))),
            None => Self::read(root, train.classes.clone()),
        }
    }

    fn read(root: PathBuf, classes: Vec<String>) -> Result<Self, DataError> {
        let lists: Result<Vec<_>, _> = (0_u32..)
            .zip(&classes)
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(|(class, name)| images(&root.join(name), class))
            .collect();
        Ok(Self { files: lists?.into_iter().flatten().collect(), root, classes })
    }

    fn first_empty(&self) -> Option<&str> {
        let filled: BTreeSet<u32> = self.files.iter().map(|file| file.class).collect();
        let mut classes = (0..).zip(&self.classes);
        classes.find(|(class, _)| !filled.contains(class)).map(|(_, name)| name.as_str())
    }

    pub fn len(&self) -> u64 {
        self.files.len() as u64
    }

    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Class and path of the file at a place of the sorted list.
    pub fn file(&self, place: u64) -> (u32, PathBuf) {
        let file = &self.files[usize::try_from(place).expect("a place in a list in memory")];
        (file.class, self.root.join(&self.classes[file.class as usize]).join(&*file.name))
    }

    /// Hash of the classes and of the files' names and sizes; not of where the folder lies.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        // No name holds a `/`, so no two lists write the same text.
        hasher.update(format!("{}/", self.classes.len()).as_bytes());
        for name in &self.classes {
            hasher.update(format!("{name}/").as_bytes());
        }
        for File { class, name, bytes } in &self.files {
            hasher.update(format!("{class}/{name}/{bytes}/").as_bytes());
        }
        hasher.finalize().to_string()
    }
}

/// Names of the folders in `root`, sorted; hidden ones are tools' and no classes.
fn class_folders(root: &Path) -> Result<Vec<String>, DataError> {
    let mut names = visible(root)?;
    names.retain(|name| root.join(name).is_dir());
    Ok(names)
}

/// The image files of one class, sorted.
fn images(folder: &Path, class: u32) -> Result<Vec<File>, DataError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let file = |name: String| {
        let path = folder.join(&name);
        let bytes = fs::metadata(&path).map_err(DataError::read(&path))?.len();
        Ok(File { class, name: name.into(), bytes })
    };
    visible(folder)?.into_iter().filter(|name| is_image(name)).map(file).collect()
}

fn is_image(name: &str) -> bool {
    let extension = Path::new(name).extension();
    extension.is_some_and(|found| {
        ["jpg", "jpeg", "png"].iter().any(|known| found.eq_ignore_ascii_case(known))
    })
}

/// Names in a folder without the hidden ones, sorted by bytes.
fn visible(folder: &Path) -> Result<Vec<String>, DataError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(DataError::read(folder))? {
        let name = entry.map_err(DataError::read(folder))?.file_name();
        let name = name.into_string().map_err(|name| DataError::NameNotUtf8(folder.join(name)))?;
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}
