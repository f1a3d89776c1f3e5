//! What is best at each compute, by several approaches: parameters above, examples below, over the
//! same compute axis.

use crate::axis::{Axis, Scale, on_log_axes};
use crate::canvas::Canvas;
use crate::curve::{CurvePoint, Drawn, within_reach};
use crate::frame::Frame;
use crate::legend::{Entry, Glyph, Legend, Section};
use crate::mark::Marker;
use crate::plan::{Panel, Plan};
use crate::style::{
    BAND_OPACITY, Colour, EXTRAPOLATED, LINE_WIDTH, SOFT_INK, Stroke, category_colour,
    target_stroke,
};
use crate::{Data, Datum, DrawError, Figure, Look};

const PANEL_HEIGHT: f64 = 340.0;
/// Px between the targets of neighbouring approaches, so that their bars can be told apart.
const ASIDE: f64 = 9.0;

#[derive(Clone, Debug)]
pub struct OptimumFigure {
    pub title: String,
    pub x_label: String,
    /// Parameters, then examples.
    pub panels: [OptimumPanel; 2],
    /// A compute of interest, named in the legend.
    pub target: Option<(f64, String)>,
}

#[derive(Clone, Debug)]
pub struct OptimumPanel {
    pub y_label: String,
    /// Above the approaches in the legend: `N_{opt} ∝ C^{a}`.
    pub heading: String,
    pub approaches: Vec<Approach>,
}

#[derive(Clone, Debug)]
pub struct Approach {
    /// With its exponent: `IsoFLOP: 0.49 [0.46, 0.52]`.
    pub label: String,
    /// Which colour and marker, the same in both panels.
    pub kind: usize,
    pub points: Vec<CurvePoint>,
    /// In order of x.
    pub curve: Vec<CurvePoint>,
    /// The curve is dashed from here on.
    pub last_measured_x: f64,
    /// What is predicted at [`OptimumFigure::target`].
    pub predicted: Option<CurvePoint>,
}

impl Figure for OptimumFigure {
    fn draw(&self, look: Look) -> Result<String, DrawError> {
        let nothing = DrawError::Nothing { figure: "optimum" };
        let compute = self.panels.iter().flat_map(OptimumPanel::shown).map(|at| at.x);
        let target = self.target.iter().map(|(x, _)| *x);
        let [params, data] = &self.panels;
        let plan = Plan {
            title: &self.title,
            x_label: &self.x_label,
            x: Axis::over(Scale::Log, compute.chain(target)).ok_or(nothing)?,
            x_ticks: None,
            panels: [params.panel().ok_or(nothing)?, data.panel().ok_or(nothing)?],
            legend: self.legend(),
        };
        Ok(plan.draw(look, |canvas, frames| {
            for (panel, frame) in self.panels.iter().zip(frames) {
                if let Some((x, _)) = &self.target {
                    frame.draw_upright(canvas, *x, target_stroke());
                }
                panel.paint(canvas, frame);
            }
        }))
    }

    fn data(&self) -> Data {
        let of = |panel: &OptimumPanel| {
            let rows = panel.approaches.iter().flat_map(|approach| {
                let parts = [
                    ("measured", &approach.points[..]),
                    ("curve", &approach.curve[..]),
                    ("predicted", approach.predicted.as_slice()),
                ];
                let rows = parts.into_iter().flat_map(|(part, points)| {
                    points.iter().map(move |at| Datum::on_curve(part, at))
                });
                rows.map(|row| row.of(&approach.label).variant(&panel.y_label))
            });
            rows.collect::<Vec<_>>()
        };
        Data::new(&self.x_label, "value", self.panels.iter().flat_map(of))
    }
}

impl OptimumFigure {
    fn legend(&self) -> Legend {
        let sections = self.panels.iter().map(OptimumPanel::section);
        let target = self.target.iter();
        let target = target.map(|(_, label)| Entry::of([Glyph::Line(target_stroke())], label));
        let notes = self.beyond_entry().into_iter().chain(target).collect();
        Legend::new(sections.chain([Section { heading: String::new(), entries: notes }]))
    }

    fn beyond_entry(&self) -> Option<Entry> {
        let mut approaches = self.panels.iter().flat_map(|panel| &panel.approaches);
        let stroke = Stroke::solid(SOFT_INK, LINE_WIDTH).dashed(EXTRAPOLATED);
        approaches
            .any(|approach| approach.drawn().goes_beyond())
            .then(|| Entry::of([Glyph::Line(stroke)], "extrapolated"))
    }
}

impl OptimumPanel {
    fn shown(&self) -> impl Iterator<Item = &CurvePoint> {
        let all = self.approaches.iter().flat_map(Approach::values);
        all.filter(|at| on_log_axes(&(at.x, at.y)))
    }

    fn panel(&self) -> Option<Panel<'_>> {
        let ys: Vec<f64> = self.shown().map(|at| at.y).collect();
        let intervals = within_reach(self.shown(), &ys);
        let y = Axis::over(Scale::Log, intervals.chain(ys.iter().copied()))?;
        Some(Panel { y_label: &self.y_label, y, height: PANEL_HEIGHT })
    }

    fn paint(&self, canvas: &mut Canvas, frame: &Frame) {
        for approach in &self.approaches {
            approach.drawn().paint_band(canvas, frame, approach.colour(), BAND_OPACITY);
        }
        for approach in &self.approaches {
            approach.drawn().paint_curve(canvas, frame, approach.stroke());
            approach.points.iter().for_each(|at| approach.paint_value(canvas, frame, at));
        }
        let n = self.approaches.len() as f64;
        for (i, approach) in self.approaches.iter().enumerate() {
            let beside = frame.moved(ASIDE * (i as f64 - 0.5 * (n - 1.0)));
            approach.predicted.iter().for_each(|at| approach.paint_value(canvas, &beside, at));
        }
    }

    fn section(&self) -> Section {
        let entry = |approach: &Approach| {
            let key = [Glyph::Line(approach.stroke()), Glyph::Marker(approach.marker())];
            Entry::of(key, &approach.label)
        };
        Section {
            heading: self.heading.clone(),
            entries: self.approaches.iter().map(entry).collect(),
        }
    }
}

impl Approach {
    fn values(&self) -> impl Iterator<Item = &CurvePoint> {
        self.points.iter().chain(&self.curve).chain(&self.predicted)
    }

    fn drawn(&self) -> Drawn<'_> {
        Drawn { points: &self.curve, last_x: self.last_measured_x }
    }

    fn colour(&self) -> Colour {
        category_colour(self.kind)
    }

    fn stroke(&self) -> Stroke {
        Stroke::solid(self.colour(), LINE_WIDTH)
    }

    fn marker(&self) -> Marker {
        Marker::of_category(self.kind, false)
    }

    fn paint_value(&self, canvas: &mut Canvas, frame: &Frame, at: &CurvePoint) {
        if frame.shows(at.x, at.y) {
            self.marker().draw_bar(canvas, frame, at.x, at.low, at.high);
            self.marker().draw(canvas, frame.spot(at.x, at.y));
        }
    }
}
