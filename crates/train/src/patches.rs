//! Masked patch prediction (2010.11929, section 4.6 and appendix B.1.2): which patches of a batch are
//! corrupted, and the colours that are asked for.

use data::Draw;
use data::patches::{Change, corrupt};
use models::Corrupted;
use spec::Objective;
use tch::{Kind, Tensor};

use crate::objective::Targets;

const LEVELS: i64 = Objective::LEVELS as i64;

/// What is corrupted in a batch, and what is asked for. Every example has as many corrupted patches.
pub(crate) struct Task {
    corrupted: Corrupted,
    /// `[batch, n]` i64: the corrupted patches of each example.
    asked: Tensor,
    /// `[batch, patches]` i64.
    colours: Tensor,
}

impl Task {
    /// Of images `[batch, 3, side, side]` that were drawn by `draws`. All that comes from the host is
    /// sent at once.
    pub(crate) fn new(images: &Tensor, draws: &[Draw], patch: u32, seed: u64, share: f64) -> Self {
        let colours = colours(images, patch.into());
        let (batch, patches) = colours.size2().expect("a colour for every patch");
        let count = u32::try_from(patches).expect("patches are at most pixels");
        let mut source: Vec<i64> = (0..batch * patches).map(|place| place % patches).collect();
        let mut masked = vec![false; source.len()];
        let mut asked = Vec::new();
        for (example, draw) in draws.iter().enumerate() {
            for corruption in corrupt(seed, *draw, count, share) {
                let place = example * count as usize + corruption.patch as usize;
                asked.push(i64::from(corruption.patch));
                match corruption.change {
                    Change::Mask => masked[place] = true,
                    Change::Replace(by) => source[place] = by.into(),
                    Change::Keep => {}
                }
            }
        }
        let rows = |tensor: Tensor| tensor.view([batch, -1]).to_device(images.device());
        Self {
            corrupted: Corrupted {
                masked: rows(Tensor::from_slice(&masked)),
                source: rows(Tensor::from_slice(&source)),
            },
            asked: rows(Tensor::from_slice(&asked)),
            colours,
        }
    }

    /// Of the `count` examples from `first` on: how they are corrupted, and the targets.
    pub(crate) fn part(&self, first: i64, count: i64) -> (Corrupted, Targets) {
        let of = |tensor: &Tensor| tensor.narrow(0, first, count);
        let (asked, colours) = (of(&self.asked), of(&self.colours));
        let patches = colours.size()[1];
        let rows = Tensor::arange(count, (Kind::Int64, asked.device())) * patches;
        let targets = Targets::Patches {
            places: (&asked + rows.unsqueeze(1)).view([-1]),
            colours: colours.gather(1, &asked, false).view([-1]),
        };
        let Corrupted { masked, source } = &self.corrupted;
        (Corrupted { masked: of(masked), source: of(source) }, targets)
    }
}

/// The mean colour of every patch as a class, `64 red + 8 green + blue` with 8 levels each:
/// `[batch, patches]` i64.
fn colours(images: &Tensor, patch: i64) -> Tensor {
    let means = images.avg_pool2d([patch, patch], [patch, patch], [0, 0], false, true, None::<i64>);
    let levels = ((means + 1.0) * (0.5 * LEVELS as f64)).floor().clamp(0.0, LEVELS as f64 - 1.0);
    let [red, green, blue] = [0, 1, 2].map(|channel| levels.select(1, channel));
    ((red * LEVELS + green) * LEVELS + blue).to_kind(Kind::Int64).flatten(1, -1)
}

/// Draws of the validation stream: every example in its place, always in the same epoch.
pub(crate) fn validation_draws(first: u64, count: usize) -> Vec<Draw> {
    (first..first + count as u64).map(|index| Draw { index, epoch: 0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    /// Two patches of 2 x 2: red and white, mid grey and black.
    #[test]
    fn colours_are_three_bits_of_each_channel() {
        let images = Tensor::full([1, 3, 2, 4], -1.0, (Kind::Float, Device::Cpu));
        let _ = images.narrow(3, 0, 2).narrow(1, 0, 1).fill_(1.0);
        let _ = images.narrow(3, 2, 2).fill_(0.0);
        let found = colours(&images, 2);
        assert_eq!(Vec::<i64>::try_from(&found.view([-1])).unwrap(), [7 * 64, 4 * 73]);
    }

    #[test]
    fn a_task_asks_for_the_corrupted_patches_and_nothing_else() {
        let images = Tensor::rand([6, 3, 32, 32], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
        let draws = validation_draws(3, 6);
        let (corrupted, targets) = Task::new(&images, &draws, 8, 1, 0.5).part(0, 6);
        let Targets::Patches { places, colours } = targets else { panic!("{targets:?}") };
        assert_eq!((places.size(), colours.size()), (vec![48], vec![48]));
        let changed = corrupted.masked.logical_or(
            &corrupted.source.ne_tensor(&Tensor::arange(16, (Kind::Int64, Device::Cpu))),
        );
        let asked = Tensor::zeros([96], (Kind::Bool, Device::Cpu)).index_fill(0, &places, 1);
        let unasked = changed.view([-1]).logical_and(&asked.logical_not());
        assert_eq!(unasked.sum(Kind::Int64).int64_value(&[]), 0);
        assert!(corrupted.masked.sum(Kind::Int64).int64_value(&[]) > 24);
    }

    #[test]
    fn parts_of_a_task_make_up_the_whole() {
        let images = Tensor::rand([6, 3, 32, 32], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
        let draws = validation_draws(0, 6);
        let task = Task::new(&images, &draws, 8, 1, 0.5);
        let own = Task::new(&images.narrow(0, 2, 3), &draws[2..5], 8, 1, 0.5);
        let ((part, targets), (whole, expected)) = (task.part(2, 3), own.part(0, 3));
        assert!(part.masked.equal(&whole.masked) && part.source.equal(&whole.source));
        let (
            Targets::Patches { places, colours },
            Targets::Patches { places: own_places, colours: own_colours },
        ) = (targets, expected)
        else {
            panic!("patches")
        };
        assert!(places.equal(&own_places) && colours.equal(&own_colours));
    }
}
