//! Figure: final loss against learning rate, a curve for each size and variant. Trials that diverged
//! have no loss: they are marked on the upper edge, beyond every value.

use crate::axis::{Axis, Scale};
use crate::canvas::{Canvas, Spot};
use crate::frame::Frame;
use crate::legend::{Entry, Glyph, Legend, Section};
use crate::mark::{Cross, Marker, Palette, Point, Size, in_order, sizes};
use crate::plan::{Panel, Plan};
use crate::style::{Colour, INK, LINE_WIDTH, Stroke, category_colour, category_dash, variant_dash};
use crate::{Data, Datum, DrawError, Figure, Look};

#[derive(Clone, Debug)]
pub struct RateFigure {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    /// Above the sizes in the legend.
    pub size_heading: String,
    /// Above the variants in the legend.
    pub variant_heading: String,
    /// What [`RateCurve::variant`] counts; no legend for a single one. Of a single size they have the
    /// colours.
    pub variants: Vec<String>,
    pub curves: Vec<RateCurve>,
}

#[derive(Clone, Debug)]
pub struct RateCurve {
    pub size: Size,
    /// Index into [`RateFigure::variants`].
    pub variant: usize,
    /// Loss by rate, of the seeds that survived.
    pub points: Vec<Point>,
    /// Rates at which a seed diverged.
    pub diverged: Vec<f64>,
}

/// Px between marks that belong to one rate.
const ASIDE: f64 = 9.0;

impl Figure for RateFigure {
    fn draw(&self, look: Look) -> Result<String, DrawError> {
        let (x, y) = self.axes().ok_or(DrawError::Nothing { figure: "learning rate" })?;
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
        let of = |curve: &RateCurve| {
            let measured = curve.points.iter().map(|at| Datum::mean("measured", at));
            let diverged = curve.diverged.iter();
            let diverged = diverged.map(|rate| Datum::new("diverged", *rate, f64::NAN));
            let variant = self.variants.get(curve.variant).map_or("", String::as_str);
            let rows = measured.chain(diverged);
            rows.map(|row| row.of(&curve.size.label).variant(variant)).collect::<Vec<_>>()
        };
        Data::new(&self.x_label, &self.y_label, self.curves.iter().flat_map(of))
    }
}

impl RateFigure {
    fn axes(&self) -> Option<(Axis, Axis)> {
        let points = || {
            let all = self.curves.iter().flat_map(|curve| &curve.points);
            all.filter(|point| Scale::Log.shows(point.x) && Scale::Log.shows(point.y))
        };
        let diverged = || self.curves.iter().flat_map(|curve| curve.diverged.iter().copied());
        let x = Axis::over(Scale::Log, points().map(|point| point.x).chain(diverged()))?;
        let ys = points().flat_map(Point::ys).filter(|y| Scale::Log.shows(*y));
        Some((x, Axis::over(Scale::Log, ys)?))
    }

    fn sizes(&self) -> Vec<&Size> {
        sizes(self.curves.iter().map(|curve| &curve.size))
    }

    fn dress(&self) -> Dress {
        let sizes = self.sizes();
        Dress {
            palette: Palette::of(&sizes),
            by_variant: sizes.len() == 1 && self.variants.len() > 1,
        }
    }

    fn paint(&self, canvas: &mut Canvas, frame: &Frame) {
        let dress = self.dress();
        for curve in &self.curves {
            let points = in_order(&curve.points, frame);
            let spots: Vec<Spot> = points.iter().map(|at| frame.spot(at.x, at.y)).collect();
            canvas.line(&spots, dress.stroke(&curve.size, curve.variant));
            for (at, from, cross) in self.crosses(frame, curve) {
                let stroke = dress.stroke(&curve.size, curve.variant).faded(0.4);
                if let Some(from) = from {
                    canvas.line(&[from, at], stroke);
                }
                cross.draw(canvas, at);
            }
        }
        for curve in &self.curves {
            let marker = dress.marker(&curve.size, curve.variant);
            in_order(&curve.points, frame)
                .iter()
                .for_each(|point| marker.draw_point(canvas, frame, point));
        }
    }

    /// The marks of a curve, each with the point from which the loss went up to it, if no seed of its
    /// rate survived; those of other curves at the same rate stand beside it.
    fn crosses(&self, frame: &Frame, curve: &RateCurve) -> Vec<(Spot, Option<Spot>, Cross)> {
        let points = in_order(&curve.points, frame);
        let cross = |&rate: &f64| {
            let at_rate = |other: &&RateCurve| other.diverged.contains(&rate);
            let n = self.curves.iter().filter(at_rate).count();
            let before = self.curves.iter().take_while(|other| !std::ptr::eq(*other, curve));
            let place = before.filter(at_rate).count();
            let aside = (place as f64 - 0.5 * (n as f64 - 1.0)) * ASIDE;
            let at = (frame.x_px(rate) + aside, frame.top);
            let survived = points.iter().any(|point| point.x == rate);
            let below = points.iter().rfind(|point| point.x < rate).filter(|_| !survived);
            let is_next = |from: &&Point| {
                !curve.diverged.iter().any(|other| *other > from.x && *other < rate)
            };
            let from = below.filter(is_next).map(|point| frame.spot(point.x, point.y));
            (at, from, Cross { colour: self.dress().colour(&curve.size, curve.variant) })
        };
        curve.diverged.iter().filter(|rate| frame.x.holds(**rate)).map(cross).collect()
    }

    fn legend(&self) -> Legend {
        let (dress, sizes) = (self.dress(), self.sizes());
        let size = |size: &&Size| {
            let key = [Glyph::Line(dress.stroke(size, 0)), Glyph::Marker(dress.marker(size, 0))];
            Entry::of(key, &size.label)
        };
        let variant = |(i, label): (usize, &String)| {
            let (stroke, marker) = match dress.by_variant {
                true => (dress.stroke(sizes[0], i), dress.marker(sizes[0], i)),
                false => {
                    (Stroke::solid(INK, LINE_WIDTH).dashed(variant_dash(i)), Marker::of_any_size(i))
                }
            };
            Entry::of([Glyph::Line(stroke), Glyph::Marker(marker)], label)
        };
        let has_variants = self.variants.len() > 1;
        let any = self.curves.iter().any(|curve| !curve.diverged.is_empty());
        let cross = || Entry::of([Glyph::Cross(Cross { colour: INK })], "diverged");
        let (shown, variants) = match (dress.by_variant, has_variants) {
            (true, _) => (&[][..], self.variants.as_slice()),
            (false, true) => (sizes.as_slice(), self.variants.as_slice()),
            (false, false) => (sizes.as_slice(), &[][..]),
        };
        Legend::new([
            Section {
                heading: self.size_heading.clone(),
                entries: shown.iter().map(size).collect(),
            },
            Section {
                heading: self.variant_heading.clone(),
                entries: variants.iter().enumerate().map(variant).collect(),
            },
            Section { heading: String::new(), entries: any.then(cross).into_iter().collect() },
        ])
    }
}

/// What colours stand for: sizes, or variants of a single size.
#[derive(Clone, Copy)]
struct Dress {
    palette: Palette,
    by_variant: bool,
}

impl Dress {
    fn colour(self, size: &Size, variant: usize) -> Colour {
        if self.by_variant { category_colour(variant) } else { self.palette.colour(size) }
    }

    fn stroke(self, size: &Size, variant: usize) -> Stroke {
        let dash = if self.by_variant { category_dash(variant) } else { variant_dash(variant) };
        Stroke::solid(self.colour(size, variant), LINE_WIDTH).dashed(dash)
    }

    fn marker(self, size: &Size, variant: usize) -> Marker {
        match self.by_variant {
            true => Marker::of_category(variant, false),
            false => self.palette.marker(size, variant),
        }
    }
}
