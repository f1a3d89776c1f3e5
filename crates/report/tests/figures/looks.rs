//! The same figures in every theme and size, and their numbers.

use std::path::Path;

use report::{Figure, Look, PaperSize, Point, Theme, png};

use crate::{check_text, samples, samples_of_all, texts};

const THEMES: [Theme; 3] = [Theme::Light, Theme::Dark, Theme::Print];

/// What is left when colours are taken away.
fn without_colours(svg: &str) -> String {
    let mut parts = svg.split('#');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.get(6..).unwrap_or_default())
}

#[test]
fn in_one_column_nothing_overlaps_or_is_cut_off_either() {
    for (name, figure) in samples_of_all() {
        let svg = figure.draw(Look { size: PaperSize::Column, ..Look::default() }).unwrap();
        check_text(&format!("{name} in one column"), &svg);
        assert!(svg.contains("width=\"400\""), "{name}");
    }
}

#[test]
fn every_label_of_a_figure_is_in_its_narrow_one_too() {
    let figure = samples::scaling(6, 5);
    let narrow = figure.draw(Look { size: PaperSize::Column, ..Look::default() }).unwrap();
    let narrow = texts(&narrow);
    for label in ["training compute C (FLOPs)", "frontier", "extrapolated", "50k", "Ti · 97.3k"] {
        assert!(narrow.iter().any(|text| text == label), "{label} is not in {narrow:?}");
    }
}

#[test]
fn themes_differ_in_their_colours_and_in_nothing_else() {
    for (name, figure) in samples_of_all() {
        let [light, dark, print] =
            THEMES.map(|theme| figure.draw(Look { theme, ..Look::default() }).unwrap());
        assert_eq!(without_colours(&light), without_colours(&dark), "{name}");
        assert_eq!(without_colours(&light), without_colours(&print), "{name}");
        assert!(light != dark && light != print, "{name}");
    }
}

#[test]
fn print_is_black_white_and_grey() {
    for (name, figure) in samples_of_all() {
        let svg = figure.draw(Look { theme: Theme::Print, ..Look::default() }).unwrap();
        for colour in svg.split("=\"#").skip(1).map(|rest| &rest[..6]) {
            assert!(colour[..2] == colour[2..4] && colour[..2] == colour[4..], "{name}: #{colour}");
        }
    }
}

#[test]
fn an_untitled_figure_keeps_its_title_for_those_who_cannot_see_it() {
    let figure = samples::scaling(3, 4);
    let svg = figure.draw(Look { is_untitled: true, ..Look::default() }).unwrap();
    assert!(!texts(&svg).contains(&figure.title));
    assert!(svg.contains(&format!("<title>{}</title>", figure.title)));
}

#[test]
fn the_numbers_of_a_figure_are_all_that_it_shows() {
    for (name, figure) in samples_of_all() {
        let csv = figure.data().csv();
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        assert_eq!(&reader.headers().unwrap()[0], "part", "{name}");
        let n = reader.records().map(Result::unwrap).count();
        assert!(n > 1, "{name}: {n} rows");
    }
}

#[test]
fn a_point_has_a_row_with_its_group_its_spread_and_its_seeds() {
    let mut figure = samples::data_size(&[1e3]);
    figure.lines.truncate(1);
    figure.lines[0].points = vec![Point { x: 1e3, y: 0.5, low: 0.4, high: 0.6, n: 2 }];
    let csv = figure.data().csv();
    let row = format!("measured,{},1000,0.5,0.4,0.6,2", figure.lines[0].size.label);
    assert_eq!(csv.lines().nth(1), Some(row.as_str()), "{csv}");
}

/// Writes every look of some samples for people to look at: see target/tmp/report.
#[test]
fn draws_looks() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, figure) in samples_of_all() {
        for theme in THEMES {
            for size in [PaperSize::Page, PaperSize::Column] {
                let svg = figure.draw(Look { theme, size, is_untitled: false }).unwrap();
                let file = format!("{name}-{theme:?}-{size:?}.png");
                std::fs::write(folder.join(file), png(&svg).unwrap()).unwrap();
            }
        }
    }
}
