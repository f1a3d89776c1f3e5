//! Losses and gradient norms that the host has not looked at yet. They stay on the device until a
//! window ends: reading one waits for all work before it.

use tch::{Kind, Tensor};

use crate::learner::Measured;

#[derive(Debug, Default)]
pub(crate) struct Window {
    losses: Vec<Tensor>,
    norms: Vec<Tensor>,
}

/// What a window held.
#[derive(Debug, PartialEq)]
pub(crate) enum Reading {
    Empty,
    Means {
        loss: f64,
        gradient_norm: f64,
    },
    /// The step at this place of the window, from 0, has a loss or a gradient that is not finite.
    NotFinite {
        place: usize,
    },
}

impl Window {
    pub(crate) fn push(&mut self, measured: Measured) {
        self.losses.push(measured.loss);
        self.norms.push(measured.gradient_norm);
    }

    pub(crate) fn len(&self) -> usize {
        self.losses.len()
    }

    /// Reads the window, in one synchronisation, and empties it.
    pub(crate) fn take(&mut self) -> Reading {
        let steps = self.losses.len();
        if steps == 0 {
            return Reading::Empty;
        }
        let all: Vec<Tensor> = self.losses.drain(..).chain(self.norms.drain(..)).collect();
        let values = Tensor::stack(&all, 0).to_kind(Kind::Double).to_device(tch::Device::Cpu);
        let mut host = vec![0.0_f64; 2 * steps];
        values.copy_data(&mut host, 2 * steps);
        let (losses, norms) = host.split_at(steps);
        let is_bad = |place: &usize| !losses[*place].is_finite() || !norms[*place].is_finite();
        if let Some(place) = (0..steps).find(is_bad) {
            return Reading::NotFinite { place };
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / steps as f64;
        Reading::Means { loss: mean(losses), gradient_norm: mean(norms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(rows: &[(f64, f64)]) -> Window {
        let mut window = Window::default();
        for &(loss, norm) in rows {
            window.push(Measured { loss: Tensor::from(loss), gradient_norm: Tensor::from(norm) });
        }
        window
    }

    #[test]
    fn a_window_gives_its_means_once() {
        let mut window = window(&[(1.0, 2.0), (3.0, 4.0)]);
        assert_eq!(window.take(), Reading::Means { loss: 2.0, gradient_norm: 3.0 });
        assert_eq!(window.take(), Reading::Empty);
    }

    #[test]
    fn the_first_step_that_is_not_finite_is_named() {
        assert_eq!(
            window(&[(1.0, 1.0), (1.0, f64::INFINITY), (f64::NAN, 1.0)]).take(),
            Reading::NotFinite { place: 1 }
        );
        assert_eq!(window(&[(f64::NAN, 1.0)]).take(), Reading::NotFinite { place: 0 });
    }
}
