//! A page as its readers get it.

use std::collections::BTreeSet;

use report::{Block, Column, Headline, Page, PageFigure, Section, Table};

use crate::{fits, samples};

const HOSTILE: &str = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp;`]]>-->";

fn sample(text: &str) -> Page {
    let columns = vec![Column::left(text), Column::right("n")];
    let table = || Table { columns: columns.clone(), rows: vec![vec![text.into(), "1".into()]] };
    let mut scaling = samples::scaling(3, 4);
    scaling.title = text.into();
    scaling.x_label = text.into();
    scaling.size_heading = text.into();
    scaling.series[0].size.label = text.into();
    let headline = Headline { label: text.into(), value: "0.5".into(), detail: text.into() };
    let figure = PageFigure::new(&scaling, text, text).unwrap();
    let blocks = vec![
        Block::Heading(text.into()),
        Block::Text(text.into()),
        Block::Notes(vec![text.into()]),
        Block::Figure(figure),
        Block::Table { caption: text.into(), table: table() },
        Block::LongTable { caption: text.into(), table: table() },
        Block::Code(text.into()),
        Block::LongCode { caption: text.into(), code: text.into() },
    ];
    Page {
        title: text.into(),
        subtitle: text.into(),
        intro: vec![
            Block::Facts(vec![(text.into(), text.into())]),
            Block::Headlines(vec![headline]),
        ],
        sections: vec![Section { heading: "Figures", blocks }],
        footer: text.into(),
    }
}

/// What begins each tag.
fn tags(html: &str) -> Vec<&str> {
    html.split('<').skip(1).map(|tag| tag.split([' ', '>', '\n']).next().unwrap()).collect()
}

#[test]
fn what_is_text_stays_text_wherever_it_is_put() {
    let (hostile, harmless) = (sample(HOSTILE).html(), sample("plain").html());
    // Long labels leave a figure other ticks and lines of text: its own marks are not counted.
    let kinds = |html| tags(html).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(kinds(&hostile), kinds(&harmless));
    let marks = ["text", "polyline", "line", "polygon", "circle", "rect"];
    let is_mark = |tag: &&str| marks.contains(&tag.trim_start_matches('/'));
    let others = |html| tags(html).into_iter().filter(|tag| !is_mark(tag)).count();
    assert_eq!(others(&hostile), others(&harmless));
    assert!(hostile.contains("&lt;script&gt;"));
}

#[test]
fn a_page_needs_nothing_besides_itself() {
    let html = sample("plain").html();
    let namespace = "http://www.w3.org/2000/svg";
    assert!(!html.replace(namespace, "").contains("://"), "something is loaded");
    assert!(!html.contains("<script") && !html.contains("src="));
    assert_eq!(html.matches("url(").count(), html.matches("url(data:font/ttf;").count());
    assert!(html.contains("default-src 'none'"));
}

#[test]
fn a_figure_is_there_for_both_widths_and_repainted_where_a_screen_is_dark() {
    let html = sample("plain").html();
    assert!(html.contains("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"800\""));
    assert!(html.contains("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"400\""));
    assert!(html.contains("figure [fill=\"#FFFFFF\"] { fill: #14171C; }"));
    assert!(html.contains("figure [stroke=\"#D55E00\"] { stroke: #F0561D; }"));
}

#[test]
fn the_same_page_gives_the_same_bytes() {
    assert_eq!(sample("plain").html(), sample("plain").html());
}

#[test]
fn a_section_is_reached_from_the_contents() {
    let page = Page {
        sections: vec![Section {
            heading: "Plan and cost",
            blocks: vec![Block::Figure(PageFigure::new(&fits::fit(9), "Fit.", "").unwrap())],
        }],
        ..Page::default()
    };
    let html = page.html();
    assert!(html.contains("<a href=\"#plan-and-cost\">Plan and cost</a>"));
    assert!(html.contains("<h2 id=\"plan-and-cost\">"));
}
