//! A report: one HTML file that needs nothing besides itself, on a screen, a phone and paper.
//!
//! What is put in is text, never markup: maud escapes it. The page runs no script and loads nothing,
//! and says so to the browser.

mod figure;
mod text;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::table::{Align, Table};
use text::rich;

pub use figure::PageFigure;

const CSS: &str = include_str!("../assets/page.css");
/// Nothing is loaded from elsewhere and nothing is executed, whatever a name or a log holds.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; font-src data:";

/// Texts may hold `^{..}` and `_{..}` as figures' may, and code in backticks.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub title: String,
    pub subtitle: String,
    /// Before the sections.
    pub intro: Vec<Block>,
    pub sections: Vec<Section>,
    pub footer: String,
}

#[derive(Clone, Debug)]
pub struct Section {
    pub heading: &'static str,
    pub blocks: Vec<Block>,
}

#[derive(Clone, Debug)]
pub enum Block {
    Heading(String),
    Text(String),
    /// What each thing is.
    Facts(Vec<(String, String)>),
    Headlines(Vec<Headline>),
    /// What a reader must know.
    Notes(Vec<String>),
    Figure(PageFigure),
    Table {
        caption: String,
        table: Table,
    },
    /// As [`Block::Table`], shown when asked for and not in print.
    LongTable {
        caption: String,
        table: Table,
    },
    Code(String),
    /// Shown when asked for, and in print.
    LongCode {
        caption: String,
        code: String,
    },
}

/// A number that is read before everything else.
#[derive(Clone, Debug)]
pub struct Headline {
    pub label: String,
    pub value: String,
    /// Under it, smaller.
    pub detail: String,
}

impl Section {
    /// Within the page.
    fn id(&self) -> String {
        self.heading.to_lowercase().replace(' ', "-")
    }
}

impl Page {
    /// The file.
    pub fn html(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta http-equiv="Content-Security-Policy" content=(POLICY);
                    title { (text::bare(&self.title)) }
                    style { (PreEscaped(self.style())) }
                }
                body {
                    header {
                        h1 { (rich(&self.title)) }
                        p.subtitle { (rich(&self.subtitle)) }
                    }
                    main {
                        @for block in &self.intro { (block.html()) }
                        nav aria-label="Contents" {
                            ul {
                                @for section in &self.sections {
                                    li { a href={ "#" (section.id()) } { (section.heading) } }
                                }
                            }
                        }
                        @for section in &self.sections {
                            section {
                                h2 id=(section.id()) { (section.heading) }
                                @for block in &section.blocks { (block.html()) }
                            }
                        }
                    }
                    footer { (rich(&self.footer)) }
                }
            }
        };
        page.into_string()
    }

    /// The figures' font is in the file too where there are figures: their text then takes the room that was
    /// measured for it, whatever fonts a reader has.
    fn style(&self) -> String {
        let font =
            if self.figures().next().is_some() { figure::font_rule() } else { String::new() };
        format!("{CSS}{font}{}", figure::dark_rules(self.figures()))
    }

    fn figures(&self) -> impl Iterator<Item = &PageFigure> {
        let sections = self.sections.iter().flat_map(|section| &section.blocks);
        self.intro.iter().chain(sections).filter_map(|block| match block {
            Block::Figure(figure) => Some(figure),
            _ => None,
        })
    }
}

impl Block {
    fn html(&self) -> Markup {
        match self {
            Self::Heading(text) => html! { h3 { (rich(text)) } },
            Self::Text(text) => html! { p { (rich(text)) } },
            Self::Facts(facts) => html! {
                dl.facts { @for (name, value) in facts { dt { (rich(name)) } dd { (rich(value)) } } }
            },
            Self::Headlines(headlines) => html! {
                dl.headlines { @for headline in headlines { (headline.html()) } }
            },
            Self::Notes(notes) => html! {
                @if !notes.is_empty() { ul.notes { @for note in notes { li { (rich(note)) } } } }
            },
            Self::Figure(figure) => figure.html(),
            Self::Table { caption, table } => html! {
                div.scroll tabindex="0" { (table_html(caption, table)) }
            },
            Self::LongTable { caption, table } => html! {
                details.long {
                    summary { (rich(caption)) }
                    div.scroll tabindex="0" { (table_html("", table)) }
                }
            },
            Self::Code(code) => html! { pre { code { (code) } } },
            Self::LongCode { caption, code } => html! {
                details { summary { (rich(caption)) } pre { code { (code) } } }
            },
        }
    }
}

impl Headline {
    fn html(&self) -> Markup {
        html! {
            div {
                dt { (rich(&self.label)) }
                dd { (rich(&self.value)) @if !self.detail.is_empty() { small { (rich(&self.detail)) } } }
            }
        }
    }
}

fn table_html(caption: &str, table: &Table) -> Markup {
    let is_number = |at: usize| table.columns.get(at).is_some_and(|c| c.align == Align::Right);
    html! {
        table {
            @if !caption.is_empty() { caption { (rich(caption)) } }
            thead {
                tr {
                    @for column in &table.columns {
                        th scope="col" class=[(column.align == Align::Right).then_some("n")] { (rich(&column.heading)) }
                    }
                }
            }
            tbody {
                @for row in &table.rows {
                    tr {
                        @for (at, cell) in row.iter().enumerate() {
                            td class=[is_number(at).then_some("n")] { (rich(cell)) }
                        }
                    }
                }
            }
        }
    }
}
