//! Figure: how large attention logits become during training, by learning rate, as Dehghani et al.
//! (2302.05442, figure 1) show it; and below, where it was measured, how even attention stays.

use crate::axis::{Axis, Scale};
use crate::canvas::{Canvas, Spot};
use crate::frame::Frame;
use crate::legend::{Entry, Glyph, Legend, Section};
use crate::mark::Cross;
use crate::plan::{Panel, Plan};
use crate::style::{
    FRONTIER, HEIGHT, INK, LINE_WIDTH, STRONG_WIDTH, Stroke, size_colour, variant_dash,
};
use crate::{Data, Datum, DrawError, Figure, Look};

#[derive(Clone, Debug)]
pub struct AttentionFigure {
    pub title: String,
    pub x_label: String,
    pub logit_label: String,
    pub entropy_label: String,
    /// Above the learning rates in the legend.
    pub rate_heading: String,
    /// The smallest first; [`Course::rate`] counts them.
    pub rates: Vec<String>,
    /// Above the variants in the legend.
    pub variant_heading: String,
    /// What [`Course::variant`] counts; no legend for a single one.
    pub variants: Vec<String>,
    /// Of a trial's largest attention logit.
    pub logits: Vec<Course>,
    /// Of a trial's attention entropy, as a rule the mean of its blocks.
    pub entropies: Vec<Course>,
}

/// One trial's course.
#[derive(Clone, Debug)]
pub struct Course {
    /// Index into [`AttentionFigure::rates`].
    pub rate: usize,
    /// Index into [`AttentionFigure::variants`].
    pub variant: usize,
    /// Step and value, in order of steps.
    pub points: Vec<(f64, f64)>,
    /// Where its loss became non-finite.
    pub diverged: Option<f64>,
}

/// Height of each of two plots.
const HALF: f64 = 0.62 * HEIGHT;

impl Figure for AttentionFigure {
    fn draw(&self, look: Look) -> Result<String, DrawError> {
        let x = Axis::over(Scale::Linear, self.steps());
        let axis = |scale, courses: &[Course]| {
            let values = courses.iter().flat_map(|course| &course.points).map(|(_, y)| *y);
            Axis::over(scale, values)
        };
        let (x, logit) = x
            .zip(axis(Scale::Log, &self.logits))
            .ok_or(DrawError::Nothing { figure: "attention" })?;
        Ok(match axis(Scale::Linear, &self.entropies) {
            None => self
                .plan(x, [Panel::whole(&self.logit_label, logit)])
                .draw(look, |canvas, [frame]| self.paint(canvas, frame, &self.logits)),
            Some(entropy) => {
                let panel = |y_label, y| Panel { y_label, y, height: HALF };
                let panels = [panel(&self.logit_label, logit), panel(&self.entropy_label, entropy)];
                self.plan(x, panels).draw(look, |canvas, [upper, lower]| {
                    self.paint(canvas, upper, &self.logits);
                    self.paint(canvas, lower, &self.entropies);
                })
            }
        })
    }

    fn data(&self) -> Data {
        let (rates, variants) = (&self.rates, &self.variants);
        let name = |names: &[String], at: usize| names.get(at).cloned().unwrap_or_default();
        let of = |part: &str, courses: &[Course]| -> Vec<Datum> {
            let rows = courses.iter().flat_map(|course| {
                let (rate, variant) = (name(rates, course.rate), name(variants, course.variant));
                let measured = Datum::pairs(part, &course.points);
                let end = course.diverged.map(|step| Datum::new("diverged", step, f64::NAN));
                measured.chain(end).map(move |row| row.of(&rate).variant(&variant))
            });
            rows.collect()
        };
        let logits = of(&self.logit_label, &self.logits);
        let entropies = of(&self.entropy_label, &self.entropies);
        Data::new(&self.x_label, "value", logits.into_iter().chain(entropies))
    }
}

impl AttentionFigure {
    fn plan<'a, const N: usize>(&'a self, x: Axis, panels: [Panel<'a>; N]) -> Plan<'a, N> {
        let (title, x_label) = (&self.title, &self.x_label);
        Plan { title, x_label, x, x_ticks: None, panels, legend: self.legend() }
    }

    fn steps(&self) -> impl Iterator<Item = f64> {
        let courses = || self.logits.iter().chain(&self.entropies);
        let measured = courses().flat_map(|course| &course.points).map(|(step, _)| *step);
        measured.chain(courses().filter_map(|course| course.diverged)).chain([0.0])
    }

    fn paint(&self, canvas: &mut Canvas, frame: &Frame, courses: &[Course]) {
        // The largest rates last: theirs are the curves that matter.
        let mut courses: Vec<&Course> = courses.iter().collect();
        courses.sort_by_key(|course| course.rate);
        for course in &courses {
            canvas.line(&course.spots(frame), self.stroke(course.rate, course.variant));
        }
        for course in courses {
            if let Some(at) = course.end(frame) {
                diverged().draw(canvas, at);
            }
        }
    }

    fn stroke(&self, rate: usize, variant: usize) -> Stroke {
        let colour = size_colour(rate, self.rates.len());
        Stroke::solid(colour, LINE_WIDTH).dashed(variant_dash(variant))
    }

    fn legend(&self) -> Legend {
        let rate = |(i, label): (usize, &String)| {
            Entry::of([Glyph::Line(Stroke { width: STRONG_WIDTH, ..self.stroke(i, 0) })], label)
        };
        let variant = |(i, label): (usize, &String)| {
            let stroke = Stroke::solid(INK, LINE_WIDTH).dashed(variant_dash(i));
            Entry::of([Glyph::Line(stroke)], label)
        };
        let variants = if self.variants.len() > 1 { self.variants.as_slice() } else { &[] };
        let all = || self.logits.iter().chain(&self.entropies);
        let any = all().any(|course| course.diverged.is_some());
        let mark = || Entry::of([Glyph::Cross(diverged())], "diverged here");
        Legend::new([
            Section {
                heading: self.rate_heading.clone(),
                entries: self.rates.iter().enumerate().map(rate).collect(),
            },
            Section {
                heading: self.variant_heading.clone(),
                entries: variants.iter().enumerate().map(variant).collect(),
            },
            Section { heading: String::new(), entries: any.then(mark).into_iter().collect() },
        ])
    }
}

impl Course {
    fn spots(&self, frame: &Frame) -> Vec<Spot> {
        let shown = self.points.iter().filter(|(x, y)| frame.shows(*x, *y));
        shown.map(|(x, y)| frame.spot(*x, *y)).collect()
    }

    /// Where a diverged trial's course ends: at its step, as high as it was last seen.
    fn end(&self, frame: &Frame) -> Option<Spot> {
        let step = self.diverged?;
        let (_, last) = self.points.iter().rfind(|(x, y)| frame.shows(*x, *y))?;
        Some(frame.spot(step, *last))
    }
}

fn diverged() -> Cross {
    Cross { colour: FRONTIER }
}
