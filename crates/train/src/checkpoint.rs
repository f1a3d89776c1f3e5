//! Checkpoints: `step-<8 digits>/` holding `tensors.safetensors` and `checkpoint.json`. A folder of
//! that name is whole: it is written elsewhere, flushed and renamed. What is damaged later is found
//! by its digest. Only the newest attempt writes: [`Fence`].
//!
//! Parameters are saved under their own names, the optimiser's state under names with a prefix
//! (`exp_avg.`, `exp_avg_sq.`, `exp_avg_sq_row.`, `exp_avg_sq_col.`, and `average.` for Polyak's
//! average), each as f32, f64 or bf16 as it is held.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use models::Parameter;
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use spec::{FORMAT, SegmentId};
use tch::{Tensor, no_grad_guard};

use crate::fence::{Fence, FenceError};
use crate::flat::{Flat, Span};
use crate::optimiser::AVERAGE;
use crate::tensors::{Saved, dtype, kind, sizes};

const TENSORS: &str = "tensors.safetensors";
const MANIFEST: &str = "checkpoint.json";

/// What the names of checkpoints begin with, and of unfinished ones and of those that are being replaced,
/// in which the number of an attempt follows.
const STEP: &str = "step-";
const PARTIAL: &str = ".partial-";
const ASIDE: &str = ".replaced-";
/// Where a parent's damaged checkpoint is put, for who wants to look at it.
const DAMAGED: &str = "damaged-";

/// `checkpoint.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    format: u32,
    segment_id: SegmentId,
    /// Finished optimiser steps, counted from the beginning of the trial.
    pub(crate) step: u64,
    /// blake3 of `tensors.safetensors`.
    pub(crate) digest: String,
    /// Size of `tensors.safetensors`.
    pub(crate) bytes: u64,
    trainer_version: String,
    libtorch_version: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointError {
    #[error("cannot write checkpoint `{path}`: {error}")]
    Write { path: PathBuf, error: io::Error },
    #[error("cannot read checkpoint `{path}`: {error}")]
    Read { path: PathBuf, error: io::Error },
    #[error("checkpoint `{path}` is damaged: {error}")]
    Manifest { path: PathBuf, error: serde_json::Error },
    #[error("checkpoint `{path}` is of format {found} where this version reads {FORMAT}")]
    Format { path: PathBuf, found: u32 },
    #[error("checkpoint `{path}` is damaged: its digest is {found}, not {expected}")]
    Digest { path: PathBuf, found: String, expected: String },
    #[error("checkpoint `{path}` is damaged: {error}")]
    Tensors { path: PathBuf, error: SafeTensorError },
    #[error(
        "checkpoint `{path}` has no {dtype} tensor `{name}` of shape {shape:?}; it is of another model or optimiser"
    )]
    Unfit { path: PathBuf, name: String, dtype: Dtype, shape: Vec<i64> },
    #[error(
        "checkpoint `{path}` has a tensor `{name}` that is not asked for; it is of another model or optimiser"
    )]
    Unknown { path: PathBuf, name: String },
    #[error(
        "no checkpoint of step {step} in `{folder}`; the parent segment is to be trained again"
    )]
    NoParent { folder: PathBuf, step: u64 },
    #[error("the parent's {0}; the parent segment is to be trained again")]
    Parent(Box<Self>),
    #[error(transparent)]
    Fence(#[from] FenceError),
}

impl CheckpointError {
    /// Whether the files are not what was written.
    fn is_damage(&self) -> bool {
        match self {
            Self::Manifest { .. } | Self::Digest { .. } | Self::Tensors { .. } => true,
            Self::Read { error, .. } => error.kind() == io::ErrorKind::NotFound,
            Self::Write { .. }
            | Self::Format { .. }
            | Self::Unfit { .. }
            | Self::Unknown { .. }
            | Self::NoParent { .. }
            | Self::Parent(_)
            | Self::Fence(_) => false,
        }
    }

    fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Write { path, error }
    }

    fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Read { path, error }
    }
}

/// Writes the checkpoint of `step` finished steps, and then removes older ones.
pub(crate) fn save(
    fence: Fence<'_>,
    flat: &Flat,
    state: &[(String, Tensor)],
    segment_id: SegmentId,
    step: u64,
) -> Result<Manifest, CheckpointError> {
    let folder = fence.folder;
    fs::create_dir_all(folder).map_err(CheckpointError::write(folder))?;
    let tensors = all(flat, state).into_iter().map(|(name, tensor)| (name, Saved::new(tensor)));
    let tensors = safetensors::serialize(tensors, None)
        .map_err(|error| CheckpointError::Tensors { path: folder.join(TENSORS), error })?;
    let manifest = Manifest {
        format: FORMAT,
        segment_id,
        step,
        digest: blake3::hash(&tensors).to_string(),
        bytes: tensors.len() as u64,
        trainer_version: env!("CARGO_PKG_VERSION").to_owned(),
        libtorch_version: torch_ext::libtorch_version().to_owned(),
    };
    publish(fence, &path_of(folder, step), &tensors, &manifest)?;
    keep_newest(fence, step)?;
    Ok(manifest)
}

/// Removes the checkpoints before that of `step`, and what attempts up to this one left half written.
pub(crate) fn keep_newest(fence: Fence<'_>, step: u64) -> Result<(), CheckpointError> {
    fence.hold()?;
    remove_older(fence, step).map_err(CheckpointError::write(fence.folder))
}

/// Restores the newest checkpoint of `folder` that is whole, if there is one. Damaged ones are passed
/// to `complain` and left where they are.
pub(crate) fn load_newest(
    folder: &Path,
    flat: &Flat,
    state: &[(String, Tensor)],
    complain: &mut dyn FnMut(&CheckpointError),
) -> Result<Option<Manifest>, CheckpointError> {
    for step in steps(folder)?.into_iter().rev() {
        match load(&path_of(folder, step), flat, state) {
            Ok(manifest) => return Ok(Some(manifest)),
            Err(error) => complain(&error),
        }
    }
    Ok(None)
}

/// Restores the checkpoint that a parent segment ended with.
pub(crate) fn load_parent(
    folder: &Path,
    flat: &Flat,
    state: &[(String, Tensor)],
    step: u64,
) -> Result<(), CheckpointError> {
    of_parent(folder, step, |path| load(path, flat, state).map(drop))
}

/// The parameters that a parent segment ended with, those of `spans`, on the CPU: their Polyak average
/// where there is one.
pub(crate) fn load_parameters(
    folder: &Path,
    spans: &[Span],
    step: u64,
) -> Result<Vec<Parameter>, CheckpointError> {
    of_parent(folder, step, |path| {
        let (_, bytes) = read(path)?;
        let file = path.join(TENSORS);
        let views = views_of(&file, &bytes)?;
        spans.iter().map(|span| parameter(&file, &views, span)).collect()
    })
}

/// Hands the checkpoint that a parent ended with to `load`.
fn of_parent<T>(
    folder: &Path,
    step: u64,
    load: impl FnOnce(&Path) -> Result<T, CheckpointError>,
) -> Result<T, CheckpointError> {
    let path = path_of(folder, step);
    if !path.is_dir() {
        return Err(CheckpointError::NoParent { folder: folder.to_owned(), step });
    }
    load(&path).map_err(|error| {
        if !error.is_damage() {
            return error;
        }
        // Out of the way, so that the parent is not taken for finished. Where that fails too, the error
        // names the folder all the same.
        let _ = fs::rename(&path, folder.join(format!("{DAMAGED}{step:08}")));
        CheckpointError::Parent(Box::new(error))
    })
}

fn path_of(folder: &Path, step: u64) -> PathBuf {
    folder.join(spec::checkpoint_name(step))
}

/// Steps that `folder` has checkpoints of, ascending.
fn steps(folder: &Path) -> Result<Vec<u64>, CheckpointError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(CheckpointError::read(folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(CheckpointError::read(folder))?.file_name();
        found.extend(name.to_str().and_then(|name| name.strip_prefix(STEP)?.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// Everything that is saved, under its name.
fn all(flat: &Flat, state: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
    let state = state.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone()));
    flat.named("", &flat.params).into_iter().chain(state).collect()
}

fn load(path: &Path, flat: &Flat, state: &[(String, Tensor)]) -> Result<Manifest, CheckpointError> {
    let (manifest, bytes) = read(path)?;
    restore(&path.join(TENSORS), &bytes, all(flat, state))?;
    Ok(manifest)
}

/// A whole checkpoint's manifest, and its tensors as they are in their file.
fn read(path: &Path) -> Result<(Manifest, Vec<u8>), CheckpointError> {
    let file = path.join(MANIFEST);
    let text = fs::read(&file).map_err(CheckpointError::read(&file))?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| CheckpointError::Manifest { path: file.clone(), error })?;
    if manifest.format != FORMAT {
        return Err(CheckpointError::Format { path: file, found: manifest.format });
    }
    let file = path.join(TENSORS);
    let bytes = fs::read(&file).map_err(CheckpointError::read(&file))?;
    let found = blake3::hash(&bytes).to_string();
    if found != manifest.digest {
        return Err(CheckpointError::Digest { path: file, found, expected: manifest.digest });
    }
    Ok((manifest, bytes))
}

type Views<'a> = HashMap<String, TensorView<'a>>;

fn views_of<'a>(file: &Path, bytes: &'a [u8]) -> Result<Views<'a>, CheckpointError> {
    let damaged = |error| CheckpointError::Tensors { path: file.to_owned(), error };
    Ok(SafeTensors::deserialize(bytes).map_err(damaged)?.tensors().into_iter().collect())
}

/// All tensors are looked up before the first is copied: what does not fit leaves the learner as it was.
fn restore(
    file: &Path,
    bytes: &[u8],
    expected: Vec<(String, Tensor)>,
) -> Result<(), CheckpointError> {
    let mut views = views_of(file, bytes)?;
    let mut found = Vec::with_capacity(views.len());
    for (name, tensor) in expected {
        let (dtype, shape) = (dtype(&tensor), tensor.size());
        match views.remove(&name) {
            Some(view) if view.dtype() == dtype && view.shape() == sizes(&shape) => {
                found.push((tensor, view));
            }
            Some(_) | None => {
                return Err(CheckpointError::Unfit { path: file.to_owned(), name, dtype, shape });
            }
        }
    }
    if let Some(name) = views.into_keys().min() {
        return Err(CheckpointError::Unknown { path: file.to_owned(), name });
    }
    let _no_grad = no_grad_guard();
    for (mut tensor, view) in found {
        let saved = Tensor::from_data_size(view.data(), &tensor.size(), tensor.kind());
        tensor.copy_(&saved);
    }
    Ok(())
}

/// The average before the parameter itself.
fn parameter(file: &Path, views: &Views<'_>, span: &Span) -> Result<Parameter, CheckpointError> {
    let Span { name, shape, .. } = span;
    let view = views.get(&format!("{AVERAGE}{name}")).or_else(|| views.get(name));
    let fitting = view.filter(|view| view.shape() == sizes(shape)).and_then(|view| {
        let kind = kind(view.dtype())?;
        Some(Tensor::from_data_size(view.data(), shape, kind))
    });
    let (path, name, shape) = (file.to_owned(), name.clone(), shape.clone());
    match fitting {
        Some(tensor) => Ok(Parameter { name, tensor }),
        None => Err(CheckpointError::Unfit { path, name, dtype: Dtype::F32, shape }),
    }
}

/// Files first, then their folder, then its name: a power cut leaves the whole checkpoint or none.
fn publish(
    fence: Fence<'_>,
    path: &Path,
    tensors: &[u8],
    manifest: &Manifest,
) -> Result<(), CheckpointError> {
    let partial = own(fence, PARTIAL);
    let outcome = write_whole(&partial, tensors, manifest)
        .map_err(CheckpointError::write(path))
        .and_then(|()| Ok(fence.hold()?))
        .and_then(|()| take_place(fence, &partial, path).map_err(CheckpointError::write(path)));
    if outcome.is_err() {
        // What is left of a full disk's attempt would keep it full; the first error is the one to tell.
        let _ = fs::remove_dir_all(&partial);
    }
    outcome
}

fn write_whole(partial: &Path, tensors: &[u8], manifest: &Manifest) -> io::Result<()> {
    remove_if_there(partial)?;
    fs::create_dir(partial)?;
    write_flushed(&partial.join(TENSORS), tensors)?;
    write_flushed(&partial.join(MANIFEST), &serde_json::to_vec_pretty(manifest)?)?;
    File::open(partial)?.sync_all()
}

fn take_place(fence: Fence<'_>, partial: &Path, path: &Path) -> io::Result<()> {
    if path.exists() {
        // Damaged, or `load_newest` would have continued from it. Out of the way it still is what a
        // person may repair, until the new one is in its place and `remove_older` comes.
        let aside = own(fence, ASIDE);
        remove_if_there(&aside)?;
        fs::rename(path, &aside)?;
    }
    fs::rename(partial, path)?;
    File::open(fence.folder)?.sync_all()
}

/// A name that no other process writes to, in which the attempt can be read.
fn own(fence: Fence<'_>, kind: &str) -> PathBuf {
    fence.folder.join(format!("{kind}{}-{}", fence.attempt, std::process::id()))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(crate) fn write_flushed(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn remove_older(fence: Fence<'_>, step: u64) -> io::Result<()> {
    for entry in fs::read_dir(fence.folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| is_older(name, fence.attempt, step)) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn is_older(name: &str, attempt: u32, step: u64) -> bool {
    if let Some(digits) = name.strip_prefix(STEP) {
        return digits.parse::<u64>().is_ok_and(|other| other < step);
    }
    let left = name.strip_prefix(PARTIAL).or_else(|| name.strip_prefix(ASIDE));
    left.and_then(|left| left.split('-').next()?.parse::<u32>().ok())
        .is_some_and(|other| other <= attempt)
}

#[cfg(test)]
mod tests {
    use spec::{Adafactor, AdamW, Id, Moment, Optimiser, Sgd, TrainSpec};
    use tch::{Device, Kind};

    use crate::optimiser::Update;

    use super::*;

    /// Parameters of one value; the second is `[2, width]`.
    fn flat(width: i64, value: f64) -> Flat {
        let parameter = |name: &str, shape: &[i64]| Parameter {
            name: name.into(),
            tensor: Tensor::full(shape, value, (Kind::Float, Device::Cpu)),
        };
        let parameters = [parameter("a.weight", &[3, 4]), parameter("head.weight", &[2, width])];
        Flat::new(&parameters, &|_| 1.0, Device::Cpu)
    }

    fn segment() -> SegmentId {
        SegmentId(Id::of(&"segment"))
    }

    fn first(folder: &tempfile::TempDir) -> Fence<'_> {
        Fence { folder: folder.path(), attempt: 1 }
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn steps_of(flat: &Flat, update: &mut Update, steps: std::ops::Range<u64>) {
        for step in steps {
            let of = |leaf: &Parameter| Some(((leaf.tensor.detach() + step as f64) * 3.0).sin());
            let gradient = flat.gather(&flat.leaves().iter().map(of).collect::<Vec<_>>());
            let _norm = update.apply(flat, &gradient, step, 0.1).unwrap();
        }
    }

    /// Every optimiser, the first moment in either kind, with an average and without.
    fn recipes() -> Vec<TrainSpec> {
        let mut recipes = Vec::new();
        for first_moment in [Moment::F32, Moment::Bf16] {
            // Small enough a `min_dim` that these parameters are factored.
            let optimisers = [
                Optimiser::Adamw(AdamW { first_moment, ..Default::default() }),
                Optimiser::Adafactor(Adafactor { first_moment, min_dim: 3, ..Default::default() }),
                Optimiser::Sgd(Sgd { first_moment, ..Default::default() }),
            ];
            for (optimiser, polyak) in
                optimisers.into_iter().flat_map(|o| [(o.clone(), None), (o, Some(0.9))])
            {
                let train = test_support::recipe(0).train;
                recipes.push(TrainSpec { optimiser, polyak, ..train });
            }
        }
        recipes
    }

    #[test]
    fn a_resumed_learner_goes_on_bit_for_bit_wherever_it_was_interrupted() {
        const STEPS: u64 = 4;
        for train in recipes() {
            for kept in 0..=STEPS {
                let folder = tempfile::tempdir().unwrap();
                let whole = flat(5, 1.0);
                let mut of_whole = Update::new(&train, &whole);
                steps_of(&whole, &mut of_whole, 0..kept);
                save(first(&folder), &whole, of_whole.state(), segment(), kept).unwrap();
                steps_of(&whole, &mut of_whole, kept..STEPS);

                let resumed = flat(5, 2.0);
                let mut of_resumed = Update::new(&train, &resumed);
                load_parent(folder.path(), &resumed, of_resumed.state(), kept).unwrap();
                steps_of(&resumed, &mut of_resumed, kept..STEPS);
                assert!(resumed.params.equal(&whole.params), "{train:?} from {kept}");
                for (left, right) in of_whole.state().iter().zip(of_resumed.state()) {
                    assert!(left.1.equal(&right.1), "{} of {train:?} from {kept}", left.0);
                }
            }
        }
    }

    #[test]
    fn a_checkpoint_of_another_optimiser_is_named_by_what_does_not_fit() {
        let recipes = recipes();
        let folder = tempfile::tempdir().unwrap();
        let fails = |saved: usize, loaded: usize| {
            let (trained, learner) = (flat(5, 1.0), flat(5, 2.0));
            let state = Update::new(&recipes[saved], &trained);
            save(first(&folder), &trained, state.state(), segment(), 8).unwrap();
            let state = Update::new(&recipes[loaded], &learner);
            let error = load_parent(folder.path(), &learner, state.state(), 8).unwrap_err();
            assert!(learner.params.equal(&flat(5, 2.0).params));
            error.to_string()
        };
        let (adamw, adamw_average, adafactor, sgd, adamw_bf16) = (0, 1, 2, 4, 6);
        for (saved, loaded, expected) in [
            (adamw, adamw_bf16, "has no BF16 tensor `exp_avg.a.weight` of shape [3, 4]"),
            (adamw, adamw_average, "has no F32 tensor `average.a.weight` of shape [3, 4]"),
            (adamw, adafactor, "has no F32 tensor `exp_avg_sq_row.a.weight` of shape [3, 1]"),
            (adamw, sgd, "has a tensor `exp_avg_sq.a.weight` that is not asked for"),
            (adamw_average, adamw, "has a tensor `average.a.weight` that is not asked for"),
        ] {
            let error = fails(saved, loaded);
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn an_evaluation_gets_the_average_where_there_is_one() {
        for polyak in [None, Some(0.5)] {
            let folder = tempfile::tempdir().unwrap();
            let trained = flat(5, 1.0);
            let train = TrainSpec { polyak, ..test_support::recipe(0).train };
            let mut state = Update::new(&train, &trained);
            steps_of(&trained, &mut state, 0..3);
            save(first(&folder), &trained, state.state(), segment(), 3).unwrap();
            let found = load_parameters(folder.path(), &trained.spans, 3).unwrap();
            let expected = state.average().unwrap_or(&trained.params);
            for (parameter, (name, tensor)) in found.iter().zip(trained.named("", expected)) {
                assert_eq!(parameter.name, name);
                assert!(parameter.tensor.equal(&tensor), "{name}");
            }
            let error = load_parameters(folder.path(), &flat(6, 1.0).spans, 3).unwrap_err();
            assert!(matches!(error, CheckpointError::Unfit { .. }), "{error}");
            let error = load_parameters(folder.path(), &trained.spans, 4).unwrap_err();
            assert!(matches!(error, CheckpointError::NoParent { .. }), "{error}");
        }
    }

    #[test]
    fn f64_parameters_come_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let of = |value: f64| {
            let tensor = Tensor::full([2, 3], value, (Kind::Double, Device::Cpu));
            Flat::new(&[Parameter { name: "a.weight".into(), tensor }], &|_| 1.0, Device::Cpu)
        };
        save(first(&folder), &of(0.1), &[], segment(), 1).unwrap();
        let learner = of(0.0);
        load_parent(folder.path(), &learner, &[], 1).unwrap();
        assert!(learner.params.equal(&of(0.1).params));
        let found = load_parameters(folder.path(), &learner.spans, 1).unwrap();
        assert_eq!(found[0].tensor.double_value(&[1, 2]), 0.1);
    }

    #[test]
    fn a_checkpoint_of_another_layout_leaves_the_learner_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        save(first(&folder), &flat(5, 1.0), &[], segment(), 8).unwrap();
        let learner = flat(6, 2.0);
        let before = learner.params.copy();
        let error = load_parent(folder.path(), &learner, &[], 8).unwrap_err();
        let CheckpointError::Unfit { name, shape, .. } = &error else { panic!("{error}") };
        assert_eq!((name.as_str(), &shape[..]), ("head.weight", &[2, 6][..]));
        assert!(learner.params.equal(&before));
    }

    #[test]
    fn a_checkpoint_takes_the_place_of_a_damaged_one_of_its_step() {
        let folder = tempfile::tempdir().unwrap();
        save(first(&folder), &flat(5, 1.0), &[], segment(), 8).unwrap();
        fs::write(folder.path().join("step-00000008").join(TENSORS), "damaged").unwrap();
        // What an earlier process of this number left when it was killed here.
        let left = own(first(&folder), ASIDE);
        fs::create_dir(&left).unwrap();
        fs::write(left.join(TENSORS), "damaged, too").unwrap();

        let saved = save(first(&folder), &flat(5, 3.0), &[], segment(), 8).unwrap();
        assert_eq!(names(folder.path()), ["fence", "step-00000008"]);
        let learner = flat(5, 2.0);
        let loaded =
            load_newest(folder.path(), &learner, &[], &mut |error| panic!("{error}")).unwrap();
        assert_eq!(loaded, Some(saved));
        assert!(learner.params.equal(&flat(5, 3.0).params));
    }
    #[test]
    fn a_replaced_attempt_saves_nothing_and_removes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let second = Fence { attempt: 2, ..first(&folder) };
        save(first(&folder), &flat(5, 1.0), &[], segment(), 4).unwrap();
        second.hold().unwrap();
        save(second, &flat(5, 2.0), &[], segment(), 5).unwrap();
        fs::create_dir(own(second, PARTIAL)).unwrap();
        let before = names(folder.path());

        let error = save(first(&folder), &flat(5, 3.0), &[], segment(), 9).unwrap_err();
        let CheckpointError::Fence(FenceError::Replaced { by: 2, .. }) = error else {
            panic!("{error}")
        };
        assert!(keep_newest(first(&folder), 9).is_err());
        assert_eq!(names(folder.path()), before);
    }

    /// A node that is given up may come back and go on with the same attempt as the one in its place.
    #[test]
    fn what_is_further_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        for step in [3, 8, 5] {
            save(first(&folder), &flat(5, step as f64), &[], segment(), step).unwrap();
        }
        assert_eq!(names(folder.path()), ["fence", "step-00000005", "step-00000008"]);
    }
}
