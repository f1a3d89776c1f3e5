//! From points to what a law is fitted to: every point or the frontier, of the whole data or of a
//! resample of its clusters.

use std::cmp::Ordering;

use crate::law::{Axis, MAX_AXES, Xs};
use crate::point::{Point, Selection, keep_frontier, labels};
use crate::random::Stream;

/// So many points show the shape of any law; what more of them add is precision.
pub(crate) const MANY: usize = 1024;

/// One residual of the fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Datum {
    pub x: Xs,
    pub ln_y: f64,
    pub weight: f64,
}

/// Data in order of scale: the product of the axes of which more is more compute.
#[derive(Clone, Copy)]
pub(crate) struct Scale([bool; MAX_AXES]);

impl Scale {
    pub fn new(axes: &[Axis]) -> Self {
        let mut is_scale = [false; MAX_AXES];
        axes.iter().zip(&mut is_scale).for_each(|(axis, is)| *is = axis.is_scale());
        Self(is_scale)
    }

    /// Of one axis x itself.
    pub fn of(self, x: &Xs) -> f64 {
        x.iter().zip(self.0).filter(|(_, is)| *is).map(|(x, _)| x).product()
    }

    fn order(self, a: &Datum, b: &Datum) -> Ordering {
        let places = a.x.iter().zip(&b.x).map(|(a, b)| a.total_cmp(b));
        let by_place = places.fold(Ordering::Equal, Ordering::then);
        self.of(&a.x).total_cmp(&self.of(&b.x)).then(by_place).then(a.ln_y.total_cmp(&b.ln_y))
    }
}

/// Of data in order.
pub(crate) fn n_distinct(data: &[Datum]) -> usize {
    data.chunk_by(|a, b| a.x == b.x).count()
}

/// Indices of the points by place and y: keys are numbered in this order, so that a resample draws the
/// same points in whatever order they are given.
fn in_order(points: &[Point]) -> Vec<usize> {
    let mut order: Vec<_> = (0..points.len()).collect();
    let key = |at: usize| points[at].x.into_iter().chain([points[at].y]);
    let compare = |a: f64, b: f64| a.total_cmp(&b);
    order.sort_by(|&a, &b| {
        key(a).zip(key(b)).fold(Ordering::Equal, |so_far, (a, b)| so_far.then(compare(a, b)))
    });
    order
}

/// Points with their keys numbered, and the rule that picks among them.
pub(crate) struct Design<'a> {
    points: &'a [Point],
    scale: Scale,
    selection: Selection,
    /// By point.
    configuration: Vec<usize>,
    /// By configuration.
    n_points: Vec<f64>,
    /// By point.
    cluster: Vec<usize>,
    n_clusters: usize,
}

impl<'a> Design<'a> {
    pub fn new(points: &'a [Point], selection: Selection, scale: Scale) -> Self {
        let order = in_order(points);
        let number = |key: fn(&Point) -> u64| -> Vec<usize> {
            let mut numbers = vec![0; points.len()];
            let found = labels(order.iter().map(|&at| key(&points[at])));
            order.iter().zip(found).for_each(|(&at, label)| numbers[at] = label as usize);
            numbers
        };
        let (configuration, cluster) =
            (number(|point| point.configuration), number(|point| point.cluster));
        let mut n_points = vec![0.0; configuration.iter().max().map_or(0, |last| last + 1)];
        configuration.iter().for_each(|&at| n_points[at] += 1.0);
        let n_clusters = cluster.iter().max().map_or(0, |last| last + 1);
        Self { points, selection, scale, configuration, n_points, cluster, n_clusters }
    }

    pub fn n_clusters(&self) -> usize {
        self.n_clusters
    }

    /// Two points of one configuration that do not share x, if there are any.
    pub fn split_configuration(&self) -> Option<(usize, usize)> {
        let mut first = vec![None; self.n_points.len()];
        self.configuration.iter().enumerate().find_map(|(i, &at)| {
            let j: usize = *first[at].get_or_insert(i);
            (self.points[j].x != self.points[i].x).then_some((j, i))
        })
    }

    /// Each cluster once.
    pub fn whole(&self) -> Vec<Datum> {
        self.select(&vec![1.0; self.n_clusters])
    }

    /// Clusters that a resample draws: as many as there are, but of very many independent ones a part. A
    /// frontier is one of all its clusters, however many.
    pub fn n_drawn(&self) -> usize {
        match self.selection {
            Selection::EveryPoint => self.n_clusters.min(MANY),
            Selection::Frontier => self.n_clusters,
        }
    }

    /// Clusters drawn with replacement.
    pub fn resample(&self, stream: &mut Stream) -> Vec<Datum> {
        let mut times = vec![0.0; self.n_clusters];
        (0..self.n_drawn()).for_each(|_| times[stream.below(self.n_clusters)] += 1.0);
        self.select(&times)
    }

    /// In order of scale, with each cluster drawn `times`.
    fn select(&self, times: &[f64]) -> Vec<Datum> {
        let mut data = match self.selection {
            Selection::EveryPoint => self.every_point(times),
            Selection::Frontier => self.means(times),
        };
        data.sort_by(|a, b| self.scale.order(a, b));
        match self.selection {
            Selection::EveryPoint => {}
            Selection::Frontier => keep_frontier(&mut data, |datum| (datum.x[0], datum.ln_y)),
        }
        data
    }

    fn every_point(&self, times: &[f64]) -> Vec<Datum> {
        let drawn =
            self.points.iter().zip(&self.cluster).filter(|&(_, &cluster)| times[cluster] > 0.0);
        drawn
            .map(|(point, &cluster)| Datum {
                x: point.x,
                ln_y: point.y.ln(),
                weight: times[cluster],
            })
            .collect()
    }

    /// A configuration weighs what was drawn of it over what there is of it: 1 in the whole data,
    /// 1 on average in a resample. Were it 1 in both, a configuration drawn twice would count once,
    /// and the bootstrap would be one of 63% subsamples, whose intervals are a quarter too narrow.
    fn means(&self, times: &[f64]) -> Vec<Datum> {
        let empty = Datum { x: [0.0; MAX_AXES], ln_y: 0.0, weight: 0.0 };
        let mut sums = vec![empty; self.n_points.len()];
        for (i, point) in self.points.iter().enumerate() {
            let (sum, times) = (&mut sums[self.configuration[i]], times[self.cluster[i]]);
            sum.x = point.x;
            sum.ln_y += times * point.y.ln();
            sum.weight += times;
        }
        let drawn = sums.into_iter().zip(&self.n_points).filter(|(sum, _)| sum.weight > 0.0);
        drawn
            .map(|(sum, n)| Datum { ln_y: sum.ln_y / sum.weight, weight: sum.weight / n, ..sum })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::{frontier, seed_means, x};

    const ONE_AXIS: Scale = Scale([true, false, false]);

    fn points() -> Vec<Point> {
        // Two seeds of each configuration; a cluster is a seed.
        [
            (1.0, 0.9, 0, 0),
            (1.0, 0.8, 0, 1),
            (2.0, 0.95, 1, 0),
            (2.0, 0.85, 1, 1),
            (4.0, 0.5, 2, 0),
            (4.0, 0.6, 2, 1),
        ]
        .map(|(at, y, configuration, cluster)| Point { x: x(at), y, configuration, cluster })
        .to_vec()
    }

    #[test]
    fn the_whole_is_what_the_public_helpers_give() {
        let points = points();
        let data = Design::new(&points, Selection::Frontier, ONE_AXIS).whole();
        let means = frontier(&seed_means(&points));
        assert_eq!(data.len(), means.len());
        for (datum, mean) in data.iter().zip(means) {
            assert_eq!((datum.x[0], datum.weight), (mean.x, 1.0));
            assert!((datum.ln_y.exp() / mean.y - 1.0).abs() < 1e-15);
        }
    }

    #[test]
    fn a_cluster_is_drawn_whole_and_the_frontier_taken_again() {
        let points = points();
        let design = Design::new(&points, Selection::Frontier, ONE_AXIS);
        // The other seed has the lowest of the first points, and the number 0.
        let drawn = design.select(&[0.0, 2.0]);
        assert_eq!(
            drawn.iter().map(|datum| (datum.x[0], datum.weight)).collect::<Vec<_>>(),
            [(1.0, 1.0), (4.0, 1.0)]
        );
        assert!((drawn[1].ln_y - 0.5_f64.ln()).abs() < 1e-15);
    }

    #[test]
    fn weights_are_one_on_average() {
        let points: Vec<_> = (0..20)
            .map(|i| Point::independent(i, x(1.0 + i as f64), 1.0 / (1.0 + i as f64)))
            .collect();
        for selection in [Selection::EveryPoint, Selection::Frontier] {
            let design = Design::new(&points, selection, ONE_AXIS);
            let data = design.resample(&mut Stream::new(1, 2));
            assert_eq!(data.iter().map(|datum| datum.weight).sum::<f64>(), 20.0);
            assert!(data.len() < 20, "some point is drawn twice");
        }
    }

    #[test]
    fn a_configuration_at_two_places_is_found() {
        let mut points = points();
        assert_eq!(Design::new(&points, Selection::Frontier, ONE_AXIS).split_configuration(), None);
        points[3].x = x(3.0);
        assert_eq!(
            Design::new(&points, Selection::Frontier, ONE_AXIS).split_configuration(),
            Some((2, 3))
        );
    }
}
