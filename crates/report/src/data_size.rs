//! Figure (ii): error against the number of unique examples at the largest compute, a line per
//! model size.

use crate::axis::{Axis, Scale};
use crate::canvas::{Canvas, Spot};
use crate::frame::Frame;
use crate::legend::{Entry, Glyph, Legend, Section};
use crate::mark::{Palette, Point, Size, in_order, sizes};
use crate::plan::{Panel, Plan};
use crate::style::{LINE_WIDTH, Stroke};
use crate::{Data, Datum, DrawError, Figure, Look};

/// Most data sizes that the axis names one by one.
const MOST_NAMED: usize = 8;
/// Px between neighbouring lines where there is room.
const ASIDE: f64 = 4.5;

#[derive(Clone, Debug)]
pub struct DataSizeFigure {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    /// Above the sizes in the legend.
    pub size_heading: String,
    pub lines: Vec<SizeLine>,
}

#[derive(Clone, Debug)]
pub struct SizeLine {
    pub size: Size,
    pub points: Vec<Point>,
}

impl Figure for DataSizeFigure {
    fn draw(&self, look: Look) -> Result<String, DrawError> {
        let (x, y) = self.axes().ok_or(DrawError::Nothing { figure: "data size" })?;
        let plan = Plan {
            title: &self.title,
            x_label: &self.x_label,
            x,
            x_ticks: Some(self.data_sizes()).filter(|sizes| sizes.len() <= MOST_NAMED),
            panels: [Panel::whole(&self.y_label, y)],
            legend: self.legend(),
        };
        Ok(plan.draw(look, |canvas, [frame]| self.paint(canvas, frame)))
    }

    fn data(&self) -> Data {
        let of = |line: &SizeLine| {
            let label = line.size.label.clone();
            let rows = line.points.iter().map(move |at| Datum::mean("measured", at).of(&label));
            rows.collect::<Vec<_>>()
        };
        Data::new(&self.x_label, &self.y_label, self.lines.iter().flat_map(of))
    }
}

impl DataSizeFigure {
    fn points(&self) -> impl Iterator<Item = &Point> {
        let points = self.lines.iter().flat_map(|line| &line.points);
        points.filter(|point| Scale::Log.shows(point.x) && Scale::Log.shows(point.y))
    }

    fn axes(&self) -> Option<(Axis, Axis)> {
        let x = Axis::over(Scale::Log, self.points().map(|point| point.x))?;
        Some((x, Axis::over(Scale::Log, self.points().flat_map(Point::ys))?))
    }

    fn data_sizes(&self) -> Vec<f64> {
        let mut sizes: Vec<f64> = self.points().map(|point| point.x).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        sizes
    }

    fn sizes(&self) -> Vec<&Size> {
        sizes(self.lines.iter().map(|line| &line.size))
    }

    /// Lines stand side by side at each data size, so that their bars can be told apart.
    fn paint(&self, canvas: &mut Canvas, frame: &Frame) {
        let sizes = self.sizes();
        let palette = Palette::of(&sizes);
        let aside = self.aside(frame, sizes.len());
        for line in &self.lines {
            let place = sizes.iter().filter(|size| size.rank < line.size.rank).count();
            let dx = aside * (place as f64 - 0.5 * (sizes.len() as f64 - 1.0));
            line.paint(canvas, &frame.moved(dx), palette);
        }
    }

    /// Px from one line to the next at a data size.
    fn aside(&self, frame: &Frame, n_lines: usize) -> f64 {
        let at: Vec<f64> = self.data_sizes().iter().map(|x| frame.x_px(*x)).collect();
        let room = at.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
        ASIDE.min(0.4 * room / n_lines as f64)
    }

    fn legend(&self) -> Legend {
        let sizes = self.sizes();
        let palette = Palette::of(&sizes);
        let entry = |size: &&Size| Entry {
            key: vec![
                Glyph::Line(Stroke::solid(palette.colour(size), LINE_WIDTH)),
                Glyph::Marker(palette.marker(size, 0)),
            ],
            label: size.label.clone(),
        };
        Legend::new([Section {
            heading: self.size_heading.clone(),
            entries: sizes.iter().map(entry).collect(),
        }])
    }
}

impl SizeLine {
    fn paint(&self, canvas: &mut Canvas, frame: &Frame, palette: Palette) {
        let points = in_order(&self.points, frame);
        let spots: Vec<Spot> = points.iter().map(|point| frame.spot(point.x, point.y)).collect();
        canvas.line(&spots, Stroke::solid(palette.colour(&self.size), LINE_WIDTH));
        let marker = palette.marker(&self.size, 0);
        points.iter().for_each(|point| marker.draw_point(canvas, frame, point));
    }
}
