//! A law of two axes from above: level lines of the predicted loss, the trials as dots in the
//! colour of their own loss, lines of equal compute and the efficient frontier.

use ::contour::ContourBuilder;

use crate::axis::{Axis, Scale};
use crate::canvas::{Anchor, Canvas, Spot, Type, text_width};
use crate::frame::{Frame, set};
use crate::legend::{Entry, Glyph, Legend, Section};
use crate::mark::Marker;
use crate::number::power_of_ten;
use crate::plan::{Panel, Plan};
use crate::style::{
    Colour, Dash, FRONTIER, LEADING, LINE_WIDTH, PAPER, SMALL_SIZE, SOFT_INK, STRONG_WIDTH, Stroke,
    THIN_WIDTH, sequential,
};
use crate::{Data, Datum, DrawError, Figure, Look};

/// Least distance, in px, of a line's label from the frame.
const LABEL_MARGIN: f64 = 6.0;

#[derive(Clone, Debug)]
pub struct ContourFigure {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    /// Of the levels and of the trials' colour: `loss (nats)`.
    pub value_label: String,
    pub surface: Surface,
    /// Losses at which the surface is cut, each a line; in order.
    pub levels: Vec<f64>,
    pub trials: Vec<ContourTrial>,
    /// What is best at each compute.
    pub frontier: Option<NamedLine>,
    /// Lines of equal compute, each with its label on it.
    pub iso_flops: Vec<NamedLine>,
}

/// A law's value on a grid that is even in the logarithm of either axis, and the part of the plane
/// that is shown.
#[derive(Clone, Debug)]
pub struct Surface {
    /// First and last.
    pub x: (f64, f64),
    pub y: (f64, f64),
    pub columns: usize,
    /// Row by row from the lowest y; `columns` in each.
    pub values: Vec<f64>,
}

#[derive(Clone, Copy, Debug)]
pub struct ContourTrial {
    pub x: f64,
    pub y: f64,
    /// As measured.
    pub value: f64,
}

#[derive(Clone, Debug)]
pub struct NamedLine {
    pub label: String,
    pub points: Vec<(f64, f64)>,
}

/// Colours of values: even from level to level, whatever lies between those, and the lowest is the
/// darkest.
struct Colours {
    /// In order.
    levels: Vec<f64>,
}

/// A line with a label on it.
struct Line {
    stretches: Vec<Vec<Spot>>,
    label: String,
    stroke: Stroke,
    /// Of the label.
    colour: Colour,
}

/// Labels on lines, each where it is farthest from what is already there.
struct Labels<'a> {
    frame: &'a Frame,
    taken: Vec<Spot>,
    /// Middle and half the size of those that are drawn.
    boxes: Vec<(Spot, Spot)>,
}

impl Figure for ContourFigure {
    fn draw(&self, look: Look) -> Result<String, DrawError> {
        let (x, y) = self.surface.axes().ok_or(DrawError::Nothing { figure: "contour" })?;
        let plan = Plan {
            title: &self.title,
            x_label: &self.x_label,
            x,
            x_ticks: None,
            panels: [Panel::whole(&self.y_label, y)],
            legend: self.legend(),
        };
        Ok(plan.draw(look, |canvas, [frame]| self.paint(canvas, frame)))
    }

    fn data(&self) -> Data {
        let trial = |at: &ContourTrial| Datum::new("measured", at.x, at.y).z(at.value);
        let trials = self.trials.iter().map(trial);
        let lines = self.frontier.iter().chain(&self.iso_flops);
        let lines = lines.flat_map(|line| {
            Datum::pairs("line", &line.points).map(|row| row.of(&line.label)).collect::<Vec<_>>()
        });
        let data = Data::new(&self.x_label, &self.y_label, trials.chain(lines));
        data.with_z(&self.value_label)
    }
}

impl ContourFigure {
    fn colours(&self) -> Colours {
        let mut levels: Vec<f64> =
            self.levels.iter().copied().filter(|level| Scale::Log.shows(*level)).collect();
        levels.sort_by(f64::total_cmp);
        levels.dedup();
        Colours { levels }
    }

    fn paint(&self, canvas: &mut Canvas, frame: &Frame) {
        let lines = self.lines(frame);
        for line in lines.iter().rev() {
            line.stretches.iter().for_each(|spots| canvas.line(spots, line.stroke));
        }
        let frontier = self.frontier.iter().flat_map(|line| frame.stretches(&line.points));
        let frontier: Vec<Vec<Spot>> = frontier.collect();
        frontier.iter().for_each(|spots| canvas.line(spots, frontier_stroke()));
        let mut taken = self.paint_trials(canvas, frame);
        taken.extend(frontier.into_iter().flatten());
        let mut labels = Labels { frame, taken, boxes: Vec::new() };
        lines.iter().for_each(|line| labels.draw(canvas, line));
    }

    /// The most important first.
    fn lines(&self, frame: &Frame) -> Vec<Line> {
        let colours = self.colours();
        let level = |level: &f64| Line {
            stretches: self.surface.lines_at(*level, frame),
            label: power_of_ten(*level, 3),
            stroke: level_stroke(colours.of(*level)),
            colour: colours.of(*level),
        };
        let equal = |line: &NamedLine| Line {
            stretches: frame.stretches(&line.points),
            label: line.label.clone(),
            stroke: iso_stroke(),
            colour: SOFT_INK,
        };
        self.levels.iter().map(level).chain(self.iso_flops.iter().map(equal)).collect()
    }

    /// Where they are.
    fn paint_trials(&self, canvas: &mut Canvas, frame: &Frame) -> Vec<Spot> {
        let colours = self.colours();
        let shown =
            |trial: &&ContourTrial| frame.holds(trial.x, trial.y) && Scale::Log.shows(trial.value);
        let shown: Vec<&ContourTrial> = self.trials.iter().filter(shown).collect();
        for trial in &shown {
            let marker = Marker::disc(colours.of(trial.value), false).among(shown.len());
            marker.draw(canvas, frame.spot(trial.x, trial.y));
        }
        shown.iter().map(|trial| frame.spot(trial.x, trial.y)).collect()
    }

    fn legend(&self) -> Legend {
        let colours = self.colours();
        let level = |level: &f64| {
            let colour = colours.of(*level);
            let marker = Glyph::Marker(Marker::disc(colour, false));
            Entry::of([Glyph::Line(level_stroke(colour)), marker], power_of_ten(*level, 3))
        };
        let levels = colours.levels.iter().map(level).collect();
        Legend::new([
            Section { heading: self.value_label.clone(), entries: levels },
            Section { heading: String::new(), entries: self.kinds() },
        ])
    }

    fn kinds(&self) -> Vec<Entry> {
        let line = |stroke, label: &str| Entry::of([Glyph::Line(stroke)], label);
        let trial = Glyph::Marker(Marker::disc(SOFT_INK, false));
        let trials =
            (!self.trials.is_empty()).then(|| Entry::of([trial], "measured, in its colour"));
        let frontier = self.frontier.as_ref().map(|at| line(frontier_stroke(), &at.label));
        let equal = (!self.iso_flops.is_empty()).then(|| line(iso_stroke(), "equal compute"));
        let predicted = line(level_stroke(SOFT_INK), "predicted");
        [Some(predicted), trials, frontier, equal].into_iter().flatten().collect()
    }
}

impl Surface {
    /// `None` where the grid is no grid or not on logarithmic axes.
    fn axes(&self) -> Option<(Axis, Axis)> {
        let whole =
            self.columns > 1 && self.rows() > 1 && self.values.len().is_multiple_of(self.columns);
        let x = Axis::between(Scale::Log, self.x.0, self.x.1)?;
        let y = Axis::between(Scale::Log, self.y.0, self.y.1)?;
        whole.then_some((x, y))
    }

    fn rows(&self) -> usize {
        self.values.len() / self.columns.max(1)
    }

    /// The library walks around all that is above the level, and so along the grid's border too:
    /// half a step beyond the outermost values, which is cut off here.
    fn lines_at(&self, level: f64, frame: &Frame) -> Vec<Vec<Spot>> {
        let around = ContourBuilder::new(self.columns, self.rows(), true)
            .lines(&self.values, &[level])
            .unwrap_or_default();
        let rings = around.iter().flat_map(|line| &line.geometry().0);
        let steps = rings.map(|ring| ring.0.iter().map(|at| (at.x - 0.5, at.y - 0.5)).collect());
        steps.flat_map(|steps: Vec<(f64, f64)>| self.within(&steps, frame)).collect()
    }

    /// The stretches of a line, in steps of the grid, that are within the grid.
    fn within(&self, line: &[(f64, f64)], frame: &Frame) -> Vec<Vec<Spot>> {
        let last = ((self.columns - 1) as f64, (self.rows() - 1) as f64);
        let inside =
            |at: &(f64, f64)| (0.0..=last.0).contains(&at.0) && (0.0..=last.1).contains(&at.1);
        let spot = |at: &(f64, f64)| {
            let along = |(from, to): (f64, f64), share: f64| from * (to / from).powf(share);
            frame.spot(along(self.x, at.0 / last.0), along(self.y, at.1 / last.1))
        };
        line.chunk_by(|a, b| inside(a) == inside(b))
            .filter(|points| points.first().is_some_and(inside))
            .map(|points| points.iter().map(spot).collect())
            .collect()
    }
}

impl Colours {
    fn of(&self, value: f64) -> Colour {
        let steps = self.levels.windows(2).map(|pair| {
            let share = (value / pair[0]).ln() / (pair[1] / pair[0]).ln();
            share.clamp(0.0, 1.0)
        });
        let n_steps = self.levels.len().saturating_sub(1).max(1);
        sequential(steps.sum::<f64>() / n_steps as f64)
    }
}

impl Labels<'_> {
    /// Nothing where no place on the line has room.
    fn draw(&mut self, canvas: &mut Canvas, line: &Line) {
        let half = (0.5 * text_width(&line.label, SMALL_SIZE) + 3.0, 0.5 * SMALL_SIZE * LEADING);
        let free = line.stretches.iter().flatten().filter(|at| self.is_free(**at, half));
        let Some(at) = free.max_by(|a, b| self.room(**a).total_cmp(&self.room(**b))) else {
            return;
        };
        let (left, right) = (at.0 - half.0, at.0 + half.0);
        let (top, bottom) = (at.1 - half.1, at.1 + half.1);
        canvas.fill(&[(left, top), (right, top), (right, bottom), (left, bottom)], PAPER, 0.8);
        let how = Type { colour: line.colour.for_text(), ..set(SMALL_SIZE, Anchor::Centre) };
        canvas.text(&line.label, *at, how);
        self.boxes.push((*at, half));
    }

    fn is_free(&self, at: Spot, half: Spot) -> bool {
        let frame = self.frame;
        let (x, y) = (half.0 + LABEL_MARGIN, half.1 + LABEL_MARGIN);
        let inside = (frame.left + x..=frame.right - x).contains(&at.0)
            && (frame.top + y..=frame.bottom - y).contains(&at.1);
        inside
            && self.boxes.iter().all(|(other, size)| {
                (at.0 - other.0).abs() > half.0 + size.0 || (at.1 - other.1).abs() > half.1 + size.1
            })
    }

    /// Distance to the nearest thing that it should not hide.
    fn room(&self, at: Spot) -> f64 {
        let taken = self.taken.iter().chain(self.boxes.iter().map(|(other, _)| other));
        let away = taken.map(|other| (at.0 - other.0).hypot(at.1 - other.1));
        away.fold(f64::INFINITY, f64::min)
    }
}

fn level_stroke(colour: Colour) -> Stroke {
    Stroke::solid(colour, LINE_WIDTH)
}

fn iso_stroke() -> Stroke {
    Stroke::solid(SOFT_INK, THIN_WIDTH).dashed(Dash::Broken(1.5, 3.0))
}

fn frontier_stroke() -> Stroke {
    Stroke::solid(FRONTIER, STRONG_WIDTH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::style::TICK_SIZE;

    /// N times D, of which the level lines are straight on logarithmic axes.
    fn product(columns: usize, rows: usize) -> Surface {
        let at = |i: usize, n: usize| 100_f64.powf(i as f64 / (n - 1) as f64);
        let row = |j| (0..columns).map(move |i| at(i, columns) * at(j, rows));
        Surface {
            x: (1.0, 100.0),
            y: (1.0, 100.0),
            columns,
            values: (0..rows).flat_map(row).collect(),
        }
    }

    fn frame(surface: &Surface) -> Frame {
        let (x, y) = surface.axes().unwrap();
        Frame { left: 0.0, right: 100.0, top: 0.0, bottom: 100.0, x, y, tick_size: TICK_SIZE }
    }

    #[test]
    fn a_level_line_follows_the_level_and_ends_at_the_border() {
        let surface = product(90, 70);
        let spots: Vec<Spot> = surface.lines_at(100.0, &frame(&surface)).concat();
        // From corner to corner: right and down.
        assert!(spots.iter().all(|(x, y)| (x - y).abs() < 0.05), "{spots:?}");
        let along: Vec<f64> = spots.iter().map(|spot| spot.0).collect();
        assert!(along.iter().any(|x| *x < 1.5) && along.iter().any(|x| *x > 98.5), "{along:?}");
    }

    #[test]
    fn a_level_that_the_surface_does_not_reach_has_no_line() {
        let surface = product(20, 20);
        for level in [0.5, 1e5, f64::NAN] {
            assert!(surface.lines_at(level, &frame(&surface)).is_empty(), "{level}");
        }
    }

    #[test]
    fn a_hole_in_the_surface_has_no_lines_around_it_that_are_not_finite() {
        let mut surface = product(30, 30);
        surface.values[15 * 30 + 12] = f64::NAN;
        let spots = surface.lines_at(100.0, &frame(&surface)).concat();
        assert!(!spots.is_empty() && spots.iter().all(|(x, y)| x.is_finite() && y.is_finite()));
    }

    #[test]
    fn what_is_no_grid_is_refused() {
        for (columns, n) in [(0, 12), (1, 12), (5, 12), (12, 12)] {
            let surface = Surface { columns, values: vec![1.0; n], ..product(3, 4) };
            assert!(surface.axes().is_none(), "{n} values in {columns} columns");
        }
    }

    #[test]
    fn colours_are_even_from_level_to_level_and_end_at_the_outermost() {
        let colours = Colours { levels: vec![2.0, 2.1, 4.0] };
        assert_eq!(colours.of(1.0), sequential(0.0));
        assert_eq!(colours.of(2.1), sequential(0.5));
        assert_eq!(colours.of(9.0), sequential(1.0));
    }
}
