//! The figures as their users get them.

mod analysis;
mod fits;
mod looks;
mod page;
mod samples;
mod variants;

use std::path::Path;

use proptest::prelude::*;
use report::{
    DataSizeFigure, DrawError, Figure, LossFigure, Point, Scale, ScalingFigure, Series, Size,
    SizeLine, png,
};
use resvg::usvg;

const FONT: &[u8] = include_bytes!("../../assets/LiberationSans-Regular.ttf");

fn samples_of_all() -> Vec<(&'static str, Box<dyn Figure>)> {
    vec![
        ("scaling", Box::new(samples::scaling(6, 5))),
        ("scaling_8_sizes", Box::new(samples::scaling(8, 5))),
        ("scaling_2_sizes", Box::new(samples::scaling(2, 3))),
        ("data_size_2", Box::new(samples::data_size(&[5e3, 5e4]))),
        ("data_size_6", Box::new(samples::data_size(&[1e3, 3e3, 1e4, 3e4, 1e5, 3e5]))),
        ("losses", Box::new(samples::losses(6, 2, 6000))),
        ("losses_few", Box::new(samples::losses(3, 1, 2000))),
        ("fit", Box::new(fits::fit(40))),
        ("fit_dense", Box::new(fits::fit(5000))),
        ("isoflop", Box::new(fits::isoflop())),
        ("optimum", Box::new(fits::optimum())),
        ("forest", Box::new(fits::forest(6))),
        ("backtest_24", Box::new(fits::backtest(24))),
        ("backtest_6", Box::new(fits::backtest(6))),
        ("backtest_1", Box::new(fits::backtest(1))),
        ("variants_4", Box::new(variants::variants(4, true))),
        ("variants_7", Box::new(variants::variants(7, true))),
        ("variants_2_bare", Box::new(variants::variants(2, false))),
        ("attention", Box::new(variants::attention(true))),
        ("attention_logits", Box::new(variants::attention(false))),
        ("learning_rate_1", Box::new(variants::rates(1))),
        ("learning_rate_4", Box::new(variants::rates(4))),
        ("contour", Box::new(fits::contour(fits::sample_trials()))),
    ]
}

fn sample_figures() -> Vec<(&'static str, String)> {
    samples_of_all().into_iter().map(|(name, figure)| (name, figure.svg().unwrap())).collect()
}

/// Of public data, where they are at hand.
fn real_figures() -> [(&'static str, Option<String>); 2] {
    [
        ("contour_chinchilla", fits::real_contour().map(|figure| figure.svg().unwrap())),
        ("backtest_vision", fits::real_backtest().map(|figure| figure.svg().unwrap())),
    ]
}

/// All text of an SVG, one string a `<text>`.
fn texts(svg: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(svg).unwrap();
    let texts = document.descendants().filter(|node| node.has_tag_name("text"));
    texts.map(|node| node.text().unwrap_or("").trim().to_owned()).collect()
}

fn tree(svg: &str) -> usvg::Tree {
    let mut options = usvg::Options::default();
    options.fontdb_mut().load_font_data(FONT.to_vec());
    usvg::Tree::from_str(svg, &options).unwrap()
}

/// Where each piece of text is, as it is drawn.
fn text_boxes(group: &usvg::Group) -> Vec<(String, usvg::Rect)> {
    let words =
        |text: &usvg::Text| text.chunks().iter().map(usvg::TextChunk::text).collect::<String>();
    let boxes = group.children().iter().map(|node| match node {
        usvg::Node::Text(text) => vec![(words(text), text.abs_bounding_box())],
        usvg::Node::Group(group) => text_boxes(group),
        usvg::Node::Path(_) | usvg::Node::Image(_) => Vec::new(),
    });
    boxes.flatten().collect()
}

fn overlap(a: usvg::Rect, b: usvg::Rect) -> bool {
    // A base and its exponent touch, and a box is taller than its letters.
    let (x, y) = (0.5, 2.0);
    a.left() + x < b.right() - x
        && b.left() + x < a.right() - x
        && a.top() + y < b.bottom() - y
        && b.top() + y < a.bottom() - y
}

fn check_text(name: &str, svg: &str) {
    let tree = tree(svg);
    let boxes = text_boxes(tree.root());
    assert!(!boxes.is_empty(), "{name}: no text");
    for (i, (text, here)) in boxes.iter().enumerate() {
        assert!(
            here.left() >= 0.0 && here.right() <= tree.size().width(),
            "{name}: `{text}` is cut off"
        );
        assert!(
            here.top() >= 0.0 && here.bottom() <= tree.size().height(),
            "{name}: `{text}` is cut off"
        );
        for (other, there) in &boxes[i + 1..] {
            assert!(!overlap(*here, *there), "{name}: `{text}` and `{other}` overlap");
        }
    }
}

#[test]
fn no_text_overlaps_another_or_leaves_the_figure() {
    for (name, svg) in sample_figures() {
        check_text(name, &svg);
    }
    let mut wordy = samples::scaling(8, 4);
    wordy.title = "a title that goes on ".repeat(12);
    wordy.variants = vec!["a label much too long for one line of any legend ".repeat(3); 6];
    check_text("wordy", &wordy.svg().unwrap());
}

#[test]
fn every_label_is_in_the_figure() {
    let texts = texts(&samples::scaling(3, 4).svg().unwrap());
    let expected = [
        "training compute C (FLOPs)",
        "validation error",
        "mu · 18.4k",
        "Ti · 97.3k",
        "50k",
        "5k",
        "frontier",
    ];
    for label in expected.into_iter().chain(["extrapolated", "95% interval", "0.5", "11"]) {
        assert!(texts.iter().any(|text| text == label), "{label} is not in {texts:?}");
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let (first, second) = (sample_figures(), sample_figures());
    assert_eq!(first, second);
    assert_eq!(png(&first[0].1).unwrap(), png(&second[0].1).unwrap());
}

#[test]
fn a_png_has_twice_the_pixels_of_its_svg() {
    let png = png(&samples::scaling(3, 4).svg().unwrap()).unwrap();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!((side(16), side(20)), (1600, 1040));
}

#[test]
fn a_hundred_long_curves_stay_under_500_kb() {
    let svg = samples::losses(8, 5, 20_000).svg().unwrap();
    assert!(svg.len() < 500_000, "{} bytes", svg.len());
    assert!(svg.matches("<polyline").count() >= 400);
}

#[test]
fn a_fit_within_the_data_is_not_called_extrapolated() {
    let mut figure = samples::scaling(3, 4);
    figure.fit.as_mut().unwrap().last_measured_x = f64::INFINITY;
    assert!(!texts(&figure.svg().unwrap()).contains(&"extrapolated".to_owned()));
}

#[test]
fn a_figure_without_a_drawable_point_is_an_error() {
    let mut scaling = samples::scaling(2, 2);
    (scaling.fit, scaling.frontier) = (None, vec![(1e9, 0.0), (f64::NAN, 0.5)]);
    scaling.series.iter_mut().for_each(|series| series.points.clear());
    assert_eq!(scaling.svg(), Err(DrawError::Nothing { figure: "scaling" }));
    assert_eq!(
        samples::data_size(&[f64::INFINITY]).svg(),
        Err(DrawError::Nothing { figure: "data size" })
    );
    let mut losses = samples::losses(1, 1, 100);
    (losses.curves, losses.validation) = (Vec::new(), Vec::new());
    assert_eq!(losses.svg(), Err(DrawError::Nothing { figure: "loss curve" }));
}

/// Errors and FLOPs, and what goes wrong with them.
fn any_value() -> impl Strategy<Value = f64> {
    let usual = (-2.0..14.0_f64).prop_map(|exponent| 10_f64.powf(exponent));
    prop_oneof![8 => usual, 1 => any::<f64>(), 1 => Just(0.0), 1 => Just(0.5)]
}

fn any_point() -> impl Strategy<Value = Point> {
    (any_value(), any_value(), any_value(), any_value(), 0..3_usize)
        .prop_map(|(x, y, low, high, n)| Point { x, y, low, high, n })
}

fn any_points() -> impl Strategy<Value = Vec<Point>> {
    prop::collection::vec(any_point(), 0..6)
}

fn pairs(points: &[Point]) -> Vec<(f64, f64)> {
    points.iter().map(|point| (point.x, point.y)).collect()
}

fn size(rank: usize) -> Size {
    Size { label: format!("size {rank}"), rank }
}

/// Points, rank and variant of a line.
type Line = (Vec<Point>, usize, usize);

/// A scaling figure of these lines, with their values on the frontier and on the fit as well.
fn with_lines(lines: &[Line], last_measured_x: f64) -> ScalingFigure {
    let mut figure = samples::scaling(2, 3);
    let series = |(points, rank, variant): &Line| Series {
        size: size(*rank),
        variant: *variant,
        points: points.clone(),
    };
    figure.series = lines.iter().map(series).collect();
    figure.frontier = lines.first().map(|line| pairs(&line.0)).unwrap_or_default();
    let fit = figure.fit.as_mut().unwrap();
    fit.last_measured_x = last_measured_x;
    let points = lines.iter().flat_map(|line| &line.0);
    for (at, point) in fit.curve.iter_mut().zip(points) {
        (at.y, at.low, at.high) = (point.y, point.low, point.high);
    }
    figure
}

fn check_drawn(figure: Result<String, DrawError>) {
    if let Ok(svg) = figure {
        check_text("random", &svg);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_points_are_drawn_or_refused_but_never_panic(
        lines in prop::collection::vec((any_points(), 0..10_usize, 0..3_usize), 0..5),
        linear in any::<bool>(), measured in any_value(),
    ) {
        check_drawn(with_lines(&lines, measured).svg());
        let mut data: DataSizeFigure = samples::data_size(&[1e3]);
        let line = |line: &Line| SizeLine { size: size(line.1), points: line.0.clone() };
        data.lines = lines.iter().map(line).collect();
        check_drawn(data.svg());
        let mut losses: LossFigure = samples::losses(1, 1, 50);
        losses.x_scale = if linear { Scale::Linear } else { Scale::Log };
        losses.y_scale = losses.x_scale;
        for (curve, line) in losses.curves.iter_mut().zip(&lines) {
            curve.points = pairs(&line.0);
        }
        check_drawn(losses.svg());
    }
}

/// Writes the samples for people to look at: `cargo test -p report draws_samples`, then see
/// target/tmp/report.
#[test]
fn draws_samples() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    std::fs::create_dir_all(&folder).unwrap();
    let samples = sample_figures().into_iter().map(|(name, svg)| (name, Some(svg)));
    for (name, svg) in samples.chain(real_figures()) {
        let Some(svg) = svg else {
            println!("skipped {name}: its data are not in ../shared/data/fits");
            continue;
        };
        check_text(name, &svg);
        std::fs::write(folder.join(format!("{name}.png")), png(&svg).unwrap()).unwrap();
        std::fs::write(folder.join(format!("{name}.svg")), svg).unwrap();
    }
}
